"""First guess of joint rotations from joint positions, in closed form.

Trunk, head and feet: the rotation that best turns rest bones onto seen bones (orthogonal Procrustes, Kabsch
1976), with a faint pull towards the parent so that unseen parts follow it. Limbs: the upper bone's direction
gives the swing, the plane of elbow or knee gives the twist. A straight limb has no such plane; its twist is
carried from neighbouring frames by parallel transport of the hinge axis along the path of the bone, one
complex number per frame and limb, solved for the whole clip at once as a banded least-squares problem.

Convention: `RIG_26`; world axes; rotations act on columns and map the joint's T-pose axes to the world
("global").
"""

from dataclasses import dataclass

import numpy as np
import roma
import scipy.linalg
import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from posewright.geometry.rotations import rotation_between
from posewright.skeletons.joint_sets import RIG_26

ROTATING = (
    "pelvis",
    "spine",
    "thorax",
    "neck",
    "left_clavicle",
    "left_shoulder",
    "left_elbow",
    "right_clavicle",
    "right_shoulder",
    "right_elbow",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_hip",
    "right_knee",
    "right_ankle",
)
"""Joints of the rig that turn; the others are leaves and keep the identity."""

_LIMBS = (
    ("left_shoulder", "left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow", "right_wrist"),
    ("left_hip", "left_knee", "left_ankle"),
    ("right_hip", "right_knee", "right_ankle"),
)
_BONE = ((1.0, 0, 0), (-1.0, 0, 0), (0, 0, -1.0), (0, 0, -1.0))
"""Rest direction of each limb's two bones."""
HINGE = ((0, 0, -1.0), (0, 0, 1.0), (1.0, 0, 0), (1.0, 0, 0))
"""Rest axis about which each limb's elbow or knee flexes by a positive angle: forearms come forward, shins go
back."""
_NEUTRAL = ((0.15, -0.05, -1.0), (-0.15, -0.05, -1.0), (0, 0, -1.0), (0, 0, -1.0))
"""Where a limb that is never seen points, in the axes of trunk or pelvis: it hangs."""

_IDENTITY_PULL = 1e-4
"""Square metres: strength of 'as the parent' in a Procrustes fit of bones of some decimetres."""


@dataclass(frozen=True)
class GuessOptions:
    """How limb twist is carried over time. Weights are relative to a right-angled elbow or knee."""

    carry_seconds: float = 0.03
    """Reach of the carrying at a right angle; it grows as 1 / sin(flexion)."""
    rest_pull: float = 1e-3
    """Pull of twist towards the smallest rotation from the T-pose, for limbs that stay straight."""
    foot_pull: float = 0.02
    """Weight of 'the knee bends where the foot points' for legs."""


def initial_rotations(
    targets: Float[Tensor, "T P 26 3"],
    weights: Float[Tensor, "T P 26"],
    offsets: Float[Tensor, "P 26 3"],
    fps: float,
    options: GuessOptions = GuessOptions(),
) -> Float[Tensor, "T P 26 3 3"]:
    """Guess global rotations of all joints from where the joints are.

    Args:
        targets: metres, world, finite; what stands where the weight is 0 does not matter.
        weights: 0 for joints not seen, up to 1.
        offsets: T-pose, metres (`bones.rest_offsets`).
        fps: frames per second.
        options: carrying of twist.
    """
    pose = _Observed(targets, weights, offsets)
    R = torch.eye(3, dtype=targets.dtype).expand(*targets.shape[:3], 3, 3).clone()
    _trunk(pose, R)
    _clavicles(pose, R)
    _limbs(pose, R, fps, options)
    _feet(pose, R)
    for joint in ("heel", "toe"):
        for side in ("left", "right"):
            R[:, :, RIG_26.index(f"{side}_{joint}")] = R[:, :, RIG_26.index(f"{side}_ankle")]
    for joint in ("head", "nose", "left_ear", "right_ear"):
        R[:, :, RIG_26.index(joint)] = R[:, :, RIG_26.index("neck")]
    for side in ("left", "right"):
        R[:, :, RIG_26.index(f"{side}_wrist")] = R[:, :, RIG_26.index(f"{side}_elbow")]
    return R


