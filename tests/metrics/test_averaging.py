import numpy as np
import pytest
import torch

from posewright.metrics.averaging import action_name, average


def test_law_actions_count_the_same_whatever_their_length():
    values = np.array([10.0] * 30 + [40.0] * 10)
    result = average(values, ["walk"] * 30 + ["sit"] * 10)
    assert result.per_frame == pytest.approx(17.5)
    assert result.per_group == pytest.approx(25.0)
    assert result.groups == {"walk": 10.0, "sit": 40.0}
    assert result.counts == {"walk": 30, "sit": 10}
    assert result.count == 40


def test_law_scattered_groups_are_gathered_in_order_of_appearance():
    result = average(torch.tensor([1.0, 5.0, 3.0, 7.0]), ["b", "a", "b", "a"])
    assert list(result.groups.items()) == [("b", 2.0), ("a", 6.0)]


def test_values_that_are_not_scored_do_not_count():
    result = average(np.array([1.0, np.nan, 3.0, np.nan]), ["a", "a", "b", "c"])
    assert (result.per_frame, result.per_group) == (2.0, 2.0)
    assert np.isnan(result.groups["c"])
    assert result.counts["c"] == 0
    empty = average(np.full(3, np.nan))
    assert np.isnan(empty.per_frame)
    assert np.isnan(empty.per_group)


def test_groups_must_fit():
    with pytest.raises(ValueError, match="one group name per value"):
        average(np.zeros(3), ["a", "b"])


def test_convention_numbered_takes_are_one_action():
    assert action_name("Walking 1") == action_name("Walking") == "Walking"
    assert action_name("WalkTogether 2") == "WalkTogether"
