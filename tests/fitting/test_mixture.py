"""Mixtures of Gaussians: density, fitting, filling in."""

import pytest
import torch

from posewright.fitting.mixture import Mixture, completed, fit_mixture, gaussian


@pytest.fixture
def two() -> Mixture:
    """Two Gaussians in three dimensions."""
    generator = torch.Generator().manual_seed(3)
    A = torch.randn(2, 3, 3, generator=generator).double()
    means = torch.tensor([[0.0, 0.0, 0.0], [4.0, -3.0, 5.0]]).double()
    return Mixture(torch.tensor([0.3, 0.7]).double(), means, A @ A.mT + 0.2 * torch.eye(3))


def test_law_density_is_that_of_torch(two):
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double() * 3
    parts = torch.distributions.MultivariateNormal(two.means, two.covariances)
    mixed = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(two.weights), parts)
    torch.testing.assert_close(two.log_density(x), mixed.log_prob(x))


def test_learns_two_gaussians_from_their_samples(two):
    parts = torch.distributions.MultivariateNormal(two.means, two.covariances)
    torch.manual_seed(0)
    drawn = parts.sample((4000,))
    x = torch.cat([drawn[:1200, 0], drawn[:2800, 1]])
    found = fit_mixture(x, 2, floor=0.0)
    order = found.means[:, 0].argsort()
    torch.testing.assert_close(found.weights[order], two.weights, atol=0.02, rtol=0)
    torch.testing.assert_close(found.means[order], two.means, atol=0.15, rtol=0)
    torch.testing.assert_close(found.covariances[order], two.covariances, atol=0.4, rtol=0.1)
    assert found.log_density(x).mean() > gaussian(x, 0.0).log_density(x).mean() + 0.3


def test_law_filling_in_is_the_likeliest_value(two):
    one = Mixture(torch.ones(1).double(), two.means[:1], two.covariances[:1])
    x = torch.tensor([[0.7, -0.4, 9.0]]).double()
    known = torch.tensor([[True, True, False]])
    found = completed(one, x, known)
    assert torch.equal(found[:, :2], x[:, :2])
    tried = found.repeat(201, 1)
    tried[:, 2] += torch.linspace(-1, 1, 201)
    assert int(one.log_density(tried).argmax()) == 100


def test_law_filling_in_takes_the_component_that_what_is_known_tells(two):
    x = torch.tensor([[4.0, -3.0, 0.0], [0.0, 0.0, 5.0]]).double()
    found = completed(two, x, torch.tensor([[True, True, False]] * 2))
    torch.testing.assert_close(found, two.means.flip(0), atol=1e-6, rtol=0)
    assert completed(two, x, torch.ones(2, 3, dtype=torch.bool)) is x


def test_law_principal_components_keep_the_variance():
    x = torch.randn(500, 6, generator=torch.Generator().manual_seed(1)).double() * torch.arange(1, 7)
    whole, part = gaussian(x, 0.0), gaussian(x, 0.0, keep=2)
    assert torch.allclose(whole.covariances[0].trace(), part.covariances[0].trace())
    values = torch.linalg.eigvalsh(part.covariances[0])
    torch.testing.assert_close(values[:4], values[:1].expand(4))


def test_fewer_samples_than_components_are_refused():
    with pytest.raises(ValueError, match="3 samples for 4 components"):
        fit_mixture(torch.randn(3, 2), 4, 0.1)
