"""One shape of a body as a mesh with four joints per vertex, for files and pages that know linear skinning only.

Bodies blend up to nine joints per vertex; glTF viewers take four. Keeping the four strongest moves vertices around neck
and armpits by centimetres, so for vertices with more, four joints and their weights are chosen that follow the body
best in poses of the motion to be shown: least squares over all choices of four. After D. L. James and C. D. Twigg,
"Skinning mesh animations" (ACM TOG 24(3), 2005), with the joints' transforms given, and a vertex's own joints as
candidates.

Convention: as `structures.motion_bodies.BodyRig`.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from posewright.bodies.model import BodyModel
from posewright.geometry.rotations import quat_wxyz_to_matrix
from posewright.structures.bodies import BodyParams
from posewright.structures.motion_bodies import BodyRig, MotionBodies

INFLUENCES = 4
CANDIDATES = 9
"""Joints of a vertex among which four are chosen, by weight."""
FAINT = 1e-3
"""Weight beyond the fourth joint up to which a vertex keeps its four strongest."""
POSES = 40
"""Frames in which the weights are compared."""
LEVER = 1e-3
"""Metres: how much a weight must matter to differ from the body's own."""
STIFF = 0.02
"""Weight of keeping a vertex where the shape has it, against the poses."""


def clip_params(body: BodyModel, bodies: MotionBodies, p: int, frames: np.ndarray) -> BodyParams:
    """Parameters of one person in some frames.

    Args:
        body: the model that `bodies` name, any topology.
        bodies: of a motion.
        p: place of the person.
        frames: (N,) indices.

    Returns:
        `betas` (S,), the others with N leading; NaN where the person is missing.

    Raises:
        LookupError: the model lacks a joint of `bodies`.
    """
    missing = sorted(set(bodies.joint_names) - set(body.joint_names))
    if missing or bodies.shape_names != body.shape_names:
        raise LookupError(
            f"bodies of {bodies.model} have joints or shape parameters that body {body.name} lacks"
            + (f": {', '.join(missing[:5])}" if missing else "")
        )
    like = body.template
    local = torch.eye(3).to(like).repeat(len(frames), len(body.parents), 1, 1)
    rows = [body.joint_names.index(n) for n in bodies.joint_names]
    local[:, rows] = quat_wxyz_to_matrix(torch.from_numpy(bodies.rotations_wxyz[frames, p]).to(like))
    transl = torch.from_numpy(bodies.transl[frames, p]).to(like)
    return BodyParams(torch.from_numpy(bodies.betas[p]).to(like), local[:, 0], local[:, 1:], transl)


def body_rig(body: BodyModel, bodies: MotionBodies, p: int) -> BodyRig:
    """Make the mesh of one person, with weights that suit the person's motion.

    Raises:
        ValueError: a body whose vertices depend on the pose otherwise than by skinning (the SMPL family's corrections).
    """
    if body.corrects_by_pose:
        hint = "; load it with correctives=False" if body.name == "mhr" else ""
        raise ValueError(
            f"body {body.name} corrects its vertices by the pose, which a skinned mesh in a file cannot{hint}"
        )
    frames = np.flatnonzero(bodies.present()[:, p])
    frames = frames[np.linspace(0, len(frames) - 1, min(len(frames), POSES)).astype(int)]
    params = clip_params(body, bodies, p, frames)
    shape = _rest_shape(body, params.betas)
    joints, weights = _four_strongest(body)
    vertices, rows = shape.vertices.clone(), _beyond_four(body)
    if len(frames) and len(rows):
        transforms = _transforms(body, params, shape)
        joints[rows], weights[rows] = _best_four(body, rows, shape.vertices, transforms)
        vertices[rows] = _settled(body, rows, shape.vertices, joints[rows], weights[rows], transforms)
    return BodyRig(
        model=bodies.model,
        shape=tuple(zip(bodies.shape_names, bodies.betas[p].tolist(), strict=True)),
        joint_names=body.joint_names,
        parents=tuple(body.parents),
        joints=shape.zero_joints.float().numpy(),
        vertices=vertices.float().numpy(),
        faces=body.faces.to(torch.int32).numpy(),
        **_skin(joints.numpy(), weights.float().numpy()),
        bind=shape.bind().float().numpy(),
    )


