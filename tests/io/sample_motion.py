"""A motion made by forward kinematics from smooth random rotations: what the format tests write and read
back."""

import numpy as np
import torch

from posewright.geometry.rotations import rotvec_to_quat_wxyz
from posewright.io.rig import pose_joints
from posewright.skeletons.joint_sets import RIG_26
from posewright.structures.cameras import Camera
from posewright.structures.joint_angles import JointAngles
from posewright.structures.keypoints import Keypoints2D
from posewright.structures.motion import Motion

REST = {
    "pelvis": (0, 0, 0),
    "right_hip": (-0.09, 0, -0.05),
    "right_knee": (0, 0, -0.42),
    "right_ankle": (0, 0, -0.41),
    "right_heel": (0, 0.05, -0.07),
    "right_toe": (0, -0.19, -0.08),
    "spine": (0, 0.01, 0.22),
    "thorax": (0, 0.01, 0.24),
    "neck": (0, -0.02, 0.1),
    "head": (0, 0, 0.2),
    "nose": (0, -0.11, 0.03),
    "right_ear": (-0.075, 0, 0.05),
    "right_clavicle": (-0.02, -0.01, -0.03),
    "right_shoulder": (-0.16, 0.01, 0.01),
    "right_elbow": (-0.28, 0, 0),
    "right_wrist": (-0.25, 0, 0),
}
"""Right half of a T-pose facing -Y, metres, offsets from the parents."""


def rest_offsets(scale: float = 1.0) -> np.ndarray:
    """(26, 3) T-pose of RIG_26."""
    rows = []
    for name in RIG_26.joint_names:
        offset = np.array(REST[name.replace("left_", "right_")], float)
        rows.append(offset * (-1, 1, 1) if name.startswith("left_") else offset)
    return scale * np.array(rows)


def sample_motion(people: int = 2, frames: int = 40, fps: float = 30.0, seed: int = 0) -> Motion:
    """People of different size turning, walking and waving wildly; the second enters late and leaves
    early."""
    rng = np.random.default_rng(seed)
    J = len(RIG_26)
    t = np.arange(frames)[:, None, None, None] / fps
    waves = rng.normal(0, 0.35, (3, people, J, 3))
    phases = rng.uniform(0, 2 * np.pi, (3, people, J, 3))
    speeds = 2 * np.pi * np.array([0.3, 0.7, 1.3])[:, None, None, None]
    rotvec = sum(w * np.sin(s * t + p) for w, s, p in zip(waves, speeds, phases, strict=True))
    rotvec[:, :, 0, 2] += 2.5 * t[:, 0, 0] * np.where(np.arange(people) % 2, -1, 1)
    quats = rotvec_to_quat_wxyz(torch.from_numpy(rotvec)).numpy().astype(np.float32)
    rest = np.stack([rest_offsets(1 + 0.08 * p) for p in range(people)]).astype(np.float32)
    time = t[:, 0, :, 0]
    ids = np.arange(people)
    root = np.stack(
        [0.8 * time - ids, 0.3 * np.sin(2 * time) + ids, 0.93 + 0.05 * np.sin(9 * time) + 0 * ids], -1
    )
    joints = pose_joints(quats, rest, root, RIG_26.parents)
    if people > 1 and frames > 12:
        joints[:5, 1], quats[:5, 1] = np.nan, np.nan
        joints[-4:, 1], quats[-4:, 1] = np.nan, np.nan
    there = np.isfinite(joints).all(-1)
    return Motion(
        skeleton=RIG_26,
        joints=joints,
        confidence=np.where(there, rng.uniform(0.5, 1, there.shape), 0).astype(np.float32),
        fps=fps,
        joints_raw=joints + np.float32(0.01),
        rotations_wxyz=quats,
        rest_offsets=rest,
        contacts=rng.uniform(size=(frames, people, 2)) > 0.5,
        keypoints=_keypoints(frames, people, fps, rng),
        camera=Camera(
            np.array([[900.0, 0, 640], [0, 900, 360], [0, 0, 1]]), (1280, 720), t=np.array([0, 1, 4.0])
        ),
        start_time=1.5,
        source="clip ä.mp4",
        warnings=("person 2 leaves the picture",),
        history=("made by a test", "smoothed"),
    )


def _keypoints(frames: int, people: int, fps: float, rng: np.random.Generator) -> Keypoints2D:
    positions = rng.uniform(0, 700, (frames, people, len(RIG_26), 2)).astype(np.float32)
    positions[0, 0, 3] = np.nan
    confidence = np.isfinite(positions).all(-1).astype(np.float32)
    return Keypoints2D(RIG_26, positions, confidence, (1280, 720), fps, times=np.arange(frames) / fps)


def sample_angles(motion: Motion) -> JointAngles:
    """Joint angles with nothing to do with the motion but its frames and people."""
    names = ("pelvis_tilt", "pelvis_tx", "pelvis_ty", "hip_flexion_r", "knee_angle_l")
    t = np.arange(motion.num_frames)[:, None, None] / motion.fps
    n = np.arange(len(names)) + 1
    values = np.sin(n * t + np.arange(motion.num_people)[:, None])
    values[~motion.present()] = np.nan
    return JointAngles(names, values, motion.fps, motion.person_ids, motion.start_time)
