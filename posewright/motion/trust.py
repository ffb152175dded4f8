"""Which joints and frames of a motion with uncertainty are not to be trusted.

The limits are choices, not laws: `docs/uncertainty.md` says how large the errors were on either side of them.
"""

import numpy as np

from posewright.structures.motion import Motion

DISTRUST_JOINT = 0.25
"""Metres: a joint whose expected error (root mean square, relative to the pelvis) is larger is not to be trusted."""
DISTRUST_FRAME = 0.2
"""Metres: nor is a frame in which the expected error, root mean square over the joints, is larger."""


def doubtful_joints(motion: Motion) -> np.ndarray | None:
    """(T, P, J) bool: not to be trusted; None for a motion without uncertainty."""
    error = motion.expected_error()
    return None if error is None else np.nan_to_num(error) > DISTRUST_JOINT


def doubtful_frames(motion: Motion) -> np.ndarray | None:
    """(T, P) bool: the person is there and not to be trusted; None for a motion without uncertainty."""
    error = motion.expected_error()
    return None if error is None else np.nan_to_num(frame_error(error)) > DISTRUST_FRAME


def frame_error(expected: np.ndarray) -> np.ndarray:
    """Root mean square over the joints (T, P) of the expected error (T, P, J); NaN where the person is missing."""
    known = np.isfinite(expected)
    square = np.where(known, expected, 0.0) ** 2
    return np.sqrt(square.sum(-1) / np.where(known.any(-1), known.sum(-1), np.nan))


def trust_summary(motion: Motion) -> dict[str, float | int] | None:
    """What a summary says: samples, mean standard deviation, share of frames not to be trusted; None without.

    The standard deviation is that of one coordinate, metres: of joints relative to the pelvis, and of the joints'
    places in the world, over all joints of all people in all frames.
    """
    frames = doubtful_frames(motion)
    if frames is None or motion.pose_covariance is None or motion.joint_covariance is None:
        return None
    present = motion.present()
    return {
        "samples": 0 if motion.deviations is None else len(motion.deviations),
        "mean_standard_deviation_m": _mean_deviation(motion.pose_covariance),
        "mean_standard_deviation_in_world_m": _mean_deviation(motion.joint_covariance),
        "share_of_frames_not_to_be_trusted": round(float(frames[present].mean()), 4)
        if present.any()
        else 0.0,
    }


def _mean_deviation(covariance: np.ndarray) -> float:
    """Mean over joints of the root mean square over x, y, z, metres, rounded; 0 where nothing is known."""
    sigma = np.sqrt(np.trace(covariance, axis1=-2, axis2=-1) / 3)
    known = np.isfinite(sigma)
    return round(float(sigma[known].mean()), 5) if known.any() else 0.0
