"""SMPL, SMPL-H, SMPL-X, MANO and FLAME from files of the user's own.

M. Loper et al., "SMPL: a skinned multi-person linear model", ACM TOG 34(6), 2015; J. Romero et al., "Embodied hands:
modeling and capturing hands and bodies together" (SMPL-H, MANO), ACM TOG 36(6), 2017; G. Pavlakos et al., "Expressive
body capture: 3D hands, face, and body from a single image" (SMPL-X), CVPR 2019; T. Li et al., "Learning a model of
facial shape and expression from 4D scans" (FLAME), ACM TOG 36(6), 2017. The files are licensed by their authors and
never shipped or fetched here. Vertices and joints equal those of the `smplx` package (its licence forbids commercial
use: we do not depend on it) on files of random numbers in the official layout.

Convention: the files' own axes, metres, at rest Y up and facing +Z; `BodyModel.upright` stands a body up in our world:
as `global_orient` it makes an unrotated body face -Y with Z up. The poses of AMASS contain such a rotation already.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posewright.bodies.model import Y_UP, BodyData, BodyModel
from posewright.bodies.smpl_files import find_file
from posewright.bodies.smpl_joints import KINDS, Kind, landmarks_of, points_of
from posewright.bodies.smpl_pickle import read_model_pickle
from posewright.core.errors import InputError
from posewright.core.safe_pickle import BROKEN, read_object_npz
from posewright.geometry.kinematics import depth_levels

ARRAYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights", "f")
"""What every file of the family holds."""


@dataclass(frozen=True)
class Arrays:
    """The arrays of a file, checked against each other: V vertices, J joints, S shape directions, F faces."""

    v_template: np.ndarray
    """(V, 3) metres."""
    shapedirs: np.ndarray
    """(V, 3, S)."""
    posedirs: np.ndarray
    """(V, 3, 9 (J - 1))."""
    J_regressor: np.ndarray
    """(J, V)."""
    parents: tuple[int, ...]
    weights: np.ndarray
    """(V, J)."""
    faces: np.ndarray
    """(F, 3)."""


def load_smpl(
    name: str | Path,
    gender: str = "neutral",
    side: str = "right",
    betas: int = 10,
    expressions: int = 10,
    skinning: str = "linear",
    dtype: torch.dtype = torch.float32,
) -> BodyModel:
    """Load a body of the SMPL family.

    Args:
        name: `smpl`, `smplh`, `smplx`, `mano`, `flame`, to be found in the search path (`bodies.smpl_files`), or the
            path of a file, `.npz` or `.pkl`.
        gender: `neutral`, `male` or `female`, where a name is given.
        side: `left` or `right`, of a hand.
        betas: number of shape coefficients used, at most those of the file.
        expressions: number of face coefficients used, at most those of the file.
        skinning: `linear` or `dual_quaternion`.
        dtype: float32 or float64.

    Raises:
        LookupError: unknown name, or no file found; lists where was looked.
        InputError: the file is not a body model, or its arrays do not fit together.
    """
    path = find_file(name, gender, side)
    try:
        entries = _entries(path)
        arrays = checked_arrays(entries)
        data = body_data(arrays, entries, _side_of(path, side), betas, expressions)
    except OSError:
        raise
    except BROKEN as error:
        what = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read as a body model: {what}") from error
    return BodyModel(data, skinning, dtype)


def _entries(path: Path) -> Mapping[str, object]:
    """Everything in a file, by name."""
    if path.suffix == ".npz":
        return read_object_npz(path)
    if path.suffix == ".pkl":
        return read_model_pickle(path)
    raise InputError(f"its suffix is {path.suffix!r}, expected .npz or .pkl")


def _side_of(path: Path, side: str) -> str:
    """The hand that the file's name says, else the one asked for."""
    stem = path.stem.lower()
    return next((s for s in ("left", "right") if s in stem), side)


def checked_arrays(entries: Mapping[str, object]) -> Arrays:
    """Take the arrays of the layout and check their shapes against each other.

    Raises:
        InputError: an array is missing, is not numeric, or has a shape that does not fit.
    """
    if missing := [n for n in ARRAYS if n not in entries]:
        found = ", ".join(sorted(map(str, entries))) or "nothing"
        raise InputError(
            f"it lacks {', '.join(missing)}; a body of the SMPL family has them; it holds: {found}"
        )
    raw = {n: np.asarray(entries[n]) for n in ARRAYS}
    if wrong := [n for n, x in raw.items() if x.dtype.kind not in "fiu"]:
        raise InputError(f"{', '.join(wrong)}: not numbers")
    vertices, joints = len(raw["v_template"]), raw["kintree_table"].shape[-1]
    expected = {
        "v_template": (vertices, 3),
        "shapedirs": (vertices, 3, raw["shapedirs"].shape[-1]),
        "posedirs": (vertices, 3, 9 * (joints - 1)),
        "J_regressor": (joints, vertices),
        "kintree_table": (2, joints),
        "weights": (vertices, joints),
        "f": (len(raw["f"]), 3),
    }
    for name, shape in expected.items():
        if raw[name].shape != shape:
            raise InputError(
                f"{name} has shape {raw[name].shape}, expected {shape} for the file's {vertices} vertices and "
                f"{joints} joints"
            )
    _check_values(raw, vertices)
    parents = (-1, *(int(p) for p in raw["kintree_table"][0, 1:]))
    depth_levels(parents)
    return Arrays(
        v_template=raw["v_template"],
        shapedirs=raw["shapedirs"],
        posedirs=raw["posedirs"],
        J_regressor=raw["J_regressor"],
        parents=parents,
        weights=raw["weights"],
        faces=raw["f"].astype(np.int64),
    )


