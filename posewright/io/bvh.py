"""Biovision hierarchy, `.bvh`: the rig and its rotations, one person, for Blender, MotionBuilder, Maya...

Convention when writing: Y up, facing +Z at rest, left = +X, **centimetres** (`scale` file units per metre),
rest pose = T-pose without rest rotations, root channels `Xposition Yposition Zposition Zrotation Xrotation
Yrotation`, joints `Zrotation Xrotation Yrotation`, degrees, R = Rz Rx Ry, continuous over time, exact frame
time. Leaves have an end site. A BVH cannot say that a person is missing: such frames repeat the last pose
before them. Units, start time, confidence and cameras are not in the file.

Convention when reading: each joint's rotation channels are multiplied in the order written; a root stands at
OFFSET + channels; position channels of another joint replace its OFFSET. Units and up axis are guessed from
the size and direction of the rest pose unless given (`guess_units`), and the guess is noted in the history.
End sites become joints called `<parent>_end`, except in files with our own joint sets.
"""

from pathlib import Path

import numpy as np
import torch

from posewright.core.files import atomic_path
from posewright.geometry.kinematics import forward_kinematics
from posewright.geometry.rotations import axis_rotation, euler_to_matrix, matrix_to_euler, unwrap_euler
from posewright.io import bvh_text
from posewright.io.axes import (
    from_z_up,
    quat_wxyz_y_up_to_z_up,
    quat_wxyz_z_up_to_y_up,
    to_z_up,
    z_up_to_y_up,
)
from posewright.io.bvh_text import Node
from posewright.io.guess_units import UNITS, guess_unit, guess_up
from posewright.io.people import (
    is_known,
    known_order,
    named_skeleton,
    one_person,
    require_rotations,
    unique_names,
)
from posewright.io.rig import (
    held_frames,
    matrices_to_quats,
    pose_joints,
    quats_to_matrices,
    rest_positions,
    rig_frames,
    root_of,
)
from posewright.io.user_files import expect, reading
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.motion import Motion

SUFFIXES = (".bvh",)
ONE_PERSON = True
ORDER = "ZXY"
END_LENGTH = 0.2
"""Length of an end site, as a fraction of the bone before it; 0 in joint sets that are not ours, so that they
read back as they were."""
RIGID_WITHIN = 1e-4
"""Metres by which a joint may shift in its parent and the rig still counts as rigid."""


def write(
    motion: Motion,
    path: str | Path,
    *,
    person: int | None = None,
    scale: float = 100.0,
    t_pose: bool = False,
    onto: str | Path | None = None,
) -> None:
    """Write one person's rig and motion.

    Args:
        motion: with rotations and rest offsets.
        path: the `.bvh` file.
        person: whom, where there are several.
        scale: file units per metre: 100 writes centimetres, 1 metres.
        t_pose: put one frame of the rest pose first, as some retargeters want it.
        onto: another `.bvh` file: its hierarchy, channels, unit and axes are kept, the motion (retargeted to it) is
            written in them.
    """
    motion = one_person(motion, person, "BVH")
    rotations, rest = require_rotations(motion, "BVH")
    if onto is not None:
        _write_onto(motion, rotations, rest, path, onto)
        return
    expect(bool(np.isfinite(scale)) and scale > 0, f"scale is {scale}, expected a positive number")
    skeleton, root = motion.skeleton, root_of(motion)
    frames = held_frames(rig_frames(motion, 0), "BVH")
    order = bvh_text.depth_first(list(skeleton.parents))
    positions = z_up_to_y_up(motion.joints[frames, 0, root].astype(np.float64)) * scale
    degrees = euler_degrees(rotations[frames, 0])[:, order].reshape(len(frames), -1)
    values = np.concatenate([positions, degrees], 1)
    if t_pose:
        values = np.concatenate([np.pad(positions[:1], ((0, 0), (0, degrees.shape[1]))), values])
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(bvh_text.format_hierarchy(rig_nodes(skeleton, rest[0] * scale, order)))
        file.write(f"MOTION\nFrames: {len(values)}\nFrame Time: {1 / motion.fps:.10f}\n")
        np.savetxt(file, values, fmt="%.6f")


