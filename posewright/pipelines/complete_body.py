"""A whole body from joints that stop at the ankles and the neck: feet and face by anatomy, named as guesses.

Most published lifters give Human3.6M's 17 joints. What comes after them wants heels, toes, nose and ears: here a foot
stands at right angles on its shin and points where the hips do, and the head looks straight ahead of the chest. Nothing
of it is measured, so that the caller gives it the confidence of a guess.

Sizes: `motion.bones` (Drillis and Contini 1966) for feet, `datasets.anatomy` (ANSUR) for heels and face; for an adult
of 1.75 m.
"""

import numpy as np
import torch

from posewright.datasets.anatomy import with_anatomy
from posewright.datasets.mocap import MOCAP_19
from posewright.skeletons.joint_sets import BODY_26

_TOE_AHEAD, _TOE_BELOW = 0.193, 0.055
"""Metres from ankle to the tip of the big toe, along the foot and along the shin."""
_NECK_SHARE = 0.55
"""Where the base of the head lies on the way from the base of the neck to the head, where a joint set leaves it out."""


def complete_body(points: np.ndarray) -> np.ndarray:
    """Put heels, toes, nose, eyes and ears where they are missing.

    Args:
        points: (..., 26, 3) of `BODY_26`, metres, camera axes; NaN where missing. Hips, knees, ankles, thorax and
            head must be there.

    Returns:
        The same with what was missing filled; what was there is unchanged.
    """
    own = {name: points[..., BODY_26.index(name), :] for name in MOCAP_19.joint_names}
    neck = own["thorax"] + _NECK_SHARE * (own["head"] - own["thorax"])
    own["neck"] = np.where(np.isfinite(own["neck"]), own["neck"], neck)
    own["spine"] = np.where(np.isfinite(own["spine"]), own["spine"], (own["pelvis"] + own["thorax"]) / 2)
    left = own["left_hip"] - own["right_hip"]
    for side in ("left", "right"):
        toe = _toe(own[f"{side}_ankle"], own[f"{side}_knee"], left)
        own[f"{side}_toe"] = np.where(np.isfinite(own[f"{side}_toe"]), own[f"{side}_toe"], toe)
    joints = torch.from_numpy(np.stack([own[name] for name in MOCAP_19.joint_names], -2))
    ahead = joints.new_zeros(joints.shape[:-2])
    whole = with_anatomy(joints, ahead, ahead).numpy()
    return np.where(np.isfinite(points), points, whole).astype(points.dtype)


def _toe(ankle: np.ndarray, knee: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Tip of the big toe of a foot at right angles to its shin."""
    up = _unit(knee - ankle)
    left = _unit(left - (left * up).sum(-1, keepdims=True) * up)
    return ankle + _TOE_AHEAD * np.cross(left, up) - _TOE_BELOW * up


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)
