"""MHR, the Momentum Human Rig: the body of SAM 3D Body, from a file of the user's own.

A. Ferguson et al., "MHR: Momentum Human Rig", 2025, https://arxiv.org/abs/2511.15586; code
https://github.com/facebookresearch/MHR (Apache-2.0), https://github.com/facebookresearch/momentum (MIT). A linear map
takes 204 model parameters to 7 parameters of each joint; these move, turn and scale the joints from the root down;
vertices are blended from 45 shapes of the identity and 72 of the face, corrected by the pose through a small network,
and skinned linearly. Vertices and joints equal those of the official classes in the tests, on a rig of random numbers.

`MHRModel` is a `BodyModel` like any other: local rotations pose it, `betas` shape it. Its betas are the coefficients of
the identity, and behind them every model parameter that moves or scales joints (proportions). Model parameters in MHR's
own layout, such as those of SAM 3D Body, become the same body by `params_from_mhr`, exactly.

Convention: the file's own axes in metres, Y up, facing +Z, left along +X; `BodyModel.upright` as `global_orient` stands
a body up in our world. Identity everywhere is MHR's pose of parameters 0. Differs from MHR: the joint `body_world`,
which never moves, is left out, and `transl` moves the root.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from posewright.bodies.mhr_file import find_mhr, read_mhr
from posewright.bodies.mhr_rig import MHRRig, body_data, correction_buffers, rig_buffers, rig_of
from posewright.bodies.model import BodyData, BodyModel, RestPose
from posewright.geometry.rotations import euler_to_matrix, matrix_to_rot6d_cols
from posewright.structures.bodies import BodyParams


def load_mhr(
    path: str | Path | None = None,
    correctives: bool = True,
    skinning: str = "linear",
    dtype: torch.dtype = torch.float32,
) -> "MHRModel":
    """Load MHR from `mhr_model.pt` of its published assets, or from an npz of the same arrays.

    Args:
        path: the file; None: looked for in the search path (`bodies.smpl_files`).
        correctives: with the corrections by the pose, which take 0.66 GB of memory. Without them a skinned mesh in a
            file can show the body exactly (`bodies.rig`).
        skinning: `linear`; MHR scales its joints, which dual quaternions cannot.
        dtype: float32 or float64.

    Raises:
        LookupError, FileNotFoundError: no such file; says where was looked.
        InputError: the file is no MHR rig; nothing in it is executed.
        ValueError: another skinning.
    """
    if skinning != "linear":
        raise ValueError(f"skinning is {skinning!r}, expected linear: joints of MHR have scales")
    rig = rig_of(read_mhr(find_mhr(path), correctives))
    return MHRModel(body_data(rig), rig, dtype)


class MHRModel(BodyModel):
    """The MHR body; see the module for how its parameters are those of a `BodyModel`.

    Args:
        data: what it shares with other bodies.
        rig: joints, parameters, network of the corrections.
        dtype: float32 or float64.
    """

    offsets: Tensor
    zero_rotations: Tensor
    """(J, 3, 3) axes of MHR's own joints in the zero pose: its rotations are `mesh.rotations @ zero_rotations`."""
    ancestors: Tensor
    bind_joints: Tensor
    bind_turns: Tensor
    angle_map: Tensor
    place_map: Tensor
    scale_map: Tensor
    rigid_map: Tensor
    proportion_columns: Tensor
    hidden: Tensor | None
    correction: Tensor | None
    landmark_correction: Tensor | None

    def __init__(self, data: BodyData, rig: MHRRig, dtype: torch.dtype = torch.float32):
        super().__init__(data, "linear", dtype)
        self.identity_count, self.parameter_count = len(rig.arrays.identity), rig.parameters.shape[-1]
        self.parameter_names = (rig.arrays.parameter_names or ())[: self.parameter_count]
        self._first_corrected = rig.first_corrected
        for name, tensor in (rig_buffers(rig) | correction_buffers(rig)).items():
            self.register_buffer(name, tensor, persistent=False)
        self.to(dtype)

    def params_from_mhr(
        self,
        identity: Float[Tensor, "*B I"],
        model_parameters: Float[Tensor, "*B M"],
        expression: Float[Tensor, "*B E"] | None = None,
    ) -> BodyParams:
        """Parameters of the body that MHR's own parameters describe: the same vertices and joints.

        Args:
            identity: coefficients of the identity (45); leading dimensions broadcast.
            model_parameters: pose and proportions (204), the root's translation in decimetres; `mhr_model_params` of
                SAM 3D Body, whose vertices are in camera axes: `mesh.vertices * (1, -1, -1) + pred_cam_t`.
            expression: coefficients of the face (72).

        Raises:
            ValueError: another number of parameters.
        """
        for name, tensor, count in (
            ("identity", identity, self.identity_count),
            ("model_parameters", model_parameters, self.parameter_count),
        ):
            if tensor.shape[-1] != count:
                raise ValueError(
                    f"body {self.name}: {name} has shape {tuple(tensor.shape)}, expected (..., {count})"
                )
        batch = torch.broadcast_shapes(identity.shape[:-1], model_parameters.shape[:-1])
        proportions = model_parameters[..., self.proportion_columns]
        angles = (model_parameters @ self.angle_map).unflatten(-1, (-1, 3))
        own = euler_to_matrix(angles.flip(-1), "ZYX")
        local = self.zero_rotations @ own @ self.zero_rotations.mT
        return BodyParams(
            torch.cat([identity.expand(*batch, -1), proportions.expand(*batch, -1)], -1),
            local[..., 0, :, :],
            local[..., 1:, :, :],
            model_parameters @ self.rigid_map,
            expression,
        )

    def point_table(self, joint_set: str, side: str | None = None) -> tuple[Tensor, Tensor]:
        """As of every body; a rig whose joints have no names is refused.

        Raises:
            LookupError: the file does not name its joints, and its tree is not the released one.
        """
        if not self.points:
            raise LookupError(
                f"body {self.name}: its joints have no names that are known, so that no joint of {joint_set} can be "
                "found; the released mhr_model.pt (127 joints) has them"
            )
        return super().point_table(joint_set, side)

    def _vertex_coefficients(self, coefficients: Float[Tensor, "C S"]) -> Float[Tensor, "C D"]:
        """Those of identity and face: proportions move joints only."""
        face = coefficients[:, len(self.shape_names) :]
        return torch.cat([coefficients[:, : self.identity_count], face], -1)

    def _rest_pose(self, coefficients: Float[Tensor, "C S"]) -> RestPose:
        """Joints moved and scaled by the proportions; scales are handed down from parent to child."""
        proportions = coefficients[:, self.identity_count : len(self.shape_names)]
        log_scales = proportions @ self.scale_map
        scales = torch.exp2(log_scales @ self.ancestors)
        above = torch.exp2(log_scales @ (self.ancestors - torch.eye(len(self.parents)).to(log_scales)))
        placed = self.offsets + (proportions @ self.place_map).unflatten(-1, (-1, 3))
        offsets = above[..., None] * placed
        root, no_offset = offsets[:, 0], torch.zeros_like(offsets[:, :1])
        return RestPose(
            self.bind_joints.expand(len(coefficients), -1, 3),
            scales[..., None, None] * self.bind_turns,
            torch.cat([no_offset, offsets[:, 1:]], 1),
            root,
        )

    @property
    def corrects_by_pose(self) -> bool:
        """Whether vertices depend on the pose otherwise than by skinning."""
        return self.correction is not None

    def _pose_correction(self, local: Float[Tensor, "N J 3 3"]) -> Float[Tensor, "3V N"]:
        """The network: rotations of joints in their own axes, two columns each, less those of the identity."""
        assert self.hidden is not None
        assert self.correction is not None
        assert self.landmark_correction is not None
        axes = self.zero_rotations[self._first_corrected :]
        own = axes.mT @ local[:, self._first_corrected :] @ axes
        straight = matrix_to_rot6d_cols(torch.eye(3).to(own))
        features = (matrix_to_rot6d_cols(own) - straight).flatten(1)
        active = torch.relu(self.hidden @ features.mT)
        return torch.cat([self.correction @ active, self.landmark_correction @ active])
