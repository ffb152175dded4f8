"""The AGFormer blocks of MotionAGFormer: attention and graph convolution side by side.

Convention: tokens are (B, T, J, C).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posewright.nn.attention import Mlp, SelfAttention, StochasticDepth, shortcut
from posewright.nn.dual_stream import AdaptiveFusion, Mean
from posewright.nn.spatiotemporal import BeforeLayer, over_time

OFFICIAL_KEYS = (
    (r"^layers\.(\d+)\.(attention|graph)\.(spatial|temporal)\.", r"layers.\1.\2_\3."),
    (r"^layers\.(\d+)\.attention_", r"layers.\1.att_"),
    (r"^(layers\.\d+)\.fusion\.weights\.", r"\1.fusion."),
    (r"\.scale1$", ".layer_scale_1"),
    (r"\.scale2$", ".layer_scale_2"),
    (r"\.mixer\.node_norm\.", ".mixer.batch_norm."),
)
"""What MotionAGFormer and HoT call an `AGFormer` that is our attribute `layers`."""

LINKS = (
    *(
        (0, 1),
        (0, 7),
        (1, 0),
        (1, 2),
        (2, 1),
        (2, 3),
        (3, 2),
        (4, 0),
        (4, 5),
        (5, 4),
        (5, 6),
        (6, 5),
        (7, 0),
        (7, 8),
    ),
    *((8, 7), (8, 9), (9, 8), (9, 10), (10, 9), (11, 8), (11, 12), (12, 11), (12, 13), (13, 12)),
    *((14, 8), (14, 15), (15, 14), (15, 16), (16, 15)),
)
"""(i, j): joint i gathers from joint j, Human3.6M order. As published, pelvis and thorax do not gather from
the left hip (4) and the shoulders (11, 14), which do gather from them: the published weights need exactly
this graph."""


def published_adjacency(joints: int) -> Float[Tensor, "J J"]:
    """Return the joint graph of the official code: row i gathers from its neighbours, without self-loops."""
    if joints != 17:
        raise ValueError(
            f"agformer: the published joint graph has 17 joints, the config {joints}: give `adjacency`"
        )
    adjacency = torch.zeros(joints, joints)
    adjacency[tuple(zip(*LINKS, strict=True))] = 1
    return adjacency


class NeighbourConvolution(nn.Module):
    """Graph convolution y = relu(x + norm(D^-1/2 A D^-1/2 V(x) + U(x))), batch norm per node (section 3.3).

    A is given, or found in the features (`neighbours`): each node gathers from the nodes whose dot product
    with it is at least its `neighbours`-th largest. D is the row sum of A.
    """

    def __init__(
        self, dim: int, nodes: int, adjacency: Float[Tensor, "N N"] | None = None, neighbours: int = 0
    ):
        super().__init__()
        self.neighbours = neighbours
        self.U, self.V = nn.Linear(dim, dim), nn.Linear(dim, dim)
        for linear in (self.U, self.V):
            nn.init.normal_(linear.weight, std=(2 / dim) ** 0.5)
        self.node_norm = nn.BatchNorm1d(nodes)
        fixed = None if adjacency is None else _normalised(adjacency)
        self.register_buffer("adjacency", fixed, persistent=False)

    def forward(self, x: Float[Tensor, "*B N C"]) -> Float[Tensor, "*B N C"]:
        gathered = self.gather_similar(x) if self.adjacency is None else self.adjacency @ self.V(x)
        mixed = (gathered + self.U(x)).flatten(0, -3)
        return (x + self.node_norm(mixed).view(x.shape)).relu_()

    def gather_similar(self, x: Float[Tensor, "*B N C"]) -> Float[Tensor, "*B N C"]:
        """Gather over the normalised graph of the most similar nodes."""
        similarity = x @ x.transpose(-1, -2)
        least = kth_largest(similarity, min(self.neighbours, x.shape[-2]))
        adjacency = (similarity >= least).to(x.dtype)
        root = adjacency.sum(-1, keepdim=True).rsqrt()
        return root * (adjacency @ (root * self.V(x)))


def kth_largest(x: Float[Tensor, "*B N"], k: int) -> Float[Tensor, "*B 1"]:
    """Return the k-th largest of the last dimension, equal ones counted each.

    The published k is 2, for which removing one largest and looking again takes a fifth of `topk`'s time at 81 frames.
    """
    if k != 2:
        return x.topk(k, dim=-1).values[..., -1:]
    largest = x.max(dim=-1, keepdim=True).indices
    return x.scatter(-1, largest, float("-inf")).amax(-1, keepdim=True)


def _normalised(adjacency: Float[Tensor, "*B N N"]) -> Float[Tensor, "*B N N"]:
    """Divide by the square roots of both nodes' row sums."""
    root = adjacency.sum(-1).rsqrt()
    return root[..., :, None] * adjacency * root[..., None, :]


