"""Missing joints: short gaps are bridged and marked, long ones stay missing."""

from dataclasses import dataclass

import numpy as np

from posewright.geometry.signals import fill_gaps, hampel

FILLED_CONFIDENCE = 0.5
"""A bridged joint has this fraction of its neighbours' confidence."""


@dataclass(frozen=True)
class GapOptions:
    """What is bridged."""

    max_gap_s: float = 0.5
    """Seconds: longer gaps stay missing."""
    outlier_m: float = 0.15
    """Metres off the running median of 0.35 s that a joint may be for single frames, whatever the clip's
    noise (twice that for hands and feet); 0: outliers are kept."""


def remove_outliers(
    relative: np.ndarray, fps: float, options: GapOptions = GapOptions(), quick: np.ndarray | None = None
) -> np.ndarray:
    """Make joints NaN where they jump away for a frame or two and come back.

    Args:
        relative: (T, P, J, 3) metres, root-relative.
        fps: frames per second.
        options: size of a jump.
        quick: (J,) bool, joints that truly move fast; twice the limit.
    """
    if options.outlier_m <= 0 or len(relative) < 5:
        return relative
    limit = options.outlier_m * np.where(np.zeros(relative.shape[2]) if quick is None else quick, 2.0, 1.0)
    _, outlier = hampel(relative / limit[:, None], fps, window=0.35, sigmas=6.0, floor=1.0)
    return np.where(outlier.any(-1, keepdims=True), np.nan, relative)


def fill_joints(
    relative: np.ndarray, confidence: np.ndarray, fps: float, options: GapOptions = GapOptions()
) -> tuple[np.ndarray, np.ndarray]:
    """Bridge short gaps of root-relative joints by straight lines; bone lengths are restored by inverse kinematics.

    Args:
        relative: (T, P, J, 3) metres; NaN where missing.
        confidence: (T, P, J); 0 where missing.
        fps: frames per second.
        options: length of a short gap.

    Returns:
        Joints and confidence; bridged joints have half the confidence of their neighbours, others keep
        theirs, joints still missing have NaN and 0.
    """
    seen = np.all(np.isfinite(relative), axis=-1)
    known = np.where(seen[..., None], relative, np.nan)
    filled = fill_gaps(known, fps, options.max_gap_s)
    sure = np.where(seen, confidence, np.nan)
    bridged = fill_gaps(sure, fps, options.max_gap_s)
    now = np.isfinite(filled).all(-1)
    sure = np.where(seen, sure, np.where(now, FILLED_CONFIDENCE * bridged, 0.0))
    return filled, np.nan_to_num(sure)


def fill_path(path: np.ndarray, fps: float, options: GapOptions = GapOptions()) -> np.ndarray:
    """Bridge short gaps of a root path in camera axes: straight in the picture, even in the logarithm of depth.

    Args:
        path: (T, P, 3) metres, camera axes; NaN where missing.
        fps: frames per second.
        options: length of a short gap.
    """
    depth = path[..., 2:]
    flat = np.concatenate([path[..., :2] / depth, np.log(depth)], -1)
    filled = fill_gaps(
        np.where(np.isfinite(flat).all(-1, keepdims=True), flat, np.nan), fps, options.max_gap_s
    )
    near = np.exp(filled[..., 2:])
    return np.concatenate([filled[..., :2] * near, near], -1)


def longest_run(state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Length in frames of the longest unbroken run of True along the first axis, and where it begins."""
    frames = np.arange(1, len(state) + 1).reshape(-1, *[1] * (state.ndim - 1))
    last_false = np.maximum.accumulate(np.where(state, 0, frames), axis=0)
    run = np.where(state, frames - last_false, 0)
    longest = np.max(run, axis=0, initial=0)
    return longest, (np.argmax(run, axis=0) if len(state) else longest) - np.maximum(longest - 1, 0)
