"""Graph convolution with a weight for each kind of neighbour, and mirrored poses."""

import pytest
import torch

from posewright.core.errors import InputError
from posewright.nn.mirror import check_sides, mirrored
from posewright.nn.partitioned_graph import (
    NodeLayerNorm,
    PartitionedGraphConvolution,
    check_graph,
    spatial_partition,
)
from posewright.skeletons.joint_sets import ANIMAL_26, H36M_17

SPINE = H36M_17.index("spine")


def graph(skeleton=H36M_17, centre=SPINE):
    return spatial_partition(skeleton.parents, skeleton.mirror.tolist(), centre)


@pytest.mark.parametrize("skeleton", [H36M_17, ANIMAL_26])
def test_law_every_node_averages_over_itself_and_its_neighbours(skeleton):
    kinds = graph(skeleton, 7)
    torch.testing.assert_close(kinds.sum((0, 2)), torch.ones(len(skeleton)))
    neighbours = (kinds.sum(0) > 0).float()
    assert torch.equal(neighbours, neighbours.T)
    assert int((kinds > 0).sum()) == len(skeleton) + 2 * len(skeleton.bones) + int(
        (skeleton.mirror != range(len(skeleton))).sum()
    )


def test_convention_kinds_of_neighbours():
    itself, outer, inner, other = graph()
    knee, hip, ankle = H36M_17.indices("left_knee", "left_hip", "left_ankle")
    share = pytest.approx(1 / 4)
    assert float(itself[knee, knee]) == share
    assert float(outer[knee, ankle]) == share
    assert float(inner[knee, hip]) == share
    assert float(other[knee, H36M_17.index("right_knee")]) == share
    assert float(outer[SPINE].sum()) == pytest.approx(2 / 3), "both neighbours of the centre are outer ones"


def test_law_the_convolution_is_a_sum_of_averages_each_with_its_own_weights():
    torch.manual_seed(0)
    kinds = graph().double()
    layer = PartitionedGraphConvolution(5, 6, kinds).double()
    x = torch.randn(2, 3, 17, 5, dtype=torch.float64)
    weights, biases = layer.linear.weight.view(4, 6, 5), layer.linear.bias.view(4, 6)
    expected = sum(
        torch.einsum("ij,btjc,dc->btid", kinds[k], x, weights[k]) + kinds[k].sum(1)[:, None] * biases[k]
        for k in range(4)
    )
    torch.testing.assert_close(layer(x), expected)


def test_law_node_norm_makes_each_channel_standard_over_the_joints():
    y = NodeLayerNorm(17)(3 + 5 * torch.randn(2, 17, 4))
    torch.testing.assert_close(y.mean(1), torch.zeros(2, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var(1, unbiased=False), torch.ones(2, 4), atol=1e-4, rtol=0)


def test_law_mirroring_twice_is_nothing():
    x = torch.randn(2, 5, 17, 3)
    order = H36M_17.mirror.tolist()
    assert torch.equal(mirrored(mirrored(x, order), order), x)
    hip = mirrored(x, order)[..., H36M_17.index("left_hip"), :]
    torch.testing.assert_close(hip, x[..., H36M_17.index("right_hip"), :] * torch.tensor([-1.0, 1, 1]))


def test_wrong_graphs_and_sides_say_what_was_expected():
    with pytest.raises(InputError, match=r"lead from joint 0 to \[2\]"):
        spatial_partition([-1, 0, -1], [0, 1, 2], 0)
    check_graph("uao", graph(), [graph().transpose(1, 2)])
    for other in (graph(), graph(ANIMAL_26)):
        with pytest.raises(InputError, match=r"another graph.*\(4, 17, 17\)"):
            check_graph("uao", graph(), [other])
    order = H36M_17.mirror.tolist()
    check_sides("uao", order, [4, 5, 11], [1, 2, 14])
    check_sides("uao", order, None, None)
    for left, right in (([4, 5], [2, 1]), ([4], []), ([99], [1])):
        with pytest.raises(InputError, match="not sides"):
            check_sides("uao", order, left, right)
