"""Distributions of keypoints: from heat maps, covariances and confidence."""

import math

import pytest
import torch

from posewright.core.errors import InputError
from posewright.nn.keypoint_distributions import (
    SURE,
    UNSURE,
    from_confidence,
    from_covariance,
    from_heatmaps,
    inverse_cumulative,
    pixel_centres,
    spread_of_confidence,
)

BOX = torch.tensor([0.0, 0.0, 64.0, 48.0])


def peaks(*where: tuple[float, float, float, float]) -> torch.Tensor:
    """Heat map (1, 48, 64): Gaussians of (x, y, deviation, height)."""
    y, x = torch.meshgrid(torch.arange(48) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    each = [h * torch.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * s * s)) for a, b, s, h in where]
    return torch.stack(each).sum(0)[None]


def test_law_one_gaussian_is_found_again():
    mixture = from_heatmaps(peaks((20.3, 30.1, 3.0, 0.8)), BOX, kernels=1)
    torch.testing.assert_close(mixture.means[0, 0], torch.tensor([20.3, 30.1]), atol=0.01, rtol=0)
    width = math.sqrt(9 + 0.25)  # half a pixel is added
    torch.testing.assert_close(mixture.deviations[0, 0], torch.full((2,), width), atol=0.05, rtol=0)


def test_law_two_peaks_are_found_with_their_shares():
    mixture = from_heatmaps(peaks((12.0, 24.0, 2.0, 1.0), (50.0, 24.0, 2.0, 3.0)), BOX, kernels=2)
    order = mixture.means[0, :, 0].argsort()
    torch.testing.assert_close(mixture.means[0, order, 0], torch.tensor([12.0, 50.0]), atol=0.05, rtol=0)
    torch.testing.assert_close(mixture.weights[0, order], torch.tensor([0.25, 0.75]), atol=0.01, rtol=0)


def test_law_a_mixture_has_the_mean_of_its_map_and_many_maps_are_fitted_at_once():
    maps = torch.rand(3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    box = torch.tensor([[0.0, 0, 16, 16], [-8, -8, 8, 8], [0, 0, 1, 1]])
    mixture = from_heatmaps(maps, box)
    assert mixture.weights.shape == (3, 4, 5)
    mass = maps.flatten(-2) / maps.flatten(-2).sum(-1, keepdim=True)
    mean = (mass[..., None] * pixel_centres(maps, box)).sum(-2)
    torch.testing.assert_close(
        (mixture.weights[..., None] * mixture.means).sum(-2), mean, atol=1e-3, rtol=1e-3
    )
    torch.testing.assert_close(mixture.weights.sum(-1), torch.ones(3, 4))
    alone = from_heatmaps(maps[1:2], box[1:2])
    torch.testing.assert_close(alone.means[0], mixture.means[1], atol=1e-4, rtol=1e-4)


def test_law_draws_follow_the_weights():
    weights = torch.tensor([[0.0, 2.0, 0.0, 6.0, 0.0]])
    drawn = inverse_cumulative(weights, torch.linspace(0, 1, 801)[None])
    share = torch.bincount(drawn[0], minlength=5) / 801
    torch.testing.assert_close(share, torch.tensor([0, 0.25, 0, 0.75, 0]), atol=0.01, rtol=0)
    assert inverse_cumulative(torch.zeros(1, 3), torch.tensor([[0.5]])).tolist() == [[0]]


def test_law_a_picked_gaussian_is_one_of_the_mixture():
    mixture = from_heatmaps(peaks((12.0, 24.0, 2.0, 1.0), (50.0, 24.0, 2.0, 3.0)), BOX, kernels=2)
    for uniform, kernel in ((0.0, 0), (1.0, 1)):
        mean, deviation = mixture.pick(torch.tensor([uniform]))
        torch.testing.assert_close(mean[0], mixture.means[0, kernel])
        torch.testing.assert_close(deviation[0], mixture.deviations[0, kernel])


def test_convention_confidence_is_a_part_of_the_persons_extent():
    keypoints = torch.tensor([[[0.0, 0.0], [0.5, 2.0]]])
    spread = spread_of_confidence(keypoints, torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(spread, torch.tensor([[2 * SURE, 2 * UNSURE]]))
    mixture = from_confidence(keypoints, torch.tensor([[1.0, 0.0]]))
    assert torch.equal(mixture.means[..., 0, :], keypoints)
    torch.testing.assert_close(mixture.deviations[0, :, 0, 0], spread[0])


def test_convention_covariance_gives_deviations_along_the_axes():
    covariance = torch.tensor([[[4.0, 1.0], [1.0, 9.0]]])
    assert from_covariance(torch.zeros(1, 2), covariance).deviations.tolist() == [[[2.0, 3.0]]]


def test_bad_input_says_what_was_expected():
    with pytest.raises(InputError, match="a 2 x 2 matrix for each keypoint"):
        from_covariance(torch.zeros(3, 2), torch.zeros(3, 2))
    with pytest.raises(InputError, match="negative or missing"):
        from_covariance(torch.zeros(1, 2), torch.full((1, 2, 2), torch.nan))
    with pytest.raises(InputError, match="no positive value"):
        from_heatmaps(torch.zeros(1, 4, 4), BOX)
    with pytest.raises(InputError, match="height, width"):
        from_heatmaps(torch.zeros(4, 4), BOX)
    with pytest.raises(InputError, match="not numbers"):
        from_heatmaps(torch.full((1, 4, 4), torch.nan), BOX)
    with pytest.raises(InputError, match="at least 1"):
        from_heatmaps(torch.ones(1, 4, 4), BOX, kernels=0)
    with pytest.raises(InputError, match="left, top, right, bottom"):
        from_heatmaps(torch.ones(1, 4, 4), BOX[:2])
