"""People who walk to and fro, made by formula: small motions for tests of the report."""

import numpy as np

from posewright.skeletons.joint_sets import COCO_FEET_21, RIG_26
from posewright.structures.cameras import Camera
from posewright.structures.joint_angles import JointAngles
from posewright.structures.keypoints import Keypoints2D
from posewright.structures.motion import Motion

SIZE = (320, 240)
_STANDING = {
    "pelvis": (0, 0, 0.95),
    "right_hip": (-0.09, 0, 0.92),
    "right_knee": (-0.1, -0.02, 0.5),
    "right_ankle": (-0.1, 0.02, 0.09),
    "right_heel": (-0.1, 0.07, 0.0),
    "right_toe": (-0.11, -0.16, 0.0),
    "spine": (0, 0, 1.2),
    "thorax": (0, 0, 1.45),
    "neck": (0, -0.02, 1.54),
    "head": (0, -0.03, 1.75),
    "nose": (0, -0.14, 1.63),
    "right_ear": (-0.08, -0.02, 1.64),
    "right_clavicle": (-0.03, 0, 1.44),
    "right_shoulder": (-0.18, 0, 1.43),
    "right_elbow": (-0.25, 0.02, 1.15),
    "right_wrist": (-0.26, -0.08, 0.91),
}


def walking(frames: int = 40, people: int = 2, fps: float = 20.0, **changes) -> Motion:
    """People side by side who swing arms and legs; the second leaves at half time."""
    joints = np.repeat(_standing()[None, None], frames, 0).repeat(people, 1)
    phase = 2 * np.pi * np.arange(frames) / fps
    for p in range(people):
        joints[:, p, :, 0] += 1.2 * (p - (people - 1) / 2)
        joints[:, p, :, 1] -= 0.5 * np.sin(phase / 8)[:, None]
        for names, swing in (
            (("left_ankle", "left_heel", "left_toe", "right_wrist"), 0.22),
            (("left_knee",), 0.1),
        ):
            joints[:, p, RIG_26.indices(*names), 1] += swing * np.sin(phase + p)[:, None]
    rng = np.random.default_rng(0)
    confidence = np.full(joints.shape[:3], 0.9)
    if people > 1:
        joints[frames // 2 :, 1] = np.nan
        confidence[frames // 2 :, 1] = 0
    values = {
        "joints_raw": (joints + rng.normal(0, 0.01, joints.shape)).astype(np.float32),
        "contacts": np.broadcast_to((np.sin(phase) > 0)[:, None, None], (frames, people, 2)),
        "keypoints": filmed(joints, fps),
        "camera": camera(),
        "start_time": 1.5,
        "source": "walk.mp4",
        "warnings": ("Person 2 leaves the picture at 2.5 s.", "The focal length is assumed."),
        "history": ("detect: formula", "lift: formula"),
    }
    values["joints"] = joints.astype(np.float32)
    values["confidence"] = confidence.astype(np.float32)
    return Motion(skeleton=RIG_26, fps=fps, **(values | changes))


def walking_angles(motion: Motion) -> JointAngles:
    """Angles that are easy to tell apart, in the motion's frames and people."""
    t = np.arange(motion.num_frames)[:, None, None] / motion.fps
    names = (
        "pelvis_tx",
        "hip_flexion_r",
        "hip_flexion_l",
        "knee_angle_r",
        "knee_angle_l",
        "elbow_flex_r",
        "elbow_flex_l",
    )
    values = np.sin(t + np.arange(motion.num_people)[:, None] + 0.3 * np.arange(len(names)))
    return JointAngles(names, values, motion.fps, motion.person_ids, motion.start_time)


def camera() -> Camera:
    """Stands 5 m before the people (they face -Y), 1.2 m high, level."""
    R = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    K = np.array([[280.0, 0, 159.5], [0, 280, 119.5], [0, 0, 1]])
    return Camera(K, SIZE, R, -R @ np.array([0, -5.0, 1.2]))


def filmed(joints: np.ndarray, fps: float) -> Keypoints2D:
    """The joints as `camera` sees them; the eyes are taken at the nose."""
    sources = [name if name in RIG_26.joint_names else "nose" for name in COCO_FEET_21.joint_names]
    view = camera()
    seen = joints[:, :, RIG_26.indices(*sources)] @ view.R.T + view.t
    pixels = seen[..., :2] / seen[..., 2:] * view.K[0, 0] + view.K[:2, 2]
    confidence = np.where(np.isfinite(pixels).all(-1), 0.8, 0.0)
    return Keypoints2D(COCO_FEET_21, pixels.astype(np.float32), confidence.astype(np.float32), SIZE, fps)


def _standing() -> np.ndarray:
    """(26, 3) one person upright, facing -Y."""
    places = dict(_STANDING)
    for name, (x, y, z) in _STANDING.items():
        if name.startswith("right_"):
            places[name.replace("right_", "left_")] = (-x, y, z)
    return np.array([places[name] for name in RIG_26.joint_names], float)
