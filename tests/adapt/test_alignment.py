"""Global position alignment: what is put where, and what stays."""

import pytest
import torch

from posewright.adapt.alignment import aligned_clips, anchor, depth_of_box, global_position_alignment, moved
from posewright.adapt.footage import Footage, box_size, footage_of
from posewright.skeletons.joint_sets import BODY_26, H36M_17
from tests.adapt.domains import CAMERA, coco_footage, h36m_footage, source, student


def poses(count: int = 5) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(count, 17, 3, generator=draw, dtype=torch.float64) * 0.4


def test_law_the_root_meets_its_pair_at_the_depth_of_its_size():
    draw = torch.Generator().manual_seed(1)
    keypoints = 0.2 * torch.randn(5, 17, 2, generator=draw, dtype=torch.float64)
    focal = torch.tensor([[1.5, 1.4]], dtype=torch.float64)
    centre = torch.tensor([[0.02, -0.03]], dtype=torch.float64)
    out = global_position_alignment(poses(), keypoints, focal, centre)
    root = focal * out[:, 0, :2] / out[:, 0, 2:] + centre
    torch.testing.assert_close(root, keypoints[:, 0])
    torch.testing.assert_close(out - out[:, :1], poses() - poses()[:, :1])
    torch.testing.assert_close(out[:, 0, 2], depth_of_box(poses(), keypoints, focal))


def test_law_a_flat_pose_seen_from_its_place_is_put_there_again():
    flat = poses()
    flat[..., 2] = 0
    flat = flat - flat[:, :1]
    place = torch.tensor([0.5, -0.2, 4.0], dtype=torch.float64)
    focal, centre = torch.tensor([[2.0, 2.0]], dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64)
    keypoints = focal * (flat + place)[..., :2] / (flat + place)[..., 2:]
    torch.testing.assert_close(global_position_alignment(flat, keypoints, focal, centre), flat + place)


@pytest.mark.parametrize(
    ("special", "footage"), [("lifting/mixste", h36m_footage), ("lifting/raylift", coco_footage)]
)
def test_law_aligned_clips_stand_where_the_footage_does(special, footage):
    s = student(special)
    windows = footage_of(s, [footage()], [CAMERA])
    target = windows.drawn(8, torch.Generator().manual_seed(0))
    clips = source().batch(8, s.window)
    out = aligned_clips(clips, target)
    half, order = s.window // 2, [BODY_26.index(n) for n in s.skeleton.joint_names]
    points = (out["joints"] + out["root"][..., None, :])[:, half]
    flat = out["screen_focal"][:, None, None] * points[..., :2] / points[..., 2:]
    size_there = box_size(target.screen, target.used[:, None]).mean(1)
    place = (anchor(target)[..., None] * target.screen[:, half]).sum(1)
    found = (anchor(target)[..., None] * flat[:, order]).sum(1)
    assert ((found - place).norm(dim=-1) < 0.1 * size_there).all()
    ratio = box_size(flat[:, order], target.used) / size_there
    assert 0.7 < ratio.median() < 1.4
    assert torch.equal(out["joints"], clips["joints"]), "poses stay"
    way = out["root"] - out["root"][:, half, None]
    torch.testing.assert_close(way, clips["root"] - clips["root"][:, half, None], atol=1e-4, rtol=1e-4)
    assert torch.equal(out["screen_focal"], target.focal)


def test_law_moving_to_the_same_place_changes_nothing():
    clips = source().batch(4, 9)
    same = moved(clips, clips["root"], clips["screen_focal"], clips["focal_known"])
    seen = clips["confidence"][..., None] > 0
    before = torch.where(seen, clips["screen"], 0.0)
    torch.testing.assert_close(same["screen"], before, atol=1e-5, rtol=1e-5)


def test_law_errors_of_keypoints_shrink_with_the_distance():
    clips = source().batch(16, 9)
    far = moved(clips, clips["root"] * 2, clips["screen_focal"], clips["focal_known"])

    def error(c):
        points = c["joints"] + c["root"][..., None, :]
        exact = c["screen_focal"][:, None, None, None] * points[..., :2] / points[..., 2:].clamp_min(0.3)
        return (c["screen"] - exact).norm(dim=-1)[c["confidence"] > 0]

    torch.testing.assert_close(error(far), error(clips) / 2, atol=1e-5, rtol=1e-3)


def test_convention_the_pelvis_is_put_in_place_or_the_hips_or_all_that_is_seen():
    used = torch.ones(3, 17, dtype=torch.bool)
    used[1:, 0] = False
    used[2, 1] = False
    target = Footage(torch.zeros(3, 2, 17, 2), used, torch.ones(3), torch.ones(3), H36M_17)
    weight = anchor(target)
    assert weight[0].nonzero().flatten().tolist() == [0]
    assert weight[1].nonzero().flatten().tolist() == [1, 4]
    assert int((weight[2] > 0).sum()) == 15
    torch.testing.assert_close(weight.sum(-1), torch.ones(3))
