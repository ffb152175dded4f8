"""The socket, and the server's life from start to Ctrl-C."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from fastapi import FastAPI

from posewright.core.errors import InputError, MissingExtraError


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Listen on an address before anything else is done.

    Raises:
        InputError: the port is taken, or the address is none of this machine's.
    """
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host} port {port} ({error.strerror}): choose another with --port or --host"
        ) from error
    with listener:
        yield listener


def serve_until_stopped(app: FastAPI, listener: socket.socket) -> None:
    """Answer requests until Ctrl-C or a termination signal.

    Raises:
        MissingExtraError: uvicorn is not installed.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("uvicorn", "serve", "posewright serve") from error
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3)
    with suppress(KeyboardInterrupt):  # uvicorn has stopped in order, then repeats the signal
        uvicorn.Server(config).run(sockets=[listener])