def _write_onto(
    motion: Motion, rotations: np.ndarray, rest_offsets: np.ndarray, path: str | Path, onto: str | Path
) -> None:
    """Write a motion in the hierarchy of another file."""
    frames = held_frames(rig_frames(motion, 0), "BVH")
    with reading(onto, "BVH") as source:
        nodes, *_ = bvh_text.parse(source.read_text(encoding="utf-8-sig", errors="replace"))
        skeleton, chosen = _skeleton(nodes, source.stem)
        expect(
            skeleton.joint_names == motion.skeleton.joint_names,
            f"the motion has the joints of {motion.skeleton.name}, the file others: retarget the motion to it first",
        )
        up, metres = _unit_and_up(np.array([nodes[n].offset for n in chosen]), rest_offsets[0], skeleton)
        quats = rotations[frames, 0].astype(np.float64)
        matrices = quats_to_matrices(quat_wxyz_z_up_to_y_up(quats) if up == "y" else quats)
        root = from_z_up(motion.joints[frames, 0, root_of(motion)].astype(np.float64), up) / metres
        shifts = from_z_up(rest_offsets[0].astype(np.float64), up) / metres
        columns = [
            _channels(nodes, n, chosen, matrices, shifts, root)
            for n in range(len(nodes))
            if nodes[n].channels
        ]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(bvh_text.format_hierarchy(nodes))
        file.write(f"MOTION\nFrames: {len(frames)}\nFrame Time: {1 / motion.fps:.10f}\n")
        np.savetxt(file, np.concatenate(columns, 1), fmt="%.6f")


def _unit_and_up(offsets: np.ndarray, rest_offsets: np.ndarray, skeleton: Skeleton) -> tuple[str, float]:
    """Up axis and metres per unit of a file whose offsets (J, 3) are those of a rig, but for stretching bones."""
    offsets, rest = _without_root(offsets, skeleton), rest_offsets.astype(np.float64)
    errors = {}
    for up in ("y", "z"):
        turned = to_z_up(offsets, up)
        metres = float((turned * rest).sum() / max((turned**2).sum(), 1e-12))
        errors[up] = (float(((turned * metres - rest) ** 2).sum()), metres)
    up = min(errors, key=lambda axis: errors[axis])
    expect(errors[up][1] > 0, "the bones of the file are not those of the motion's rig")
    return up, errors[up][1]


def _channels(
    nodes: list[Node], n: int, chosen: list[int], matrices: np.ndarray, shifts: np.ndarray, root: np.ndarray
) -> np.ndarray:
    """(T, channels) of one node: angles in degrees in its own order; where it stands in its parent."""
    node = nodes[n]
    order = "".join(c[0] for c in node.channels if c.endswith("rotation"))
    expect(len(order) in (0, 3), f"joint {node.name} turns about {len(order)} axes; a motion needs all three")
    degrees = np.zeros((len(root), 3))
    if order and n in chosen:
        angles = matrix_to_euler(torch.from_numpy(matrices[:, chosen.index(n)]), order)
        degrees = np.rad2deg(unwrap_euler(angles[:, None], order)[:, 0].numpy())
    shift = shifts[chosen.index(n)] if n in chosen else np.array(node.offset)
    place = root - node.offset if node.parent < 0 else np.broadcast_to(shift, root.shape)
    return np.stack(
        [
            degrees[:, order.index(c[0])] if c.endswith("rotation") else place[:, "XYZ".index(c[0])]
            for c in node.channels
        ],
        1,
    )


def euler_degrees(rotations_wxyz: np.ndarray) -> np.ndarray:
    """(T, J, 4) wxyz, Z up, to (T, J, 3) degrees in channel order, Y up, without jumps over time."""
    matrices = torch.from_numpy(quats_to_matrices(rotations_wxyz))
    turn = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=torch.float64)
    angles = matrix_to_euler(turn @ matrices @ turn.mT, ORDER)
    return np.rad2deg(unwrap_euler(angles, ORDER).numpy())


