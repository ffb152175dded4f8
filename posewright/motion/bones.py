"""Constant bone lengths: one T-pose per person, measured robustly over the clip.

The rest pose of `RIG_26` (faces -Y, left +X, Z up) is built from lengths alone, so it needs no calibration
pose: spine, neck and head go straight up, arms straight out, legs straight down; the foot is the triangle of
ankle, heel and toe laid with heel and toe on the ground and the toes forward; nose and ears sit on the head
as they do in the clip. Left and right are made equal.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from posewright.skeletons.joint_sets import BODY_24, RIG_26
from posewright.skeletons.skeleton import Skeleton

CLAVICLE_FRACTION = 0.15
"""Where the clavicle starts on the way from thorax (base of the neck) to shoulder: about 2.7 cm beside the
midline."""

_DIRECTIONS = {
    "right_hip": (-1, 0, 0),
    "left_hip": (1, 0, 0),
    "right_knee": (0, 0, -1),
    "left_knee": (0, 0, -1),
    "right_ankle": (0, 0, -1),
    "left_ankle": (0, 0, -1),
    "spine": (0, 0, 1),
    "thorax": (0, 0, 1),
    "neck": (0, 0, 1),
    "head": (0, 0, 1),
    "left_clavicle": (1, 0, 0),
    "left_shoulder": (1, 0, 0),
    "left_elbow": (1, 0, 0),
    "left_wrist": (1, 0, 0),
    "right_clavicle": (-1, 0, 0),
    "right_shoulder": (-1, 0, 0),
    "right_elbow": (-1, 0, 0),
    "right_wrist": (-1, 0, 0),
}
"""Where each bone points from its parent in the T-pose; feet, nose and ears are placed by their own rules."""

_DEFAULT_LENGTHS = {
    "hip": 0.054,
    "knee": 0.245,
    "ankle": 0.246,
    "spine": 0.075,
    "thorax": 0.220,
    "neck": 0.064,
    "head": 0.110,
    "clavicle": 0.016,
    "shoulder": 0.090,
    "elbow": 0.173,
    "wrist": 0.150,
}
"""Bone lengths as fractions of standing height, used only for bones never seen (segment tables after Drillis
and Contini 1966, split at this joint set's joints)."""

_DEFAULT_FOOT = (0.052, 0.115, 0.152)
"""Ankle-heel, ankle-toe and heel-toe as fractions of standing height, for feet never seen."""

_DEFAULT_HEAD = {"nose": (0.0, -0.066, 0.030), "left_ear": (0.045, -0.008, 0.036)}
"""Nose and left ear from the base of the head, as fractions of standing height, for faces never seen."""


@dataclass(frozen=True)
class BoneOptions:
    """How bone lengths are measured."""

    min_confidence: float = 0.1
    """Joints below this confidence do not vote."""
    symmetric: bool = True
    """Give left and right bones one length."""


def add_clavicles(joints: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Extend `BODY_24` joints to `RIG_26`: clavicles lie on the way from thorax to shoulder.

    Args:
        joints: (..., 24, 3) metres, any axes.
        confidence: (..., 24).

    Returns:
        Joints (..., 26, 3) and confidence (..., 26); a clavicle has the confidence of the weaker of its two
        neighbours.
    """
    source = [BODY_24.index(j) if not j.endswith("clavicle") else 0 for j in RIG_26.joint_names]
    rig, rig_confidence = joints[..., source, :].copy(), confidence[..., source].copy()
    thorax = BODY_24.index("thorax")
    for side in ("left", "right"):
        here, shoulder = RIG_26.index(f"{side}_clavicle"), BODY_24.index(f"{side}_shoulder")
        along = joints[..., shoulder, :] - joints[..., thorax, :]
        rig[..., here, :] = joints[..., thorax, :] + CLAVICLE_FRACTION * along
        rig_confidence[..., here] = np.minimum(confidence[..., shoulder], confidence[..., thorax])
    return rig, rig_confidence


def weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted median over the first axis; NaN values and zero weights do not vote, NaN where nothing votes.

    Args:
        values: (N, ...).
        weights: (N, ...), not negative.
    """
    if len(values) == 0:
        return np.full(values.shape[1:], np.nan)
    weights = np.where(np.isfinite(values), weights, 0.0)
    order = np.argsort(np.where(weights > 0, values, np.inf), axis=0)
    total = np.cumsum(np.take_along_axis(weights, order, 0), 0)
    pick = (total < 0.5 * total[-1:]).sum(0, keepdims=True).clip(max=len(values) - 1)
    median = np.take_along_axis(np.take_along_axis(values, order, 0), pick, 0)[0]
    return np.where(total[-1] > 0, median, np.nan)


def segment_length(
    joints: np.ndarray,
    confidence: np.ndarray,
    skeleton: Skeleton,
    ends: tuple[str, str],
    options: BoneOptions = BoneOptions(),
) -> np.ndarray:
    """Measure the distance between two joints over a clip, by confidence-weighted median.

    Args:
        joints: (T, P, J, 3) metres.
        confidence: (T, P, J).
        skeleton: joint set of J joints.
        ends: names of the two joints.
        options: which joints vote.

    Returns:
        (P,) metres, NaN where the two are never seen together.
    """
    a, b = skeleton.indices(*ends)
    weight = np.minimum(confidence[..., a], confidence[..., b])
    weight = np.where(weight >= options.min_confidence, weight, 0.0)
    length = np.linalg.norm(joints[..., a, :].astype(float) - joints[..., b, :], axis=-1)
    return weighted_median(length, weight)


def bone_lengths(
    joints: np.ndarray,
    confidence: np.ndarray,
    skeleton: Skeleton = RIG_26,
    options: BoneOptions = BoneOptions(),
) -> np.ndarray:
    """Measure the distance of each joint from its parent, one number per person.

    Args:
        joints: (T, P, J, 3) metres.
        confidence: (T, P, J).
        skeleton: joint set of J joints.
        options: which joints vote; whether left and right share a length.

    Returns:
        (P, J) metres; 0 for a root, NaN for a bone never seen.
    """
    lengths = np.zeros((joints.shape[1], len(skeleton)))
    for parent, child in skeleton.bones:
        ends = (skeleton.joint_names[parent], skeleton.joint_names[child])
        lengths[:, child] = segment_length(joints, confidence, skeleton, ends, options)
    return _mean_of_sides(lengths, lengths[:, skeleton.mirror]) if options.symmetric else lengths


def _mean_of_sides(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean of two measurements, or the one that is there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # both missing: NaN is the answer
        return np.nanmean(np.stack([a, b]), axis=0)


def rest_offsets(
    joints: np.ndarray,
    confidence: np.ndarray,
    options: BoneOptions = BoneOptions(),
) -> np.ndarray:
    """Build each person's T-pose from a clip.

    Args:
        joints: (T, P, 26, 3) metres on `RIG_26`, any axes (only distances are used).
        confidence: (T, P, 26).
        options: how lengths are measured.

    Returns:
        (P, 26, 3) metres, as `Motion.rest_offsets`. Bones never seen take the proportions of an average
        adult, scaled by the bones that were.
    """
    lengths = bone_lengths(joints, confidence, RIG_26, options)
    scale = _size(lengths)
    offsets = np.zeros((*lengths.shape, 3))
    for joint, direction in _DIRECTIONS.items():
        index = RIG_26.index(joint)
        default = _DEFAULT_LENGTHS[joint.split("_")[-1]] * scale
        length = np.where(np.isfinite(lengths[:, index]), lengths[:, index], default)
        offsets[:, index] = length[:, None] * np.array(direction, float)
    heel, toe = _foot(joints, confidence, scale, options)
    nose, ear = _face(joints, confidence, offsets, scale, options)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        offsets[:, RIG_26.index(f"{side}_heel")] = heel
        offsets[:, RIG_26.index(f"{side}_toe")] = toe
        offsets[:, RIG_26.index(f"{side}_ear")] = ear * [sign, 1, 1]
    offsets[:, RIG_26.index("nose")] = nose
    return offsets


def standing_height(offsets: np.ndarray) -> np.ndarray:
    """Standing height of a rig: the sum of its segments from the sole to the top of the head.

    Sole to ankle (height of the ankle above the line from heel to toe), shin, thigh, pelvis to spine, spine
    to thorax, thorax to neck, neck to the top of the head. A real back is curved, so this is 1-3 % more than
    a measured stature.

    Args:
        offsets: (P, 26, 3) metres, as from `rest_offsets`.

    Returns:
        (P,) metres.
    """
    chain = RIG_26.indices("left_knee", "left_ankle", "spine", "thorax", "neck", "head")
    sole = -offsets[:, RIG_26.index("left_heel"), 2]
    return np.linalg.norm(offsets[:, chain], axis=-1).sum(-1) + sole


def _size(lengths: np.ndarray) -> np.ndarray:
    """(P,) standing height in metres guessed from the bones that were seen; 1.7 m where none was."""
    expected = np.array([_DEFAULT_LENGTHS.get(j.split("_")[-1], np.nan) for j in RIG_26.joint_names])
    ratio = np.where(expected > 0.05, lengths / expected, np.nan)
    weight = np.where(np.isfinite(ratio), expected, 0.0)
    size = weighted_median(ratio.T, weight.T)
    return np.where(np.isfinite(size), size, 1.7)


def _foot(
    joints: np.ndarray, confidence: np.ndarray, scale: np.ndarray, options: BoneOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Heel and toe from the ankle in the T-pose, each (P, 3).

    A triangle of known sides, its long side on the ground.
    """
    sides = []
    for ends, default in zip(
        (("ankle", "heel"), ("ankle", "toe"), ("heel", "toe")), _DEFAULT_FOOT, strict=True
    ):
        left, right = (
            segment_length(joints, confidence, RIG_26, (f"{s}_{ends[0]}", f"{s}_{ends[1]}"), options)
            for s in ("left", "right")
        )
        length = _mean_of_sides(left, right)
        sides.append(np.where(np.isfinite(length) & (length > 1e-3), length, default * scale))
    heel, toe, sole = sides
    sole = np.clip(sole, np.abs(toe - heel) + 1e-3, heel + toe - 1e-3)
    back = (heel**2 + sole**2 - toe**2) / (2 * sole)
    height = np.sqrt(np.maximum(heel**2 - back**2, 1e-6))
    zero = np.zeros_like(back)
    return np.stack([zero, back, -height], -1), np.stack([zero, back - sole, -height], -1)


def _face(
    joints: np.ndarray, confidence: np.ndarray, offsets: np.ndarray, scale: np.ndarray, options: BoneOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Nose and left ear from the neck in the T-pose, each (P, 3): medians over the clip in the frame of the head."""
    neck, head, nose, left, right = RIG_26.indices("neck", "head", "nose", "left_ear", "right_ear")
    up = _unit(joints[..., head, :] - joints[..., neck, :].astype(float))
    across = joints[..., left, :] - joints[..., right, :].astype(float)
    x = _unit(across - (across * up).sum(-1, keepdims=True) * up)
    frame = np.stack([x, np.cross(up, x), up], -2)
    weight = confidence[..., [neck, head, nose, left, right]].min(-1)
    weight = np.where(weight >= options.min_confidence, weight, 0.0)[..., None]
    local = frame[..., None, :, :] @ (joints[..., [nose, left, right], :] - joints[..., [neck], :])[..., None]
    median = weighted_median(local[..., 0], np.broadcast_to(weight[..., None], local[..., 0].shape))
    ear = (median[:, 1] + median[:, 2] * [-1, 1, 1]) / 2
    nose_rest = median[:, 0] * [0, 1, 1]
    default_nose, default_ear = (np.outer(scale, _DEFAULT_HEAD[j]) for j in ("nose", "left_ear"))
    return (
        np.where(np.isfinite(nose_rest), nose_rest, default_nose),
        np.where(np.isfinite(ear), ear, default_ear),
    )


def _unit(vector: np.ndarray) -> np.ndarray:
    """Normalise the last axis; zero vectors become NaN."""
    norm = np.linalg.norm(vector, axis=-1, keepdims=True)
    return vector / np.where(norm > 0, norm, np.nan)
