"""Uncertainty of a whole run: from the lifter into the world, into files, and what is not to be trusted."""

import json
from dataclasses import replace

import numpy as np
import pytest

import posewright as pw
from posewright.batch.job import run_clip
from posewright.core.errors import InputError
from posewright.io import keypoints_npz
from posewright.io.people import select_person
from posewright.motion.trust import DISTRUST_FRAME, doubtful_frames, doubtful_joints, trust_summary
from posewright.pipelines.lift import choose_lifter, lift_errors, lift_points
from posewright.pipelines.lift_errors import joint_matrix
from posewright.pipelines.motion_errors import check_memory
from posewright.pipelines.video_to_motion import RunOptions, keypoints_to_motion, make_camera
from posewright.skeletons.joint_sets import BODY_26, RIG_26
from tests.scenes import camera_at, walking_keypoints

OPTIONS = RunOptions(focal=float(camera_at().K[0, 0]), device="cpu", mode="fast", samples=4)


@pytest.fixture(scope="module")
def keypoints() -> pw.Keypoints2D:
    return walking_keypoints(1.5)


@pytest.fixture(scope="module")
def motion(keypoints) -> pw.Motion:
    return keypoints_to_motion(keypoints, OPTIONS)


def test_law_without_samples_the_motion_is_the_same(keypoints, motion):
    plain = keypoints_to_motion(keypoints, replace(OPTIONS, samples=None))
    for name in ("joints", "confidence", "joints_raw", "rotations_wxyz", "rest_offsets", "contacts"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(motion, name))
    assert plain.deviations is None
    assert plain.joint_covariance is None
    assert plain.pose_covariance is None
    assert motion.history[: len(plain.history)] == plain.history
    assert trust_summary(plain) is None


def test_law_covariances_are_those_of_the_lifter_turned_into_the_world(keypoints, motion):
    camera = make_camera(keypoints.image_size, OPTIONS)
    lifter = choose_lifter(None, device="cpu")
    points, _ = lift_points(keypoints, camera, lifter)
    part, track = lift_errors(keypoints, camera, points, lifter)[0]
    expected = track.gaussians(slice(None)).covariance(joint_matrix(RIG_26, absolute=True))
    turned = motion.camera.R @ motion.joint_covariance[part, 0] @ motion.camera.R.T
    world, own = motion.joints_raw[part, 0], points[part, 0]
    shins = [
        x[:, s.index("left_ankle")] - x[:, s.index("left_knee")] for x, s in ((world, RIG_26), (own, BODY_26))
    ]
    size = np.median(np.linalg.norm(shins[0], axis=-1) / np.linalg.norm(shins[1], axis=-1))
    np.testing.assert_allclose(turned, size**2 * expected, rtol=0.02, atol=1e-5)


def test_law_samples_scatter_as_the_covariance_says(keypoints):
    many = keypoints_to_motion(keypoints, replace(OPTIONS, samples=400))
    deviation = many.deviations[:, ::9, 0].astype(np.float64)
    measured = np.einsum("stji,stjk->tjik", deviation, deviation) / len(deviation)
    expected = many.joint_covariance[::9, 0]
    ratio = np.trace(measured, axis1=-2, axis2=-1) / np.trace(expected, axis1=-2, axis2=-1)
    np.testing.assert_allclose(ratio, 1.0, atol=0.3)
    assert np.median(ratio) == pytest.approx(1.0, abs=0.1)


def test_contract_shapes_and_people(motion):
    T = motion.num_frames
    assert motion.deviations.shape == (4, T, 1, 26, 3)
    assert motion.deviations.dtype == np.float16
    assert motion.joint_covariance.shape == motion.pose_covariance.shape == (T, 1, 26, 3, 3)
    assert motion.expected_error().shape == (T, 1, 26)
    assert not motion.expected_error()[..., 0].any()
    one = select_person(motion, 1)
    np.testing.assert_array_equal(one.deviations, motion.deviations)


