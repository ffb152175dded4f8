"""What a fit of poses adds up: frames as they are posed, and terms that judge them.

A term is a sum of squared residuals per frame, in units of their expected error. It tells its cost and adds its part to
the normal equations of Gauss and Newton, `H` and `g`, of the unknowns (translation, then `R <- R exp(w)` of each active
joint): C = 3 + 3 A. Terms are data about N frames; `rows` takes some of the frames.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, Self

import torch
from jaxtyping import Float
from torch import Tensor

from posewright.fitting.points import BodyPoints
from posewright.geometry.rotations import matrix_to_rotvec, right_jacobian_inverse


@dataclass(frozen=True)
class Posed:
    """N frames of a body, with what several terms need worked out once."""

    body_points: BodyPoints
    local: Float[Tensor, "N A 3 3"]
    """Rotations of the active joints."""
    transl: Float[Tensor, "N 3"]
    points: Float[Tensor, "N P 3"]
    parts: Float[Tensor, "N M 3"]
    """Places of the points' terms."""
    joints: Float[Tensor, "N J 3"]
    rotations: Float[Tensor, "N J 3 3"]

    @cached_property
    def jacobian(self) -> Float[Tensor, "N P 3 C"]:
        """Of the points."""
        return self.body_points.jacobian(self.parts, self.joints, self.rotations)

    @cached_property
    def turn(self) -> Float[Tensor, "N A 3"]:
        """Rotation vectors of the active joints, radians."""
        return matrix_to_rotvec(self.local)

    @cached_property
    def turn_jacobian(self) -> Float[Tensor, "N A 3 3"]:
        """Derivative of each rotation vector by its own `w`."""
        return right_jacobian_inverse(self.turn)


def posed(body_points: BodyPoints, local: Tensor, transl: Tensor) -> Posed:
    """Pose a body in N frames."""
    return Posed(body_points, local, transl, *body_points.posed(local, transl))


class Term(Protocol):
    """One part of what a fit weighs, about N frames."""

    def rows(self, rows: Tensor) -> Self:
        """The term of some of the frames."""
        ...

    def cost(self, frames: Posed) -> Float[Tensor, " N"]:
        """Weighted squared residuals of each frame."""
        ...

    def add(self, frames: Posed, H: Float[Tensor, "N C C"], g: Float[Tensor, "N C"]) -> None:
        """Add half the second and half the first derivative of the cost."""
        ...


def add_blocks(H: Tensor, g: Tensor, weight: Tensor, residual: Tensor, derivative: Tensor) -> None:
    """Add a term that looks at each active joint by itself.

    Args:
        H: (N, C, C), changed in place.
        g: (N, C), changed in place.
        weight: (N, A, K).
        residual: (N, A, K).
        derivative: (N, A, K, 3) of the residual by the joint's own `w`.
    """
    A = residual.shape[1]
    index = 3 + 3 * torch.arange(A)[:, None] + torch.arange(3)
    weighted = weight[..., None] * derivative
    H[:, index[:, :, None], index[:, None, :]] += weighted.mT @ derivative
    g[:, 3:] += (weighted.mT @ residual[..., None])[..., 0].flatten(1)


def huber_cost(distance: Tensor, limit: float | Tensor) -> Tensor:
    """Huber's function of distances (P. Huber, 1964): squared up to `limit`, linear beyond."""
    return torch.where(distance <= limit, distance.square(), limit * (2 * distance - limit))


def huber_weight(distance: Tensor, limit: float) -> Tensor:
    """Factor on a squared distance that has the same slope as `huber_cost`."""
    return limit / distance.clamp(min=limit)


@dataclass(frozen=True)
class SeenPoints:
    """Points should lie where they were seen: the first P of the body's points, robustly."""

    points: Float[Tensor, "N P 3"]
    """Metres; anything where the weight is 0."""
    weights: Float[Tensor, "N P"]
    """Confidence, 0 where not seen."""
    sigma: float
    """Metres: expected error of a point of confidence 1."""
    huber: float
    """Times the expected error from which on a point counts less."""

    def rows(self, rows: Tensor) -> "SeenPoints":
        return replace(self, points=self.points[rows], weights=self.weights[rows])

    def _gap(self, frames: Posed) -> Tensor:
        return frames.points[:, : self.points.shape[1]] - self.points

    def cost(self, frames: Posed) -> Tensor:
        robust = huber_cost(self._gap(frames).norm(dim=-1), self.huber * self.sigma)
        return (self.weights / self.sigma**2 * robust).sum(-1)

    def add(self, frames: Posed, H: Tensor, g: Tensor) -> None:
        gap, J = self._gap(frames), frames.jacobian[:, : self.points.shape[1]]
        weight = self.weights / self.sigma**2 * huber_weight(gap.norm(dim=-1), self.huber * self.sigma)
        WJ = (weight[..., None, None] * J).flatten(1, 2)
        H += WJ.mT @ J.flatten(1, 2)
        g += (WJ.mT @ gap.flatten(1)[..., None])[..., 0]


@dataclass(frozen=True)
class Habits:
    """Joints turn no further than usual: rotation vectors in units of their usual length."""

    precision: Float[Tensor, "A 3"]
    """1 / radians squared."""

    def rows(self, rows: Tensor) -> "Habits":
        return self

    def cost(self, frames: Posed) -> Tensor:
        return (self.precision * frames.turn.square()).sum((-1, -2))

    def add(self, frames: Posed, H: Tensor, g: Tensor) -> None:
        add_blocks(H, g, self.precision.expand_as(frames.turn), frames.turn, frames.turn_jacobian)


@dataclass(frozen=True)
class Near:
    """A pose stays near another one."""

    local: Float[Tensor, "N A 3 3"]
    transl: Float[Tensor, "N 3"]
    sigma: float
    """Radians, metres for the translation."""

    def rows(self, rows: Tensor) -> "Near":
        return replace(self, local=self.local[rows], transl=self.transl[rows])

    def cost(self, frames: Posed) -> Tensor:
        away = matrix_to_rotvec(self.local.mT @ frames.local)
        moved = (frames.transl - self.transl).square().sum(-1)
        return (away.square().sum((-1, -2)) + moved) / self.sigma**2

    def add(self, frames: Posed, H: Tensor, g: Tensor) -> None:
        away = matrix_to_rotvec(self.local.mT @ frames.local)
        add_blocks(H, g, torch.full_like(away, self.sigma**-2.0), away, right_jacobian_inverse(away))
        H[:, :3, :3] += torch.eye(3, dtype=H.dtype) / self.sigma**2
        g[:, :3] += (frames.transl - self.transl) / self.sigma**2
