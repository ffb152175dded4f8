"""HopFIR, and its hop-wise attention in SemGCN."""

import pytest
import torch

from posewright.models.lifting import hopfir, semgcn
from posewright.skeletons.joint_sets import H36M_17
from tests.models.lifting.small import SMALL


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_convention_limbs_go_from_the_trunk_outwards():
    for limb in hopfir.LIMBS:
        assert [H36M_17.parents[joint] for joint in limb[1:]] == list(limb[:-1])
    sides = [{H36M_17.joint_names[j].partition("_")[0] for j in limb} for limb in hopfir.LIMBS]
    assert sides[:2] + sides[3:] == [{"right"}, {"left"}, {"left"}, {"right"}]


def test_law_refinement_changes_outer_joints_by_their_limb_alone():
    layer = hopfir.IntragroupJointRefinement(16, 17, hopfir.LIMBS, 4, 0.0)
    x = torch.randn(2, 17, 16)
    moved = (layer(x) != x).any(-1).any(0).nonzero()[:, 0].tolist()
    assert moved == sorted(j for limb in hopfir.LIMBS for j in limb[1:])
    other = x.clone()
    other[:, 12] += 1
    changed = (layer(other) - layer(x)).abs().amax((0, 2)) > 0
    assert changed.nonzero()[:, 0].tolist() == [12, 13], "the left arm, from the elbow on"


def test_law_joints_of_two_limbs_are_refused():
    with pytest.raises(ValueError, match="at most once"):
        hopfir.limb_masks(17, ((1, 2, 3), (3, 4)))


def test_law_mirrored_keypoints_of_a_fresh_model_give_the_joints_in_mirrored_order():
    """No side is favoured but by the learned factor per joint, which is one at first."""
    model, mirror = hopfir.Model(SMALL["lifting/hopfir"][0]).eval(), H36M_17.mirror
    keypoints = torch.randn(2, 3, 17, 2)
    torch.testing.assert_close(
        model(keypoints[:, :, mirror]), model(keypoints)[:, :, mirror], atol=1e-5, rtol=1e-4
    )


def test_contract_keypoints_of_another_joint_set_are_refused():
    with pytest.raises(ValueError, match="expected \\(B, T, 17, 2\\)"):
        hopfir.Model(SMALL["lifting/hopfir"][0])(torch.zeros(1, 3, 16, 2))


def test_law_semgcn_without_hops_is_the_published_one_inside_the_other():
    plain = semgcn.Model(semgcn.Config(16, 2)).eval()
    hopwise = semgcn.Model(semgcn.Config(16, 2, hops=3)).eval()
    for name, parameter in hopwise.named_parameters():
        if "attention.proj" in name:
            torch.nn.init.zeros_(parameter)
    blocks = [
        m
        for m in hopwise.modules()
        if isinstance(m, (semgcn.GraphConvolution, semgcn.SemanticGraphConvolution))
    ]
    same = [
        m
        for m in plain.modules()
        if isinstance(m, (semgcn.GraphConvolution, semgcn.SemanticGraphConvolution))
    ]
    for ours, theirs in zip(blocks, same, strict=True):
        ours.load_state_dict(theirs.state_dict())
    keypoints = torch.randn(2, 3, 16, 2)
    torch.testing.assert_close(hopwise(keypoints), plain(keypoints))


@pytest.mark.parametrize("name", ["lifting/hopfir", "lifting/semgcn:hopwise"])
def test_learns_a_few_poses(name):
    config, shape = SMALL[name]
    model = (semgcn if "semgcn" in name else hopfir).Model(config)
    keypoints, joints = torch.randn(8, *shape[1:]), torch.randn(8, *shape[1:3], 3)
    step = torch.optim.AdamW(model.parameters(), 1e-2)
    losses = []
    for _ in range(120):
        step.zero_grad()
        losses.append((model(keypoints) - joints).square().mean())
        losses[-1].backward()
        step.step()
    assert losses[-1] < 0.5 * losses[0]
