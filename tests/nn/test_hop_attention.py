"""Groups of joints by distance, and attention between them."""

import pytest
import torch
from scipy.sparse.csgraph import shortest_path

from posewright.nn.attention import SelfAttention
from posewright.nn.graph import bone_adjacency
from posewright.nn.hop_attention import HopwiseAttention, HopwiseResidual, hop_groups
from posewright.skeletons.joint_sets import H36M_17

BONES = bone_adjacency(H36M_17.parents)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_law_groups_are_means_over_joints_at_exactly_that_distance():
    distance = torch.from_numpy(shortest_path(BONES.numpy(), unweighted=True))
    for hop, group in enumerate(hop_groups(BONES, 4)):
        at = distance == hop
        some = at.any(1)
        assert torch.equal(group[some] > 0, at[some])
        torch.testing.assert_close(group.sum(1), torch.ones(17))
        assert torch.equal(group[~some], torch.eye(17)[~some])


def test_convention_self_loops_do_not_matter_and_far_groups_are_the_joint_itself():
    assert torch.equal(hop_groups(BONES, 3), hop_groups(BONES + torch.eye(17), 3))
    assert torch.equal(hop_groups(BONES, 30)[-1], torch.eye(17))
    with pytest.raises(ValueError, match="0 or more"):
        hop_groups(BONES, -1)


def test_law_without_hops_it_is_the_usual_attention():
    hopwise, usual = HopwiseAttention(16, BONES, 0, heads_per_hop=4), SelfAttention(16, 4)
    hopwise.load_state_dict({**hopwise.state_dict(), **usual.state_dict()})
    x = torch.randn(2, 3, 17, 16)
    torch.testing.assert_close(hopwise(x), usual(x), atol=1e-6, rtol=1e-5)


def test_law_each_head_attends_between_groups():
    layer, x = HopwiseAttention(16, BONES, 3).double(), torch.randn(17, 16, dtype=torch.float64)
    q, k, v = layer.qkv(x).view(17, 3, 4, 4).permute(1, 2, 0, 3)
    heads = []
    for hop, group in enumerate(hop_groups(BONES, 3).double()):
        queries, keys, values = group @ q[hop], group @ k[hop], group @ v[hop]
        heads.append((queries @ keys.T / 2).softmax(-1) @ values)
    torch.testing.assert_close(layer(x), layer.proj(torch.cat(heads, -1)))


def test_law_mirrored_bodies_have_mirrored_features():
    """Left and right hang on the trunk alike, so that a renamed body is only a renamed answer."""
    layer, x, mirror = HopwiseResidual(16, BONES), torch.randn(2, 17, 16), H36M_17.mirror
    torch.testing.assert_close(layer(x[:, mirror]), layer(x)[:, mirror], atol=1e-6, rtol=1e-5)


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="4 heads"):
        HopwiseAttention(18, BONES, 3)