def rig_nodes(skeleton: Skeleton, rest: np.ndarray, order: list[int]) -> list[Node]:
    """Joints in file order, with end sites; `rest` (J, 3) in file units, Z up."""
    offsets = z_up_to_y_up(rest.astype(np.float64))
    place = {joint: n for n, joint in enumerate(order)}
    rotation = [f"{axis}rotation" for axis in ORDER]
    position = ["Xposition", "Yposition", "Zposition"]
    nodes = []
    for joint in order:
        parent = skeleton.parents[joint]
        name = "_".join(skeleton.joint_names[joint].split())
        channels = rotation if parent >= 0 else position + rotation
        nodes.append(Node(name, place.get(parent, -1), tuple(offsets[joint]), channels))
    tip = END_LENGTH if is_known(skeleton) else 0.0
    leaves = [joint for joint in order if joint not in skeleton.parents]
    return nodes + [Node("", place[j], tuple(offsets[j] * tip), is_end=True) for j in leaves]


def read(
    path: str | Path,
    *,
    unit: str | float = "auto",
    up: str = "auto",
    stretch: str = "keep",
    skip_frames: int = 0,
) -> Motion:
    """Read a rig and its motion.

    Args:
        path: the `.bvh` file.
        unit: `auto`, a unit (`m`, `cm`, `mm`, `inch`, `cmu`), or metres per file unit.
        up: `auto`, `y` or `z`.
        stretch: where joints move within their parents by more than 0.1 mm: `keep` their exact positions and
        give
            no rotations (a `Motion` with rotations has rigid bones), or make bones rigid at their `mean`
            offset.
        skip_frames: leave out this many frames at the start (the CMU conversions begin with a T-pose).

    Raises:
        InputError: absent, cut off, or not BVH.
    """
    with reading(path, "BVH") as path:
        nodes, values, frame_time = bvh_text.parse(path.read_text(encoding="utf-8-sig", errors="replace"))
        expect(
            0 <= skip_frames < len(values), f"skip_frames is {skip_frames}, the file has {len(values)} frames"
        )
        expect(stretch in ("keep", "mean"), f"stretch is {stretch!r}, expected 'keep' or 'mean'")
        rotations, shifts = _apply_channels(nodes, values[skip_frames:])
        skeleton, chosen = _skeleton(nodes, path.stem)
        return _motion(
            skeleton,
            rotations[:, chosen],
            shifts[:, chosen],
            _rate(frame_time),
            unit,
            up,
            stretch == "mean",
            path,
        )


