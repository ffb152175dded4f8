"""GraFormer: attention and graph convolutions over the joints of a single frame, in turn.

Zhao, Wang, Tian, "GraFormer: Graph-oriented Transformer for 3D Pose Estimation", CVPR 2022,
https://arxiv.org/abs/2109.08364. Both networks of DiffPose (Gong et al., CVPR 2023) are made of it; the one that
removes noise is told the diffusion step in every Chebyshev block. Chebyshev filters: Defferrard, Bresson,
Vandergheynst, "Convolutional Neural Networks on Graphs with Fast Localized Spectral Filtering", NeurIPS 2016,
https://arxiv.org/abs/1606.09375, section 2.1.

Convention: node features are (B, J, C).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from posewright.nn.attention import attend, check_heads
from posewright.nn.checkpoints import KeyTable
from posewright.nn.diffusion import SinusoidalEmbedding
from posewright.nn.graph import bone_adjacency

ORDER = 2
"""Highest Chebyshev polynomial; there is one weight for each from 0 on."""
BLOCK_DROPOUT = 0.1
"""Of Chebyshev blocks and of attention weights."""


def row_normalised(parents: tuple[int, ...]) -> Float[Tensor, "J J"]:
    """Adjacency of the bones with self loops, each row divided by its sum."""
    adjacency = bone_adjacency(parents) + torch.eye(len(parents))
    return adjacency / adjacency.sum(1, keepdim=True)


def chebyshev_polynomials(adjacency: Float[Tensor, "J J"], order: int) -> Float[Tensor, "K J J"]:
    """Polynomials 0 to `order` of the normalised Laplacian 1 - D^(-1/2) A D^(-1/2), D the row sums."""
    root = adjacency.sum(-1).rsqrt()
    identity = torch.eye(len(adjacency), dtype=adjacency.dtype, device=adjacency.device)
    laplacian = identity - root[:, None] * adjacency * root
    terms = [identity, laplacian]
    for _ in range(order - 1):
        terms.append(2 * laplacian @ terms[-1] - terms[-2])
    return torch.stack(terms[: order + 1])


class ChebyshevConvolution(nn.Module):
    """Graph convolution that filters with polynomials of the Laplacian."""

    polynomials: Tensor

    def __init__(self, dim_in: int, dim_out: int, polynomials: Float[Tensor, "K J J"]):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(len(polynomials), 1, dim_in, dim_out))
        self.bias = nn.Parameter(torch.zeros(1, 1, dim_out))
        nn.init.xavier_normal_(self.weight)
        self.register_buffer("polynomials", polynomials, persistent=False)

    def forward(self, x: Float[Tensor, "B J C"]) -> Float[Tensor, "B J D"]:
        filtered = self.polynomials[:, None] @ x
        return (filtered @ self.weight).sum(0) + self.bias


class ChebyshevBlock(nn.Module):
    """Two Chebyshev convolutions around a shortcut; told, the step's embedding is added between them."""

    def __init__(self, dim: int, polynomials: Float[Tensor, "K J J"], told: int | None = None):
        super().__init__()
        self.first, self.second = (ChebyshevConvolution(dim, dim, polynomials) for _ in range(2))
        self.step = None if told is None else nn.Linear(told, dim)
        self.dropout = nn.Dropout(BLOCK_DROPOUT)

    def forward(
        self, x: Float[Tensor, "B J C"], step: Float[Tensor, "B D"] | None = None
    ) -> Float[Tensor, "B J C"]:
        inside = self.dropout(F.relu(self.first(x)))
        if self.step is not None and step is not None:
            inside = inside + self.step(F.silu(step))[:, None]
        return x + self.dropout(F.relu(self.second(inside)))


class DeviationNorm(nn.Module):
    """Layer norm that divides by the unbiased standard deviation plus epsilon."""

    def __init__(self, dim: int, eps: float = 1e-6):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        centred = x - x.mean(-1, keepdim=True)
        return self.weight * centred / (x.std(-1, keepdim=True) + self.eps) + self.bias


