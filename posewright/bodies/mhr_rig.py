"""The numbers of an MHR file as a body's: metres, matrices, and what places the joints.

A similarity of MHR, `x -> t + s R x` per joint and handed down, becomes what `BodyModel` knows: a rotation relative to
the parent in axes parallel to the body's, an offset from the parent in the zero pose, and a turn (with a scale) from
where vertices are bound to the zero pose.

Convention: metres, Y up, facing +Z.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from posewright.bodies.mhr_file import PER_JOINT, MHRArrays
from posewright.bodies.mhr_joints import joint_names, landmarks_of, points_of
from posewright.bodies.model import Y_UP, BodyData
from posewright.geometry.kinematics import local_to_global
from posewright.geometry.rotations import quat_wxyz_to_matrix

CM = 0.01
"""Metres in the file's unit."""


@dataclass(frozen=True)
class MHRRig:
    """The file's rig without its unmoving first joint; float64, metres."""

    arrays: MHRArrays
    """As read; centimetres."""
    names: tuple[str, ...]
    """Of J joints."""
    parents: tuple[int, ...]
    offsets: Float[Tensor, "J 3"]
    zero_rotations: Float[Tensor, "J 3 3"]
    """Of the joints' own axes in the zero pose."""
    parameters: Float[Tensor, "J 7 M"]
    """Joint parameters per model parameter; the root's translation in the world's axes."""
    bind_linear: Float[Tensor, "J 3 3"]
    bind_shift: Float[Tensor, "J 3"]
    """Take a vertex into a joint's frame: `x -> linear x + shift`."""
    skin: np.ndarray
    """(V, J) weights."""
    first_corrected: int
    """First joint whose rotation the corrections look at."""


def rig_of(arrays: MHRArrays) -> MHRRig:
    """Turn the file's numbers into matrices and metres, and leave out a first joint that does nothing."""
    J = len(arrays.parents)
    prerotations = _xyzw_to_matrix(arrays.prerotations)
    parameters = torch.from_numpy(arrays.transform.astype(np.float64)).reshape(J, PER_JOINT, -1).clone()
    parameters[:, :3] *= CM
    offsets = CM * torch.from_numpy(arrays.offsets.astype(np.float64))
    bind = torch.from_numpy(arrays.inverse_bind.astype(np.float64))
    bind_linear = bind[:, 7, None, None] * _xyzw_to_matrix(arrays.inverse_bind[:, 3:7])
    names, parents, first = joint_names(arrays.joint_names, arrays.parents), arrays.parents, 0
    if _does_nothing(arrays):
        world, first = prerotations[0], 1
        offsets[1] = offsets[0] + world @ offsets[1]
        prerotations[1] = world @ prerotations[1]
        parameters[1, :3] = world @ parameters[1, :3]
        parents = tuple(p - 1 for p in parents[1:])
    return MHRRig(
        arrays,
        names[first:],
        parents,
        offsets[first:],
        local_to_global(prerotations[first:], parents),
        parameters[first:],
        bind_linear[first:],
        CM * bind[first:, :3],
        arrays.skin[:, first:],
        2 - first,
    )


def _xyzw_to_matrix(quaternions: np.ndarray) -> Float[Tensor, "J 3 3"]:
    xyzw = torch.from_numpy(quaternions.astype(np.float64))
    return quat_wxyz_to_matrix(xyzw.roll(1, -1))


def _does_nothing(arrays: MHRArrays) -> bool:
    """Whether the first joint is only the world: no parameter moves it, no vertex follows it, one child."""
    alone = len(arrays.parents) > 1 and arrays.parents.count(0) == 1 and arrays.parents[1] == 0
    return alone and not arrays.transform[:PER_JOINT].any() and not arrays.skin[:, 0].any()


def body_data(rig: MHRRig) -> BodyData:
    """The parts of a body that MHR shares with others."""
    arrays = rig.arrays
    named = arrays.parameter_names or tuple(f"parameter_{i}" for i in range(rig.parameters.shape[-1]))
    dirs = np.concatenate([arrays.identity, arrays.expression])
    data = BodyData(
        name="mhr",
        joint_names=rig.names,
        parents=rig.parents,
        template=_metres(arrays.template),
        faces=torch.from_numpy(arrays.faces),
        shape_dirs=_metres(dirs),
        joint_template=torch.zeros(len(rig.parents), 3),
        joint_dirs=torch.zeros(0, len(rig.parents), 3),
        **_influences(rig.skin),
        shape_names=(
            *(f"identity_{i}" for i in range(len(arrays.identity))),
            *(named[column] for column in proportion_columns(rig)[0].tolist()),
        ),
        expression_names=tuple(f"expression_{i}" for i in range(len(arrays.expression))),
        upright=Y_UP,
    )
    marks = landmarks_of(rig.names, arrays.template)
    points = points_of(rig.names, marks)
    if not marks:
        return replace(data, points=points)
    mixed = _mixtures(marks, len(arrays.template))
    landmarks = replace(
        data,
        template=_metres(mixed @ arrays.template),
        shape_dirs=_metres(np.einsum("lv,svd->sld", mixed, dirs)),
        **_influences(mixed @ rig.skin),
    )
    return replace(data, landmark_names=tuple(marks), landmarks=landmarks, points=points)


