"""Two views of one scene: essential and fundamental matrix, and how far a pair of points is from agreeing.

Convention: `x_2^T F x_1 = 0` for homogeneous image points x_1 of the first and x_2 of the second camera; `x_camera = R
@ x_world + t`. Hartley, Zisserman, "Multiple view geometry", chapters 9 and 11.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def relative_pose(
    R_1: Float[Tensor, "*#B 3 3"],
    t_1: Float[Tensor, "*#B 3"],
    R_2: Float[Tensor, "*#B 3 3"],
    t_2: Float[Tensor, "*#B 3"],
) -> tuple[Float[Tensor, "... 3 3"], Float[Tensor, "... 3"]]:
    """Return (R, t) with `x_2 = R @ x_1 + t`, x in camera axes."""
    R = R_2 @ R_1.mT
    return R, t_2 - (R @ t_1[..., None])[..., 0]


def essential(R: Float[Tensor, "*#B 3 3"], t: Float[Tensor, "*#B 3"]) -> Float[Tensor, "... 3 3"]:
    """Essential matrix of the relative pose (R, t): `[t]x R`, for normalised image points (x / z, y / z, 1)."""
    return torch.linalg.cross(t[..., None].expand_as(R), R, dim=-2)


def fundamental(
    R: Float[Tensor, "*#B 3 3"],
    t: Float[Tensor, "*#B 3"],
    K_1: Float[Tensor, "*#B 3 3"],
    K_2: Float[Tensor, "*#B 3 3"],
) -> Float[Tensor, "... 3 3"]:
    """Fundamental matrix of the relative pose (R, t), for undistorted pixels: `K_2^-T E K_1^-1`."""
    return torch.linalg.inv(K_2).mT @ essential(R, t) @ torch.linalg.inv(K_1)


def epipolar_distance(
    F: Float[Tensor, "*#B 3 3"], points_1: Float[Tensor, "*#B N 2"], points_2: Float[Tensor, "*#B N 2"]
) -> Float[Tensor, "... N"]:
    """Symmetric epipolar distance: mean distance of each point from the other's line, unit of the points."""
    product, line_2, line_1 = _lines(F, points_1, points_2)
    return product.abs() / 2 * (1 / line_1.norm(dim=-1) + 1 / line_2.norm(dim=-1))


def sampson_distance(
    F: Float[Tensor, "*#B 3 3"], points_1: Float[Tensor, "*#B N 2"], points_2: Float[Tensor, "*#B N 2"]
) -> Float[Tensor, "... N"]:
    """Sampson distance: to first order, how far the pair is from the nearest pair that agrees, unit of the points."""
    product, line_2, line_1 = _lines(F, points_1, points_2)
    return product.abs() / (line_1.square().sum(-1) + line_2.square().sum(-1)).sqrt()


def _lines(F: Tensor, points_1: Tensor, points_2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`x_2^T F x_1`, and the normals of the lines of x_1 in view 2 and of x_2 in view 1."""
    one, two = (torch.cat([p, torch.ones_like(p[..., :1])], -1) for p in (points_1, points_2))
    in_2, in_1 = one @ F.mT, two @ F
    return (two * in_2).sum(-1), in_2[..., :2], in_1[..., :2]
