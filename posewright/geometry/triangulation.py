"""Points in space from several calibrated views.

Convention: views come as normalised, undistorted image points (x / z, y / z) (`cameras.undistort_pixels`) and poses
`x_camera = R @ x_world + t`. A view that does not see a point has NaN there or weight 0. A point needs two views, else
it is NaN. Weights are of the squared error, such as the confidence; errors are reported in normalised units unless
focal lengths are given, then in pixels.
"""

import itertools
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

REFINEMENT_STEPS = 5


@dataclass(frozen=True)
class Triangulated:
    """Points in the world and how sure they are."""

    points: Float[Tensor, "*B N 3"]
    """World, unit of the cameras' translations; NaN where fewer than two views agree."""
    residual: Float[Tensor, "*B N"]
    """Weighted root mean square reprojection error over the views used, pixels (or normalised units)."""
    covariance: Float[Tensor, "*B N 3 3"]
    """For independent errors of one pixel (or normalised unit) in each coordinate of a view of weight 1."""
    used: Bool[Tensor, "*B V N"]
    """Views that count for each point."""


def triangulate(
    flat: Float[Tensor, "*B V N 2"],
    R: Float[Tensor, "*#B V 3 3"],
    t: Float[Tensor, "*#B V 3"],
    weights: Float[Tensor, "*B V N"] | None = None,
    focal: Float[Tensor, "*#B V"] | None = None,
    *,
    refine: bool = True,
    max_error: float | None = None,
) -> Triangulated:
    """Triangulate N points seen by V views.

    Linear solution (weighted direct linear transform), then Gauss-Newton on the reprojection error. With `max_error`,
    robust: every pair of views proposes a point, the one that most views agree with (by weight) wins, the rest is left
    out.

    Args:
        flat: normalised image points of each view.
        R: world to camera rotations.
        t: translations.
        weights: of each view and point; None: 1.
        focal: focal lengths, pixels, to measure errors in pixels; None: 1.
        refine: also run Gauss-Newton.
        max_error: reprojection error beyond which a view does not agree, pixels (or normalised units).
    """
    weights = torch.ones_like(flat[..., 0]) if weights is None else weights.nan_to_num()
    weights = torch.where(torch.isfinite(flat).all(-1), weights, 0.0)
    flat = torch.where((weights > 0)[..., None], flat, 0.0)
    focal = torch.ones_like(t[..., 0]) if focal is None else focal
    if max_error is not None:
        weights = weights * _consensus(flat, R, t, weights, focal, max_error)
    points = _linear(flat, R, t, weights * focal.square()[..., None])
    for _ in range(REFINEMENT_STEPS if refine else 0):
        normal, gradient, _ = _equations(points, flat, R, t, weights, focal)
        points = points - torch.linalg.solve_ex(normal, gradient[..., None])[0][..., 0]
    normal, _, squared = _equations(points, flat, R, t, weights, focal)
    depth = (points[..., None, :, :] @ R.mT + t[..., None, :])[..., 2]
    used = (weights > 0) & (depth > 0)
    known = (used.sum(-2) >= 2) & _well_posed(normal)
    residual = (squared / weights.sum(-2).clamp(min=1e-12)).sqrt()
    eye = torch.eye(3, dtype=normal.dtype, device=normal.device)
    covariance = torch.linalg.inv(torch.where(known[..., None, None], normal, eye))
    return Triangulated(
        torch.where(known[..., None], points, torch.nan),
        torch.where(known, residual, torch.nan),
        torch.where(known[..., None, None], covariance, torch.nan),
        used & known[..., None, :],
    )


def reprojection_error(
    points: Float[Tensor, "*B N 3"],
    flat: Float[Tensor, "*B V N 2"],
    R: Float[Tensor, "*#B V 3 3"],
    t: Float[Tensor, "*#B V 3"],
    focal: Float[Tensor, "*#B V"] | None = None,
) -> Float[Tensor, "*B V N"]:
    """Distance of each point's image from where each view saw it; infinite behind a camera, NaN where not seen."""
    x = points[..., None, :, :] @ R.mT + t[..., None, :]
    front = x[..., 2] > 0
    image = x[..., :2] / torch.where(front, x[..., 2], 1.0)[..., None]
    error = (image - flat).norm(dim=-1)
    error = error if focal is None else error * focal[..., None]
    return torch.where(front | torch.isnan(error), error, torch.inf)


