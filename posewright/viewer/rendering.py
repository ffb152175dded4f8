"""One pass over a clip that writes the small preview for the report and the overlay video.

Both come out at the constant rate of the keypoints, whatever the rate of the clip: a picture is shown until the next
one comes.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from posewright.core.files import atomic_path
from posewright.io.video import Clip, Frame, write_video
from posewright.structures.keypoints import Keypoints2D
from posewright.viewer.overlay import Doubt, draw_keypoints

PREVIEW_SIDE = 960
LONG_CLIP_SECONDS = 180.0
LONG_CLIP_SIDE = 640


def write_preview_and_overlay(
    clip: Clip,
    keypoints: Keypoints2D,
    preview: Path | None,
    overlay: Path | None,
    on_progress: Callable[[int, int], None],
    doubt: Doubt | None = None,
) -> None:
    """Write the clip again, small (`preview`) and at full size with keypoints drawn (`overlay`); either may be None.

    With `doubt`, the overlay marks what is not to be trusted in 3D. A photo is written as a JPEG, anything else as
    H.264.
    """
    if clip.info.kind == "photo":
        _write_photos(clip, keypoints, preview, overlay, doubt)
        return
    total, fps = keypoints.num_frames, keypoints.fps
    small = preview_size(clip.info.size, total / fps)
    with ExitStack() as stack:
        to_preview = preview and stack.enter_context(
            write_video(preview, small, fps, quality=29, preset="superfast")
        )
        to_overlay = overlay and stack.enter_context(
            write_video(overlay, clip.info.size, fps, preset="superfast")
        )
        for tick, image in constant_rate(iter(clip), fps, total, keypoints.frame_times()[0]):
            if to_preview:
                to_preview(cv2.resize(image, small, interpolation=cv2.INTER_AREA))
            if to_overlay:
                to_overlay(draw_keypoints(image, keypoints, tick, doubt=doubt))
            on_progress(tick + 1, total)


def preview_size(size: tuple[int, int], seconds: float) -> tuple[int, int]:
    """Even (width, height) of the preview: small enough that the page stays light, smaller still for long clips."""
    side = PREVIEW_SIDE if seconds <= LONG_CLIP_SECONDS else LONG_CLIP_SIDE
    scale = min(1.0, side / max(size))
    width, height = (max(2, round(s * scale / 2) * 2) for s in size)
    return width, height


def constant_rate(
    frames: Iterator[Frame], fps: float, total: int, start: float
) -> Iterator[tuple[int, np.ndarray]]:
    """Give `total` pictures, one per tick of 1/fps seconds from `start`: at each tick the latest that has come."""
    tick, latest = 0, None
    for frame in frames:
        while latest is not None and tick < total and start + (tick + 0.5) / fps <= frame.time:
            yield tick, latest
            tick += 1
        latest = frame.image
        if tick >= total:
            return
    while latest is not None and tick < total:
        yield tick, latest
        tick += 1


def _write_photos(
    clip: Clip, keypoints: Keypoints2D, preview: Path | None, overlay: Path | None, doubt: Doubt | None
) -> None:
    image = next(iter(clip)).image
    if preview:
        small = preview_size(clip.info.size, 0.0)
        _write_jpeg(preview, cv2.resize(image, small, interpolation=cv2.INTER_AREA))
    if overlay:
        _write_jpeg(overlay, draw_keypoints(image, keypoints, 0, doubt=doubt))


def _write_jpeg(path: Path, image: np.ndarray) -> None:
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not ok:
        raise ValueError(f"{path}: the picture of shape {image.shape} cannot be encoded as JPEG")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
