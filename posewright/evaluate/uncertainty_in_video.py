"""Coverage of a motion's uncertainty where the truth of the video is known exactly.

People are matched by their keypoints, as `evaluate.video` does; the truth is seen from the run's own camera and brought
to the size of the run's body, because one camera does not see size.
"""

import numpy as np

from posewright.evaluate.video import SEEN, ViewTruth, score_keypoints
from posewright.metrics.calibration import squared_distances
from posewright.skeletons.joint_sets import RIG_26
from posewright.structures.motion import Motion

_BONES = [
    RIG_26.indices(f"{side}_{top}", f"{side}_{end}")
    for side in ("left", "right")
    for top, end in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
]


def motion_squares(truth: ViewTruth, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """Squared Mahalanobis distances (N, 26) of `RIG_26` in the N frames of people who were found and are to be seen.

    Args:
        truth: of the same frames.
        motion: with keypoints, camera and covariances.

    Returns:
        Of the joints relative to the pelvis (NaN for the pelvis), and of their places before the camera.

    Raises:
        ValueError: the motion has no keypoints, camera or covariances.
    """
    if motion.keypoints is None or motion.camera is None:
        raise ValueError("motion_squares: the motion has no keypoints or no camera, expected both")
    if motion.pose_covariance is None or motion.joint_covariance is None:
        raise ValueError("motion_squares: the motion has no covariances: make it with samples=")
    match, _ = score_keypoints(truth, motion.keypoints)
    t, p = np.nonzero(match.found() & (truth.visible_share >= SEEN))
    q = match.estimate[t, p]
    there = np.isfinite(motion.joints[t, q]).all((-1, -2)) & np.isfinite(
        motion.pose_covariance[t, q, 1, 0, 0]
    )
    t, p, q = t[there], p[there], q[there]
    own = np.asarray(motion.camera.R, float)
    told = motion.joints[t, q].astype(float) @ own.T + np.asarray(motion.camera.t, float)
    true = _seen(truth, t, p)
    true = true * (_size(told) / _size(true))[:, None, None]
    pose, place = (
        own @ c[t, q].astype(float) @ own.T for c in (motion.pose_covariance, motion.joint_covariance)
    )
    square = np.full(told.shape[:2], np.nan)
    told_pose, true_pose = (x[:, 1:] - x[:, :1] for x in (told, true))
    square[:, 1:] = squared_distances(told_pose, pose[:, 1:], true_pose)
    return square, squared_distances(told, place, true)


def _seen(truth: ViewTruth, t: np.ndarray, p: np.ndarray) -> np.ndarray:
    """True joints (N, 26, 3) in the axes of the true camera."""
    R = np.broadcast_to(truth.camera.R, (len(truth.joints), 3, 3))[t]
    place = np.broadcast_to(truth.camera.t, (len(truth.joints), 3))[t]
    return (R[:, None] @ truth.joints[t, p][..., None].astype(float))[..., 0] + place[:, None]


def _size(joints: np.ndarray) -> np.ndarray:
    """Length (N,) of upper and lower arms, thighs and shins together, metres."""
    return np.sum([np.linalg.norm(joints[:, b] - joints[:, a], axis=-1) for a, b in _BONES], axis=0)
