"""Pose of a body from its points: Levenberg-Marquardt on many frames at once, with an analytic Jacobian.

Per frame the unknowns are the translation and one small rotation `R <- R exp(w)` per active joint. Residuals: distances
of points in units of their expected error (robustly: Huber, by reweighting); rotation vectors in units of how far each
joint usually turns (which shares a bend among the bones of the spine); and the distance from a pose to stay near, where
one is given (the smoothed motion).

Convention: as `BodyModel`: local rotations in axes parallel to the body's at rest; float64; N frames, A active joints.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from posewright.fitting.points import BodyPoints
from posewright.geometry.rotations import matrix_to_rotvec, right_jacobian_inverse, rotvec_to_matrix

_HABITS = {
    "spine": (0.15, 0.12, 0.15),
    "neck": (0.25, 0.2, 0.3),
    "clavicle": (0.12, 0.25, 0.25),
    "shoulder": (1.2, 1.2, 1.2),
    "elbow": (1.2, 1.2, 1.2),
    "hip": (1.0, 0.6, 0.6),
    "knee": (1.2, 0.15, 0.15),
    "ankle": (0.5, 0.3, 0.3),
    "root": (math.inf, math.inf, math.inf),
}
"""Radians by which joints usually turn about the body's axes at rest: left-right, forward, up."""


@dataclass(frozen=True)
class PoseOptions:
    """What a fit weighs."""

    point_sigma: float = 0.01
    """Metres: expected error of a point of confidence 1."""
    huber: float = 3.0
    """Times the expected error from which on a point counts less."""
    habit: float = 0.3
    """Weight of turning no further than usual, against one point."""
    stay_sigma: float = 0.02
    """Radians (metres for the translation) by which a pose may differ from the one to stay near."""
    iterations: int = 12
    tolerance: float = 1e-4
    """Stop when nothing turns by more than this many radians in a step."""
    chunk: int = 256
    """Frames solved together."""


@dataclass(frozen=True)
class Target:
    """What is seen in N frames."""

    points: Float[Tensor, "N P 3"]
    """Metres; anything where the weight is 0."""
    weights: Float[Tensor, "N P"]
    """Confidence, 0 where not seen."""
    near: tuple[Float[Tensor, "N A 3 3"], Float[Tensor, "N 3"]] | None = None
    """Rotations and translations to stay near."""

    def rows(self, rows: Tensor | slice) -> "Target":
        """Some of the frames."""
        near = None if self.near is None else (self.near[0][rows], self.near[1][rows])
        return Target(self.points[rows], self.weights[rows], near)


def habits(body_points: BodyPoints, roles: dict[int, str]) -> Float[Tensor, "A 3"]:
    """How far each active joint usually turns, radians; `roles` names what a joint is, such as `knee`."""
    rows = [_HABITS[roles.get(joint, "spine")] for joint in body_points.active]
    return torch.tensor(rows, dtype=torch.float64)


def solve_pose(
    body_points: BodyPoints,
    target: Target,
    start: tuple[Float[Tensor, "N A 3 3"], Float[Tensor, "N 3"]],
    usual: Float[Tensor, "A 3"],
    options: PoseOptions = PoseOptions(),
) -> tuple[Float[Tensor, "N A 3 3"], Float[Tensor, "N 3"]]:
    """Find the rotations and translations that bring the body's points to the target.

    Args:
        body_points: of one shape.
        target: what is seen.
        start: first guess.
        usual: see `habits`.
        options: what is weighed.
    """
    local, transl = start[0].clone(), start[1].clone()
    for rows in torch.arange(len(local)).split(options.chunk):
        local[rows], transl[rows] = _solve(
            body_points, target.rows(rows), (local[rows], transl[rows]), usual, options
        )
    return local, transl


def _solve(body_points, target: Target, start, usual, options: PoseOptions):
    """Levenberg-Marquardt on one chunk; each frame has its own damping, converged ones are left out."""
    local, transl = start[0].clone(), start[1].clone()
    active = torch.arange(len(local))
    damping = torch.full((len(local),), 1e-3, dtype=local.dtype)
    cost = torch.full((len(local),), torch.inf, dtype=local.dtype)
    for _ in range(options.iterations):
        part = target.rows(active)
        H, g, here = _normal_equations(body_points, part, local[active], transl[active], usual, options)
        cost[active] = here
        H = H + torch.diag_embed(damping[active, None] * (H.diagonal(dim1=-2, dim2=-1) + 1e-6))
        step = -torch.cholesky_solve(g[..., None], torch.linalg.cholesky(H))[..., 0]
        moved = local[active] @ rotvec_to_matrix(step[:, 3:].reshape(len(active), -1, 3))
        shifted = transl[active] + step[:, :3]
        better = _cost(body_points, part, moved, shifted, usual, options) <= here
        local[active] = torch.where(better[:, None, None, None], moved, local[active])
        transl[active] = torch.where(better[:, None], shifted, transl[active])
        damping[active] *= torch.where(better, 0.2, 20.0)
        active = active[~better | (step.abs().amax(-1) > options.tolerance)]
        if len(active) == 0:
            break
    return local, transl


