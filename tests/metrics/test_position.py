import numpy as np
import pytest
import torch

from posewright.metrics.position import (
    mpjpe,
    mrpe,
    mrpe_axes,
    n_mpjpe,
    pa_mpjpe,
    procrustes_aligned,
    root_relative,
)


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


def _procrustes_by_svd(predicted, target):
    """One pose at a time, as textbooks write it."""
    out = []
    for p, t in zip(predicted, target, strict=True):
        p0, t0 = p - p.mean(0), t - t.mean(0)
        u, s, vt = np.linalg.svd(p0.T @ t0)
        d = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
        out.append((s * d).sum() / (p0**2).sum() * p0 @ (u * d) @ vt + t.mean(0))
    return np.array(out)


@pytest.mark.parametrize("spread", [(1.0, 1.0, 1.0), (1.0, 0.1, 0.02), (1.0, 1e-3, 1e-3), (1.0, 1.0, 0.0)])
@pytest.mark.parametrize("noise", [1e-6, 0.05, 1.0])
def test_law_closed_form_rotation_equals_the_svd(spread, noise):
    target = _poses(0, (50, 17, 3)) * np.array(spread) @ _rotation(4)
    predicted = 0.3 * target @ _rotation(2) + noise * np.array(spread) * _poses(1, (50, 17, 3))
    expected = _procrustes_by_svd(predicted, target)
    np.testing.assert_allclose(procrustes_aligned(predicted, target), expected, atol=1e-9)
    error = 1000 * np.linalg.norm(expected - target, axis=-1).mean(-1)
    np.testing.assert_allclose(pa_mpjpe(predicted, target), error, atol=1e-6)


def test_law_single_precision_is_good_to_a_micrometre_on_bodies():
    target = _poses(0, (500, 17, 3)) * np.array([0.15, 0.12, 0.4])
    predicted = target @ _rotation(2) + 0.04 * _poses(1, (500, 17, 3)) + 3.0
    single = pa_mpjpe(predicted.astype(np.float32), target.astype(np.float32))
    np.testing.assert_allclose(single, pa_mpjpe(predicted, target), atol=1e-3)


@pytest.mark.parametrize(
    "make", [np.zeros_like, lambda x: np.repeat(x[:, :1], 17, 1), lambda x: x * [1.0, 0, 0]]
)
def test_poses_that_do_not_determine_a_rotation_are_aligned_as_far_as_they_can(make):
    target = _poses()
    error = pa_mpjpe(make(target), target)
    assert np.isfinite(error).all()
    alone = 1000 * np.linalg.norm(target - target.mean(1, keepdims=True), axis=-1).mean(-1)
    assert (error <= 1.05 * alone).all()
    assert pa_mpjpe(target[:, :1], target[:, :1]) == pytest.approx(0)


def test_law_mrpe_is_the_roots_distance_whatever_the_pose():
    target = _poses()
    moved = _poses(1) - _poses(1)[:, 2:3] + target[:, 2:3] + np.array([0.03, 0.0, -0.04])
    np.testing.assert_allclose(mrpe(moved, target, root=2), 50.0)
    np.testing.assert_allclose(
        mrpe_axes(moved, target, root=2), np.tile([30.0, 0.0, 40.0], (5, 1)), atol=1e-9
    )
    target[0, 2] = np.nan
    assert np.isnan(mrpe(moved, target, root=2)[0])


def test_law_root_relative_puts_the_root_at_the_origin():
    poses = _poses()
    np.testing.assert_allclose(root_relative(poses, 14)[:, 14], 0.0)
    both = root_relative(poses, (1, 4))
    np.testing.assert_allclose(both[:, 1] + both[:, 4], 0.0, atol=1e-12)
    np.testing.assert_allclose(mpjpe(root_relative(poses + 5.0), root_relative(poses)), 0.0, atol=1e-9)


METRICS = (mpjpe, pa_mpjpe, n_mpjpe, mrpe)


@pytest.mark.parametrize("metric", METRICS)
def test_law_tensors_and_arrays_agree_over_any_leading_dimensions(metric):
    target = _poses(0, (2, 3, 17, 3))
    predicted = target + 0.1 * _poses(1, (2, 3, 17, 3))
    target[1, 0, 4] = np.nan
    values = metric(predicted, target)
    assert values.shape == (2, 3)
    result = metric(torch.from_numpy(predicted), torch.from_numpy(target))
    assert isinstance(result, torch.Tensor)
    np.testing.assert_allclose(result.numpy(), values)
    np.testing.assert_allclose(metric(predicted[1, 0], target[1, 0]), values[1, 0])
    assert metric(predicted.astype(np.float32), target.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(metric(predicted[:, ::-1], target[:, ::-1]), values[:, ::-1])


@pytest.mark.parametrize("metric", METRICS)
def test_law_gradients_are_those_of_the_number(metric):
    target = torch.from_numpy(_poses(0, (2, 5, 3)))
    predicted = torch.from_numpy(_poses(1, (2, 5, 3))).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: metric(p, target), (predicted,))


def test_tensors_and_arrays_are_not_mixed():
    with pytest.raises(TypeError, match="one kind"):
        mpjpe(_poses(), torch.from_numpy(_poses()))
