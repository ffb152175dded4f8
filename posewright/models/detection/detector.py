"""What a 2D keypoint detector is: every backend of this folder has this shape.

A backend is a class with a `skeleton` and `detect`, which finds everybody in one image by itself. A backend that works
in two steps, first where people are and then a pose inside each region (top-down), may also have the three methods of
`RegionDetector`; `following.PeopleFollower` then searches rarely and follows each person's region from frame to frame.

Convention: images are (H, W, 3) uint8 RGB; positions are pixels, centre of the top-left pixel (0, 0).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from posewright.skeletons.skeleton import Skeleton


@dataclass(frozen=True)
class Region:
    """A square of the image, possibly rotated, that holds one person."""

    center: tuple[float, float]
    """Pixels."""
    size: float
    """Side, pixels."""
    rotation: float = 0.0
    """Radians, clockwise on the screen: the angle of the person's up axis from vertical."""
    score: float = 1.0
    """How sure the search was that a person is there, in [0, 1]."""


@dataclass(frozen=True, eq=False)
class PersonPose:
    """One person in one image."""

    keypoints: np.ndarray
    """(K, 2) float32, pixels; NaN where a keypoint is missing."""
    confidence: np.ndarray
    """(K,) float32 in [0, 1], 0 where missing."""
    score: float
    """How sure the detector is that this is a person, in [0, 1]."""
    region: Region | None = None
    """Where it was looked for, or None for detectors that do not work by regions."""
    world: np.ndarray | None = None
    """(K, 3) float32, metres, x right, y down, z away from the camera, centred at the hips: the detector's own guess of
    the pose in space, for comparison, or None."""
    anchors: np.ndarray | None = None
    """(2, 2) float32, pixels: further points from which the detector makes the next region, or None."""

    def box(self, threshold: float = 0.0) -> np.ndarray:
        """Return (x0, y0, x1, y1) around the keypoints with a confidence above `threshold` (all, if none has)."""
        seen = np.isfinite(self.keypoints).all(-1)
        chosen = seen & (self.confidence > threshold)
        points = self.keypoints[chosen if chosen.any() else seen]
        if not len(points):
            return np.full(4, np.nan, np.float32)
        return np.concatenate([points.min(0), points.max(0)])


@runtime_checkable
class PoseDetector(Protocol):
    """Finds people in one image.

    It may also have `reliable_score`, a number: people whose median score over time is below it are not people.
    """

    skeleton: Skeleton

    def detect(self, image: np.ndarray) -> list[PersonPose]:
        """Return everybody found in `image`, best first; an empty list where nobody is."""
        ...


@runtime_checkable
class RegionDetector(PoseDetector, Protocol):
    """A top-down detector whose two steps can be called apart."""

    def search(
        self, image: np.ndarray, window: tuple[float, float, float, float] | None = None
    ) -> list[Region]:
        """Return candidate regions inside `window` (x0, y0, x1, y1, pixels; None: the whole image), best first."""
        ...

    def estimate(self, image: np.ndarray, regions: Sequence[Region]) -> list[PersonPose | None]:
        """Return the pose in each region, None where the region holds nobody."""
        ...

    def next_region(self, pose: PersonPose) -> Region:
        """Return where to look for the same person in the next frame."""
        ...


def check_image(image: np.ndarray) -> None:
    """Raise `ValueError` unless `image` is (H, W, 3) uint8."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"image has shape {image.shape} and type {image.dtype}, expected (H, W, 3) uint8 RGB with H, W >= 1"
        )
