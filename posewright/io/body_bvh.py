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

BLOCK = 4096
"""Frames printed at a time: with a hundred bones an hour would be hundreds of megabytes."""


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
    degrees = euler_degrees(bodies.rotations_wxyz[frames, p])
    columns = [order.index(rig.joint_names.index(name)) for name in bodies.joint_names]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(bvh_text.format_hierarchy(rig_nodes(skeleton, rig.offsets * scale, order)))
        file.write(f"MOTION\nFrames: {len(frames)}\nFrame Time: {1 / fps:.10f}\n")
        _print_rows(file, place, degrees, columns, len(order))


def _print_rows(
    file: TextIO, place: np.ndarray, degrees: np.ndarray, columns: list[int], joints: int
) -> None:
    """Print root positions (T, 3) and angles (T, A, 3) in the columns of their joints, 0 in the others."""
    for start in range(0, len(place), BLOCK):
        rows = slice(start, start + BLOCK)
        turns = np.zeros((len(place[rows]), joints, 3))
        turns[:, columns] = degrees[rows]
        values = np.concatenate([place[rows], turns.reshape(len(turns), -1)], 1)
        text = np.char.mod("%.6f", values)
        text[values == 0] = "0"
        file.writelines(" ".join(row) + "\n" for row in text)
