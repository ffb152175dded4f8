import itertools

import numpy as np
import pytest

from posewright.skeletons import joint_sets as sets
from posewright.skeletons.convert import RULES, conversion, convert

HUMAN = sorted(set(sets.JOINT_SETS) - sets.ANIMALS - {"hand_21"})
DETECTED = ["coco_17", "halpe_26", "body_25", "mediapipe_33", "coco_wholebody_133", "coco_feet_21", "h36m_17"]
PAIRS = list(itertools.product(HUMAN, HUMAN))
FEET = {"left_toe", "right_toe", "left_heel", "right_heel"}
FACE = {"nose", "left_eye", "right_eye", "left_ear", "right_ear"}


def pose(name, *batch, seed=0):
    rng = np.random.default_rng(seed)
    J = len(sets.get(name))
    return rng.normal(size=(*batch, J, 3)), rng.uniform(0.2, 1, size=(*batch, J))


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_contract_every_pair(source, target):
    how = conversion(source, target)
    rows = how.matrix.sum(1)
    np.testing.assert_allclose(rows, how.steps >= 0, atol=1e-12)
    shared = set(how.source.joint_names) & set(how.target.joint_names)
    assert {how.target.joint_names[j] for j in np.flatnonzero(how.measured)} == shared
    for j in np.flatnonzero(how.measured):
        assert how.matrix[j, how.source.index(how.target.joint_names[j])] == 1


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_law_mirroring_and_converting_commute(source, target):
    how = conversion(source, target)
    np.testing.assert_array_equal(how.matrix[how.target.mirror][:, how.source.mirror], how.matrix)


def test_law_rules_keep_points_in_place():
    for joint, weights in RULES:
        assert sum(weights.values()) == pytest.approx(1), joint


@pytest.mark.parametrize("source", DETECTED)
def test_law_every_detection_set_feeds_the_lifter(source):
    missing = set(conversion(source, "coco_feet_21").missing)
    expected = {"coco_17": FEET, "h36m_17": FEET | FACE}.get(source, set())
    assert missing == expected


@pytest.mark.parametrize("source", ["body_24", "rig_26"])
def test_law_lifted_bodies_convert(source):
    for target in ("h36m_17", "body_24"):
        assert conversion(source, target).measured.all()
    assert set(conversion(source, "coco_17").missing) == {"left_eye", "right_eye"}
    small_toes = {"left_small_toe", "right_small_toe"}
    assert set(conversion(source, "halpe_26").missing) == {"left_eye", "right_eye"} | small_toes
    assert not conversion("halpe_26", source).missing
    assert set(conversion("h36m_17", source).missing) == (FEET | FACE) - {"left_eye", "right_eye"}


def test_law_h36m_neck_is_not_the_nose():
    assert "nose" in conversion("h36m_17", "coco_17").missing
    assert not conversion("coco_17", "h36m_17").measured[sets.H36M_17.index("neck")]


def test_law_identity():
    for name in sets.JOINT_SETS:
        positions, confidence = pose(name, 2)
        out, sure, measured = convert(positions, confidence, name, name)
        np.testing.assert_array_equal(out, positions)
        np.testing.assert_array_equal(sure, confidence)
        assert measured.all()


def test_law_pelvis_is_between_the_hips():
    positions, confidence = pose("coco_17", 4, 2)
    out, sure, measured = convert(positions, confidence, "coco_17", "h36m_17")
    np.testing.assert_allclose(out[..., 0, :], (positions[..., 11, :] + positions[..., 12, :]) / 2)
    np.testing.assert_array_equal(sure[..., 0], np.minimum(confidence[..., 11], confidence[..., 12]))
    assert not measured[0]
    assert measured[sets.H36M_17.index("left_hip")]


def test_law_derived_joint_needs_all_its_parents():
    positions, confidence = pose("coco_17", 3)
    positions[0, sets.COCO_17.index("left_hip")] = np.nan
    confidence[1, sets.COCO_17.index("right_hip")] = 0
    out, sure, _ = convert(positions, confidence, "coco_17", "h36m_17")
    lost = np.isnan(out).any(-1)
    np.testing.assert_array_equal(lost, sure == 0)
    for frame, hip in [(0, "left_hip"), (1, "right_hip")]:
        assert {sets.H36M_17.joint_names[j] for j in np.flatnonzero(lost[frame])} == {hip, "pelvis", "spine"}
    assert not lost[2].any()


def test_law_dtype_is_kept():
    positions, confidence = pose("coco_17", 3)
    out, sure, _ = convert(positions.astype(np.float32), confidence.astype(np.float32), "coco_17", "halpe_26")
    assert out.dtype == sure.dtype == np.float32


def test_law_no_frames():
    out, sure, _ = convert(np.zeros((0, 1, 17, 2)), np.zeros((0, 1, 17)), "coco_17", "coco_feet_21")
    assert out.shape == (0, 1, 21, 2)
    assert sure.shape == (0, 1, 21)


def test_law_animals_and_people_do_not_mix():
    with pytest.raises(ValueError, match="animal"):
        conversion("ap10k_17", "coco_17")
    assert "left_shoulder" not in conversion("ap10k_17", "animal_26").missing


def test_law_wrong_shape_is_named():
    with pytest.raises(ValueError, match="expected"):
        convert(np.zeros((3, 18, 2)), np.zeros((3, 18)), "coco_17", "h36m_17")


def test_convention_derived_joints_are_flagged():
    how = conversion("coco_17", "h36m_17")
    derived = {n for n, s in zip(how.target.joint_names, how.steps, strict=True) if s > 0}
    assert derived == {"pelvis", "spine", "thorax", "neck", "head"}
