"""Object arrays of `.npz` files as plain arrays: a copy that any numpy reads with `allow_pickle=False`.

Layout (version 1): every array of the tree is an array `n0`, `n1`... of the file; `posewright_tree` is a JSON text
that says where each belongs. Its nodes are `{"dict": [[key, node]...]}`, `{"list": [node...]}`, `{"array": 0}` and
`{"value": ...}` (text, number, true, false or null); the root is a dictionary of the original file's arrays.
`core.safe_pickle.read_object_npz` reads both kinds alike, so that a plain copy stands in for the original.
"""

import json
from pathlib import Path

import numpy as np

from posewright.core.errors import InputError
from posewright.core.files import atomic_path

KEY = "posewright_tree"
VERSION = 1


def write(arrays: dict[str, np.ndarray], path: str | Path) -> None:
    """Write arrays, among them object arrays that hold dictionaries and lists of arrays, without a pickle.

    Raises:
        InputError: the tree holds something that is no array, dictionary, list, text or number.
    """
    plain: list[np.ndarray] = []
    tree = {"version": VERSION, "root": _node(arrays, plain, "")}
    with atomic_path(path) as temporary:
        named = {f"n{i}": array for i, array in enumerate(plain)} | {KEY: np.array(json.dumps(tree))}
        np.savez_compressed(temporary, **named)  # pyright: ignore[reportArgumentType]


def restore(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rebuild the original's arrays from those of a plain copy.

    Raises:
        InputError: a later version, or a tree that does not fit its arrays.
    """
    try:
        tree = json.loads(str(arrays[KEY]))
        if tree["version"] > VERSION:
            raise InputError(
                f"written in version {tree['version']} of the layout; this posewright reads {VERSION}"
            )
        root = _value(tree["root"], arrays)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f"its {KEY} does not fit its arrays: {error!r}") from error
    return {name: value if isinstance(value, np.ndarray) else _boxed(value) for name, value in root.items()}


def _node(value, plain: list[np.ndarray], where: str) -> dict:
    """Describe a value, and put its arrays aside."""
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        value = value.item() if value.ndim == 0 else value.tolist()
    if isinstance(value, dict):
        return {"dict": [[_key(k, where), _node(v, plain, f"{where}/{k}")] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_node(v, plain, f"{where}/{i}") for i, v in enumerate(value)]}
    if isinstance(value, np.ndarray):
        plain.append(value)
        return {"array": len(plain) - 1}
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, str | bool | int | float):
        return {"value": value}
    raise InputError(
        f"{where} is {type(value).__name__}, which has no plain form (arrays, dictionaries, lists, text)"
    )


def _key(key, where: str) -> str | int:
    if isinstance(key, str | int):
        return key
    raise InputError(f"{where or 'the file'} has the key {key!r}, expected text or a whole number")


def _value(node: dict, arrays: dict[str, np.ndarray]):
    """What a node describes."""
    if "dict" in node:
        return {key: _value(child, arrays) for key, child in node["dict"]}
    if "list" in node:
        return [_value(child, arrays) for child in node["list"]]
    return arrays[f"n{node['array']}"] if "array" in node else node["value"]


def _boxed(value) -> np.ndarray:
    """An array of one object, as numpy makes of a dictionary."""
    out = np.empty((), object)
    out[()] = value
    return out
