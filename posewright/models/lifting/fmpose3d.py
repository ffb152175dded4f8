"""FMPose3D: hypotheses of a frame's 3D pose by flow matching, and RPEA, which makes one pose of them.

Wang, Yu, Mathis, "FMPose3D: monocular 3D pose estimation via flow matching", CVPR 2026,
https://arxiv.org/abs/2602.05755. Official code: https://github.com/AdaptiveMotorControlLab/FMPose3D (Apache-2.0; the
weights are for non-commercial use). A network with graph convolution beside attention learns the velocity of straight
paths from noise to poses; a few Euler steps follow it. There is one for people and one for four-legged animals. RPEA is
`metrics.hypotheses.rpea`: the paper gives it the true root (an oracle), `pw.lift` the root estimated from the mean
hypothesis (deployable).

What differs: noise is drawn once, from `Config.seed`, and every frame gets the same, so that a clip has one answer and
its hypotheses keep their character over time; the official code draws anew for each. The solver may be of second order.
Trained here, the root's own target is zero, as in the official code for animals; for people theirs learns its absolute
place there, which it does not use.

Convention: keypoints (B, T, J, 2), screen units (x / w * 2 - 1, y / w * 2 - h / w), Human3.6M's 17 joints or the 26 of
Animal3D; joints (B, T, J, 3), the mean of the hypotheses, in metres, camera axes, relative to the root (pelvis, base of
the tail); `hypotheses` gives all, (B, T, H, J, 3). Frames do not see one another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.core.weights import Paper, Weights
from posewright.nn.attention import Mlp, SelfAttention, StochasticDepth, rising
from posewright.nn.checkpoints import KeyTable, load_strictly, official_arguments, unwrap
from posewright.nn.flow import RandomFourierEmbedding, Solver, check_solver, sample_ode, training_pair
from posewright.nn.mirror import check_sides, mirrored
from posewright.nn.partitioned_graph import (
    NodeLayerNorm,
    PartitionedGraphConvolution,
    check_graph,
    spatial_partition,
)
from posewright.nn.sampler_options import check_sampler
from posewright.nn.spatiotemporal import check_window
from posewright.skeletons.joint_sets import H36M_17, get
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="FMPose3D: monocular 3D pose estimation via flow matching",
    venue="CVPR 2026",
    url="https://arxiv.org/abs/2602.05755",
    code="https://github.com/AdaptiveMotorControlLab/FMPose3D",
    code_licence="Apache-2.0",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=2, output_frames="all", short_clips=True)
CENTRES = {"h36m_17": "spine", "animal_26": "animal_neck"}
"""Joint from which the graph counts distances, by joint set."""
OTHER_PARENTS = {"animal_26": {"left_mouth": "middle_mouth", "right_mouth": "middle_mouth"}}
"""Bones of the graph that are not those of the joint set."""


@dataclass(frozen=True)
class Config:
    """Sizes and settings as in section 4 and the official scripts."""

    channel: int = 512
    """C, width of a joint's features."""
    layers: int = 5
    """L."""
    skeleton: str = "h36m_17"
    """Joint set of keypoints and poses: h36m_17 or animal_26."""
    encoders: Literal["joint", "separate"] = "joint"
    """Keypoint, state and time are encoded together (people), or each by itself (animals)."""
    hidden: int = 1024
    """Width inside the perceptrons."""
    num_heads: int = 8
    time_dim: int = 32
    """Width of the time's embedding."""
    time_hidden: int = 64
    drop_rate: float = 0.1
    attn_drop_rate: float = 0.2
    proj_drop_rate: float = 0.25
    drop_path_rate: float = 0.2
    num_proposals: int = 1
    """N, hypotheses; the mirrored ones come on top."""
    sampling_timesteps: int = 3
    """S, steps of the solver."""
    solver: Solver = "euler"
    """Euler as published; midpoint and heun call the network twice in a step."""
    test_time_augmentation: bool = True
    """As many hypotheses again from the mirrored frame."""
    seed: int = 0
    """Of the sampler's noise."""
    aggregation: Literal["rpea", "jpma", "mean"] = "rpea"
    """How one pose is made of the hypotheses where a camera and keypoints are at hand; `forward` gives the mean."""
    topk: int = 8
    """K, hypotheses that RPEA takes for a joint."""
    temperature: float = 0.005
    """Of RPEA's weights, screen units."""

    def __post_init__(self) -> None:
        if self.skeleton not in CENTRES:
            raise InputError(
                f"fmpose3d: joint set {self.skeleton!r}, expected one of {', '.join(CENTRES)}, whose graph is known"
            )
        check_sampler(self, ("rpea", "jpma", "mean"))
        check_solver(self.sampling_timesteps, self.solver)
        if self.topk < 1 or not self.temperature > 0:
            raise InputError(
                f"fmpose3d: topk {self.topk} and temperature {self.temperature:g}, expected at least 1 and above 0"
            )

    @property
    def frames(self) -> int:
        """Frames the pose depends on."""
        return 1

    @property
    def num_joints(self) -> int:
        """Joints of the joint set."""
        return len(get(self.skeleton))


