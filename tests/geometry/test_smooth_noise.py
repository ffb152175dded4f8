"""Smooth noise: its variance and correlation are those asked for, at any times."""

import numpy as np
import pytest

from posewright.geometry.smooth_noise import LENGTHS, Correlation, SmoothNoise, fit_correlation

CORRELATION = Correlation((0.04, 0.32, 2.56, 1000.0), (0.2, 0.3, 0.3, 0.2))


def test_law_variance_is_one_and_the_correlation_that_asked_for():
    times = np.array([0.0, 0.013, 0.2, 0.7, 3.0])
    draws = SmoothNoise(CORRELATION, (0.0, 3.0), 40_000, np.random.default_rng(0)).at(times).astype(float)
    measured = draws @ draws.T / draws.shape[1]
    expected = CORRELATION.at(times[:, None] - times)
    np.testing.assert_allclose(measured, expected, atol=0.025)


def test_law_pieces_are_those_of_the_whole():
    noise = SmoothNoise(CORRELATION, (0.0, 10.0), 3, np.random.default_rng(1))
    times = np.arange(500) / 50
    pieces = np.concatenate([noise.at(times[:123]), noise.at(times[123:])])
    np.testing.assert_allclose(pieces, noise.at(times), atol=1e-6)


def test_law_one_generator_one_answer():
    a, b = (
        SmoothNoise(CORRELATION, (0, 1), 2, np.random.default_rng(7)).at(np.array([0.5])) for _ in range(2)
    )
    np.testing.assert_array_equal(a, b)


def test_law_a_sum_of_squared_exponentials_is_found_again():
    lag = np.linspace(0, 6, 200)
    found = fit_correlation(lag, CORRELATION.at(lag))
    np.testing.assert_allclose(found.at(lag), CORRELATION.at(lag), atol=1e-3)
    assert set(found.lengths) <= set(LENGTHS)
    assert sum(found.weights) == pytest.approx(1.0)


def test_contract_weights_and_lengths_are_checked():
    with pytest.raises(ValueError, match="sum of 1"):
        Correlation((1.0,), (0.5,))
    with pytest.raises(ValueError, match="as many of both"):
        Correlation((1.0, 2.0), (1.0,))
