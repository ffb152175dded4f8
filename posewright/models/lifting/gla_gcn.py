"""GLA-GCN: an adaptive graph convolutional network over a window, strided down to the pose of its middle frame.

Yu, Zhang, Wang, Zhang, Lei, Liu, Wang, Tang, Zhong, "GLA-GCN: Global-local Adaptive Graph Convolutional
Network for 3D Human Pose Estimation from Monocular Video", ICCV 2023, https://arxiv.org/abs/2307.05853.
Official code: https://github.com/bruceyo/GLA-GCN (no licence stated); none of it is used here.
Differs: causal windows are left out, since the published slices do not fit one another there. The
individually connected layers of the paper (section 3.4) are the option `head="individual"`; the released
Human3.6M and HumanEva weights share one layer between the joints. The MPI-INF-3DHP network was not released.

Convention: keypoints (B, T, J, 2) in screen units (x / w * 2 - 1, y / w * 2 - h / w), T the product of the
filter widths; joints (B, 1, J, 3) of the middle frame in metres, camera axes, relative to the pelvis. 17
joints of Human3.6M, or the 15 of HumanEva-I.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posewright.core.weights import Paper, Weights
from posewright.nn.checkpoints import KeyTable, load_strictly
from posewright.nn.graph import AdaptiveGraphConvolution
from posewright.nn.spatiotemporal import check_window
from posewright.skeletons.joint_sets import H36M_17, HUMANEVA_15
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="GLA-GCN: Global-local Adaptive Graph Convolutional Network for 3D Human Pose Estimation from Monocular "
    "Video",
    venue="ICCV 2023",
    url="https://arxiv.org/abs/2307.05853",
    code="https://github.com/bruceyo/GLA-GCN",
    code_licence="none stated",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=2, output_frames="centre")
"""Of the Human3.6M models; `lifting(config)` for the others."""

KERNEL = 9
"""Frames under the temporal kernel."""
DROPOUT_IN_GRAPH = 0.1
Dataset = Literal["h36m", "humaneva15"]
SKELETONS = {"h36m": H36M_17, "humaneva15": HUMANEVA_15}
REVERSED = {"h36m": (), "humaneva15": (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)}
"""Joints whose bone to the parent the official code lists from the parent: it counts them as outward, not inward."""


@dataclass(frozen=True)
class Config:
    """Sizes as in section 4.2."""

    dataset: Dataset = "h36m"
    """Whose skeleton."""
    filter_widths: tuple[int, ...] = (3, 3, 3, 3, 3)
    """Strides of the blocks; their product is T."""
    channels: int = 96
    dropout: float = 0.1
    head: Literal["shared", "individual"] = "shared"
    """One linear layer for all joints, or one per joint (the paper's individually connected layers)."""

    @property
    def frames(self) -> int:
        """Frames of a window."""
        return prod(self.filter_widths)

    @property
    def num_joints(self) -> int:
        """Joints of the skeleton."""
        return len(SKELETONS[self.dataset])


def lifting(config: Config) -> Lifting:
    """Return the conventions of a configuration."""
    skeleton = SKELETONS[config.dataset]
    return replace(LIFTING, skeleton=skeleton, output_skeleton=skeleton)


def subsets(dataset: Dataset) -> Float[Tensor, "3 J J"]:
    """Return the adjacencies of joints to themselves, of inward and of outward bones; columns sum to 1 or 0."""
    parents = SKELETONS[dataset].parents
    inward = torch.zeros(len(parents), len(parents))
    for child, parent in enumerate(parents):
        if parent >= 0:
            inward[(child, parent) if child in REVERSED[dataset] else (parent, child)] = 1
    return torch.stack([torch.eye(len(parents)), _by_columns(inward), _by_columns(inward.T)])


def _by_columns(adjacency: Float[Tensor, "J J"]) -> Float[Tensor, "J J"]:
    """Divide the columns by their sums."""
    return adjacency / adjacency.sum(0).clamp_min(1)


class TemporalConvolution(nn.Module):
    """Convolution over time and batch norm, (B, C, T, J)."""

    def __init__(self, dim_in: int, dim_out: int, kernel: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(dim_in, dim_out, (kernel, 1), (stride, 1), (kernel // 2, 0))
        self.norm = nn.BatchNorm2d(dim_out)

    def forward(self, x: Float[Tensor, "B C T J"]) -> Float[Tensor, "B D T2 J"]:
        return self.norm(self.conv(x))


class AGCNBlock(nn.Module):
    """Adaptive graph convolution, then one over time, with a shortcut where the block does not stride (figure 3)."""

    def __init__(self, dim_in: int, dim_out: int, adjacency: Tensor, stride: int | None = None):
        super().__init__()
        self.graph = AdaptiveGraphConvolution(dim_in, dim_out, adjacency, DROPOUT_IN_GRAPH)
        self.time = TemporalConvolution(dim_out, dim_out, KERNEL, stride or 1)
        self.strided = stride is not None
        self.shortcut = nn.Identity() if dim_in == dim_out else TemporalConvolution(dim_in, dim_out, 1)

    def forward(self, x: Float[Tensor, "B C T J"]) -> Float[Tensor, "B D T2 J"]:
        y = self.time(self.graph(x))
        return torch.relu(y if self.strided else y + self.shortcut(x))


class StridedBlock(nn.Module):
    """A block over all frames and one that strides, with a shortcut from the middle of each stride (section 3.3)."""

    def __init__(self, dim: int, adjacency: Tensor, width: int, dropout: float):
        super().__init__()
        self.width = width
        self.whole = AGCNBlock(dim, dim, adjacency)
        self.stride = AGCNBlock(dim, dim, adjacency, stride=width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "B C T J"]) -> Float[Tensor, "B C T2 J"]:
        shortcut = x[:, :, self.width // 2 :: self.width]
        return shortcut + self.dropout(self.stride(self.dropout(self.whole(x))))


class Model(nn.Module):
    """Keypoints of a window to the joints of its middle frame (figure 2)."""

    def __init__(self, config: Config):
        super().__init__()
        c = config
        if not c.filter_widths or any(width < 1 or width % 2 == 0 for width in c.filter_widths):
            raise ValueError(f"gla_gcn: filter_widths are {c.filter_widths}, expected odd positive numbers")
        self.config = c
        adjacency, joints = subsets(c.dataset), c.num_joints
        self.input_norm = nn.BatchNorm1d(2 * joints)
        self.expand = AGCNBlock(2, c.channels, adjacency)
        self.blocks = nn.ModuleList(
            StridedBlock(c.channels, adjacency, w, c.dropout) for w in c.filter_widths
        )
        layers = joints if c.head == "individual" else 1
        self.head = nn.Conv1d(c.channels * layers, 3 * layers, 1, groups=layers)

    def forward(self, keypoints: Float[Tensor, "B T J 2"]) -> Float[Tensor, "B 1 J 3"]:
        check_window(keypoints, self.config.frames, self.config.num_joints, 2)
        x = self.input_norm(keypoints.flatten(2).transpose(1, 2))
        x = self.expand(x.unflatten(1, (-1, 2)).permute(0, 2, 3, 1))
        for block in self.blocks:
            x = block(x)
        x = x.mean(2)
        if self.config.head == "shared":
            return self.head(x).transpose(1, 2)[:, None]
        return self.head(x.transpose(1, 2).flatten(1)[..., None]).view(-1, 1, self.config.num_joints, 3)


OFFICIAL_KEYS: KeyTable = (
    (r"^input_norm\.", "data_bn."),
    (r"^head\.", "fc."),
    (r"^expand\.", "expand_gcn."),
    (r"\.graph\.learned_adjacency$", ".gcn1.PA"),
    (r"\.graph\.query\.", ".gcn1.conv_a."),
    (r"\.graph\.key\.", ".gcn1.conv_b."),
    (r"\.graph\.value\.", ".gcn1.conv_d."),
    (r"\.graph\.norm\.", ".gcn1.bn."),
    (r"\.graph\.shortcut\.", ".gcn1.down."),
    (r"\.time\.conv\.", ".tcn1.conv."),
    (r"\.time\.norm\.", ".tcn1.bn."),
    (r"\.shortcut\.conv\.", ".residual.conv."),
    (r"\.shortcut\.norm\.", ".residual.bn."),
)


def official_keys(config: Config) -> KeyTable:
    """Return the key table: the official class keeps all blocks in one list."""
    pairs = [
        (i, j, kind) for i in range(len(config.filter_widths)) for j, kind in enumerate(("whole", "stride"))
    ]
    return (
        *((rf"^blocks\.{i}\.{kind}\.", f"layers_tcngcn.{2 * i + j}.") for i, j, kind in pairs),
        *OFFICIAL_KEYS,
    )


def load_official(
    state_dict: Mapping,
    num_joints_in: int,
    in_features: int,
    num_joints_out: int,
    filter_widths: Sequence[int],
    causal: bool = False,
    dropout: float = 0.25,
    channels: int = 96,
    dataset: Dataset = "h36m",
) -> Model:
    """Load a checkpoint of the official `S_AGCN`."""
    if dataset not in SKELETONS:
        raise ValueError(f"gla_gcn: dataset is {dataset!r}, expected one of {', '.join(SKELETONS)}")
    joints = len(SKELETONS[dataset])
    if (num_joints_in, in_features, num_joints_out, causal) != (joints, 2, joints, False):
        raise ValueError(
            f"gla_gcn: {num_joints_in} joints with {in_features} features to {num_joints_out} joints, causal={causal}; "
            f"expected {joints} joints with 2 features to {joints} joints, not causal, for {dataset}"
        )
    config = Config(dataset, tuple(filter_widths), channels, dropout)
    return load_strictly(Model(config), state_dict, official_keys(config))


VARIANTS = {
    "243": Config(),
    "81": Config(filter_widths=(3, 3, 3, 3)),
    "27": Config(filter_widths=(3, 3, 3)),
    "humaneva_27": Config("humaneva15", (3, 3, 3)),
}
PARAMETERS = {"243": 1_348_856, "81": 1_096_466, "27": 844_076, "humaneva_27": 842_724}
"""Measured on the official class."""

_REPOSITORY = "https://github.com/bruceyo/GLA-GCN/blob/main/checkpoint"
WEIGHTS = {
    "h36m_cpn_243": Weights(
        url=f"{_REPOSITORY}/h36m/96_cpn_ft_h36m_dbb_243_supervised.bin",
        licence="none stated",
        trained_on=("Human3.6M, CPN keypoints",),
        reported={"h36m_p1_mpjpe_mm": 44.4, "h36m_p2_pa_mpjpe_mm": 34.8},
    ),
    "h36m_gt_243": Weights(
        url=f"{_REPOSITORY}/h36m/96_gt_243_supervised.bin",
        licence="none stated",
        trained_on=("Human3.6M, ground-truth keypoints",),
        reported={"h36m_p1_mpjpe_mm": 21.0},
    ),
    "humaneva_gt_27": Weights(
        url=f"{_REPOSITORY}/humaneva/96_gt_27_supervised_epoch_819.bin",
        licence="none stated",
        trained_on=("HumanEva-I, ground-truth keypoints",),
    ),
}
