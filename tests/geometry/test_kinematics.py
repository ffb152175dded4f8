import pytest
import torch

from posewright.geometry import kinematics as k
from posewright.geometry.rotations import axis_rotation, rotvec_to_matrix
from posewright.skeletons.joint_sets import COCO_17, RIG_26

PARENTS = RIG_26.parents


def random_pose(*batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rotations = rotvec_to_matrix(torch.randn(*batch, 26, 3, generator=generator, dtype=torch.float64))
    offsets = torch.randn(26, 3, generator=generator, dtype=torch.float64)
    return rotations, offsets, torch.randn(*batch, 3, generator=generator, dtype=torch.float64)


def by_recursion(rotations, offsets, root, parents):
    """The definition, joint by joint, for one pose."""
    positions, turned = {}, {}

    def visit(j):
        if j in positions:
            return
        p = parents[j]
        if p < 0:
            positions[j], turned[j] = root + offsets[j], rotations[j]
        else:
            visit(p)
            positions[j] = positions[p] + turned[p] @ offsets[j]
            turned[j] = turned[p] @ rotations[j]

    for j in range(len(parents)):
        visit(j)
    return torch.stack([positions[j] for j in range(len(parents))]), torch.stack(
        [turned[j] for j in range(len(parents))]
    )


def test_law_forward_kinematics_is_its_definition():
    rotations, offsets, root = random_pose(2, 3)
    positions, turned = k.forward_kinematics(rotations, offsets, root, PARENTS)
    for b in [(0, 0), (1, 2)]:
        expected = by_recursion(rotations[b], offsets, root[b], PARENTS)
        torch.testing.assert_close(positions[b], expected[0])
        torch.testing.assert_close(turned[b], expected[1])


def test_law_joint_order_does_not_matter():
    rotations, offsets, root = random_pose(4)
    shuffle = torch.randperm(26, generator=torch.Generator().manual_seed(1))
    place = shuffle.argsort()
    parents = [-1 if PARENTS[j] < 0 else int(place[PARENTS[j]]) for j in shuffle]
    expected = k.forward_kinematics(rotations, offsets, root, PARENTS)
    actual = k.forward_kinematics(rotations[:, shuffle], offsets[shuffle], root, parents)
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e[:, shuffle])


def test_law_several_roots():
    eye = torch.eye(3, dtype=torch.float64).expand(17, 3, 3)
    offsets = torch.ones(17, 3, dtype=torch.float64)
    positions, _ = k.forward_kinematics(eye, offsets, offsets[0] * 5, COCO_17.parents)
    assert positions[COCO_17.index("left_shoulder")].tolist() == [6, 6, 6]
    assert positions[COCO_17.index("right_elbow")].tolist() == [8, 8, 8]


def test_law_global_and_local_rotations_are_inverse():
    rotations, offsets, root = random_pose(5)
    turned = k.forward_kinematics(rotations, offsets, root, PARENTS)[1]
    torch.testing.assert_close(k.global_to_local(turned, PARENTS), rotations)
    torch.testing.assert_close(k.local_to_global(rotations, PARENTS), turned)


def test_law_bones_keep_their_rest_length():
    rotations, offsets, root = random_pose(5)
    positions, _ = k.forward_kinematics(rotations, offsets, root, PARENTS)
    expected = offsets.norm(dim=-1)
    expected[0] = 0
    torch.testing.assert_close(k.bone_lengths(positions, PARENTS), expected.expand(5, 26))


def test_law_gradients_are_exact():
    rotations, offsets, root = (x.requires_grad_() for x in random_pose(1))
    small = (-1, 0, 1, 0)
    inputs = (rotations[:, :4], offsets[:4], root)
    assert torch.autograd.gradcheck(lambda r, o, t: k.forward_kinematics(r, o, t, small), inputs)
    positions = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    k.bone_lengths(positions, small).sum().backward()
    assert torch.isfinite(positions.grad).all()


def test_law_missing_reaches_descendants_only():
    rotations, offsets, root = random_pose()
    rotations[RIG_26.index("left_knee")] = torch.nan
    positions, _ = k.forward_kinematics(rotations, offsets, root, PARENTS)
    missing = {RIG_26.joint_names[j] for j in torch.isnan(positions).any(-1).nonzero()[:, 0]}
    assert missing == {"left_ankle", "left_heel", "left_toe"}


def test_convention_offset_is_in_the_parents_axes():
    rotations = torch.stack(
        [axis_rotation("Z", torch.tensor(torch.pi / 2, dtype=torch.float64)), torch.eye(3).double()]
    )
    offsets = torch.tensor([[0, 0, 0], [1.0, 0, 0]], dtype=torch.float64)
    positions, _ = k.forward_kinematics(rotations, offsets, torch.tensor([0, 0, 2.0]).double(), (-1, 0))
    torch.testing.assert_close(positions[1], torch.tensor([0, 1.0, 2.0], dtype=torch.float64))


@pytest.mark.parametrize("parents", [(-1, 2, 1), (-1, 5), (0, 0)])
def test_law_not_a_tree(parents):
    with pytest.raises(ValueError, match="expected"):
        k.depth_levels(parents)
