"""Foot contacts and foot lock."""

import numpy as np
import pytest
import torch

from benchmarks.known_scenes import recorded
from posewright.motion.bones import add_clavicles, rest_offsets
from posewright.motion.contacts import (
    FOOT_LOCK_MODES,
    ContactOptions,
    _ease,
    _pins,
    foot_contacts,
    foot_points,
    hysteresis,
    lock_feet,
    planted_points,
    pose_joints,
    remove_short_runs,
)
from posewright.motion.ik import inverse_kinematics
from posewright.skeletons.joint_sets import RIG_26

CLAVICLES = RIG_26.indices("left_clavicle", "right_clavicle")


def smooth_noise(shape: tuple, width: float, seed: int) -> np.ndarray:
    """Noise of unit variance that lasts `width` frames."""
    kernel = np.exp(-0.5 * (np.arange(-4 * width, 4 * width + 1) / width) ** 2)
    white = np.random.default_rng(seed).standard_normal(shape)
    out = np.apply_along_axis(lambda x: np.convolve(x, kernel, "same")[: len(x)], 0, white)
    return out / out.std()


def lifted(shared_data, file: str, sequence: int, frames: slice = slice(None)):
    """A recorded take standing on z = 0, and what a lifter makes of it: joints off by 1 cm, depth wandering by 4 cm."""
    joints, fps = recorded(shared_data, file, sequence)
    joints = joints[frames, None]
    joints = joints - [0, 0, np.median(joints[:, 0, [4, 5, 9, 10], 2].min(-1))]
    sway = smooth_noise((len(joints), 1, 1, 3), 12, 0) * [0.01, 0.04, 0.01]
    seen = joints + 0.01 * smooth_noise(joints.shape, 4, 1) + sway
    sure = np.ones(seen.shape[:3])
    true, _ = add_clavicles(joints, sure)
    seen, sure = add_clavicles(seen, sure)
    offsets = rest_offsets(seen, sure)
    weight = sure.copy()
    weight[..., CLAVICLES] = 0
    pose = inverse_kinematics(
        torch.from_numpy(seen), torch.from_numpy(weight), torch.from_numpy(offsets), fps
    )
    return true, sure, offsets, fps, pose


def skate(joints: np.ndarray, planted: np.ndarray) -> float:
    """Mean horizontal slip of planted heels and toes, millimetres per frame."""
    step = 1000 * np.linalg.norm(np.diff(foot_points(joints)[..., :2], axis=0), axis=-1)
    return float(step[planted[1:] & planted[:-1]].mean())


def test_law_runs():
    state = np.array([0, 1, 1, 0, 1, 0, 0, 1], bool)[:, None]
    assert hysteresis(state & (np.arange(8) == 2)[:, None], state)[:, 0].tolist() == [0, 1, 1, 0, 0, 0, 0, 0]
    assert remove_short_runs(state, 2)[:, 0].tolist() == [0, 1, 1, 0, 0, 0, 0, 1], "runs at the end are kept"


def test_auto_stops_sliding_and_keeps_the_walk(shared_data):
    true, sure, offsets, fps, pose = lifted(shared_data, "val/cmu_35.npz", 0)
    planted = planted_points(true, sure, fps)
    before = pose_joints(pose, offsets)
    locked = pose_joints(lock_feet(pose, sure, offsets, fps, "auto"), offsets)
    assert skate(before, planted_points(before, sure, fps)) > 3.0
    assert skate(locked, planted_points(before, sure, fps)) < 0.5, "millimetres per frame"
    assert skate(locked, planted) < 0.5 * skate(before, planted)
    travel = [np.linalg.norm(np.diff(x[:, 0, 0, :2], axis=0), axis=-1).sum() for x in (true, locked)]
    assert travel[1] == pytest.approx(travel[0], rel=0.05)
    error = [np.linalg.norm(x - true, axis=-1).mean() for x in (before, locked)]
    assert error[1] < 1.1 * error[0]
    acceleration = [np.linalg.norm(np.diff(x, 2, axis=0), axis=-1).mean() for x in (before, locked)]
    assert acceleration[1] < 1.2 * acceleration[0], "pins ease in and out"


