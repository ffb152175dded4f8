"""`posewright serve`: upload clips from a browser or a program, and fetch what was made of them."""

from pathlib import Path
from typing import Annotated

import typer

from posewright.cli import options as o


def serve(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0: any free one.")] = 8000,
    host: Annotated[
        str,
        typer.Option("--host", help="Address to listen on; there is no password, so mind who can reach it."),
    ] = "127.0.0.1",
    host_name: Annotated[
        list[str] | None,
        typer.Option("--host-name", help="Name under which a proxy offers this server; may be repeated."),
    ] = None,
    data: Annotated[Path, typer.Option("--data", help="Folder for uploads, jobs and results.")] = Path(
        "posewright_jobs"
    ),
    workers: Annotated[int, typer.Option("--workers", min=1, help="Jobs that run at the same time.")] = 1,
    max_upload_mb: Annotated[
        float, typer.Option("--max-upload-mb", min=0.001, help="Largest clip to accept, megabytes.")
    ] = 2000.0,
    max_queue: Annotated[int, typer.Option("--max-queue", min=1, help="Jobs that may wait.")] = 20,
    device: o.Device = "auto",
) -> None:
    """Serve a page and an HTTP interface that turn uploaded clips into motion, one after another.

    Example:  posewright serve --port 8000 --data jobs/
    """
    from posewright.server.app import Settings, create_app
    from posewright.server.listen import listening, serve_until_stopped

    names = tuple(host_name or ())
    with listening(host, port) as socket:
        app = create_app(Settings(data, host, names, workers, max_upload_mb, max_queue, device))
        address = f"[{host}]" if ":" in host else host
        print(f"posewright serves http://{address}:{socket.getsockname()[1]}/ (Ctrl-C stops)", flush=True)
        serve_until_stopped(app, socket)
    print("stopped; unfinished jobs go on at the next start")