class JointAttention(nn.Module):
    """Multi-head self-attention over the joints."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        check_heads(dim, num_heads)
        self.num_heads = num_heads
        self.q, self.k, self.v, self.proj = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x: Float[Tensor, "B J C"]) -> Float[Tensor, "B J C"]:
        dropout = BLOCK_DROPOUT if self.training else 0.0
        return self.proj(attend(self.q(x), self.k(x), self.v(x), self.num_heads, dropout=dropout))


class LearnedGraph(nn.Module):
    """Two layers whose input is mixed by a learned adjacency (LAM-GConv), scaled by its column sums on both sides.

    The sums are learned too and may fall below zero, where the published root is not a number: here they count as zero.
    """

    def __init__(self, dim: int, joints: int):
        super().__init__()
        self.adjacency = nn.Parameter(torch.eye(joints))
        self.first, self.second = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, x: Float[Tensor, "B J C"]) -> Float[Tensor, "B J C"]:
        root = (self.adjacency.sum(0).clamp_min(0) + 1e-5).rsqrt()
        mix = root[:, None] * self.adjacency * root
        return self.second(mix @ F.relu(self.first(mix @ x)))


class GraFormerLayer(nn.Module):
    """x + attention(norm(x)), then x + learned graph(norm(x))."""

    def __init__(self, dim: int, num_heads: int, joints: int, dropout: float):
        super().__init__()
        self.norm1, self.norm2 = DeviationNorm(dim), DeviationNorm(dim)
        self.attention, self.graph = JointAttention(dim, num_heads), LearnedGraph(dim, joints)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "B J C"]) -> Float[Tensor, "B J C"]:
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.graph(self.norm2(x)))


class GraFormer(nn.Module):
    """Joints of one frame to numbers of each joint.

    Args:
        channels: numbers of a joint that go in and come out.
        dim: width.
        depth: pairs of a GraFormer layer and a Chebyshev block.
        num_heads: of the attention.
        adjacency: see `row_normalised`.
        dropout: of the GraFormer layers.
        told: whether the blocks are told a diffusion step. The step's embedding is there in either case: the published
            network that is told none has it among its weights.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        dim: int,
        depth: int,
        num_heads: int,
        adjacency: Float[Tensor, "J J"],
        dropout: float = 0.25,
        told: bool = False,
    ):
        super().__init__()
        polynomials = chebyshev_polynomials(adjacency, ORDER)
        joints, wide = len(adjacency), 4 * dim
        self.embed = ChebyshevConvolution(channels[0], dim, polynomials)
        self.layers = nn.ModuleList(GraFormerLayer(dim, num_heads, joints, dropout) for _ in range(depth))
        self.blocks = nn.ModuleList(
            ChebyshevBlock(dim, polynomials, wide if told else None) for _ in range(depth)
        )
        self.head = ChebyshevConvolution(dim, channels[1], polynomials)
        self.step_embedding = nn.Sequential(
            SinusoidalEmbedding(dim), nn.Linear(dim, wide), nn.SiLU(), nn.Linear(wide, wide)
        )

    def forward(
        self, x: Float[Tensor, "B J C"], steps: Int[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B J D"]:
        step = None if steps is None else self.step_embedding(steps)
        x = self.embed(x)
        for layer, block in zip(self.layers, self.blocks, strict=True):
            x = block(layer(x), step)
        return self.head(x)


OFFICIAL_KEYS: KeyTable = (
    (r"(^|\.)embed\.", r"\1gconv_input."),
    (r"(^|\.)head\.", r"\1gconv_output."),
    (r"(^|\.)step_embedding\.1\.", r"\1temb.dense.0."),
    (r"(^|\.)step_embedding\.3\.", r"\1temb.dense.1."),
    (r"(^|\.)blocks\.(\d+)\.first\.", r"\1gconv_layers.\2.gconv1.gconv."),
    (r"(^|\.)blocks\.(\d+)\.second\.", r"\1gconv_layers.\2.gconv2.gconv."),
    (r"(^|\.)blocks\.(\d+)\.step\.", r"\1gconv_layers.\2.temb_proj."),
    (r"(^|\.)layers\.", r"\1atten_layers."),
    (r"\.norm1\.weight$", ".sublayer.0.norm.a_2"),
    (r"\.norm1\.bias$", ".sublayer.0.norm.b_2"),
    (r"\.norm2\.weight$", ".sublayer.1.norm.a_2"),
    (r"\.norm2\.bias$", ".sublayer.1.norm.b_2"),
    (r"\.attention\.q\.", ".self_attn.linears.0."),
    (r"\.attention\.k\.", ".self_attn.linears.1."),
    (r"\.attention\.v\.", ".self_attn.linears.2."),
    (r"\.attention\.proj\.", ".self_attn.linears.3."),
    (r"\.graph\.adjacency$", ".feed_forward.A_hat"),
    (r"\.graph\.first\.", ".feed_forward.gconv1.fc."),
    (r"\.graph\.second\.", ".feed_forward.gconv2.fc."),
)
"""Ours to those of DiffPose's `GCNdiff` and `GCNpose`."""
