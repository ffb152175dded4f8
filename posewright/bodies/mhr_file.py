"""The arrays of an MHR file, `mhr_model.pt`, checked against each other.

MHR is A. Ferguson et al., "MHR: Momentum Human Rig", 2025, https://arxiv.org/abs/2511.15586, code
https://github.com/facebookresearch/MHR (Apache-2.0). The file is a TorchScript archive: of the release it holds the
identity's shapes and the face's apart (45 and 72), and the names of joints and parameters; traced from the published
`mhr.MHR` it holds both in one array of 117, and no names. Both are read, without running them, and so is a plain npz of
the same arrays under the same names (`write_npz`). The buffers are those of `pymomentum.torch.character`
(https://github.com/facebookresearch/momentum, MIT) and of `mhr.mhr.MHRPoseCorrectivesModel`.

Convention: the file's own: centimetres, Y up, facing +Z; quaternions xyzw; a joint has 7 parameters: translation, Euler
angles XYZ (X first), and the logarithm of its scale to base 2.
"""

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posewright.bodies.smpl_files import search_files, search_folders
from posewright.core.errors import InputError
from posewright.core.files import atomic_path
from posewright.core.safe_pickle import BROKEN, read_object_npz
from posewright.core.torchscript import ScriptArchive, StoredTensor
from posewright.geometry.kinematics import depth_levels

PER_JOINT = 7
FACES = 72
"""Face shapes at the end of `shape_vectors`, where a file does not keep them apart."""
_SKELETON, _SKIN = "character_torch.skeleton", "character_torch.linear_blend_skinning"
ARRAYS = {
    "template": "character_torch.blend_shape.base_shape",
    "shapes": "character_torch.blend_shape.shape_vectors",
    "transform": "character_torch.parameter_transform.parameter_transform",
    "offsets": f"{_SKELETON}.joint_translation_offsets",
    "prerotations": f"{_SKELETON}.joint_prerotations",
    "parents": f"{_SKELETON}.joint_parents",
    "inverse_bind": f"{_SKIN}.inverse_bind_pose",
    "skin_joints": f"{_SKIN}.skin_indices_flattened",
    "skin_weights": f"{_SKIN}.skin_weights_flattened",
    "skin_vertices": f"{_SKIN}.vert_indices_flattened",
    "faces": "character_torch.mesh.faces",
}
"""What every file holds."""
EXPRESSIONS = "face_expressions_model.shape_vectors"
_PREDICTOR = "pose_correctives_model.pose_dirs_predictor"
CORRECTIVES = {
    "indices": f"{_PREDICTOR}.0.sparse_indices",
    "weights": f"{_PREDICTOR}.0.sparse_weight",
    "output": f"{_PREDICTOR}.2.weight",
}
NAMES = {
    "joint_names": f"{_SKELETON}.joint_names",
    "parameter_names": "character_torch.parameter_transform.parameter_names",
}
KNOWN = (*ARRAYS.values(), EXPRESSIONS, *CORRECTIVES.values(), *NAMES.values())


@dataclass(frozen=True)
class Correctives:
    """Network that moves vertices by the pose: a sparse layer, ReLU, a dense layer."""

    indices: np.ndarray
    """(2, K) rows and columns of the sparse layer (H, 6 (J - 2))."""
    weights: np.ndarray
    """(K,)."""
    output: np.ndarray
    """(3 V, H) centimetres."""


@dataclass(frozen=True)
class MHRArrays:
    """An MHR rig: V vertices, J joints, I identity and E face shapes, M model parameters."""

    template: np.ndarray
    """(V, 3) centimetres."""
    identity: np.ndarray
    """(I, V, 3)."""
    expression: np.ndarray
    """(E, V, 3)."""
    transform: np.ndarray
    """(7 J, M): joint parameters from model parameters."""
    offsets: np.ndarray
    """(J, 3) centimetres, from the parent, in its axes."""
    prerotations: np.ndarray
    """(J, 4) xyzw."""
    parents: tuple[int, ...]
    inverse_bind: np.ndarray
    """(J, 8): translation, quaternion xyzw, scale; takes vertices into a joint's frame."""
    skin: np.ndarray
    """(V, J) weights."""
    faces: np.ndarray
    """(F, 3)."""
    joint_names: tuple[str, ...] | None
    parameter_names: tuple[str, ...] | None
    correctives: Correctives | None


