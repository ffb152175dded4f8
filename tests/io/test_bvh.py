"""What BVH files say and mean."""

import numpy as np
import pytest
import torch

from posewright.core.errors import InputError
from posewright.geometry.rotations import rotvec_to_quat_wxyz
from posewright.io import bvh, bvh_text, formats
from posewright.io.guess_units import UNITS, guess_unit, guess_up
from posewright.io.rig import pose_joints
from posewright.skeletons.joint_sets import RIG_26
from posewright.structures.motion import Motion
from tests.io.sample_motion import rest_offsets, sample_motion

TINY = """HIERARCHY
ROOT hips
{
  OFFSET 0 100 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT  left knee
  {
    OFFSET 0 -50 0
    CHANNELS 1 Xrotation
    End Site
    {
      OFFSET 0 -50 0
    }
  }
}
MOTION
Frames:\t2
Frame Time:\t.0333333
0 0 0 0 0 0 0
10 0 0 0 0 90 90
"""


def written(tmp_path, motion, **options):
    formats.save(motion, tmp_path / "a.bvh", **options)
    return (tmp_path / "a.bvh").read_text()


def test_convention_y_up_facing_z_centimetres(tmp_path):
    text = written(tmp_path, sample_motion(1, 3))
    nodes, _, frame_time = bvh_text.parse(text)
    offset = {node.name: node.offset for node in nodes if not node.is_end}
    np.testing.assert_allclose(offset["left_toe"], (0, -8, 19), atol=1e-4)
    np.testing.assert_allclose(offset["left_elbow"], (28, 0, 0), atol=1e-4)
    assert nodes[0].channels == ["Xposition", "Yposition", "Zposition", "Zrotation", "Xrotation", "Yrotation"]
    assert nodes[1].channels == ["Zrotation", "Xrotation", "Yrotation"]
    assert float(frame_time) == pytest.approx(1 / 30, abs=1e-10)
    assert text.count("End Site") == sum(j not in RIG_26.parents for j in range(26))


