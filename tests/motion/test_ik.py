"""Inverse kinematics: laws on made poses, accuracy on recorded ones."""

import math

import numpy as np
import pytest
import torch

from benchmarks.known_scenes import recorded
from posewright.geometry.kinematics import forward_kinematics
from posewright.geometry.rotations import quat_wxyz_to_matrix, rotvec_to_matrix
from posewright.motion.bones import add_clavicles, rest_offsets
from posewright.motion.contacts import pose_joints
from posewright.motion.ik import IKOptions, inverse_kinematics
from posewright.skeletons.joint_sets import RIG_26

CLAVICLES = RIG_26.indices("left_clavicle", "right_clavicle")
LIMBS = RIG_26.indices(
    *(f"{s}_{j}" for s in ("left", "right") for j in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"))
)


def rig(P: int = 1) -> torch.Tensor:
    """An average adult's T-pose (P, 26, 3): nothing seen, so proportions of the tables."""
    return torch.from_numpy(rest_offsets(np.full((1, P, 26, 3), np.nan), np.zeros((1, P, 26))))


def seen(T: int, P: int = 1) -> torch.Tensor:
    weights = torch.ones(T, P, 26)
    weights[..., CLAVICLES] = 0
    return weights


def wave(T: int, generator: torch.Generator, reach: float) -> torch.Tensor:
    """Smooth angle over time (T,), within +-reach radians."""
    t = torch.linspace(0, 1, T, dtype=torch.float64)
    phase, rate = torch.rand(2, generator=generator, dtype=torch.float64)
    return reach * torch.sin(2 * math.pi * ((0.5 + rate) * t + phase))


def moving_pose(T: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Local rotations (T, 1, 26, 3, 3) and joints (T, 1, 26, 3) of smooth motion within a person's limits."""
    g = torch.Generator().manual_seed(seed)
    local = torch.eye(3, dtype=torch.float64).expand(T, 1, 26, 3, 3).clone()
    reach = {
        "pelvis": 0.6,
        "spine": 0.25,
        "thorax": 0.25,
        "neck": 0.4,
        "hip": 0.5,
        "ankle": 0.3,
        "shoulder": 0.7,
    }
    for joint in RIG_26.joint_names:
        size = reach.get(joint.split("_")[-1])
        if size:
            turn = torch.stack([wave(T, g, size) for _ in range(3)], -1)
            local[:, 0, RIG_26.index(joint)] = rotvec_to_matrix(turn)
    zero = torch.zeros(T, dtype=torch.float64)
    for joint, axis in (
        ("left_elbow", (0, 0, -1)),
        ("right_elbow", (0, 0, 1)),
        ("left_knee", (1, 0, 0)),
        ("right_knee", (1, 0, 0)),
    ):
        bend = 0.9 + wave(T, g, 0.6)
        local[:, 0, RIG_26.index(joint)] = rotvec_to_matrix(torch.stack([bend * a + zero for a in axis], -1))
    root = torch.stack([wave(T, g, 1.0) for _ in range(3)], -1)[:, None]
    return local, forward_kinematics(local, rig(), root, RIG_26.parents)[0]


def joints_of(pose, offsets) -> np.ndarray:
    return pose_joints(pose, offsets.numpy())


@pytest.mark.parametrize("seed", range(4))
def test_law_fk_of_ik_is_identity(seed):
    local, joints = moving_pose(60, seed)
    pose = inverse_kinematics(joints, seen(60), rig(), 30.0)
    error = 1000 * np.linalg.norm(joints_of(pose, rig()) - joints.numpy(), axis=-1)
    assert error[..., LIMBS].mean() < 0.5
    assert error[..., LIMBS].max() < 6.0
    turned = quat_wxyz_to_matrix(pose.rotations_wxyz)
    for name, worst in (("left_knee", 3.0), ("right_elbow", 3.0), ("pelvis", 3.0), ("left_ankle", 3.0)):
        relative = local[:, :, RIG_26.index(name)].mT @ turned[:, :, RIG_26.index(name)]
        angle = torch.rad2deg(
            torch.acos(((relative.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1))
        )
        assert angle.max() < worst, name


def test_law_equivariance():
    _, joints = moving_pose(40, 7)
    turn = rotvec_to_matrix(torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64))
    shift = torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64)
    one = inverse_kinematics(joints, seen(40), rig(), 30.0)
    other = inverse_kinematics(joints @ turn.T + shift, seen(40), rig(), 30.0)
    moved = joints_of(one, rig()) @ turn.numpy().T + shift.numpy()
    np.testing.assert_allclose(joints_of(other, rig()), moved, atol=2e-4)
    assert torch.allclose(
        (one.rotations_wxyz[..., 1:, :] * other.rotations_wxyz[..., 1:, :]).sum(-1).abs(),
        torch.ones(40, 1, 25, dtype=torch.float64),
        atol=1e-5,
    )


def test_law_time_reversal():
    _, joints = moving_pose(40, 3)
    forward = joints_of(inverse_kinematics(joints, seen(40), rig(), 30.0), rig())
    backward = joints_of(inverse_kinematics(joints.flip(0), seen(40), rig(), 30.0), rig())[::-1]
    np.testing.assert_allclose(forward, backward, atol=1e-4)


def test_law_a_straight_arm_does_not_flip():
    """The elbow bends up, the arm straightens and swings through the front, and bends again: the twist is carried."""
    T = 90
    t = np.linspace(0, 1, T)
    swing = torch.from_numpy(np.interp(t, [0, 0.3, 0.7, 1], [0.0, 0.0, 1.4, 1.4]))
    bend = torch.from_numpy(np.interp(t, [0, 0.25, 0.75, 1], [1.2, 0.0, 0.0, 1.2]))
    local = torch.eye(3, dtype=torch.float64).expand(T, 1, 26, 3, 3).clone()
    zero = torch.zeros(T, dtype=torch.float64)
    twist = rotvec_to_matrix(torch.tensor([0.9, 0, 0], dtype=torch.float64))
    local[:, 0, RIG_26.index("left_shoulder")] = (
        rotvec_to_matrix(torch.stack([zero, zero, -swing], -1)) @ twist
    )
    local[:, 0, RIG_26.index("left_elbow")] = rotvec_to_matrix(torch.stack([zero, zero, -bend], -1))
    joints = forward_kinematics(local, rig(), torch.zeros(T, 1, 3, dtype=torch.float64), RIG_26.parents)[0]
    noise = 0.002 * torch.randn(joints.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pose = inverse_kinematics(joints + noise, seen(T), rig(), 30.0)
    q = pose.rotations_wxyz
    speed = 30 * 2 * torch.acos((q[1:] * q[:-1]).sum(-1).clamp(-1, 1))
    true_speed = 1.4 / (0.4 * (T - 1) / 30)
    arm = RIG_26.indices("left_shoulder", "left_elbow")
    assert speed[..., arm].max() < true_speed + 6.0, "radians per second"
    assert (q[1:] * q[:-1]).sum(-1).min() > 0, "quaternion signs are continuous"
    turned = quat_wxyz_to_matrix(q)[:, :, RIG_26.index("left_shoulder")]
    relative = local[:, :, RIG_26.index("left_shoulder")].mT @ turned
    angle = torch.acos(((relative.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1))
    assert torch.rad2deg(angle).max() < 25, "the twist of the straight arm is that of its bent neighbours"


def test_law_long_clips_are_solved_in_blocks():
    _, joints = moving_pose(120, 4)
    whole = inverse_kinematics(joints, seen(120), rig(), 30.0)
    parts = inverse_kinematics(joints, seen(120), rig(), 30.0, IKOptions(block=50, overlap_seconds=1.0))
    np.testing.assert_allclose(joints_of(parts, rig()), joints_of(whole, rig()), atol=1e-4)
    assert (parts.rotations_wxyz[1:] * parts.rotations_wxyz[:-1]).sum(-1).min() > 0


def test_law_bones_are_constant():
    _, joints = moving_pose(50, 1)
    noisy = joints + 0.02 * torch.randn(
        joints.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    out = joints_of(inverse_kinematics(noisy, seen(50), rig(), 30.0), rig())
    parents = [p for p, _ in RIG_26.bones]
    children = [c for _, c in RIG_26.bones]
    length = np.linalg.norm(out[:, :, children] - out[:, :, parents], axis=-1)
    assert np.ptp(length, axis=0).max() < 1e-9


def test_missing_joints_and_people():
    _, joints = moving_pose(50, 2)
    two = torch.cat([joints, joints + 1.0], 1)
    two[10:20, 1] = torch.nan
    two[20:40, 0, RIG_26.index("left_wrist")] = torch.nan
    offsets = rig(2)
    pose = inverse_kinematics(two, seen(50, 2), offsets, 30.0)
    out = joints_of(pose, offsets)
    assert np.isnan(out[10:20, 1]).all()
    assert np.isfinite(out[:, 0]).all()
    assert np.isfinite(np.delete(out[:, 1], slice(10, 20), 0)).all()
    wrist = RIG_26.index("left_wrist")
    jump, true = (
        np.linalg.norm(np.diff(x[:, 0, wrist], axis=0), axis=-1).max() for x in (out, joints.numpy())
    )
    assert jump < 1.3 * true, "a hidden wrist moves on without a jump"
    assert 1000 * np.linalg.norm(out[:, 0, LIMBS[:5]] - joints[:, 0, LIMBS[:5]].numpy(), axis=-1).mean() < 1


def test_one_frame_and_nobody():
    _, joints = moving_pose(1, 2)
    pose = inverse_kinematics(joints, seen(1), rig(), 30.0)
    assert np.abs(joints_of(pose, rig()) - joints.numpy())[:, :, LIMBS].max() < 0.005
    nobody = inverse_kinematics(torch.full((3, 1, 26, 3), torch.nan), seen(3), rig(), 30.0)
    assert torch.isnan(nobody.rotations_wxyz).all()
    assert inverse_kinematics(torch.zeros(4, 0, 26, 3), seen(4, 0), rig(0), 30.0).root.shape == (4, 0, 3)


@pytest.mark.parametrize(
    ("file", "sequence"),
    [("val/cmu_35.npz", 0), ("val/cmu_06.npz", 1), ("train/cmu_05.npz", 6), ("train/cmu_60_daz.npz", 2)],
)
def test_recorded_motion_is_reproduced(shared_data, file, sequence):
    joints, fps = recorded(shared_data, file, sequence)
    joints, confidence = add_clavicles(joints[:300, None], np.ones((min(len(joints), 300), 1, 24)))
    offsets = torch.from_numpy(rest_offsets(joints, confidence))
    pose = inverse_kinematics(torch.from_numpy(joints), seen(len(joints)), offsets, fps, IKOptions())
    error = 1000 * np.linalg.norm(joints_of(pose, offsets) - joints, axis=-1)
    assert error[..., LIMBS].mean() < 8.0, "millimetres"
