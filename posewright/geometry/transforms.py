"""Rigid transforms as 4x4 matrices.

Convention: `T_a_b` maps coordinates of b into a, so that `T_a_c = T_a_b @ T_b_c`; matrices act on columns. A camera's
pose (R, t) with `x_camera = R @ x_world + t` is `T_camera_world`.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def transform(R: Float[Tensor, "*#B 3 3"], t: Float[Tensor, "*#B 3"]) -> Float[Tensor, "... 4 4"]:
    """Join a rotation (or any 3x3 matrix) and a translation."""
    batch = torch.broadcast_shapes(R.shape[:-2], t.shape[:-1])
    top = torch.cat([R.expand(*batch, 3, 3), t.expand(*batch, 3)[..., None]], -1)
    bottom = top.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*top.shape[:-2], 1, 4)
    return torch.cat([top, bottom], -2)


def invert(T_a_b: Float[Tensor, "*B 4 4"]) -> Float[Tensor, "*B 4 4"]:
    """Return T_b_a of a rigid transform, by transposing its rotation."""
    R = T_a_b[..., :3, :3].mT
    return transform(R, -(R @ T_a_b[..., :3, 3:])[..., 0])


def compose(*transforms: Float[Tensor, "*#B 4 4"]) -> Float[Tensor, "... 4 4"]:
    """Chain `T_a_b, T_b_c, ...` into `T_a_...`."""
    out = transforms[0]
    for T in transforms[1:]:
        out = out @ T
    return out


def apply(T_a_b: Float[Tensor, "*#B 4 4"], points: Float[Tensor, "*#B N 3"]) -> Float[Tensor, "... N 3"]:
    """Express points of b in a."""
    return points @ T_a_b[..., :3, :3].mT + T_a_b[..., None, :3, 3]
