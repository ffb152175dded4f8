"""The low-rank Gaussian against the full one."""

import torch

from posewright.nn.low_rank_gaussian import covariance, log_density


def made(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Samples (5, 7), a factor (5, 7, 3) and a diagonal (5, 7), float64."""
    generator = torch.Generator().manual_seed(seed)
    draw = (torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((5, 7), (5, 7, 3), (5, 7)))
    x, factor, diagonal = draw
    return x, factor, diagonal.exp()


def test_law_log_density_is_that_of_the_full_covariance():
    x, factor, diagonal = made()
    full = torch.distributions.MultivariateNormal(torch.zeros(7).double(), covariance(factor, diagonal))
    torch.testing.assert_close(log_density(x, factor, diagonal), full.log_prob(x))


def test_law_without_factor_the_numbers_are_independent():
    x, factor, diagonal = made(1)
    alone = torch.distributions.Normal(0.0, diagonal.sqrt()).log_prob(x).sum(-1)
    torch.testing.assert_close(log_density(x, 0 * factor, diagonal), alone)


def test_law_density_does_not_depend_on_the_basis_of_the_factor():
    x, factor, diagonal = made(2)
    turn = torch.linalg.qr(made(3)[1][0, :3])[0]
    torch.testing.assert_close(log_density(x, factor, diagonal), log_density(x, factor @ turn, diagonal))