def find_mhr(path: str | Path | None = None) -> Path:
    """The file of the body `mhr`: the given one, or the one in the search path.

    Raises:
        FileNotFoundError: `path` does not exist.
        LookupError: no file in the search path; says where was looked and where the file comes from.
    """
    if path is not None:
        if not Path(path).is_file():
            raise FileNotFoundError(
                f"{path}: no such file; expected mhr_model.pt of MHR's assets, or its .npz"
            )
        return Path(path)
    if found := search_files("mhr", ["mhr_model", "mhr"], (".pt", ".npz")):
        return found
    looked = ", ".join(map(str, search_folders()))
    raise LookupError(
        f"no file of body mhr found in {looked}. Download assets.zip from "
        "https://github.com/facebookresearch/MHR/releases (Apache-2.0), put its mhr_model.pt into one of these "
        "folders, or give its path"
    )


def is_mhr_npz(path: Path) -> bool:
    """Whether a file is an npz of MHR's arrays; only the names of its members are read."""
    if path.suffix.lower() != ".npz" or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return f"{ARRAYS['parents']}.npy" in archive.namelist()


def read_mhr(path: Path, correctives: bool = True) -> MHRArrays:
    """Read a rig.

    Args:
        path: `mhr_model.pt`, or an npz written by `write_npz`.
        correctives: read the network of the pose corrections too (0.66 GB in the released file), if there is one.

    Raises:
        InputError: not such a file, arrays are missing or do not fit together.
    """
    with _reading(path):
        return _checked(*_source(path), correctives)


def write_npz(source: Path, target: Path) -> None:
    """Write the arrays of a rig as a plain npz, which needs no TorchScript: same names, same numbers.

    Raises:
        InputError: the source is no MHR rig.
    """
    read_mhr(source, correctives=False)
    with _reading(source):
        values, array = _source(source)
        arrays = {n: array(n) for n in KNOWN if _is_array(values.get(n))}
    names = {n: np.array(values[n]) for n in NAMES.values() if n in values and n not in arrays}
    with atomic_path(target) as temporary:
        np.savez(temporary, **arrays, **names)  # pyright: ignore[reportArgumentType]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what malformed files raise into one sentence that names the file."""
    try:
        yield
    except OSError:
        raise
    except BROKEN as error:
        what = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read as an MHR rig: {what}") from error


def _source(path: Path) -> tuple[Mapping[str, object], Callable[[str], np.ndarray]]:
    """What a file holds by name, and how to read an array of it."""
    if path.suffix.lower() == ".npz":
        arrays = read_object_npz(path)
        return arrays, arrays.__getitem__
    archive = ScriptArchive(path)
    return archive.values, archive.array


def _is_array(value: object) -> bool:
    return isinstance(value, StoredTensor | np.ndarray)


def _checked(
    values: Mapping[str, object], array: Callable[[str], np.ndarray], correctives: bool
) -> MHRArrays:
    """Take the arrays of the layout and check them against each other."""
    if missing := [n for n in ARRAYS.values() if not _is_array(values.get(n))]:
        found = ", ".join(sorted(n for n, v in values.items() if _is_array(v))[:40]) or "no arrays"
        raise InputError(f"it lacks {', '.join(missing)}; an MHR rig has them; it holds: {found}")
    raw = {short: array(name) for short, name in ARRAYS.items()}
    apart = _is_array(values.get(EXPRESSIONS))
    raw["expression"] = array(EXPRESSIONS) if apart else raw["shapes"][-FACES:]
    _check_shapes(raw)
    _check_values(raw)
    vertices, joints, shapes = len(raw["template"]), len(raw["offsets"]), len(raw["shapes"])
    network = [_is_array(values.get(n)) for n in CORRECTIVES.values()]
    if any(network) and not all(network):
        raise InputError(f"it has only a part of {', '.join(CORRECTIVES.values())}")
    return MHRArrays(
        template=raw["template"],
        identity=raw["shapes"] if apart else raw["shapes"][:-FACES],
        expression=raw["expression"],
        transform=raw["transform"][:, : raw["transform"].shape[1] - shapes],
        offsets=raw["offsets"],
        prerotations=raw["prerotations"],
        parents=tuple(int(p) for p in raw["parents"]),
        inverse_bind=raw["inverse_bind"],
        skin=_dense_skin(raw, vertices, joints),
        faces=raw["faces"].astype(np.int64),
        joint_names=_names(values, "joint_names", joints),
        parameter_names=_names(values, "parameter_names", raw["transform"].shape[1]),
        correctives=_correctives(array, vertices, joints) if correctives and all(network) else None,
    )


