"""Conversions between joint sets: small weighted matrices, found by search, that know what was measured.

A joint of the target that the source has by name is taken as it is. One that it lacks may be derived by the
rules below, each a weighted mean of other joints, applied breadth first: the fewest steps of derivation win.
What no rule reaches is missing. A derived joint is an estimate and is flagged so: scores must leave it out.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from posewright.skeletons.joint_sets import ANIMALS, get
from posewright.skeletons.skeleton import Skeleton

RULES: tuple[tuple[str, dict[str, float]], ...] = (
    # by definition in every set that has it
    ("pelvis", {"left_hip": 0.5, "right_hip": 0.5}),
    # the base of the neck lies on the line of the shoulders seen from the front (Halpe and OpenPose take it
    # so); on a skeleton of the spine it is 3 to 8 cm from there
    ("thorax", {"left_shoulder": 0.5, "right_shoulder": 0.5}),
    # the joint of skull and spine lies between the ears, a little below: tragion is about 20 cm above the
    # base of the neck
    ("neck", {"left_ear": 0.425, "right_ear": 0.425, "thorax": 0.15}),
    # the top of the head is about 0.6 of the way from the base of the neck to the ears beyond them (13 of 20
    # cm)
    ("head", {"left_ear": 0.8, "right_ear": 0.8, "thorax": -0.6}),
    # halfway up the trunk: 0.48 in motion capture of twelve people, 2 to 5 cm off when the back is bent
    ("spine", {"pelvis": 0.5, "thorax": 0.5}),
    # the inner end of the collar bone, 3 cm beside the base of the neck
    ("left_clavicle", {"thorax": 0.85, "left_shoulder": 0.15}),
    ("right_clavicle", {"thorax": 0.85, "right_shoulder": 0.15}),
    # the body's wrist and the hand's are annotated apart but are one place
    ("left_hand", {"left_wrist": 1.0}),
    ("right_hand", {"right_wrist": 1.0}),
    # where a set has only the middle or only one corner of an eye
    ("left_eye", {"left_eye_inner": 0.5, "left_eye_outer": 0.5}),
    ("right_eye", {"right_eye_inner": 0.5, "right_eye_outer": 0.5}),
    # the ball of the foot lies between ankle and toe tip
    ("left_foot", {"left_ankle": 0.35, "left_toe": 0.65}),
    ("right_foot", {"right_ankle": 0.35, "right_toe": 0.65}),
)
"""(joint, weights of the joints it is estimated from; they sum to 1), with the reason beside each."""


@dataclass(frozen=True)
class Conversion:
    """How one joint set becomes another."""

    source: Skeleton
    target: Skeleton
    matrix: np.ndarray
    """(target joints, source joints) float64; rows sum to 1, or to 0 for a joint that cannot be had."""
    steps: np.ndarray
    """(target joints,) int: 0 measured, n derived in n steps, -1 missing."""

    @property
    def measured(self) -> np.ndarray:
        """(target joints,) bool: the source has this very joint."""
        return self.steps == 0

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the target's joints that cannot be had from the source."""
        return tuple(n for n, s in zip(self.target.joint_names, self.steps, strict=True) if s < 0)


@lru_cache(maxsize=256)
def conversion(source: str | Skeleton, target: str | Skeleton) -> Conversion:
    """Find how to express `target` in the joints of `source`: names of joint sets, or skeletons of one's own.

    Raises:
        ValueError: one is a person, the other an animal; or no joint can be had at all.
    """
    source = get(source) if isinstance(source, str) else source
    target = get(target) if isinstance(target, str) else target
    failure = f"cannot convert {source.name} to {target.name}: "
    if (source.name in ANIMALS) != (target.name in ANIMALS):
        raise ValueError(failure + "one is a person, the other an animal")
    rows, steps = _derive(source, () if source.name in ANIMALS else RULES)
    matrix = np.stack([rows.get(n, np.zeros(len(source))) for n in target.joint_names])
    if not matrix.any():
        raise ValueError(failure + "they share no joint, and none can be derived")
    matrix.flags.writeable = False
    return Conversion(source, target, matrix, np.array([steps.get(n, -1) for n in target.joint_names]))


def convert(
    positions: np.ndarray, confidence: np.ndarray, source: str | Skeleton, target: str | Skeleton
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Express keypoints or joints in another joint set.

    Args:
        positions: (..., source joints, D), any unit; NaN is missing.
        confidence: (..., source joints); 0 is missing.
        source: joint set of the input.
        target: joint set wanted.

    Returns:
        Positions (..., target joints, D), confidence (..., target joints) and a mask (target joints,), True
        where the joint is the source's own. A derived joint needs all the joints it is made of (else it is
        NaN with confidence 0) and has the lowest of their confidences.
    """
    how = conversion(source, target)
    _check(positions, confidence, how.source)
    seen = np.isfinite(positions).all(-1) & (confidence > 0)
    weakest = np.where(seen, confidence, 0)[..., _ingredients(how)].min(-1) * (how.steps >= 0)
    blend = how.matrix.astype(positions.dtype) @ np.where(seen[..., None], positions, 0)
    out = np.where((weakest > 0)[..., None], blend, np.nan)
    return out.astype(positions.dtype), weakest.astype(confidence.dtype), how.measured


def _ingredients(how: Conversion) -> np.ndarray:
    """(target joints, n) source joints each target joint is made of; the first repeats to fill n."""
    used = [np.flatnonzero(row) if row.any() else np.zeros(1, int) for row in how.matrix]
    most = max(map(len, used))
    return np.array([np.pad(u, (0, most - len(u)), constant_values=u[0]) for u in used])


def _derive(
    source: Skeleton, rules: tuple[tuple[str, dict[str, float]], ...]
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Reach every joint that rules can give, breadth first: weights over the source, number of steps."""
    rows = dict(zip(source.joint_names, np.eye(len(source)), strict=True))
    steps = dict.fromkeys(source.joint_names, 0)
    level, new = 0, rows
    while new:
        level += 1
        new = {}
        for joint, weights in rules:
            if joint not in rows and joint not in new and weights.keys() <= rows.keys():
                new[joint] = sum((w * rows[n] for n, w in weights.items()), np.zeros(len(source)))
        rows |= new
        steps |= dict.fromkeys(new, level)
    return rows, steps


def _check(positions: np.ndarray, confidence: np.ndarray, source: Skeleton) -> None:
    if positions.ndim < 2 or positions.shape[-2] != len(source):
        raise ValueError(
            f"convert: positions has shape {positions.shape}, "
            f"expected (..., {len(source)}, D), the joints of {source.name}"
        )
    if confidence.shape != positions.shape[:-1]:
        raise ValueError(f"convert: confidence has shape {confidence.shape}, expected {positions.shape[:-1]}")