def test_a_jump_stays_a_jump(shared_data):
    """Hops forward: airborne frames are not locked in `auto`, and keep their height; `grounding` takes it away."""
    true, sure, offsets, fps, pose = lifted(shared_data, "train/cmu_01.npz", 0, slice(0, 400))
    height = foot_points(true)[..., 2].min((-1, -2))[:, 0]
    air = height > 0.12
    assert air.sum() > 10, "the take has jumps"
    locked = pose_joints(lock_feet(pose, sure, offsets, fps, "auto"), offsets)
    contacts = foot_contacts(locked, sure, fps)
    assert not contacts[air].any()
    still = foot_points(locked)[..., 2].min((-1, -2))[:, 0]
    assert abs(still[air].mean() - height[air].mean()) < 0.05
    grounded = pose_joints(lock_feet(pose, sure, offsets, fps, "grounding"), offsets)
    assert abs(foot_points(grounded)[..., 2].min((-1, -2))).mean() < 0.02


@pytest.mark.parametrize("mode", FOOT_LOCK_MODES)
def test_contract_modes(shared_data, mode):
    _, sure, offsets, fps, pose = lifted(shared_data, "val/cmu_35.npz", 1, slice(0, 60))
    pose.root[:, :, 2] += 0.05
    pose.root[10:15] = torch.nan
    pose.rotations_wxyz[10:15] = torch.nan
    sure[10:15] = 0
    joints = pose_joints(lock_feet(pose, sure, offsets, fps, mode), offsets)
    assert np.isnan(joints[10:15]).all()
    rest = np.delete(joints, slice(10, 15), 0)
    assert np.isfinite(rest).all()
    lowest = np.abs(foot_points(rest)[..., 2].min((-1, -2)))
    if mode in ("always", "grounding"):
        assert np.quantile(lowest, 0.9) < 0.02, "the lowest foot is on the floor"
    if mode == "never":
        assert lowest.mean() > 0.03


def test_unknown_mode_is_refused(shared_data):
    _, sure, offsets, fps, pose = lifted(shared_data, "val/cmu_35.npz", 1, slice(0, 5))
    with pytest.raises(ValueError, match="auto, always, never, grounding"):
        lock_feet(pose, sure, offsets, fps, "sometimes")


def test_law_heel_and_toe_of_a_drifting_foot_are_pinned_a_foot_apart():
    """The heel is planted first, the toe last, while the estimate drifts by 0.3 m: the foot must not step."""
    T = 30
    points = np.zeros((T, 1, 2, 2, 3))
    points[..., 1, 1] = -0.2
    points[..., 1] += 0.3 * np.linspace(0, 1, T)[:, None, None, None]
    planted = np.zeros((T, 1, 2, 2), bool)
    planted[:18, :, :, 0] = planted[8:, :, :, 1] = True
    pins = _pins(points, planted)
    both = planted.all(-1)
    np.testing.assert_allclose(
        (pins[..., 1, :] - pins[..., 0, :])[both], np.tile([0, -0.2, 0], (both.sum(), 1)), atol=1e-9
    )
    assert np.ptp(pins[:18, 0, 0, 0], axis=0).max() < 1e-9


def test_law_a_foot_that_pivots_has_a_pin_for_each_point():
    T = 30
    angle = np.linspace(0, np.pi / 2, T)
    points = np.zeros((T, 1, 2, 2, 3))
    points[..., 1, 0], points[..., 1, 1] = (0.25 * f(angle)[:, None, None] for f in (np.sin, np.cos))
    planted = np.zeros((T, 1, 2, 2), bool)
    planted[..., 0] = True
    np.testing.assert_allclose(_pins(points, planted)[..., 0, :], 0, atol=1e-9)


def test_law_a_foot_comes_to_rest_when_it_is_moved_far():
    T, fps = 40, 30.0
    planted = np.zeros((T, 1, 2, 2), bool)
    planted[15:30] = True
    shift = np.where(planted[..., None], np.array([0.0, 0.2, 0.0]), 0.0)
    eased = _ease(shift, planted, fps, ContactOptions())[:, 0, 0, 0, 1]
    np.testing.assert_allclose(eased[17:28], 0.2, atol=2e-3)
    assert np.abs(np.diff(eased)).max() < 0.08
    assert eased[0] < 0.02