def test_convention_channels_multiply_in_written_order(tmp_path):
    """The root turned by 90 degrees about Y, the knee by 90 about X: the foot points sideways, along file
    -X."""
    (tmp_path / "tiny.bvh").write_text(TINY)
    motion = formats.load(tmp_path / "tiny.bvh", unit="cm", up="y")
    assert motion.skeleton.joint_names == ("hips", "left knee", "left knee_end")
    np.testing.assert_allclose(motion.joints[0, 0], [[0, 0, 1], [0, 0, 0.5], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(motion.joints[1, 0], [[0.1, 0, 1], [0.1, 0, 0.5], [-0.4, 0, 0.5]], atol=1e-6)
    assert motion.fps == 30


def spinning(frames=400):
    """A person whose joints make several whole turns and pass through gimbal lock."""
    t = np.linspace(0, 1, frames)[:, None]
    axes = np.random.default_rng(3).normal(size=(26, 3))
    axes[1] = (1, 0, 0)  # about X: the middle angle of ZXY, through +-90 degrees
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    rotvec = (4 * np.pi * t)[..., None] * axes
    quats = rotvec_to_quat_wxyz(torch.from_numpy(rotvec)).numpy().astype(np.float32)[:, None]
    rest = rest_offsets().astype(np.float32)[None]
    joints = pose_joints(quats, rest, np.tile([0, 0, 1.0], (frames, 1, 1)), RIG_26.parents)
    return Motion(
        RIG_26, joints, np.ones(joints.shape[:3], np.float32), 60.0, rotations_wxyz=quats, rest_offsets=rest
    )


def test_law_euler_angles_never_jump(tmp_path):
    motion = spinning()
    _, values, _ = bvh_text.parse(written(tmp_path, motion))
    steps = np.abs(np.diff(values[:, 3:], axis=0))
    # a wrong branch or a missed turn is a step of 180 or 360 degrees; near gimbal lock the outer angles do run fast
    assert steps.max() < 120
    assert np.mean(steps > 20) < 0.005
    again = formats.load(tmp_path / "a.bvh")
    assert 1000 * np.abs(again.joints - motion.joints).max() < 0.001


@pytest.mark.parametrize("scale", [100.0, 1.0, 1000.0])
def test_scale_is_read_back(scale, tmp_path):
    motion = sample_motion(1, 4)
    written(tmp_path, motion, scale=scale)
    again = formats.load(tmp_path / "a.bvh")
    assert 1000 * np.abs(again.joints - motion.joints).max() < 0.01
    exact = formats.load(tmp_path / "a.bvh", unit=1 / scale, up="y")
    np.testing.assert_allclose(exact.joints, again.joints, atol=1e-6)


def test_t_pose_frame_comes_first(tmp_path):
    motion = sample_motion(1, 4)
    written(tmp_path, motion, t_pose=True)
    again = formats.load(tmp_path / "a.bvh")
    assert again.num_frames == 5
    np.testing.assert_allclose(again.rotations_wxyz[0, 0, :, 0], 1, atol=1e-6)
    later = formats.load(tmp_path / "a.bvh", skip_frames=1)
    assert 1000 * np.abs(later.joints - motion.joints).max() < 0.001


def test_missing_frames_hold_the_last_pose(tmp_path):
    motion = sample_motion(2, 40)
    formats.save(motion, tmp_path / "a.bvh", person=2)
    again = formats.load(tmp_path / "a.bvh")
    np.testing.assert_allclose(again.joints[:5], np.tile(motion.joints[5, 1], (5, 1, 1, 1)), atol=1e-5)
    np.testing.assert_allclose(again.joints[-4:], np.tile(motion.joints[-5, 1], (4, 1, 1, 1)), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("MOTION", "MOVEMENT"), "MOTION"),
        (("10 0 0 0 0 90 90", "10 0 0"), "cut off"),
        (("10 0 0 0 0 90 90", "10 0 0 0 0 90 nan"), "not finite"),
        (("10 0 0 0 0 90 90", "10 0 0 0 0 90 90 7"), "more numbers"),
        (("CHANNELS 1 Xrotation", "CHANNELS 1 Wrotation"), "Wrotation"),
        (("Frame Time:\t.0333333", "Frame Time:\t0"), "positive"),
        (("    OFFSET 0 -50 0\n    CHANNELS", "    CHANNELS"), "OFFSET"),
        (("ROOT hips", "JOINT hips"), "ROOT"),
        (("Frames:\t2", "Frames:\t-2"), "no frames"),
    ],
)
def test_broken_bvh_says_what_is_wrong(change, message, tmp_path):
    assert change[0] in TINY
    (tmp_path / "broken.bvh").write_text(TINY.replace(*change))
    with pytest.raises(InputError, match=message):
        formats.load(tmp_path / "broken.bvh")


@pytest.mark.parametrize("height", [1.0, 1.3, 1.7, 2.1])
@pytest.mark.parametrize("unit", ["m", "cm", "mm", "cmu"])
def test_law_units_of_people_are_guessed(unit, height):
    rest = rest_offsets() * 0
    rest[3], rest[14] = (0, 0, 0), (0, height / UNITS[unit][0], 0)
    assert guess_unit(rest) == (unit, True)
    assert guess_up(rest) == "y"
    assert guess_up(rest[:, [0, 2, 1]]) == "z"


def test_unit_that_cannot_be_guessed_is_a_warning(tmp_path):
    written(tmp_path, sample_motion(1, 3), scale=1e5)
    motion = formats.load(tmp_path / "a.bvh")
    assert "no person in any usual unit" in motion.warnings[0]


@pytest.mark.parametrize(
    ("text", "fps"),
    [
        ("0.0083333", 120),
        (".0083333", 120),
        ("0.041667", 24),
        ("0.0333667", 29.97003),
        ("0.04", 25),
        ("0.033", 30),
    ],
)
def test_frame_times_are_roundings_of_rates(text, fps):
    assert bvh._rate(text) == pytest.approx(fps, abs=1e-4)
