import numpy as np
import pytest
import torch

from posewright.metrics.correct_joints import AUC_THRESHOLDS_MM, auc, joint_pck, pck, pck_curve


def _at_distances(*millimetres):
    """One pose whose joints lie that far from the truth."""
    target = np.random.default_rng(0).normal(size=(len(millimetres), 3))
    return target + np.array(millimetres)[:, None] / 1000 * np.array([0.6, 0.0, 0.8]), target


def test_law_pck_counts_joints_below_the_threshold():
    assert pck(*_at_distances(10.0, 149.9, 150.1, 900.0)) == pytest.approx(50.0)
    assert pck(*_at_distances(10.0, 30.0, 60.0, 900.0), threshold_mm=50) == pytest.approx(50.0)


def test_convention_pck_is_strict_and_auc_has_31_thresholds_from_0_to_150():
    target = np.zeros((2, 3))
    exact = np.array([[0.15, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert pck(exact, target) == 50.0
    assert len(AUC_THRESHOLDS_MM) == 31
    assert (AUC_THRESHOLDS_MM[0], AUC_THRESHOLDS_MM[1], AUC_THRESHOLDS_MM[-1]) == (0.0, 5.0, 150.0)


def test_law_auc_of_one_joint_is_the_share_of_thresholds_above_its_distance():
    for distance in (0.1, 4.9, 5.1, 72.0, 149.9, 151.0):
        expected = 100 * sum(distance < t for t in range(0, 151, 5)) / 31
        assert auc(*_at_distances(distance)) == pytest.approx(expected)
    perfect = np.zeros((4, 3))
    assert auc(perfect, perfect) == pytest.approx(100 * 30 / 31), "nothing is nearer than 0"


def test_law_curve_is_pck_at_each_threshold_in_the_order_given():
    rng = np.random.default_rng(1)
    target = rng.normal(size=(6, 17, 3))
    predicted = target + rng.normal(scale=0.08, size=target.shape)
    order = (90.0, 10.0, 150.0, 40.0)
    curve = pck_curve(predicted, target, order)
    np.testing.assert_allclose(curve, np.stack([pck(predicted, target, t) for t in order], -1))
    np.testing.assert_allclose(auc(predicted, target, order), curve.mean(-1))


def test_law_joint_pck_averages_to_pck():
    rng = np.random.default_rng(2)
    target = rng.normal(size=(3, 5, 17, 3))
    predicted = target + rng.normal(scale=0.1, size=target.shape)
    each = joint_pck(predicted, target)
    assert each.shape == (17,)
    assert each.mean() == pytest.approx(pck(predicted, target).mean())


def test_unscored_joints_are_left_out_and_missing_estimates_are_seen():
    predicted, target = _at_distances(10.0, 20.0, 900.0)
    target[2] = np.nan
    assert pck(predicted, target) == 100.0
    assert auc(predicted, target) == pytest.approx(100 * (28 + 26) / 62)
    predicted[0] = np.nan
    assert np.isnan(pck(predicted, target))
    assert np.isnan(auc(predicted, target))
    assert np.isnan(pck(np.zeros((2, 3)), np.full((2, 3), np.nan)))
    np.testing.assert_equal(joint_pck(predicted[None], target[None])[1:], [100.0, np.nan])


def test_tensors_in_tensors_out():
    predicted, target = (torch.from_numpy(x).float() for x in _at_distances(10.0, 200.0))
    for metric in (pck, auc):
        value = metric(predicted, target)
        assert isinstance(value, torch.Tensor)
        assert value.dtype == torch.float32