def _point_weights(distance: Tensor, target: Target, options: PoseOptions) -> Tensor:
    """Weight of each point's squared distance: precision times Huber's factor."""
    limit = options.huber * options.point_sigma
    return target.weights / options.point_sigma**2 * (limit / distance.clamp(min=limit))


def _soft(local, transl, target: Target, usual, options: PoseOptions) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(weight, residual (N, 3 + 3 A), derivative blocks (N, A, 3, 3)) of the terms that look at rotations."""
    turn = matrix_to_rotvec(local)
    weight = options.habit / usual.square()
    terms = [(weight.expand_as(turn), turn, right_jacobian_inverse(turn))]
    if target.near is not None:
        away = matrix_to_rotvec(target.near[0].mT @ local)
        precision = torch.full_like(away, options.stay_sigma**-2.0)
        terms.append((precision, away, right_jacobian_inverse(away)))
    return terms


def _cost(body_points, target: Target, local, transl, usual, options: PoseOptions) -> Tensor:
    """Sum of all terms (N,); Huber's function of the distances."""
    distance = (body_points(local, transl) - target.points).norm(dim=-1)
    limit = options.huber * options.point_sigma
    robust = torch.where(distance <= limit, distance.square(), limit * (2 * distance - limit))
    cost = (target.weights / options.point_sigma**2 * robust).sum(-1)
    for weight, residual, _ in _soft(local, transl, target, usual, options):
        cost = cost + (weight * residual.square()).sum((-1, -2))
    if target.near is not None:
        cost = cost + (transl - target.near[1]).square().sum(-1) / options.stay_sigma**2
    return cost


def _normal_equations(body_points, target: Target, local, transl, usual, options: PoseOptions):
    """Approximate Hessian (N, C, C), gradient (N, C) and cost (N,)."""
    points, terms, joints, rotations = body_points.posed(local, transl)
    J = body_points.jacobian(terms, joints, rotations)
    residual = points - target.points
    weight = _point_weights(residual.norm(dim=-1), target, options)
    WJ = (weight[..., None, None] * J).flatten(1, 2)
    H = WJ.mT @ J.flatten(1, 2)
    g = (WJ.mT @ residual.flatten(1)[..., None])[..., 0]
    A = local.shape[1]
    blocks = torch.arange(A) * 3 + 3
    index = blocks[:, None] + torch.arange(3)
    for w, r, D in _soft(local, transl, target, usual, options):
        WD = w[..., None] * D
        add = D.mT @ WD
        H[:, index[:, :, None], index[:, None, :]] += add
        g[:, 3:] += (WD.mT @ r[..., None])[..., 0].flatten(1)
    if target.near is not None:
        H[:, :3, :3] += torch.eye(3, dtype=H.dtype) / options.stay_sigma**2
        g[:, :3] += (transl - target.near[1]) / options.stay_sigma**2
    return H, g, _cost(body_points, target, local, transl, usual, options)


def start_pose(
    body_points: BodyPoints, target: Target
) -> tuple[Float[Tensor, "N A 3 3"], Float[Tensor, "N 3"]]:
    """A first guess: from the root down, each joint turned as its seen points ask (Kabsch 1976).

    A joint with one direction to go by is turned by the smallest angle; one without any keeps its zero pose.
    """
    N, A = len(target.points), len(body_points.active)
    local = torch.eye(3, dtype=torch.float64).expand(N, A, 3, 3).clone()
    transl = torch.zeros(N, 3, dtype=torch.float64)
    seen = (target.weights > 0) & body_points.defined
    for a, joint in enumerate(body_points.active):
        points, _, joints, rotations = body_points.posed(local, transl)
        moved = torch.zeros(len(body_points.defined), dtype=torch.bool)
        moved[body_points.term_point[body_points.reach[a] > 0]] = True
        use = (seen & moved).double()
        if a == 0:
            origin = (points * use[..., None]).sum(1) / use.sum(1, keepdim=True).clamp(min=1)
            wanted = (target.points * use[..., None]).sum(1) / use.sum(1, keepdim=True).clamp(min=1)
        else:
            origin = wanted = joints[:, joint]
        have, want = points - origin[:, None], target.points - wanted[:, None]
        use = use / have.norm(dim=-1).clamp(min=0.05)
        turn = _align(have, want, use)
        parent = rotations[:, joint] @ local[:, a].mT
        local[:, a] = parent.mT @ turn @ parent @ local[:, a]
        if a == 0:
            points = body_points(local, transl)
            use = (seen & moved).double()
            gap = (target.points - points) * use[..., None]
            transl = gap.sum(1) / use.sum(1, keepdim=True).clamp(min=1)
    return local, transl


def _align(have: Tensor, want: Tensor, weight: Tensor) -> Float[Tensor, "N 3 3"]:
    """Rotation that best takes `have` (N, P, 3) to `want`; about directions that are not seen, the least turn."""
    M = torch.einsum("np,npi,npj->nij", weight, want, have)
    M = (
        M
        + 1e-3 * M.flatten(1).norm(dim=-1)[:, None, None] * torch.eye(3, dtype=M.dtype)
        + 1e-9 * torch.eye(3, dtype=M.dtype)
    )
    U, _, Vh = torch.linalg.svd(M)
    sign = torch.det(U @ Vh)
    D = torch.diag_embed(torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign], -1))
    return U @ D @ Vh
