"""The HTTP side of `posewright serve`: upload a clip, follow the job, fetch what it made."""

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from urllib.parse import quote, urlsplit

from posewright import __version__
from posewright.core.errors import InputError, MissingExtraError
from posewright.server.fields import FIELDS, arguments_of
from posewright.server.jobs import DONE, UNFINISHED, Job, JobStore, QueueFullError
from posewright.server.runner import Runner

try:
    from fastapi import APIRouter, FastAPI, HTTPException, Request
    from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response

    from posewright.server.uploads import FILE_FIELD, TooLargeError, receive
except ImportError as error:
    raise MissingExtraError(error.name or "fastapi", "serve", "posewright serve") from error

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORM = {
    FILE_FIELD: {"type": "string", "format": "binary", "description": "video, photo, 2D keypoints"},
    **{name: {"type": "string", "description": f"expected {f.expected}"} for name, f in FIELDS.items()},
}
_UPLOAD_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "required": [FILE_FIELD], "properties": _FORM}
            }
        },
    }
}


@dataclass(frozen=True)
class Settings:
    """What `posewright serve` was told."""

    data: Path
    """Folder of the jobs."""
    host: str = "127.0.0.1"
    """Address that the server listens on."""
    names: tuple[str, ...] = ()
    """Further host names under which a proxy offers it."""
    workers: int = 1
    """Jobs that run at the same time."""
    max_upload_mb: float = 2000.0
    max_queue: int = 20
    """Jobs that may wait."""
    device: str = "auto"

    @property
    def max_upload_bytes(self) -> int:
        """The same in bytes."""
        return int(self.max_upload_mb * 1e6)


