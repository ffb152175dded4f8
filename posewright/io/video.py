"""Frames from anything that films: a video, a photo, a folder of pictures, a webcam; and H.264 out.

Frames stream: memory does not grow with the length of the clip. Decoding runs in a thread of its own, so that it
overlaps with whatever looks at the frames.

Convention: frames are uint8 RGB (H, W, 3), upright (rotation metadata and EXIF orientation are applied); time is
seconds from the start of the file; `--start` and `--end` select by that time.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError

from posewright.core.errors import InputError
from posewright.core.files import atomic_path

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_SMALLEST = 16
_QUEUE = 4
_SAME_TIME = 1e-5


class Frame(NamedTuple):
    """One picture of a clip."""

    index: int
    """Number among the frames delivered, from 0."""
    time: float
    """Seconds from the start of the file."""
    image: np.ndarray
    """(H, W, 3) uint8 RGB."""


@dataclass(frozen=True)
class ClipInfo:
    """What is known of a clip before reading it."""

    name: str
    kind: str
    """`video`, `photo`, `folder` or `webcam`."""
    size: tuple[int, int]
    """(width, height) of the upright frames, pixels."""
    fps: float
    """Average frames per second."""
    num_frames: int | None
    """Frames to expect between start and end; an estimate, None for a webcam."""


class Clip:
    """A clip to iterate over once or several times; each pass decodes anew.

    Attributes:
        info: `ClipInfo`.
        warnings: plain sentences found while reading ("the file ends early"), filled during a pass.
    """

    def __init__(self, info: ClipInfo, frames: Callable[[list[str], float | None], Iterator[Frame]]):
        self.info = info
        self.warnings: list[str] = []
        self._frames = frames

    def __iter__(self) -> Iterator[Frame]:
        return self.after(None)

    def after(self, seconds: float | None) -> Iterator[Frame]:
        """Iterate over the frames later than `seconds` (None: all); what lies before is skipped, not decoded."""
        self.warnings.clear()
        return _in_background(lambda: self._frames(self.warnings, seconds))


def open_clip(
    source: str | Path, start: float | None = None, end: float | None = None, fps: float | None = None
) -> Clip:
    """Open a video, photo, folder of pictures or webcam (a number, as text).

    Args:
        source: path, or a webcam index such as "0".
        start: seconds; frames before it are left out.
        end: seconds; frames at or after it are left out.
        fps: rate of a folder of pictures or a webcam (default 30); ignored for videos, which know theirs.

    Raises:
        InputError: missing, empty, truncated beyond use, or not a picture or video.
    """
    if start is not None and end is not None and end <= start:
        raise InputError(f"--end {end:g} is not after --start {start:g}: give seconds with end > start")
    if isinstance(source, str) and source.isdigit():
        return _open_webcam(int(source), fps or 30.0, end)
    path = Path(source)
    if not path.exists():
        raise InputError(
            f"{path} does not exist: give a video, a photo, a folder of pictures or a webcam index"
        )
    if path.is_dir():
        return _open_folder(path, fps or 30.0, start, end)
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes): was the copy or download interrupted?")
    if path.suffix.lower() in PHOTO_SUFFIXES:
        return _open_photo(path)
    return _open_video(path, start, end)


# ---------------------------------------------------------------------------------------------- video


def _open_video(path: Path, start: float | None, end: float | None) -> Clip:
    with _container(path) as container:
        stream = _video_stream(container, path)
        first = _first_frame(container, stream, path)
        size = (first.shape[1], first.shape[0])
        fps = float(stream.average_rate or stream.guessed_rate or stream.base_rate or 30)
        duration = _duration(container, stream)
    _check_size(size, path)
    first_time = start or 0.0
    if duration is not None and first_time >= duration + 1.0:
        raise InputError(f"--start {first_time:g} s is after the end of {path.name} ({duration:.1f} s)")
    count = None
    if duration is not None:
        last_time = min(end, duration) if end is not None else duration
        count = max(1, round((last_time - first_time) * fps))
    info = ClipInfo(path.name, "video", size, fps, count)
    return Clip(info, lambda warnings, after: _decode(path, start, end, after, warnings))


@contextmanager
def _container(path: Path) -> Iterator[InputContainer]:
    try:
        container = av.open(str(path), metadata_errors="ignore")
    except (FFmpegError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as a video ({_reason(error)}): it is not a video, or it is cut off before its "
            "index; try copying it again, or remux it"
        ) from error
    with container:
        yield container


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).strip().rstrip(".") or type(error).__name__


def _video_stream(container, path: Path):
    if not container.streams.video:
        raise InputError(
            f"{path} cannot be read as a video (no pictures in it): it holds only sound, or is cut off"
        )
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


def _first_frame(container, stream, path: Path) -> np.ndarray:
    try:
        for frame in container.decode(stream):
            return _upright(frame)
    except FFmpegError as error:
        raise InputError(
            f"{path}: no frame can be decoded ({_reason(error)}): the file is damaged"
        ) from error
    raise InputError(f"{path} holds no frames: the file is empty or cut off")


def _duration(container, stream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _check_size(size: tuple[int, int], path: Path) -> None:
    if min(size) < _SMALLEST:
        raise InputError(
            f"{path}: frames are {size[0]}x{size[1]} pixels, expected at least {_SMALLEST} each way"
        )


def _upright(frame: "av.VideoFrame") -> np.ndarray:
    """RGB picture with the container's rotation applied."""
    image = frame.to_ndarray(format="rgb24")
    quarter_turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, quarter_turns)) if quarter_turns else image


