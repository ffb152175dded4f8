"""Fitted bodies as glTF 2.0 binary, `body.glb`: the skinned mesh of each person on the bones of the body.

Convention: as `io.glb`: metres, +Y up, facing +Z at rest, quaternions xyzw, one skin (`person1`, ...) per person, one
animation that turns joints and moves the roots, linear between frames, no keys where a person is missing. The nodes'
own pose is the zero pose of the body; the mesh is the person's shape before it is posed, and the inverse bind matrices
take it into each bone's frame, so that bones keep the fixed orientation that a pose is given in. Joints that no key
turns (fingers, toes, face) are bones all the same. `extras.posewright` names the body and its shape.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from posewright.core.files import atomic_path
from posewright.io.axes import quat_wxyz_z_up_to_y_up, z_up_to_y_up
from posewright.io.glb import COLOURS, empty_document, frame_runs
from posewright.io.glb_container import INDICES, VERTICES, Buffer
from posewright.io.user_files import expect
from posewright.structures.motion import Motion
from posewright.structures.motion_bodies import BodyRig, MotionBodies

TO_Y_UP = z_up_to_y_up(np.eye(3)).T
"""Takes columns with Z up to columns with Y up."""


def write(motion: Motion, rigs: Sequence[BodyRig], path: str | Path) -> None:
    """Write everybody's body.

    Args:
        motion: with `bodies`.
        rigs: one per person, as `bodies.rig.body_rig` makes them.
        path: the `.glb` file.

    Raises:
        InputError: the motion has no bodies or nobody.
    """
    expect(motion.bodies is not None, "the motion has no bodies: fit them first, with --body anny")
    assert motion.bodies is not None
    expect(motion.num_people > 0, "the motion has no people; a glTF file needs one")
    if len(rigs) != motion.num_people:
        raise ValueError(f"{len(rigs)} rigs for {motion.num_people} people, expected one each")
    buffer, document = Buffer(), empty_document(motion)
    for p, rig in enumerate(rigs):
        first = len(document["nodes"])
        frames = np.flatnonzero(motion.bodies.present()[:, p])
        _add_bones(document, buffer, motion, p, rig, frames)
        _add_mesh(document, buffer, f"person{motion.person_ids[p]}_body", rig, COLOURS[p % len(COLOURS)])
        if len(frames):
            times = buffer.add((frames / motion.fps).astype(np.float32), "SCALAR", bounds=True)
            _add_keys(document, buffer, motion.bodies, p, rig, frames, first, times)
    if not document["animations"][0]["channels"]:
        del document["animations"]
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.pack(document))


def _add_bones(
    document: dict, buffer: Buffer, motion: Motion, p: int, rig: BodyRig, frames: np.ndarray
) -> None:
    """Add one node per joint in the zero pose, their skin, and who it is."""
    first, parents = len(document["nodes"]), np.array(rig.parents)
    local = z_up_to_y_up(np.where(parents[:, None] < 0, rig.joints, rig.offsets))
    for j, name in enumerate(rig.joint_names):
        node = {"name": name, "translation": [float(v) for v in local[j]]}
        children = [first + int(c) for c in np.flatnonzero(parents == j)]
        document["nodes"].append(node | ({"children": children} if children else {}))
    person = f"person{motion.person_ids[p]}"
    document["nodes"].append({"name": person, "children": [first]})
    document["scenes"][0]["nodes"].append(len(document["nodes"]) - 1)
    document["skins"].append(
        {
            "name": person,
            "inverseBindMatrices": buffer.add(_matrices_y_up(rig.bind), "MAT4"),
            "skeleton": first,
            "joints": list(range(first, first + len(rig.joint_names))),
        }
    )
    body = {"model": rig.model, "shape": dict(rig.shape)}
    document["extras"]["posewright"]["people"].append(
        {"id": int(motion.person_ids[p]), "skeleton": rig.model, "present": frame_runs(frames), "body": body}
    )


def _matrices_y_up(matrices: np.ndarray) -> np.ndarray:
    """(N, 4, 4) float32, between frames with Z up, between the same with Y up."""
    out = matrices.astype(np.float64)
    out[:, :3, :3] = TO_Y_UP @ out[:, :3, :3] @ TO_Y_UP.T
    out[:, :3, 3] = z_up_to_y_up(out[:, :3, 3])
    return out.astype(np.float32)


def _add_mesh(document: dict, buffer: Buffer, name: str, rig: BodyRig, colour: Sequence[float]) -> None:
    """Add the skin of a person, its node and its colour."""
    material = {"baseColorFactor": [*colour, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.7}
    document["materials"].append({"name": name, "pbrMetallicRoughness": material})
    vertices = z_up_to_y_up(rig.vertices)
    wide = np.uint8 if len(rig.joint_names) < 256 else np.uint16
    attributes = {
        "POSITION": buffer.add(vertices.astype(np.float32), "VEC3", VERTICES, bounds=True),
        "NORMAL": buffer.add(vertex_normals(vertices, rig.faces), "VEC3", VERTICES),
        "JOINTS_0": buffer.add(rig.skin_joints.astype(wide), "VEC4", VERTICES),
        "WEIGHTS_0": buffer.add(rig.skin_weights.astype(np.float32), "VEC4", VERTICES),
    }
    index = np.uint16 if len(vertices) < 65535 else np.uint32
    indices = buffer.add(rig.faces.astype(index).reshape(-1), "SCALAR", INDICES)
    primitive = {"attributes": attributes, "indices": indices, "material": len(document["materials"]) - 1}
    document["meshes"].append({"name": name, "primitives": [primitive]})
    node = {"name": name, "mesh": len(document["meshes"]) - 1, "skin": len(document["skins"]) - 1}
    document["nodes"].append(node)
    document["scenes"][0]["nodes"].append(len(document["nodes"]) - 1)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) float32 unit normals of a mesh (V, 3), (F, 3): the mean of its faces', weighted by their area."""
    corners = vertices[faces].astype(np.float64)
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros((len(vertices), 3))
    for corner in range(3):
        np.add.at(normals, faces[:, corner], across)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.where(length > 0, normals / np.maximum(length, 1e-20), [0.0, 1.0, 0.0]).astype(np.float32)


def _add_keys(
    document: dict,
    buffer: Buffer,
    bodies: MotionBodies,
    p: int,
    rig: BodyRig,
    frames: np.ndarray,
    first: int,
    times: int,
) -> None:
    """Add keys for the place of the root and the turns of the joints that turn."""
    place = z_up_to_y_up(bodies.transl[frames, p] + rig.joints[0])
    _add_channel(document, times, buffer.add(place.astype(np.float32), "VEC3"), first, "translation")
    for a, name in enumerate(bodies.joint_names):
        turns = quat_wxyz_z_up_to_y_up(bodies.rotations_wxyz[frames, p, a].astype(np.float64))
        turns /= np.linalg.norm(turns, axis=-1, keepdims=True)
        keys = buffer.add(np.ascontiguousarray(turns[:, [1, 2, 3, 0]], np.float32), "VEC4")
        _add_channel(document, times, keys, first + rig.joint_names.index(name), "rotation")


def _add_channel(document: dict, times: int, values: int, node: int, path: str) -> None:
    animation = document["animations"][0]
    animation["samplers"].append({"input": times, "output": values, "interpolation": "LINEAR"})
    target = {"node": node, "path": path}
    animation["channels"].append({"sampler": len(animation["samplers"]) - 1, "target": target})
