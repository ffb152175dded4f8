import numpy as np
import pytest

from posewright.skeletons import joint_sets as sets

ALL = sorted(sets.JOINT_SETS)


@pytest.mark.parametrize("name", ALL)
def test_contract_joint_set(name):
    skeleton = sets.get(name)
    assert len(skeleton) == int(name.rsplit("_", 1)[1])
    assert len(set(skeleton.joint_names)) == len(skeleton)
    mirror = skeleton.mirror
    np.testing.assert_array_equal(mirror[mirror], np.arange(len(skeleton)))
    for joint, other in zip(skeleton.joint_names, mirror, strict=True):
        sided = joint.startswith(("left_", "right_"))
        assert sided == (skeleton.joint_names[other] != joint), f"{joint} has no other side"


@pytest.mark.parametrize("name", ALL)
def test_contract_bones_form_a_forest_that_mirrors(name):
    skeleton = sets.get(name)
    for joint in range(len(skeleton)):
        seen = set()
        while joint >= 0:
            assert joint not in seen
            seen.add(joint)
            joint = skeleton.parents[joint]
    if name not in (
        "coco_17",
        "coco_feet_21",
        "mediapipe_33",
        "coco_wholebody_133",
    ):  # their trees cross the middle
        for j, p in enumerate(skeleton.parents):
            other = skeleton.parents[skeleton.mirror[j]]
            assert other == (-1 if p < 0 else skeleton.mirror[p])


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(LookupError, match="h36m_17"):
        sets.get("h36m17")


PINNED = {
    "h36m_17": {0: "pelvis", 1: "right_hip", 4: "left_hip", 8: "thorax", 10: "head", 11: "left_shoulder"},
    "h36m_16": {8: "thorax", 9: "head", 10: "left_shoulder", 15: "right_wrist"},
    "coco_17": {0: "nose", 1: "left_eye", 5: "left_shoulder", 16: "right_ankle"},
    "coco_feet_21": {17: "left_toe", 18: "right_toe", 19: "left_heel", 20: "right_heel"},
    "halpe_26": {
        17: "head",
        18: "thorax",
        19: "pelvis",
        20: "left_toe",
        23: "right_small_toe",
        25: "right_heel",
    },
    "body_25": {
        0: "nose",
        1: "thorax",
        4: "right_wrist",
        8: "pelvis",
        15: "right_eye",
        19: "left_toe",
        24: "right_heel",
    },
    "coco_wholebody_133": {
        17: "left_toe",
        19: "left_heel",
        22: "right_heel",
        31: "chin",
        53: "nose_bridge_3",
        59: "right_lid_0",
        68: "left_lid_0",
        71: "right_mouth",
        77: "left_mouth",
        91: "left_hand",
        95: "left_thumb_tip",
        112: "right_hand",
        132: "right_pinky_tip",
    },
    "mediapipe_33": {0: "nose", 11: "left_shoulder", 23: "left_hip", 29: "left_heel", 32: "right_toe"},
    "mpi_28": {4: "pelvis", 5: "thorax", 7: "head", 13: "right_clavicle", 22: "left_toe", 27: "right_toe"},
    "mpi_17": {0: "head", 1: "thorax", 2: "right_shoulder", 14: "pelvis", 15: "spine", 16: "neck"},
    "smpl_24": {0: "pelvis", 1: "left_hip", 12: "thorax", 13: "left_clavicle", 15: "neck", 21: "right_wrist"},
    "smplx_55": {
        22: "jaw",
        25: "left_index_mcp",
        37: "left_thumb_cmc",
        40: "right_index_mcp",
        54: "right_thumb_ip",
    },
    "panoptic_19": {
        0: "thorax",
        2: "pelvis",
        3: "left_shoulder",
        9: "right_shoulder",
        16: "left_ear",
        17: "right_eye",
    },
    "hand_21": {0: "wrist", 4: "thumb_tip", 5: "index_mcp", 20: "pinky_tip"},
    "humaneva_15": {0: "pelvis", 1: "thorax", 2: "left_shoulder", 8: "left_hip", 14: "head"},
    "animal_26": {0: "left_eye", 7: "tail_base", 18: "animal_neck", 24: "nose"},
    "ap10k_17": {3: "animal_neck", 4: "tail_base", 7: "left_front_paw", 16: "right_back_paw"},
}


@pytest.mark.parametrize("name", sorted(PINNED))
def test_convention_joint_order(name):
    for index, joint in PINNED[name].items():
        assert sets.get(name).joint_names[index] == joint


def test_convention_wholebody_face_mirrors_as_its_authors_swap_it():
    swap = sets.COCO_WHOLEBODY_133.mirror - 23
    for a, b in [
        (0, 16),
        (7, 9),
        (17, 26),
        (21, 22),
        (31, 35),
        (36, 45),
        (37, 44),
        (39, 42),
        (40, 47),
        (41, 46),
    ]:
        assert swap[23 + a] == b
    for a, b in [
        (48, 54),
        (50, 52),
        (55, 59),
        (56, 58),
        (60, 64),
        (61, 63),
        (65, 67),
        (8, 8),
        (57, 57),
        (66, 66),
    ]:
        assert swap[23 + a] == b


def test_convention_rig_is_body_with_clavicles():
    assert set(sets.RIG_26.joint_names) - set(sets.BODY_24.joint_names) == {"left_clavicle", "right_clavicle"}
    assert sets.RIG_26.is_ordered
    assert sets.BODY_24.is_ordered
