"""Zero-mean Gaussians whose covariance is a low-rank factor and a diagonal: F F^T + diag(d).

The covariance of a factor analysis (Rubin and Thayer, "EM algorithms for ML factor analysis", Psychometrika 1982), for
each sample its own. Determinant and inverse cost K^3, not D^3, by the matrix determinant lemma and Woodbury's identity.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def log_density(
    x: Float[Tensor, "*B D"], factor: Float[Tensor, "*B D K"], diagonal: Float[Tensor, "*B D"]
) -> Float[Tensor, "*B"]:
    """Logarithm of the density at `x`, nats.

    Args:
        x: where.
        factor: F; its columns are what varies together.
        diagonal: d, variances, above 0.
    """
    scaled = factor / diagonal[..., None]
    inner = torch.eye(factor.shape[-1], dtype=x.dtype, device=x.device) + factor.mT @ scaled
    root = torch.linalg.cholesky(inner)
    along = torch.linalg.solve_triangular(root, (scaled * x[..., None]).sum(-2)[..., None], upper=False)
    square = (x * x / diagonal).sum(-1) - (along * along).sum((-1, -2))
    log_determinant = diagonal.log().sum(-1) + 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return -0.5 * (square + log_determinant + x.shape[-1] * math.log(2 * math.pi))


def covariance(factor: Float[Tensor, "*B D K"], diagonal: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D D"]:
    """The whole covariance matrix."""
    return factor @ factor.mT + torch.diag_embed(diagonal)