def _decode(
    path: Path, start: float | None, end: float | None, after: float | None, warnings: list[str]
) -> Iterator[Frame]:
    with _container(path) as container:
        stream = _video_stream(container, path)
        origin = float((stream.start_time or 0) * stream.time_base) if stream.time_base else 0.0
        begin = max(start or 0.0, after or 0.0)
        if begin:
            _seek(container, stream, begin + origin)
        rate = float(stream.average_rate or stream.guessed_rate or 30)
        index, last = 0, -1.0
        try:
            for frame in container.decode(stream):
                time = frame.time - origin if frame.time is not None else last + 1.0 / rate
                time = max(time, last + 1e-4) if last >= 0 else max(time, 0.0)
                too_early = start is not None and time < start - 0.5 / rate
                if too_early or (after is not None and time <= after + _SAME_TIME):
                    continue
                if end is not None and time >= end - 1e-6:
                    return
                yield Frame(index, time, _upright(frame))
                index, last = index + 1, time
        except FFmpegError as error:
            if index == 0:
                raise InputError(f"{path}: no frame can be decoded ({_reason(error)})") from error
            warnings.append(f"{path.name} is damaged or cut off at {last:.1f} s: the rest could not be read")
            return
        duration = _duration(container, stream)
        if duration is not None and last + 1.0 / rate < duration - max(0.5, 0.02 * duration):
            warnings.append(
                f"{path.name} says it is {duration:.1f} s long but its pictures end at {last:.1f} s: it is cut off"
            )


def _seek(container, stream, seconds: float) -> None:
    """Go to the key frame before `seconds`; a container that cannot seek is read from its start."""
    try:
        container.seek(int(seconds / stream.time_base), stream=stream, backward=True)
    except FFmpegError:
        container.seek(0)


# ------------------------------------------------------------------------------- photo, folder, webcam


