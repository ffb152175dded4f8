"""Coverage of a motion in a video whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from posewright.datasets.procedural import walk
from posewright.evaluate.uncertainty_in_video import frame_errors, motion_seen, motion_squares
from posewright.evaluate.video import ViewTruth
from posewright.geometry.cameras import project_world
from posewright.skeletons.convert import convert
from posewright.skeletons.joint_sets import COCO_17, RIG_26
from tests.scenes import camera_at, film


def scene(sigma: float = 0.03):
    """The truth of a walk, and a motion that is off it by Gaussian errors and says so."""
    motion, camera = walk(2.0, 30.0), camera_at()
    keypoints = film(motion, camera)
    points, _, _ = convert(motion.joints, motion.confidence, motion.skeleton, COCO_17)
    arrays = (torch.from_numpy(np.asarray(a, float)) for a in (points, camera.R, camera.t, camera.K))
    pixels = project_world(*arrays).numpy()
    shown = np.isfinite(pixels).all(-1)
    truth = ViewTruth(30.0, motion.joints, motion.contacts, camera, pixels, shown, np.ones(shown.shape[:2]))
    error = sigma * np.random.default_rng(0).normal(size=motion.joints.shape)
    error[:, :, 0] = 0
    covariance = np.broadcast_to(sigma**2 * np.eye(3, dtype=np.float32), (*motion.joints.shape, 3)).copy()
    told = replace(
        motion, joints=(motion.joints + error).astype(np.float32), keypoints=keypoints, camera=camera,
        pose_covariance=covariance, joint_covariance=covariance,
    )  # fmt: skip
    return truth, told


def test_law_errors_of_the_stated_size_have_the_mean_square_of_three_dimensions():
    truth, told = scene()
    assert told.skeleton.name == RIG_26.name
    pose, place = motion_squares(motion_seen(truth, told))
    assert pose.shape == place.shape == (60, 26)
    assert np.isnan(pose[:, 0]).all()
    assert np.nanmean(pose) == pytest.approx(3.0, rel=0.15)


def test_law_a_person_who_stands_elsewhere_has_the_same_pose():
    truth, told = scene()
    moved = replace(told, joints=(truth.joints + np.array([0.06, 0.0, 0.0])).astype(np.float32))
    pose, place = motion_squares(motion_seen(truth, moved))
    assert np.nanmax(pose) < 1e-3
    np.testing.assert_allclose(place, (0.06 / 0.03) ** 2, rtol=1e-2)


def test_law_frames_are_expected_to_be_as_wrong_as_they_are():
    truth, told = scene(0.02)
    expected, wrong = frame_errors(motion_seen(truth, told))
    np.testing.assert_allclose(expected, 0.02 * 3**0.5, rtol=1e-3)
    length = 0.02 * (8 / np.pi) ** 0.5  # the mean of a Gaussian in three dimensions
    assert length < wrong.mean() < 1.1 * length, "the truth is brought to the size of limbs that are off, too"


def test_contract_a_motion_without_covariances_is_refused():
    truth, told = scene()
    with pytest.raises(ValueError, match="no covariances"):
        motion_seen(truth, replace(told, pose_covariance=None))
