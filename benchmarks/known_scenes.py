"""Scenes with known answers: recorded motion seen by a camera whose place is known."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from posewright.datasets.anatomy import BODY_26, with_anatomy
from posewright.datasets.mocap import read_mocap_file
from posewright.skeletons.joint_sets import BODY_24
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D, Keypoints3D


@lru_cache(maxsize=8)
def recorded(folder: Path, file: str, sequence: int) -> tuple[np.ndarray, float]:
    """BODY_24 joints (T, 24, 3) of one recorded take, metres, Z up, floor about z = 0, and its rate."""
    take = read_mocap_file(folder / "mocap" / file)[sequence]
    zero = torch.zeros(len(take.joints))
    joints = with_anatomy(torch.from_numpy(take.joints), zero, zero).numpy()
    return joints[:, [BODY_26.index(j) for j in BODY_24.joint_names]].astype(float), take.fps


def look(
    pitch: float = 12.0, roll: float = 0.0, height: float = 1.6, focal: float = 1100.0, heading: float = 0.0
) -> Camera:
    """A camera above the world's origin; degrees, pitch positive looks down, heading from +Y towards -X."""
    p, r, h = np.radians([pitch, roll, heading])
    forward = np.array([-np.sin(h) * np.cos(p), np.cos(h) * np.cos(p), -np.sin(p)])
    right = np.array([np.cos(h), np.sin(h), 0.0])
    down = np.cross(forward, right)
    R = np.stack([np.cos(r) * right + np.sin(r) * down, np.cos(r) * down - np.sin(r) * right, forward])
    K = np.array([[focal, 0, 639.5], [0, focal, 359.5], [0, 0, 1.0]])
    return Camera(K=K, image_size=(1280, 720), R=R, t=-R @ np.array([0, 0, height]), focal_source="given")


@dataclass(frozen=True)
class Scene:
    """What a perfect lifter would return, and the truth."""

    relative: Keypoints3D
    keypoints: Keypoints2D
    camera: Camera
    """The camera as the pipeline knows it: intrinsics only."""
    true_camera: Camera
    world: np.ndarray
    """(T, P, 24, 3) metres."""
    camera_joints: np.ndarray
    """(T, P, 24, 3) metres."""


def film(world: np.ndarray, camera: Camera, fps: float, noise_px: float = 0.0, seed: int = 0) -> Scene:
    """Project people (T, P, 24, 3) into the camera; relative joints are exact."""
    seen = world @ camera.R.T + camera.t
    pixels = seen @ camera.K.T
    pixels = pixels[..., :2] / pixels[..., 2:]
    pixels = pixels + noise_px * np.random.default_rng(seed).standard_normal(pixels.shape)
    sure = np.isfinite(world).all(-1).astype(np.float32)
    keypoints = Keypoints2D(BODY_24, pixels.astype(np.float32), sure, camera.image_size, fps)
    relative = Keypoints3D(BODY_24, (seen - seen[:, :, :1]).astype(np.float32), sure, fps)
    plain = Camera(K=camera.K, image_size=camera.image_size, focal_source=camera.focal_source)
    return Scene(relative, keypoints, plain, camera, world, seen)


def placed(joints: np.ndarray, at: tuple[float, float], turn: float = 0.0) -> np.ndarray:
    """Turn a take (T, 24, 3) about the vertical (degrees) and put its first pelvis over a point of the floor."""
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    turned = (joints - joints[0, 0] * [1, 1, 0]) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T
    return turned + [*at, 0]
