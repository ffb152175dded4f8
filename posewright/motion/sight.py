"""How fast feet move across a still camera's line of sight: from their keypoints, not from estimated depth.

Convention: metres per second at the foot's estimated distance; undistorted rays; feet left then right, heel then toe.
"""

import numpy as np
import torch

from posewright.geometry.cameras import undistort_pixels
from posewright.geometry.signals import butterworth, fill_gaps
from posewright.skeletons.joint_sets import RIG_26
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D

FEET = ("left_heel", "left_toe", "right_heel", "right_toe")
CUTOFF_HZ = 6.0
"""Keypoints are smoothed first: movement faster than this is taken for noise."""
LEAST_CONFIDENCE = 0.3
"""Less visible feet are not seen well enough."""
REACH_SECONDS = 0.04
"""Speed is measured from so long before to so long after a frame."""


def speed_across(joints: np.ndarray, keypoints: Keypoints2D, camera: Camera) -> np.ndarray | None:
    """Speed of heels and toes across the line of sight.

    Args:
        joints: (T, P, 26, 3) estimated, metres, world: for their distance only.
        keypoints: same frames and people.
        camera: still, in that world.

    Returns:
        (T, P, 2 feet, 2 points) metres per second; NaN where the picture does not show the point. None for joint sets
        without heels and toes, for a moving camera, and for fewer than three frames.
    """
    T, P = joints.shape[:2]
    if not set(FEET) <= set(keypoints.skeleton.joint_names) or np.ndim(camera.R) > 2 or T < 3:
        return None
    places = keypoints.skeleton.indices(*FEET)
    seen = (keypoints.confidence[:, :, places] >= LEAST_CONFIDENCE) & np.isfinite(
        keypoints.positions[:, :, places]
    ).all(-1)
    rays = _rays(np.where(seen[..., None], keypoints.positions[:, :, places], 0.0), camera)
    rays = np.where(seen[..., None], rays, np.nan)
    rays = butterworth(fill_gaps(rays, keypoints.fps, 0.1), keypoints.fps, CUTOFF_HZ)
    depth = (joints[:, :, RIG_26.indices(*FEET)] @ np.asarray(camera.R, float)[2]) + float(
        np.asarray(camera.t)[2]
    )
    reach = max(1, round(REACH_SECONDS * keypoints.fps))
    frames = np.arange(T)
    before, after = np.clip(frames - reach, 0, None), np.clip(frames + reach, None, T - 1)
    seconds = ((after - before) / keypoints.fps)[:, None, None]
    speed = np.linalg.norm(rays[after] - rays[before], axis=-1) * depth / seconds
    return np.where(depth > 0, speed, np.nan).reshape(T, P, 2, 2)


def _rays(pixels: np.ndarray, camera: Camera) -> np.ndarray:
    """x/z and y/z of pixels (T, P, 4, 2)."""
    flat = torch.from_numpy(pixels.reshape(-1, 2).astype(np.float64))
    K, distortion = (torch.from_numpy(np.asarray(a, np.float64)) for a in (camera.K, camera.distortion))
    return undistort_pixels(flat, K, distortion, camera.model).numpy().reshape(pixels.shape)
