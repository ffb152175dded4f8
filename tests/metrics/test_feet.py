import numpy as np
import pytest

from posewright.metrics.feet import floor_penetration, foot_skating


def test_law_standing_feet_do_not_skate_and_sliding_ones_do():
    T = 30
    feet = np.zeros((T, 2, 3))
    feet[:, 1, 0] = 0.01 * np.arange(T)
    planted = np.ones((T, 2), bool)
    assert foot_skating(feet[:, :1], planted[:, :1], 30) == 0
    assert foot_skating(feet[:, 1:], planted[:, 1:], 30) == pytest.approx(300.0)
    assert foot_skating(feet, planted, 30) == pytest.approx(150.0)


def test_convention_only_planted_steps_count_and_height_does_not():
    feet = np.zeros((4, 1, 3))
    feet[:, 0, 2] = [0.0, 0.1, 0.2, 0.3]
    feet[3, 0, 0] = 1.0
    assert foot_skating(feet, np.array([[1], [1], [1], [0]], bool), 30) == 0
    assert np.isnan(foot_skating(feet, np.zeros((4, 1), bool), 30))
    with pytest.raises(ValueError, match="planted"):
        foot_skating(feet, np.zeros((3, 1), bool), 30)


def test_law_penetration_is_the_mean_depth():
    points = np.array([[0, 0, 0.5], [0, 0, -0.01], [0, 0, -0.03], [np.nan] * 3])
    assert floor_penetration(points) == pytest.approx(40 / 3)
