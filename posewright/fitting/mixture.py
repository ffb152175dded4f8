"""Mixtures of Gaussians: fitted by expectation maximisation, and their log density.

A. Dempster, N. Laird, D. Rubin, "Maximum likelihood from incomplete data via the EM algorithm" (1977); C. Bishop,
Pattern Recognition and Machine Learning (2006), section 9.2. Every covariance gets a floor, a variance that is added
to it: how well the data were measured, and what keeps small components from collapsing.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Mixture:
    """K Gaussians in D dimensions."""

    weights: Float[Tensor, " K"]
    """Sum 1."""
    means: Float[Tensor, "K D"]
    covariances: Float[Tensor, "K D D"]

    @cached_property
    def precisions(self) -> Float[Tensor, "K D D"]:
        """Inverse covariances."""
        return torch.cholesky_inverse(self._cholesky)

    @cached_property
    def _cholesky(self) -> Tensor:
        return torch.linalg.cholesky(self.covariances)

    @cached_property
    def constants(self) -> Float[Tensor, " K"]:
        """Log of the weighted density at each mean."""
        half_log_det = self._cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return self.weights.log() - half_log_det - 0.5 * self.means.shape[1] * math.log(2 * math.pi)

    def distances(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N K"]:
        """Squared Mahalanobis distance to each component."""
        white = torch.linalg.inv(self._cholesky)
        away = x @ white.mT - (white @ self.means[..., None]).mT
        return away.square().sum(-1).mT

    def log_parts(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N K"]:
        """Log of each component's share of the density."""
        return self.constants - 0.5 * self.distances(x)

    def log_density(self, x: Float[Tensor, "N D"]) -> Float[Tensor, " N"]:
        """Log density, nats."""
        return self.log_parts(x).logsumexp(-1)


def completed(mixture: Mixture, x: Float[Tensor, "N D"], known: Bool[Tensor, "N D"]) -> Float[Tensor, "N D"]:
    """Fill in what is not known of samples: its mean under the likeliest component, given what is known.

    Bishop (2006), equations 2.75 (conditional mean) and 2.98 (marginal).
    """
    rows = (~known).any(-1).nonzero()[:, 0]
    if not len(rows):
        return x
    there = known[rows].to(x.dtype)[:, None]
    lost = 1 - there
    eye = torch.eye(x.shape[1], dtype=x.dtype)
    away = (x[rows, None] - mixture.means) * there  # (n, K, D)
    P = mixture.precisions
    pull = -lost * (P @ away[..., None])[..., 0]
    system = lost[..., None] * P * lost[..., None, :] + eye * there[..., None]
    fill = torch.linalg.solve(system, pull) * lost
    whole = away + fill
    # at the conditional mean the joint distance is the marginal one; the marginal's determinant is |C| |P_lost|
    distance = (whole * (P @ whole[..., None])[..., 0]).sum(-1)
    score = mixture.constants - 0.5 * distance - 0.5 * torch.linalg.slogdet(system)[1]
    best = score.argmax(-1)
    own = torch.arange(len(rows))
    filled = x.clone()
    filled[rows] = torch.where(known[rows], x[rows], mixture.means[best] + whole[own, best])
    return filled


def gaussian(x: Float[Tensor, "N D"], floor: float, keep: int | None = None) -> Mixture:
    """One Gaussian; with `keep` only that many principal components vary, the rest equally (probabilistic PCA).

    Args:
        x: samples.
        floor: variance added in every direction.
        keep: number of principal components; None: all (M. Tipping and C. Bishop, 1999, is the limit of `keep` < D).
    """
    mean = x.mean(0)
    covariance = torch.cov(x.mT, correction=0)
    if keep is not None:
        values, vectors = torch.linalg.eigh(covariance)
        values = torch.where(torch.arange(len(values)) < len(values) - keep, values[:-keep].mean(), values)
        covariance = (vectors * values) @ vectors.mT
    eye = torch.eye(x.shape[1], dtype=x.dtype)
    return Mixture(torch.ones(1, dtype=x.dtype), mean[None], (covariance + floor * eye)[None])


def fit_mixture(
    x: Float[Tensor, "N D"], components: int, floor: float, iterations: int = 60, seed: int = 0
) -> Mixture:
    """Fit K Gaussians by expectation maximisation, started from samples far from one another.

    Args:
        x: samples, many more than `components`.
        components: K.
        floor: variance added in every direction.
        iterations: at most so many; stops when the mean log density rises by less than 1e-4 nats.
        seed: of the start.

    Raises:
        ValueError: fewer samples than components.
    """
    if len(x) < components:
        raise ValueError(f"fit_mixture: {len(x)} samples for {components} components; take fewer components")
    nearest = torch.cdist(x, x[_spread_out(x, components, seed)]).argmin(1)
    share = torch.nn.functional.one_hot(nearest, components).to(x.dtype)
    before = -math.inf
    mixture = _maximised(x, share, floor)
    for _ in range(iterations):
        parts = mixture.log_parts(x)
        total = parts.logsumexp(-1, keepdim=True)
        if float(total.mean()) - before < 1e-4:
            break
        before = float(total.mean())
        mixture = _maximised(x, (parts - total).exp(), floor)
    return mixture


def _spread_out(x: Tensor, count: int, seed: int) -> Tensor:
    """Rows drawn in proportion to their squared distance from those drawn before (k-means++)."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(x), (1,), generator=generator)
    gap = torch.full((len(x),), torch.inf, dtype=x.dtype)
    for _ in range(count - 1):
        gap = torch.minimum(gap, (x - x[rows[-1]]).square().sum(-1))
        rows = torch.cat([rows, torch.multinomial(gap, 1, generator=generator)])
    return rows


def _maximised(x: Tensor, share: Float[Tensor, "N K"], floor: float) -> Mixture:
    """The mixture that is most likely if the samples belong to the components so."""
    count = share.sum(0).clamp(min=1e-9)
    means = share.mT @ x / count[:, None]
    second = (share.mT[:, None] * x.mT) @ x / count[:, None, None]
    covariances = second - means[:, :, None] * means[:, None]
    eye = torch.eye(x.shape[1], dtype=x.dtype)
    return Mixture(count / count.sum(), means, 0.5 * (covariances + covariances.mT) + floor * eye)
