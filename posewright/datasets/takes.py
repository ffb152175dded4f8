"""What every data set reader gives: takes, made of the structures that the rest of posewright works on.

A reader is a file of this package with a `CARD`, `missing(root)` and `read(root, split, ...)`; `datasets.catalogue`
finds it by that, and its contract tests too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posewright.core.errors import InputError
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D, Keypoints3D
from posewright.structures.motion import Motion

LIST = 8
"""Names that an error message lists at most."""


@dataclass(frozen=True)
class DatasetCard:
    """What a data set is, where it comes from, and how it must lie on disk."""

    title: str
    licence: str
    """Of the data, in a few words; the user has to accept it where they get the data."""
    obtain: str
    """Where to get it, and which script makes the files from the original."""
    layout: str
    """The files under `root`, as a tree."""
    rests_on: str
    """What the reader's idea of the layout was taken from, and what was not verified against the real files."""
    splits: tuple[str, ...]
    gives: str
    """What takes hold, in words."""


@dataclass(frozen=True)
class View:
    """One camera's side of a take; whatever the data set does not have is None."""

    camera: Camera | None = None
    """In the world of the take's motion, where there is one."""
    keypoints: Keypoints2D | None = None
    """(T, P, K, 2) pixels."""
    joints: Keypoints3D | None = None
    """(T, P, J, 3) metres, camera axes."""
    joints_image: np.ndarray | None = None
    """(T, P, J, 3) float32: x, y pixels and depth relative to the root in the same unit, as MotionBERT trains on."""
    metres_per_pixel: np.ndarray | None = None
    """(T,) float32: the factor from `joints_image` to metres."""


@dataclass(frozen=True)
class Take:
    """One recorded sequence: its motion in the world, and what its cameras saw."""

    name: str
    """Unique in the data set, such as `S9/Walking 1`."""
    subject: str
    action: str
    fps: float
    motion: Motion | None
    """World, metres, Z up; None where the data set has camera axes only."""
    views: tuple[View, ...] = ()
    valid: np.ndarray | None = None
    """(T,) or (T, P) bool: frames to score; None: all."""

    @property
    def num_frames(self) -> int:
        """T."""
        if self.motion is not None:
            return self.motion.num_frames
        view = self.views[0]
        parts = [x.positions for x in (view.keypoints, view.joints) if x is not None]
        return len(parts[0])


def motion_of(joints: np.ndarray, skeleton: Skeleton, fps: float, source: str, *notes: str) -> Motion:
    """Make a `Motion` of joints (T, J, 3) or (T, P, J, 3) in metres, Z up; NaN joints have no confidence."""
    joints = joints if joints.ndim == 4 else joints[:, None]
    joints, confidence = _cleaned(joints)
    return Motion(skeleton, joints, confidence, fps, source=source, history=(f"read from {source}", *notes))


def keypoints_of(
    pixels: np.ndarray,
    skeleton: Skeleton,
    image_size: tuple[int, int],
    fps: float,
    confidence: np.ndarray | None = None,
    note: str = "",
) -> Keypoints2D:
    """Make `Keypoints2D` of (T, K, 2) or (T, P, K, 2) pixels; confidence (..., K), 1 where the data set has none."""
    pixels = pixels if pixels.ndim == 4 else pixels[:, None]
    positions, seen = _cleaned(pixels)
    if confidence is not None:
        confidence = confidence if confidence.ndim == 3 else confidence[:, None]
        seen = (seen * np.nan_to_num(confidence)).astype(np.float32)
        positions = np.where(seen[..., None] > 0, positions, np.float32(np.nan))
    return Keypoints2D(skeleton, positions, seen, image_size, fps, history=(note,) if note else ())


def camera_joints_of(joints: np.ndarray, skeleton: Skeleton, fps: float, note: str = "") -> Keypoints3D:
    """Make `Keypoints3D` of (T, J, 3) or (T, P, J, 3) metres in camera axes."""
    joints = joints if joints.ndim == 4 else joints[:, None]
    positions, confidence = _cleaned(joints)
    return Keypoints3D(skeleton, positions, confidence, fps, (note,) if note else ())


def seen_by(motion: Motion, camera: Camera) -> Keypoints3D:
    """The motion's joints in a camera's axes, still or moving: `R @ x + t`."""
    R, t = np.asarray(camera.R), np.asarray(camera.t)
    moving = R.ndim == 3
    R, t = (R[:, None], t[:, None, None]) if moving else (R, t)
    turned = motion.joints.astype(np.float64) @ np.swapaxes(R, -1, -2) + t
    note = f"in the axes of camera {camera.name}"
    return camera_joints_of(turned, motion.skeleton, motion.fps, note)


def check_split(card: DatasetCard, split: str | None) -> None:
    """Refuse a split that the data set does not have (None: all of it)."""
    if split is not None and split not in card.splits:
        raise InputError(f"{card.title} has no split {split!r}; it has: {', '.join(card.splits)}")


def require_layout(card: DatasetCard, root: str | Path, missing: Iterable[str]) -> Path:
    """Refuse a folder that lacks files of the layout.

    Raises:
        InputError: names what is missing, the layout, and where to get the data.
    """
    lacking = list(missing)
    if not lacking:
        return Path(root)
    more = f" and {len(lacking) - LIST} more" if len(lacking) > LIST else ""
    raise InputError(
        f"{root} is not {card.title} as expected: missing {', '.join(lacking[:LIST])}{more}. "
        f"Expected layout:\n{card.layout}\n{card.obtain}"
    )


def missing_files(root: str | Path, *patterns: str) -> list[str]:
    """Patterns under `root` that match no file; the folder itself where it is absent."""
    root = Path(root)
    if not root.is_dir():
        return [f"the folder {root}"]
    return [pattern for pattern in patterns if next(root.glob(pattern), None) is None]


def _cleaned(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Float32 with whole points NaN where a coordinate is, and confidence 1 or 0."""
    seen = np.asarray(np.isfinite(values).all(-1))
    return np.where(seen[..., None], values, np.nan).astype(np.float32), np.asarray(seen, np.float32)
