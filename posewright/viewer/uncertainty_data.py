"""The uncertainty of a motion as what the report page reads: regions around joints, and the expected error."""

import numpy as np
from scipy.stats import chi2

from posewright.motion.trust import DISTRUST_FRAME, frame_error
from posewright.structures.motion import Motion
from posewright.viewer.packing import JOINT_STEP, PackedArray, pack_quantised

LEVEL = 0.5
"""The regions shown hold the truth, relative to the pelvis, with this probability."""


def uncertainty_data(motion: Motion, arrays: dict[str, PackedArray]) -> dict | None:
    """Describe the uncertainty and add its arrays; None for a motion without.

    The region of a joint is an ellipsoid; the page shows it by its longest semi-axis (`spread`, T, P, J, 3, metres) and
    the mean of the two others (`spread_radius`, T, P, J).
    """
    expected = motion.expected_error()
    if motion.pose_covariance is None or expected is None:
        return None
    axis, radius = regions(motion.pose_covariance)
    arrays["spread"] = pack_quantised(axis, JOINT_STEP)
    arrays["spread_radius"] = pack_quantised(radius, JOINT_STEP)
    arrays["expected_error"] = pack_quantised(frame_error(expected), JOINT_STEP)
    return {"level": LEVEL, "limit": DISTRUST_FRAME}


def regions(covariance: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Longest semi-axis (T, P, J, 3) and root mean square of the two others (T, P, J) of the regions, metres.

    An axis has two directions: each frame takes that which is nearer to the one before.
    """
    known = np.asarray(np.isfinite(covariance).all((-1, -2)))
    values, vectors = np.linalg.eigh(np.where(known[..., None, None], covariance, 0.0).astype(np.float64))
    size = np.sqrt(chi2.ppf(level, 3) * values.clip(0))
    axis = vectors[..., 2]
    turn = np.where((axis[1:] * axis[:-1]).sum(-1) < 0, -1.0, 1.0)
    sign = np.cumprod(np.concatenate([np.ones_like(axis[:1, ..., 0]), turn]), axis=0)
    axis = axis * (sign * size[..., 2])[..., None]
    radius = np.sqrt((size[..., :2] ** 2).mean(-1))
    axis[~known], radius[~known] = np.nan, np.nan
    return axis, radius
