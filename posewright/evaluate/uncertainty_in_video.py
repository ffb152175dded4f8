"""Coverage of a motion's uncertainty where the truth of the video is known exactly.

People are matched by their keypoints, as `evaluate.video` does; the truth is seen from the run's own camera and brought
to the size of the run's body, because one camera does not see size.
"""

from dataclasses import dataclass

import numpy as np

from posewright.evaluate.video import SEEN, ViewTruth, score_keypoints
from posewright.metrics.calibration import squared_distances
from posewright.motion.trust import frame_error
from posewright.skeletons.joint_sets import RIG_26
from posewright.structures.motion import Motion

_BONES = [
    RIG_26.indices(f"{side}_{top}", f"{side}_{end}")
    for side in ("left", "right")
    for top, end in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
]


@dataclass(frozen=True)
class Seen:
    """People who were found and are to be seen, in N frames: what a motion says of them, and the truth.

    Joints (N, 26, 3) of `RIG_26`, camera axes, metres, the truth brought to the size of the motion's body; covariances
    (N, 26, 3, 3) of joints relative to the pelvis and of their places before the camera.
    """

    told: np.ndarray
    true: np.ndarray
    pose_covariance: np.ndarray
    place_covariance: np.ndarray

    def poses(self) -> tuple[np.ndarray, np.ndarray]:
        """Joints but the pelvis, relative to it (N, 25, 3): told, true."""
        return self.told[:, 1:] - self.told[:, :1], self.true[:, 1:] - self.true[:, :1]


def motion_seen(truth: ViewTruth, motion: Motion) -> Seen:
    """Bring a motion and the truth of the same frames together.

    Raises:
        ValueError: the motion has no keypoints, camera or covariances.
    """
    if motion.keypoints is None or motion.camera is None:
        raise ValueError("motion_seen: the motion has no keypoints or no camera, expected both")
    if motion.pose_covariance is None or motion.joint_covariance is None:
        raise ValueError("motion_seen: the motion has no covariances: make it with samples=")
    match, _ = score_keypoints(truth, motion.keypoints)
    t, p = np.nonzero(match.found() & (truth.visible_share >= SEEN))
    q = match.estimate[t, p]
    there = np.isfinite(motion.joints[t, q]).all((-1, -2)) & np.isfinite(
        motion.pose_covariance[t, q, 1, 0, 0]
    )
    t, p, q = t[there], p[there], q[there]
    own = np.asarray(motion.camera.R, float)
    told = motion.joints[t, q].astype(float) @ own.T + np.asarray(motion.camera.t, float)
    true = _true_joints(truth, t, p)
    true = true * (_size(told) / _size(true))[:, None, None]
    pose, place = (
        own @ c[t, q].astype(float) @ own.T for c in (motion.pose_covariance, motion.joint_covariance)
    )
    return Seen(told, true, pose, place)


def motion_squares(seen: Seen) -> tuple[np.ndarray, np.ndarray]:
    """Squared Mahalanobis distances (N, 26): of joints relative to the pelvis (NaN for the pelvis), and of places."""
    square = np.full(seen.told.shape[:2], np.nan)
    told, true = seen.poses()
    square[:, 1:] = squared_distances(told, seen.pose_covariance[:, 1:], true)
    return square, squared_distances(seen.told, seen.place_covariance, seen.true)


def frame_errors(seen: Seen) -> tuple[np.ndarray, np.ndarray]:
    """Expected error of each frame as `motion.trust` judges it, and the mean error of its joints (N,), metres."""
    told, true = seen.poses()
    expected = np.sqrt(np.trace(seen.pose_covariance[:, 1:], axis1=-2, axis2=-1))
    return frame_error(expected), np.linalg.norm(told - true, axis=-1).mean(-1)


def _true_joints(truth: ViewTruth, t: np.ndarray, p: np.ndarray) -> np.ndarray:
    """True joints (N, 26, 3) in the axes of the true camera."""
    R = np.broadcast_to(truth.camera.R, (len(truth.joints), 3, 3))[t]
    place = np.broadcast_to(truth.camera.t, (len(truth.joints), 3))[t]
    return (R[:, None] @ truth.joints[t, p][..., None].astype(float))[..., 0] + place[:, None]


def _size(joints: np.ndarray) -> np.ndarray:
    """Length (N,) of upper and lower arms, thighs and shins together, metres."""
    return np.sum([np.linalg.norm(joints[:, b] - joints[:, a], axis=-1) for a, b in _BONES], axis=0)