def _apply_channels(nodes: list[Node], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Local rotations (T, N, 3, 3) and offsets from the parents (T, N, 3), in file axes and units."""
    rotations = np.broadcast_to(np.eye(3), (len(values), len(nodes), 3, 3)).copy()
    shifts = np.broadcast_to([node.offset for node in nodes], (len(values), len(nodes), 3)).copy()
    column = 0
    for n, node in enumerate(nodes):
        own = values[:, column : column + len(node.channels)]
        column += len(node.channels)
        for c, channel in enumerate(node.channels):
            if channel.endswith("position"):
                axis = "XYZ".index(channel[0])
                shifts[:, n, axis] = own[:, c] + (node.offset[axis] if node.parent < 0 else 0.0)
        turns = [c for c, channel in enumerate(node.channels) if channel.endswith("rotation")]
        if turns:
            rotations[:, n] = _compose([node.channels[c][0] for c in turns], np.deg2rad(own[:, turns]))
    return rotations, shifts


def _compose(axes: list[str], angles: np.ndarray) -> np.ndarray:
    """(T, C) radians about C axes, multiplied in the order written, to (T, 3, 3)."""
    tensor = torch.from_numpy(angles)
    if len(set(axes)) == 3:
        return euler_to_matrix(tensor, "".join(axes)).numpy()
    matrix = torch.eye(3, dtype=tensor.dtype).expand(len(angles), 3, 3)
    for n, axis in enumerate(axes):
        matrix = matrix @ axis_rotation(axis, tensor[:, n])
    return matrix.numpy()


def _skeleton(nodes: list[Node], name: str) -> tuple[Skeleton, list[int]]:
    """Joint set of a file, and the node of each of its joints."""
    joints = [n for n, node in enumerate(nodes) if not node.is_end]
    known = known_order([nodes[n].name for n in joints], [_place(joints, nodes[n].parent) for n in joints])
    if known:
        return known[0], [joints[place] for place in known[1]]
    kept = [n for n, node in enumerate(nodes) if not node.is_end or any(node.offset)]
    parents = [_place(kept, nodes[n].parent) for n in kept]
    names = unique_names([nodes[n].name for n in kept])
    return named_skeleton(names, parents, name), kept


def _place(kept: list[int], node: int) -> int:
    return kept.index(node) if node >= 0 else -1


def _rate(frame_time: str) -> float:
    """Frames per second; a printed `0.033333` is 30, the common rate of which it is the rounding."""
    seconds = float(frame_time)
    nearest = round(1 / seconds)
    decimals = len(frame_time.partition(".")[2])
    for rate in (nearest, nearest * 1000 / 1001):
        if rate > 0 and abs(1 / rate - seconds) <= 0.51 * 10.0**-decimals:
            return round(float(rate), 6)
    return round(1 / seconds, 6)


def _motion(
    skeleton: Skeleton,
    rotations: np.ndarray,
    shifts: np.ndarray,
    fps: float,
    unit: str | float,
    up: str,
    rigid: bool,
    path: Path,
) -> Motion:
    """Put rotations and offsets into our axes and units."""
    rest_in_file = rest_positions(_without_root(shifts.mean(0), skeleton), skeleton.parents)
    unit_name, metres, warnings = _unit(unit, rest_in_file)
    up = guess_up(rest_in_file) if up == "auto" else up
    shifts = to_z_up(shifts * metres, up)
    quats = matrices_to_quats(rotations)
    quats = (quat_wxyz_y_up_to_z_up(quats) if up == "y" else quats).astype(np.float32)
    rest = _without_root(shifts.mean(0), skeleton).astype(np.float32)
    root = shifts[:, skeleton.parents.index(-1)]
    loose = _without_root(np.abs(shifts - shifts.mean(0)).max(0), skeleton).max()
    history = [f"read from {path.name}: unit {unit_name}, {up} up"]
    if rigid or loose <= RIGID_WITHIN:
        joints = pose_joints(quats[:, None], rest[None], root[:, None], skeleton.parents)
        rig = {"rotations_wxyz": quats[:, None], "rest_offsets": rest[None]}
        history += (
            [f"bones made rigid, moving joints by up to {1000 * loose:.2f} mm"]
            if loose > RIGID_WITHIN
            else []
        )
    else:
        joints = _stretching(quats, shifts, root, skeleton)
        rig = {}
        warnings.append(
            f"Bones of this file change length by up to {1000 * loose:.1f} mm, so it is read as positions without "
            "rotations; stretch='mean' makes the bones rigid."
        )
    return Motion(
        skeleton=skeleton,
        joints=joints,
        confidence=np.ones(joints.shape[:3], np.float32),
        fps=fps,
        source=path.name,
        warnings=tuple(warnings),
        history=tuple(history),
        **rig,  # pyright: ignore[reportArgumentType]
    )


def _without_root(offsets: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(J, 3) offsets with the root's set to 0."""
    return np.where(np.array(skeleton.parents)[:, None] < 0, 0.0, offsets)


def _unit(unit: str | float, rest: np.ndarray) -> tuple[str, float, list[str]]:
    """Name and length of the unit, and a warning where it could not be guessed."""
    if isinstance(unit, int | float):
        expect(
            bool(np.isfinite(unit)) and unit > 0, f"unit is {unit}, expected positive metres per file unit"
        )
        return f"{unit:g} m", float(unit), []
    if unit != "auto":
        expect(unit in UNITS, f"unit {unit!r}, expected auto, {', '.join(UNITS)} or metres per file unit")
        return unit, UNITS[unit][0], []
    guess, sure = guess_unit(rest)
    size = float(np.ptp(rest, axis=0).max())
    warning = (
        f"The skeleton is {size:.3g} units large, which is no person in any usual unit: {guess} assumed."
    )
    return f"{guess} (guessed)", UNITS[guess][0], [] if sure else [warning]


def _stretching(quats: np.ndarray, shifts: np.ndarray, root: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(T, 1, J, 3) joints where the offsets change over time."""
    offsets = np.where(np.array(skeleton.parents)[:, None] < 0, 0.0, shifts)
    local, moved, base = (torch.from_numpy(x) for x in (quats_to_matrices(quats), offsets, root))
    return forward_kinematics(local, moved, base, skeleton.parents)[0].numpy()[:, None].astype(np.float32)
