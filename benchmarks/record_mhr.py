"""Record vertices and joints of the official MHR classes on a rig of random numbers: `tests/bodies/mhr_reference.npz`.

`python benchmarks/record_mhr.py MHR PYMOMENTUM` needs a checkout of https://github.com/facebookresearch/MHR and the
unpacked wheel `pymomentum-cpu` (0.1.95 was used; `pip download --no-deps`). Only Python files of both run: what
compiled code would read from an FBX file is made up here, so nothing of the released body is in the reference. The
model is traced and saved as the release does it, and what is recorded comes from the saved file.
"""

import argparse
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

TARGET = Path(__file__).resolve().parent.parent / "tests" / "bodies" / "mhr_reference.npz"
VERTICES, FACES, HIDDEN, BODIES = 60, 40, 28, 8
PARENTS = (-1, 0, 1, 1, 3, 4, 3, 1, 7)
"""The first joint is the world, as in the release."""
POSES, PROPORTIONS, SHAPES = 12, 6, 117
"""Model parameters behind the root's six: some turn joints, some move or scale them."""


def official(mhr: Path, pymomentum: Path) -> types.ModuleType:
    """Import the official classes, with a stand-in for the compiled part."""
    sys.path[:0] = [str(mhr), str(pymomentum)]
    import pymomentum as package

    geometry = types.ModuleType("pymomentum.geometry")
    values = {"PARAMETERS_PER_JOINT": 7, "Character": object, "ParameterLimit": object, "LimitType": object}
    for name, value in values.items():
        setattr(geometry, name, value)
    sys.modules["pymomentum.geometry"] = geometry
    package.geometry = geometry
    import mhr.mhr as module

    return module


def skeleton(rng: np.random.Generator) -> tuple[types.SimpleNamespace, np.ndarray]:
    """Random joints, and their transforms (J, 4, 4) in the zero pose."""
    joints = len(PARENTS)
    offsets = 8 * rng.standard_normal((joints, 3))
    offsets[0] = 0
    prerotations = Rotation.from_rotvec(0.7 * rng.standard_normal((joints, 3)))
    places = np.tile(np.eye(4), (joints, 1, 1))
    places[:, :3, :3], places[:, :3, 3] = prerotations.as_matrix(), offsets
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            places[joint] = places[parent] @ places[joint]
    made = types.SimpleNamespace(
        offsets=offsets.astype(np.float32),
        pre_rotations=prerotations.as_quat().astype(np.float32),
        joint_parents=list(PARENTS),
        joint_names=[f"joint{j}" for j in range(joints)],
    )
    return made, places


def parameter_map(rng: np.random.Generator) -> np.ndarray:
    """Joint parameters from model parameters: the root's six, shared turns, proportions; columns of shapes are 0."""
    joints, free = len(PARENTS), 6 + POSES
    out = np.zeros((joints, 7, free + PROPORTIONS + SHAPES), np.float32)
    out[1, range(3), range(3)], out[1, range(3, 6), range(3, 6)] = 10.0, 1.0
    for column in range(6, free):
        for joint in rng.choice(np.arange(2, joints), 2, replace=False):
            out[joint, rng.integers(3, 6), column] = rng.uniform(-1, 1)
    for column in range(free, free + PROPORTIONS):
        for joint in rng.choice(np.arange(1, joints), 3, replace=False):
            out[joint, rng.choice([0, 1, 2, 6]), column] = rng.uniform(-1, 1)
    return out.reshape(7 * joints, -1)


def character(rng: np.random.Generator) -> types.SimpleNamespace:
    """What the official classes read of a character."""
    bones, places = skeleton(rng)
    index, weight = np.zeros((VERTICES, 8), np.int32), np.zeros((VERTICES, 8), np.float32)
    for row in range(VERTICES):
        count = rng.integers(1, 5)
        index[row, :count] = rng.choice(np.arange(1, len(PARENTS)), count, replace=False)
        weight[row, :count] = rng.dirichlet(np.ones(count) * 3)
    base = (places[index[:, 0], :3, 3] + 3 * rng.standard_normal((VERTICES, 3))).astype(np.float32)
    faces = rng.integers(0, VERTICES, (FACES, 3)).astype(np.int32)
    transform = torch.from_numpy(parameter_map(rng))
    none = torch.zeros(transform.shape[1], dtype=torch.bool)
    return types.SimpleNamespace(
        skeleton=bones,
        inverse_bind_pose=np.linalg.inv(places).astype(np.float32),
        skin_weights=types.SimpleNamespace(index=index, weight=weight),
        mesh=types.SimpleNamespace(
            vertices=base, faces=faces, texcoords=np.zeros((VERTICES, 2), np.float32), texcoord_faces=faces
        ),
        blend_shape=types.SimpleNamespace(
            base_shape=base,
            shape_vectors=(0.6 * rng.standard_normal((SHAPES, VERTICES, 3))).astype(np.float32),
        ),
        face_expression_blend_shape=None,
        parameter_limits=[],
        parameter_transform=types.SimpleNamespace(
            transform=transform,
            pose_parameters=none,
            rigid_parameters=none,
            scaling_parameters=none,
            names=[],
        ),
    )


def network(module: types.ModuleType, rng: np.random.Generator) -> torch.nn.Module:
    """Corrections by the pose: each hidden unit looks at one joint."""
    features = 6 * (len(PARENTS) - 2)
    mask = torch.zeros(HIDDEN, features, dtype=torch.bool)
    for unit in range(HIDDEN):
        joint = unit % (len(PARENTS) - 2)
        mask[unit, 6 * joint : 6 * joint + 6] = True
    first = sys.modules["mhr.utils"].SparseLinear(features, HIDDEN, mask, bias=False)
    last = torch.nn.Linear(HIDDEN, 3 * VERTICES, bias=False)
    for tensor in (first.sparse_weight, last.weight):
        tensor.data = torch.from_numpy((0.7 * rng.standard_normal(tensor.shape)).astype(np.float32))
        tensor.requires_grad = False
    return module.MHRPoseCorrectivesModel(torch.nn.Sequential(first, torch.nn.ReLU(), last))


def main() -> None:
    """Make the reference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mhr", type=Path)
    parser.add_argument("pymomentum", type=Path)
    arguments = parser.parse_args()
    module = official(arguments.mhr, arguments.pymomentum)
    rng = np.random.default_rng(0)
    model = module.MHR(character(rng), network(module, rng), torch.device("cpu"))
    sizes = {
        "identity": (1.0, 45),
        "model_parameters": (0.6, 6 + POSES + PROPORTIONS),
        "expression": (0.5, 72),
    }
    given = {
        name: torch.from_numpy((spread * rng.standard_normal((BODIES, count))).astype(np.float32))
        for name, (spread, count) in sizes.items()
    }
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mhr_model.pt"
        traced = torch.jit.trace(model, tuple(x[:2] for x in given.values()), check_trace=False)
        torch.jit.save(traced, path)
        loaded = torch.jit.load(path)
        vertices, joints = loaded(*given.values())
    out = {f"rig/{name}": tensor.numpy() for name, tensor in loaded.state_dict().items()}
    out |= {f"input/{name}": tensor.numpy() for name, tensor in given.items()}
    out |= {"output/vertices": vertices.numpy(), "output/skeleton_state": joints.numpy()}
    np.savez_compressed(TARGET, **out)
    print(f"{TARGET}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
