"""UAO: a lifter that says how sure it is of each joint, and uses it to correct its own input at test time.

Wang, Liu, Liu, Ren, You, Li, Sebe, Li, "Uncertainty-Aware Testing-Time Optimization for 3D Human Pose Estimation", IEEE
TMM 2025, https://arxiv.org/abs/2402.02339. Official code: https://github.com/xiu-cs/UAO-Pose3D (MIT). The network,
GUMLP, mixes a graph convolution and U-shaped perceptrons over channels and over joints; it gives each joint a mean and
a scale. The optimisation is `fitting.refine.refine_latents`: the paper places the pose at the true root (an oracle),
`pw.lift` at the root estimated from the first pose (deployable).

What differs: the official code averages the loss over a batch, whose size then matters a little to Adam; here frames
are independent. Added: `covariance` and `hypotheses`, which read the scale as that of a Gaussian; the paper draws none.

Convention: keypoints (B, T, 17, 2), Human3.6M, screen units (x / w * 2 - 1, y / w * 2 - h / w); joints (B, T, 17, 3) in
metres, camera axes, relative to the pelvis. Frames do not see one another.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.core.weights import Paper, Weights
from posewright.fitting.refine import Image, Refinement, RefineOptions, refine_latents
from posewright.nn.attention import StochasticDepth, rising
from posewright.nn.checkpoints import KeyTable, load_strictly, official_arguments
from posewright.nn.mirror import check_sides, mirrored
from posewright.nn.partitioned_graph import NodeLayerNorm, PartitionedGraphConvolution, spatial_partition
from posewright.nn.sampler_options import check_sampler
from posewright.nn.spatiotemporal import check_window
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="Uncertainty-Aware Testing-Time Optimization for 3D Human Pose Estimation",
    venue="IEEE TMM 2025",
    url="https://arxiv.org/abs/2402.02339",
    code="https://github.com/xiu-cs/UAO-Pose3D",
    code_licence="MIT",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=2, output_frames="all", short_clips=True)
MIRROR: list[int] = H36M_17.mirror.tolist()
DEVIATION = math.sqrt(math.pi / 8)
"""Standard deviation along an axis over the expected distance, of a Gaussian with the same spread in all directions."""


@dataclass(frozen=True)
class Config:
    """Sizes and settings as in section 4 and the official scripts."""

    channel: int = 512
    """C, width of a joint's features."""
    layers: int = 3
    """L."""
    embedding: int = 64
    """Width inside the encoder."""
    channel_hidden: int = 256
    """Width inside the perceptron over channels."""
    joint_factor: int = 6
    """Width inside the perceptron over joints, per joint."""
    drop_path_rate: float = 0.2
    channel_drop_rate: float = 0.1
    joint_drop_rate: float = 0.05
    iterations: int = 4
    """Steps of the test-time optimisation where a camera is at hand; 0: none. `forward` does none."""
    learning_rate: float = 1e-3
    """Of its Adam."""
    projection_weight: float = 1.0
    uncertainty_weight: float = 0.005
    test_time_augmentation: bool = True
    """Optimise the mirrored frame too, and average."""
    num_proposals: int = 20
    """Poses that `hypotheses` draws."""
    seed: int = 0
    """Of these poses."""

    def __post_init__(self) -> None:
        check_sampler(self)
        assert self.refine_options  # refuses what cannot be

    @property
    def refine_options(self) -> RefineOptions:
        """Settings of the test-time optimisation."""
        return RefineOptions(
            self.iterations, self.learning_rate, self.projection_weight, self.uncertainty_weight
        )

    @property
    def frames(self) -> int:
        """Frames the pose depends on."""
        return 1

    @property
    def num_joints(self) -> int:
        """Joints of Human3.6M."""
        return len(H36M_17)


def layer(dim_in: int, dim_out: int, dropout: float) -> nn.Sequential:
    """Linear layer, exact GELU, dropout."""
    return nn.Sequential(nn.Linear(dim_in, dim_out), nn.GELU(), nn.Dropout(dropout))


class ChannelPerceptron(nn.Module):
    """U-shaped perceptron over the channels of a joint: down, on with a shortcut, up."""

    def __init__(self, dim: int, hidden: int, dropout: float):
        super().__init__()
        self.down, self.mid = layer(dim, hidden, dropout), layer(hidden, hidden, dropout)
        self.up = layer(hidden, dim, dropout)

    def forward(self, x: Float[Tensor, "*B J C"]) -> Float[Tensor, "*B J C"]:
        x = self.down(x)
        return self.up(self.mid(x) + x)


class JointPerceptron(nn.Module):
    """U-shaped perceptron over the joints of a channel: up twice, on with a shortcut, down twice."""

    def __init__(self, joints: int, hidden: int, dropout: float):
        super().__init__()
        half = hidden // 2
        self.up1, self.up2 = layer(joints, half, dropout), layer(half, hidden, dropout)
        self.mid = layer(hidden, hidden, dropout)
        self.down1, self.down2 = layer(hidden, half, dropout), layer(half, joints, dropout)

    def forward(self, x: Float[Tensor, "*B J C"]) -> Float[Tensor, "*B J C"]:
        x = self.up2(self.up1(x.transpose(-1, -2)))
        return self.down2(self.down1(self.mid(x) + x)).transpose(-1, -2)


