"""Joint angles: every sign, by hand-built poses."""

import math

import numpy as np
import pytest
import torch

from posewright.geometry.kinematics import forward_kinematics
from posewright.geometry.rotations import matrix_to_quat_wxyz, rotvec_to_matrix
from posewright.motion.angles import joint_angles
from posewright.skeletons.joint_sets import BODY_24, RIG_26
from posewright.structures.motion import Motion
from tests.motion.test_ik import moving_pose, rig


def motion_of(local: torch.Tensor, root=(0.0, 0.0, 0.95)) -> Motion:
    place = torch.tensor(root, dtype=torch.float64).expand(*local.shape[:2], 3)
    joints = forward_kinematics(local, rig(), place, RIG_26.parents)[0]
    return Motion(
        RIG_26,
        joints.numpy().astype(np.float32),
        np.ones(joints.shape[:3], np.float32),
        30.0,
        rotations_wxyz=matrix_to_quat_wxyz(local).numpy().astype(np.float32),
        rest_offsets=rig().numpy().astype(np.float32),
    )


def pose(T: int = 1, **degrees) -> torch.Tensor:
    """Local rotations (T, 1, 26, 3, 3): T-pose but for joints turned by `(x, y, z)` degrees, one axis at a time."""
    local = torch.eye(3, dtype=torch.float64).expand(T, 1, 26, 3, 3).clone()
    for joint, turn in degrees.items():
        local[:, :, RIG_26.index(joint)] = rotvec_to_matrix(
            torch.deg2rad(torch.tensor(turn, dtype=torch.float64))
        )
    return local


HANGING = {"left_shoulder": (0, 90, 0), "right_shoulder": (0, -90, 0)}


def of(local: torch.Tensor, name: str) -> float:
    return math.degrees(joint_angles(motion_of(local)).of(name)[-1, 0])


@pytest.mark.parametrize(
    ("joint", "turn", "name", "degrees"),
    [
        ("left_knee", (90, 0, 0), "knee_angle_l", 90),  # shin goes back (+Y)
        ("right_knee", (90, 0, 0), "knee_angle_r", 90),
        ("left_hip", (-30, 0, 0), "hip_flexion_l", 30),  # thigh comes forward (-Y)
        ("right_hip", (-30, 0, 0), "hip_flexion_r", 30),
        ("right_hip", (0, -20, 0), "hip_adduction_r", 20),  # the right thigh (on -X) goes towards +X
        ("left_hip", (0, 20, 0), "hip_adduction_l", 20),
        ("right_hip", (0, 0, 20), "hip_rotation_r", 20),  # right toes from -Y towards +X: inwards
        ("left_hip", (0, 0, -20), "hip_rotation_l", 20),
        ("right_ankle", (-15, 0, 0), "ankle_angle_r", 15),  # toes rise
        ("left_ankle", (-15, 0, 0), "ankle_angle_l", 15),
        ("right_ankle", (0, -10, 0), "subtalar_angle_r", 10),  # the sole turns to the midline
        ("left_ankle", (0, 10, 0), "subtalar_angle_l", 10),
        ("spine", (15, 0, 0), "lumbar_extension", -15),  # the chest goes forward (-Y): flexion
        ("spine", (0, -15, 0), "lumbar_bending", 15),  # the chest goes to -X: right
        ("spine", (0, 0, 15), "lumbar_rotation", 15),  # facing -Y turns towards +X: left
        ("pelvis", (0, 0, 30), "pelvis_rotation", -60),  # facing -Y is -90; turning left is positive
    ],
)
def test_convention_signs_of_legs_and_trunk(joint, turn, name, degrees):
    assert of(pose(**{joint: turn}), name) == pytest.approx(degrees, abs=1e-3)


@pytest.mark.parametrize(
    ("turn", "name", "degrees"),
    [((15, 0, 0), "pelvis_tilt", -15), ((0, -10, 0), "pelvis_list", 10), ((0, 0, 30), "pelvis_rotation", 30)],
)
def test_convention_signs_of_the_pelvis(turn, name, degrees):
    """For a person who faces ground +X (our +X): the top goes forward; the right side goes down; a turn to the left."""
    local = pose(pelvis=turn)
    facing = rotvec_to_matrix(torch.tensor([0, 0, math.pi / 2], dtype=torch.float64))
    local[:, :, 0] = facing @ local[:, :, 0]
    assert of(local, name) == pytest.approx(degrees, abs=1e-3)


