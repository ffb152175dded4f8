"""Keypoints of people over a clip, in the image and in space."""

from dataclasses import dataclass, field, replace

import numpy as np

from posewright.skeletons.skeleton import Skeleton


@dataclass(frozen=True)
class Keypoints2D:
    """2D keypoints of P people over T frames; missing = NaN position and 0 confidence."""

    skeleton: Skeleton
    positions: np.ndarray
    """(T, P, K, 2) float32, pixels; centre of the top-left pixel is (0, 0)."""
    confidence: np.ndarray
    """(T, P, K) float32 in [0, 1]."""
    image_size: tuple[int, int]
    """(width, height), pixels."""
    fps: float
    """Frames per second (a constant rate; variable-rate clips carry `times`)."""
    times: np.ndarray | None = None
    """(T,) float64 seconds of each frame, or None: frame / fps."""
    person_ids: tuple[int, ...] = ()
    """One number per person, stable over the clip."""
    history: tuple[str, ...] = ()
    """What was done, oldest first."""

    def __post_init__(self):
        T, P, K = _check_shape(self.positions, self.confidence, len(self.skeleton), 2, "Keypoints2D")
        if not self.person_ids:
            object.__setattr__(self, "person_ids", tuple(range(1, P + 1)))
        if len(self.person_ids) != P:
            raise ValueError(f"Keypoints2D: {P} people in positions but {len(self.person_ids)} person_ids")
        if self.times is not None and np.shape(self.times) != (T,):
            raise ValueError(f"Keypoints2D: times has shape {np.shape(self.times)}, expected ({T},)")
        if not self.fps > 0:
            raise ValueError(f"Keypoints2D: fps is {self.fps}, expected a positive number")

    @property
    def num_frames(self) -> int:
        """T."""
        return self.positions.shape[0]

    @property
    def num_people(self) -> int:
        """P."""
        return self.positions.shape[1]

    def frame_times(self) -> np.ndarray:
        """(T,) seconds of each frame."""
        return np.arange(self.num_frames) / self.fps if self.times is None else np.asarray(self.times, float)

    def noted(self, note: str, **changes) -> "Keypoints2D":
        """Return a copy with `changes` and one more line of history."""
        return replace(self, history=(*self.history, note), **changes)


@dataclass(frozen=True)
class Keypoints3D:
    """3D joints in camera axes (x right, y down, z forward), metres; missing = NaN position and 0 confidence."""

    skeleton: Skeleton
    positions: np.ndarray
    """(..., J, 3) float32, metres."""
    confidence: np.ndarray
    """(..., J) float32 in [0, 1]."""
    fps: float | None = None
    history: tuple[str, ...] = field(default=())
    samples: np.ndarray | None = None
    """(S, ..., J, 3) float32, metres: poses that are as likely as the errors allow, around `positions`; or None."""
    covariance: np.ndarray | None = None
    """(..., J, 3, 3) float32, square metres: of the place of each joint, the person's distance included; or None."""
    pose_covariance: np.ndarray | None = None
    """(..., J, 3, 3) float32, square metres: of each joint relative to the pelvis; or None."""

    def __post_init__(self):
        if self.positions.shape[-2:] != (len(self.skeleton), 3):
            raise ValueError(
                f"Keypoints3D: positions has shape {self.positions.shape}, expected (..., {len(self.skeleton)}, 3) "
                f"for skeleton {self.skeleton.name}"
            )
        if self.confidence.shape != self.positions.shape[:-1]:
            raise ValueError(
                f"Keypoints3D: confidence has shape {self.confidence.shape}, expected {self.positions.shape[:-1]}"
            )
        for name in ("covariance", "pose_covariance"):
            value = getattr(self, name)
            if value is not None and value.shape != (*self.positions.shape, 3):
                raise ValueError(
                    f"Keypoints3D: {name} has shape {value.shape}, expected {(*self.positions.shape, 3)}"
                )
        if self.samples is not None and self.samples.shape[1:] != self.positions.shape:
            raise ValueError(
                f"Keypoints3D: samples have shape {self.samples.shape}, expected (S, *{self.positions.shape})"
            )


def _check_shape(positions: np.ndarray, confidence: np.ndarray, joints: int, dims: int, name: str) -> tuple:
    if positions.ndim != 4 or positions.shape[2:] != (joints, dims):
        raise ValueError(f"{name}: positions has shape {positions.shape}, expected (T, P, {joints}, {dims})")
    if confidence.shape != positions.shape[:-1]:
        raise ValueError(f"{name}: confidence has shape {confidence.shape}, expected {positions.shape[:-1]}")
    return positions.shape[:3]
