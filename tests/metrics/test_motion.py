import numpy as np
import pytest
import torch

from posewright.metrics.motion import (
    acceleration_error,
    acceleration_errors,
    bone_length_deviation,
    jitter,
    mpjve,
    velocity_errors,
)


def _still(T=20, J=4):
    return np.tile(np.random.default_rng(0).normal(size=(J, 3)), (T, 1, 1))


def test_law_constant_velocity_error():
    target = _still()
    drift = np.arange(20)[:, None, None] * np.array([0.003, 0.004, 0.0])
    assert mpjve(target + drift, target) == pytest.approx(5.0)
    assert mpjve(target + drift, target, fps=50) == pytest.approx(250.0)
    assert acceleration_error(target + drift, target, fps=50) == pytest.approx(0.0, abs=1e-9)


def test_law_constant_offset_has_no_velocity_error():
    target = np.random.default_rng(1).normal(size=(20, 4, 3))
    assert mpjve(target + 0.1, target) == pytest.approx(0.0, abs=1e-9)


def test_law_acceleration_of_a_parabola():
    time = np.arange(20) / 50
    fall = _still() + 0.5 * 9.81 * time[:, None, None] ** 2 * np.array([0.0, 1.0, 0.0])
    assert acceleration_error(fall, _still(), fps=50) == pytest.approx(9.81)
    assert jitter(fall, fps=50) == pytest.approx(0.0, abs=1e-6)


def test_law_jitter_of_a_cubic():
    time = np.arange(20) / 50
    motion = _still() + time[:, None, None] ** 3 * np.array([0.0, 0.0, 2.0])
    assert jitter(motion, fps=50) == pytest.approx(12.0)


def test_law_bone_length_deviation():
    motion = np.zeros((4, 2, 3))
    motion[:, 1, 0] = [0.30, 0.32, 0.30, 0.32]
    assert bone_length_deviation(motion, (-1, 0)) == pytest.approx(10.0)
    turn = _still()
    assert bone_length_deviation(turn, (-1, 0, 1, 2)) == pytest.approx(0.0, abs=1e-9)


def test_missing_frames_are_left_out():
    motion = _still()
    motion[5, 1] = np.nan
    assert jitter(motion, 50) == pytest.approx(0.0, abs=1e-6)
    assert bone_length_deviation(motion, (-1, 0, 1, 2)) == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(jitter(motion[:2], 50))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="same"):
        mpjve(_still(), _still(J=5))


def test_law_errors_per_frame_average_to_the_mean():
    rng = np.random.default_rng(3)
    target, predicted = rng.normal(size=(2, 20, 2, 4, 3))
    for per_frame, mean, fps in (
        (velocity_errors, mpjve, None),
        (velocity_errors, mpjve, 50.0),
        (acceleration_errors, acceleration_error, None),
        (acceleration_errors, acceleration_error, 30.0),
    ):
        values = per_frame(predicted, target, fps)
        assert values.shape == (19 if per_frame is velocity_errors else 18, 2)
        assert values.mean() == pytest.approx(mean(predicted, target, fps))
    tensors = velocity_errors(torch.from_numpy(predicted), torch.from_numpy(target))
    np.testing.assert_allclose(tensors.numpy(), velocity_errors(predicted, target))


def test_convention_acceleration_is_in_mm_per_frame_squared_without_a_rate():
    fall = _still() + 0.0005 * np.arange(20)[:, None, None] ** 2 * np.array([0.0, 1.0, 0.0])
    assert acceleration_error(fall, _still()) == pytest.approx(1.0)
    assert acceleration_error(fall, _still(), fps=30) == pytest.approx(0.9)


def test_frames_with_missing_joints_score_the_others():
    target = _still()
    drift = np.arange(20)[:, None, None] * np.array([0.003, 0.004, 0.0])
    target[5, 1] = np.nan
    np.testing.assert_allclose(velocity_errors(target + drift, target), 5.0)
    target[7] = np.nan
    assert np.isnan(velocity_errors(target + drift, target)[[6, 7]]).all()
    assert mpjve(target + drift, target) == pytest.approx(5.0)