def _check_values(raw: Mapping[str, np.ndarray], vertices: int) -> None:
    """Refuse numbers that would only show up as a broken mesh."""
    if bad := [n for n, x in raw.items() if x.dtype.kind == "f" and not np.isfinite(x).all()]:
        raise InputError(f"{', '.join(bad)}: NaN or infinite values")
    faces = raw["f"].astype(np.int64)
    if faces.size and not (faces.min() >= 0 and faces.max() < vertices):
        raise InputError(f"f names vertex {faces.max()}, but there are {vertices}")
    if np.abs(raw["weights"].sum(1) - 1).max() > 1e-3:
        raise InputError("weights: the rows do not add up to 1")


def kind_of(arrays: Arrays) -> Kind:
    """Which body of the family has these numbers of vertices and joints.

    Raises:
        InputError: none has.
    """
    size = len(arrays.v_template), len(arrays.parents)
    for kind in KINDS:
        if (kind.vertices, len(kind.joint_names)) == size:
            return kind
    known = "; ".join(f"{k.name} {k.vertices} and {len(k.joint_names)}" for k in KINDS)
    raise InputError(f"{size[0]} vertices and {size[1]} joints are no known body; expected {known}")


def body_data(
    arrays: Arrays, entries: Mapping[str, object], side: str, betas: int, expressions: int
) -> BodyData:
    """Put the arrays into the form that `BodyModel` takes."""
    kind = kind_of(arrays)
    dirs, shape_count = _shape_dirs(arrays, kind, betas, expressions)
    regressor = _tensor(arrays.J_regressor)
    template = _tensor(arrays.v_template)
    data = BodyData(
        name=kind.name,
        joint_names=tuple(n.replace("*", side) for n in kind.joint_names),
        parents=arrays.parents,
        template=template,
        faces=torch.from_numpy(arrays.faces),
        shape_dirs=dirs,
        joint_template=regressor @ template,
        joint_dirs=torch.einsum("jv,svd->sjd", regressor, dirs),
        **_skin(_tensor(arrays.weights)),
        shape_names=tuple(f"beta_{i}" for i in range(shape_count)),
        expression_names=tuple(f"expression_{i}" for i in range(len(dirs) - shape_count)),
        pose_dirs=_tensor(arrays.posedirs).permute(2, 0, 1),
        upright=Y_UP,
        **_uv(entries, len(arrays.faces)),
    )
    marks = landmarks_of(kind, arrays.v_template, arrays.faces, entries, side)
    return replace(
        data,
        landmark_names=tuple(marks),
        landmarks=_mixed(data, _tensor(arrays.weights), marks) if marks else None,
        points=points_of(kind, tuple(marks), side),
    )


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, np.float64))


def _shape_dirs(arrays: Arrays, kind: Kind, betas: int, expressions: int) -> tuple[Tensor, int]:
    """Directions of shape, then of the face; how many are of the shape.

    SMPL-X and FLAME keep both in one array: 300 and 100 in files that have 400, 10 and 10 in those that have 20.
    """
    columns = arrays.shapedirs.shape[-1]
    split = columns
    if kind.has_expression:
        split = 300 if columns >= 400 else min(10, columns)
    used = min(betas, split)
    face = arrays.shapedirs[..., split : split + expressions]
    dirs = np.concatenate([arrays.shapedirs[..., :used], face], -1)
    return _tensor(dirs).permute(2, 0, 1), used


def _skin(weights: Tensor) -> dict[str, Any]:
    """The joints that each row follows, heaviest first."""
    width = max(int((weights != 0).sum(1).max()), 1)
    order = weights.abs().topk(width, dim=1).indices
    return {"skin_joints": order, "skin_weights": weights.gather(1, order)}


def _uv(entries: Mapping[str, object], faces: int) -> dict[str, Any]:
    """Texture coordinates of SMPL-X files, where they are."""
    uv, uv_faces = (np.asarray(entries.get(n)) for n in ("vt", "ft"))
    if uv.ndim != 2 or uv.shape[1] != 2 or uv_faces.shape != (faces, 3):
        return {}
    return {"uv": _tensor(uv), "uv_faces": torch.from_numpy(uv_faces.astype(np.int64))}


def _mixed(data: BodyData, weights: Tensor, marks: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> BodyData:
    """Landmarks as mixtures of vertices: their rest places, directions and skinning."""
    width = max(len(vertices) for vertices, _ in marks.values())
    index, share = torch.zeros(len(marks), width).long(), torch.zeros(len(marks), width).double()
    for row, (vertices, portions) in enumerate(marks.values()):
        index[row, : len(vertices)] = torch.from_numpy(np.asarray(vertices, np.int64))
        share[row, : len(vertices)] = torch.from_numpy(np.asarray(portions, np.float64))
    assert data.pose_dirs is not None
    return replace(
        data,
        template=torch.einsum("lk,lkd->ld", share, data.template[index]),
        shape_dirs=torch.einsum("lk,slkd->sld", share, data.shape_dirs[:, index]),
        pose_dirs=torch.einsum("lk,plkd->pld", share, data.pose_dirs[:, index]),
        **_skin(torch.einsum("lk,lkj->lj", share, weights[index])),
    )
