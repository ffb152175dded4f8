import numpy as np
import pytest
import torch

from posewright.core.errors import InputError
from posewright.datasets.anatomy import heels, with_anatomy
from posewright.datasets.mocap import MOCAP_19, load_mocap, read_mocap_file
from posewright.skeletons.joint_sets import BODY_26


def test_recordings_are_read(shared_data):
    sequences = read_mocap_file(shared_data / "mocap" / "val" / "cmu_29.npz")
    assert [len(s.joints) for s in sequences] == [548]
    assert sequences[0].description == "walk"
    assert sequences[0].fps == 50


def test_splits_share_no_subject(shared_data):
    train, val = (load_mocap(s, shared_data / "mocap") for s in ("train", "val"))
    assert not {s.subject for s in train} & {s.subject for s in val}
    assert len(train) == 115
    assert len(val) == 50


def test_convention_a_walker_stands_upright_and_toes_point_where_the_person_goes(shared_data):
    for file in ("cmu_29.npz", "cmu_14_daz.npz"):
        joints = read_mocap_file(shared_data / "mocap" / "val" / file)[0].joints
        J = MOCAP_19.index
        assert (joints[:, J("head"), 2] > joints[:, J("pelvis"), 2] + 0.3).mean() > 0.9
        left = joints[:, J("left_hip")] - joints[:, J("right_hip")]
        forward = np.cross(left, [0.0, 0.0, 1.0])
        toe = joints[:, J("left_toe")] - joints[:, J("left_ankle")]
        assert ((forward * toe).sum(-1) > 0).mean() > 0.9


def test_anatomy_stands_where_it_should():
    joints = torch.zeros(19, 3)
    for name, place in {
        "left_knee": (0.1, 0.0, 0.5),
        "left_ankle": (0.1, 0.0, 0.08),
        "left_toe": (0.1, -0.19, 0.06),
        "right_knee": (-0.1, 0.0, 0.5),
        "right_ankle": (-0.1, 0.0, 0.08),
        "right_toe": (-0.1, -0.19, 0.06),
        "left_shoulder": (0.2, 0.0, 1.4),
        "right_shoulder": (-0.2, 0.0, 1.4),
        "neck": (0.0, 0.0, 1.5),
        "head": (0.0, 0.0, 1.6),
    }.items():
        joints[MOCAP_19.index(name)] = torch.tensor(place)
    zero = torch.zeros(())
    points = {n: p for n, p in zip(BODY_26.joint_names, with_anatomy(joints, zero, zero), strict=True)}
    assert points["left_heel"][1] > 0.03, "behind the ankle of a person who faces -Y"
    assert points["left_heel"][2] < 0.05, "below it"
    assert points["nose"][1] < -0.1
    assert points["left_eye"][0] > 0.02
    assert points["right_ear"][0] < -0.05
    turned = with_anatomy(joints, torch.tensor(torch.pi / 2), zero)
    assert turned[BODY_26.index("nose"), 0] > 0.1, "positive yaw turns the head to the person's left"
    raised = with_anatomy(joints, zero, torch.tensor(0.5))
    assert raised[BODY_26.index("nose"), 2] > points["nose"][2], "positive pitch looks up"
    torch.testing.assert_close(heels(joints)[0], points["left_heel"])


def test_a_folder_without_recordings_says_so(tmp_path):
    with pytest.raises(InputError, match="npz"):
        load_mocap("train", tmp_path)
