"""What the user points at, as footage: a folder of videos, or 2D keypoints made elsewhere or by an earlier run.

Videos are looked at as `posewright run` does (`pipelines.video_to_motion.find_people`); what is found is kept as
`NAME.npz`, so that the next adaptation can be pointed at those files and look at no picture again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from posewright.core.errors import InputError
from posewright.io import keypoints_npz
from posewright.io.video import open_clip
from posewright.pipelines.video_to_motion import (
    RunOptions,
    find_people,
    is_keypoints_source,
    make_camera,
    read_keypoints_source,
)
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D

Report = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Sources:
    """Clips of somebody's footage."""

    names: tuple[str, ...]
    clips: tuple[Keypoints2D, ...]
    cameras: tuple[Camera, ...]
    warnings: tuple[str, ...] = ()
    """What was left out, and why."""


def read_footage(
    path: str | Path, options: RunOptions, keep: Path | None = None, on_progress: Report | None = None
) -> Sources:
    """Read everything that a path holds.

    Args:
        path: a video, a file or folder of 2D keypoints, or a folder of videos and such files.
        options: how people are looked for, and the camera, for all clips.
        keep: folder for the keypoints found in videos.
        on_progress: called with (stage, done, total).

    Raises:
        InputError: there is nothing in it that can be used; the message names what was tried.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist: give a folder of videos, or of 2D keypoints")
    found, failed = [], []
    candidates = _candidates(path)
    for candidate in candidates:
        try:
            found.append((candidate.name, _read(candidate, options, keep, on_progress)))
        except (InputError, ValueError, OSError) as error:
            failed.append(f"{candidate.name} was left out: {' '.join(str(error).split())}")
    if not found:
        reasons = "; ".join(failed[:3]) or "it is empty"
        raise InputError(f"{path}: no footage to adapt to, expected videos or 2D keypoints ({reasons})")
    names, clips = zip(*found, strict=True)
    cameras = tuple(make_camera(clip.image_size, options) for clip in clips)
    return Sources(names, clips, cameras, tuple(failed))


def _candidates(path: Path) -> list[Path]:
    """What may be one clip each."""
    if path.is_file():
        return [path]
    children = sorted(p for p in path.iterdir() if not p.name.startswith("."))
    if children and all(p.is_file() and p.suffix.lower() == ".json" for p in children) and _one_clip(path):
        return [path]
    return children


def _one_clip(path: Path) -> bool:
    """Whether a folder of JSON files is one clip, a file per frame."""
    try:
        read_keypoints_source(path, RunOptions())
    except (InputError, ValueError):
        return False
    return True


def _read(source: Path, options: RunOptions, keep: Path | None, on_progress: Report | None) -> Keypoints2D:
    if is_keypoints_source(source):
        return read_keypoints_source(source, options)
    keypoints, _ = find_people(
        open_clip(source, options.start, options.end, options.fps), options, on_progress
    )
    if keep is not None:
        keypoints_npz.write(keypoints, keep / f"{source.stem}.npz")
    return keypoints
