import importlib.util

import numpy as np
import pytest
import torch

from posewright.metrics.averaging import average
from posewright.metrics.position import pa_mpjpe
from posewright.metrics.protocols import PROTOCOLS, get, sequence_scores


def _poses(protocol, seed=0, T=12):
    rng = np.random.default_rng(seed)
    return rng.normal(scale=0.4, size=(T, len(protocol.joints), 3)) + [0.0, 0.0, 4.0]


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda p: p.name)
def test_contract_protocols_are_complete(protocol):
    assert set(protocol.root) <= set(protocol.joints)
    assert len(set(protocol.joints)) == len(protocol.joints)
    assert not set(protocol.train) & set(protocol.test)
    assert protocol.source
    assert importlib.util.find_spec(f"posewright.datasets.{protocol.dataset}"), "a reader for the data set"
    if protocol.skeleton is not None:
        assert set(protocol.joints) <= set(protocol.joint_set.joint_names)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda p: p.name)
def test_contract_the_truth_scores_perfectly_wherever_it_stands(protocol):
    target = _poses(protocol)
    scores = sequence_scores(protocol, target + [0.3, -1.0, 2.0], target, protocol.joints)
    assert tuple(scores) == protocol.metrics
    for metric, values in scores.items():
        best = {"pck": 100.0, "auc": 100 * (1 - 1 / len(protocol.auc_thresholds_mm))}.get(metric, 0.0)
        np.testing.assert_allclose(values, best, atol=1e-9, err_msg=metric)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda p: p.name)
def test_law_order_of_joints_and_joints_beside_do_not_matter(protocol):
    predicted, target = _poses(protocol, 1), _poses(protocol, 2)
    order = np.random.default_rng(3).permutation(len(protocol.joints))
    names = (*(protocol.joints[i] for i in order), "tail")
    wider = [np.concatenate([x[:, order], x[:, :1] + 9], 1) for x in (predicted, target)]
    plain = sequence_scores(protocol, predicted, target, protocol.joints)
    for metric, values in sequence_scores(protocol, *wider, names).items():
        np.testing.assert_allclose(values, plain[metric], err_msg=metric)


def test_law_protocol_2_is_procrustes_whatever_the_root():
    protocol = get("h36m/p2")
    predicted, target = _poses(protocol, 1), _poses(protocol, 2)
    scores = sequence_scores(protocol, torch.from_numpy(predicted), torch.from_numpy(target), protocol.joints)
    np.testing.assert_allclose(scores["pa_mpjpe_mm"].numpy(), pa_mpjpe(predicted, target))


def test_convention_numbers_the_papers_agree_on():
    p1 = get("h36m/p1")
    assert len(p1.joints) == 17
    assert (p1.fps, p1.averaging, len(p1.actions)) == (50.0, "action", 15)
    assert (p1.train, p1.test) == (("S1", "S5", "S6", "S7", "S8"), ("S9", "S11"))
    hp = get("3dhp")
    assert (hp.pck_threshold_mm, len(hp.auc_thresholds_mm), hp.joints[14]) == (150.0, 31, "pelvis")
    assert len(get("3dpw").joints) == 14
    assert len(get("humaneva").joints) == 15


def test_scores_go_into_the_average_by_action():
    protocol = get("h36m/p1")
    target = _poses(protocol)
    predicted = target.copy()
    predicted[:9, 1:, 0] += 0.017
    mpjpe = sequence_scores(protocol, predicted, target, protocol.joints)["mpjpe_mm"]
    result = average(mpjpe, ["Walking"] * 9 + ["Sitting"] * 3)
    assert result.per_group == pytest.approx(8.0)
    assert result.per_frame == pytest.approx(12.0)


def test_unknown_names_and_lacking_joints_are_said():
    with pytest.raises(LookupError, match="h36m/p1"):
        get("h36m/p9")
    with pytest.raises(ValueError, match="left_wrist"):
        sequence_scores(get("h36m/p1"), np.zeros((3, 2, 3)), np.zeros((3, 2, 3)), ("pelvis", "spine"))
