import numpy as np
import pytest

from posewright.datasets.mocap import MOCAP_19, MocapSequence
from posewright.datasets.procedural import walk
from posewright.evaluate.lifting import SCORED, Corruption, evaluate_lifter, filmed, keypoints_of
from posewright.skeletons.joint_sets import BODY_26, COCO_17, COCO_FEET_21, RIG_26


@pytest.fixture(scope="module")
def views():
    order = [RIG_26.index(n) for n in MOCAP_19.joint_names]
    joints = walk(seconds=2, fps=50).joints[:, 0, order].astype(np.float32)
    valid = np.ones(len(joints), bool)
    valid[:3] = False
    return filmed([MocapSequence("99_01", "99", "walk", "asf", 50.0, joints, valid)])


def test_views_hold_the_whole_take(views):
    assert len(views) == 4
    for view in views:
        clean, camera = keypoints_of(view, COCO_FEET_21, Corruption(noise=0))
        assert np.isfinite(clean.positions).all()
        inside = (clean.positions >= 0) & (clean.positions <= np.array(camera.image_size) - 1)
        assert inside.all()


def test_law_camera_and_truth_agree_with_the_recording(views):
    for view in views:
        world = (view.points - view.camera.t) @ view.camera.R
        joints = world[:, [BODY_26.index(n) for n in MOCAP_19.joint_names]]
        np.testing.assert_allclose(joints, view.sequence.joints, atol=1e-4)


def test_law_noise_has_the_stated_size(views):
    view = views[0]
    clean, camera = keypoints_of(view, COCO_17, Corruption(noise=0))
    noisy, _ = keypoints_of(view, COCO_17, Corruption(noise=0.02))
    height = camera.K[0, 0] * view.stature / view.points[:, 0, 2]
    deviation = (noisy.positions - clean.positions)[:, 0] / height[:, None, None]
    assert deviation.std() == pytest.approx(0.02, rel=0.05)
    gaps, _ = keypoints_of(view, COCO_17, Corruption(missing=0.2))
    assert np.isnan(gaps.positions).all(-1).mean() == pytest.approx(0.2, abs=0.03)
    assert (np.isnan(gaps.positions).any(-1) == (gaps.confidence == 0)).all()


def test_convention_an_unknown_focal_length_is_not_told(views):
    _, camera = keypoints_of(views[0], COCO_17, Corruption(focal_known=False))
    assert camera.focal_source == "assumed"
    assert camera.K[0, 0] != views[0].camera.K[0, 0]


def test_law_the_truth_scores_zero_and_a_shift_nothing(views):
    answers = iter([v.points + 3.0 for v in views])
    scores = evaluate_lifter(lambda keypoints, camera: next(answers), views, COCO_17, Corruption())
    assert set(scores) == {"all", "walk"}
    assert scores["all"]["frames"] == 4 * 97
    for name in ("mpjpe_mm", "pa_mpjpe_mm", "n_mpjpe_mm", "mpjve_mm_per_s", "mpjpe_17_mm"):
        assert scores["all"][name] == pytest.approx(0, abs=1e-6)


def test_law_a_body_ten_per_cent_too_large_has_only_a_scale_error(views):
    answers = iter([1.1 * (v.points - v.points[:, :1]) for v in views])
    scores = evaluate_lifter(lambda keypoints, camera: next(answers), views, COCO_17, Corruption())["all"]
    assert scores["mpjpe_mm"] > 30
    assert scores["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-6)
    assert scores["n_mpjpe_mm"] == pytest.approx(0, abs=1e-6)


def test_fifteen_joints_are_scored():
    assert len(SCORED) == len(set(SCORED)) == 15
    assert set(SCORED) <= set(BODY_26.joint_names)
