"""`BodyModel`: shape blend, forward kinematics, skinning. One module for every body.

The pipeline is that of M. Loper et al., "SMPL: a skinned multi-person linear model" (ACM TOG 34(6), 2015, section 3):
rest vertices and joints are linear in shape coefficients, corrections may be linear in the pose, joints move by
forward kinematics, vertices follow by skinning. Anny (R. Bregier et al., 2025, arXiv 2511.03589) has no corrections
from the pose, and gives each joint a rest orientation that follows the shape; its zero pose is one in which every
joint has a fixed reference orientation, so that a pose means the same for a child and an adult.

Convention: `BodyParams` and `BodyMesh` say what goes in and out. `BodyModel.upright` turns the body's own rest axes
into the world's (Z up, facing -Y): the identity for Anny, 90 degrees about X for the SMPL family, whose files are Y up.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from posewright.bodies.skinning import SKINNINGS, SkinWeights
from posewright.geometry.kinematics import forward_kinematics
from posewright.geometry.nearest_rotation import nearest_rotation
from posewright.geometry.rotations import rotvec_to_matrix
from posewright.skeletons import joint_sets
from posewright.structures.bodies import BodyMesh, BodyParams

Y_UP = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))
"""`upright` of a body whose file is Y up and faces +Z."""


class LinearCode(nn.Module):
    """Shape and face parameters that are blend coefficients already, as in the SMPL family."""

    def forward(self, betas: Float[Tensor, "N S"]) -> Float[Tensor, "N S"]:
        return betas


@dataclass(frozen=True)
class RestOrientation:
    """Rest orientations of joints that follow the shape: the rotation nearest to `template + coefficients * dirs`."""

    template: Float[Tensor, "J 3 3"]
    dirs: Float[Tensor, "S J 3 3"]
    reference: Float[Tensor, "J 3 3"]
    """Orientation of each joint in the zero pose."""


@dataclass(frozen=True)
class BodyData:
    """All numbers of a body at rest; what a loader hands to `BodyModel`. Metres."""

    name: str
    joint_names: tuple[str, ...]
    """The model's own names."""
    parents: tuple[int, ...]
    """-1 for the root, which is joint 0."""
    template: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    shape_dirs: Float[Tensor, "S V 3"]
    """Displacement of each vertex per unit of each coefficient: those of the shape, then those of the face."""
    joint_template: Float[Tensor, "J 3"]
    joint_dirs: Float[Tensor, "S J 3"]
    skin_joints: Int[Tensor, "V K"]
    skin_weights: Float[Tensor, "V K"]
    shape_names: tuple[str, ...]
    expression_names: tuple[str, ...] = ()
    shape_default: float = 0.0
    """Value of every shape parameter of the mean body."""
    code: nn.Module = field(default_factory=LinearCode)
    """Takes shape parameters to blend coefficients."""
    pose_dirs: Float[Tensor, "9K V 3"] | None = None
    """Displacement per entry of `R - 1` of every joint but the root (SMPL equation 9)."""
    orientation: RestOrientation | None = None
    landmark_names: tuple[str, ...] = ()
    landmarks: "BodyData | None" = None
    """Points that are skinned like vertices: their `template`, `shape_dirs`, `pose_dirs` and weights are used."""
    points: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Named places of `skeletons.joint_sets`: the mean of these joints and landmarks."""
    uv: Float[Tensor, "U 2"] | None = None
    """Texture coordinates, v upwards."""
    uv_faces: Int[Tensor, "F 3"] | None = None
    """Indices into `uv` of each face's corners."""
    upright: tuple[tuple[float, ...], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class ZeroPose:
    """Joints and landmarks of C shapes whose every local rotation is the identity, metres."""

    joints: Float[Tensor, "C J 3"]
    rest_joints: Float[Tensor, "C J 3"]
    """Before each joint is brought to its reference orientation."""
    turns: Float[Tensor, "C J 3 3"]
    """That rotation: `x -> joint + turn (x - rest_joint)`."""
    landmarks: Float[Tensor, "C L 3"]
    """In the pose of `rest_joints`, not yet skinned."""


@dataclass(frozen=True)
class RestPose:
    """Where the joints of C shapes are, before they turn, metres."""

    joints: Float[Tensor, "C J 3"]
    """Places that the skin at rest takes hold of."""
    turns: Float[Tensor, "C J 3 3"] | None
    """From there to the zero pose (with a scale, where joints scale); None: the identity."""
    offsets: Float[Tensor, "C J 3"]
    """Of each joint from its parent in the zero pose; 0 for the root."""
    root: Float[Tensor, "C 3"]
    """Place of the root in the zero pose where `transl` is 0."""


class BodyModel(nn.Module):
    """A parametric body, stateless: `body(params)` is a `BodyMesh`, differentiable in every parameter.

    Args:
        data: the numbers; see the loaders in `bodies.anny` and `bodies.smpl`.
        skinning: `linear` or `dual_quaternion`.
        dtype: float32 or float64; `.double()` afterwards does the same.
    """

    template: Tensor
    shape_dirs: Tensor
    joint_template: Tensor
    joint_dirs: Tensor
    pose_dirs: Tensor | None
    orientation_template: Tensor
    orientation_dirs: Tensor
    reference: Tensor
    faces: Tensor
    part_labels: Tensor
    upright: Tensor
    uv: Tensor | None
    uv_faces: Tensor | None

    def __init__(self, data: BodyData, skinning: str = "linear", dtype: torch.dtype = torch.float32):
        super().__init__()
        if skinning not in SKINNINGS:
            raise ValueError(f"skinning is {skinning!r}, expected one of {', '.join(SKINNINGS)}")
        self.name, self.skinning = data.name, skinning
        self.joint_names, self.parents = data.joint_names, data.parents
        self.shape_names, self.expression_names = data.shape_names, data.expression_names
        self.landmark_names, self.points = data.landmark_names, dict(data.points)
        self.shape_default, self.code = data.shape_default, data.code
        self.vertex_count = len(data.template)
        every = _with_landmarks(data)
        self.weights = SkinWeights(every.skin_joints, every.skin_weights, len(data.joint_names))
        self._add_buffers(data, every)
        self.to(dtype)

    def _add_buffers(self, data: BodyData, every: BodyData) -> None:
        """Register every tensor: nothing of a body is learned."""
        flat_pose = None if every.pose_dirs is None else every.pose_dirs.flatten(1)
        buffers = {
            "template": every.template.reshape(-1),
            "shape_dirs": every.shape_dirs.flatten(1),
            "joint_template": data.joint_template,
            "joint_dirs": data.joint_dirs.flatten(1),
            "pose_dirs": flat_pose,
            "faces": data.faces.long(),
            "part_labels": self.weights.joints[: self.vertex_count, 0],
            "upright": torch.tensor(data.upright),
            "uv": data.uv,
            "uv_faces": data.uv_faces,
        }
        if data.orientation is not None:
            buffers["orientation_template"] = data.orientation.template.reshape(-1)
            buffers["orientation_dirs"] = data.orientation.dirs.flatten(1)
            buffers["reference"] = data.orientation.reference
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)
        self.has_orientation = data.orientation is not None

    def rest_params(self, *batch: int) -> BodyParams:
        """Parameters of the mean shape in the zero pose, with leading dimensions `batch`."""
        like = self.template
        eye = torch.eye(3, dtype=like.dtype, device=like.device)
        return BodyParams(
            betas=like.new_full((*batch, len(self.shape_names)), self.shape_default),
            global_orient=eye.expand(*batch, 3, 3).clone(),
            body_pose=eye.expand(*batch, len(self.parents) - 1, 3, 3).clone(),
            transl=like.new_zeros(*batch, 3),
        )

    def params_from_rotvec(
        self,
        pose: Float[Tensor, "*B J 3"],
        betas: Float[Tensor, "*B S"] | None = None,
        transl: Float[Tensor, "*B 3"] | None = None,
        expression: Float[Tensor, "*B E"] | None = None,
    ) -> BodyParams:
        """Parameters from rotation vectors of all joints, the root first: the axis-angle pose of SMPL files."""
        rest = self.rest_params(*pose.shape[:-2])
        matrices = rotvec_to_matrix(pose)
        return BodyParams(
            rest.betas if betas is None else betas,
            matrices[..., 0, :, :],
            matrices[..., 1:, :, :],
            rest.transl if transl is None else transl,
            expression,
        )

    def forward(self, params: BodyParams) -> BodyMesh:
        """Shape, pose and skin bodies; leading dimensions of the parameters broadcast."""
        self._check(params)
        batch = torch.broadcast_shapes(
            params.betas.shape[:-1],
            params.global_orient.shape[:-2],
            params.body_pose.shape[:-3],
            params.transl.shape[:-1],
            () if params.expression is None else params.expression.shape[:-1],
        )
        count = math.prod(batch)
        local = self._local_rotations(params, batch).reshape(count, -1, 3, 3)
        transl = params.transl.expand(*batch, 3).reshape(count, 3)
        coefficients = self._coefficients(params, batch)
        rest = self._rest_pose(coefficients)
        joints, rotations = forward_kinematics(local, rest.offsets, rest.root + transl, self.parents)
        skin_rotations = rotations if rest.turns is None else rotations @ rest.turns
        skin_shifts = joints - (skin_rotations @ rest.joints[..., None])[..., 0]
        skin = self._rest_vertices(coefficients, local)
        points = SKINNINGS[self.skinning](skin, skin_rotations, skin_shifts, self.weights)
        points = points.permute(2, 0, 1).reshape(*batch, -1, 3)
        return BodyMesh(
            points[..., : self.vertex_count, :],
            joints.reshape(*batch, -1, 3),
            rotations.reshape(*batch, -1, 3, 3),
            points[..., self.vertex_count :, :],
            self.faces,
        )

    def rest_joints(
        self, betas: Float[Tensor, "*B S"], expression: Float[Tensor, "*B E"] | None = None
    ) -> Float[Tensor, "*B J 3"]:
        """Joints of a shape in the zero pose at `transl` 0, without its vertices: what bone lengths need."""
        batch = betas.shape[:-1]
        face = None if expression is None else expression.reshape(-1, expression.shape[-1])
        coefficients = self._blend_coefficients(betas.reshape(-1, betas.shape[-1]), face)
        return self._zero_joints(self._rest_pose(coefficients)).reshape(*batch, -1, 3)

    def zero_pose(self, betas: Float[Tensor, "C S"]) -> "ZeroPose":
        """Joints and landmarks of shapes in the zero pose at `transl` 0, without their vertices: what a fit needs."""
        coefficients = self._blend_coefficients(betas)
        rest = self._rest_pose(coefficients)
        eye = torch.eye(3).to(rest.joints).expand(*rest.joints.shape[:-1], 3, 3)
        marks = slice(3 * self.vertex_count, None)
        blend = self._vertex_coefficients(coefficients)
        landmarks = self.template[marks] + blend @ self.shape_dirs[: blend.shape[-1], marks]
        turns = eye if rest.turns is None else rest.turns
        return ZeroPose(
            self._zero_joints(rest), rest.joints, turns, landmarks.reshape(len(coefficients), -1, 3)
        )

    def rest_vertices(self, betas: Float[Tensor, " S"]) -> Float[Tensor, "V 3"]:
        """Vertices of one shape before posing: at the joints of `ZeroPose.rest_joints`, metres."""
        points = self._rest_vertices(self._blend_coefficients(betas[None]), None)
        return points[: self.vertex_count, :, 0]

    def joints(self, mesh: BodyMesh, joint_set: str, side: str | None = None) -> Float[Tensor, "*B P 3"]:
        """Read the joints of a set of `skeletons.joint_sets` off a mesh: `coco_17`, `h36m_17`, `body_24`...

        Args:
            mesh: what this model returned.
            joint_set: name of the set.
            side: `left` or `right`, for sets of one hand (`hand_21`).

        Returns:
            Metres; NaN for joints that this body does not have (`defined_joints` tells). The model's own joint set
            gives its own joints.

        Raises:
            LookupError: unknown set, or a set of which this body has no joint at all.
        """
        if joint_sets.get(joint_set).joint_names == self.joint_names:
            return mesh.joints
        index, weight = self.point_table(joint_set, side)
        sources = torch.cat([mesh.joints, mesh.landmarks], -2)
        picked = sources[..., index.to(sources.device), :]
        return (picked * weight.to(sources)[..., None]).sum(-2)

    def defined_joints(self, joint_set: str, side: str | None = None) -> tuple[bool, ...]:
        """Tell which joints of a set this body has."""
        names = joint_sets.get(joint_set).joint_names
        own = names == self.joint_names
        return tuple(own or self._place(name, joint_set, side) in self.points for name in names)

    def _place(self, joint: str, joint_set: str, side: str | None) -> str:
        """Name under which this body keeps a joint of a set."""
        if joint == "thorax" and joint_set in CMU_HEAD and "thorax_between_shoulders" in self.points:
            return "thorax_between_shoulders"
        return _place(joint, joint_set, side)

    def point_table(self, joint_set: str, side: str | None = None) -> tuple[Tensor, Tensor]:
        """What each joint of a set is a mean of: indices into joints, then landmarks; weights (NaN where undefined).

        Both (P, width).
        """
        names = joint_sets.get(joint_set).joint_names
        known = self.defined_joints(joint_set, side)
        if not any(known):
            hint = "; pass side='left' or side='right'" if joint_set.startswith("hand") else ""
            raise LookupError(
                f"body {self.name} has no joint of {joint_set}{hint}; it has: {', '.join(self.points)}"
            )
        position = {n: i for i, n in enumerate((*self.joint_names, *self.landmark_names))}
        width = max(len(rule) for rule in self.points.values())
        index, weight = torch.zeros(len(names), width).long(), torch.zeros(len(names), width)
        for row, (name, there) in enumerate(zip(names, known, strict=True)):
            rule = self.points[self._place(name, joint_set, side)] if there else ()
            index[row, : len(rule)] = torch.tensor([position[n] for n in rule], dtype=torch.long)
            weight[row, : len(rule)] = 1.0 / max(len(rule), 1)
            if not there:
                weight[row] = torch.nan
        return index, weight

    def _check(self, params: BodyParams) -> None:
        """Say which parameter has the wrong size."""
        expected = {
            "betas": (params.betas, (len(self.shape_names),)),
            "global_orient": (params.global_orient, (3, 3)),
            "body_pose": (params.body_pose, (len(self.parents) - 1, 3, 3)),
            "transl": (params.transl, (3,)),
            "expression": (params.expression, (len(self.expression_names),)),
        }
        for name, (tensor, shape) in expected.items():
            if tensor is not None and tuple(tensor.shape[-len(shape) :]) != shape:
                wanted = ", ".join(map(str, shape))
                raise ValueError(
                    f"body {self.name}: {name} has shape {tuple(tensor.shape)}, expected (..., {wanted})"
                )

    def _local_rotations(self, params: BodyParams, batch: Sequence[int]) -> Float[Tensor, "*B J 3 3"]:
        root = params.global_orient[..., None, :, :].expand(*batch, 1, 3, 3)
        return torch.cat([root, params.body_pose.expand(*batch, -1, 3, 3)], -3)

    def _coefficients(self, params: BodyParams, batch: Sequence[int]) -> Float[Tensor, "N S"]:
        """Blend coefficients; a single row if all bodies of the batch share shape and face."""
        face = params.expression
        parts = [params.betas] if face is None else [params.betas, face]
        if all(math.prod(x.shape[:-1]) == 1 for x in parts):
            rows = [x.reshape(1, -1) for x in parts]
        else:
            rows = [x.expand(*batch, -1).reshape(-1, x.shape[-1]) for x in parts]
        return self._blend_coefficients(*rows)

    def _blend_coefficients(
        self, betas: Float[Tensor, "N S"], expression: Float[Tensor, "N E"] | None = None
    ) -> Float[Tensor, "N C"]:
        coded = self.code(betas)
        return coded if expression is None else torch.cat([coded, expression.expand(len(coded), -1)], -1)

    def _vertex_coefficients(self, coefficients: Float[Tensor, "C S"]) -> Float[Tensor, "C D"]:
        """The blend coefficients that move vertices, in the order of `shape_dirs`."""
        return coefficients

    def _rest_vertices(
        self, coefficients: Float[Tensor, "C S"], local: Float[Tensor, "N J 3 3"] | None
    ) -> Float[Tensor, "V 3 N"]:
        """Vertices and landmarks before posing, bodies last; one body if all are alike. None: no correction."""
        blend = self._vertex_coefficients(coefficients)
        rest = torch.addmm(self.template[:, None], self.shape_dirs[: blend.shape[-1]].mT, blend.mT)
        if local is not None and self.corrects_by_pose:
            rest = rest + self._pose_correction(local)
        return rest.reshape(-1, 3, rest.shape[-1])

    @property
    def corrects_by_pose(self) -> bool:
        """Whether vertices depend on the pose otherwise than by skinning."""
        return self.pose_dirs is not None

    def _pose_correction(self, local: Float[Tensor, "N J 3 3"]) -> Float[Tensor, "3V N"]:
        """Displacements of vertices and landmarks before skinning, of a body that `corrects_by_pose`."""
        assert self.pose_dirs is not None
        eye = torch.eye(3, dtype=local.dtype, device=local.device)
        return self.pose_dirs.mT @ (local[:, 1:] - eye).flatten(1).mT

    def _rest_pose(self, coefficients: Float[Tensor, "C S"]) -> RestPose:
        """Joints of the shape, and the rotation of each from the shape's rest pose to the zero pose."""
        use = coefficients.shape[-1]
        shift = (coefficients @ self.joint_dirs[:use]).reshape(len(coefficients), -1, 3)
        joints = self.joint_template + shift
        parents = [0, *self.parents[1:]]
        offsets = joints - joints[:, parents]
        if not self.has_orientation:
            return RestPose(joints, None, offsets, joints[:, 0])
        M = torch.addmm(self.orientation_template, coefficients, self.orientation_dirs[:use])
        turns = self.reference @ nearest_rotation(M.reshape(len(M), -1, 3, 3)).mT
        offsets = (turns[:, parents] @ offsets[..., None])[..., 0]
        return RestPose(joints, turns, offsets, joints[:, 0])

    def _zero_joints(self, rest: RestPose) -> Float[Tensor, "C J 3"]:
        """Joints whose every local rotation is the identity."""
        eye = torch.eye(3).to(rest.joints).expand(*rest.joints.shape[:-1], 3, 3)
        return forward_kinematics(eye, rest.offsets, rest.root, self.parents)[0]


