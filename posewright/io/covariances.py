"""Covariances in files: the six numbers of a symmetric 3x3 matrix, xx xy xz yy yz zz."""

import numpy as np

NAMES = ("xx", "xy", "xz", "yy", "yz", "zz")
_ROW, _COLUMN = np.triu_indices(3)
_PLACE = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])


def six_of(covariance: np.ndarray) -> np.ndarray:
    """(..., 3, 3) to (..., 6)."""
    return covariance[..., _ROW, _COLUMN]


def matrix_of(six: np.ndarray) -> np.ndarray:
    """(..., 6) to (..., 3, 3)."""
    return six[..., _PLACE]
