"""The points of a body that a joint set names, as functions of its pose alone: what a fit looks at.

A point is a mixture of points fixed in joints' frames: `p = sum_m w_m (o_k + R_k x_m)`, where `o_k` and `R_k` are place
and rotation of joint `k`. A joint is such a point with one term and `x = 0`; a landmark has one term per joint it is
skinned to. Without the thousands of vertices of the mesh, forward kinematics and its derivative are quick.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from posewright.bodies.model import BodyModel
from posewright.geometry.kinematics import forward_kinematics

_LIMBS = ("clavicle", "shoulder", "elbow", "hip", "knee", "ankle")


@dataclass(frozen=True)
class BodyPoints:
    """Points of one shape of a body."""

    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Float[Tensor, "J 3"]
    """Of each joint from its parent in the zero pose; 0 for the root."""
    origin: Float[Tensor, "3"]
    """Place of the root where `transl` is 0."""
    term_point: Tensor
    """(M,) the point each term belongs to."""
    term_joint: Tensor
    """(M,) the joint it is fixed to."""
    term_weight: Float[Tensor, " M"]
    term_place: Float[Tensor, "M 3"]
    """In the joint's frame, metres."""
    active: tuple[int, ...]
    """Joints that turn in a fit, parents first; the others keep their zero pose."""
    defined: Tensor
    """(P,) bool: the body has this point."""

    def __call__(
        self, local: Float[Tensor, "N A 3 3"], transl: Float[Tensor, "N 3"]
    ) -> Float[Tensor, "N P 3"]:
        """Pose the points: local rotations of the active joints, translation in metres."""
        return self.posed(local, transl)[0]

    def posed(
        self, local: Float[Tensor, "N A 3 3"], transl: Float[Tensor, "N 3"]
    ) -> tuple[
        Float[Tensor, "N P 3"], Float[Tensor, "N M 3"], Float[Tensor, "N J 3"], Float[Tensor, "N J 3 3"]
    ]:
        """Points, the place of every term, the joints, and their rotations."""
        joints, rotations = forward_kinematics(
            self.every(local), self.offsets, self.origin + transl, self.parents
        )
        terms = (
            joints[:, self.term_joint] + (rotations[:, self.term_joint] @ self.term_place[..., None])[..., 0]
        )
        weighted = terms * self.term_weight[:, None]
        points = weighted.new_zeros(len(local), len(self.defined), 3).index_add_(1, self.term_point, weighted)
        return points, terms, joints, rotations

    def every(self, local: Float[Tensor, "N A 3 3"]) -> Float[Tensor, "N J 3 3"]:
        """Local rotations of all joints."""
        full = torch.eye(3, dtype=local.dtype).expand(len(local), len(self.parents), 3, 3).clone()
        full[:, list(self.active)] = local
        return full

    @cached_property
    def reach(self) -> Float[Tensor, "A M"]:
        """1 where turning an active joint moves a term, 0 elsewhere."""
        table = torch.zeros(len(self.active), len(self.term_joint), dtype=self.offsets.dtype)
        row = {joint: a for a, joint in enumerate(self.active)}
        own = (self.term_place.abs().amax(-1) > 1e-9).tolist()
        for m, joint in enumerate(self.term_joint.tolist()):
            joint = joint if own[m] else self.parents[joint]  # a joint does not move by its own turning
            while joint >= 0:
                if joint in row:
                    table[row[joint], m] = 1.0
                joint = self.parents[joint]
        return table

    @cached_property
    def _levers(self) -> tuple[Float[Tensor, "PA M"], Float[Tensor, "P A"]]:
        """Weights of the terms in each point that an active joint moves, and their sums."""
        spread = torch.zeros(len(self.defined), len(self.term_point), dtype=self.offsets.dtype)
        spread[self.term_point, torch.arange(len(self.term_point))] = 1.0
        weight = self.reach * self.term_weight
        return (spread[:, None] * weight).flatten(0, 1), spread @ weight.mT

    def jacobian(
        self,
        terms: Float[Tensor, "N M 3"],
        joints: Float[Tensor, "N J 3"],
        rotations: Float[Tensor, "N J 3 3"],
    ) -> Float[Tensor, "N P 3 C"]:
        """Derivative of the points by translation and by `R <- R exp(w)` of each active joint, C = 3 + 3 A."""
        N, P, A = len(terms), len(self.defined), len(self.active)
        lever, share = self._levers
        total = (lever @ terms).unflatten(1, (P, A))
        arm = total - share[None, :, :, None] * joints[:, None, list(self.active)]
        turned = rotations[:, list(self.active)]
        # d p = (R w) x arm, column by column of R
        columns = torch.linalg.cross(turned.mT[:, None], arm[:, :, :, None].expand(N, P, A, 3, 3), dim=-1)
        moved = torch.eye(3, dtype=terms.dtype).expand(N, P, 3, 3)
        return torch.cat([moved, columns.permute(0, 1, 4, 2, 3).reshape(N, P, 3, 3 * A)], -1)


