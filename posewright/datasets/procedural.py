"""A walking figure made by formula: motion to try things on where no recording is at hand.

It is no measurement of anybody: hips, knees, ankles, shoulders and elbows swing by sines whose amplitudes are those
of textbook gait (Winter, Biomechanics and Motor Control of Human Movement, 1990), the pelvis bobs twice a stride.
"""

import numpy as np
import torch

from posewright.geometry.kinematics import forward_kinematics
from posewright.geometry.rotations import matrix_to_quat_wxyz, rotvec_to_matrix
from posewright.skeletons.joint_sets import RIG_26
from posewright.structures.motion import Motion

_REST = {
    "right_hip": (-0.09, 0.0, -0.06),
    "right_knee": (0.0, 0.0, -0.43),
    "right_ankle": (0.0, 0.0, -0.42),
    "right_heel": (0.0, 0.05, -0.07),
    "right_toe": (0.0, -0.19, -0.07),
    "spine": (0.0, 0.0, 0.24),
    "thorax": (0.0, 0.0, 0.26),
    "neck": (0.0, -0.02, 0.10),
    "head": (0.0, 0.0, 0.20),
    "nose": (0.0, -0.11, 0.05),
    "right_ear": (-0.07, 0.0, 0.07),
    "right_clavicle": (-0.03, 0.0, -0.02),
    "right_shoulder": (-0.15, 0.0, 0.0),
    "right_elbow": (-0.29, 0.0, 0.0),
    "right_wrist": (-0.26, 0.0, 0.0),
}
"""Offset of each joint from its parent in the T-pose, metres, of a person 1.75 m tall; the left side mirrors it."""


def rest_offsets() -> np.ndarray:
    """(26, 3) T-pose offsets of the figure on `RIG_26`, metres."""
    offsets = np.zeros((len(RIG_26), 3))
    for name, offset in _REST.items():
        offsets[RIG_26.index(name)] = offset
        if name.startswith("right_"):
            offsets[RIG_26.index(name.replace("right_", "left_"))] = np.array(offset) * (-1, 1, 1)
    return offsets


def walk(seconds: float = 4.0, fps: float = 30.0, speed: float = 1.2, heading: float = 0.0) -> Motion:
    """Return the motion of one person who walks over the floor.

    Args:
        seconds: length; at least one frame is made.
        fps: frames per second.
        speed: metres per second.
        heading: radians, counter-clockwise seen from above; 0 walks towards -Y.
    """
    frames = max(1, round(seconds * fps))
    time = torch.arange(frames, dtype=torch.float64) / fps
    stride = 2 * np.pi * 0.9 * time
    rotvec = torch.zeros(frames, len(RIG_26), 3, dtype=torch.float64)
    for side, phase, out in (("left", 0.0, 1.0), ("right", np.pi, -1.0)):
        swing = torch.sin(stride + phase)
        lift = torch.sin(stride + phase + np.pi / 2).clamp_min(0.0)
        _turn(rotvec, f"{side}_hip", x=-0.40 * swing)
        _turn(rotvec, f"{side}_knee", x=0.10 + 0.95 * lift)
        _turn(rotvec, f"{side}_ankle", x=-0.05 - 0.25 * lift)
        _turn(rotvec, f"{side}_shoulder", y=out * 1.35 * torch.ones_like(time))
        _turn(rotvec, f"{side}_elbow", z=-out * (0.35 + 0.2 * swing))
    _turn(rotvec, "thorax", z=0.12 * torch.sin(stride))
    _turn(rotvec, "pelvis", z=heading * torch.ones_like(time))
    local = rotvec_to_matrix(rotvec)
    offsets = torch.from_numpy(rest_offsets())
    root = torch.zeros(frames, 3, dtype=torch.float64)
    root[:, 0], root[:, 1] = np.sin(heading) * speed * time, -np.cos(heading) * speed * time
    joints, _ = forward_kinematics(local, offsets.expand(frames, -1, -1), root, RIG_26.parents)
    feet = joints[:, RIG_26.indices("left_heel", "left_toe", "right_heel", "right_toe"), 2]
    joints[..., 2] -= feet.min(1).values[:, None]
    contacts = torch.stack([feet[:, :2].min(1).values, feet[:, 2:].min(1).values], 1) - feet.min() < 0.04
    return Motion(
        skeleton=RIG_26,
        joints=joints[:, None].float().numpy(),
        confidence=np.ones((frames, 1, len(RIG_26)), np.float32),
        fps=fps,
        rotations_wxyz=matrix_to_quat_wxyz(local)[:, None].float().numpy(),
        rest_offsets=offsets[None].float().numpy(),
        contacts=contacts[:, None].numpy(),
        source="walk by formula",
        history=(f"walk by formula: {seconds:g} s at {fps:g} frames/s, {speed:g} m/s",),
    )


def _turn(rotvec: torch.Tensor, joint: str, **angles: torch.Tensor) -> None:
    for axis, angle in angles.items():
        rotvec[:, RIG_26.index(joint), "xyz".index(axis)] = angle
