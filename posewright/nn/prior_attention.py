"""Kinematics and trajectory prior attention (KTPFormer): transformer blocks behind a learned graph.

They replace the embedding and the position embeddings of a spatio-temporal transformer; `PriorEmbedding` is both, to be
put into one. Convention: spatial tokens are (*B, J, C), temporal ones (*B, T, C).

Peng, Zhou, Mok, "KTPFormer: Kinematics and Trajectory Prior Knowledge-Enhanced Transformer for 3D Human Pose
Estimation", CVPR 2024, https://arxiv.org/abs/2404.00658.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from posewright.nn.attention import Mlp, SelfAttention, StochasticDepth, shortcut
from posewright.nn.graph import ModulatedGraphConvolution, NodeNorm, bone_adjacency, chain_adjacency
from posewright.nn.spatiotemporal import over_time, position


def prior_adjacency(adjacency: Float[Tensor, "N N"]) -> Float[Tensor, "N N"]:
    """Return the fixed topology as published: rows divided by their sums, then ones on the diagonal."""
    return adjacency / adjacency.sum(1, keepdim=True).clamp_min(1) * (
        1 - torch.eye(len(adjacency))
    ) + torch.eye(len(adjacency))


class PriorConvolution(nn.Module):
    """Graph convolution with the fixed and a learned topology, batch norm, ReLU (equations 3 and 4)."""

    def __init__(self, dim_in: int, dim_out: int, adjacency: Float[Tensor, "N N"]):
        super().__init__()
        self.gconv = ModulatedGraphConvolution(dim_in, dim_out, adjacency)
        self.bn = NodeNorm(dim_out)

    def forward(self, x: Float[Tensor, "*B N C"]) -> Float[Tensor, "*B N D"]:
        return F.relu(self.bn(self.gconv(x)))


class PriorBlock(nn.Module):
    """Tokens through `prior`, plus positions, then a transformer block (figures 3 and 4)."""

    def __init__(
        self,
        prior: nn.Module,
        tokens: int,
        dim: int,
        num_heads: int,
        hidden: int,
        qkv_bias: bool = True,
        scale: float | None = None,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        drop_path: float = 0.0,
    ):
        super().__init__()
        self.prior, self.position = prior, position(1, tokens, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-5), nn.LayerNorm(dim, eps=1e-6)
        self.attention = SelfAttention(dim, num_heads, qkv_bias, scale, dropout, attention_dropout)
        self.mlp = Mlp(dim, hidden, dropout)
        self.dropout, self.drop_path = nn.Dropout(dropout), StochasticDepth(drop_path)

    def forward(self, x: Float[Tensor, "*B N C"]) -> Float[Tensor, "*B N D"]:
        x = self.dropout(self.prior(x) + self.position)
        x = shortcut(x, self.drop_path(self.attention(self.norm1(x))))
        return shortcut(x, self.drop_path(self.mlp(self.norm2(x))))


class KinematicsPriorBlock(PriorBlock):
    """Kinematics prior attention: embeds the keypoints of a frame along the skeleton (section 3.2)."""

    def __init__(
        self, adjacency: Float[Tensor, "J J"], channels: int, dim: int, num_heads: int, hidden: int, **block
    ):
        prior = PriorConvolution(channels, dim, adjacency)
        super().__init__(prior, len(adjacency), dim, num_heads, hidden, **block)


class StackedPrior(nn.Module):
    """Two prior convolutions with a shortcut."""

    def __init__(self, dim: int, adjacency: Float[Tensor, "T T"]):
        super().__init__()
        self.gconv1, self.gconv2 = (
            PriorConvolution(dim, dim, adjacency),
            PriorConvolution(dim, dim, adjacency),
        )

    def forward(self, x: Float[Tensor, "*B T C"]) -> Float[Tensor, "*B T C"]:
        return x + self.gconv2(self.gconv1(x))


class TrajectoryPriorBlock(PriorBlock):
    """Trajectory prior attention: joins each joint to itself in the frames before and after (section 3.3)."""

    def __init__(self, adjacency: Float[Tensor, "T T"], dim: int, num_heads: int, hidden: int, **block):
        super().__init__(StackedPrior(dim, adjacency), len(adjacency), dim, num_heads, hidden, **block)


class PriorEmbedding(nn.Module):
    """Tokens of keypoints through both blocks, for transformers that embed keypoints and add positions otherwise.

    Args:
        channels: of a keypoint, and of what else goes in with it.
        dim: width of a token.
        frames: of a window.
        parents: the skeleton.
        num_heads: of both blocks' attention.
        hidden: width of their hidden layers.
        **block: what `PriorBlock` takes.
    """

    def __init__(
        self,
        channels: int,
        dim: int,
        frames: int,
        parents: Sequence[int],
        num_heads: int,
        hidden: int,
        **block,
    ):
        super().__init__()
        joints, chain = (
            prior_adjacency(bone_adjacency(parents)),
            prior_adjacency(chain_adjacency(frames)),
        )
        self.kinematics = KinematicsPriorBlock(joints, channels, dim, num_heads, hidden, **block)
        self.trajectory = TrajectoryPriorBlock(chain, dim, num_heads, hidden, **block)
        self.spatial_norm, self.temporal_norm = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T J D"]:
        x = self.spatial_norm(self.kinematics(x))
        return self.temporal_norm(over_time(self.trajectory, x))
