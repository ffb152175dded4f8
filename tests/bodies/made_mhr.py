"""MHR files of random numbers, in the two layouts that the official code writes."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from posewright.bodies.mhr_file import ARRAYS, EXPRESSIONS, FACES, NAMES
from posewright.bodies.mhr_joints import JOINT_NAMES, PARENTS

REFERENCE = Path(__file__).parent / "mhr_reference.npz"
"""Recorded by `benchmarks/record_mhr.py`."""


def recorded() -> dict[str, np.ndarray]:
    """Arrays of the recorded rig, by the names in the file."""
    with np.load(REFERENCE) as reference:
        return {n.removeprefix("rig/"): reference[n] for n in reference.files if n.startswith("rig/")}


def as_released(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The same rig as the released file has it: shapes of the face apart, and names."""
    shapes, transform = arrays[ARRAYS["shapes"]], arrays[ARRAYS["transform"]][:, :-FACES]
    return arrays | {
        ARRAYS["shapes"]: shapes[:-FACES],
        EXPRESSIONS: shapes[-FACES:],
        ARRAYS["transform"]: transform,
        NAMES["joint_names"]: [f"bone{j}" for j in range(len(arrays[ARRAYS["parents"]]))],
        NAMES["parameter_names"]: [f"control{i}" for i in range(transform.shape[1])],
    }


def write_plain(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """Write a plain npz."""
    np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]
    return path


class Node(torch.nn.Module):
    """A module of the tree, which does nothing."""

    def forward(self, x: torch.Tensor):
        return x


def write_script(path: Path, values: dict[str, object]) -> Path:
    """Write a TorchScript archive whose modules have these tensors and lists of names."""
    root = Node()
    for name, value in values.items():
        *above, last = name.split(".")
        node = root
        for part in above:
            if part not in dict(node.named_children()):
                node.add_module(part, Node())
            node = node.get_submodule(part)
        if isinstance(value, np.ndarray):
            node.register_buffer(last, torch.from_numpy(value))
        else:
            setattr(node, last, torch.jit.Attribute(value, list[str]))
    torch.jit.save(torch.jit.script(root), path)
    return path


_PLACES = {
    "root": (0.0, 0.92, 0.0),
    "upleg": (0.09, 0.9, 0.0),
    "lowleg": (0.1, 0.5, 0.02),
    "foot": (0.1, 0.08, -0.03),
    "talocrural": (0.1, 0.08, -0.03),
    "ball": (0.1, 0.02, 0.09),
    "c_spine0": (0.0, 0.97, 0.0),
    "c_spine1": (0.0, 1.08, -0.01),
    "c_spine2": (0.0, 1.2, -0.02),
    "c_spine3": (0.0, 1.32, -0.01),
    "c_neck": (0.0, 1.45, -0.01),
    "c_head": (0.0, 1.55, 0.02),
    "clavicle": (0.03, 1.41, 0.02),
    "uparm": (0.17, 1.41, -0.02),
    "lowarm": (0.44, 1.4, -0.03),
    "wrist_twist": (0.69, 1.4, 0.0),
    "wrist": (0.69, 1.4, 0.0),
}
"""Metres, left side: a made-up person in a T-pose."""


def person(seed: int = 0, vertices: int = 18_439) -> dict[str, np.ndarray]:
    """A rig with the released tree and number of vertices, whose joints are those of a person in a T-pose.

    Parameters: the root's six, three angles of every other joint, the length of the legs, the scale of the trunk.
    """
    rng = np.random.default_rng(seed)
    joints = len(PARENTS)
    places = np.zeros((joints, 3))
    for j, name in enumerate(JOINT_NAMES):
        mirrored = np.array([-1.0 if name.startswith("r_") else 1.0, 1, 1])
        own = _PLACES.get(name, _PLACES.get(name[2:]))
        places[j] = places[PARENTS[j]] + 0.01 * mirrored if own is None else mirrored * own
    places[0] = 0
    offsets = places - places[[max(p, 0) for p in PARENTS]]
    transform = np.zeros((joints, 7, 6 + 3 * (joints - 2) + 2 + 45 + FACES), np.float32)
    transform[1, range(6), range(6)] = [10, 10, 10, 1, 1, 1]
    for j in range(2, joints):
        transform[j, range(3, 6), range(3 * j, 3 * j + 3)] = 1.0
    lower = [j for j, n in enumerate(JOINT_NAMES) if n[2:] in ("lowleg", "foot")]
    transform[lower, 1, 3 * joints] = -1.0
    transform[JOINT_NAMES.index("c_spine0"), 6, 3 * joints + 1] = 1.0
    nearest = rng.integers(1, joints, vertices)
    base = 100 * places[nearest] + 3 * rng.standard_normal((vertices, 3))
    bind = np.tile([0.0, 0, 0, 0, 0, 0, 1, 1], (joints, 1))
    bind[:, :3] = -100 * places
    shapes = rng.standard_normal((45 + FACES, 1, 1)) * rng.standard_normal((vertices, 3))
    single = {"template": base, "shapes": 0.02 * shapes, "offsets": 100 * offsets, "inverse_bind": bind}
    single |= {"prerotations": np.tile([0.0, 0, 0, 1], (joints, 1)), "skin_weights": np.ones(vertices)}
    whole = {"parents": np.array(PARENTS), "skin_joints": nearest, "skin_vertices": np.arange(vertices)}
    whole["faces"] = rng.integers(0, vertices, (50, 3))
    made = {n: x.astype(np.float32) for n, x in single.items()} | whole
    made["transform"] = transform.reshape(7 * joints, -1)
    return {ARRAYS[n]: x for n, x in made.items()}
