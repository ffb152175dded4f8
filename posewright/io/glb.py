"""glTF 2.0 binary, `.glb`: rigs with a simple skin, several people, for browsers, Blender, engines.

Convention when writing: metres, +Y up, facing +Z at rest, left = +X, quaternions xyzw, seconds from the first
frame. One skin per person (`person1`, ...) with one node per joint under its name; the nodes' own pose is the
T-pose standing on the ground; one animation turns the joints and moves the roots, linearly between frames. In
frames in which a person is missing there are no keys, so viewers hold the pose or pass smoothly over;
`extras.posewright` says which frames those are, and keeps frame rate, start time, person numbers, warnings
and history, so that `read` gives them back.

Convention when reading: the nodes' own pose is the rest pose; other files' frame rate is that of their keys.
"""

from pathlib import Path

import numpy as np
import torch

from posewright.core.files import atomic_path
from posewright.geometry.rotations import continuous_quat_wxyz
from posewright.io.axes import quat_wxyz_z_up_to_y_up, z_up_to_y_up
from posewright.io.capsules import capsule_skin
from posewright.io.glb_container import INDICES, VERTICES, Buffer, unpack
from posewright.io.glb_onto import animated
from posewright.io.glb_read import motion_of_document
from posewright.io.people import one_person, require_rotations, select_person
from posewright.io.rig import rest_positions, rig_frames, root_of
from posewright.io.user_files import expect, reading
from posewright.structures.motion import Motion

SUFFIXES = (".glb",)
COLOURS = ((0.25, 0.5, 0.85), (0.95, 0.55, 0.2), (0.3, 0.7, 0.4), (0.75, 0.4, 0.75), (0.85, 0.75, 0.25))
"""Of the people in turn, linear RGB."""


def write(
    motion: Motion,
    path: str | Path,
    *,
    person: int | None = None,
    skin: bool = True,
    onto: str | Path | None = None,
) -> None:
    """Write all people, or one.

    Args:
        motion: with rotations and rest offsets.
        path: the `.glb` file.
        person: whom; None writes everybody.
        skin: give each rig a simple body; without it, only programs that show bones show anything.
        onto: a character's `.glb` file: it is written again, with the motion (one person, retargeted to it) as its
            first animation.
    """
    motion = select_person(motion, person)
    if onto is not None:
        motion = one_person(motion, None, "character's glTF")
        with reading(onto, "glTF binary (.glb)") as character:
            require_rotations(motion, "glTF")
            data = animated(motion, character.read_bytes())
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
        return
    require_rotations(motion, "glTF")
    expect(motion.num_people > 0, "the motion has no people; a glTF file needs one")
    buffer, document = Buffer(), empty_document(motion)
    for p in range(motion.num_people):
        first = len(document["nodes"])
        _add_rig(document, buffer, motion, p)
        if skin:
            _add_skin(document, buffer, motion, p, first)
        _add_animation(document, buffer, motion, p, first)
    if not document["animations"][0]["channels"]:
        del document["animations"]
    if not skin:
        del document["meshes"], document["materials"]
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.pack(document))


def empty_document(motion: Motion) -> dict:
    """A glTF document without people, and what `extras` keep of a motion."""
    return {
        "asset": {"version": "2.0", "generator": "posewright"},
        "scene": 0,
        "scenes": [{"name": "motion", "nodes": []}],
        "nodes": [],
        "skins": [],
        "meshes": [],
        "materials": [],
        "animations": [{"name": "motion", "samplers": [], "channels": []}],
        "extras": {
            "posewright": {
                "version": 1,
                "fps": float(motion.fps),
                "num_frames": motion.num_frames,
                "start_time": float(motion.start_time),
                "source": motion.source,
                "warnings": list(motion.warnings),
                "history": list(motion.history),
                "people": [],
            }
        },
    }


def _add_rig(document: dict, buffer: Buffer, motion: Motion, p: int) -> None:
    """Add one node per joint in T-pose, their skin, and who it is."""
    assert motion.rest_offsets is not None
    parents, first = motion.skeleton.parents, len(document["nodes"])
    offsets = motion.rest_offsets[p].astype(np.float64)
    rest = _standing(offsets, parents)
    local = z_up_to_y_up(np.where(np.array(parents)[:, None] < 0, rest, offsets))
    for j, name in enumerate(motion.skeleton.joint_names):
        node = {"name": name, "translation": [float(v) for v in local[j]]}
        children = [first + c for c, parent in enumerate(parents) if parent == j]
        document["nodes"].append(node | ({"children": children} if children else {}))
    inverse_bind = np.tile(np.eye(4, dtype=np.float32), (len(parents), 1, 1))
    inverse_bind[:, :3, 3] = -z_up_to_y_up(rest)
    person, root = f"person{motion.person_ids[p]}", first + root_of(motion)
    document["nodes"].append({"name": person, "children": [root]})
    document["scenes"][0]["nodes"].append(len(document["nodes"]) - 1)
    document["skins"].append(
        {
            "name": person,
            "inverseBindMatrices": buffer.add(inverse_bind, "MAT4"),
            "skeleton": root,
            "joints": list(range(first, first + len(parents))),
        }
    )
    present = np.flatnonzero(rig_frames(motion, p))
    document["extras"]["posewright"]["people"].append(
        {"id": int(motion.person_ids[p]), "skeleton": motion.skeleton.name, "present": frame_runs(present)}
    )


