"""SemGCN: graph convolutions whose edge weights are learned lift each frame by itself.

Zhao, Peng, Tian, Kapadia, Metaxas, "Semantic Graph Convolutional Networks for 3D Human Pose Regression", CVPR
2019, https://arxiv.org/abs/1904.03345. Official code: https://github.com/garyzhao/SemGCN (Apache-2.0, Python
2.7). Left out: image features pooled at the joints (section 3.4). Added: with `hops`, hop-wise attention
(`nn.hop_attention`) after the input and every residual block, the plug-in claim of HopFIR (Zhai et al., ICCV
2023), placed as the non-local blocks are; that paper's own placement is not known to us.

Convention: keypoints (B, T, 16, 2), Human3.6M without the neck/nose joint, in screen units (x / w * 2 - 1, y
/ w * 2 - h / w); joints (B, T, 16, 3) in metres, camera axes, relative to the pelvis. Frames do not see one
another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from posewright.core.weights import Paper, Weights
from posewright.nn.checkpoints import KeyTable, load_strictly
from posewright.nn.graph import NodeNorm, SemanticGraphConvolution, bone_adjacency
from posewright.nn.hop_attention import HopwiseResidual
from posewright.skeletons.joint_sets import H36M_16
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="Semantic Graph Convolutional Networks for 3D Human Pose Regression",
    venue="CVPR 2019",
    url="https://arxiv.org/abs/1904.03345",
    code="https://github.com/garyzhao/SemGCN",
    code_licence="Apache-2.0",
)
LIFTING = Lifting(H36M_16, H36M_16, channels=2, output_frames="all", short_clips=True)

GROUPS = ((2, 3), (5, 6), (1, 4), (0, 7), (8, 9), (14, 15), (11, 12), (10, 13))
"""The joints that the non-local blocks pool together, as published."""


@dataclass(frozen=True)
class Config:
    """Sizes as in section 3.3."""

    hid_dim: int = 128
    num_layers: int = 4
    """Residual blocks of two graph convolutions each."""
    nodes_group: tuple[tuple[int, ...], ...] | None = None
    """Groups of joints for the non-local blocks; None: no non-local blocks."""
    p_dropout: float | None = None
    hops: int | None = None
    """Largest distance of the groups of hop-wise attention (HopFIR); None: none, as published."""
    parents: tuple[int, ...] = H36M_16.parents
    """The skeleton."""

    @property
    def frames(self) -> int:
        """Frames the pose depends on."""
        return 1

    @property
    def num_joints(self) -> int:
        """Joints of the skeleton."""
        return len(self.parents)


class GraphConvolution(nn.Module):
    """Semantic graph convolution, batch norm, ReLU, dropout."""

    def __init__(self, dim_in: int, dim_out: int, adjacency: Tensor, dropout: float | None):
        super().__init__()
        self.gconv = SemanticGraphConvolution(dim_in, dim_out, adjacency)
        self.bn = NodeNorm(dim_out)
        self.dropout = nn.Dropout(dropout or 0.0)

    def forward(self, x: Float[Tensor, "N J C"]) -> Float[Tensor, "N J D"]:
        return F.relu(self.dropout(self.bn(self.gconv(x))))


class ResidualBlock(nn.Module):
    """Two graph convolutions and a shortcut (figure 3)."""

    def __init__(self, dim: int, adjacency: Tensor, dropout: float | None):
        super().__init__()
        self.gconv1 = GraphConvolution(dim, dim, adjacency, dropout)
        self.gconv2 = GraphConvolution(dim, dim, adjacency, dropout)

    def forward(self, x: Float[Tensor, "N J C"]) -> Float[Tensor, "N J C"]:
        return x + self.gconv2(self.gconv1(x))


class NonLocal(nn.Module):
    """Non-local block with concatenation (Wang et al. 2018), keys and values max-pooled over groups of joints (3.2)."""

    order: Tensor

    def __init__(self, dim: int, groups: Sequence[Sequence[int]]):
        super().__init__()
        inner = max(dim // 2, 1)
        self.size = len(groups[0])
        self.value, self.query, self.key = (nn.Linear(dim, inner) for _ in range(3))
        self.score = nn.Linear(2 * inner, 1, bias=False)
        self.out, self.norm = nn.Linear(inner, dim), NodeNorm(dim)
        nn.init.zeros_(self.norm.weight)
        order = torch.tensor([joint for group in groups for joint in group])
        self.register_buffer("order", order, persistent=False)

    def pool(self, x: Float[Tensor, "N J C"]) -> Float[Tensor, "N G C"]:
        """Take the maximum in each group."""
        return x[:, self.order].unflatten(1, (-1, self.size)).amax(2)

    def forward(self, x: Float[Tensor, "N J C"]) -> Float[Tensor, "N J C"]:
        key, value = self.pool(self.key(x)), self.pool(self.value(x))
        of_query, of_key = self.score.weight[0].chunk(2)
        score = F.relu((self.query(x) @ of_query)[:, :, None] + (key @ of_key)[:, None, :]) / key.shape[1]
        return x + self.norm(self.out(score @ value))


class Model(nn.Module):
    """Keypoints of a clip to the joints of the same clip, frame by frame (figure 3)."""

    def __init__(self, config: Config, adjacency: Float[Tensor, "J J"] | None = None):
        """Build. `adjacency` (only where it is not zero matters) replaces the skeleton of the config."""
        super().__init__()
        c = config
        if c.nodes_group is not None:
            check_groups(c.nodes_group, c.num_joints if adjacency is None else adjacency.shape[0])
        self.config = c
        adjacency = bone_adjacency(c.parents) + torch.eye(c.num_joints) if adjacency is None else adjacency
        self.input = nn.Sequential(
            GraphConvolution(2, c.hid_dim, adjacency, c.p_dropout), *self._attention(adjacency)
        )
        layers = [
            layer
            for _ in range(c.num_layers)
            for layer in (ResidualBlock(c.hid_dim, adjacency, c.p_dropout), *self._attention(adjacency))
        ]
        self.layers = nn.Sequential(*layers)
        self.output = SemanticGraphConvolution(c.hid_dim, 3, adjacency)

    def _attention(self, adjacency: Float[Tensor, "J J"]) -> list[nn.Module]:
        """Return what follows a block: non-local attention, hop-wise attention, both, or nothing (plain variant)."""
        c = self.config
        non_local = [] if c.nodes_group is None else [NonLocal(c.hid_dim, c.nodes_group)]
        return [*non_local, *([] if c.hops is None else [HopwiseResidual(c.hid_dim, adjacency, c.hops)])]

    def forward(self, keypoints: Float[Tensor, "B T J 2"]) -> Float[Tensor, "B T J 3"]:
        x = self.layers(self.input(keypoints.flatten(0, 1)))
        return self.output(x).unflatten(0, keypoints.shape[:2])


def check_groups(groups: Sequence[Sequence[int]], joints: int) -> None:
    """Raise `ValueError` unless the groups are of one size and hold every joint once."""
    if len({len(group) for group in groups}) != 1 or sorted(j for g in groups for j in g) != list(
        range(joints)
    ):
        raise ValueError(
            f"semgcn: nodes_group is {groups}, expected groups of one size that hold each of {joints} joints once"
        )


OFFICIAL_KEYS: KeyTable = (
    (r"^(input|layers|output)\.", r"gconv_\1."),
    (r"\.(query|key|value|score|out|norm)\.", r".nonlocal.\1."),
    (r"nonlocal\.query\.", "nonlocal.theta."),
    (r"nonlocal\.key\.", "nonlocal.phi.0."),
    (r"nonlocal\.value\.", "nonlocal.g.0."),
    (r"nonlocal\.score\.", "nonlocal.concat_project.0."),
    (r"nonlocal\.out\.", "nonlocal.W.0."),
    (r"nonlocal\.norm\.", "nonlocal.W.1."),
    (r"((?:^gconv_output|\.gconv)\.)weight$", r"\1W"),
    (r"((?:^gconv_output|\.gconv)\.)edges$", r"\1e"),
)


def load_official(
    state_dict: Mapping,
    adj: Float[Tensor, "J J"] | None = None,
    hid_dim: int = 128,
    coords_dim: Sequence[int] = (2, 3),
    num_layers: int = 4,
    nodes_group: Sequence[Sequence[int]] | None = None,
    p_dropout: float | None = None,
) -> Model:
    """Load a checkpoint of the official `SemGCN`; without `adj` the 16 joints of Human3.6M.

    The official non-local block is made of convolutions of width one; their weights lose that dimension here.
    """
    if tuple(coords_dim) != (2, 3):
        raise ValueError(f"semgcn: coords_dim is {coords_dim}, expected (2, 3)")
    groups = None if nodes_group is None else tuple(tuple(group) for group in nodes_group)
    model = Model(
        replace(Config(), hid_dim=hid_dim, num_layers=num_layers, nodes_group=groups, p_dropout=p_dropout),
        adj,
    )
    return load_strictly(model, state_dict, OFFICIAL_KEYS, squeeze=(r"\.nonlocal\.",))


VARIANTS = {"base": Config(), "nonlocal": Config(nodes_group=GROUPS), "hopwise": Config(hops=3)}
PARAMETERS = {"base": 267_343, "nonlocal": 434_703}
"""Measured on the official class; there is none with hop-wise attention."""

WEIGHTS = {
    "h36m_gt": Weights(
        url="https://drive.google.com/drive/folders/1c7Iz6Tt7qbaw0c1snKgcGOD-JGSzuZ4X",
        licence="none stated",
        trained_on=("Human3.6M, ground-truth keypoints",),
        reported={"h36m_p1_mpjpe_mm": 42.14, "h36m_p2_pa_mpjpe_mm": 33.53},
    ),
    "h36m_gt_nonlocal": Weights(
        url="https://drive.google.com/drive/folders/1c7Iz6Tt7qbaw0c1snKgcGOD-JGSzuZ4X",
        licence="none stated",
        trained_on=("Human3.6M, ground-truth keypoints",),
        reported={"h36m_p1_mpjpe_mm": 40.78, "h36m_p2_pa_mpjpe_mm": 31.46},
    ),
    "h36m_sh_nonlocal": Weights(
        url="https://drive.google.com/drive/folders/1c7Iz6Tt7qbaw0c1snKgcGOD-JGSzuZ4X",
        licence="none stated",
        trained_on=("Human3.6M, stacked-hourglass keypoints",),
        reported={"h36m_p1_mpjpe_mm": 61.24, "h36m_p2_pa_mpjpe_mm": 47.71},
    ),
}