@pytest.mark.parametrize("suffix", ["npz", "json", "csv"])
def test_law_files_keep_the_uncertainty(motion, tmp_path, suffix):
    path = tmp_path / f"motion.{suffix}"
    pw.save(motion, path)
    back = pw.load(path)
    np.testing.assert_allclose(back.joint_covariance, motion.joint_covariance, rtol=1e-3, atol=1e-7)
    if suffix == "csv":
        header = path.read_text().splitlines()[0].split(",")
        table = np.genfromtxt(path, delimiter=",", names=True)
        assert header[-7:] == [f"person1_{RIG_26.joint_names[-1]}_{n}" for n in (
            "expected_error", "cov_xx", "cov_xy", "cov_xz", "cov_yy", "cov_yz", "cov_zz")]  # fmt: skip
        wrist = RIG_26.index("left_wrist")
        np.testing.assert_allclose(
            table["person1_left_wrist_expected_error"], motion.expected_error()[:, 0, wrist], rtol=1e-3
        )
        return
    np.testing.assert_allclose(back.pose_covariance, motion.pose_covariance, rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(back.deviations, motion.deviations, atol=1e-3)


def test_law_files_of_a_motion_without_uncertainty_have_no_trace_of_it(keypoints, tmp_path):
    plain = keypoints_to_motion(keypoints, replace(OPTIONS, samples=None))
    for suffix in ("csv", "json"):
        pw.save(plain, tmp_path / f"m.{suffix}")
        text = (tmp_path / f"m.{suffix}").read_text()
        assert "cov" not in text
        assert "expected_error" not in text
        assert "deviations" not in text


def test_law_what_is_far_off_is_not_to_be_trusted(motion):
    covariance = motion.pose_covariance.copy()
    covariance[5] = np.eye(3) * 0.3**2 / 3
    covariance[6:] = np.eye(3) * 0.01**2 / 3
    covariance[6:, :, RIG_26.index("left_wrist")] = np.eye(3) * 0.4**2 / 3
    doubted = replace(motion, pose_covariance=covariance.astype(np.float32))
    frames, joints = doubtful_frames(doubted), doubtful_joints(doubted)
    assert frames[5, 0]
    assert not frames[6:].any()
    assert joints[6:, 0].sum(-1).tolist() == [1] * (motion.num_frames - 6)
    assert DISTRUST_FRAME < 0.3


def test_contract_a_run_says_it_in_its_summary(keypoints, tmp_path):
    source = tmp_path / "walk.npz"
    keypoints_npz.write(keypoints, source)
    result = run_clip(source, tmp_path / "out", OPTIONS, formats=("csv", "json"), overlay=False)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["uncertainty"]
    assert summary["samples"] == 4
    assert 0.005 < summary["mean_standard_deviation_m"] < 0.1
    assert summary["mean_standard_deviation_in_world_m"] > summary["mean_standard_deviation_m"]
    assert 0 <= summary["share_of_frames_not_to_be_trusted"] <= 1
    page = result.report.read_text()
    assert '"uncertainty":{"level":0.5' in page
    assert 'id="array-spread"' in page
    plain = run_clip(
        source, tmp_path / "plain", replace(OPTIONS, samples=None), formats=("csv",), overlay=False
    )
    assert "uncertainty" not in json.loads((tmp_path / "plain" / "summary.json").read_text())
    assert '"uncertainty":null' in plain.report.read_text()


@pytest.mark.parametrize("samples", [0, -1, 1.5])
def test_contract_numbers_of_samples_that_make_no_sense(samples):
    with pytest.raises(InputError, match="--samples is"):
        RunOptions(samples=samples)


def test_contract_only_the_default_lifter_has_an_error_model():
    with pytest.raises(InputError, match="one of the two options"):
        RunOptions(samples=3, lifter="lifting/mixste")


def test_contract_samples_that_do_not_fit_into_memory_are_refused_with_the_number_that_does():
    with pytest.raises(InputError, match="ask for 127 samples"):
        check_memory(1000, 108_000, 1)
