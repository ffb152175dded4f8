"""Does a stated uncertainty hold? Coverage, calibration, sharpness and scores of predicted distributions of joints.

A method states, for each joint, a Gaussian (mean and covariance) or hypotheses drawn from what it believes. The *level*
of a truth is the content of the smallest central region that holds it: 0 in the very middle, 1 far out. Of an honest
method the levels are spread evenly, so that the 80 % region holds 80 % of the truths; how small the regions are is
another matter (sharpness), and the energy score weighs both.

Gneiting, Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", J. American Statistical Association 102,
2007 (energy score, equation 22); Gneiting, Stanberry, Grimit, Held, Johnson, "Assessing probabilistic forecasts of
multivariate quantities", Test 17, 2008 (ranks from the centre outward); Kuleshov, Fenner, Ermon, "Accurate
Uncertainties for Deep Learning Using Calibrated Regression", ICML 2018 (calibration error); Vovk, Gammerman, Shafer,
Algorithmic Learning in a Random World, 2005 (split conformal prediction).

One squared Mahalanobis distance says both: `levels_of` makes the level of it, `conformal_factor` what is wrong with the
scale of many. Who groups joints or changes the scale keeps the distances.

Convention: joints (..., J, 3), covariances (..., J, 3, 3) square metres, hypotheses (..., H, J, 3), metres, tensors or
numpy arrays. Levels lie in [0, 1]; coverage is in percent, lengths in millimetres. A joint that is NaN in the truth has
the level NaN and is not scored; a NaN in what was predicted for it is an error, since no number could show it.
"""

import math
from collections.abc import Callable, Sequence

import torch
from scipy.special import chdtri
from torch import Tensor

from posewright.core.errors import InputError
from posewright.metrics.arrays import MILLIMETRES, Array, as_tensors, masked_mean, scored
from posewright.metrics.hypotheses import checked_pair

LEVELS = (0.5, 0.8, 0.95)
"""Contents of the regions that reports show."""
PERCENT = 100.0
TIED = 1e-5
"""Relative difference of distances from the middle below which two are one: there a single hypothesis always ties."""
PAIRS_AT_ONCE = 4_000_000
"""Distances between hypotheses that are in memory together."""


# ------------------------------------------------------------------------------------------------ levels


def squared_distances(mean: Array, covariance: Array, target: Array) -> Array:
    """Squared Mahalanobis distance of each truth from a Gaussian, in its standard deviations.

    Args:
        mean: (..., J, 3) metres.
        covariance: (..., J, 3, 3) square metres.
        target: (..., J, 3) metres; NaN joints are not scored.

    Returns:
        (..., J), NaN where there is no truth.

    Raises:
        InputError: a mean or covariance is missing where there is a truth, or a covariance is not positive definite.
        ValueError: shapes that do not fit.
    """
    (m, c, t), unwrap = as_tensors(mean, covariance, target)
    return unwrap(_mahalanobis(m, c, t))


def levels_of(squared: Array) -> Array:
    """Levels of squared distances of any shape: content of the ellipsoid there (chi-square, 3 degrees of freedom)."""
    (x,), unwrap = as_tensors(squared)
    return unwrap(_content(x))


def gaussian_levels(mean: Array, covariance: Array, target: Array) -> Array:
    """Level of each truth under a Gaussian: the content of the ellipsoid through it.

    Arguments and errors as for `squared_distances`.

    Returns:
        (..., J), NaN where there is no truth.
    """
    return levels_of(squared_distances(mean, covariance, target))


