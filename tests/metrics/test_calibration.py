"""Calibration: regions of Gaussians and of hypotheses, proper scores, against closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from posewright.core.errors import InputError
from posewright.metrics.calibration import (
    calibration_error,
    conformal_factor,
    coverage,
    diversity,
    energy_score,
    gaussian_levels,
    levels_of,
    sample_levels,
    sharpness,
    squared_distances,
)

UNIT = math.sqrt(8 / math.pi)
"""Expected length of a standard normal vector in space."""


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def covariances(*shape: int, seed: int = 3) -> torch.Tensor:
    root = 0.05 * normal(*shape, 3, 3, seed=seed)
    return root @ root.mT + 1e-4 * torch.eye(3)


def test_law_levels_are_the_chi_square_distribution_function():
    radius = torch.linspace(0, 6, 50, dtype=torch.float64)
    target = torch.zeros(50, 1, 3, dtype=torch.float64)
    target[:, 0, 1] = 0.02 * radius
    sigma = (0.02**2 * torch.eye(3, dtype=torch.float64)).expand(50, 1, 3, 3)
    levels = gaussian_levels(torch.zeros_like(target), sigma, target)[:, 0]
    np.testing.assert_allclose(levels.numpy(), chi2.cdf(radius.numpy() ** 2, 3), atol=1e-12)
    assert levels[0] == 0


def test_law_levels_do_not_change_with_the_axes():
    """Space stretched, sheared and turned, with the covariance: the truth stays in the same region."""
    mean, target, c = 0.1 * normal(6, 5, 3), 0.1 * normal(6, 5, 3, seed=1), covariances(6, 5)
    A = normal(3, 3, seed=7)
    there = gaussian_levels(mean @ A.T, A @ c @ A.T, target @ A.T)
    torch.testing.assert_close(there, gaussian_levels(mean, c, target))


def test_law_draws_from_the_stated_gaussian_are_covered_as_stated():
    c = covariances(1, 17).expand(20_000, -1, -1, -1)
    truth = (torch.linalg.cholesky(c) @ normal(20_000, 17, 3, 1))[..., 0]
    levels = gaussian_levels(torch.zeros_like(truth), c, truth)
    inside = coverage(levels)
    assert inside.shape == (20_000, 3)
    assert inside.mean(0).tolist() == pytest.approx([50, 80, 95], abs=0.3)
    assert float(calibration_error(levels)) < 0.3
    timid = gaussian_levels(torch.zeros_like(truth), 4 * c, truth)
    bold = gaussian_levels(torch.zeros_like(truth), c / 4, truth)
    assert float(coverage(timid)[:, 1].mean()) == pytest.approx(
        100 * chi2.cdf(4 * chi2.ppf(0.8, 3), 3), abs=0.3
    )
    assert float(coverage(bold)[:, 1].mean()) == pytest.approx(
        100 * chi2.cdf(chi2.ppf(0.8, 3) / 4, 3), abs=0.3
    )


def test_law_calibration_error_of_known_levels():
    even = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    assert float(calibration_error(even)) == pytest.approx(0, abs=0.05)
    assert float(calibration_error(torch.zeros(50))) == pytest.approx(50)
    assert float(calibration_error(torch.ones(50))) == pytest.approx(50)
    assert float(calibration_error(torch.full((7,), 0.5))) == pytest.approx(25)
    assert float(calibration_error(even.square())) == pytest.approx(100 / 6, abs=0.1), "sqrt(p) - p"
    holed = torch.cat([even, torch.full((9,), torch.nan)])
    assert float(calibration_error(holed)) == pytest.approx(float(calibration_error(even)))
    assert calibration_error(torch.full((3,), torch.nan)).isnan()


@pytest.mark.parametrize("number", [1, 2, 5, 20])
def test_law_a_truth_like_the_hypotheses_is_covered_as_stated_however_few_they_are(number):
    """Far from Gaussian: squares of normal numbers, stretched along an axis."""
    drawn = normal(4000, number + 1, 5, 3, seed=number).square() * torch.tensor([1.0, 3.0, 0.2])
    levels = sample_levels(drawn[:, 1:], drawn[:, 0])
    assert coverage(levels).mean(0).tolist() == pytest.approx([50, 80, 95], abs=1.5)
    assert float(calibration_error(levels)) < 1.5


def test_law_hypotheses_that_are_too_alike_cover_too_little():
    drawn = normal(2000, 20, 5, 3)
    truth = normal(2000, 5, 3, seed=1)
    narrow, wide = (coverage(sample_levels(s * drawn, truth)).mean(0)[1] for s in (0.5, 2.0))
    assert narrow < 50
    assert wide > 95


def test_convention_levels_of_hypotheses_run_from_the_middle_outward():
    ring = normal(30, 1, 3)
    ring = ring / ring.norm(dim=-1, keepdim=True)
    ring = torch.cat([ring, -ring])[None]
    middle, outside = torch.zeros(1, 1, 3).double(), torch.full((1, 1, 3), 5.0).double()
    assert float(sample_levels(ring, middle)) < 1 / 61
    assert float(sample_levels(ring, outside)) > 60 / 61
    assert torch.equal(sample_levels(ring, middle), sample_levels(ring, middle))


def test_law_the_conformal_factor_repairs_a_wrong_scale():
    c = covariances(400, 17)
    truth = (torch.linalg.cholesky(c) @ normal(400, 17, 3, 1))[..., 0]
    zero = torch.zeros_like(truth)
    for wrong in (0.3, 1.0, 5.0):
        squared = squared_distances(zero, wrong**2 * c, truth)
        for content in (0.5, 0.8, 0.95):
            factor = float(conformal_factor(squared, content))
            assert factor == pytest.approx(1 / wrong, rel=0.03)
            levels = gaussian_levels(zero, (factor * wrong) ** 2 * c, truth)
            inside = float((levels <= content + 1e-12).double().mean())
            assert content <= inside <= content + 1e-3
            torch.testing.assert_close(levels, levels_of(squared / factor**2))
    assert conformal_factor(squared_distances(zero, c, truth)[:1, :3], 0.95) == math.inf


def test_law_the_conformal_factor_is_a_quantile_of_distances_whatever_their_order_and_gaps():
    squared = torch.arange(1, 100, dtype=torch.float64)[torch.randperm(99)].square().reshape(9, 11)
    radius = math.sqrt(chi2.ppf(0.8, 3))
    assert float(conformal_factor(squared)) == pytest.approx(80 / radius), "rank 0.8 (99 + 1)"
    holed = torch.cat([squared, torch.full((2, 11), torch.nan)])
    assert float(conformal_factor(holed)) == pytest.approx(80 / radius)
    assert isinstance(float(conformal_factor(squared.numpy())), float)


def test_law_coverage_of_levels_is_that_of_squared_distances_to_the_edge():
    edge = chi2.ppf(0.8, 3)
    levels = levels_of(np.array([edge * 0.999, edge * 1.001, np.nan]))
    np.testing.assert_array_equal(coverage(levels), [0, 50, 100])


def test_law_sharpness_is_the_radius_of_the_region():
    sigma = 0.03
    c = (sigma**2 * torch.eye(3, dtype=torch.float64)).expand(4, 17, 3, 3)
    for content in (0.5, 0.8):
        expected = 1000 * sigma * math.sqrt(chi2.ppf(content, 3))
        torch.testing.assert_close(sharpness(c, content), torch.full((4,), expected).double())
    stretched = torch.diag(torch.tensor([4.0, 1.0, 0.25], dtype=torch.float64)) * sigma**2
    torch.testing.assert_close(sharpness(stretched.expand(4, 17, 3, 3)), sharpness(c))


def test_law_energy_score_of_a_gaussian_at_its_middle():
    """Sigma sqrt(8 / pi) (1 - 1 / sqrt 2); and the distance between two draws, for diversity."""
    drawn = 0.02 * normal(200, 60, 3, 3)
    score = energy_score(drawn, torch.zeros(200, 3, 3).double())
    assert score.shape == (200,)
    assert float(score.mean()) == pytest.approx(20 * UNIT * (1 - math.sqrt(0.5)), rel=0.02)
    assert float(diversity(drawn).mean()) == pytest.approx(20 * UNIT * math.sqrt(2), rel=0.01)


@pytest.mark.parametrize("whole_pose", [False, True])
def test_law_hypotheses_that_are_the_truth_score_nothing(whole_pose):
    target = normal(10, 5, 3)
    same = torch.stack([target, target], dim=-3)
    torch.testing.assert_close(energy_score(same, target, whole_pose), torch.zeros(10).to(target))


def test_law_the_energy_score_of_one_hypothesis_is_its_error():
    one, target = 0.1 * normal(6, 1, 5, 3), 0.1 * normal(6, 5, 3, seed=1)
    error = 1000 * (one[:, 0] - target).norm(dim=-1)
    torch.testing.assert_close(energy_score(one, target), error.mean(-1))
    whole = 1000 * (one[:, 0] - target).flatten(1).norm(dim=-1)
    torch.testing.assert_close(energy_score(one, target, whole_pose=True), whole)
    assert (diversity(one) == 0).all()


@pytest.mark.parametrize("whole_pose", [False, True])
def test_law_the_energy_score_is_proper(whole_pose):
    """The distribution that the truth comes from scores best; neither certainty nor doubt pays, nor being aside."""
    truth, drawn = 0.03 * normal(4000, 5, 3), 0.03 * normal(4000, 8, 5, 3, seed=1)
    honest = energy_score(drawn, truth, whole_pose).mean()
    for other in (0.5 * drawn, 2 * drawn, drawn + 0.02, torch.zeros_like(drawn)):
        assert energy_score(other, truth, whole_pose).mean() > honest


def test_law_the_expected_score_does_not_depend_on_the_number():
    truth = 0.03 * normal(6000, 2, 3)
    scores = [float(energy_score(0.03 * normal(6000, n, 2, 3, seed=n), truth).mean()) for n in (2, 4, 16)]
    assert scores == pytest.approx([scores[0]] * 3, rel=0.02)


def test_law_only_the_whole_pose_sees_joints_that_vary_together():
    """Hypotheses whose joints are mixed have the same margins, and a worse score as poses."""
    shared = normal(3000, 1, 1, 3).expand(-1, 1, 6, 3)[:, 0]
    drawn = normal(3000, 10, 1, 3, seed=1).expand(-1, -1, 6, -1)
    mixed = torch.stack([drawn[:, torch.arange(10).roll(j), j] for j in range(6)], 2)
    torch.testing.assert_close(energy_score(mixed, shared), energy_score(drawn, shared))
    assert energy_score(mixed, shared, True).mean() > 1.02 * energy_score(drawn, shared, True).mean()


def test_convention_missing_truth_is_not_scored():
    drawn, truth, c = normal(6, 8, 5, 3), normal(6, 5, 3, seed=1), covariances(6, 5)
    holed = truth.clone()
    holed[:, 2] = torch.nan
    kept = [0, 1, 3, 4]
    for score in (energy_score, lambda h, t: energy_score(h, t, True)):
        torch.testing.assert_close(score(drawn, holed), score(drawn[:, :, kept], truth[:, kept]))
    levels = gaussian_levels(drawn[:, 0], c, holed)
    assert levels[:, 2].isnan().all()
    torch.testing.assert_close(coverage(levels), coverage(levels[:, kept]))
    assert sample_levels(drawn, holed)[:, 2].isnan().all()
    assert coverage(torch.full((2, 5), torch.nan)).isnan().all()


def test_convention_numpy_in_numpy_out():
    drawn, truth, c = (x.numpy() for x in (normal(6, 8, 5, 3), normal(6, 5, 3, seed=1), covariances(6, 5)))
    assert isinstance(energy_score(drawn, truth), np.ndarray)
    levels = gaussian_levels(drawn[:, 0], c, truth)
    assert isinstance(coverage(levels), np.ndarray)
    assert coverage(levels).shape == (6, 3)
    assert isinstance(float(calibration_error(levels)), float)


def test_wrong_input_says_what_was_expected():
    drawn, truth, c = normal(6, 8, 5, 3), normal(6, 5, 3, seed=1), covariances(6, 5)
    holed = drawn.clone()
    holed[0, 3, 2] = torch.nan
    for score in (energy_score, sample_levels):
        with pytest.raises(InputError, match="hypotheses of 1 joints are missing"):
            score(holed, truth)
        with pytest.raises(ValueError, match="H > 0"):
            score(drawn[:, :0], truth)
    with pytest.raises(InputError, match="mean or covariance of 5 joints is missing"):
        gaussian_levels(
            drawn[:, 0], torch.where(torch.arange(6)[:, None, None, None] == 0, torch.nan, c), truth
        )
    with pytest.raises(InputError, match="30 covariances are not positive definite"):
        gaussian_levels(drawn[:, 0], 0 * c, truth)
    with pytest.raises(ValueError, match=r"\(\.\.\., J, 3, 3\)"):
        gaussian_levels(drawn[:, 0], c[..., 0], truth)
    with pytest.raises(InputError, match="between 0 and 1"):
        coverage(truth[..., 0], (80,))
    with pytest.raises(InputError, match="between 0 and 1"):
        sharpness(c, 1.0)
