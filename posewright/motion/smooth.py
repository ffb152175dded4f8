"""Smoothing of joints over time, by name.

* `butterworth`: what biomechanics uses (zero lag, 6 Hz): the default.
* `kalman`: constant acceleration, forwards and backwards; the only one that trusts confident joints more.
* `savgol`: polynomials over a window; keeps peaks.
* `one-euro`: strong when slow, weak when fast, as live systems do it; run forwards and backwards, so without
lag. * `none`.

The root and the root-relative joints are smoothed apart, so that a filter that looks at speed sees the limb's
own.
"""

from dataclasses import dataclass

import numpy as np

from posewright.geometry import signals

SMOOTHING_METHODS = ("one-euro", "butterworth", "savgol", "kalman", "none")


@dataclass(frozen=True)
class SmoothingOptions:
    """A filter and its strength."""

    method: str = "butterworth"
    cutoff_hz: float = 6.0
    """`butterworth`, `kalman`: movement faster than this is noise (Winter: 4 to 8 Hz for gait). Clips of less
    than twice this many frames per second are left as they are."""
    window_s: float = 0.25
    """`savgol`: length of its window."""
    min_cutoff_hz: float = 1.5
    """`one-euro`: cutoff at rest."""
    beta: float = 4.0
    """`one-euro`: hertz of cutoff gained per metre per second."""

    def __post_init__(self):
        if self.method not in SMOOTHING_METHODS:
            raise ValueError(f"smoothing {self.method!r}: expected one of {', '.join(SMOOTHING_METHODS)}")

    def describe(self) -> str:
        """Name and strength, for the history of a motion."""
        strength = {
            "butterworth": f"{self.cutoff_hz:g} Hz",
            "kalman": f"{self.cutoff_hz:g} Hz",
            "savgol": f"window {self.window_s:g} s",
            "one-euro": f"min cutoff {self.min_cutoff_hz:g} Hz, beta {self.beta:g}",
            "none": "as it is",
        }
        return f"{self.method} ({strength[self.method]})"


def smooth_joints(
    joints: np.ndarray, confidence: np.ndarray, fps: float, options: SmoothingOptions = SmoothingOptions()
) -> np.ndarray:
    """Smooth joints over time; NaN stays NaN, nothing is bridged.

    Args:
        joints: (T, P, J, 3) metres; the root is joint 0.
        confidence: (T, P, J), used by `kalman`.
        fps: frames per second.
        options: filter and strength.
    """
    if options.method == "none" or len(joints) < 3:
        return joints
    root = joints[:, :, :1]
    root_weight = np.clip(confidence, 0.05, 1.0).max(-1, keepdims=True)
    smooth_root = _smooth(root, root_weight, fps, options)
    return smooth_root + _smooth(joints - root, np.clip(confidence, 0.05, 1.0), fps, options)


def _smooth(values: np.ndarray, weight: np.ndarray, fps: float, options: SmoothingOptions) -> np.ndarray:
    """Apply the named filter to (T, P, J, 3)."""
    if options.method == "butterworth":
        return signals.butterworth(values, fps, options.cutoff_hz)
    if options.method == "savgol":
        return signals.savgol(values, fps, options.window_s)
    if options.method == "one-euro":
        return signals.one_euro(values, fps, options.min_cutoff_hz, options.beta, zero_lag=True)
    coarse = np.ceil(np.asarray(weight, float) * 4) / 4  # few distinct weights: the filter's gains are shared
    return signals.kalman(values, fps, options.cutoff_hz, coarse)