class Block(nn.Module):
    """Graph convolution, then both perceptrons side by side, each added to what came in (figure 3)."""

    def __init__(self, config: Config, adjacency: Float[Tensor, "4 J J"], drop_path: float):
        super().__init__()
        c, joints = config, config.num_joints
        self.norm_graph = NodeLayerNorm(joints, eps=1e-6)
        self.graph = PartitionedGraphConvolution(c.channel, c.channel, adjacency)
        self.norm_channels = nn.LayerNorm(c.channel, eps=1e-6)
        self.channels = ChannelPerceptron(c.channel, c.channel_hidden, c.channel_drop_rate)
        self.norm_joints = NodeLayerNorm(joints, eps=1e-6)
        self.joints = JointPerceptron(joints, c.joint_factor * joints, c.joint_drop_rate)
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, x: Float[Tensor, "*B J C"]) -> Float[Tensor, "*B J C"]:
        x = x + self.drop_path(self.graph(self.norm_graph(x)))
        return x + self.drop_path(self.channels(self.norm_channels(x)) + self.joints(self.norm_joints(x)))


class Model(nn.Module):
    """Keypoints of single frames to the mean and the scale of each joint (figure 2)."""

    noise: Tensor

    def __init__(self, config: Config):
        super().__init__()
        self.config = c = config
        adjacency = spatial_partition(H36M_17.parents, MIRROR, H36M_17.index("spine"))
        half = c.channel // 2
        self.encoder = nn.Sequential(nn.Linear(2, c.embedding), nn.Linear(c.embedding, c.channel))
        self.blocks = nn.ModuleList(Block(c, adjacency, rate) for rate in rising(c.drop_path_rate, c.layers))
        self.norm_mean, self.norm_scale = (nn.LayerNorm(c.channel, eps=1e-6) for _ in range(2))
        self.mean = nn.Sequential(nn.Linear(c.channel, half), nn.Linear(half, 3))
        self.scale = nn.Sequential(nn.Linear(c.channel, half), nn.Linear(half, 1))
        generator = torch.Generator("cpu").manual_seed(c.seed)
        shape = (1, 1, c.num_proposals, c.num_joints, 3)
        noise = torch.randn(shape, generator=generator, device="cpu")
        self.register_buffer("noise", noise, persistent=False)

    def gaussian(
        self, keypoints: Float[Tensor, "B T J 2"]
    ) -> tuple[Float[Tensor, "B T J 3"], Float[Tensor, "B T J"]]:
        """Mean, metres, and logarithm of the expected error, as the network gives them: the root's mean is not zero."""
        check_window(keypoints, keypoints.shape[1], self.config.num_joints, 2)
        x = self.encoder(keypoints)
        for block in self.blocks:
            x = block(x)
        return self.mean(self.norm_mean(x)), self.scale(self.norm_scale(x))[..., 0]

    def forward(self, keypoints: Float[Tensor, "B T J 2"]) -> Float[Tensor, "B T J 3"]:
        return rooted(self.gaussian(keypoints)[0])

    def training_loss(self, keypoints: Float[Tensor, "B T J 2"], joints: Float[Tensor, "B T J 3"]) -> Tensor:
        """Distance over scale, plus the scale's logarithm (equation 5): least where the scale is the mean distance."""
        mean, log_error = self.gaussian(keypoints)
        distance = (mean.float() - joints).norm(dim=-1)
        return (distance * torch.exp(-log_error) + log_error).mean()

    def covariance(self, keypoints: Float[Tensor, "B T J 2"]) -> Float[Tensor, "B T J 3 3"]:
        """Of each joint, square metres, the same in all directions: what a Gaussian with that expected error has."""
        variance = (DEVIATION * self.gaussian(keypoints)[1].exp()).square()
        return variance[..., None, None] * torch.eye(3).to(variance)

    def hypotheses(self, keypoints: Float[Tensor, "B T J 2"]) -> Float[Tensor, "B T H J 3"]:
        """Poses drawn from the Gaussians, joint by joint, metres; the noise is that of `Config.seed` in every frame."""
        mean, log_error = self.gaussian(keypoints)
        deviation = DEVIATION * log_error.exp()[..., None, :, None]
        return rooted(mean[:, :, None] + deviation * self.noise)

    def optimised(
        self,
        keypoints: Float[Tensor, "B T J 2"],
        image: Image,
        observed: Float[Tensor, "B T J 2"] | None = None,
        weights: Float[Tensor, "B T J"] | None = None,
    ) -> Refinement:
        """Move the keypoints, and those of the mirrored frame, until the poses meet the picture (section 3.3).

        Args:
            keypoints: as for `forward`.
            image: from joints relative to the root (..., B, T, J, 3) to the picture (..., B, T, J, 2), at the root's
                true place as published (oracle), or at an estimated one (deployable).
            observed: keypoints that the images should meet, NaN where missing; None: `keypoints`.
            weights: of the keypoints, such as their confidence.

        Returns:
            Poses and latents of each view; `joints` are as the network gives them, turned back.
        """
        views = [keypoints]
        if self.config.test_time_augmentation:
            views.append(mirrored(keypoints, MIRROR))
        return refine_latents(
            self._decode,
            lambda joints: image(rooted(joints)),
            torch.stack(views),
            keypoints if observed is None else observed,
            weights,
            self.config.refine_options,
        )

    def refined(
        self,
        keypoints: Float[Tensor, "B T J 2"],
        image: Image,
        observed: Float[Tensor, "B T J 2"] | None = None,
        weights: Float[Tensor, "B T J"] | None = None,
    ) -> Float[Tensor, "B T J 3"]:
        """One pose after the optimisation, the mean of the views, metres; arguments as for `optimised`."""
        return rooted(self.optimised(keypoints, image, observed, weights).joints.mean(0))

    def _decode(self, latents: Float[Tensor, "V B T J 2"]) -> tuple[Tensor, Tensor]:
        """Poses and their expected errors; the second view's are turned back."""
        mean, log_error = self.gaussian(latents.flatten(0, 1))
        mean, log_error = mean.unflatten(0, latents.shape[:2]), log_error.unflatten(0, latents.shape[:2])
        if len(latents) == 1:
            return mean, log_error
        back = mirrored(mean[1], MIRROR), log_error[1][..., MIRROR]
        return torch.stack([mean[0], back[0]]), torch.stack([log_error[0], back[1]])