def _standing(offsets: np.ndarray, parents: tuple[int, ...]) -> np.ndarray:
    """(J, 3) rest pose, Z up, lowest joint on the ground under the root at x = y = 0."""
    rest = rest_positions(offsets, parents)
    return rest - [0, 0, rest[:, 2].min()]


def frame_runs(frames: np.ndarray) -> list[list[int]]:
    """Frame numbers as [first, last] runs."""
    runs = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1) if len(frames) else []
    return [[int(run[0]), int(run[-1])] for run in runs]


def _add_skin(document: dict, buffer: Buffer, motion: Motion, p: int, first: int) -> None:
    """Add the capsule body of a person and its node."""
    assert motion.rest_offsets is not None
    skeleton = motion.skeleton
    rest = z_up_to_y_up(_standing(motion.rest_offsets[p].astype(np.float64), skeleton.parents))
    mesh = capsule_skin(rest, skeleton.joint_names, skeleton.parents)
    joints = np.zeros((len(mesh.joints), 4), np.uint8 if len(skeleton) < 256 else np.uint16)
    joints[:, 0] = mesh.joints
    weights = np.zeros((len(joints), 4), np.float32)
    weights[:, 0] = 1
    name = f"person{motion.person_ids[p]}_body"
    colour = COLOURS[p % len(COLOURS)]
    document["materials"].append(
        {
            "name": name,
            "pbrMetallicRoughness": {
                "baseColorFactor": [*colour, 1.0],
                "metallicFactor": 0.0,
                "roughnessFactor": 0.7,
            },
        }
    )
    attributes = {
        "POSITION": buffer.add(mesh.positions, "VEC3", VERTICES, bounds=True),
        "NORMAL": buffer.add(mesh.normals, "VEC3", VERTICES),
        "JOINTS_0": buffer.add(joints, "VEC4", VERTICES),
        "WEIGHTS_0": buffer.add(weights, "VEC4", VERTICES),
    }
    indices = buffer.add(mesh.triangles.reshape(-1), "SCALAR", INDICES)
    primitive = {"attributes": attributes, "indices": indices, "material": len(document["materials"]) - 1}
    document["meshes"].append({"name": name, "primitives": [primitive]})
    document["nodes"].append(
        {"name": name, "mesh": len(document["meshes"]) - 1, "skin": len(document["skins"]) - 1}
    )
    document["scenes"][0]["nodes"].append(len(document["nodes"]) - 1)


def _add_animation(document: dict, buffer: Buffer, motion: Motion, p: int, first: int) -> None:
    """Add keys for the place of the root and the turns of joints, where the person is there."""
    assert motion.rotations_wxyz is not None
    frames, root = np.flatnonzero(rig_frames(motion, p)), root_of(motion)
    if not len(frames):
        return
    times = buffer.add((frames / motion.fps).astype(np.float32), "SCALAR", bounds=True)
    turns = quat_wxyz_z_up_to_y_up(motion.rotations_wxyz[frames, p].astype(np.float64))
    turns = continuous_quat_wxyz(
        torch.from_numpy(turns / np.linalg.norm(turns, axis=-1, keepdims=True))
    ).numpy()
    keys = {(root, "translation"): (z_up_to_y_up(motion.joints[frames, p, root]), "VEC3")}
    for j in range(len(motion.skeleton)):
        if (np.abs(turns[:, j, 1:]) > 0).any():
            keys[j, "rotation"] = (turns[:, j][:, [1, 2, 3, 0]], "VEC4")
    animation = document["animations"][0]
    for (joint, path), (values, kind) in keys.items():
        output = buffer.add(np.ascontiguousarray(values, np.float32), kind)
        animation["samplers"].append({"input": times, "output": output, "interpolation": "LINEAR"})
        target = {"node": first + joint, "path": path}
        animation["channels"].append({"sampler": len(animation["samplers"]) - 1, "target": target})


def read(path: str | Path, *, fps: float | None = None) -> Motion:
    """Read the first animation of all skins (one person each) of a file.

    Args:
        path: the `.glb` file.
        fps: frames per second to sample at; None takes our own note, else the spacing of the keys.

    Raises:
        InputError: absent, cut off, not glTF, or without a skin.
    """
    with reading(path, "glTF binary (.glb)") as path:
        return motion_of_document(*unpack(path.read_bytes()), path.name, fps)
