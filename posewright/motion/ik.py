"""Joint rotations from joint positions by inverse kinematics: damped Gauss-Newton on all frames at once.

The closed-form guess (`initial_rotations`) is refined so that forward kinematics of the person's constant
bones comes as near to the seen joints as it can (Levenberg-Marquardt with an analytic Jacobian, 51 unknowns
per frame and person, batched). Three soft terms decide what positions leave open: stay near the guess, whose
twist is smooth over time; elbows and knees bend about their hinge only; joints stay in wide anatomical
limits.

Convention: `RIG_26`, T-pose rest facing -Y, left +X, Z up; world axes Z up; metres; a joint's local rotation
is relative to its parent and changes on the right, `R <- R exp(w)`.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from posewright.geometry.kinematics import forward_kinematics, global_to_local
from posewright.geometry.rotations import (
    continuous_quat_wxyz,
    matrix_to_quat_wxyz,
    matrix_to_rotvec,
    quat_wxyz_to_matrix,
    right_jacobian_inverse,
    rotvec_to_matrix,
)
from posewright.motion.blocks import BLOCK, frame_blocks
from posewright.motion.initial_rotations import ROTATING, GuessOptions, initial_rotations
from posewright.skeletons.joint_sets import RIG_26

_A = len(ROTATING)
_ROTATING = RIG_26.indices(*ROTATING)


@dataclass(frozen=True)
class IKOptions:
    """Strength of the terms. Every soft term is written as metres of position error that one radian is worth."""

    iterations: int = 8
    tolerance: float = 1e-5
    """Stop when no rotation changes by more than this many radians (root: metres) in a step."""
    stay: float = 0.004
    """Staying near the guess, all rotations."""
    stay_twist: float = 0.012
    """Staying near the guess about the length of shoulders, hips and spine, where positions say least."""
    hinge: float = 0.04
    """Elbow and knee rotation off the hinge axis."""
    limit: float = 0.10
    """Beyond the limits of a joint."""
    clavicle: float = 0.02
    """Clavicles away from the T-pose: shoulders rise only when the arms say so."""
    chunk: int = 512
    """Frames times people solved together: bounds memory (about 60 kB each)."""
    block: int = BLOCK
    """Frames guessed together; longer clips are cut into overlapping blocks."""
    overlap_seconds: float = 4.0
    """How far blocks look beyond their ends: twist is carried no further."""
    guess: GuessOptions = GuessOptions()


@dataclass(frozen=True)
class Pose:
    """Rotations and root of people over time, on `RIG_26`."""

    rotations_wxyz: Float[Tensor, "T P 26 4"]
    """Local, unit, sign-continuous over time; NaN where the person is missing."""
    root: Float[Tensor, "T P 3"]
    """Pelvis position, metres, world; NaN where the person is missing."""


def inverse_kinematics(
    targets: Float[Tensor, "T P 26 3"],
    weights: Float[Tensor, "T P 26"],
    offsets: Float[Tensor, "P 26 3"],
    fps: float,
    options: IKOptions = IKOptions(),
    near: Float[Tensor, "T P 26 4"] | None = None,
) -> Pose:
    """Find the rotations that put the rig's joints where the targets are.

    Args:
        targets: metres, world; NaN where not seen.
        weights: confidence in [0, 1]; 0 or NaN target: not seen, the joint follows its parent and its
            neighbours in time.
        offsets: T-pose of each person, metres (`bones.rest_offsets`).
        fps: frames per second.
        options: strength of the terms.
        near: local rotations (quaternions wxyz) to stay near instead of the closed-form guess: a solution to be
            adjusted.

    Returns:
        Rotations and root in the precision of the targets (solved in float64); a person with no seen joint in a frame
        is missing there (NaN).
    """
    blocks = []
    for part, keep in frame_blocks(len(targets), round(options.overlap_seconds * fps), options.block):
        pose = _solve_block(
            targets[part], weights[part], offsets, fps, options, None if near is None else near[part]
        )
        blocks.append(Pose(pose.rotations_wxyz[keep].to(targets.dtype), pose.root[keep].to(targets.dtype)))
    quat = torch.cat([b.rotations_wxyz for b in blocks])
    return Pose(continuous_quat_wxyz(quat), torch.cat([b.root for b in blocks]))


def _solve_block(
    targets: Tensor, weights: Tensor, offsets: Tensor, fps: float, options: IKOptions, near: Tensor | None
) -> Pose:
    """Guess and refine one block of frames; quaternion signs are not yet continuous."""
    targets, offsets = targets.double(), offsets.double()
    seen: Bool[Tensor, "T P 26"] = torch.isfinite(targets).all(-1) & (weights > 0)
    weights = torch.where(seen, weights.double(), 0.0)
    targets = torch.where(seen[..., None], targets, 0.0)
    if near is None:
        guess = initial_rotations(targets, weights, offsets, fps, options.guess)
        local = global_to_local(guess, RIG_26.parents).nan_to_num()
    else:
        local = quat_wxyz_to_matrix(near.double().nan_to_num(1.0))
    present = seen.any(-1)
    which = present.nonzero()
    root = torch.full((*present.shape, 3), torch.nan, dtype=torch.float64)
    for part in which.split(options.chunk) if len(which) else ():
        t, p = part.unbind(-1)
        problem = _Problem(targets[t, p], weights[t, p], offsets[p], local[t, p][:, _ROTATING], options)
        local_part, root_part = _solve(problem)
        local[t[:, None], p[:, None], torch.tensor(_ROTATING)] = local_part
        root[t, p] = root_part
    quat = matrix_to_quat_wxyz(torch.where(present[..., None, None, None], local, torch.eye(3).double()))
    return Pose(torch.where(present[..., None, None], quat, torch.nan), root)


@dataclass(frozen=True)
class _Problem:
    """N independent least-squares problems."""

    targets: Float[Tensor, "N 26 3"]
    weights: Float[Tensor, "N 26"]
    offsets: Float[Tensor, "N 26 3"]
    near: Float[Tensor, "N 16 3 3"]
    options: IKOptions


def _solve(problem: _Problem) -> tuple[Float[Tensor, "N 16 3 3"], Float[Tensor, "N 3"]]:
    """Levenberg-Marquardt; each of the N problems has its own damping, converged ones are left out."""
    local = problem.near.clone()
    root = _best_root(problem, local)
    N = len(local)
    damping = torch.full((N,), 1e-6, dtype=torch.float64)
    active = torch.arange(N)
    cost = torch.full((N,), torch.inf, dtype=torch.float64)
    for iteration in range(problem.options.iterations):
        part = _take(problem, active)
        H, g, here = _normal_equations(part, local[active], root[active])
        if iteration == 0:
            cost[active] = here
        size = H.diagonal(dim1=-2, dim2=-1)
        H = H + torch.diag_embed(damping[active, None] * (size + 1e-6))
        step = -torch.cholesky_solve(g[..., None], torch.linalg.cholesky(H))[..., 0]
        moved = local[active] @ rotvec_to_matrix(step[:, 3:].reshape(-1, _A, 3))
        shifted = root[active] + step[:, :3]
        new = _cost(part, moved, shifted)
        better = new <= cost[active]
        local[active] = torch.where(better[:, None, None, None], moved, local[active])
        root[active] = torch.where(better[:, None], shifted, root[active])
        cost[active] = torch.where(better, new, cost[active])
        damping[active] *= torch.where(better, 0.2, 30.0)
        active = active[~better | (step.abs().amax(-1) > problem.options.tolerance)]
        if len(active) == 0:
            break
    return local, root


def _take(problem: _Problem, rows: Tensor) -> _Problem:
    """Keep some of the problems."""
    return _Problem(
        problem.targets[rows],
        problem.weights[rows],
        problem.offsets[rows],
        problem.near[rows],
        problem.options,
    )


def _pose(problem: _Problem, local: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
    """Positions and global rotations of all 26 joints."""
    full = torch.eye(3, dtype=torch.float64).expand(len(local), len(RIG_26), 3, 3).clone()
    full[:, _ROTATING] = local
    return forward_kinematics(full, problem.offsets, root, RIG_26.parents)


def _best_root(problem: _Problem, local: Tensor) -> Tensor:
    """Root position (N, 3) that fits best with the rotations as they are."""
    positions, _ = _pose(problem, local, torch.zeros_like(problem.targets[:, 0]))
    weight = problem.weights[..., None]
    return (weight * (problem.targets - positions)).sum(1) / weight.sum(1).clamp(min=1e-9)


def _cost(problem: _Problem, local: Tensor, root: Tensor) -> Tensor:
    """Half the weighted sum of squares (N,), square metres."""
    positions, _ = _pose(problem, local, root)
    fit = (problem.weights * (positions - problem.targets).square().sum(-1)).sum(-1)
    return 0.5 * fit + sum(
        0.5 * (scale * residual).square().sum((-1, -2)) for scale, residual, _ in _soft_terms(problem, local)
    )


def _normal_equations(problem: _Problem, local: Tensor, root: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gauss-Newton matrix (N, 51, 51), gradient (N, 51) and cost (N,); unknowns: root, then 16 rotations."""
    positions, rotations = _pose(problem, local, root)
    N = len(local)
    arm = positions[:, :, None] - positions[:, None, _ROTATING]
    arm = arm * torch.tensor(_ANCESTRY, dtype=torch.float64)[..., None]
    axes = rotations[:, _ROTATING].mT
    jacobian = torch.linalg.cross(axes[:, None], arm[..., None, :].expand(-1, -1, -1, 3, -1), dim=-1)
    jacobian = jacobian.permute(0, 1, 4, 2, 3).reshape(N, 26, 3, 3 * _A)
    shift = torch.eye(3, dtype=torch.float64).expand(N, 26, 3, 3)
    jacobian = torch.cat([shift, jacobian], -1).reshape(N, 78, 3 + 3 * _A)
    residual = (positions - problem.targets).reshape(N, 78)
    weight = problem.weights.repeat_interleave(3, dim=1)
    weighted = (weight[..., None] * jacobian).mT
    H, g = weighted @ jacobian, (weighted @ residual[..., None])[..., 0]
    cost = 0.5 * (weight * residual.square()).sum(-1)
    blocks = torch.zeros(N, _A, 3, 3, dtype=torch.float64)
    pull = torch.zeros(N, _A, 3, dtype=torch.float64)
    for scale, soft, derivative in _soft_terms(problem, local):
        scaled = scale[..., None] * derivative
        blocks += scaled.mT @ scaled
        pull += (scaled.mT @ (scale * soft)[..., None])[..., 0]
        cost = cost + 0.5 * (scale * soft).square().sum((-1, -2))
    for a in range(_A):
        block = slice(3 + 3 * a, 6 + 3 * a)
        H[:, block, block] += blocks[:, a]
    g[:, 3:] += pull.reshape(N, 3 * _A)
    return H, g, cost