def rooted(joints: Float[Tensor, "*B J 3"]) -> Float[Tensor, "*B J 3"]:
    """Joints with the root at zero: what the network gives for it means nothing."""
    return torch.cat([torch.zeros_like(joints[..., :1, :]), joints[..., 1:, :]], -2)


# --------------------------------------------------------------------------------------------- checkpoints

OFFICIAL_KEYS: KeyTable = (
    (r"^encoder\.0\.", "encoder.fc1."),
    (r"^encoder\.1\.", "encoder.fc5."),
    (r"^mean\.0\.", "pred_mu.fc1."),
    (r"^mean\.1\.", "pred_mu.fc5."),
    (r"^scale\.0\.", "pred_s.fc1."),
    (r"^scale\.1\.", "pred_s.fc5."),
    (r"^norm_mean\.", "GCN_MLP.norm_mu."),
    (r"^norm_scale\.", "GCN_MLP.norm_s."),
    (r"^blocks\.", "GCN_MLP.blocks."),
    (r"\.norm_graph\.", ".norm1."),
    (r"\.graph\.linear\.", ".gcn1.conv1d."),
    (r"\.norm_channels\.", ".norm2."),
    (r"\.norm_joints\.", ".norm3."),
    (r"\.channels\.(\w+)\.0\.", r".channel_mlp.linear_\1.linear.0."),
    (r"\.joints\.(\w+)\.0\.", r".spatial_mlp.linear_\1.linear.0."),
)
_ARGUMENTS = {
    "channel": "channel",
    "layers": "layers",
    "opt_iter_num": "iterations",
    "lr_z": "learning_rate",
    "weight_proj": "projection_weight",
    "weight_gaussian": "uncertainty_weight",
}


def load_official(
    state_dict: Mapping,
    args: object = None,
    n_joints: int = 17,
    joints_left: list[int] | None = None,
    joints_right: list[int] | None = None,
    d_hid: int | None = None,
    token_dim: int | None = None,
    **kwargs: Any,
) -> Model:
    """Load a checkpoint of the official `Model(args)`.

    Args:
        state_dict: bare or wrapped.
        args: dict or namespace, of which `channel`, `layers`, `opt_iter_num`, `lr_z`, `weight_proj` and
            `weight_gaussian` are read.
        n_joints: 17; the official class knows no other graph.
        joints_left: must be those of Human3.6M.
        joints_right: their counterparts, in the same order.
        d_hid: no matter, as in the official class.
        token_dim: no matter, as in the official class.
        **kwargs: fields of `Config`.

    Raises:
        InputError: keys, sizes or joints are not those of the arguments.
    """
    if n_joints != len(H36M_17):
        raise InputError(f"uao: a model of {n_joints} joints, expected {len(H36M_17)}, those of Human3.6M")
    check_sides("uao", MIRROR, joints_left, joints_right)
    given = official_arguments(args, tuple(_ARGUMENTS))
    config = Config(**({_ARGUMENTS[name]: value for name, value in given.items()} | kwargs))
    return load_strictly(Model(config), state_dict, OFFICIAL_KEYS, squeeze=(r"\.conv1d\.",))


VARIANTS = {"base": Config()}
PARAMETERS = {"base": 4_509_059}
"""Measured on the official class."""

WEIGHTS = {
    "h36m_cpn": Weights(
        url="https://drive.google.com/drive/folders/1B3DsHHeLZWHf8odhBlmiZGi9r1OKhK5n",
        licence="none stated",
        trained_on=("Human3.6M, CPN keypoints",),
        reported={"h36m_p1_mpjpe_mm": 49.4, "h36m_p1_refined_true_root_mpjpe_mm": 46.7},
    ),
}
