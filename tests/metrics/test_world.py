import numpy as np
import pytest
import torch

from posewright.geometry.rotations import rotvec_to_matrix
from posewright.metrics.world import w_mpjpe, wa_mpjpe


def _walk(T=250, J=5):
    rng = np.random.default_rng(0)
    path = np.stack([0.02 * np.arange(T), 0.3 * np.sin(np.arange(T) / 20), np.zeros(T)], -1)
    return path[:, None] + rng.normal(0, 0.4, (J, 3)) + rng.normal(0, 0.02, (T, J, 3))


def _turned(motion, angle=0.7, move=(3.0, -2.0, 0.5)):
    R = rotvec_to_matrix(torch.tensor([0.1, 0.2, angle], dtype=torch.float64)).numpy()
    return motion @ R.T + move


def test_law_world_error_is_blind_to_where_the_world_is():
    truth = _walk()
    assert w_mpjpe(_turned(truth), truth).max() < 1e-6
    assert wa_mpjpe(_turned(truth), truth).max() < 1e-6


def test_law_drift_counts_in_full_for_w_and_is_shared_out_for_wa():
    truth = _walk(100)
    drift = truth + np.arange(100)[:, None, None] * np.array([0.0, 0.0, 0.001])
    assert w_mpjpe(drift, truth)[-1] == pytest.approx(99.0, rel=0.15)
    assert wa_mpjpe(drift, truth).mean() < w_mpjpe(drift, truth).mean()


def test_law_each_segment_is_aligned_anew():
    truth = _walk(200)
    jumped = truth.copy()
    jumped[100:] += (5.0, 0.0, 0.0)
    assert w_mpjpe(jumped, truth, segment=100).max() < 1e-6
    assert w_mpjpe(jumped, truth, segment=200)[150] == pytest.approx(5000.0, rel=1e-6)


def test_convention_scale_counts_unless_asked_for():
    truth = _walk()
    assert wa_mpjpe(1.1 * truth, truth, scaled=True).max() < 1e-6
    assert wa_mpjpe(1.1 * truth, truth).mean() > 10


def test_contract_missing_joints_and_frames_are_not_scored():
    truth = _walk(50)
    estimate = truth.copy()
    estimate[10:20] = np.nan
    estimate[:, 2] = np.nan
    errors = w_mpjpe(estimate, truth)
    assert np.isnan(errors[10:20]).all()
    assert errors[20:].max() < 1e-6
    assert np.isnan(w_mpjpe(np.full_like(truth, np.nan), truth)).all()
    assert isinstance(w_mpjpe(torch.from_numpy(truth), torch.from_numpy(truth)), torch.Tensor)
    with pytest.raises(ValueError, match="one person at a time"):
        w_mpjpe(truth[:, None], truth[:, None])
