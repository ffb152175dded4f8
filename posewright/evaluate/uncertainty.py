"""Is an uncertainty true? Coverage and calibration of the errors of 3D joints, and calibrating them.

Coverage: the share of joints that lie in the region which should hold a given share of them, the ellipsoid of a
Gaussian, whose squared Mahalanobis distance has a chi-square law of 3 degrees of freedom.
Scores of hypotheses, such as the energy score, are in `metrics.calibration`.

Convention: metres in, errors truth minus estimate; scores in millimetres where their name says so.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2

from posewright.skeletons.joint_sets import BODY_26

LEVELS = (0.5, 0.8, 0.95)
"""Shares of the truth that regions should hold."""
CALIBRATED_AT = 0.8
"""The level at which scale factors are fitted."""
MILLIMETRES = 1000.0

GROUPS: dict[str, tuple[str, ...]] = {
    "trunk": ("left_hip", "right_hip", "spine", "thorax", "neck", "left_shoulder", "right_shoulder"),
    "head": ("head", "nose", "left_eye", "right_eye", "left_ear", "right_ear"),
    "elbows and knees": ("left_elbow", "right_elbow", "left_knee", "right_knee"),
    "wrists": ("left_wrist", "right_wrist"),
    "feet": ("left_ankle", "right_ankle", "left_heel", "right_heel", "left_toe", "right_toe"),
}
"""Joints that share one scale factor."""
RECORDED = tuple(
    n for n in BODY_26.joint_names if n != "pelvis" and not n.endswith(("eye", "ear", "heel")) and n != "nose"
)
"""Joints whose truth was recorded; the others were placed by anatomy."""


def mahalanobis(error: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distance (...,) of errors (..., 3) under covariances (..., 3, 3)."""
    solved = np.linalg.solve(covariance.astype(np.float64), error.astype(np.float64)[..., None])[..., 0]
    return (error * solved).sum(-1)


def coverage(square: np.ndarray, levels: Sequence[float] = LEVELS) -> dict[float, float]:
    """Share of squared distances (NaN left out) within the region of each level."""
    square = square[np.isfinite(square)]
    return {level: float((square <= chi2.ppf(level, 3)).mean()) for level in levels}


def calibration_error(square: np.ndarray) -> float:
    """Mean difference of coverage and level over the levels 0.05, 0.1 ... 0.95."""
    levels = np.arange(0.05, 0.96, 0.05).tolist()
    return float(np.mean([abs(v - k) for k, v in coverage(square, levels).items()]))


def scale_factor(square: np.ndarray, level: float = CALIBRATED_AT) -> float:
    """Factor on standard deviations with which the region of `level` holds that share of these errors.

    Split conformal prediction (Vovk, Gammerman, Shafer 2005) with the Mahalanobis distance as score, at one level.
    """
    square = square[np.isfinite(square)]
    return float(np.sqrt(np.quantile(square, level) / chi2.ppf(level, 3)))


def best_of_mm(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """MPJPE of the best of the first 1, 2 ... S samples (S,), millimetres. Oracle: the truth chooses."""
    errors = np.linalg.norm(samples - truth, axis=-1).mean(-1)
    return MILLIMETRES * np.minimum.accumulate(errors, axis=0).mean(-1)


def acceleration(joints: np.ndarray, fps: float) -> float:
    """Root mean square acceleration of joints (..., T, J, 3) over time, m/s^2."""
    second = np.diff(joints, n=2, axis=-3) * fps**2
    return float(np.sqrt((second**2).sum(-1).mean()))


def autocorrelation(series: Sequence[np.ndarray], lags: np.ndarray) -> np.ndarray:
    """Correlation over time of errors of mean 0, over all series and channels.

    Args:
        series: each (T, C), already divided by their standard deviations.
        lags: whole frames; those longer than a series are taken from the others.
    """
    whole = sum(float((s**2).sum()) for s in series) / sum(s.size for s in series)
    found = []
    for lag in lags:
        pairs = [(s[: len(s) - lag], s[lag:]) for s in series if len(s) > lag]
        total, count = sum(float((a * b).sum()) for a, b in pairs), sum(a.size for a, _ in pairs)
        found.append(total / max(count, 1) / whole)
    return np.array(found)
