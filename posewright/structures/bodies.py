"""`BodyParams` and `BodyMesh`: what goes into a body model and what comes out, as tensors with gradients."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class BodyParams:
    """Shape and pose of any number of bodies; leading dimensions `*B` (people, frames) broadcast.

    Convention: a rotation is relative to the parent joint, in axes parallel to the body's own axes at rest, and acts
    on columns; identity everywhere is the body's rest pose. `BodyModel.rest_params` gives one to change with
    `dataclasses.replace`.
    """

    betas: Float[Tensor, "*B S"]
    """Shape coefficients, named by `BodyModel.shape_names`: SMPL's betas, Anny's phenotypes in [0, 1]."""
    global_orient: Float[Tensor, "*B 3 3"]
    """Rotation of the root joint relative to the world."""
    body_pose: Float[Tensor, "*B K 3 3"]
    """Rotations of all joints but the root, K = joints - 1, in the order of `BodyModel.joint_names[1:]`: hands, jaw
    and eyes are among them."""
    transl: Float[Tensor, "*B 3"]
    """Metres, added to every vertex and joint; the root's rotation turns about the root joint."""
    expression: Float[Tensor, "*B E"] | None = None
    """Face coefficients, named by `BodyModel.expression_names`; None: all 0, and no time is spent on them."""

    def map(self, change: Callable[[Tensor], Tensor]) -> "BodyParams":
        """Apply `change` to every tensor, such as `lambda x: x[3]` or `lambda x: x.to(device)`."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: change(x) for name, x in tensors.items() if x is not None})


@dataclass(frozen=True)
class BodyMesh:
    """Bodies with their skin: vertices and joints in the axes of `BodyParams.global_orient`, metres."""

    vertices: Float[Tensor, "*B V 3"]
    """Metres."""
    joints: Float[Tensor, "*B J 3"]
    """The model's own joints, metres, in the order of `BodyModel.joint_names`."""
    rotations: Float[Tensor, "*B J 3 3"]
    """Rotation of each joint relative to the world."""
    landmarks: Float[Tensor, "*B L 3"]
    """Points on and in the body that are no joints (nose, heels, finger tips), in the order of
    `BodyModel.landmark_names`, metres."""
    faces: Tensor
    """(F, 3) int64 vertex indices; counterclockwise seen from outside."""
