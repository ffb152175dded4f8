"""Where to search an image for people, and which finds are the same person."""

from collections.abc import Sequence
from math import ceil, hypot

import numpy as np

from posewright.metrics.keypoint_similarity import keypoint_closeness, keypoint_sigmas
from posewright.models.detection.detector import PersonPose, Region
from posewright.skeletons.skeleton import Skeleton

Window = tuple[float, float, float, float]
"""x0, y0, x1, y1, pixels."""

TILES = {"none": (), "square": (1.0,), "fine": (1.0, 0.6)}
"""Side of the square tiles as fractions of the image's shorter side."""
MAX_TILE_STEP = 0.5
"""Neighbouring tiles are at most this fraction of their side apart."""
SAME_POSE = 0.5
"""Two poses in one image with a larger similarity are one person."""
SAME_KEYPOINT, SHARED_KEYPOINTS = 0.5, 0.4
"""So are two poses with a larger fraction of keypoints whose closeness is above the first number."""


def search_windows(image_size: tuple[int, int], tiles: str) -> list[Window]:
    """Return the whole image and overlapping square tiles.

    The detector squeezes a window into 224x224 pixels: in a wide picture people get too small to be found, in a
    square tile of it they do not. A square image has no tiles of its own size.
    """
    if tiles not in TILES:
        raise ValueError(f"tiles is {tiles!r}, expected one of {', '.join(TILES)}")
    width, height = image_size
    windows: list[Window] = [(0.0, 0.0, float(width), float(height))]
    for fraction in TILES[tiles]:
        side = fraction * min(width, height)
        if side * 1.1 < max(width, height):
            for y in _starts(height, side):
                windows += [(x, y, x + side, y + side) for x in _starts(width, side)]
    return windows


def _starts(length: float, side: float) -> list[float]:
    """Spread tiles of `side` evenly over `length`."""
    count = 1 + ceil(max(length - side, 0) / (side * MAX_TILE_STEP) - 1e-9)
    return np.linspace(0, max(length - side, 0), count).tolist()


def distinct_regions(regions: Sequence[Region]) -> list[Region]:
    """Drop regions close to a better one, best first."""
    kept: list[Region] = []
    for region in sorted(regions, key=lambda r: -r.score):
        if not any(is_same_region(region, other) for other in kept):
            kept.append(region)
    return kept


def is_same_region(a: Region, b: Region) -> bool:
    """Tell whether two regions are about the same person: near centres and similar sizes."""
    distance = hypot(a.center[0] - b.center[0], a.center[1] - b.center[1])
    small, large = sorted((a.size, b.size))
    return distance < 0.2 * small and small > 0.6 * large


def distinct_poses(poses: Sequence[PersonPose], skeleton: Skeleton) -> list[PersonPose]:
    """Drop poses that repeat an earlier one: the list must be best first."""
    kept: list[PersonPose] = []
    for pose in poses:
        if not any(is_same_person(pose, other, skeleton) for other in kept):
            kept.append(pose)
    return kept


def is_same_person(a: PersonPose, b: PersonPose, skeleton: Skeleton) -> bool:
    """Tell whether two poses found in one image are the same person: most or many keypoints fall together.

    Many: a pose that takes the legs of one person and imagines the rest is that person too.
    """
    weights = a.confidence * b.confidence
    if not weights.sum() > 0:
        return False
    closeness = keypoint_closeness(a.keypoints, b.keypoints, keypoint_sigmas(skeleton))
    similarity = np.average(closeness, weights=weights)
    shared = np.average(closeness > SAME_KEYPOINT, weights=weights)
    return bool(similarity > SAME_POSE or shared > SHARED_KEYPOINTS)