def _skin(joints: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Fields of `BodyRig`: weights that add up to 1 in float32 too, joint 0 where there is no weight."""
    weights[:, 0] = 1.0 - weights[:, 1:].sum(-1)
    return {"skin_joints": np.where(weights > 0, joints, 0).astype(np.uint8), "skin_weights": weights}


@dataclass(frozen=True)
class _RestShape:
    """One shape before it is posed, float64."""

    vertices: Float[Tensor, "V 3"]
    joints: Float[Tensor, "J 3"]
    turns: Float[Tensor, "J 3 3"]
    """From the rest pose to the zero pose."""
    zero_joints: Float[Tensor, "J 3"]

    def bind(self) -> Float[Tensor, "J 4 4"]:
        """Takes points of the shape into the frame of each joint."""
        shift = -(self.turns @ self.joints[..., None])
        top = torch.cat([self.turns, shift], -1)
        bottom = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=top.dtype).expand(len(top), 1, 4)
        return torch.cat([top, bottom], -2)


def _rest_shape(body: BodyModel, betas: Float[Tensor, " S"]) -> _RestShape:
    """Vertices and joints of a shape."""
    zero = body.zero_pose(betas[None])
    return _RestShape(
        body.rest_vertices(betas).double(),
        zero.rest_joints[0].double(),
        zero.turns[0].double(),
        zero.joints[0].double(),
    )


def _transforms(
    body: BodyModel, params: BodyParams, shape: _RestShape
) -> tuple[Float[Tensor, "N J 3 3"], Float[Tensor, "N J 3"]]:
    """What each joint does to points of the shape: `x -> R x + t`."""
    mesh = body(params)
    R = mesh.rotations.double() @ shape.turns
    return R, mesh.joints.double() - (R @ shape.joints[..., None])[..., 0]


def _four_strongest(body: BodyModel) -> tuple[Tensor, Float[Tensor, "V 4"]]:
    """Joints and weights (V, 4), renormalised."""
    V = body.vertex_count
    joints = body.weights.joints[:V, :INFLUENCES].clone()
    weights = body.weights.weights[:V, :INFLUENCES].double()
    joints[weights == 0] = 0
    return joints, weights / weights.sum(-1, keepdim=True)


def _beyond_four(body: BodyModel) -> Tensor:
    """Vertices that follow more than four joints."""
    beyond = body.weights.weights[: body.vertex_count, INFLUENCES:].sum(-1)
    return (beyond > FAINT).nonzero()[:, 0]


def _candidates(body: BodyModel, rows: Tensor) -> tuple[Tensor, Float[Tensor, "R K"]]:
    """The body's own joints and weights of some vertices."""
    own = body.weights.weights[rows, :CANDIDATES].double()
    return body.weights.joints[rows, :CANDIDATES], own / own.sum(-1, keepdim=True)


def _best_four(
    body: BodyModel, rows: Tensor, vertices: Float[Tensor, "V 3"], transforms: tuple[Tensor, Tensor]
) -> tuple[Tensor, Float[Tensor, "R 4"]]:
    """Joints and weights of some vertices, chosen by least squares among all choices of four."""
    joints, own = _candidates(body, rows)
    G = _gram(vertices[rows], joints, own, *transforms)
    best = torch.full((len(rows),), torch.inf, dtype=torch.float64)
    chosen, weights = joints[:, :INFLUENCES].clone(), own[:, :INFLUENCES].clone()
    for four in combinations(range(joints.shape[1]), INFLUENCES):
        subset = torch.tensor(four)
        w, cost = _weights_of(G, own, subset)
        better = cost < best
        best = torch.where(better, cost, best)
        chosen[better], weights[better] = joints[better][:, subset], w[better]
    order = weights.argsort(dim=1, descending=True)
    return chosen.gather(1, order), weights.gather(1, order)


def _gram(vertices: Tensor, joints: Tensor, own: Tensor, R: Tensor, t: Tensor) -> Float[Tensor, "R K K"]:
    """Mean products of how far each candidate alone carries a vertex from where the body has it, square metres."""
    G = vertices.new_zeros(len(vertices), joints.shape[1], joints.shape[1])
    for rotation, shift in zip(R, t, strict=True):
        alone = (rotation[joints] @ vertices[:, None, :, None])[..., 0] + shift[joints]
        off = alone - (own[..., None] * alone).sum(1, keepdim=True)
        G += off @ off.mT
    return G / len(R)


def _weights_of(G: Tensor, own: Tensor, subset: Tensor) -> tuple[Float[Tensor, "R 4"], Float[Tensor, " R"]]:
    """Weights of four candidates that add up to 1 and are not negative, and their cost in square metres."""
    near = LEVER**2 * torch.eye(len(subset), dtype=G.dtype)
    part = G[:, subset][:, :, subset]
    both = torch.stack([LEVER**2 * own[:, subset], torch.ones_like(own[:, subset])], -1)
    wish, even = torch.linalg.solve(part + near, both).unbind(-1)
    w = wish + even * ((1 - wish.sum(-1)) / even.sum(-1))[:, None]
    w = w.clamp(min=0)
    w = w / w.sum(-1, keepdim=True)
    full = torch.zeros_like(own).index_copy_(1, subset, w)
    off = (w[:, None] @ part @ w[..., None])[:, 0, 0]
    return w, off + LEVER**2 * (full - own).square().sum(-1)


def _settled(
    body: BodyModel,
    rows: Tensor,
    vertices: Float[Tensor, "V 3"],
    joints: Tensor,
    weights: Float[Tensor, "R 4"],
    transforms: tuple[Tensor, Tensor],
) -> Float[Tensor, "R 3"]:
    """Places of some vertices from which their four joints carry them best to where the body has them."""
    own_joints, own = _candidates(body, rows)
    start = vertices[rows]
    H = STIFF**2 * torch.eye(3, dtype=start.dtype).repeat(len(rows), 1, 1)
    g = STIFF**2 * start[..., None]
    share = 1.0 / len(transforms[0])
    for R, t in zip(*transforms, strict=True):
        true = (_blend(own, R[own_joints]) @ start[..., None])[..., 0] + _blend(own, t[own_joints])
        A, shift = _blend(weights, R[joints]), _blend(weights, t[joints])
        H += share * A.mT @ A
        g += share * A.mT @ (true - shift)[..., None]
    return torch.linalg.solve(H, g)[..., 0]


def _blend(weights: Float[Tensor, "R K"], values: Float[Tensor, "R K ..."]) -> Tensor:
    """Weighted sum over joints."""
    return torch.einsum("rk,rk...->r...", weights, values)
