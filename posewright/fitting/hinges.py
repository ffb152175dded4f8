"""Knees and elbows: hinges that bend one way.

The axis of a hinge is fixed in the upper bone. Anny's zero pose bends knees and elbows a little, about that axis, and
this is where it is read from; bodies of the SMPL family stretch their limbs at rest, and for them it is known: X for
knees, Y for elbows (left ones negative), in the files' own axes. Positions alone say nothing about the twist of a
stretched limb, but a bent one shows where its axis points: `unrolled` turns the upper bone accordingly.

Convention: a positive angle bends; 0 is the zero pose, in which a limb may be bent already (`straight` is below 0).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from posewright.bodies.model import BodyModel
from posewright.fitting.points import BodyPoints
from posewright.fitting.terms import Posed, add_blocks
from posewright.geometry.rotations import rotvec_to_matrix

_CHAINS = tuple(
    (f"{side}_{upper}", f"{side}_{joint}", f"{side}_{lower}")
    for side in ("left", "right")
    for upper, joint, lower in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"))
)
_SMPL_AXES = {
    "left_knee": (1.0, 0.0, 0.0),
    "right_knee": (1.0, 0.0, 0.0),
    "left_elbow": (0.0, -1.0, 0.0),
    "right_elbow": (0.0, 1.0, 0.0),
}
_SMPL = ("smpl", "smplh", "smplx")
MARGIN = math.radians(5)
"""By how much a limb may be overstretched."""
FOLDED = math.radians(160)
"""Flesh stops a limb from bending further than this, from straight."""
_UNROLL_FROM, _UNROLL_TO = math.sin(math.radians(8)), math.sin(math.radians(25))
"""Sines of the bends between which a limb begins to tell its twist."""


@dataclass(frozen=True)
class Hinges:
    """The K hinges of one shape of a body."""

    names: tuple[str, ...]
    """Such as `left_knee`."""
    rows: tuple[int, ...]
    """Row of each among the active joints."""
    upper_rows: tuple[int, ...]
    """Row of the joint above, which turns the upper bone."""
    axis: Float[Tensor, "K 3"]
    """Unit, perpendicular to the upper bone."""
    upper: Float[Tensor, "K 3"]
    """Unit: upper bone in the zero pose."""
    lower: Float[Tensor, "K 3"]
    """Unit: lower bone in the zero pose."""

    @property
    def straight(self) -> Float[Tensor, " K"]:
        """Angle at which each limb is straight, radians."""
        side = torch.linalg.cross(self.axis, self.upper, dim=-1)
        return -torch.atan2((self.lower * side).sum(-1), (self.lower * self.upper).sum(-1))

    def angles(self, local: Float[Tensor, "N A 3 3"]) -> Float[Tensor, "N K"]:
        """Bend of each hinge from straight, radians, in (-pi, pi]: negative is overstretched."""
        lower = (local[:, list(self.rows)] @ self.lower[..., None])[..., 0]
        side = torch.linalg.cross(self.axis, self.upper, dim=-1)
        return torch.atan2((lower * side).sum(-1), (lower * self.upper).sum(-1))


def hinges(body: BodyModel, body_points: BodyPoints) -> Hinges | None:
    """The knees and elbows of a body whose hinges are known; None of other bodies."""
    if not (body.name in _SMPL or (body.name == "anny" and body.has_orientation)):
        return None
    still = torch.eye(3).double().expand(1, len(body_points.active), 3, 3)
    zero = body_points.posed(still, torch.zeros(1, 3).double())[2][0]
    found = []
    for chain in _CHAINS:
        rules = [body.points.get(name, ()) for name in chain]
        if all(len(rule) == 1 and rule[0] in body.joint_names for rule in rules):
            found.append((chain[1], *(body.joint_names.index(rule[0]) for rule in rules)))
    if not found:
        return None
    names, *columns = zip(*found, strict=True)
    above, joint, below = (list(c) for c in columns)
    upper = torch.nn.functional.normalize(zero[joint] - zero[above], dim=-1)
    lower = torch.nn.functional.normalize(zero[below] - zero[joint], dim=-1)
    axis = torch.linalg.cross(upper, lower, dim=-1)
    if body.name in _SMPL:
        known = torch.tensor([_SMPL_AXES[n] for n in names], dtype=upper.dtype)
        axis = known - (known * upper).sum(-1, keepdim=True) * upper
    row = body_points.active.index
    axis = torch.nn.functional.normalize(axis, dim=-1)
    return Hinges(names, tuple(map(row, joint)), tuple(map(row, above)), axis, upper, lower)


def unrolled(hinges: Hinges, local: Float[Tensor, "N A 3 3"]) -> Float[Tensor, "N A 3 3"]:
    """Twist the upper bones so that bent limbs bend about their hinges: nothing below them moves."""
    local, rows, above = local.clone(), list(hinges.rows), list(hinges.upper_rows)
    lower = (local[:, rows] @ hinges.lower[..., None])[..., 0]
    side = torch.linalg.cross(hinges.axis, hinges.upper, dim=-1)
    x, y = (lower * side).sum(-1), (lower * hinges.axis).sum(-1)
    told = ((torch.hypot(x, y) - _UNROLL_FROM) / (_UNROLL_TO - _UNROLL_FROM)).clamp(0, 1)
    twist = rotvec_to_matrix((told * torch.atan2(y, x))[..., None] * hinges.upper)
    local[:, above] = local[:, above] @ twist
    local[:, rows] = twist.mT @ local[:, rows]
    return local


@dataclass(frozen=True)
class HingeLimits:
    """Hinges bend one way, and hardly sideways."""

    frames: Float[Tensor, "A 2 3"]
    """Axis of each hinge and the direction across it; 0 for joints that are none."""
    lowest: Float[Tensor, " A"]
    highest: Float[Tensor, " A"]
    """Radians about the axis."""
    limit_sigma: float
    """Radians beyond a limit."""
    side_sigma: float
    """Radians across the axis."""

    def rows(self, rows: Tensor) -> "HingeLimits":
        return self

    def _residual(self, frames: Posed) -> tuple[Tensor, Tensor]:
        """(N, A, 2): beyond the limits, across; and the bend (N, A)."""
        bend, across = (self.frames @ frames.turn[..., None])[..., 0].unbind(-1)
        return torch.stack([bend - bend.clamp(self.lowest, self.highest), across], -1), bend

    def _precision(self, like: Tensor) -> Tensor:
        return torch.tensor([self.limit_sigma**-2, self.side_sigma**-2], dtype=like.dtype)

    def cost(self, frames: Posed) -> Tensor:
        residual, _ = self._residual(frames)
        return (self._precision(residual) * residual.square()).sum((-1, -2))

    def add(self, frames: Posed, H: Tensor, g: Tensor) -> None:
        residual, _ = self._residual(frames)
        derivative = self.frames @ frames.turn_jacobian
        beyond = torch.stack([residual[..., 0] != 0, torch.ones_like(residual[..., 1], dtype=torch.bool)], -1)
        weight = self._precision(residual) * beyond
        add_blocks(H, g, weight, residual, derivative)


def hinge_limits(hinges: Hinges, active: int, limit_sigma: float, side_sigma: float) -> HingeLimits:
    """The term that holds hinges; `active` is the number of active joints."""
    rows = list(hinges.rows)
    frames = torch.zeros(active, 2, 3, dtype=torch.float64)
    frames[rows, 0] = hinges.axis
    frames[rows, 1] = torch.nn.functional.normalize(
        torch.linalg.cross(hinges.axis, hinges.lower, dim=-1), dim=-1
    )
    lowest, highest = torch.zeros(active).double(), torch.zeros(active).double()
    lowest[rows], highest[rows] = hinges.straight - MARGIN, hinges.straight + FOLDED
    return HingeLimits(frames, lowest, highest, limit_sigma, side_sigma)
