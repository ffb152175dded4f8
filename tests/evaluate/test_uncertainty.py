"""How errors move, on motions whose accelerations and correlations are known."""

import numpy as np
import pytest

from posewright.evaluate.uncertainty import GROUPS, RECORDED, acceleration, autocorrelation
from posewright.skeletons.joint_sets import BODY_26


def test_contract_every_joint_but_the_pelvis_is_in_one_group():
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(n for n in BODY_26.joint_names if n != "pelvis")
    assert set(RECORDED) < set(grouped)


def test_law_acceleration_of_a_parabola_and_correlation_of_a_constant():
    time = np.arange(50) / 25
    fall = np.zeros((50, 1, 3))
    fall[..., 2] = -4.905 * time[:, None] ** 2
    assert acceleration(fall, 25) == pytest.approx(9.81)
    np.testing.assert_allclose(
        autocorrelation([np.ones((40, 2)), -np.ones((9, 2))], np.array([0, 5, 20])), 1.0
    )