def read_photo(path: str | Path) -> np.ndarray:
    """Read a picture as uint8 RGB (H, W, 3), upright by its EXIF orientation; any path the system allows."""
    data = np.fromfile(str(path), dtype=np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise InputError(f"{path} cannot be read as a picture: expected one of {', '.join(PHOTO_SUFFIXES)}")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _open_photo(path: Path) -> Clip:
    image = read_photo(path)
    size = (image.shape[1], image.shape[0])
    _check_size(size, path)
    info = ClipInfo(path.name, "photo", size, 30.0, 1)
    return Clip(info, lambda warnings, after: iter([Frame(0, 0.0, image)] if after is None else []))


def _open_folder(path: Path, fps: float, start: float | None, end: float | None) -> Clip:
    photos = sorted(p for p in path.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES)
    if not photos:
        raise InputError(
            f"{path} is a folder without pictures ({', '.join(PHOTO_SUFFIXES)}); for a folder of videos use "
            "`posewright batch`"
        )
    times = np.arange(len(photos)) / fps
    keep = (times >= (start or 0.0) - 1e-9) & (times < (np.inf if end is None else end))
    chosen = [(t, p) for t, p, k in zip(times, photos, keep, strict=True) if k]
    if not chosen:
        raise InputError(
            f"{path}: no picture lies between --start and --end ({len(photos)} pictures at {fps:g} fps)"
        )
    first = read_photo(chosen[0][1])
    size = (first.shape[1], first.shape[0])
    _check_size(size, path)

    def frames(warnings: list[str], after: float | None) -> Iterator[Frame]:
        for index, (time, photo) in enumerate(
            c for c in chosen if after is None or c[0] > after + _SAME_TIME
        ):
            image = read_photo(photo)
            if (image.shape[1], image.shape[0]) != size:
                raise InputError(
                    f"{photo} is {image.shape[1]}x{image.shape[0]}, the first picture {size[0]}x{size[1]}"
                )
            yield Frame(index, float(time), image)

    return Clip(ClipInfo(path.name, "folder", size, fps, len(chosen)), frames)


def _open_webcam(index: int, fps: float, seconds: float | None) -> Clip:
    camera = cv2.VideoCapture(index)
    ok, image = camera.read() if camera.isOpened() else (False, None)
    if not ok or image is None:
        camera.release()
        raise InputError(
            f"webcam {index} gives no picture: is it connected, free, and may this program use it?"
        )
    size = (image.shape[1], image.shape[0])
    rate = camera.get(cv2.CAP_PROP_FPS) or fps

    def frames(warnings: list[str], after: float | None) -> Iterator[Frame]:
        began = cv2.getTickCount()
        count = 0
        try:
            while True:
                ok, image = camera.read()
                time = (cv2.getTickCount() - began) / cv2.getTickFrequency()
                if not ok or (seconds is not None and time >= seconds):
                    return
                yield Frame(count, time, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
                count += 1
        finally:
            camera.release()

    count = None if seconds is None else max(1, round(seconds * rate))
    return Clip(ClipInfo(f"webcam{index}", "webcam", size, float(rate), count), frames)


# ------------------------------------------------------------------------------------------ background


def _in_background(frames: Callable[[], Iterator[Frame]]) -> Iterator[Frame]:
    """Run an iterator in a thread, a few frames ahead; errors come out where the frames would have."""
    ahead: queue.Queue = queue.Queue(_QUEUE)
    stop = threading.Event()
    done = object()

    def put(item) -> bool:
        while not stop.is_set():
            try:
                ahead.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for frame in frames():
                if not put(frame):
                    return
            put(done)
        except BaseException as error:  # noqa: BLE001 - handed to the consumer, who raises it
            put(error)

    thread = threading.Thread(target=work, daemon=True, name="posewright-decode")
    thread.start()
    try:
        while (item := ahead.get()) is not done:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join(timeout=5)


# ---------------------------------------------------------------------------------------------- writing


@contextmanager
def write_video(
    path: str | Path, size: tuple[int, int], fps: float, *, quality: int = 23, preset: str = "veryfast"
) -> Iterator[Callable[[np.ndarray], None]]:
    """Write H.264 (yuv420p, plays everywhere): the block gets a function that takes uint8 RGB frames (H, W, 3).

    Odd sizes lose their last row or column (the codec needs even ones). The file appears only when the block ends
    well. Frames are encoded in a thread of their own: do not change one after handing it over.

    Args:
        path: file to write, `.mp4`.
        size: (width, height) of the frames, pixels.
        fps: frames per second.
        quality: x264 CRF; lower is better and larger.
        preset: x264 speed preset.
    """
    width, height = size[0] - size[0] % 2, size[1] - size[1] % 2
    with atomic_path(path) as temporary:
        container = av.open(str(temporary), "w", format="mp4", options={"movflags": "faststart"})
        try:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.options = {"crf": str(quality), "preset": preset}

            def encode(image: np.ndarray) -> None:
                picture = np.ascontiguousarray(image[:height, :width])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))

            with _in_order(encode) as write:
                yield write
            container.mux(stream.encode())
        finally:
            container.close()


@contextmanager
def _in_order(work: Callable[[np.ndarray], None], waiting: int = 3) -> Iterator[Callable[[np.ndarray], None]]:
    """Do the work in a thread of its own, in the order it comes; the block waits when so many pieces are waiting.

    An error of the work is raised in the block, at the next piece or at its end.
    """
    pending: deque[Future] = deque()

    def give(piece: np.ndarray) -> None:
        while len(pending) > waiting:
            pending.popleft().result()
        pending.append(thread.submit(work, piece))

    thread = ThreadPoolExecutor(1)
    try:
        yield give
        while pending:
            pending.popleft().result()
    finally:
        thread.shutdown(cancel_futures=True)
