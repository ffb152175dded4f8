"""Pose of a body from its points: Levenberg-Marquardt on many frames at once, with an analytic Jacobian.

Per frame the unknowns are the translation and one small rotation `R <- R exp(w)` per active joint. What is weighed are
`terms`; those of a fit to 3D points: distances of points in units of their expected error (robustly: Huber, by
reweighting); rotation vectors in units of how far each joint usually turns (which shares a bend among the bones of the
spine); and the distance from a pose to stay near, where one is given (the smoothed motion).

Convention: as `BodyModel`: local rotations in axes parallel to the body's at rest; float64; N frames, A active joints.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from posewright.fitting.points import BodyPoints
from posewright.fitting.terms import Near, Posed, SeenPoints, Term, posed
from posewright.geometry.rotations import rotvec_to_matrix


@dataclass(frozen=True)
class PoseOptions:
    """What a fit weighs."""

    point_sigma: float = 0.01
    """Metres: expected error of a point of confidence 1."""
    huber: float = 3.0
    """Times the expected error from which on a point counts less."""
    habit: float = 0.3
    """Weight of turning no further than usual, against one point."""
    limits: bool = True
    """Whether knees and elbows bend about their hinges only, and not backwards."""
    limit_sigma: float = 0.03
    """Radians by which a limb may be bent beyond its limit."""
    side_sigma: float = 0.2
    """Radians by which a hinge may be bent sideways."""
    prior: float = 0.05
    """Weight of the learned prior (`prior`), for bodies that have one; 0: habits instead. Little is enough where
    nothing was seen; with noise of 3 cm, 0.3 to 1 are better."""
    stay_sigma: float = 0.002
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


def pose_terms(
    target: Target, standing: Sequence[Term], options: PoseOptions = PoseOptions()
) -> tuple[Term, ...]:
    """The terms of a fit to 3D points: points, the pose to stay near, and what is known of people (`anatomy`)."""
    seen = SeenPoints(target.points, target.weights, options.point_sigma, options.huber)
    return seen, *near_terms(target.near, options), *standing


def near_terms(near: tuple[Tensor, Tensor] | None, options: PoseOptions = PoseOptions()) -> tuple[Term, ...]:
    """Staying near a pose, where one is given."""
    return () if near is None else (Near(*near, options.stay_sigma),)


def solve_pose(
    body_points: BodyPoints,
    terms: Sequence[Term],
    start: tuple[Float[Tensor, "N A 3 3"], Float[Tensor, "N 3"]],
    options: PoseOptions = PoseOptions(),
) -> tuple[Float[Tensor, "N A 3 3"], Float[Tensor, "N 3"]]:
    """Find the rotations and translations that cost least.

    Args:
        body_points: of one shape.
        terms: what is weighed, about the same N frames as `start`.
        start: first guess.
        options: iterations, tolerance and chunk.
    """
    local, transl = start[0].clone(), start[1].clone()
    for rows in torch.arange(len(local)).split(options.chunk):
        part = [term.rows(rows) for term in terms]
        local[rows], transl[rows] = _solve(body_points, part, (local[rows], transl[rows]), options)
    return local, transl


def pose_cost(
    body_points: BodyPoints,
    terms: Sequence[Term],
    local: Float[Tensor, "N A 3 3"],
    transl: Float[Tensor, "N 3"],
) -> Float[Tensor, " N"]:
    """Sum of all terms in each frame."""
    return _total(terms, posed(body_points, local, transl))


def _solve(body_points: BodyPoints, terms: Sequence[Term], start, options: PoseOptions):
    """Levenberg-Marquardt on one chunk; each frame has its own damping, converged ones are left out."""
    local, transl = start[0].clone(), start[1].clone()
    active = torch.arange(len(local))
    damping = torch.full((len(local),), 1e-3, dtype=local.dtype)
    for _ in range(options.iterations):
        part = [term.rows(active) for term in terms]
        here = posed(body_points, local[active], transl[active])
        H, g = _normal_equations(part, here)
        H = H + torch.diag_embed(damping[active, None] * (H.diagonal(dim1=-2, dim2=-1) + 1e-6))
        step = -torch.cholesky_solve(g[..., None], torch.linalg.cholesky(H))[..., 0]
        moved = local[active] @ rotvec_to_matrix(step[:, 3:].reshape(len(active), -1, 3))
        shifted = transl[active] + step[:, :3]
        better = _total(part, posed(body_points, moved, shifted)) <= _total(part, here)
        local[active] = torch.where(better[:, None, None, None], moved, local[active])
        transl[active] = torch.where(better[:, None], shifted, transl[active])
        damping[active] *= torch.where(better, 0.2, 20.0)
        active = active[~better | (step.abs().amax(-1) > options.tolerance)]
        if len(active) == 0:
            break
    return local, transl


def _normal_equations(terms: Sequence[Term], frames: Posed) -> tuple[Tensor, Tensor]:
    """Approximate Hessian (N, C, C) and gradient (N, C)."""
    C = 3 + 3 * frames.local.shape[1]
    H, g = frames.local.new_zeros(len(frames.local), C, C), frames.local.new_zeros(len(frames.local), C)
    for term in terms:
        term.add(frames, H, g)
    return H, g


def _total(terms: Sequence[Term], frames: Posed) -> Tensor:
    return torch.stack([term.cost(frames) for term in terms]).sum(0)


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
