"""Made-up bodies in a motion: two people of a body with six bones, and where its vertices are, written out."""

import numpy as np
import torch

from posewright.geometry.rotations import (
    continuous_quat_wxyz,
    quat_wxyz_to_matrix,
    rotvec_to_matrix,
    rotvec_to_quat_wxyz,
)
from posewright.structures.motion_bodies import BodyRig, MotionBodies
from tests.io.sample_motion import sample_motion

PARENTS = (-1, 0, 1, 1, 0, 4)
NAMES = ("root", "spine.01", "arm.L", "arm.R", "leg.L", "toe.L")
TURNING = ("root", "spine.01", "arm.R", "leg.L")


def made_rig(seed: int) -> BodyRig:
    """Random mesh, bones that lie askew, weights of up to four joints."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 1, (40, 4)).astype(np.float32)
    weights[::3, 2:] = 0
    weights /= weights.sum(1, keepdims=True)
    weights[:, 0] = 1 - weights[:, 1:].sum(1)
    bind = np.tile(np.eye(4, dtype=np.float32), (6, 1, 1))
    bind[:, :3, :3] = rotvec_to_matrix(torch.from_numpy(rng.normal(0, 0.5, (6, 3)))).numpy()
    bind[:, :3, 3] = rng.normal(0, 0.5, (6, 3))
    joints = rng.integers(0, 6, (40, 4))
    return BodyRig(
        model="made",
        shape=(("height", 0.25 * seed), ("weight", 0.5)),
        joint_names=NAMES,
        parents=PARENTS,
        joints=rng.normal(0, 0.4, (6, 3)).astype(np.float32),
        vertices=rng.normal(0, 0.5, (40, 3)).astype(np.float32),
        faces=rng.integers(0, 40, (60, 3)).astype(np.int32),
        skin_joints=np.where(weights > 0, joints, 0).astype(np.uint8),
        skin_weights=weights,
        bind=bind,
    )


def made_motion(frames: int = 20, people: int = 2):
    """A motion with bodies, of which the second comes late and leaves early, and the rigs of its people."""
    motion = sample_motion(people, frames)
    rng = np.random.default_rng(3)
    t = np.arange(frames)[:, None, None, None] / motion.fps
    turns = rng.normal(0, 0.8, (people, 4, 3)) * np.sin(3 * t + rng.uniform(0, 6, (people, 4, 3)))
    quats = continuous_quat_wxyz(rotvec_to_quat_wxyz(torch.from_numpy(turns))).numpy().astype(np.float32)
    place = rng.normal(0, 1, (people, 3)) + 0.5 * np.sin(t[:, 0])
    there = motion.present()
    bodies = MotionBodies(
        model="made",
        shape_names=("height", "weight"),
        joint_names=TURNING,
        betas=np.array([[0.25 * p, 0.5] for p in range(people)], np.float32),
        rotations_wxyz=np.where(there[..., None, None], quats, np.nan).astype(np.float32),
        transl=np.where(there[..., None], place, np.nan).astype(np.float32),
    )
    return motion.noted("bodies made", bodies=bodies), [made_rig(p) for p in range(people)]


def posed(rig: BodyRig, bodies: MotionBodies, p: int, t: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3), joints (J, 3) and world rotations (J, 3, 3) of one person in one frame, joint by joint."""
    turns = quat_wxyz_to_matrix(torch.from_numpy(bodies.rotations_wxyz[t, p].astype(float))).numpy()
    local = {name: turns[a] for a, name in enumerate(bodies.joint_names)}
    R, place = np.zeros((len(rig.parents), 3, 3)), np.zeros((len(rig.parents), 3))
    for j, parent in enumerate(rig.parents):
        own = local.get(rig.joint_names[j], np.eye(3))
        if parent < 0:
            R[j], place[j] = own, rig.joints[j] + bodies.transl[t, p]
        else:
            R[j] = R[parent] @ own
            place[j] = place[parent] + R[parent] @ (rig.joints[j].astype(float) - rig.joints[parent])
    out = np.zeros((len(rig.vertices), 3))
    for v, vertex in enumerate(rig.vertices.astype(float)):
        for joint, weight in zip(rig.skin_joints[v], rig.skin_weights[v], strict=True):
            inside = rig.bind[joint, :3, :3].astype(float) @ vertex + rig.bind[joint, :3, 3]
            out[v] += weight * (R[joint] @ inside + place[joint])
    return out, place, R