def lifting(config: Config) -> Lifting:
    """Conventions of one configuration."""
    joints = get(config.skeleton)
    return Lifting(joints, joints, channels=2, output_frames="all", short_clips=True)


def graph_of(skeleton: str) -> Float[Tensor, "4 J J"]:
    """The graph of a joint set: bones, and the joint on the other side."""
    joints = get(skeleton)
    parents = list(joints.parents)
    for child, parent in OTHER_PARENTS.get(skeleton, {}).items():
        parents[joints.index(child)] = joints.index(parent)
    return spatial_partition(parents, joints.mirror.tolist(), joints.index(CENTRES[skeleton]))


class Perceptron(nn.Module):
    """Two linear layers with the exact GELU between them."""

    def __init__(self, dim_in: int, hidden: int, dim_out: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim_in, hidden), nn.Linear(hidden, dim_out)

    def forward(self, x: Float[Tensor, "*B C"]) -> Float[Tensor, "*B D"]:
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """Graph convolution and attention side by side, then a perceptron, each added to what came in (figure 3)."""

    def __init__(self, config: Config, adjacency: Float[Tensor, "4 J J"], drop_path: float):
        super().__init__()
        c, dim = config, config.channel
        self.norm_graph = NodeLayerNorm(c.num_joints, eps=1e-6)
        self.graph = PartitionedGraphConvolution(dim, dim, adjacency)
        self.norm_attention = nn.LayerNorm(dim, eps=1e-6)
        self.attention = SelfAttention(
            dim, c.num_heads, dropout=c.proj_drop_rate, attention_dropout=c.attn_drop_rate
        )
        self.norm_mlp = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, c.hidden, c.drop_rate)
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, x: Float[Tensor, "*B J C"]) -> Float[Tensor, "*B J C"]:
        mixed = self.graph(self.norm_graph(x)) + self.attention(self.norm_attention(x))
        x = x + self.drop_path(mixed)
        return x + self.drop_path(self.mlp(self.norm_mlp(x)))


