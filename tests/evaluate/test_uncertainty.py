"""Scores of uncertainty, on errors whose law is known."""

import numpy as np
import pytest
from scipy.stats import chi2

from posewright.evaluate.uncertainty import (
    LEVELS,
    acceleration,
    autocorrelation,
    best_of_mm,
    calibration_error,
    coverage,
    mahalanobis,
    scale_factor,
)


def drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Errors (N, 3) and the covariance (N, 3, 3) that they were drawn from."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(3, 3)) * 0.05
    return rng.normal(size=(count, 3)) @ root.T, np.broadcast_to(root @ root.T, (count, 3, 3))


def test_law_true_covariances_cover_what_they_say():
    square = mahalanobis(*drawn(40_000))
    for level, share in coverage(square).items():
        assert share == pytest.approx(level, abs=0.01)
    assert calibration_error(square) < 0.01
    assert scale_factor(square) == pytest.approx(1.0, abs=0.01)


def test_law_the_scale_factor_repairs_a_covariance_that_is_too_small():
    error, covariance = drawn(40_000)
    square = mahalanobis(error, covariance / 4)
    assert coverage(square)[0.8] < 0.4
    factor = scale_factor(square)
    assert factor == pytest.approx(2.0, abs=0.02)
    assert coverage(square / factor**2)[0.8] == pytest.approx(0.8, abs=1e-3)


def test_law_coverage_is_exact_at_the_edge():
    edge = chi2.ppf(0.8, 3)
    assert coverage(np.array([edge * 0.999, edge * 1.001, np.nan])) == {
        LEVELS[0]: 0.0,
        LEVELS[1]: 0.5,
        LEVELS[2]: 1.0,
    }


def test_law_more_samples_are_never_worse():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(10, 5, 3))
    best = best_of_mm(truth + 0.1 * rng.normal(size=(8, 10, 5, 3)), truth)
    assert (np.diff(best) <= 0).all()
    assert best[0] > best[-1] > 0


def test_law_acceleration_of_a_parabola_and_correlation_of_a_constant():
    time = np.arange(50) / 25
    fall = np.zeros((50, 1, 3))
    fall[..., 2] = -4.905 * time[:, None] ** 2
    assert acceleration(fall, 25) == pytest.approx(9.81)
    np.testing.assert_allclose(
        autocorrelation([np.ones((40, 2)), -np.ones((9, 2))], np.array([0, 5, 20])), 1.0
    )
