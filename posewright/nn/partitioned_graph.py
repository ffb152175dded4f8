"""Graph convolution with weights of their own for each kind of neighbour: the joint itself, outer, inner, mirrored.

Yan, Xiong, Lin, "Spatial Temporal Graph Convolutional Networks", AAAI 2018, https://arxiv.org/abs/1801.07455, section
3.4 (spatial configuration partitioning); Cai et al., "Exploiting Spatial-temporal Relationships for 3D Pose Estimation
via Graph Convolutional Networks", ICCV 2019 (the joint on the other side is a neighbour). UAO and FMPose3D use it on
single frames.

Convention: node features are (*B, N, C); row i of an adjacency says from which nodes node i gathers.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from posewright.core.errors import InputError

SUBSETS = ("itself", "outer", "inner", "mirrored")
"""Kinds of neighbours: the node, those farther from the centre, those nearer to it, the one on the other side."""


def spatial_partition(parents: Sequence[int], mirror: Sequence[int], centre: int) -> Float[Tensor, "4 N N"]:
    """Adjacency of each kind of neighbour (`SUBSETS`); together they average over the node and all its neighbours.

    Args:
        parents: of the skeleton's tree, -1 for the root.
        mirror: (N,) the joint on the other side, or itself.
        centre: joint from which distances are counted, in bones.
    """
    nodes = len(parents)
    itself, bones, other_side = np.eye(nodes, dtype=bool), *np.zeros((2, nodes, nodes), bool)
    for child, parent in enumerate(parents):
        if parent >= 0:
            bones[child, parent] = bones[parent, child] = True
    distance = bone_distances(bones, centre)
    other_side[np.arange(nodes), list(mirror)] = True
    other_side &= ~itself
    bones &= ~other_side
    farther = distance[None, :] - distance[:, None]
    kinds = np.stack([itself, bones & (farther > 0), bones & (farther < 0), other_side])
    return torch.from_numpy((kinds / kinds.sum((0, 2))[:, None]).astype(np.float32))


def bone_distances(bones: np.ndarray, centre: int) -> np.ndarray:
    """(N,) bones between each node and the centre, from the symmetric (N, N) bool of the bones.

    Raises:
        InputError: a node that no bones lead to.
    """
    distance = np.full(len(bones), -1)
    reached = np.arange(len(bones)) == centre
    for steps in range(len(bones)):
        distance[reached & (distance < 0)] = steps
        reached |= bones[reached].any(0)
    if not reached.all():
        raise InputError(
            f"partitioned graph: no bones lead from joint {centre} to {np.flatnonzero(~reached).tolist()}, expected "
            "one tree"
        )
    return distance


class PartitionedGraphConvolution(nn.Module):
    """Sum over the kinds of neighbours of their average, each kind with a linear layer of its own."""

    adjacency: Tensor

    def __init__(self, dim_in: int, dim_out: int, adjacency: Float[Tensor, "K N N"]):
        super().__init__()
        self.linear = nn.Linear(dim_in, len(adjacency) * dim_out)
        self.register_buffer("adjacency", adjacency, persistent=False)

    def forward(self, x: Float[Tensor, "*B N C"]) -> Float[Tensor, "*B N D"]:
        kinds = self.linear(x).unflatten(-1, (len(self.adjacency), -1)).transpose(-2, -3)  # (*B, K, N, D)
        return (self.adjacency @ kinds).sum(-3)


class NodeLayerNorm(nn.LayerNorm):
    """Layer norm over the nodes of (*B, N, C), for each channel by itself, with a factor and offset per node."""

    def forward(self, x: Float[Tensor, "*B N C"]) -> Float[Tensor, "*B N C"]:
        return super().forward(x.transpose(-1, -2)).transpose(-1, -2)


def check_graph(
    method: str, adjacency: Float[Tensor, "K N N"], recorded: Sequence[Float[Tensor, "K N N"]]
) -> None:
    """Refuse a checkpoint that was trained on another graph; official code keeps it as [from node, to node].

    Raises:
        InputError: another graph, or one of another joint set.
    """
    official = adjacency.transpose(-1, -2)
    for graph in recorded:
        if graph.shape != official.shape or not torch.allclose(graph.to(official), official, atol=1e-5):
            raise InputError(
                f"checkpoint of {method} with another graph of the joints, of shape {tuple(graph.shape)}: expected "
                f"{tuple(official.shape)}, the one of its joint set; name the joint set that it was trained with"
            )
