"""Poses that a landmark model sees upside down inside somebody: that person again, not another.

A top-down landmark model that is given a region turned the wrong way finds a confident pose all the same, its head in
the person's lap. No keypoint falls on the right place, so the poses are not similar, and such a pose can follow a
person for minutes. It is known by lying within the person's limbs, its trunk pointing the other way. People who
overlap upright (a child before its mother, two who pass each other) are not touched.

Convention: pixels; keypoints in the order of the skeleton.
"""

from itertools import combinations

import numpy as np

from posewright.models.detection.detector import PersonPose
from posewright.skeletons.skeleton import Skeleton

INSIDE = 0.6
"""Share of a pose's keypoints, by confidence, that must lie within the other's limbs."""
LIMB_RADIUS = 0.25
"""Thickness of limbs, in lengths of the trunk."""
TURNED = np.deg2rad(100)
"""Least angle between the two trunks."""
_SIDES = ("left", "right")
_TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
_LIMBS = (
    *combinations(_TRUNK, 2),
    *(
        (f"{side}_{a}", f"{side}_{b}")
        for side in _SIDES
        for a, b in (
            ("shoulder", "elbow"),
            ("elbow", "wrist"),
            ("hip", "knee"),
            ("knee", "ankle"),
            ("ankle", "heel"),
        )
    ),
    ("nose", "left_shoulder"),
    ("nose", "right_shoulder"),
)


def is_turned_over(pose: PersonPose, person: PersonPose, skeleton: Skeleton) -> bool:
    """Tell whether `pose` is `person` seen upside down; of two within each other, the less confident one is.

    False for joint sets without shoulders and hips.
    """
    if not _is_within(pose, person, skeleton):
        return False
    return not _is_within(person, pose, skeleton) or pose.confidence.mean() < person.confidence.mean()


def _is_within(pose: PersonPose, person: PersonPose, skeleton: Skeleton) -> bool:
    """Tell whether a pose lies within a person's limbs, the other way up."""
    names = set(skeleton.joint_names)
    if not names.issuperset(_TRUNK):
        return False
    a, b = _trunk(pose, skeleton), _trunk(person, skeleton)
    length = float(np.linalg.norm(b))
    if not np.isfinite([*a, *b]).all() or length < 1e-6:
        return False
    if float(a @ b) > np.cos(TURNED) * length * float(np.linalg.norm(a)):
        return False
    limbs = [(skeleton.index(u), skeleton.index(v)) for u, v in _LIMBS if {u, v} <= names]
    distance = _distance_to_limbs(pose.keypoints, person.keypoints, np.array(limbs))
    weights = np.where(np.isfinite(distance), pose.confidence, 0.0)
    within = np.nan_to_num(distance, nan=np.inf) < LIMB_RADIUS * length
    return bool(weights.sum() > 0 and np.average(within, weights=weights) > INSIDE)


def _trunk(pose: PersonPose, skeleton: Skeleton) -> np.ndarray:
    """Vector (2,) from the middle of the hips to the middle of the shoulders."""
    corners = pose.keypoints[skeleton.indices(*_TRUNK)].astype(np.float64)
    return corners[:2].mean(0) - corners[2:].mean(0)


def _distance_to_limbs(points: np.ndarray, keypoints: np.ndarray, limbs: np.ndarray) -> np.ndarray:
    """Distance (K,) of points (K, 2) from the nearest limb, a line between two keypoints; NaN where unknown."""
    start, end = keypoints[limbs[:, 0]].astype(np.float64), keypoints[limbs[:, 1]].astype(np.float64)
    along = end - start
    from_start = points[:, None].astype(np.float64) - start
    share = (from_start * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-9)
    gap = np.linalg.norm(from_start - np.clip(share, 0, 1)[..., None] * along, axis=-1)
    gap = np.where(np.isfinite(gap), gap, np.inf).min(1)
    return np.where(np.isfinite(gap), gap, np.nan)