class AGFormerBlock(nn.Module):
    """Pre-norm block whose mixer is attention or a graph convolution, with layer scale on both branches (figure 2)."""

    def __init__(
        self,
        mixer: nn.Module,
        dim: int,
        hidden: int,
        layer_scale: float | None,
        dropout: float,
        drop_path: float,
    ):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mixer, self.mlp = mixer, Mlp(dim, hidden, dropout)
        self.drop_path = StochasticDepth(drop_path)
        self.scale1 = None if layer_scale is None else nn.Parameter(torch.full((dim,), layer_scale))
        self.scale2 = None if layer_scale is None else nn.Parameter(torch.full((dim,), layer_scale))

    def forward(self, x: Float[Tensor, "*B N C"]) -> Float[Tensor, "*B N C"]:
        x = shortcut(x, self.drop_path(self.mixer(self.norm1(x))), self.scale1)
        return shortcut(x, self.drop_path(self.mlp(self.norm2(x))), self.scale2)


class Stream(nn.Module):
    """A block over joints, then one over frames."""

    def __init__(self, spatial: AGFormerBlock, temporal: AGFormerBlock):
        super().__init__()
        self.spatial, self.temporal = spatial, temporal

    def forward(self, x: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T J C"]:
        return over_time(self.temporal, self.spatial(x))


class AGFormerLayer(nn.Module):
    """The attention stream and the graph stream, fused (figure 2)."""

    def __init__(self, attention: Stream, graph: Stream, dim: int, adaptive_fusion: bool):
        super().__init__()
        self.attention, self.graph = attention, graph
        self.fusion = AdaptiveFusion(dim) if adaptive_fusion else Mean()

    def forward(self, x: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T J C"]:
        return self.fusion(self.attention(x), self.graph(x))


class AGFormer(nn.ModuleList):
    """AGFormer layers one after another; `frames` gives the number of frames each works on."""

    def __init__(
        self,
        frames: list[int],
        adjacency: Float[Tensor, "J J"],
        dim: int,
        hidden: int,
        num_heads: int,
        neighbours: int,
        qkv_bias: bool = False,
        scale: float | None = None,
        layer_scale: float | None = 1e-5,
        adaptive_fusion: bool = True,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        drop_path: float = 0.0,
    ):
        def block(mixer: nn.Module) -> AGFormerBlock:
            return AGFormerBlock(mixer, dim, hidden, layer_scale, dropout, drop_path)

        def attention() -> AGFormerBlock:
            return block(SelfAttention(dim, num_heads, qkv_bias, scale, dropout, attention_dropout))

        def layer(count: int) -> AGFormerLayer:
            over_joints = block(NeighbourConvolution(dim, adjacency.shape[0], adjacency))
            over_frames = block(NeighbourConvolution(dim, count, neighbours=neighbours))
            streams = Stream(attention(), attention()), Stream(over_joints, over_frames)
            return AGFormerLayer(*streams, dim, adaptive_fusion)

        super().__init__(layer(count) for count in frames)

    def forward(
        self, x: Float[Tensor, "B T J C"], before_layer: BeforeLayer | None = None
    ) -> Float[Tensor, "B T2 J C"]:
        """Run all layers; `before_layer` is called before every one of them, the first too."""
        for i, layer in enumerate(self):
            if before_layer is not None:
                x = before_layer(i, x)
            x = layer(x)
        return x