@dataclass(frozen=True)
class _Observed:
    """Seen joints and the T-pose, by joint name."""

    targets: Tensor
    weights: Tensor
    offsets: Tensor

    def bone(self, start: str, end: str) -> tuple[Tensor, Tensor]:
        """Seen vector (T, P, 3) between two joints and its weight (T, P)."""
        a, b = RIG_26.indices(start, end)
        return self.targets[:, :, b] - self.targets[:, :, a], torch.minimum(
            self.weights[:, :, a], self.weights[:, :, b]
        )

    def pair(
        self, start: str, end: str, rest: Tensor | None = None, scale: float = 1.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Seen vector, rest vector (P, 3) (by default the end's offset) and weight, for `_procrustes`."""
        seen, weight = self.bone(start, end)
        return seen, self.offsets[:, RIG_26.index(end)] if rest is None else rest, scale * weight


def _procrustes(
    pairs: list[tuple[Tensor, Tensor, Tensor]], prior: Tensor, pull: float = _IDENTITY_PULL
) -> Tensor:
    """Rotation (T, P, 3, 3) that best turns rest vectors onto seen ones; `prior` decides what they leave open."""
    total = pull * prior
    for seen, rest, weight in pairs:
        total = total + (weight[..., None] * seen)[..., :, None] * rest[..., None, :]
    turned = roma.special_procrustes(total)
    assert isinstance(turned, Tensor)
    return turned


def _trunk(pose: _Observed, R: Tensor) -> None:
    """Fill pelvis, spine, thorax and neck of `R`."""
    hips = pose.offsets[:, RIG_26.index("left_hip")] - pose.offsets[:, RIG_26.index("right_hip")]
    shoulders = 2 * (
        pose.offsets[:, RIG_26.index("left_clavicle")] + pose.offsets[:, RIG_26.index("left_shoulder")]
    )
    spine, thorax, neck = (pose.offsets[:, RIG_26.index(j)] for j in ("spine", "thorax", "neck"))
    hip_line = pose.pair("right_hip", "left_hip", hips)
    shoulder_line = pose.pair("right_shoulder", "left_shoulder", shoulders)
    faint = [
        pose.pair("pelvis", "thorax", spine + thorax, 0.05),
        pose.pair("pelvis", "neck", spine + thorax + neck, 0.05),
    ]
    rough = _procrustes([hip_line, (*shoulder_line[:2], 0.3 * shoulder_line[2]), *faint], R[:, :, 0])
    pelvis = _procrustes([hip_line, pose.pair("pelvis", "spine"), faint[0]], rough, 10 * _IDENTITY_PULL)
    half = 0.5 * (hips.norm(dim=-1) / shoulders.norm(dim=-1))[..., None]
    middle = [(*hip_line[:2], 0.5 * hip_line[2]), (half * shoulder_line[0], shoulders, shoulder_line[2])]
    chest = _procrustes([pose.pair("spine", "thorax"), *middle], rough, 10 * _IDENTITY_PULL)
    top = _procrustes([pose.pair("thorax", "neck"), shoulder_line], chest, 10 * _IDENTITY_PULL)
    face = [pose.pair("neck", j) for j in ("head", "nose", "left_ear", "right_ear")]
    names = RIG_26.indices("pelvis", "spine", "thorax", "neck")
    R[:, :, names] = torch.stack([pelvis, chest, top, _procrustes(face, top)], 2)


def _clavicles(pose: _Observed, R: Tensor) -> None:
    """Fill the clavicles of `R`: the smallest turn from the thorax that points at the shoulder."""
    thorax = R[:, :, RIG_26.index("thorax")]
    for side in ("left", "right"):
        clavicle, shoulder = RIG_26.indices(f"{side}_clavicle", f"{side}_shoulder")
        seen, weight = pose.bone("thorax", f"{side}_shoulder")
        rest = pose.offsets[:, shoulder].expand(seen.shape)
        local = (thorax.mT @ seen[..., None])[..., 0] - pose.offsets[:, clavicle]
        local = torch.where((weight > 0)[..., None], local, rest)
        R[:, :, clavicle] = thorax @ rotation_between(rest, local)


def _limbs(pose: _Observed, R: Tensor, fps: float, options: GuessOptions) -> None:
    """Fill shoulders, elbows, hips and knees of `R`."""
    dtype = R.dtype
    parent = R[:, :, RIG_26.indices("thorax", "thorax", "pelvis", "pelvis")]
    upper, upper_weight = _limb_bones(pose, parent, 0)
    lower, lower_weight = _limb_bones(pose, parent, 1)
    neutral = torch.nn.functional.normalize(torch.tensor(_NEUTRAL, dtype=dtype), dim=-1)
    upper = _fill_directions(upper, upper_weight, neutral, fps)
    lower = _fill_directions(lower, lower_weight, neutral, fps)
    bone, hinge = torch.tensor(_BONE, dtype=dtype), torch.tensor(HINGE, dtype=dtype)
    zero = (rotation_between(bone.expand(upper.shape), upper) @ hinge[..., None])[..., 0]
    evidence = torch.linalg.cross(upper, lower, dim=-1)
    evidence, strength = _hinge_evidence(
        pose, parent, lower, evidence, torch.minimum(upper_weight, lower_weight), options
    )
    twist = _carry_twist(upper, zero, evidence, strength, (upper * bone).sum(-1), fps, options)
    axis = twist.real[..., None] * zero + twist.imag[..., None] * torch.linalg.cross(upper, zero, dim=-1)
    for level, direction in enumerate((upper, lower)):
        joints = RIG_26.indices(*(limb[level] for limb in _LIMBS))
        R[:, :, joints] = parent @ _frame(direction, axis) @ _frame(bone, hinge).mT


def _limb_bones(pose: _Observed, parent: Tensor, level: int) -> tuple[Tensor, Tensor]:
    """Unit directions (T, P, 4, 3) of one bone of each limb in the axes of its parent, and weights (T, P, 4)."""
    seen, weight = zip(*(pose.bone(limb[level], limb[level + 1]) for limb in _LIMBS), strict=True)
    seen, weight = torch.stack(seen, 2), torch.stack(weight, 2)
    weight = torch.where(seen.norm(dim=-1) > 1e-6, weight, 0.0)
    return torch.nn.functional.normalize((parent.mT @ seen[..., None])[..., 0], dim=-1), weight


def _hinge_evidence(
    pose: _Observed, parent: Tensor, lower: Tensor, axis: Tensor, weight: Tensor, options: GuessOptions
) -> tuple[Tensor, Tensor]:
    """Sum the votes for each limb's hinge axis: elbow and knee planes and, for legs, where the foot points."""
    votes = weight[..., None] * axis * axis.norm(dim=-1, keepdim=True)
    strength = weight * axis.square().sum(-1)
    for n, side in ((2, "left"), (3, "right")):
        sole, sole_weight = pose.bone(f"{side}_heel", f"{side}_toe")
        forward = torch.nn.functional.normalize((parent[:, :, n].mT @ sole[..., None])[..., 0], dim=-1)
        vote = torch.linalg.cross(forward, lower[:, :, n], dim=-1)
        votes[:, :, n] += options.foot_pull * sole_weight[..., None] * vote
        strength[:, :, n] += options.foot_pull * sole_weight * vote.norm(dim=-1)
    return votes, strength


def _carry_twist(
    upper: Tensor,
    zero: Tensor,
    evidence: Tensor,
    strength: Tensor,
    along_rest: Tensor,
    fps: float,
    options: GuessOptions,
) -> Complex[Tensor, "T P 4"]:
    """Unit complex numbers: angle of the hinge axis about the upper bone from `zero`, smooth over time.

    Minimises sum strength |c_t - seen_t|^2 + rest |c_t - 1|^2 + carry |c_t+1 - c_t e^(i delta_t)|^2, where
    delta_t is the angle by which parallel transport from t to t+1 turns `zero`.
    """
    side = torch.linalg.cross(upper, zero, dim=-1)
    seen = torch.complex((evidence * zero).sum(-1), (evidence * side).sum(-1))
    rest = options.rest_pull * (1 + along_rest).clamp(min=0) / 2 + 1e-9
    moved = (rotation_between(upper[:-1], upper[1:]) @ zero[:-1, ..., None])[..., 0]
    phase = torch.complex((moved * zero[1:]).sum(-1), (moved * side[1:]).sum(-1))
    carry = torch.full(phase.shape, (options.carry_seconds * fps) ** 2, dtype=upper.dtype)
    c = solve_chain(seen + rest, strength + rest, carry, phase)
    size = c.abs()
    return torch.where(size > 1e-9, c / size.clamp(min=1e-9), torch.ones_like(c))


def solve_chain(right: Tensor, diagonal: Tensor, coupling: Tensor, phase: Tensor | None = None) -> Tensor:
    """Smooth N chains of T numbers at once: one least-squares problem over time, solved exactly.

    Minimises `sum diagonal |x_t|^2 - 2 Re(conj(x_t) right_t) + sum coupling |x_t+1 - phase_t x_t|^2`. All
    chains are laid end to end into one banded Hermitian system.

    Args:
        right: (T, ...) real or complex: data times their weights.
        diagonal: (T, ...) weights of the data, positive somewhere in each chain.
        coupling: (T - 1, ...) how strongly neighbours hold together.
        phase: (T - 1, ...) complex unit factor from each frame to the next, or None: 1.

    Returns:
        (T, ...) the smooth chains.
    """
    T = len(right)
    flat = right.flatten(1).T.numpy() if right.ndim > 1 else right[None].numpy()
    if T <= 1 or flat.size == 0:
        return right / diagonal
    main = diagonal.reshape(T, len(flat)).T.numpy().copy()
    link = coupling.reshape(T - 1, len(flat)).T.numpy()
    turn = np.ones_like(link) if phase is None else phase.reshape(T - 1, len(flat)).T.numpy()
    main[:, :-1] += link * np.abs(turn) ** 2
    main[:, 1:] += link
    below = np.zeros((len(flat), T), turn.dtype)
    below[:, : T - 1] = -link * turn
    banded = np.stack([main.ravel().astype(below.dtype), below.ravel()])
    solution = scipy.linalg.solveh_banded(banded, flat.ravel(), lower=True, check_finite=False)
    return torch.from_numpy(solution.reshape(flat.shape).T.copy()).reshape(right.shape)


def _fill_directions(
    direction: Float[Tensor, "T P L 3"],
    weight: Float[Tensor, "T P L"],
    neutral: Float[Tensor, "L 3"],
    fps: float,
) -> Float[Tensor, "T P L 3"]:
    """Replace directions of weight 0 by a smooth path between seen ones that relaxes to `neutral` in a second."""
    seen: Bool[Tensor, "T P L"] = weight > 0
    if bool(seen.all()):
        return direction
    strength = torch.where(seen, 1e4, 1.0 / fps**2).to(direction.dtype)[..., None].expand(direction.shape)
    goal = torch.where(seen[..., None], direction, neutral.expand(direction.shape))
    coupling = torch.ones_like(direction[1:])
    filled = solve_chain(strength * goal, strength, coupling)
    filled = torch.nn.functional.normalize(filled + 1e-9 * neutral, dim=-1)
    return torch.where(seen[..., None], direction, filled)


def _feet(pose: _Observed, R: Tensor) -> None:
    """Fill the ankles of `R` from heel and toe; the shin decides what they leave open."""
    for side in ("left", "right"):
        shin = R[:, :, RIG_26.index(f"{side}_knee")]
        across = torch.tensor([1.0, 0, 0], dtype=R.dtype).expand(pose.offsets.shape[0], 3)
        pairs = [pose.pair(f"{side}_ankle", f"{side}_{end}") for end in ("heel", "toe")]
        pairs.append((shin[..., 0], across, torch.full(shin.shape[:2], 2e-3, dtype=R.dtype)))
        R[:, :, RIG_26.index(f"{side}_ankle")] = _procrustes(pairs, shin, 2 * _IDENTITY_PULL)


def _frame(first: Float[Tensor, "*B 3"], second: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3 3"]:
    """Rotation whose first column is `first` and whose second is `second` made perpendicular to it."""
    first = torch.nn.functional.normalize(first, dim=-1)
    second = second - (second * first).sum(-1, keepdim=True) * first
    second = torch.nn.functional.normalize(second, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second, dim=-1)], -1)
