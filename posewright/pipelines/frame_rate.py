"""Keypoints of a clip at the frame rate a lifter was trained at, and its joints at the clip's own frames again."""

import numpy as np
from scipy.interpolate import CubicSpline

_SPLINE_ABOVE = 1.05
"""Results are interpolated by cubics where the clip has more frames than the model by this factor."""


def to_rate(
    keypoints: np.ndarray, confidence: np.ndarray, fps: float, rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints at another rate: a weighted mean of the frames nearby, so that faster clips are averaged, not thinned.

    The weight of a frame falls linearly with its distance in time, to zero at one frame of the slower rate, and goes
    with the keypoint's confidence.

    Args:
        keypoints: (T, K, 2), any unit; finite where the confidence is not 0.
        confidence: (T, K); 0 where missing.
        fps: frames per second of the keypoints.
        rate: frames per second wanted.
    """
    T = len(keypoints)
    if abs(fps / rate - 1) < 1e-3 or T == 1:
        return keypoints, confidence
    source = np.arange(max(2, int(round((T - 1) / fps * rate)) + 1)) * (fps / rate)
    reach = max(1.0, fps / rate)
    nearest = np.floor(source - reach).astype(np.int64)[:, None] + 1 + np.arange(int(2 * reach) + 1)
    weight = np.maximum(0, 1 - np.abs(nearest - source[:, None]) / reach)
    weight = np.where((nearest >= 0) & (nearest < T), weight, 0)
    nearest = np.clip(nearest, 0, T - 1)
    c = np.zeros((len(source), *confidence.shape[1:]), np.float32)
    moment = np.zeros((len(source), *keypoints.shape[1:]), np.float32)
    for tap in range(nearest.shape[1]):
        w = weight[:, tap, None].astype(np.float32) * confidence[nearest[:, tap]]
        c += w
        moment += w[..., None] * keypoints[nearest[:, tap]]
    mean = moment / np.maximum(c, 1e-9)[..., None]
    share = c / np.maximum(weight.sum(1), 1e-9)[:, None].astype(np.float32)
    return mean, np.where(share > 1e-3, share, 0).astype(np.float32)


def from_rate(points: np.ndarray, frames: int, fps: float, rate: float) -> np.ndarray:
    """Points (N, J, 3) at the clip's own frames: cubic splines for faster clips, linear interpolation for slower ones.

    Args:
        points: at `rate`, beginning with the clip's first frame.
        frames: how many frames the clip has.
        fps: frames per second of the clip.
        rate: frames per second of the points.
    """
    N = len(points)
    if frames == N and (abs(fps / rate - 1) < 1e-3 or frames == 1):
        return points
    time = np.minimum(np.arange(frames) * (rate / fps), N - 1)
    if fps > _SPLINE_ABOVE * rate and N > 3:
        return CubicSpline(np.arange(N), points, axis=0)(time).astype(np.float32)
    low = np.minimum(time.astype(np.int64), max(N - 2, 0))
    part = (time - low).astype(np.float32)[:, None, None]
    return points[low] * (1 - part) + points[np.minimum(low + 1, N - 1)] * part
