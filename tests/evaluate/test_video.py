"""A walking person (and a second one) filmed by a still camera: what each score says when something is wrong."""

from dataclasses import replace

import numpy as np
import pytest

from posewright.evaluate.video import LIMBS, ViewTruth, mean_scores, score_keypoints, score_motion
from posewright.skeletons.joint_sets import COCO_17, RIG_26
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D
from posewright.structures.motion import Motion

T, FPS = 40, 25.0
CAMERA = Camera(
    np.array([[900.0, 0, 640], [0, 900.0, 360], [0, 0, 1]]),
    (1280, 720),
    np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    np.array([0.0, 1.0, 6.0]),
)


def _people(count=2):
    rng = np.random.default_rng(0)
    body = rng.uniform((-0.3, -0.2, 0.0), (0.3, 0.2, 1.8), (26, 3))
    path = np.stack([np.linspace(-0.5, 0.5, T), np.zeros(T), np.zeros(T)], -1)
    people = [path[:, None] + body + (1.4 * p, 0, 0) for p in range(count)]
    return np.stack(people, 1) + rng.normal(0, 0.01, (T, count, 26, 3))


def _project(points):
    camera = points @ CAMERA.R.T + CAMERA.t
    return camera[..., :2] / camera[..., 2:] * 900 + (640, 360)


def _truth(joints):
    keypoints = _project(joints[:, :, :17])
    P = joints.shape[1]
    return ViewTruth(
        FPS,
        joints.astype(np.float32),
        np.ones((T, P, 2), bool),
        CAMERA,
        keypoints,
        np.ones((T, P, 17), bool),
        np.ones((T, P)),
    )


def _motion(joints, keypoints):
    P = joints.shape[1]
    found = Keypoints2D(
        COCO_17, keypoints.astype(np.float32), np.ones((T, P, 17), np.float32), (1280, 720), FPS
    )
    return Motion(
        RIG_26,
        joints.astype(np.float32),
        np.ones((T, P, 26), np.float32),
        FPS,
        keypoints=found,
        camera=CAMERA,
    )


def _scores(truth, motion):
    match, finding = score_keypoints(truth, motion.keypoints)
    return finding | score_motion(truth, motion, match)


def test_law_the_truth_scores_perfectly():
    joints = _people()
    truth = _truth(joints)
    standing = replace(truth, joints=np.tile(truth.joints[:1], (T, 1, 1, 1)))
    scores = _scores(standing, _motion(standing.joints, truth.keypoints))
    assert scores["detection_percent"] == 100
    assert scores["identity_switches"] == scores["phantoms_per_100_frames"] == 0
    assert scores["frames"] == 2 * T
    for name in ("error_px", "mpjpe_mm", "mrpe_mm", "w_mpjpe_mm", "mpjve_mm_s", "accel_m_s2", "skating_mm_s"):
        assert scores[name] == pytest.approx(0, abs=2e-3), name


def test_law_a_wrong_place_is_a_root_error_alone():
    joints = _people(1)
    truth = _truth(joints)
    scores = _scores(truth, _motion(joints + (0.0, 0.5, 0.0), truth.keypoints))
    assert scores["mrpe_mm"] == pytest.approx(500, abs=0.01)
    assert scores["mpjpe_mm"] == pytest.approx(0, abs=1e-2)
    assert scores["w_mpjpe_mm"] == pytest.approx(0, abs=1e-2)


def test_law_people_in_another_order_are_found_all_the_same():
    joints = _people()
    truth = _truth(joints)
    scores = _scores(truth, _motion(joints[:, ::-1], truth.keypoints[:, ::-1]))
    assert scores["identity_switches"] == 0
    assert scores["mpjpe_mm"] == pytest.approx(0, abs=1e-2)


def test_law_an_exchange_in_the_middle_is_counted():
    joints = _people()
    truth = _truth(joints)
    mixed = np.concatenate([joints[:20], joints[20:, ::-1]])
    assert _scores(truth, _motion(mixed, _project(mixed[:, :, :17])))["identity_switches"] == 2


def test_law_missed_frames_and_phantoms_are_counted():
    joints = _people()
    truth = _truth(joints)
    motion = _motion(joints, truth.keypoints)
    keypoints = truth.keypoints.copy()
    keypoints[:10, 0] = np.nan
    keypoints[30:, 1] += 400
    confidence = np.isfinite(keypoints).all(-1).astype(np.float32)
    found = replace(motion.keypoints, positions=keypoints.astype(np.float32), confidence=confidence)
    scores = _scores(truth, replace(motion, keypoints=found))
    assert scores["detection_percent"] == pytest.approx(75.0)
    assert scores["phantoms_per_100_frames"] == pytest.approx(25.0)
    assert scores["frames"] == 60
    assert scores["mpjpe_mm"] == pytest.approx(0, abs=1e-2)


def test_convention_only_well_visible_people_are_required_and_only_visible_keypoints_scored():
    joints = _people(1)
    truth = _truth(joints)
    hidden = replace(truth, visible_share=np.where(np.arange(T) < 10, 0.1, 1.0)[:, None])
    keypoints = truth.keypoints.copy()
    keypoints[:10] = np.nan
    keypoints[:, :, 3] += 500
    visible = hidden.visible.copy()
    visible[:, :, 3] = False
    motion = _motion(joints, np.nan_to_num(keypoints))
    found = replace(
        motion.keypoints, positions=keypoints, confidence=np.isfinite(keypoints).all(-1).astype(np.float32)
    )
    scores = _scores(replace(hidden, visible=visible), replace(motion, keypoints=found))
    assert scores["required"] == scores["frames"] == 30
    assert scores["detection_percent"] == 100
    assert scores["error_px"] == pytest.approx(0, abs=1e-3)


def test_contract_nobody_found():
    truth = _truth(_people(1))
    nobody = np.empty((T, 0, 26, 3))
    scores = _scores(truth, _motion(nobody, np.empty((T, 0, 17, 2))))
    assert scores["detection_percent"] == 0
    assert scores["frames"] == 0
    assert np.isnan(scores["mpjpe_mm"])
    with pytest.raises(ValueError, match="40"):
        score_keypoints(
            replace(truth, joints=truth.joints[:5]), _motion(nobody, nobody[..., :17, :2]).keypoints
        )


def test_law_mean_scores_weigh_by_frames_and_sum_counts():
    rows = [
        {"frames": 10, "required": 10, "identity_switches": 1, "mpjpe_mm": 10.0},
        {"frames": 30, "required": 40, "identity_switches": 2, "mpjpe_mm": 30.0},
        {"frames": 0, "required": 5, "identity_switches": 0, "mpjpe_mm": np.nan},
    ]
    assert mean_scores(rows) == {"frames": 40, "required": 55, "identity_switches": 3, "mpjpe_mm": 25.0}
    assert len(LIMBS) == 12