class VelocityField(nn.Module):
    """Keypoints, state of the pose and time to the velocity of the state (figure 3)."""

    def __init__(self, config: Config):
        super().__init__()
        c, half = config, config.channel // 2
        self.time_embedding = nn.Sequential(
            RandomFourierEmbedding(c.time_dim),
            nn.Linear(c.time_dim, c.time_hidden),
            nn.GELU(),
            nn.Linear(c.time_hidden, c.time_dim),
        )
        self.together = c.encoders == "joint"
        if self.together:
            self.encoder = Perceptron(2 + 3 + c.time_dim, half, c.channel)
        else:
            self.keypoint_encoder = Perceptron(2, half, half - c.time_dim // 2)
            self.state_encoder = Perceptron(3, half, half - c.time_dim // 2)
        adjacency = graph_of(c.skeleton)
        self.blocks = nn.ModuleList(Block(c, adjacency, rate) for rate in rising(c.drop_path_rate, c.layers))
        self.norm = nn.LayerNorm(c.channel, eps=1e-6)
        self.head = Perceptron(c.channel, half, 3)

    def forward(
        self,
        keypoints: Float[Tensor, "B T J 2"],
        state: Float[Tensor, "B T J 3"],
        times: Float[Tensor, " B"],
    ) -> Float[Tensor, "B T J 3"]:
        time = self.time_embedding(times)[:, None, None].expand(*state.shape[:3], -1)
        if self.together:
            x = self.encoder(torch.cat([keypoints, state, time], -1))
        else:
            x = torch.cat([self.keypoint_encoder(keypoints), self.state_encoder(state), time], -1)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Model(nn.Module):
    """Keypoints of single frames to hypotheses of their poses (figure 2)."""

    start_noise: Tensor
    not_root: Tensor

    def __init__(self, config: Config):
        super().__init__()
        self.config = c = config
        self.velocity = VelocityField(c)
        joints = get(c.skeleton)
        self.mirror: list[int] = joints.mirror.tolist()
        generator = torch.Generator("cpu").manual_seed(c.seed)
        noise = torch.randn(
            1, self.sequences_per_window, 1, len(joints), 3, generator=generator, device="cpu"
        )
        not_root = torch.ones(len(joints), 1)
        not_root[joints.parents.index(-1)] = 0
        self.register_buffer("start_noise", noise, persistent=False)
        self.register_buffer("not_root", not_root, persistent=False)

    @property
    def sequences_per_window(self) -> int:
        """Poses that the network sees at once for each frame: H, with the mirrored ones."""
        return self.config.num_proposals * (2 if self.config.test_time_augmentation else 1)

    def forward(self, keypoints: Float[Tensor, "B T J 2"]) -> Float[Tensor, "B T J 3"]:
        return self.hypotheses(keypoints).mean(2)

    def hypotheses(self, keypoints: Float[Tensor, "B T J 2"]) -> Float[Tensor, "B T H J 3"]:
        """Return all hypotheses, in metres; with `test_time_augmentation` every second one is of the mirrored frame."""
        return self.sample(keypoints).transpose(1, 2)

    def sample(
        self, keypoints: Float[Tensor, "B T J 2"], start: Float[Tensor, "#B H #T J 3"] | None = None
    ) -> Float[Tensor, "B H T J 3"]:
        """Run the sampler (section 3.2).

        Args:
            keypoints: as for `forward`.
            start: standard normal noise to begin with; None: that of `Config.seed`. It decides how many hypotheses;
                with `test_time_augmentation` every second one starts from it in the mirrored frame.

        Raises:
            ValueError: keypoints of another joint set.
        """
        check_window(keypoints, keypoints.shape[1], self.config.num_joints, 2)
        start = self.start_noise if start is None else start
        start = start.expand(len(keypoints), -1, keypoints.shape[1], -1, -1)
        views = [keypoints]
        if self.config.test_time_augmentation:
            views.append(mirrored(keypoints, self.mirror))
        seen = torch.stack(views, 1).repeat(1, start.shape[1] // len(views), 1, 1, 1)
        poses = self.integrate(seen.flatten(0, 1), start.flatten(0, 1)).view(start.shape)
        if self.config.test_time_augmentation:
            back = mirrored(poses[:, 1::2], self.mirror)
            poses = torch.stack([poses[:, ::2], back], 2).flatten(1, 2)
        return poses * self.not_root

    def integrate(
        self, keypoints: Float[Tensor, "B T J 2"], start: Float[Tensor, "B T J 3"]
    ) -> Float[Tensor, "B T J 3"]:
        """Follow the velocity from noise to poses, as the network gives them: the root's own numbers mean nothing."""
        c = self.config

        def velocity(state: Tensor, time: float) -> Tensor:
            return self.velocity(keypoints, state, state.new_full((len(state),), time))

        return sample_ode(velocity, start, c.sampling_timesteps, c.solver)

    def training_loss(self, keypoints: Float[Tensor, "B T J 2"], joints: Float[Tensor, "B T J 3"]) -> Tensor:
        """Mean squared error of the velocity at a random time of a random path, drawn anew for each frame (eq. 4)."""
        pair = training_pair(joints.flatten(0, 1)[:, None])
        velocity = self.velocity(keypoints.flatten(0, 1)[:, None], pair.state, pair.times)
        return (velocity.float() - pair.velocity).square().mean()


# --------------------------------------------------------------------------------------------- checkpoints

OFFICIAL_KEYS: KeyTable = (
    (r"^velocity\.", ""),
    (r"^time_embedding\.0\.frequencies$", "time_embed.B"),
    (r"^time_embedding\.1\.", "time_embed.proj.0."),
    (r"^time_embedding\.3\.", "time_embed.proj.2."),
    (r"^keypoint_encoder\.", "encoder_pose_2d."),
    (r"^state_encoder\.", "encoder_y_t."),
    (r"^(blocks|norm)\.", r"FMPose3D.\1."),
    (r"^FMPose3D\.norm\.", "FMPose3D.norm_mu."),
    (r"\.norm_graph\.", ".norm1."),
    (r"\.graph\.linear\.", ".gcn1.conv1d."),
    (r"\.norm_attention\.", ".norm_att1."),
    (r"\.attention\.", ".attn."),
    (r"^head\.", "pred_mu."),
)
ANIMAL_KEYS: KeyTable = (*OFFICIAL_KEYS, (r"^pred_mu\.fc2\.", "pred_mu.fc5."))
SKELETONS = {17: ("h36m_17", "joint"), 26: ("animal_26", "separate")}
"""Joints of the official models -> joint set, encoders."""


def load_official(
    state_dict: Mapping,
    args: object = None,
    n_joints: int | None = None,
    joints_left: list[int] | None = None,
    joints_right: list[int] | None = None,
    d_hid: int | None = None,
    token_dim: int | None = None,
    **kwargs: Any,
) -> Model:
    """Load a checkpoint of the official `Model(args)`, that of people or that of animals.

    Args:
        state_dict: bare or wrapped, with the graph of the joints, which must be that of the joint set.
        args: dict or namespace, of which `channel`, `layers` and `n_joints` are read.
        n_joints: 17 for people, 26 for animals; None: as in `args`, or as `skeleton` says.
        joints_left: must be those of the joint set.
        joints_right: their counterparts, in the same order.
        d_hid: no matter, as in the official class.
        token_dim: no matter, as in the official class.
        **kwargs: fields of `Config`, among them `num_proposals` and `sampling_timesteps`.

    Raises:
        InputError: keys, sizes, joints or graph are not those of the arguments.
    """
    given = official_arguments(args, ("channel", "layers", "n_joints"))
    count = given.pop("n_joints", None) if n_joints is None else n_joints
    if count is not None:
        if count not in SKELETONS:
            raise InputError(f"fmpose3d: a model of {count} joints, expected 17 (people) or 26 (animals)")
        named = dict(zip(("skeleton", "encoders"), SKELETONS[count], strict=True))
        kwargs = named | kwargs
    config = Config(**(given | kwargs))
    check_sides("fmpose3d", get(config.skeleton).mirror.tolist(), joints_left, joints_right)
    state = unwrap(state_dict)
    graphs = {"A", *(f"FMPose3D.blocks.{i}.gcn1.adj" for i in range(config.layers))}
    weights = {key: value for key, value in state.items() if key not in graphs}
    table = OFFICIAL_KEYS if config.encoders == "joint" else ANIMAL_KEYS
    model = load_strictly(Model(config), weights, table, squeeze=(r"\.conv1d\.",))
    if missing := sorted(graphs - set(state)):
        raise InputError(f"not a whole checkpoint of fmpose3d: keys missing ({', '.join(missing)})")
    check_graph("fmpose3d", graph_of(config.skeleton), [state[key] for key in sorted(graphs)])
    return model


VARIANTS = {
    "human": Config(),
    "animal": Config(
        skeleton="animal_26",
        encoders="separate",
        sampling_timesteps=5,
        test_time_augmentation=False,
        aggregation="mean",
    ),
}
PARAMETERS = {"human": 16_045_837, "animal": 16_029_767}
"""Measured on the official classes."""

LICENCE = "CC-BY-NC-ND-4.0"
"""Stated in the README for all models: not for commercial use."""
WEIGHTS = {
    "h36m_cpn": Weights(
        url="https://drive.google.com/drive/folders/1235_UgUQXYZtjprBOv2ZJJHY2KOAS_6p",
        licence=LICENCE,
        trained_on=("Human3.6M, CPN keypoints",),
    ),
    "animals": Weights(
        url="https://drive.google.com/drive/folders/1fMKVaYziwFkAnFrtQZmoPOTfe7Hkl2at",
        licence=LICENCE,
        trained_on=("Animal3D", "Control_Animal3D"),
    ),
}
