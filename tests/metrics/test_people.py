import numpy as np
import pytest

from posewright.metrics.people import match_people


def _distances(T=6):
    """Two people, each with an estimate of its own."""
    return np.tile(np.array([[0.1, 5.0], [5.0, 0.1]]), (T, 1, 1))


def _everywhere(T=6, n=2):
    return np.ones((T, n), bool)


def test_law_right_estimates_have_no_switch_miss_or_phantom():
    match = match_people(_distances(), 1.0, _everywhere(), _everywhere())
    assert (match.estimate == [0, 1]).all()
    assert match.switches == 0
    assert not match.misses.any()
    assert not match.phantoms.any()


def test_law_exchanged_estimates_are_two_switches():
    distances = _distances()
    distances[3:] = distances[3:, :, ::-1]
    assert match_people(distances, 1.0, _everywhere(), _everywhere()).switches == 2


def test_law_a_new_number_after_a_gap_is_one_switch():
    distances = np.full((6, 1, 2), np.nan)
    distances[:2, 0, 0] = 0.1
    distances[4:, 0, 1] = 0.1
    present = np.isfinite(distances[:, 0])
    match = match_people(distances, 1.0, _everywhere(6, 1), present)
    assert match.switches == 1
    assert match.misses[:, 0].tolist() == [False, False, True, True, False, False]


def test_law_a_near_enough_estimate_is_kept_though_another_is_nearer():
    distances = np.array([[[0.1, 5.0]], [[0.5, 0.2]]])
    assert match_people(distances, 1.0, _everywhere(2, 1), _everywhere(2)).estimate[:, 0].tolist() == [0, 0]


def test_law_nobody_shares_an_estimate():
    distances = np.full((3, 2, 2), np.nan)
    distances[0, 0, 0] = distances[1, 1, 0] = 0.1  # both have had estimate 0
    distances[2] = [[0.3, 9.0], [0.2, 9.0]]
    match = match_people(distances, 1.0, _everywhere(3), np.isfinite(distances).any(1))
    assert match.estimate[2].tolist() == [-1, 0]


def test_convention_required_and_phantom():
    distances = np.full((4, 1, 2), 9.0)
    distances[:, 0, 0] = 0.1
    required = np.zeros((4, 1), bool)
    match = match_people(distances, 1.0, required, _everywhere(4))
    assert match.phantoms.tolist() == [1, 1, 1, 1]
    assert not match.misses.any()
    assert match.found().all()
    with pytest.raises(ValueError, match="required"):
        match_people(distances, 1.0, required[:2], _everywhere(4))