def _linear(flat: Tensor, R: Tensor, t: Tensor, weights: Tensor) -> Tensor:
    """Weighted direct linear transform, inhomogeneous: points at infinity are not found.

    Each view's equations are divided by the depth of a first solution, so that errors count in the picture, not in
    space.
    """
    rows = R[..., None, :2, :] - flat[..., None] * R[..., None, 2:, :]
    right = flat * t[..., None, 2:] - t[..., None, :2]
    points = _solve(rows, right, weights)
    depth = (points[..., None, :, :] @ R.mT + t[..., None, :])[..., 2].abs().clamp(min=1e-6)
    return _solve(rows, right, weights / depth.square())


def _solve(rows: Tensor, right: Tensor, weights: Tensor) -> Tensor:
    """Weighted least squares over views (and the two coordinates)."""
    weighted = weights[..., None, None] * rows
    normal = (weighted.mT @ rows).sum(-4)
    return torch.linalg.solve_ex(normal, (weighted.mT @ right[..., None]).sum(-4))[0][..., 0]


def _equations(
    points: Tensor, flat: Tensor, R: Tensor, t: Tensor, weights: Tensor, focal: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Normal matrix, gradient and weighted sum of squared errors of each point."""
    x, y, z = (points[..., None, :, :] @ R.mT + t[..., None, :]).unbind(-1)
    z = torch.where(z.abs() < 1e-9, 1e-9, z)
    scale = focal[..., None] / z
    image = torch.stack([x / z, y / z], -1)
    rows = (R[..., None, :2, :] - image[..., None] * R[..., None, 2:, :]) * scale[..., None, None]
    error = (image - flat) * focal[..., None, None]
    weighted = weights[..., None, None] * rows
    normal, gradient = (weighted.mT @ rows).sum(-4), (weighted.mT @ error[..., None]).sum(-4)[..., 0]
    return normal, gradient, (weights * error.square().sum(-1)).sum(-2)


def _consensus(
    flat: Tensor, R: Tensor, t: Tensor, weights: Tensor, focal: Tensor, max_error: float
) -> Tensor:
    """Views that agree with the best pair: the pair whose point has the greatest weight of agreeing views.

    Each pair is one small linear solution for all points at once; between equals the smaller error wins.
    """
    best = torch.full_like(weights[..., 0, :], -1.0)
    agree = torch.zeros_like(weights, dtype=torch.bool)
    for pair in itertools.combinations(range(flat.shape[-3]), 2):
        two = list(pair)
        points = _linear(
            flat[..., two, :, :], R[..., two, :, :], t[..., two, :], weights[..., two, :].clamp(max=1)
        )
        error = reprojection_error(points, flat, R, t, focal).nan_to_num(nan=torch.inf)
        close = (error <= max_error) & (weights > 0)
        score = (weights * close * (1.5 - 0.5 * (error / max_error).clamp(max=1))).sum(-2)
        both = (weights[..., two, :] > 0).all(-2) & close[..., two, :].all(-2)
        better = both & (score > best)
        best = torch.where(better, score, best)
        agree = torch.where(better[..., None, :], close, agree)
    return agree.to(weights.dtype)


def _well_posed(normal: Tensor) -> Tensor:
    """True where views differ enough in direction to fix the depth."""
    largest = normal.diagonal(dim1=-2, dim2=-1).amax(-1).clamp(min=torch.finfo(normal.dtype).tiny)
    values = torch.linalg.eigvalsh((normal / largest[..., None, None]).nan_to_num())
    return torch.isfinite(normal).all(-1).all(-1) & (values[..., 0] > 10 * torch.finfo(normal.dtype).eps)
