"""The conventions that belong to no single file, and the page that lists them all."""

import re
from pathlib import Path

import numpy as np
import torch

from posewright.datasets.procedural import rest_offsets
from posewright.geometry.kinematics import forward_kinematics
from posewright.io.axes import y_up_to_z_up, z_up_to_y_up
from posewright.skeletons.convert import convert
from posewright.skeletons.joint_sets import COCO_17, RIG_26
from posewright.structures.keypoints import Keypoints2D

REPOSITORY = Path(__file__).resolve().parents[2]


def rest_pose():
    offsets = torch.as_tensor(rest_offsets(), dtype=torch.float64)
    eye = torch.eye(3, dtype=torch.float64).expand(26, 3, 3)
    positions, _ = forward_kinematics(eye, offsets, torch.zeros(3, dtype=torch.float64), RIG_26.parents)
    return dict(zip(RIG_26.joint_names, positions.numpy(), strict=True))


def test_contract_every_convention_is_pinned():
    named = set(re.findall(r"test_convention_\w+", (REPOSITORY / "docs" / "conventions.md").read_text()))
    written = (path.read_text() for path in (REPOSITORY / "tests").rglob("test_*.py"))
    defined = {name for text in written for name in re.findall(r"^def (test_convention_\w+)", text, re.M)}
    assert len(named) > 20
    assert named <= defined


def test_convention_rest_pose_faces_minus_y_with_left_along_x():
    pose = rest_pose()
    for side, sign in (("left", 1), ("right", -1)):
        arm = pose[f"{side}_wrist"] - pose[f"{side}_shoulder"]
        assert sign * arm[0] > 0.9 * np.linalg.norm(arm)
        leg = pose[f"{side}_ankle"] - pose[f"{side}_hip"]
        assert -leg[2] > 0.95 * np.linalg.norm(leg)
        assert pose[f"{side}_toe"][1] < pose[f"{side}_heel"][1]
    assert pose["nose"][1] < pose["neck"][1]
    assert pose["head"][2] > pose["pelvis"][2]


def test_convention_rest_pose_is_a_person_in_metres():
    heights = [p[2] for p in rest_pose().values()]
    assert 1.3 < max(heights) - min(heights) < 2.2


def test_convention_time_of_a_frame():
    shape = (5, 1, 17)
    keypoints = Keypoints2D(
        COCO_17, np.zeros((*shape, 2), np.float32), np.ones(shape, np.float32), (64, 48), 25.0
    )
    np.testing.assert_allclose(keypoints.frame_times(), [0, 0.04, 0.08, 0.12, 0.16])
    times = np.array([0, 0.1, 0.15, 0.3, 0.4])
    np.testing.assert_array_equal(keypoints.noted("times", times=times).frame_times(), times)


def test_convention_missing_is_nan_and_no_confidence():
    positions, confidence = np.ones((17, 2)), np.ones(17)
    positions[COCO_17.index("left_hip")] = np.nan
    out, sure, _ = convert(positions, confidence, "coco_17", "h36m_17")
    np.testing.assert_array_equal(np.isnan(out).all(-1), sure == 0)
    assert (sure == 0).sum() == 3


def test_convention_world_is_z_up_and_files_may_be_y_up():
    np.testing.assert_allclose(z_up_to_y_up(np.array([1.0, 2.0, 3.0])), [1, 3, -2])
    np.testing.assert_allclose(y_up_to_z_up(z_up_to_y_up(np.array([1.0, 2.0, 3.0]))), [1, 2, 3])