def _metres(array: np.ndarray) -> Tensor:
    """The file's centimetres as a tensor in metres, single precision."""
    return torch.from_numpy(np.asarray(array, np.float32)) * CM


def _influences(skin: np.ndarray) -> dict[str, Any]:
    """The joints that each row follows, heaviest first."""
    weights = torch.from_numpy(np.asarray(skin, np.float32))
    heaviest = weights.topk(max(int((weights != 0).sum(1).max()), 1), dim=1)
    return {"skin_joints": heaviest.indices, "skin_weights": heaviest.values}


def _mixtures(marks: dict[str, tuple[np.ndarray, np.ndarray]], vertices: int) -> np.ndarray:
    """Landmarks (L, V) as shares of the vertices."""
    mixed = np.zeros((len(marks), vertices), np.float32)
    for row, (which, shares) in enumerate(marks.values()):
        mixed[row, which] = shares
    return mixed


def proportion_columns(rig: MHRRig) -> tuple[Tensor, Tensor]:
    """Model parameters that move or scale joints, and those that move the root alone: two lists of columns."""
    moves = rig.parameters != 0
    only_root = moves.clone()
    only_root[0, :3] = False
    rigid = ~only_root.any(0).any(0) & moves[0, :3].any(0)
    placing = moves[:, :3].any(0).any(0) | moves[:, 6].any(0)
    return (placing & ~rigid).nonzero()[:, 0], rigid.nonzero()[:, 0]


def rig_buffers(rig: MHRRig) -> dict[str, Tensor]:
    """What places joints: maps from parameters have parameters in rows, so that they multiply from the right."""
    J = len(rig.parents)
    proportions, rigid = proportion_columns(rig)
    above = [max(p, 0) for p in rig.parents]
    axes = rig.zero_rotations[above].clone()
    axes[0] = torch.eye(3)
    placed = axes @ rig.parameters[:, :3, proportions]
    rigid_map = torch.zeros(rig.parameters.shape[-1], 3, dtype=torch.float64)
    rigid_map[rigid] = rig.parameters[0, :3, rigid].mT
    return {
        "offsets": (axes @ rig.offsets[..., None])[..., 0],
        "zero_rotations": rig.zero_rotations,
        "ancestors": _ancestors(rig.parents),
        "bind_joints": -torch.linalg.solve(rig.bind_linear, rig.bind_shift[..., None])[..., 0],
        "bind_turns": rig.zero_rotations @ rig.bind_linear,
        "angle_map": rig.parameters[:, 3:6].reshape(3 * J, -1).mT,
        "place_map": placed.reshape(3 * J, -1).mT,
        "scale_map": rig.parameters[:, 6, proportions].mT,
        "rigid_map": rigid_map,
        "proportion_columns": proportions,
    }


def _ancestors(parents: tuple[int, ...]) -> Float[Tensor, "J J"]:
    """1 where the row's joint is the column's joint or above it."""
    table = torch.eye(len(parents), dtype=torch.float64)
    for joint, parent in enumerate(parents):
        while parent >= 0:
            table[parent, joint] = 1.0
            parent = parents[parent]
    return table


def correction_buffers(rig: MHRRig) -> dict[str, Tensor | None]:
    """The network's layers: a dense first one, the last one for vertices and for landmarks, metres."""
    net = rig.arrays.correctives
    if net is None:
        return dict.fromkeys(("hidden", "correction", "landmark_correction"))
    hidden = torch.zeros(net.output.shape[1], 6 * (len(rig.arrays.parents) - 2))
    hidden[tuple(torch.from_numpy(net.indices.astype(np.int64)))] = torch.from_numpy(
        net.weights.astype(np.float32)
    )
    output = torch.from_numpy(np.asarray(net.output, np.float32)).mul_(CM)
    marks = landmarks_of(rig.names, rig.arrays.template)
    rows = [
        torch.einsum(
            "k,kdh->dh",
            torch.from_numpy(shares).float(),
            output.unflatten(0, (-1, 3))[torch.from_numpy(np.asarray(which))],
        )
        for which, shares in marks.values()
    ]
    return {
        "hidden": hidden,
        "correction": output,
        "landmark_correction": torch.cat(rows) if rows else output.new_zeros(0, output.shape[1]),
    }
