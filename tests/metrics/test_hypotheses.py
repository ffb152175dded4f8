"""Errors of several hypotheses, and one pose made of them."""

from itertools import combinations

import numpy as np
import pytest
import torch

from posewright.core.errors import InputError
from posewright.geometry.cameras import project
from posewright.metrics.hypotheses import (
    chosen_joints,
    estimated_root,
    j_agg,
    j_best,
    jpma,
    nearest_in_picture,
    p_agg,
    p_best,
    p_best_of,
    rpea,
    rpea_weights,
)
from posewright.metrics.position import mpjpe

K = torch.tensor([[1000.0, 0, 640], [0, 1000, 360], [0, 0, 1]], dtype=torch.float64)
ROOT = torch.tensor([0.3, -0.1, 4.0], dtype=torch.float64)


def camera(points):
    return project(points, K)


@pytest.fixture
def scene():
    generator = torch.Generator().manual_seed(0)
    target = 0.4 * torch.randn(6, 5, 17, 3, generator=generator, dtype=torch.float64)
    target -= target[..., :1, :].clone()
    errors = 0.05 * torch.randn(6, 5, 8, 17, 3, generator=generator, dtype=torch.float64)
    hypotheses = target[..., None, :, :] + errors
    return hypotheses, target, camera(target + ROOT)


def test_law_one_hypothesis_has_one_error(scene):
    hypotheses, target, _ = scene
    one = hypotheses[..., :1, :, :]
    plain = mpjpe(one[..., 0, :, :], target)
    assert plain.shape == (6, 5)
    none = torch.zeros(6, 5, 17, dtype=torch.int64)
    for error in (p_best(one, target), j_best(one, target), p_agg(one, target), j_agg(one, target, none)):
        torch.testing.assert_close(error, plain)


def test_law_oracles_are_lower_bounds_and_fall_with_the_number(scene):
    hypotheses, target, _ = scene
    each = torch.stack([mpjpe(hypotheses[..., h, :, :], target) for h in range(8)])
    torch.testing.assert_close(p_best(hypotheses, target), each.amin(0))
    choice = torch.randint(8, (6, 5, 17), generator=torch.Generator().manual_seed(1))
    assert (j_best(hypotheses, target) <= p_best(hypotheses, target)).all()
    assert (j_best(hypotheses, target) <= j_agg(hypotheses, target, choice)).all()
    assert (p_agg(hypotheses, target) <= each.mean(0)).all(), "the mean is better than the mean error"
    for best in (p_best, j_best):
        falling = [best(hypotheses[..., :n, :, :], target) for n in (1, 2, 4, 8)]
        assert all((b <= a).all() for a, b in zip(falling[:-1], falling[1:], strict=True))


def test_law_the_best_of_some_is_its_mean_over_all_choices(scene):
    hypotheses, target, _ = scene
    curve = p_best_of(hypotheses, target, (1, 3, 8))
    assert curve.shape == (6, 5, 3)
    every = [p_best(hypotheses[..., list(c), :, :], target) for c in combinations(range(8), 3)]
    torch.testing.assert_close(curve[..., 1], torch.stack(every).mean(0))
    torch.testing.assert_close(curve[..., 2], p_best(hypotheses, target))
    alone = [mpjpe(hypotheses[..., h, :, :], target) for h in range(8)]
    torch.testing.assert_close(curve[..., 0], torch.stack(alone).mean(0))
    for bad in (0, 9):
        with pytest.raises(InputError, match="from 1 to 8"):
            p_best_of(hypotheses, target, (1, bad))


def test_law_the_best_choice_of_joints_is_j_best(scene):
    hypotheses, target, _ = scene
    choice = (hypotheses - target[..., None, :, :]).norm(dim=-1).argmin(-2)
    torch.testing.assert_close(j_agg(hypotheses, target, choice), j_best(hypotheses, target))


def test_law_one_hypothesis_for_all_poses_is_no_better_than_one_each(scene):
    hypotheses, target, _ = scene
    together = p_best(hypotheses, target, one_for_all=True)
    assert together.shape == ()
    assert together >= p_best(hypotheses, target).mean()
    each = torch.stack([mpjpe(hypotheses[..., h, :, :], target).mean() for h in range(8)])
    torch.testing.assert_close(together, each.amin())


def test_law_the_true_pose_among_the_hypotheses_has_no_error(scene):
    hypotheses, target, keypoints = scene
    hypotheses[..., 3, :, :] = target
    assert float(p_best(hypotheses, target).max()) == 0
    assert float(j_best(hypotheses, target).max()) == 0
    joined = jpma(hypotheses, keypoints, camera, ROOT.expand(6, 5, 3))
    torch.testing.assert_close(joined, target)


def test_law_jpma_of_one_hypothesis_is_the_hypothesis(scene):
    hypotheses, _, keypoints = scene
    one = hypotheses[..., :1, :, :]
    assert torch.equal(jpma(one, keypoints, camera, ROOT.expand(6, 5, 3)), one[..., 0, :, :])


def test_law_jpma_helps_where_keypoints_are_true(scene):
    hypotheses, target, keypoints = scene
    joined = jpma(hypotheses, keypoints, camera, ROOT.expand(6, 5, 3))
    first = mpjpe(hypotheses[..., 0, :, :], target).mean()
    assert mpjpe(joined, target).mean() < 0.8 * first
    assert mpjpe(joined, target).mean() > j_best(hypotheses, target).mean()


def test_law_rpea_of_one_hypothesis_is_the_hypothesis(scene):
    hypotheses, _, keypoints = scene
    one = hypotheses[..., :1, :, :]
    for topk in (None, 1, 5):
        assert torch.equal(rpea(one, keypoints, camera, ROOT.expand(6, 5, 3), topk), one[..., 0, :, :])


