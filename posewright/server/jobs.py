"""Jobs on disk: one folder each, whose `state.json` survives a restart.

    data/<id>/state.json     what was asked and how it ended
    data/<id>/input/clip.mp4 the upload
    data/<id>/out/           what `posewright run` wrote

Everything here may be called from several threads; one lock guards the table of jobs.
"""

import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from posewright.core.errors import InputError
from posewright.core.files import atomic_path

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
UNFINISHED = (QUEUED, RUNNING)
STATES = (QUEUED, RUNNING, DONE, FAILED, CANCELLED)
_ID = re.compile(r"[0-9a-f]{16}")
_STATE, _INPUT, _OUT = "state.json", "input", "out"


class QueueFullError(Exception):
    """As many jobs wait as may wait."""


@dataclass
class Job:
    """One clip and what became of it; times are seconds since 1970."""

    id: str
    clip: str
    """Name of the uploaded file, made harmless."""
    arguments: list[str] = field(default_factory=list)
    """Arguments for `posewright run`."""
    state: str = QUEUED
    stage: str = ""
    done: int = 0
    total: int | None = None
    """Frames done in this stage, and to expect (None: not known)."""
    error: str | None = None
    """One line, where the job failed."""
    created: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None


class JobStore:
    """All jobs of one data folder."""

    def __init__(self, folder: Path, max_queue: int):
        """Read the jobs that are there; those that an earlier server left unfinished are queued again.

        Raises:
            InputError: the folder cannot be written, or another server uses it.
        """
        self.folder = folder.resolve()
        self.max_queue = max_queue
        self._jobs: dict[str, Job] = {}
        self._uploading = 0
        self._changed = threading.Condition()
        self._handle = _own(self.folder)
        for path in sorted(p for p in self.folder.iterdir() if _ID.fullmatch(p.name) and p.is_dir()):
            self._take_up(path)

    def close(self) -> None:
        """Let another server use the folder."""
        os.close(self._handle)

    # ------------------------------------------------------------------------------------------ looking

    def all(self) -> list[Job]:
        """Every job, the newest first."""
        with self._changed:
            return sorted(self._jobs.values(), key=lambda job: job.created, reverse=True)

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            KeyError: there is none.
        """
        with self._changed:
            return self._jobs[job_id]

    def out(self, job: Job) -> Path:
        """Folder that the job's run writes."""
        return self.folder / job.id / _OUT

    def source(self, job: Job) -> Path:
        """The uploaded file."""
        return self.folder / job.id / _INPUT / job.clip

    def files(self, job: Job) -> dict[str, Path]:
        """Finished files by name; only these are ever handed out, so no name can lead elsewhere."""
        try:
            entries = sorted(self.out(job).iterdir())
        except OSError:
            return {}
        return {p.name: p for p in entries if p.is_file() and not p.is_symlink() and p.name[0] != "."}

    def summary(self, job: Job) -> dict:
        """What the run said of itself, or nothing as long as it is not done."""
        try:
            return json.loads((self.out(job) / "summary.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    # ----------------------------------------------------------------------------------------- changing

    @contextmanager
    def place(self) -> Iterator[tuple[str, Path]]:
        """Reserve a place in the queue; give a new id and its folder for the upload, removed if it fails.

        Raises:
            QueueFullError: no place is left.
        """
        with self._changed:
            waiting = sum(job.state == QUEUED for job in self._jobs.values())
            if waiting + self._uploading >= self.max_queue:
                raise QueueFullError
            self._uploading += 1
        job_id = secrets.token_hex(8)
        folder = self.folder / job_id / _INPUT
        try:
            folder.mkdir(parents=True)
            yield job_id, folder
        finally:
            with self._changed:
                self._uploading -= 1
            if job_id not in self._jobs:
                shutil.rmtree(folder.parent, ignore_errors=True)

    def add(self, job: Job) -> None:
        """Queue a job whose upload is complete."""
        self._write(job)
        with self._changed:
            self._jobs[job.id] = job
            self._changed.notify()

    def next(self, stopping: threading.Event) -> Job | None:
        """Wait for the oldest queued job and mark it running; None once `stopping` is set."""
        with self._changed:
            while not stopping.is_set():
                queued = [job for job in self._jobs.values() if job.state == QUEUED]
                if queued:
                    job = min(queued, key=lambda job: job.created)
                    job.state, job.started = RUNNING, time.time()
                    return job
                self._changed.wait(timeout=1.0)
        return None

    def finish(self, job: Job, state: str, error: str | None = None) -> None:
        """Note how a job ended; one that was cancelled meanwhile stays so.

        Where even this note finds no room on the disk, the job is run again after a restart.
        """
        with self._changed:
            if job.state not in UNFINISHED:
                return
            job.state, job.error, job.ended = state, error, time.time()
        with suppress(OSError):
            self._write(job)

    def remove(self, job: Job) -> None:
        """Forget a finished job and delete its folder."""
        with self._changed:
            self._jobs.pop(job.id, None)
        shutil.rmtree(self.folder / job.id, ignore_errors=True)

    def wake(self) -> None:
        """Let whoever waits for a job look whether the server stops."""
        with self._changed:
            self._changed.notify_all()

    # --------------------------------------------------------------------------------------------- disk

    def _write(self, job: Job) -> None:
        with atomic_path(self.folder / job.id / _STATE) as temporary:
            temporary.write_text(json.dumps(asdict(job), indent=1) + "\n", encoding="utf-8")

    def _take_up(self, folder: Path) -> None:
        """Read one job's folder; delete what is left of an upload that never ended."""
        if {p.name for p in folder.iterdir()} <= {_INPUT, _OUT}:
            shutil.rmtree(folder, ignore_errors=True)
            return
        try:
            job = _read(folder / _STATE)
        except (OSError, ValueError, TypeError) as error:
            job = Job(folder.name, "?", state=FAILED, error=f"its state.json cannot be read ({error})")
            job.created = folder.stat().st_mtime
        if job.state in UNFINISHED:
            job.state, job.stage, job.done, job.total, job.started = QUEUED, "", 0, None, None
        self._jobs[folder.name] = job


def _read(path: Path) -> Job:
    data = json.loads(path.read_text(encoding="utf-8"))
    job = Job(**{f.name: data[f.name] for f in fields(Job) if f.name in data})
    if job.id != path.parent.name or job.state not in STATES or Path(job.clip).name != job.clip:
        raise ValueError("it does not describe this job")
    return job


def _own(folder: Path) -> int:
    """Make the folder and hold it for this server; the system lets go when the process ends, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".server", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}): choose another folder with --data"
        ) from error
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise InputError(
            f"{folder} belongs to a server that is running: choose another folder with --data"
        ) from error
    return handle
