"""Graph convolutions over the joints of a skeleton, or over frames, with the names they have in the literature.

Convention: node features are (*B, N, C), N nodes of C channels; an adjacency is (N, N), row i says from which
nodes node i gathers.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


def bone_adjacency(parents: Sequence[int]) -> Float[Tensor, "N N"]:
    """Return the symmetric 0/1 matrix of the bones, without self-loops."""
    adjacency = torch.zeros(len(parents), len(parents))
    for child, parent in enumerate(parents):
        if parent >= 0:
            adjacency[child, parent] = adjacency[parent, child] = 1
    return adjacency


def chain_adjacency(length: int) -> Float[Tensor, "N N"]:
    """Return the symmetric 0/1 matrix that links each frame to the one before and the one after."""
    return bone_adjacency(range(-1, length - 1))


class SemanticGraphConvolution(nn.Module):
    """Graph convolution with a learned weight per edge and own weights for the node itself (SemGCN, 3.1).

    The adjacency says only which edges exist. Each node's edge weights (self-loop included where it is an
    edge) are a softmax, in row-major order of the edges.
    """

    edge_index: Tensor
    itself: Tensor

    def __init__(self, dim_in: int, dim_out: int, adjacency: Float[Tensor, "N N"]):
        super().__init__()
        nodes = adjacency.shape[0]
        self.weight = nn.Parameter(torch.empty(2, dim_in, dim_out))
        self.edges = nn.Parameter(torch.ones(1, int((adjacency > 0).sum())))
        self.bias = nn.Parameter(torch.empty(dim_out).uniform_(-(dim_out**-0.5), dim_out**-0.5))
        nn.init.xavier_uniform_(self.weight, gain=1.414)
        self.nodes = nodes
        self.register_buffer("edge_index", (adjacency > 0).flatten().nonzero()[:, 0], persistent=False)
        self.register_buffer("itself", torch.eye(nodes), persistent=False)

    def forward(self, x: Float[Tensor, "*B N C"]) -> Float[Tensor, "*B N D"]:
        logits = self.edges.new_full((self.nodes * self.nodes,), -9e15)
        weights = logits.index_copy(0, self.edge_index, self.edges[0]).view(self.nodes, self.nodes).softmax(1)
        own, others = x @ self.weight[0], x @ self.weight[1]
        return (weights * self.itself) @ own + (weights * (1 - self.itself)) @ others + self.bias


class ModulatedGraphConvolution(nn.Module):
    """Graph convolution with learned edges and a learned factor per node and channel (Zou and Tang, ICCV 2021).

    The learned edges are added to the fixed adjacency and the sum is made symmetric. A node's own features
    and those of the others have separate weights.
    """

    adjacency: Tensor
    itself: Tensor

    def __init__(self, dim_in: int, dim_out: int, adjacency: Float[Tensor, "N N"]):
        super().__init__()
        nodes = adjacency.shape[0]
        self.weight = nn.Parameter(torch.empty(2, dim_in, dim_out))
        self.modulation = nn.Parameter(torch.ones(nodes, dim_out))
        self.learned_adjacency = nn.Parameter(torch.full((nodes, nodes), 1e-6))
        self.bias = nn.Parameter(torch.empty(dim_out).uniform_(-(dim_out**-0.5), dim_out**-0.5))
        nn.init.xavier_uniform_(self.weight, gain=1.414)
        self.register_buffer("adjacency", adjacency.float(), persistent=False)
        self.register_buffer("itself", torch.eye(nodes), persistent=False)

    def forward(self, x: Float[Tensor, "*B N C"]) -> Float[Tensor, "*B N D"]:
        adjacency = self.adjacency + self.learned_adjacency
        adjacency = (adjacency + adjacency.transpose(-1, -2)) / 2
        own = self.modulation * (x @ self.weight[0])
        others = self.modulation * (x @ self.weight[1])
        return adjacency.diagonal()[:, None] * own + (adjacency * (1 - self.itself)) @ others + self.bias


class NodeNorm(nn.BatchNorm1d):
    """Batch norm over the channels of (*B, N, C) node features."""

    def forward(self, x: Float[Tensor, "*B N C"]) -> Float[Tensor, "*B N C"]:
        return super().forward(x.flatten(0, -2)).view(x.shape)


class AdaptiveGraphConvolution(nn.Module):
    """Graph convolution over given, learned and attended edges (2s-AGCN, Shi et al. CVPR 2019, section 4).

    Convention: (B, C, T, J) in and out. `adjacency` has one matrix per subset of the neighbours; entry (i, j)
    says how much joint j gathers from joint i. Learned edges are added to it, and an attention over all
    frames together, whose softmax runs over i.
    """

    adjacency: Tensor

    def __init__(self, dim_in: int, dim_out: int, adjacency: Float[Tensor, "S J J"], dropout: float = 0.0):
        super().__init__()
        subsets, self.inner = len(adjacency), dim_out // 4 or 3
        self.register_buffer("adjacency", adjacency, persistent=False)
        self.learned_adjacency = nn.Parameter(torch.full_like(adjacency, 1e-6))
        self.query, self.key = (
            nn.ModuleList(nn.Conv2d(dim_in, self.inner, 1) for _ in range(subsets)) for _ in range(2)
        )
        self.value = nn.ModuleList(nn.Conv2d(dim_in, dim_out, 1) for _ in range(subsets))
        self.norm = nn.BatchNorm2d(dim_out)
        nn.init.constant_(self.norm.weight, 1e-6)
        self.shortcut = (
            nn.Identity()
            if dim_in == dim_out
            else nn.Sequential(nn.Conv2d(dim_in, dim_out, 1), nn.BatchNorm2d(dim_out))
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "B C T J"]) -> Float[Tensor, "B D T J"]:
        adjacency = self.adjacency + self.learned_adjacency
        total = None
        for i, (query, key, value) in enumerate(zip(self.query, self.key, self.value, strict=True)):
            scores = (
                query(x).flatten(1, 2).transpose(-1, -2) @ key(x).flatten(1, 2) / (self.inner * x.shape[2])
            )
            mixed = value((x.flatten(1, 2) @ (scores.softmax(-2) + adjacency[i])).view(x.shape))
            total = mixed if total is None else total + mixed
        return torch.relu(self.dropout(self.norm(total)) + self.shortcut(x))