def test_law_rpea_goes_from_jpma_to_the_mean_with_its_temperature(scene):
    hypotheses, _, keypoints = scene
    root = ROOT.expand(6, 5, 3)
    cold = rpea(hypotheses, keypoints, camera, root, temperature=0.4)
    chosen = jpma(hypotheses, keypoints, camera, root)
    assert (rpea(hypotheses, keypoints, camera, root, topk=1) == chosen)[..., 1:, :].all()
    torch.testing.assert_close(
        rpea(hypotheses, keypoints, camera, root, temperature=1e9), hypotheses.mean(-3), atol=1e-6, rtol=0
    )
    assert not torch.allclose(cold, chosen)


def test_law_rpea_weights_sum_to_one_and_only_the_nearest_count(scene):
    hypotheses, _, keypoints = scene
    projected = torch.stack([camera(hypotheses[..., h, :, :] + ROOT) for h in range(8)], -3)
    keypoints[..., 2, :] = torch.nan
    keypoints[0, 0] = torch.nan
    weights = rpea_weights(projected, keypoints, 3, 10.0)
    torch.testing.assert_close(weights.sum(-2), torch.ones(6, 5, 17).double())
    assert ((weights > 0).sum(-2) == 3).all()
    near = (projected - keypoints[..., None, :, :]).norm(dim=-1)
    nearest, heaviest = near[1:].argmin(-2), weights[1:].argmax(-2)
    assert (nearest == heaviest)[..., [1, 3, 4]].all()
    assert torch.equal(rpea_weights(projected, keypoints)[0, 0], torch.full((8, 17), 1 / 8).double())


def test_law_rpea_helps_where_keypoints_are_true(scene):
    hypotheses, target, keypoints = scene
    joined = rpea(hypotheses, keypoints, camera, ROOT.expand(6, 5, 3), temperature=5.0)
    assert mpjpe(joined, target).mean() < mpjpe(hypotheses.mean(-3), target).mean()


def test_law_rpea_survives_hypotheses_behind_the_camera(scene):
    hypotheses, _, keypoints = scene
    hypotheses[..., 2, :, 2] -= 10
    projected = camera((hypotheses + ROOT).flatten(-3, -2)).unflatten(-2, (8, 17))
    weights = rpea_weights(projected, keypoints, temperature=3.0)
    assert weights.isfinite().all()
    assert (weights[..., 2, :] <= weights.amin(-2)).all()


def test_wrong_settings_of_rpea_say_what_was_expected(scene):
    hypotheses, _, keypoints = scene
    for topk, temperature in ((0, 0.005), (None, 0.0)):
        with pytest.raises(InputError, match="at least 1"):
            rpea(hypotheses, keypoints, camera, ROOT.expand(6, 5, 3), topk, temperature)


def test_law_the_estimated_root_of_true_poses_is_the_true_root(scene):
    _, target, keypoints = scene
    true = target[..., None, :, :].expand(-1, -1, 3, -1, -1)
    torch.testing.assert_close(estimated_root(true, keypoints, K), ROOT.expand(6, 5, 3), atol=1e-6, rtol=0)
    keypoints[..., 4, :] = torch.nan
    torch.testing.assert_close(estimated_root(true, keypoints, K), ROOT.expand(6, 5, 3), atol=1e-6, rtol=0)


def test_law_joints_without_keypoint_come_from_the_hypothesis_nearest_elsewhere(scene):
    hypotheses, target, keypoints = scene
    hypotheses[..., 5, :, :] = target
    keypoints[..., 2, :] = torch.nan
    projected = torch.stack([camera(hypotheses[..., h, :, :] + ROOT) for h in range(8)], -3)
    assert (nearest_in_picture(projected, keypoints)[..., 2] == 5).all()
    nothing = torch.full_like(keypoints, torch.nan)
    assert (nearest_in_picture(projected, nothing) == 0).all()


def test_law_hypotheses_behind_the_camera_are_not_chosen(scene):
    hypotheses, _, keypoints = scene
    hypotheses[..., 2, :, 2] -= 10
    projected = camera((hypotheses + ROOT).flatten(-3, -2)).unflatten(-2, (8, 17))
    assert projected.isnan().any()
    assert (nearest_in_picture(projected, keypoints) != 2).all()


def test_convention_missing_truth_is_not_scored_and_missing_estimates_show(scene):
    hypotheses, target, _ = scene
    without = hypotheses[..., 1:, :], target[..., 1:, :]
    target[..., 0, :] = torch.nan
    for error in (p_best, j_best, p_agg):
        torch.testing.assert_close(error(hypotheses, target), error(*without))
    hypotheses[0, 0, 2, 4] = torch.nan
    for error in (p_best, j_best, p_agg):
        assert error(hypotheses, target).isnan().nonzero().tolist() == [[0, 0]]


def test_convention_numpy_in_numpy_out(scene):
    hypotheses, target, _ = (x.numpy() for x in scene)
    choice = np.zeros((6, 5, 17), np.int64)
    for error in (p_best(hypotheses, target), j_agg(hypotheses, target, choice)):
        assert isinstance(error, np.ndarray)
        assert error.shape == (6, 5)


def test_wrong_shapes_say_what_was_expected(scene):
    hypotheses, target, _ = scene
    for bad in (target, hypotheses[..., :0, :, :], hypotheses[:3]):
        with pytest.raises(ValueError, match=r"\(\.\.\., H, J, 3\) with H > 0"):
            p_best(bad, target)
    with pytest.raises(ValueError, match="whole numbers"):
        chosen_joints(hypotheses, torch.zeros(6, 5, 17))
