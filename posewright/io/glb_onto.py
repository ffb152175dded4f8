"""Put a motion on a user's own character: the `.glb` file as it is, with one more animation.

Mesh, materials, textures and the bones' own axes stay; the new animation, called `motion`, comes first, because
viewers play the first one. The motion must have the character's joints (`motion.retarget` makes it so).
"""

import numpy as np
import torch

from posewright.geometry.rotations import continuous_quat_wxyz
from posewright.io.axes import quat_wxyz_z_up_to_y_up, z_up_to_y_up
from posewright.io.glb_container import Buffer, unpack
from posewright.io.glb_read import global_pose, node_parents, person_joints
from posewright.io.rig import matrices_to_quats, quats_to_matrices, rig_frames, root_of
from posewright.io.user_files import expect
from posewright.structures.motion import Motion


def animated(motion: Motion, character: bytes) -> bytes:
    """Return the bytes of a character's file with one person's motion as its first animation.

    Args:
        motion: one person, on the character's joints.
        character: the `.glb` file.
    """
    document, binary = unpack(character)
    nodes = document.get("nodes", [])
    parents = node_parents(nodes)
    skeleton, people = person_joints(document, nodes, parents, "character")
    expect(
        skeleton.joint_names == motion.skeleton.joint_names,
        f"the motion has the joints of {motion.skeleton.name}, the character others: retarget the motion to it first",
    )
    frames = np.flatnonzero(rig_frames(motion, 0))
    expect(len(frames) > 0, "this person is missing in every frame")
    rest = global_pose(nodes, parents, {}, np.zeros(1))[0]
    keys = _keys(motion, frames, rest, people[0], parents)
    for node, path in keys:  # a fixed matrix may not be animated
        _as_parts(nodes[node])
        nodes[node].setdefault(path, [0, 0, 0, 1] if path == "rotation" else [0, 0, 0])
    return _with_animation(document, binary, frames / motion.fps, keys)


def _keys(
    motion: Motion, frames: np.ndarray, rest: np.ndarray, joints: list[int], parents: list[int]
) -> dict[tuple[int, str], np.ndarray]:
    """(node, path) -> values of local rotations xyzw and of the root's translation, in the file's nodes."""
    assert motion.rotations_wxyz is not None
    local = quats_to_matrices(quat_wxyz_z_up_to_y_up(motion.rotations_wxyz[frames, 0].astype(np.float64)))
    axes = rest[:, :3, :3] / np.linalg.norm(rest[:, :3, :3], axis=1, keepdims=True)
    keys: dict[tuple[int, str], np.ndarray] = {}
    for j, node in enumerate(joints):
        above = axes[parents[node]] if parents[node] >= 0 else np.eye(3)
        quats = torch.from_numpy(matrices_to_quats(above.T @ local[:, j] @ axes[node]))
        keys[node, "rotation"] = continuous_quat_wxyz(quats).numpy()[:, [1, 2, 3, 0]]
    root = joints[root_of(motion)]
    inverse = np.linalg.inv(rest[parents[root]]) if parents[root] >= 0 else np.eye(4)
    place = z_up_to_y_up(motion.joints[frames, 0, root_of(motion)].astype(np.float64))
    keys[root, "translation"] = place @ inverse[:3, :3].T + inverse[:3, 3]
    return keys


def _as_parts(node: dict) -> None:
    """Replace a node's matrix by translation, rotation and scale."""
    if "matrix" not in node:
        return
    matrix = np.array(node.pop("matrix"), float).reshape(4, 4).T
    scale = np.linalg.norm(matrix[:3, :3], axis=0)
    w, x, y, z = matrices_to_quats((matrix[:3, :3] / scale)[None])[0].tolist()
    node |= {"translation": matrix[:3, 3].tolist(), "rotation": [x, y, z, w], "scale": scale.tolist()}


def _with_animation(document: dict, binary: bytes, seconds: np.ndarray, keys: dict) -> bytes:
    """Append the arrays to the file's buffer and put the animation first."""
    buffer = Buffer(binary, document.get("bufferViews", []), document.get("accessors", []))
    times = buffer.add(seconds.astype(np.float32), "SCALAR", bounds=True)
    samplers, channels = [], []
    for (node, path), values in keys.items():
        kind = "VEC4" if path == "rotation" else "VEC3"
        output = buffer.add(np.ascontiguousarray(values, np.float32), kind)
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": path}})
        samplers.append({"input": times, "output": output, "interpolation": "LINEAR"})
    animation = {"name": "motion", "samplers": samplers, "channels": channels}
    if isinstance(document.get("extras"), dict):
        document["extras"].pop("posewright", None)  # what we noted there is about another motion
    document["animations"] = [animation, *document.get("animations", [])]
    return buffer.pack(document)
