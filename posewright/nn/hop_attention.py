"""Attention between groups of joints that lie equally many bones apart (HopFIR, "hop-wise" attention).

Convention: node features are (*B, N, C), N nodes of C channels; every leading dimension is a batch dimension.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posewright.nn.attention import attend_heads


def hop_groups(adjacency: Float[Tensor, "N N"], hops: int) -> Float[Tensor, "H N N"]:
    """Return, for 0 to `hops` edges, the matrices that average each node's neighbours at exactly that distance.

    Only where `adjacency` is not zero matters; its diagonal does not. A node without neighbours at a distance is a
    group of itself there.
    """
    if hops < 0:
        raise ValueError(f"hop groups: {hops} hops, expected 0 or more")
    nodes = adjacency.shape[0]
    edges = ((adjacency != 0) | torch.eye(nodes, dtype=torch.bool)).float()
    reached, groups = torch.eye(nodes) > 0, [torch.eye(nodes)]
    for _ in range(hops):
        further = (reached.float() @ edges > 0) & ~reached
        reached = reached | further
        alone = ~further.any(1)
        groups.append((further | torch.diag(alone)).float())
    stacked = torch.stack(groups)
    return stacked / stacked.sum(-1, keepdim=True)


class HopwiseAttention(nn.Module):
    """Multi-head self-attention in which head k sees, in place of the joints, the groups of their k-hop neighbours.

    Queries, keys and values of head k are averages over each joint's neighbours k bones away (k = 0: the joint
    itself), so that its attention is one between groups; the heads are joined by a linear layer.
    """

    groups: Tensor

    def __init__(self, dim: int, adjacency: Float[Tensor, "N N"], hops: int = 3, heads_per_hop: int = 1):
        super().__init__()
        self.num_heads = (hops + 1) * heads_per_hop
        if heads_per_hop < 1 or dim % self.num_heads:
            raise ValueError(
                f"hop-wise attention: width {dim} cannot be split into {self.num_heads} heads of equal width, "
                f"{heads_per_hop} for each of 0 to {hops} hops"
            )
        groups = hop_groups(adjacency, hops).repeat_interleave(heads_per_hop, 0)
        self.register_buffer("groups", groups, persistent=False)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "*B N C"]) -> Float[Tensor, "*B N C"]:
        nodes = x.shape[-2]
        heads = self.qkv(x).reshape(-1, nodes, 3, self.num_heads, x.shape[-1] // self.num_heads)
        q, k, v = (self.groups @ heads.permute(2, 0, 3, 1, 4)).unbind(0)
        mixed = attend_heads(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(x.shape))


class HopwiseResidual(nn.Module):
    """x + attention(norm(x)): what is put between the blocks of another graph network."""

    def __init__(self, dim: int, adjacency: Float[Tensor, "N N"], hops: int = 3):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.attention = HopwiseAttention(dim, adjacency, hops)

    def forward(self, x: Float[Tensor, "*B N C"]) -> Float[Tensor, "*B N C"]:
        return x + self.attention(self.norm(x))
