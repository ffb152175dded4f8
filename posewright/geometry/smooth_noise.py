"""Stationary Gaussian noise over time with a given autocorrelation: a sum of squared exponentials.

    rho(lag) = sum_k w_k exp(-lag^2 / (2 l_k^2)),   sum_k w_k = 1

(Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, section 4.2.) Each part is white noise at
knots half a length apart, seen through a Gaussian bump of width l / sqrt(2), whose own correlation is exp(-lag^2 / (2
l^2)); it has variance 1 everywhere and is smooth, so velocity and acceleration exist. Times are free: any frame rate,
any piece of a clip, gives the values of the same functions.

Convention: seconds.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.sparse import csr_array

LENGTHS = (0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 1000.0)
"""Seconds; the last stands for what does not change within a clip."""
_KNOTS = 0.5
"""Distance of knots, in lengths."""
_REACH = 2.75
"""Bumps are cut off at so many lengths, where they are e^-7.6."""


@dataclass(frozen=True)
class Correlation:
    """How noise is correlated over time."""

    lengths: tuple[float, ...]
    """Seconds."""
    weights: tuple[float, ...]
    """Shares of the variance; they sum to 1."""

    def __post_init__(self):
        if len(self.lengths) != len(self.weights) or not self.lengths or min(self.lengths) <= 0:
            raise ValueError(
                f"Correlation: lengths {self.lengths} and weights {self.weights}, expected as many of both, lengths "
                "above 0"
            )
        if min(self.weights) < 0 or abs(sum(self.weights) - 1) > 1e-4:
            raise ValueError(f"Correlation: weights {self.weights}, expected none below 0 and a sum of 1")

    def at(self, lag: np.ndarray) -> np.ndarray:
        """Correlation at time differences (seconds)."""
        ratio = np.asarray(lag, float)[..., None] / np.array(self.lengths)
        return (np.exp(-0.5 * ratio**2) * np.array(self.weights)).sum(-1)


def fit_correlation(lag: np.ndarray, measured: np.ndarray) -> Correlation:
    """Sum of squared exponentials nearest to a measured correlation (non-negative least squares over `LENGTHS`).

    Args:
        lag: (N,) seconds.
        measured: (N,) correlation there.
    """
    bumps = np.exp(-0.5 * (np.asarray(lag)[:, None] / np.array(LENGTHS)) ** 2)
    weights, _ = nnls(bumps, np.asarray(measured, float))
    kept = weights > 1e-3
    total = weights[kept].sum()
    return Correlation(tuple(np.array(LENGTHS)[kept].tolist()), tuple((weights[kept] / total).tolist()))


class SmoothNoise:
    """Functions of time, drawn once; ask for their values at any times within the span.

    Args:
        correlation: over time.
        seconds: (first, last) time that will be asked for.
        channels: how many independent functions.
        generator: everything drawn comes from it.
    """

    def __init__(
        self,
        correlation: Correlation,
        seconds: tuple[float, float],
        channels: int,
        generator: np.random.Generator,
    ):
        self.correlation = correlation
        self.parts = []
        for length in correlation.lengths:
            step = _KNOTS * length
            first = int(np.floor((seconds[0] - _REACH * length) / step))
            last = int(np.ceil((seconds[1] + _REACH * length) / step))
            values = generator.standard_normal((last - first + 1, channels), np.float32)
            self.parts.append((first, step, values))

    def at(self, times: np.ndarray) -> np.ndarray:
        """Values (N, channels) float32 at times (N,), each of variance 1 over all draws."""
        total = np.zeros((len(times), self.parts[0][2].shape[1]), np.float32)
        for (first, step, values), length, weight in zip(
            self.parts, self.correlation.lengths, self.correlation.weights, strict=True
        ):
            total += np.float32(weight**0.5) * (_bumps(times, first, step, length, len(values)) @ values)
        return total


def _bumps(times: np.ndarray, first: int, step: float, length: float, knots: int) -> csr_array:
    """(N, knots) sparse: weight of every knot at every time, rows of square sum 1."""
    taps = int(np.ceil(2 * _REACH / _KNOTS)) + 1
    start = np.ceil((times - _REACH * length) / step).astype(np.int64)
    index = start[:, None] + np.arange(taps)
    weight = np.exp(-(((times[:, None] - index * step) / length) ** 2))
    inside = (index >= first) & (index < first + knots)
    weight = np.where(inside, weight, 0.0)
    weight /= np.sqrt((weight**2).sum(1, keepdims=True))
    rows = np.repeat(np.arange(len(times)), taps)
    columns = np.clip(index - first, 0, knots - 1).ravel()
    return csr_array((weight.ravel().astype(np.float32), (rows, columns)), shape=(len(times), knots))
