"""What the formats that hold a rig (BVH, glTF, USD, AMC) share: posing it, and frames in which it is missing.

Convention: as `Motion`: local rotations wxyz, identity = the rest pose, offsets in metres, Z up.
"""

import numpy as np
import torch

from posewright.core.errors import InputError
from posewright.geometry.kinematics import forward_kinematics
from posewright.geometry.rotations import matrix_to_quat_wxyz, quat_wxyz_to_matrix
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.motion import Motion


def pose_joints(
    rotations_wxyz: np.ndarray, rest_offsets: np.ndarray, root: np.ndarray, parents: tuple[int, ...]
) -> np.ndarray:
    """Forward kinematics in double precision.

    Args:
        rotations_wxyz: (T, P, J, 4), local.
        rest_offsets: (P, J, 3) metres; the root's is 0.
        root: (T, P, 3) world positions of the root.
        parents: of each joint, -1 for the root.

    Returns:
        (T, P, J, 3) float32 world positions.
    """
    local = quats_to_matrices(rotations_wxyz)
    offsets = torch.from_numpy(np.broadcast_to(rest_offsets, (*local.shape[:-2], 3)).astype(np.float64))
    positions, _ = forward_kinematics(
        torch.from_numpy(local), offsets, torch.from_numpy(root.astype(np.float64)), parents
    )
    return positions.numpy().astype(np.float32)


def quats_to_matrices(rotations_wxyz: np.ndarray) -> np.ndarray:
    """(..., 4) wxyz to (..., 3, 3), float64."""
    return quat_wxyz_to_matrix(torch.from_numpy(rotations_wxyz.astype(np.float64))).numpy()


def matrices_to_quats(matrices: np.ndarray) -> np.ndarray:
    """(..., 3, 3) to (..., 4) wxyz, float64."""
    return matrix_to_quat_wxyz(torch.from_numpy(np.ascontiguousarray(matrices, np.float64))).numpy()


def rig_frames(motion: Motion, p: int) -> np.ndarray:
    """(T,) bool: frames in which person `p` has a root position and every rotation."""
    assert motion.rotations_wxyz is not None
    root = motion.joints[:, p, root_of(motion)]
    return np.asarray(np.isfinite(root).all(-1) & np.isfinite(motion.rotations_wxyz[:, p]).all((-1, -2)))


def root_of(motion: Motion) -> int:
    """Index of the root joint.

    Raises:
        InputError: the joint set is no rig: several roots, or children before parents.
    """
    skeleton = motion.skeleton
    roots = [j for j, p in enumerate(skeleton.parents) if p < 0]
    if len(roots) != 1:
        raise InputError(f"joint set {skeleton.name} has {len(roots)} roots; a rig has one")
    return roots[0]


def held_frames(present: np.ndarray, format_name: str) -> np.ndarray:
    """(T,) for each frame the one to show: itself, or the last present one before it, or the first.

    For formats that cannot say that a person is missing.

    Raises:
        InputError: the person is present in no frame.
    """
    if not present.any():
        raise InputError(f"this person is missing in every frame; a {format_name} file needs at least one")
    last = np.maximum.accumulate(np.where(present, np.arange(len(present)), -1))
    return np.where(last < 0, np.flatnonzero(present)[0], last)


def rest_positions(rest_offsets: np.ndarray, parents: tuple[int, ...]) -> np.ndarray:
    """(J, 3) positions of the rest pose with the root at the origin, from (J, 3) offsets."""
    identity = np.zeros((1, 1, len(parents), 4))
    identity[..., 0] = 1
    return pose_joints(identity, rest_offsets[None], np.zeros((1, 1, 3)), parents)[0, 0].astype(np.float64)


RIGID_WITHIN = 1e-4
"""Metres between joints as given and the forward kinematics of rigid bones, above which there are no
rotations."""


def motion_from_poses(
    skeleton: Skeleton, rest: np.ndarray, poses: np.ndarray, fps: float, present: np.ndarray | None = None
) -> Motion:
    """Make a motion of world matrices of joints, as programs with their own bone axes give them.

    A joint's rotation is how far it turned from its rest pose, so its own axes at rest do not matter. Where
    bones move within their parents by more than 0.1 mm, the motion keeps the exact positions, has no
    rotations, and says so.

    Args:
        skeleton: joint set of all people.
        rest: (P, J, 4, 4) rest pose, metres, Z up; even scale is allowed.
        poses: (T, P, J, 4, 4).
        fps: frames per second.
        present: (T, P) bool, or None: always.
    """
    parents = np.array(skeleton.parents)
    turn = _orthonormal(poses[..., :3, :3]) @ _orthonormal(rest[..., :3, :3]).swapaxes(-1, -2)
    above = np.where(parents[:, None, None] < 0, np.eye(3), turn[..., parents, :, :])
    quats = matrices_to_quats(above.swapaxes(-1, -2) @ turn).astype(np.float32)
    joints, stand = poses[..., :3, 3], rest[..., :3, 3]
    offsets = np.where(parents[:, None] < 0, 0.0, stand - stand[:, parents]).astype(np.float32)
    posed = pose_joints(quats, offsets, joints[..., skeleton.parents.index(-1), :], skeleton.parents)
    loose = float(np.abs(posed - joints).max())
    rigid = loose <= RIGID_WITHIN
    joints = posed if rigid else joints.astype(np.float32)
    if present is not None:
        joints = np.where(present[..., None, None], joints, np.nan)
        quats = np.where(present[..., None, None], quats, np.nan)
    warning = (
        f"Bones of this file move within their parents by up to {1000 * loose:.1f} mm, so it is read as positions "
        "without rotations."
    )
    return Motion(
        skeleton=skeleton,
        joints=joints,
        confidence=np.asarray(np.isfinite(joints).all(-1), np.float32),
        fps=fps,
        rotations_wxyz=quats if rigid else None,
        rest_offsets=offsets if rigid else None,
        warnings=() if rigid else (warning,),
    )


def _orthonormal(matrices: np.ndarray) -> np.ndarray:
    """Rotation part of matrices that may also scale, evenly.

    Raises:
        InputError: scaled to nothing.
    """
    scale = np.linalg.norm(matrices, axis=-2, keepdims=True)
    if not (scale > 1e-12).all():
        raise InputError("a joint is scaled to nothing")
    return matrices / scale
