"""How errors of 3D joints move, and the groups of joints that are calibrated together.

Regions, coverage, calibration and scores of hypotheses are in `metrics.calibration`.

Convention: metres in, errors truth minus estimate.
"""

from collections.abc import Sequence

import numpy as np

from posewright.skeletons.joint_sets import BODY_26

CALIBRATED_AT = 0.8
"""Content of the regions by which scale factors are fitted."""

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
