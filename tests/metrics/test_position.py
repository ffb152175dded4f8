import numpy as np
import pytest

from posewright.metrics.position import mpjpe, n_mpjpe, pa_mpjpe, procrustes_aligned


def _poses(seed=0, shape=(5, 17, 3)):
    return np.random.default_rng(seed).normal(size=shape)


def _rotation(seed=1):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def test_law_mpjpe_of_a_shift_is_its_length():
    target = _poses()
    np.testing.assert_allclose(mpjpe(target + np.array([0.03, 0.0, 0.04]), target), 50.0)


def test_law_mpjpe_is_the_mean_over_joints():
    target = np.zeros((2, 3))
    assert mpjpe(np.array([[0.0, 0.0, 0.01], [0.03, 0.0, 0.0]]), target) == pytest.approx(20.0)


def test_law_pa_mpjpe_is_zero_for_a_similarity():
    target = _poses()
    moved = 1.7 * target @ _rotation() + np.array([1.0, -2.0, 3.0])
    np.testing.assert_allclose(pa_mpjpe(moved, target), 0.0, atol=1e-9)
    assert (mpjpe(moved, target) > 100).all()


def test_law_pa_mpjpe_does_not_reflect():
    target = _poses()
    assert (pa_mpjpe(target * np.array([-1.0, 1.0, 1.0]), target) > 100).all()


def test_law_alignment_is_the_best_similarity():
    target, predicted = _poses(0), _poses(0) + 0.1 * _poses(3)
    aligned = procrustes_aligned(predicted, target)
    least = ((aligned - target) ** 2).sum()
    for scale, turn in ((1.01, np.eye(3)), (0.99, np.eye(3)), (1.0, _rotation(5) * 0.02 + np.eye(3))):
        mean = aligned.mean(-2, keepdims=True)
        assert ((scale * (aligned - mean) @ turn + mean - target) ** 2).sum() > least


def test_law_n_mpjpe_forgives_scale_only():
    target = _poses()
    np.testing.assert_allclose(n_mpjpe(0.5 * target, target), 0.0, atol=1e-9)
    assert (n_mpjpe(target @ _rotation(), target) > 100).all()


def test_convention_pa_is_never_above_a_centred_error_in_the_squares():
    target, predicted = _poses(0), _poses(1)
    aligned = procrustes_aligned(predicted, target)
    centred = predicted - predicted.mean(-2, keepdims=True) + target.mean(-2, keepdims=True)
    assert (((aligned - target) ** 2).sum((-1, -2)) <= ((centred - target) ** 2).sum((-1, -2)) + 1e-9).all()


def test_unscored_joints_are_left_out_and_missing_estimates_are_seen():
    target = _poses()
    predicted = target + 0.01
    predicted[:, 0] += 5.0
    target[:, 0] = np.nan
    np.testing.assert_allclose(mpjpe(predicted, target), 1000 * 0.01 * 3**0.5)
    assert (pa_mpjpe(predicted, target) < 1e-6).all()
    predicted[0, 3] = np.nan
    assert np.isnan(mpjpe(predicted, target)[0])
    assert np.isnan(pa_mpjpe(predicted, target)[0])
    assert np.isfinite(pa_mpjpe(predicted, target)[1:]).all()


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="same"):
        mpjpe(_poses(), _poses(shape=(5, 16, 3)))
