"""From the times at which frames were really taken to a constant rate."""

from dataclasses import replace

import numpy as np

from posewright.structures.keypoints import Keypoints2D

TOLERANCE = 0.1
"""Share of a frame that a time may stray from the grid before the clip counts as variable-rate."""


def to_constant_rate(keypoints: Keypoints2D) -> Keypoints2D:
    """Interpolate keypoints linearly to a constant rate; a clip that has one already is returned as it is.

    A keypoint is missing at a new time if it is missing in a neighbouring frame that is needed there.
    """
    times = keypoints.frame_times()
    if len(times) < 2:
        return keypoints
    grid = times[0] + np.arange(len(times)) / keypoints.fps
    if np.abs(times - grid).max() <= TOLERANCE / keypoints.fps:
        return replace(keypoints, times=grid)
    count = max(2, round((times[-1] - times[0]) * keypoints.fps) + 1)
    grid = times[0] + np.arange(count) / keypoints.fps
    after = np.clip(np.searchsorted(times, grid), 1, len(times) - 1)
    before = after - 1
    weight = np.clip((grid - times[before]) / (times[after] - times[before]), 0.0, 1.0)
    near = np.where(weight < 0.5, before, after)
    exact = np.minimum(weight, 1 - weight) < 1e-6
    w = weight[:, None, None].astype(np.float32)
    mixed = keypoints.positions[before] * (1 - w[..., None]) + keypoints.positions[after] * w[..., None]
    confidence = np.minimum(keypoints.confidence[before], keypoints.confidence[after])
    positions = np.where(exact[:, None, None, None], keypoints.positions[near], mixed)
    confidence = np.where(exact[:, None, None], keypoints.confidence[near], confidence)
    confidence = np.where(np.isfinite(positions).all(-1), confidence, 0.0)
    note = f"variable frame rate: interpolated {len(times)} frames to {count} at {keypoints.fps:g} frames/s"
    return keypoints.noted(
        note, positions=positions.astype(np.float32), confidence=confidence.astype(np.float32), times=grid
    )