def _soft_terms(problem: _Problem, local: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Scale, residual (N, 16, 3) and its derivative (N, 16, 3, 3) of: stay near the guess.

    Hinges, limits, clavicles.
    """
    options = problem.options
    stray = matrix_to_rotvec(problem.near.mT @ local)
    stay = options.stay + (options.stay_twist - options.stay) * torch.tensor(_TWIST, dtype=torch.float64)
    turn = matrix_to_rotvec(local)
    low, high = torch.tensor(_LIMITS, dtype=torch.float64).unbind(-1)
    excess = turn - turn.clamp(low, high)
    derivative = right_jacobian_inverse(turn)
    bend = torch.tensor(_HINGED, dtype=torch.float64)
    limit = torch.where((bend > 0) & (low == high), options.hinge, options.limit)
    raised = options.clavicle * torch.tensor(_CLAVICLE, dtype=torch.float64)
    outside = (excess != 0).double()[..., None]
    return [
        (stay.expand_as(stray), stray, right_jacobian_inverse(stray)),
        (limit.expand_as(turn), excess, derivative * outside),
        (raised.expand_as(turn), turn, derivative),
    ]


def _ancestry() -> list[list[float]]:
    """(26, 16) 1 where the rotating joint is a true ancestor of the joint, so that turning it moves the joint."""
    table = []
    for joint in range(len(RIG_26)):
        above, parent = set(), RIG_26.parents[joint]
        while parent >= 0:
            above.add(parent)
            parent = RIG_26.parents[parent]
        table.append([float(a in above) for a in _ROTATING])
    return table


def _degrees(*ranges: tuple[float, float]) -> list[tuple[float, float]]:
    return [(math.radians(a), math.radians(b)) for a, b in ranges]


def _joint_table(values: dict[str, list], default: list) -> list[list]:
    """One entry per rotating joint, by name or by name without its side."""
    return [values.get(j, values.get(j.split("_")[-1], default)) for j in ROTATING]


_FREE = _degrees((-400, 400), (-400, 400), (-400, 400))
_LIMITS = _joint_table(
    {
        "spine": _degrees((-60, 45), (-40, 40), (-50, 50)),
        "thorax": _degrees((-75, 45), (-45, 45), (-60, 60)),
        "neck": _degrees((-60, 60), (-45, 45), (-75, 75)),
        "clavicle": _degrees((-25, 25), (-45, 45), (-35, 35)),
        "left_elbow": _degrees((0, 0), (0, 0), (-160, 4)),
        "right_elbow": _degrees((0, 0), (0, 0), (-4, 160)),
        "knee": _degrees((-6, 160), (0, 0), (0, 0)),
        "ankle": _degrees((-75, 45), (-40, 40), (-40, 40)),
    },
    _FREE,
)
"""Range of each component of the local rotation vector, radians. X turns forward-backward (positive: top goes
back), Y sideways, Z about the long axis. Pelvis, shoulders and hips are free: a rotation vector cannot bound
them sensibly."""

_TWIST = _joint_table(
    {"shoulder": [1, 0, 0], "hip": [0, 0, 1], "spine": [0, 0, 1], "clavicle": [1, 0, 0]}, [0, 0, 0]
)
_HINGED = _joint_table({"elbow": [1, 1, 1], "knee": [1, 1, 1]}, [0, 0, 0])
_CLAVICLE = _joint_table({"clavicle": [1, 1, 1]}, [0, 0, 0])
_ANCESTRY = _ancestry()