def body_points(body: BodyModel, betas: Float[Tensor, " S"], joint_set: str) -> BodyPoints:
    """The points of a joint set on a body of one shape, in float64, differentiable in the shape."""
    table = _terms(body, joint_set)
    zero = body.zero_pose(betas.to(body.template)[None])
    joints, marks = zero.joints[0].double(), zero.landmarks[0].double()
    turn = zero.turns[0].double()
    above = [0, *body.parents[1:]]
    from_joint = marks[table.landmark] - zero.rest_joints[0].double()[table.joint]
    place = (turn[table.joint] @ from_joint[..., None])[..., 0] * table.is_landmark[:, None]
    return BodyPoints(
        body.joint_names,
        body.parents,
        joints - joints[above],
        joints[0],
        table.point,
        table.joint,
        table.weight,
        place,
        active_joints(body),
        table.defined,
    )


@dataclass(frozen=True)
class _Terms:
    """What the points of a joint set are made of, whatever the shape."""

    point: Tensor
    joint: Tensor
    weight: Tensor
    landmark: Tensor
    """(M,) row of the landmark, 0 for terms that are joints."""
    is_landmark: Tensor
    """(M,) 1.0 or 0.0."""
    defined: Tensor


def _terms(body: BodyModel, joint_set: str) -> _Terms:
    """Split each named place into joints and skinned landmarks."""
    index, share = body.point_table(joint_set)
    defined = torch.isfinite(share).all(-1)
    rows: list[tuple[int, int, float, int, float]] = []
    J = len(body.joint_names)
    for p in defined.nonzero()[:, 0].tolist():
        for source, part in zip(index[p].tolist(), share[p].tolist(), strict=True):
            if source < J and part > 0:
                rows.append((p, source, part, 0, 0.0))
            elif part > 0:
                row = body.vertex_count + source - J
                joints, weights = body.weights.joints[row].tolist(), body.weights.weights[row].tolist()
                rows += [
                    (p, k, part * w, source - J, 1.0) for k, w in zip(joints, weights, strict=True) if w > 0
                ]
    point, joint, weight, landmark, is_landmark = (torch.tensor(column) for column in zip(*rows, strict=True))
    return _Terms(point, joint, weight.double(), landmark, is_landmark.double(), defined)


def active_joints(body: BodyModel) -> tuple[int, ...]:
    """Joints that a fit turns: the root, the trunk and neck, and the limbs' joints; no fingers, toes, face or twist."""
    names = [f"{side}_{limb}" for side in ("left", "right") for limb in _LIMBS] + ["neck"]
    rows = {body.joint_names.index(rule[0]) for n in names if len(rule := body.points.get(n, ())) == 1}
    trunk = [body.joint_names.index(body.points[n][0]) for n in ("left_clavicle", "neck") if n in body.points]
    for joint in trunk:
        while joint >= 0:
            rows.add(joint)
            joint = body.parents[joint]
    return tuple(sorted(rows | {0}))


def with_vertices(
    points: BodyPoints, body: BodyModel, betas: Float[Tensor, " S"], vertices: Sequence[int]
) -> BodyPoints:
    """The same points and, behind them, some vertices of the mesh, skinned (corrections from the pose left out)."""
    zero = body.zero_pose(betas.to(body.template)[None])
    rest = body.rest_vertices(betas.to(body.template)).double()
    rows: list[tuple[int, int, float, int]] = []
    for p, vertex in enumerate(vertices, start=len(points.defined)):
        joints, weights = body.weights.joints[vertex].tolist(), body.weights.weights[vertex].tolist()
        rows += [(p, k, w, vertex) for k, w in zip(joints, weights, strict=True) if w > 0]
    point, joint, weight, vertex = (torch.tensor(column) for column in zip(*rows, strict=True))
    from_joint = rest[vertex] - zero.rest_joints[0].double()[joint]
    place = (zero.turns[0].double()[joint] @ from_joint[..., None])[..., 0]
    return replace(
        points,
        term_point=torch.cat([points.term_point, point]),
        term_joint=torch.cat([points.term_joint, joint]),
        term_weight=torch.cat([points.term_weight, weight.double()]),
        term_place=torch.cat([points.term_place, place]),
        defined=torch.cat([points.defined, torch.ones(len(vertices), dtype=torch.bool)]),
    )
