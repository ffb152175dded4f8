"""What is not to be trusted, in the overlay and on the page."""

from dataclasses import replace

import numpy as np
import pytest

from posewright.datasets.procedural import walk
from posewright.motion.trust import DISTRUST_FRAME, DISTRUST_JOINT
from posewright.viewer.overlay import DOUBT, doubt_of, draw_keypoints
from posewright.viewer.uncertainty_data import regions, uncertainty_data
from tests.scenes import SIZE, camera_at, film


@pytest.fixture(scope="module")
def motion():
    """A walk whose right wrist is doubtful in frame 3, and everything in frame 5."""
    plain = walk(0.5, 30.0)
    covariance = np.broadcast_to(1e-4 * np.eye(3, dtype=np.float32), (*plain.joints.shape, 3)).copy()
    covariance[3, 0, plain.skeleton.index("right_wrist")] = np.eye(3) * (1.2 * DISTRUST_JOINT) ** 2 / 3
    covariance[5] = np.eye(3) * (1.3 * max(DISTRUST_FRAME, DISTRUST_JOINT)) ** 2 / 3
    return replace(
        plain, keypoints=film(plain, camera_at()), pose_covariance=covariance, joint_covariance=covariance
    )


def red(image: np.ndarray) -> int:
    """Pixels in the colour of doubt."""
    return int((image == np.array(DOUBT, np.uint8)).all(-1).sum())


def test_law_only_what_is_doubtful_is_marked(motion):
    doubt = doubt_of(motion)
    names = motion.keypoints.skeleton.joint_names
    assert np.flatnonzero(doubt.joints[3, 0]).tolist() == [names.index("right_wrist")]
    assert doubt.frames[:, 0].nonzero()[0].tolist() == [5]
    blank = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    marked = [red(draw_keypoints(blank, motion.keypoints, t, doubt=doubt)) for t in (2, 3, 5)]
    assert marked[0] == 0 < marked[1] < marked[2]
    np.testing.assert_array_equal(
        draw_keypoints(blank, motion.keypoints, 2, doubt=doubt), draw_keypoints(blank, motion.keypoints, 2)
    )


def test_contract_a_motion_without_uncertainty_has_no_doubt(motion):
    plain = replace(motion, pose_covariance=None)
    assert doubt_of(plain) is None
    arrays = {}
    assert uncertainty_data(plain, arrays) is None
    assert not arrays


def test_law_regions_are_the_ellipsoids_longest_axis_and_the_others():
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    covariance = (axes * np.array([0.01, 0.02, 0.1]) ** 2) @ axes.T
    axis, radius = regions(np.tile(covariance, (4, 1, 2, 1, 1)).astype(np.float32))
    length = np.linalg.norm(axis, axis=-1)
    np.testing.assert_allclose(length, 0.1 * 2.366**0.5, rtol=1e-3)
    np.testing.assert_allclose(radius, ((0.01**2 + 0.02**2) / 2 * 2.366) ** 0.5, rtol=1e-2)
    np.testing.assert_allclose(np.abs(axis[0, 0, 0] @ axes[:, 2]), length[0, 0, 0], rtol=1e-4)
    np.testing.assert_allclose(axis, axis[:1].repeat(4, axis=0), atol=1e-6)


def test_contract_missing_joints_have_no_region(motion):
    covariance = motion.pose_covariance.copy()
    covariance[0] = np.nan
    axis, radius = regions(covariance)
    assert np.isnan(axis[0]).all()
    assert np.isfinite(radius[1:]).all()


@pytest.mark.parametrize("frames", [0, 1])
def test_contract_a_photo_has_regions_too(motion, frames):
    axis, radius = regions(motion.pose_covariance[:frames])
    assert axis.shape == (frames, 1, 26, 3)
    assert np.isfinite(radius).all()