def _with_landmarks(data: BodyData) -> BodyData:
    """Append the landmarks to the vertices."""
    marks = data.landmarks
    if marks is None:
        return data
    pose = data.pose_dirs
    if pose is not None and marks.pose_dirs is not None:
        pose = torch.cat([pose, marks.pose_dirs], 1)
    return replace(
        data,
        template=torch.cat([data.template, marks.template]),
        shape_dirs=torch.cat([data.shape_dirs, marks.shape_dirs], 1),
        pose_dirs=pose,
        skin_joints=_stacked(data.skin_joints, marks.skin_joints),
        skin_weights=_stacked(data.skin_weights, marks.skin_weights),
    )


def _stacked(a: Tensor, b: Tensor) -> Tensor:
    """Rows of both, the narrower one padded by zeros on the right."""
    width = max(a.shape[1], b.shape[1])
    return torch.cat([nn.functional.pad(x, (0, width - x.shape[1])) for x in (a, b)])


CMU_HEAD = frozenset({"body_24", "body_26", "rig_26", "mocap_19"})
"""Joint sets of CMU's recordings: their `head` is a point at eye height, not the top of the head, and their `thorax`
lies a little below the line of the shoulders, 10 cm below the base of the neck."""

MIDDLE_OF_HAND = frozenset({"smpl_24", "mpi_28"})
"""Joint sets whose `hand` lies in the hand; elsewhere it is the wrist."""


def _place(joint: str, joint_set: str, side: str | None) -> str:
    """Name under which a body keeps a joint of a set."""
    if side is not None:
        return f"{side}_{'hand' if joint == 'wrist' else joint}"
    if joint == "head" and joint_set in CMU_HEAD:
        return "head_at_eyes"
    if joint_set in MIDDLE_OF_HAND and joint.endswith("_hand"):
        return joint.replace("_hand", "_palm")
    return joint