@pytest.mark.parametrize("side", ["left", "right"])
def test_convention_signs_of_arms(side):
    s, left = side[0], side == "left"
    for name in ("arm_flex", "arm_add", "arm_rot", "elbow_flex", "pro_sup"):
        assert of(pose(**HANGING), f"{name}_{s}") == pytest.approx(0, abs=1e-3), "hanging arms are zero"
    hang = rotvec_to_matrix(torch.tensor([0, math.pi / 2 if left else -math.pi / 2, 0], dtype=torch.float64))

    def turned(x=0.0, y=0.0, z=0.0):
        local = pose(**HANGING)
        turn = rotvec_to_matrix(torch.deg2rad(torch.tensor([x, y, z], dtype=torch.float64)))
        local[:, :, RIG_26.index(f"{side}_shoulder")] = turn @ hang
        return local

    assert of(turned(x=-40), f"arm_flex_{s}") == pytest.approx(40, abs=1e-3)  # forwards (-Y)
    inward = 20 if left else -20
    assert of(turned(y=inward), f"arm_add_{s}") == pytest.approx(20, abs=1e-3)  # to the midline
    assert of(turned(z=-25 if left else 25), f"arm_rot_{s}") == pytest.approx(25, abs=1e-3)  # internal
    bent = pose(**HANGING, **{f"{side}_elbow": (0, 0, -70 if left else 70)})
    assert of(bent, f"elbow_flex_{s}") == pytest.approx(70, abs=1e-3)
    wrist, elbow = (motion_of(bent).joints[0, 0, RIG_26.index(f"{side}_{j}")] for j in ("wrist", "elbow"))
    assert wrist[1] < elbow[1] - 0.1, "a hanging arm bends forwards"
    assert of(pose(), f"arm_add_{s}") == pytest.approx(-90, abs=1e-2), "the T-pose is 90 degrees of abduction"


def test_convention_place_and_facing():
    angles = joint_angles(motion_of(pose(), root=(1.0, 2.0, 0.9)))
    place = [angles.of(f"pelvis_t{axis}")[0, 0] for axis in "xyz"]
    np.testing.assert_allclose(place, [1.0, 0.9, -2.0], atol=1e-6)
    assert math.degrees(angles.of("pelvis_rotation")[0, 0]) == pytest.approx(-90)
    assert angles.is_translation.sum() == 3


def test_law_angles_give_the_rotation_back():
    local, _ = moving_pose(40, 5)
    angles = joint_angles(motion_of(local))
    flex, add, rot = (
        angles.of(f"hip_{n}_r")[:, 0].astype(float) for n in ("flexion", "adduction", "rotation")
    )

    def about(axis, a):
        return rotvec_to_matrix(torch.from_numpy(a)[:, None] * torch.eye(3, dtype=torch.float64)[axis])

    axes = torch.tensor([[0.0, -1, 0], [0, 0, 1], [-1, 0, 0]], dtype=torch.float64)
    again = axes.T @ about(2, flex) @ about(0, add) @ about(1, rot) @ axes
    np.testing.assert_allclose(again, local[:, 0, RIG_26.index("right_hip")], atol=1e-5)


def test_law_angles_are_continuous_through_gimbal_lock():
    """An arm rises sideways from the hip to above the head; another swings about horizontally; the body spins twice."""
    T = 120
    rise = torch.linspace(-math.pi / 2, math.pi / 3, T, dtype=torch.float64)
    zero = torch.zeros_like(rise)
    local = pose(T)
    local[:, 0, RIG_26.index("right_shoulder")] = rotvec_to_matrix(torch.stack([zero, rise, zero], -1))
    local[:, 0, RIG_26.index("left_shoulder")] = rotvec_to_matrix(torch.stack([zero, zero, 0.8 * rise], -1))
    spin = torch.linspace(0, 4 * math.pi, T, dtype=torch.float64)
    local[:, 0, 0] = rotvec_to_matrix(torch.stack([zero, zero, spin], -1))
    noise = rotvec_to_matrix(
        0.01 * torch.randn(T, 1, 26, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    )
    angles = joint_angles(motion_of(local @ noise))
    step = np.degrees(np.abs(np.diff(angles.values[:, 0], axis=0)))
    assert step[:, ~angles.is_translation].max() < 15, "degrees per frame"
    turned = np.degrees(np.ptp(angles.of("pelvis_rotation")))
    assert turned == pytest.approx(720, abs=5)
    assert np.degrees(np.ptp(angles.of("arm_add_r"))) == pytest.approx(150, abs=5)


def test_missing_people_stay_missing():
    motion = motion_of(pose(5))
    rotations = motion.rotations_wxyz.copy()
    rotations[2] = np.nan
    angles = joint_angles(Motion(RIG_26, motion.joints, motion.confidence, 30.0, rotations_wxyz=rotations))
    assert np.isnan(angles.values[2]).all()
    assert np.isfinite(angles.values[[0, 1, 3, 4]]).all()


def test_positions_alone_are_refused():
    bare = Motion(BODY_24, np.zeros((2, 1, 24, 3), np.float32), np.ones((2, 1, 24), np.float32), 30.0)
    with pytest.raises(ValueError, match="fit_rig"):
        joint_angles(bare)
