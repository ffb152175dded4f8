"""Receives a clip and its options: multipart/form-data, written to disk as it comes in, never held in memory."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from posewright.core.errors import InputError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FILE_FIELD = "clip"
_FIELDS, _FIELD_BYTES, _NAME_BYTES = 40, 1000, 100
_OWN_NAMES = ("motion", "keypoints", "summary", "overlay", "report")
_AT_START = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"RIFF",  # AVI, WebP
    b"OggS",
    b"FLV",
    b"0&\xb2u",  # WMV
    b"\x00\x00\x01\xba",  # MPEG
    b"\x00\x00\x01\xb3",
    b"\x00\x00\x00\x01",  # H.264, H.265 without a container
    b"\x06\x0e+4",  # MXF
    b"YUV4MPEG2",
    b"GIF8",
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG",
    b"BM",
    b"II*\x00",  # TIFF
    b"MM\x00*",
    b"PK\x03\x04",  # npz
)
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


class TooLargeError(Exception):
    """The upload is larger than the server accepts."""


@dataclass
class Upload:
    """What came in."""

    path: Path | None = None
    form: dict[str, str] = field(default_factory=dict)


async def receive(request: Request, folder: Path, max_bytes: int) -> tuple[Path, dict[str, str]]:
    """Write the uploaded clip into a folder; return its path and the form fields.

    Raises:
        TooLargeError: it is larger than `max_bytes`; noticed as early as possible.
        InputError: it is no form, holds no clip, an empty one, or one of a kind that nothing here reads.
        OSError: the disk is full.
    """
    boundary = _boundary(request)
    if int(request.headers.get("content-length", "0")) > max_bytes + _FIELDS * (_FIELD_BYTES + 500):
        raise TooLargeError
    form = _Form(folder, max_bytes)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        async for chunk in request.stream():
            await run_in_threadpool(parser.write, chunk)
    except FormParserError as error:
        raise InputError(f"the form is broken: {error}") from error
    finally:
        form.close()
    if not form.complete:
        raise InputError("the form ends in the middle: the upload was cut off")
    return _checked(form.upload), form.upload.form


def harmless(name: str) -> str:
    """Any text to a file name without folders, hidden names, control characters or surprising length."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(c if c.isalnum() or c in " ._-()+" else "_" for c in name).strip(" .-")
    path = Path(name or "clip")
    suffix = path.suffix if len(path.suffix.encode()) <= 12 else ""
    stem = path.stem.encode()[:_NAME_BYTES].decode(errors="ignore").rstrip(" .") or "clip"
    return f"{'clip_' if stem.lower() in _OWN_NAMES else ''}{stem}{suffix}"


def looks_readable(start: bytes, suffix: str) -> bool:
    """Whether a file begins like a video, a photo or 2D keypoints.

    Refuses playlists above all: text that would make a video reader open other files.
    """
    if suffix.lower() == ".json":
        return start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")
    transport_stream = any(start[at : at + 1] == start[at + step : at + step + 1] == b"G" for at, step in _TS)
    return start.startswith(_AT_START) or start[4:8] in _MP4_BOXES or transport_stream


_TS = ((0, 188), (4, 192))
"""First sync byte and distance to the next of .ts and .m2ts."""


def _boundary(request: Request) -> bytes:
    kind, parameters = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not parameters.get(b"boundary"):
        raise InputError(f"send the clip as multipart/form-data, in a field named {FILE_FIELD}")
    return parameters[b"boundary"]


def _checked(upload: Upload) -> Path:
    path = upload.path
    if path is None:
        raise InputError(f"no file came: send the clip in a field named {FILE_FIELD}")
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        raise InputError(f"{path.name} is empty")
    if not looks_readable(start, path.suffix):
        raise InputError(f"{path.name} is no video, no photo and no 2D keypoints (.json, .npz)")
    return path


class _Form:
    """Collects what the parser finds: the file goes to disk, small fields into a dictionary."""

    def __init__(self, folder: Path, max_bytes: int):
        self.upload, self.complete = Upload(), False
        self._folder, self._left = folder, max_bytes
        self._header = b""
        self._headers: dict[bytes, bytes] = {}
        self._key, self._parts = "", 0
        self._value = b""
        self._file: IO[bytes] | None = None

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._part_begin,
            "on_header_begin": lambda: setattr(self, "_header", b""),
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._part_end,
            "on_end": lambda: setattr(self, "complete", True),
        }

    def close(self) -> None:
        if self._file:
            self._file.close()

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > _FIELDS:
            raise InputError(f"more than {_FIELDS} form fields")
        self._headers, self._value = {}, b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end].lower()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._headers[self._header] = self._headers.get(self._header, b"") + data[start:end]

    def _headers_finished(self) -> None:
        _, parameters = parse_options_header(self._headers.get(b"content-disposition"))
        self._key = parameters.get(b"name", b"").decode(errors="replace")
        if self._key != FILE_FIELD:
            return
        if self.upload.path is not None:
            raise InputError("more than one clip: send one for each job")
        self.upload.path = self._folder / harmless(parameters.get(b"filename", b"").decode(errors="replace"))
        self._file = self.upload.path.open("xb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:
            self._value += data[start:end]
            if len(self._value) > _FIELD_BYTES:
                raise InputError(f"the form field {self._key[:40]!r} is longer than {_FIELD_BYTES} bytes")
            return
        self._left -= end - start
        if self._left < 0:
            raise TooLargeError
        self._file.write(data[start:end])

    def _part_end(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        else:
            self.upload.form[self._key] = self._value.decode(errors="replace")
