"""Scenes made by formula: a figure walks past a camera that is known exactly."""

import numpy as np

from posewright.datasets.procedural import walk
from posewright.skeletons.convert import convert
from posewright.skeletons.joint_sets import COCO_FEET_21
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D
from posewright.structures.motion import Motion

SIZE = (1280, 720)


def camera_at(distance: float = 5.0, height: float = 1.3, focal: float = 1100.0) -> Camera:
    """A level camera on the -Y side of the origin that looks along +Y."""
    K = np.array([[focal, 0, (SIZE[0] - 1) / 2], [0, focal, (SIZE[1] - 1) / 2], [0, 0, 1]])
    R = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    return Camera(K=K, image_size=SIZE, R=R, t=-R @ np.array([0.0, -distance, height]), focal_source="given")


def film(motion: Motion, camera: Camera, noise: float = 0.0) -> Keypoints2D:
    """Project a motion to the keypoints that the default lifter reads, in pixels."""
    joints, confidence, _ = convert(motion.joints, motion.confidence, motion.skeleton, COCO_FEET_21)
    seen = joints @ camera.R.T + camera.t
    pixels = (seen / seen[..., 2:]) @ camera.K.T
    pixels = pixels[..., :2] + np.random.default_rng(0).normal(0, noise, pixels[..., :2].shape)
    return Keypoints2D(
        skeleton=COCO_FEET_21,
        positions=pixels.astype(np.float32),
        confidence=confidence.astype(np.float32),
        image_size=SIZE,
        fps=motion.fps,
        history=("projected by a test",),
    )


def walking_keypoints(seconds: float = 2.0, fps: float = 30.0, heading: float = 1.2) -> Keypoints2D:
    """Keypoints of one person who walks across the picture."""
    return film(walk(seconds, fps, heading=heading), camera_at())
