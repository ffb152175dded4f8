"""HopFIR: attention between groups of joints by their distance along the skeleton, then refinement along the limbs.

Zhai, Nie, Ouyang, Li, Yang, "HopFIR: Hop-wise GraphFormer with Intragroup Joint Refinement for 3D Human Pose
Estimation", ICCV 2023, https://arxiv.org/abs/2302.14581. No code was published, and this file was written from the
abstract, not from the method section. What the abstract says: a hop-wise GraphFormer (HGF) groups the joints by their
k-hop neighbours and applies a transformer-like attention, hop by hop, to these groups; an intragroup joint refinement
(IJR) uses the limbs to refine peripheral joints; each frame is lifted by itself; hop-wise attention improves other
graph networks too (SemGCN: the option `hops` of `lifting/semgcn`; the block is `nn.hop_attention`).

Everything else is an assumption of this file:

* A group is the average of a joint's neighbours at exactly k bones. Head k of the attention has these groups as tokens,
  k = 0 (the joint itself) to `hops` = 3.
* HGF: hop-wise attention, then, in place of a transformer's two linear layers, two modulated graph convolutions (Zou
  and Tang, ICCV 2021, one of the networks the paper improves) with GELU between; both with layer norm before and a
  shortcut.
* IJR: attention among the joints of a limb (three each for the arms, the legs, and the head with the neck), whose
  result is added to the limb's outer two joints; it follows each HGF block.
* 17 joints, width 128, 4 blocks, dropout 0.1, a graph convolution as head: chosen here.

Convention: keypoints (B, T, 17, 2), Human3.6M, screen units (x / w * 2 - 1, y / w * 2 - h / w); joints (B, T, 17, 3) in
metres, camera axes, relative to the pelvis. Frames do not see one another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from posewright.core.weights import Paper, Weights
from posewright.nn.attention import attend_heads, check_heads
from posewright.nn.checkpoints import load_strictly
from posewright.nn.graph import ModulatedGraphConvolution, bone_adjacency
from posewright.nn.hop_attention import HopwiseAttention
from posewright.nn.prior_attention import prior_adjacency
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="HopFIR: Hop-wise GraphFormer with Intragroup Joint Refinement for 3D Human Pose Estimation",
    venue="ICCV 2023",
    url="https://arxiv.org/abs/2302.14581",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=2, output_frames="all", short_clips=True)

LIMBS = ((1, 2, 3), (4, 5, 6), (8, 9, 10), (11, 12, 13), (14, 15, 16))
"""Joints of each limb from the trunk outwards: right leg, left leg, neck and head, left arm, right arm."""


@dataclass(frozen=True)
class Config:
    """Sizes; none of the published ones is known to us."""

    dim: int = 128
    """C."""
    depth: int = 4
    """Blocks of HGF and IJR."""
    hops: int = 3
    """K: the largest distance of a group."""
    limb_heads: int = 4
    """Heads of the attention along a limb."""
    dropout: float = 0.1
    parents: tuple[int, ...] = H36M_17.parents
    """The skeleton."""
    limbs: tuple[tuple[int, ...], ...] = LIMBS
    """Joints of each limb from the trunk outwards; all but the first are refined."""

    @property
    def frames(self) -> int:
        """Frames the pose depends on."""
        return 1

    @property
    def num_joints(self) -> int:
        """Joints of the skeleton."""
        return len(self.parents)


class HopwiseGraphFormer(nn.Module):
    """HGF: attention between groups of joints, then graph convolutions."""

    def __init__(self, dim: int, adjacency: Float[Tensor, "J J"], hops: int, dropout: float):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = HopwiseAttention(dim, adjacency, hops)
        self.gconv1, self.gconv2 = (
            ModulatedGraphConvolution(dim, dim, prior_adjacency(adjacency)) for _ in range(2)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "*B J C"]) -> Float[Tensor, "*B J C"]:
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.gconv2(F.gelu(self.gconv1(self.norm2(x)))))


class IntragroupJointRefinement(nn.Module):
    """IJR: the outer joints of a limb are corrected by attention to all joints of that limb."""

    same_limb: Tensor
    refined: Tensor

    def __init__(self, dim: int, joints: int, limbs: Sequence[Sequence[int]], num_heads: int, dropout: float):
        super().__init__()
        check_heads(dim, num_heads)
        self.num_heads = num_heads
        same, refined = limb_masks(joints, limbs)
        self.register_buffer("same_limb", same, persistent=False)
        self.register_buffer("refined", refined.float()[:, None], persistent=False)
        self.norm = nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "B J C"]) -> Float[Tensor, "B J C"]:
        heads = self.qkv(self.norm(x)).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = attend_heads(*heads.unbind(0), mask=self.same_limb)
        return x + self.refined * self.dropout(self.proj(mixed.transpose(1, 2).flatten(2)))


class Model(nn.Module):
    """Keypoints of a clip to the joints of the same clip, frame by frame."""

    def __init__(self, config: Config):
        super().__init__()
        c = config
        self.config = c
        adjacency = bone_adjacency(c.parents)
        self.input = ModulatedGraphConvolution(2, c.dim, prior_adjacency(adjacency))
        self.layers = nn.Sequential(
            *(
                layer
                for _ in range(c.depth)
                for layer in (
                    HopwiseGraphFormer(c.dim, adjacency, c.hops, c.dropout),
                    IntragroupJointRefinement(c.dim, c.num_joints, c.limbs, c.limb_heads, c.dropout),
                )
            ),
            nn.LayerNorm(c.dim),
        )
        self.output = ModulatedGraphConvolution(c.dim, 3, prior_adjacency(adjacency))

    def forward(self, keypoints: Float[Tensor, "B T J 2"]) -> Float[Tensor, "B T J 3"]:
        if keypoints.ndim != 4 or keypoints.shape[2:] != (self.config.num_joints, 2):
            raise ValueError(
                f"keypoints have shape {tuple(keypoints.shape)}, expected (B, T, {self.config.num_joints}, 2): "
                "convert the joint set, leave out the confidence"
            )
        x = self.layers(self.input(keypoints.flatten(0, 1)))
        return self.output(x).unflatten(0, keypoints.shape[:2])


def limb_masks(joints: int, limbs: Sequence[Sequence[int]]) -> tuple[Bool[Tensor, "J J"], Bool[Tensor, " J"]]:
    """Return which joints share a limb, each at least with itself, and which are refined.

    Raises:
        ValueError: a joint is in two limbs, or does not exist.
    """
    listed = [joint for limb in limbs for joint in limb]
    if len(set(listed)) != len(listed) or not set(listed) <= set(range(joints)):
        raise ValueError(f"hopfir: limbs are {limbs}, expected each of {joints} joints at most once")
    same, refined = torch.eye(joints, dtype=torch.bool), torch.zeros(joints, dtype=torch.bool)
    for limb in limbs:
        index = torch.tensor(limb)
        same[index[:, None], index] = True
        refined[index[1:]] = True
    return same, refined


def load_official(state_dict: Mapping, **kwargs) -> Model:
    """Load weights made by this file, bare or wrapped, strictly: the authors published neither code nor weights.

    Args:
        state_dict: of `Model`, bare or wrapped.
        **kwargs: fields of `Config`.
    """
    return load_strictly(Model(Config(**kwargs)), state_dict)


VARIANTS = {"base": Config()}
PARAMETERS: dict[str, int] = {}
"""None were published where we could read them."""

WEIGHTS: dict[str, Weights] = {}
"""None were published. The abstract reports 32.67 mm on Human3.6M, by all appearances with ground-truth keypoints: a
public table of results names 48.5 mm for the same paper."""