def sample_levels(hypotheses: Array, target: Array, seed: int = 0) -> Array:
    """Level of each truth among hypotheses: how many of them lie nearer to the middle of all, the truth among them.

    Where truth and hypotheses come from one distribution, whatever it is and however few they are, levels are spread
    evenly: the truth's rank is, and it is placed at random within its rank.

    Args:
        hypotheses: (..., H, J, 3) metres.
        target: (..., J, 3) metres; NaN joints are not scored.
        seed: of the place within the rank.

    Returns:
        (..., J), NaN where there is no truth.

    Raises:
        InputError: a hypothesis is missing where there is a truth.
        ValueError: shapes that do not fit, or no hypotheses.
    """
    (h, t), unwrap = _complete(hypotheses, target)
    seen, H = scored(t), h.shape[-3]
    middle = (h.sum(-3) + t) / (H + 1)
    truth = torch.linalg.vector_norm(t - middle, dim=-1)
    farther = torch.linalg.vector_norm(h - middle[..., None, :, :], dim=-1) - truth[..., None, :]
    tied = farther.abs() <= TIED * truth[..., None, :]
    within = torch.rand(truth.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    nearer = (~tied & (farther < 0)).sum(-2) + within.to(truth) * (tied.sum(-2) + 1)
    levels = nearer / (H + 1)
    return unwrap(torch.where(seen, levels, torch.nan))


def coverage(levels: Array, contents: Sequence[float] = LEVELS) -> Array:
    """Share of a pose's joints whose truth lies in the regions of the given contents.

    Args:
        levels: (..., J), of `gaussian_levels` or `sample_levels`.
        contents: in (0, 1).

    Returns:
        (..., len(contents)) percent, one number per pose, to be averaged; NaN where a pose has no truth.
    """
    (x,), unwrap = as_tensors(levels)
    regions = x.new_tensor([_checked(p) for p in contents])
    inside = (x[..., None, :] <= regions[:, None]).to(x)
    return unwrap(PERCENT * masked_mean(inside, x.isfinite()[..., None, :].expand_as(inside)))


def calibration_error(levels: Array) -> Array:
    """Mean difference between content and coverage over all contents, of all truths together.

    0 where levels are spread evenly; 50 where all truths lie in the middle, or all outside.

    Args:
        levels: any shape; NaN is not counted.

    Returns:
        () percent; NaN where there is no level.
    """
    (x,), unwrap = as_tensors(levels)
    x = x[x.isfinite()].sort().values
    n = len(x)
    if n == 0:
        return unwrap(x.new_tensor(torch.nan))
    edges = torch.cat([x.new_zeros(1), x, x.new_ones(1)])
    covered = torch.arange(n + 1, dtype=x.dtype, device=x.device) / n  # between edges k and k + 1
    return unwrap(PERCENT * (_area(edges[1:] - covered) - _area(edges[:-1] - covered)).sum())


def conformal_factor(squared: Array, content: float = 0.8) -> Array:
    """By how much deviations must grow so that the region of a content holds that share of truths like these.

    Split conformal prediction with the Mahalanobis distance as its score: on further data from the same source the
    region then holds at least `content`, whatever the true distribution is. Multiply covariances by the square of it,
    and divide squared distances by that.

    Args:
        squared: of `squared_distances`, any shape, on data that the method was not trained on; NaN is not counted.
        content: in (0, 1).

    Returns:
        () factor; infinite where there are too few truths to tell.
    """
    (x,), unwrap = as_tensors(squared)
    x = x[x.isfinite()].sort().values
    rank = math.ceil((len(x) + 1) * _checked(content))
    if rank > len(x):
        return unwrap(x.new_tensor(torch.inf))
    return unwrap((x[rank - 1] / _squared_radius(content)).sqrt())


# -------------------------------------------------------------------------------------- sharpness and scores


def sharpness(covariance: Array, content: float = 0.8) -> Array:
    """How large the regions of a content are: the radius of the ball of the same volume, averaged over joints.

    Args:
        covariance: (..., J, 3, 3) square metres.
        content: in (0, 1).

    Returns:
        (...,) millimetres. Only between methods that are calibrated is less better.
    """
    (c,), unwrap = as_tensors(covariance)
    radius = (torch.linalg.det(c).clamp(min=0) ** (1 / 3) * _squared_radius(content)).sqrt()
    return unwrap(MILLIMETRES * radius.mean(-1))


def energy_score(hypotheses: Array, target: Array, whole_pose: bool = False) -> Array:
    """Mean distance of the hypotheses to the truth minus half of that among them: a proper score, less is better.

    Proper: nobody gains by stating more or less certainty than there is. Distances among hypotheses are averaged over
    pairs of different ones, so that the expected score does not depend on H; with one hypothesis it is its error.

    Args:
        hypotheses: (..., H, J, 3) metres.
        target: (..., J, 3) metres; NaN joints are not scored.
        whole_pose: distance of all joints together (the root of the sum of squares) in place of the mean of the scores
            of single joints, which do not see whether joints vary together.

    Returns:
        (...,) millimetres.
    """
    (h, t), unwrap = _complete(hypotheses, target)
    seen = scored(t)
    if whole_pose:
        mask = seen[..., None]
        off = torch.where(mask[..., None, :, :], h - t[..., None, :, :], 0.0).flatten(-2)
        score = torch.linalg.vector_norm(off, dim=-1).mean(-1) - _mean_pair_distance(off) / 2
        return unwrap(MILLIMETRES * torch.where(seen.any(-1), score, torch.nan))
    off = (h - t[..., None, :, :]).transpose(-2, -3)
    score = torch.linalg.vector_norm(off, dim=-1).mean(-1) - _mean_pair_distance(h.transpose(-2, -3)) / 2
    return unwrap(MILLIMETRES * masked_mean(score, seen))


def diversity(hypotheses: Array) -> Array:
    """Mean distance between a joint's places in two different hypotheses, averaged over joints.

    Args:
        hypotheses: (..., H, J, 3) metres.

    Returns:
        (...,) millimetres; 0 with one hypothesis.
    """
    (h,), unwrap = as_tensors(hypotheses)
    return unwrap(MILLIMETRES * _mean_pair_distance(h.transpose(-2, -3)).mean(-1))


# ------------------------------------------------------------------------------------------------ inside


def _mahalanobis(m: Tensor, c: Tensor, t: Tensor) -> Tensor:
    """Squared distances (..., J) in deviations; NaN where there is no truth."""
    if m.shape != t.shape or t.ndim < 2 or t.shape[-1] != 3 or c.shape != (*t.shape, 3):
        raise ValueError(
            f"mean, covariance and truth have shapes {tuple(m.shape)}, {tuple(c.shape)} and {tuple(t.shape)}, expected "
            "(..., J, 3), (..., J, 3, 3) and (..., J, 3)"
        )
    seen = scored(t)
    missing = seen & ~(torch.isfinite(m).all(-1) & torch.isfinite(c).all((-1, -2)))
    if missing.any():
        raise InputError(
            f"calibration: the mean or covariance of {int(missing.sum())} joints is missing (NaN) where there is a "
            "truth: leave the truth out (NaN) where nothing was predicted"
        )
    safe = torch.where(seen[..., None, None], c, torch.eye(3).to(c))
    factor, failed = torch.linalg.cholesky_ex(safe)
    if failed.any():
        raise InputError(
            f"calibration: {int((failed > 0).sum())} covariances are not positive definite; expected symmetric "
            "matrices in square metres. One estimated from hypotheses needs at least four of them"
        )
    off = torch.where(seen[..., None], t - m, 0.0)[..., None]
    squared = torch.linalg.solve_triangular(factor, off, upper=False).square().sum((-1, -2))
    return torch.where(seen, squared, torch.nan)


def _content(squared: Tensor) -> Tensor:
    """Content of the ellipsoid at a squared distance: the distribution function of chi-square with 3 degrees."""
    x = squared.double() if squared.device.type != "mps" else squared
    content = torch.erf((x / 2).sqrt()) - (2 * x / math.pi).sqrt() * torch.exp(-x / 2)
    return content.clamp(0, 1).to(squared)


def _squared_radius(content: float) -> float:
    """Squared distance, in deviations, of the ellipsoid of a content."""
    return float(chdtri(3, 1 - _checked(content)))


def _checked(content: float) -> float:
    if not 0 < content < 1:
        raise InputError(f"calibration: a region of content {content:g}, expected a number between 0 and 1")
    return content


def _area(x: Tensor) -> Tensor:
    """Integral of the absolute value from 0 to x."""
    return x * x.abs() / 2


def _complete(hypotheses: Array, target: Array) -> tuple[tuple[Tensor, Tensor], Callable[[Tensor], Array]]:
    """Both as tensors, once they fit and nothing is missing where there is a truth."""
    (h, t), unwrap = checked_pair(hypotheses, target)
    missing = scored(t) & ~torch.isfinite(h).all(-1).all(-2)
    if missing.any():
        raise InputError(
            f"calibration: hypotheses of {int(missing.sum())} joints are missing (NaN) where there is a truth: leave "
            "the truth out (NaN) where nothing was predicted"
        )
    return (h, t), unwrap


def _mean_pair_distance(points: Tensor) -> Tensor:
    """Mean distance (...) between different points of (..., H, D); 0 for one point."""
    H = points.shape[-2]
    if H == 1:
        return points.new_zeros(points.shape[:-2])
    flat = points.flatten(0, -3) if points.ndim > 2 else points[None]
    parts = flat.split(max(1, PAIRS_AT_ONCE // (H * H)))
    exact = "donot_use_mm_for_euclid_dist"
    total = torch.cat([torch.cdist(p, p, compute_mode=exact).sum((-1, -2)) for p in parts])
    return (total / (H * (H - 1))).reshape(points.shape[:-2])
