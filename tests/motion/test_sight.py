"""Feet in the picture of a still camera: what stands, stands there too, whatever is thought of its depth."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from posewright.geometry.cameras import look_at, project_world
from posewright.motion.contacts import ContactOptions, planted_points
from posewright.motion.sight import FEET, speed_across
from posewright.skeletons.joint_sets import COCO_17, MEDIAPIPE_33, RIG_26
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D

T, FPS = 60, 30.0
R, t = (a.numpy() for a in look_at(torch.tensor([0.0, -6.0, 1.2]), torch.tensor([0.0, 0.0, 0.9])))
CAMERA = Camera(np.array([[900.0, 0, 639.5], [0, 900.0, 359.5], [0, 0, 1]]), (1280, 720), R, t)


def feet(path):
    """Joints (T, 1, 26, 3) with heels and toes on a path (T, 3); left stands at the origin, right moves."""
    joints = np.zeros((T, 1, 26, 3))
    for name, offset in zip(
        FEET, ((0.1, 0, 0.03), (0.1, -0.2, 0.02), (-0.1, 0, 0.03), (-0.1, -0.2, 0.02)), strict=True
    ):
        joints[:, 0, RIG_26.index(name)] = np.array(offset) + (path if name.startswith("right") else 0)
    return joints


def seen(joints, camera=CAMERA, skeleton=MEDIAPIPE_33):
    """The keypoints of those feet."""
    arrays = (np.asarray(a, np.float64) for a in (joints, camera.R, camera.t, camera.K, camera.distortion))
    pixels = project_world(*(torch.from_numpy(a) for a in arrays), camera.model).numpy()
    positions = np.zeros((T, 1, len(skeleton), 2), np.float32)
    confidence = np.ones((T, 1, len(skeleton)), np.float32)
    for name in FEET:
        if name in skeleton.joint_names:
            positions[:, :, skeleton.index(name)] = pixels[:, :, RIG_26.index(name)]
    return Keypoints2D(skeleton, positions, confidence, camera.image_size, FPS)


def sideways(speed):
    return np.stack([speed * np.arange(T) / FPS - 0.7, np.zeros(T), np.zeros(T)], -1)


@pytest.mark.parametrize("distortion", [np.zeros(5), np.array([-0.15, 0.03, 0, 0, 0])])
def test_law_speed_across_the_line_of_sight(distortion):
    camera = replace(CAMERA, distortion=distortion)
    joints = feet(sideways(0.7))
    across = speed_across(joints, seen(joints, camera), camera)
    assert across is not None
    np.testing.assert_allclose(across[5:-5, 0, 0], 0, atol=5e-3)
    np.testing.assert_allclose(across[5:-5, 0, 1], 0.7, rtol=0.03)


def test_law_a_standing_foot_whose_estimated_depth_drifts_is_planted():
    true = feet(np.zeros((T, 3)))
    drifting = feet(np.zeros((T, 3)))
    drifting[..., 1] += 0.6 * np.arange(T)[:, None, None] / FPS
    across = speed_across(drifting, seen(true), CAMERA)
    confidence = np.ones((T, 1, 26))
    assert planted_points(drifting, confidence, FPS, across=across).mean() > 0.95
    assert not planted_points(drifting, confidence, FPS).any()


def test_law_a_foot_that_comes_straight_at_the_camera_is_not_planted():
    low = replace(CAMERA, R=np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), t=np.array([0.0, 0.05, 6.0]))
    path = np.stack([np.zeros(T), -1.7 * np.arange(T) / FPS, np.zeros(T)], -1)
    joints = feet(path)
    across = speed_across(joints, seen(joints, low), low)
    planted = planted_points(joints, np.ones((T, 1, 26)), FPS, ContactOptions(), across)
    assert planted[:, 0, 0].all()
    assert not planted[:, 0, 1].any()


def test_contract_unseen_points_other_joint_sets_and_moving_cameras():
    joints = feet(sideways(0.7))
    keypoints = seen(joints)
    hidden = keypoints.confidence.copy()
    hidden[20:40, :, MEDIAPIPE_33.index("right_toe")] = 0.1
    across = speed_across(joints, replace(keypoints, confidence=hidden), CAMERA)
    assert across is not None
    assert np.isnan(across[25:35, 0, 1, 1]).all()
    assert np.isfinite(across[:, 0, 0]).all()
    assert speed_across(joints, seen(joints, skeleton=COCO_17), CAMERA) is None
    moving = replace(CAMERA, R=np.tile(R, (T, 1, 1)), t=np.tile(t, (T, 1)))
    assert speed_across(joints, keypoints, moving) is None
