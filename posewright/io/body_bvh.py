"""A fitted body as BVH, `body.bvh`: all bones of the body with their rotations, one person, for retargeting.

Convention: as `io.bvh`: Y up, facing +Z at rest, left = +X, centimetres, degrees, R = Rz Rx Ry, exact frame time. The
rest pose is the zero pose of the person's shape, in which every bone has the fixed orientation that a pose is given
in; joints that the fit does not turn (fingers, toes, face) stay 0. A BVH cannot say that a person is missing: such
frames repeat the last pose before them.
"""

from pathlib import Path
from typing import TextIO

import numpy as np

from posewright.core.files import atomic_path
from posewright.io import bvh_text
from posewright.io.axes import z_up_to_y_up
from posewright.io.bvh import euler_degrees, rig_nodes
from posewright.io.rig import held_frames
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.motion_bodies import BodyRig, MotionBodies


def write(
    bodies: MotionBodies, p: int, rig: BodyRig, fps: float, path: str | Path, *, scale: float = 100.0
) -> None:
    """Write one person's body.

    Args:
        bodies: of a motion.
        p: place of the person among them.
        rig: of that person.
        fps: frames per second.
        path: the `.bvh` file.
        scale: file units per metre: 100 writes centimetres.

    Raises:
        InputError: the person is missing in every frame.
    """
    frames = held_frames(bodies.present()[:, p], "BVH")
    skeleton = Skeleton(rig.model, rig.joint_names, rig.parents)
    order = bvh_text.depth_first(list(rig.parents))
    place = z_up_to_y_up(bodies.transl[frames, p] + rig.joints[0].astype(np.float64)) * scale
    degrees = _degrees(bodies, p, frames)
    columns = [order.index(rig.joint_names.index(name)) for name in bodies.joint_names]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(bvh_text.format_hierarchy(rig_nodes(skeleton, rig.offsets * scale, order)))
        file.write(f"MOTION\nFrames: {len(frames)}\nFrame Time: {1 / fps:.10f}\n")
        _print_rows(file, place, degrees, columns, len(order))


def _degrees(bodies: MotionBodies, p: int, frames: np.ndarray) -> np.ndarray:
    """(T, A, 3) angles in channel order; joint by joint, because double precision of an hour at once is much memory."""
    turns = bodies.rotations_wxyz[:, p]
    each = [euler_degrees(turns[frames, a : a + 1]) for a in range(turns.shape[1])]
    return np.concatenate(each, 1)


def _print_rows(
    file: TextIO, place: np.ndarray, degrees: np.ndarray, columns: list[int], joints: int
) -> None:
    """Print root positions (T, 3) and angles (T, A, 3) in the columns of their joints, 0 in the others."""
    channels = ["0"] * (3 * joints)
    for column in columns:
        channels[3 * column : 3 * column + 3] = ["%.6f"] * 3
    row = " ".join(["%.6f"] * 3 + channels) + "\n"
    in_order = degrees[:, np.argsort(columns)].reshape(len(degrees), -1)
    file.writelines(row % tuple(values) for values in np.concatenate([place, in_order], 1))