def create_app(settings: Settings) -> FastAPI:
    """Make the application; it takes up the jobs of its folder when it starts and ends them when it stops.

    Raises:
        InputError: the data folder cannot be used.
    """
    store = JobStore(settings.data, settings.max_queue)
    runner = Runner(store, settings.workers, settings.device)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        runner.start()
        yield
        runner.stop()
        store.close()

    app = FastAPI(
        title="posewright",
        version=__version__,
        lifespan=life,
        docs_url=None,  # both pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.include_router(_jobs(store, runner, settings))
    app.include_router(_about(store, settings))

    @app.middleware("http")
    async def guard(request: Request, call_next) -> Response:
        if reason := refusal(request, settings):
            return JSONResponse({"detail": reason}, 403)
        response = await call_next(request)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response

    return app


def refusal(request: Request, settings: Settings) -> str | None:
    """Why a request is refused, or None: a page of another site may neither read from this server nor send to it.

    On a loopback address only its own names count (a foreign name that leads here is DNS rebinding); and whatever
    changes something must not come from a page of another origin.
    """
    host = request.headers.get("host", "")
    names = {*_LOOPBACK, settings.host, *settings.names}
    if settings.host in _LOOPBACK and _host_of(f"//{host}")[0] not in names:
        return f"this server is not {host[:100]!r}: use localhost, or start it with --host-name"
    origin = request.headers.get("origin")
    if origin is None or request.method in ("GET", "HEAD"):
        return None
    hostname, with_port = _host_of(origin)
    ours = with_port == host or hostname in settings.names
    return None if ours else "this request comes from a page of another site"


def _host_of(url: str) -> tuple[str, str]:
    """Host name of a URL, without and with the port; empty if it has none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.hostname or "", parts.netloc


# ------------------------------------------------------------------------------------------------ jobs


def _jobs(store: JobStore, runner: Runner, settings: Settings) -> APIRouter:
    router = APIRouter(prefix="/jobs")

    @router.post("", status_code=202, openapi_extra=_UPLOAD_SCHEMA)
    async def add(request: Request, response: Response) -> dict:
        """Upload a clip and queue it."""
        job = await _accept(request, store, settings)
        response.headers["Location"] = f"/jobs/{job.id}"
        return describe(job, store)

    @router.get("")
    def every() -> list[dict]:
        """Every job, the newest first."""
        return [describe(job, store) for job in store.all()]

    @router.get("/{job_id}")
    def one(job_id: str) -> dict:
        """State, progress, error and files of a job."""
        return describe(_known(store, job_id), store)

    @router.delete("/{job_id}")
    def remove(job_id: str) -> dict:
        """Cancel a job that waits or runs; remove one that has ended, with its files."""
        job = _known(store, job_id)
        if job.state in UNFINISHED:
            runner.cancel(job)
            return describe(job, store)
        store.remove(job)
        return {"id": job.id, "state": "removed"}

    @router.get("/{job_id}/files/{name}")
    def file(job_id: str, name: str) -> FileResponse:
        """One file that the job made, to keep."""
        return FileResponse(_file(store, job_id, name), filename=name)

    @router.get("/{job_id}/report")
    def report(job_id: str) -> FileResponse:
        """The report page, to look at."""
        return FileResponse(_file(store, job_id, "report.html"), media_type="text/html; charset=utf-8")

    return router


def _known(store: JobStore, job_id: str) -> Job:
    try:
        return store.get(job_id)
    except KeyError:
        raise HTTPException(404, f"there is no job {job_id[:40]!r}") from None


def _file(store: JobStore, job_id: str, name: str) -> Path:
    path = store.files(_known(store, job_id)).get(name)
    if path is None:
        raise HTTPException(404, f"job {job_id} has no file {name[:100]!r}")
    return path


async def _accept(request: Request, store: JobStore, settings: Settings) -> Job:
    """Receive one upload and queue it; whatever is wrong with it becomes one line."""
    try:
        with store.place() as (job_id, folder):
            path, form = await receive(request, folder, settings.max_upload_bytes)
            job = Job(job_id, path.name, arguments_of(form))
            store.add(job)
            return job
    except InputError as error:
        raise HTTPException(422, str(error)) from error
    except TooLargeError as error:
        raise HTTPException(413, f"larger than {settings.max_upload_mb:g} MB, this server's limit") from error
    except QueueFullError as error:
        line = f"{settings.max_queue} jobs wait already: try again later"
        raise HTTPException(503, line, {"Retry-After": "30"}) from error
    except OSError as error:
        status, line = (507, "the server's disk is full") if error.errno in _FULL else (500, error.strerror)
        raise HTTPException(status, f"the clip could not be stored: {line}") from error


def describe(job: Job, store: JobStore) -> dict:
    """A job as data for JSON."""
    files, base = store.files(job), f"/jobs/{job.id}"
    summary = store.summary(job) if job.state == DONE else {}
    return {
        "id": job.id,
        "clip": job.clip,
        "state": job.state,
        "stage": job.stage,
        "done": job.done,
        "total": job.total,
        "error": job.error,
        "people": summary.get("people"),
        "frames": summary.get("frames"),
        "warnings": summary.get("warnings", []),
        "options": job.arguments,
        "created": job.created,
        "started": job.started,
        "ended": job.ended,
        "report": f"{base}/report" if "report.html" in files and job.state == DONE else None,
        "files": [
            {"name": name, "bytes": path.stat().st_size, "url": f"{base}/files/{quote(name)}"}
            for name, path in files.items()
        ],
    }


# ----------------------------------------------------------------------------------------------- about


def _about(store: JobStore, settings: Settings) -> APIRouter:
    router = APIRouter()

    @router.get("/health")
    def health() -> dict:
        """Whether the server is up, and what it accepts."""
        states = [job.state for job in store.all()]
        return {
            "status": "ok",
            "posewright": __version__,
            "queued": states.count("queued"),
            "running": states.count("running"),
            "max_queue": settings.max_queue,
            "max_upload_bytes": settings.max_upload_bytes,
        }

    @router.get("/", response_class=HTMLResponse, include_in_schema=False)
    def page() -> HTMLResponse:
        text = (package_files("posewright.server") / "page.html").read_text(encoding="utf-8")
        policy = (
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
        )
        policy += "; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        return HTMLResponse(text, headers={"Content-Security-Policy": policy})

    return router
