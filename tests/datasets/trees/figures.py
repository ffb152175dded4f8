"""What the fabricated trees are made of: a walking figure, and cameras around it."""

import numpy as np
import torch

from posewright.datasets.procedural import walk
from posewright.geometry.cameras import look_at, project_world
from posewright.skeletons import joint_sets
from posewright.skeletons.convert import convert


def figure(skeleton: str, frames: int = 12, fps: float = 30.0) -> np.ndarray:
    """(T, J, 3) metres, Z up: somebody who walks towards -Y, left along +X; joints it lacks are their parent's."""
    motion = walk(frames / fps, fps)
    target = joint_sets.get(skeleton)
    joints = convert(motion.joints, motion.confidence, motion.skeleton, target)[0][:, 0].astype(np.float64)
    for j, parent in enumerate(target.parents):
        lost = np.isnan(joints[:, j])
        joints[:, j] = np.where(lost, joints[:, max(parent, 0)] + 0.01, joints[:, j])
    assert np.isfinite(joints).all(), f"{skeleton}: {target.joint_names}"
    return joints


def camera(azimuth: float, size: tuple[int, int], focal: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K, R and t of a camera 5 m from the origin that looks at it."""
    eye = torch.tensor([5 * np.sin(azimuth), -5 * np.cos(azimuth), 1.5], dtype=torch.float64)
    R, t = look_at(eye, torch.tensor([0.0, 0.0, 0.9], dtype=torch.float64))
    K = np.array([[focal, 0, size[0] / 2 + 7], [0, focal, size[1] / 2 - 5], [0, 0, 1]])
    return K, R.numpy(), t.numpy()


def picture(
    joints: np.ndarray, K: np.ndarray, R: np.ndarray, t: np.ndarray, distortion=(0.0,) * 5
) -> np.ndarray:
    """(T, J, 2) pixels."""
    tensors = (torch.from_numpy(np.asarray(x, np.float64)) for x in (joints, R, t, K, distortion))
    return project_world(*tensors).numpy()


def boxed(value) -> np.ndarray:
    """An array of one object, as `np.savez` makes of a dictionary."""
    out = np.empty((), object)
    out[()] = value
    return out
