"""Samples and covariances of lifted joints."""

import numpy as np
import pytest

import posewright as pw
from posewright.core.errors import InputError
from posewright.evaluate.uncertainty import acceleration
from posewright.models import create
from posewright.pipelines.lift_errors import TrackErrors, default_errors, joint_matrix, require_errors
from posewright.skeletons.convert import convert
from posewright.skeletons.joint_sets import BODY_26, COCO_17, RIG_26
from tests.scenes import walking_keypoints

SIZE = (1280, 720)


@pytest.fixture(scope="module")
def clip() -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (40, 17, 2) of COCO-17 and their confidence, some missing."""
    found = walking_keypoints(40 / 30)
    points, sure, _ = convert(found.positions[:, 0], found.confidence[:, 0], found.skeleton, COCO_17)
    keypoints, confidence = points[:40], sure[:40]
    confidence[10:14, 9] = 0
    return keypoints, confidence


@pytest.fixture(scope="module")
def lifted(clip) -> pw.Keypoints3D:
    return pw.lift(*clip, image_size=SIZE, fps=30.0, focal=1000.0, samples=6, seed=3)


def test_law_the_answer_itself_does_not_change(clip, lifted):
    plain = pw.lift(*clip, image_size=SIZE, fps=30.0, focal=1000.0)
    np.testing.assert_array_equal(plain.positions, lifted.positions)
    np.testing.assert_array_equal(plain.confidence, lifted.confidence)
    assert plain.samples is None
    assert plain.covariance is None
    assert plain.pose_covariance is None


def test_law_one_seed_one_answer_and_few_samples_are_the_first_of_many(clip, lifted):
    again, few, other = (
        pw.lift(*clip, image_size=SIZE, fps=30.0, focal=1000.0, samples=n, seed=s)
        for n, s in ((6, 3), (2, 3), (2, 4))
    )
    np.testing.assert_array_equal(again.samples, lifted.samples)
    np.testing.assert_array_equal(few.samples, lifted.samples[:2])
    assert np.abs(other.samples - few.samples).max() > 1e-3


def test_law_the_covariance_of_many_samples_is_the_predicted_one():
    rng = np.random.default_rng(0)
    model = default_errors()
    features = (
        model.mean.numpy() + model.spread.numpy() * 0.3 * rng.normal(size=(1, len(model.mean)))
    ).astype(np.float32)
    track = TrackErrors(
        model, features, np.array([[0.2, -0.1]], np.float32), np.array([[0.8, -0.4, 4.0]], np.float32), 50.0
    )
    gaussians = track.gaussians(slice(None))
    normal = rng.standard_normal((60_000, model.config.rank + 81)).astype(np.float32)
    many = type(gaussians)(*(np.repeat(a, len(normal), axis=0) for a in (gaussians.factor, gaussians.own)))
    for absolute in (True, False):
        matrix = joint_matrix(RIG_26, absolute)
        drawn = np.matmul(matrix.astype(np.float32), many.draw(normal)).astype(np.float64)
        measured = np.einsum("nji,njk->jik", drawn, drawn) / len(drawn)
        expected = gaussians.covariance(matrix)[0]
        size = np.trace(expected, axis1=-2, axis2=-1).max()
        np.testing.assert_allclose(measured, expected, atol=0.03 * size)


def test_law_deviations_of_the_clip_have_the_predicted_covariance(clip):
    many = pw.lift(clip[0][:6], clip[1][:6], image_size=SIZE, fps=30.0, focal=1000.0, samples=900)
    assert many.samples is not None
    assert many.covariance is not None
    deviation = (many.samples - many.positions).astype(np.float64)
    assert np.abs(deviation.mean(0)).max() < 0.15 * np.abs(deviation).max()
    measured = np.einsum("stji,stjk->tjik", deviation, deviation) / len(deviation)
    size = np.trace(many.covariance, axis1=-2, axis2=-1)
    ratio = np.trace(measured, axis1=-2, axis2=-1) / size
    np.testing.assert_allclose(ratio, 1.0, atol=0.2)


def test_law_samples_move_as_motion_not_as_independent_draws(lifted):
    deviation = lifted.samples - lifted.positions
    pose = deviation - deviation[:, :, 11:13].mean(2, keepdims=True)
    rng = np.random.default_rng(1)
    shuffled = pose[:, rng.permutation(pose.shape[1])]
    assert acceleration(pose, 30.0) < 0.35 * acceleration(shuffled, 30.0)


def test_law_covariances_are_symmetric_and_positive(lifted):
    for covariance in (lifted.covariance, lifted.pose_covariance):
        assert covariance.shape == (40, 17, 3, 3)
        np.testing.assert_allclose(covariance, covariance.swapaxes(-1, -2), atol=1e-7)
        assert np.linalg.eigvalsh(covariance.astype(float)).min() > 0


def test_law_missing_keypoints_and_unknown_focal_length_make_less_sure(clip, lifted):
    keypoints, confidence = clip
    hidden = confidence.copy()
    hidden[:, [7, 9]] = 0
    less = pw.lift(keypoints, hidden, image_size=SIZE, fps=30.0, focal=1000.0, samples=1)
    wrist = [np.trace(x.pose_covariance[:, 9], axis1=-2, axis2=-1).mean() for x in (lifted, less)]
    assert wrist[1] > 1.5 * wrist[0]
    guessed = pw.lift(*clip, image_size=SIZE, fps=30.0, samples=1)
    place = [np.trace(x.covariance[:, 11], axis1=-2, axis2=-1).mean() for x in (lifted, guessed)]
    assert place[1] > 2 * place[0]


def test_contract_frames_without_anybody_are_nan(clip):
    keypoints, confidence = clip[0].copy(), clip[1].copy()
    confidence[:3] = 0
    confidence[20] = 0
    gone = pw.lift(keypoints, confidence, image_size=SIZE, fps=30.0, focal=1000.0, samples=2)
    missing = ~np.isfinite(gone.positions).all(-1)
    assert missing[:3].all()
    assert missing[20].all()
    np.testing.assert_array_equal(np.isnan(gone.covariance).any((-1, -2)), missing)
    np.testing.assert_array_equal(np.isnan(gone.samples).any((0, -1)), missing)


def test_contract_a_matrix_of_joints_is_what_convert_does():
    matrix = joint_matrix(RIG_26, absolute=True)
    assert matrix.shape == (26, 27)
    np.testing.assert_allclose(matrix[:, -1], 1.0)
    clavicle = matrix[RIG_26.index("left_clavicle"), :-1]
    np.testing.assert_allclose(clavicle[list(BODY_26.indices("thorax", "left_shoulder"))], [0.85, 0.15])
    assert not joint_matrix(COCO_17, absolute=False)[:, -1].any()


@pytest.mark.parametrize("samples", [0, -3, 2.5, True])
def test_contract_a_number_of_samples_that_makes_no_sense(clip, samples):
    with pytest.raises(InputError, match="samples is"):
        pw.lift(*clip, image_size=SIZE, samples=samples)


def test_contract_other_lifters_have_no_error_model():
    with pytest.raises(InputError, match="no model of its own error"):
        require_errors(create("lifting/simple_baseline"))
