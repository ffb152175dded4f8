"""Reading files that users bring: whatever is wrong with one becomes one clear `InputError`."""

import json
import pickle
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from posewright.core.errors import InputError

BROKEN = (
    ValueError,  # includes UnicodeDecodeError, JSONDecodeError and InputError
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    NotImplementedError,  # zipfile, of a compression method it does not know
    RecursionError,
    RuntimeError,
    StopIteration,
    struct.error,
    subprocess.SubprocessError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What parsers and libraries raise on malformed bytes."""


@contextmanager
def reading(path: str | Path, kind: str) -> Iterator[Path]:
    """Give `path` to parse as `kind`; what the parser raises becomes an `InputError` that names the file.

    Raises:
        InputError: the file is absent, a folder, empty, or cannot be parsed.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; expected a {kind} file")
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected a {kind} file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty, expected a {kind} file")
    try:
        yield path
    except OSError as error:
        if error.errno is not None:
            raise
        raise InputError(f"{path}: cannot be read as {kind}: {error}") from error
    except BROKEN as error:
        if isinstance(error, InputError) and str(error).startswith(f"{path}:"):
            raise  # a reader within this one has said it all
        raise InputError(f"{path}: cannot be read as {kind}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """One line saying what a parser met."""
    if isinstance(error, InputError):
        return str(error)
    text = str(error).split("\n")[0][:300]
    return (
        text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text or 'malformed'}"
    )


def read_json(path: Path) -> object:
    """Parse a JSON file, UTF-8 with or without a byte-order mark."""
    return json.loads(path.read_text(encoding="utf-8-sig"))


def is_npz_of(path: str | Path, kind: str) -> bool:
    """True for an `.npz` file of ours whose `format` says `kind`; no pickle is read."""
    path = Path(path)
    if path.suffix.lower() != ".npz" or not path.is_file():
        return False
    try:
        with np.load(path, allow_pickle=False) as data:
            return "format" in data and str(data["format"]) == kind
    except (*BROKEN, OSError):
        return False


def expect(condition: bool, message: str) -> None:
    """Raise `InputError(message)` unless `condition` holds."""
    if not condition:
        raise InputError(message)