def _check_shapes(raw: Mapping[str, np.ndarray]) -> None:
    """Refuse arrays of other sizes than the mesh and the joints ask for."""
    vertices, joints = len(raw["template"]), len(raw["offsets"])
    influences, shapes = raw["skin_weights"].size, len(raw["shapes"])
    expected = {
        "template": (vertices, 3),
        "shapes": (shapes, vertices, 3),
        "expression": (len(raw["expression"]), vertices, 3),
        "transform": (PER_JOINT * joints, max(raw["transform"].shape[-1], shapes + 1)),
        "offsets": (joints, 3),
        "prerotations": (joints, 4),
        "parents": (joints,),
        "inverse_bind": (joints, 8),
        "skin_joints": (influences,),
        "skin_weights": (influences,),
        "skin_vertices": (influences,),
        "faces": (len(raw["faces"]), 3),
    }
    for name, shape in expected.items():
        if raw[name].shape != shape:
            raise InputError(
                f"{ARRAYS.get(name, EXPRESSIONS)} has shape {raw[name].shape}, expected {shape} for the file's "
                f"{vertices} vertices, {joints} joints and {shapes} shapes"
            )


def _check_values(raw: Mapping[str, np.ndarray]) -> None:
    """Refuse numbers that would only show up as a broken mesh."""
    if bad := [n for n, x in raw.items() if x.dtype.kind not in "fiu"]:
        raise InputError(f"{', '.join(bad)}: not numbers")
    if bad := [n for n, x in raw.items() if x.dtype.kind == "f" and not np.isfinite(x).all()]:
        raise InputError(f"{', '.join(bad)}: NaN or infinite values")
    vertices, joints = len(raw["template"]), len(raw["offsets"])
    for name, count in (("skin_joints", joints), ("skin_vertices", vertices), ("faces", vertices)):
        x = raw[name]
        if x.size and not (x.min() >= 0 and x.max() < count):
            raise InputError(f"{ARRAYS[name]} names {x.min()} to {x.max()}, expected 0 to {count - 1}")
    turns = np.stack([raw["prerotations"], raw["inverse_bind"][:, 3:7]])
    if np.abs(np.linalg.norm(turns, axis=-1) - 1).max() > 1e-3 or raw["inverse_bind"][:, 7].min() <= 0:
        raise InputError(
            "joint_prerotations or inverse_bind_pose: expected unit quaternions and positive scales"
        )
    if raw["transform"][:, -len(raw["shapes"]) :].any():
        raise InputError(
            f"{ARRAYS['transform']}: its last {len(raw['shapes'])} columns move joints, expected shapes"
        )
    parents = tuple(int(p) for p in raw["parents"])
    if len(depth_levels(parents)[0]) != 1 or parents[0] != -1:
        raise InputError("joint_parents: expected one root, the first joint")


def _dense_skin(raw: Mapping[str, np.ndarray], vertices: int, joints: int) -> np.ndarray:
    """Weights (V, J) from the list of influences."""
    skin = np.zeros((vertices, joints), np.float32)
    np.add.at(skin, (raw["skin_vertices"], raw["skin_joints"]), raw["skin_weights"])
    if np.abs(skin.sum(1) - 1).max() > 1e-3:
        raise InputError("skin_weights_flattened: the weights of each vertex do not add up to 1")
    return skin


def _names(values: Mapping[str, object], what: str, count: int) -> tuple[str, ...] | None:
    """A list of names, where the file has one of the right length."""
    found = values.get(NAMES[what])
    names = found.tolist() if isinstance(found, np.ndarray) else found
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        return None
    if len(names) != count or len(set(names)) != count:
        raise InputError(f"{NAMES[what]} has {len(names)} names, expected {count} different ones")
    return tuple(names)


def _correctives(array: Callable[[str], np.ndarray], vertices: int, joints: int) -> Correctives:
    """The network of the pose corrections, checked."""
    net = Correctives(**{short: array(name) for short, name in CORRECTIVES.items()})
    hidden, features = net.output.shape[-1], 6 * (joints - 2)
    if net.output.shape != (3 * vertices, hidden) or net.indices.shape != (2, net.weights.size):
        raise InputError(
            f"{_PREDICTOR}: layers of {net.indices.shape} indices, {net.weights.shape} weights and {net.output.shape}, "
            f"expected (2, K), (K,) and ({3 * vertices}, H)"
        )
    low, high = (f(net.indices, axis=1) if net.indices.size else (0, 0) for f in (np.min, np.max))
    if min(low) < 0 or high[0] >= hidden or high[1] >= features:
        raise InputError(f"{CORRECTIVES['indices']}: beyond {hidden} rows or {features} columns")
    if not all(np.isfinite(x).all() for x in (net.weights, net.output)):
        raise InputError(f"{_PREDICTOR}: NaN or infinite values")
    return net
