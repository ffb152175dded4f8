"""Reading recordings of official code: their arrays, their weights, however they are kept, and their tolerance."""

import json
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

TOLERANCE = 1e-4
"""Absolute and relative, unless the file says otherwise."""


class Recording:
    """One file: what went in, what came out, and the weights, which may be in another file or follow a recipe."""

    def __init__(self, path: Path):
        self.path = path
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        self.meta: dict[str, Any] = json.loads(str(arrays["meta"]))
        self.own_weights = tensors(arrays, "sd/")
        self.arrays = {k: v for k, v in tensors(arrays).items() if not k.startswith("sd/")}

    @cached_property
    def network(self) -> "Recording":
        """The recording that holds the weights: this one, or the one that it names, in the same folder."""
        named = re.search(r"(\w+)\.npz", str(self.meta.get("weights", "")))
        return Recording(self.path.with_name(named.group())).network if named else self

    @cached_property
    def state_dict(self) -> dict[str, Tensor]:
        """Weights by their official keys; empty for recordings of functions."""
        if self.network is not self:
            return self.network.state_dict
        return filled(self.meta) if self.meta.get("weights") == "recipe" else self.own_weights

    @property
    def official(self) -> tuple[str, str]:
        """Repository and class or function."""
        return official(self.meta)

    @property
    def kwargs(self) -> dict[str, Any]:
        """Arguments of the official class; the network's own first."""
        own = self.meta.get("kwargs", {})
        return own if self.network is self else self.network.kwargs | own

    @property
    def tolerance(self) -> float:
        """Largest difference that counts as equal, as the file says."""
        stated = re.search(r"\d+(\.\d+)?e-\d+", str(self.meta.get("tolerance", "")))
        return float(stated.group()) if stated else TOLERANCE


def official(meta: Mapping[str, Any]) -> tuple[str, str]:
    """Repository and class or function of the official code."""
    return meta["repo"], meta.get("cls") or meta["class_path"]


def tensors(file: Mapping[str, np.ndarray], prefix: str = "") -> dict[str, Tensor]:
    """Return the arrays whose names start with `prefix`, without it."""
    return {
        k.removeprefix(prefix): torch.from_numpy(file[k])
        for k in file
        if k.startswith(prefix) and k != "meta"
    }


def filled(meta: Mapping[str, Any]) -> dict[str, Tensor]:
    """Weights that follow the recipe of `meta`, confirmed by its sums."""
    draw = np.random.RandomState(meta["weights_seed"])
    state = {}
    for key in sorted(meta["recipe_shapes"]):
        shape = tuple(meta["recipe_shapes"][key])
        value = _scaled(key, shape, draw.standard_normal(shape)).astype(np.float32)
        sums = value.astype(np.float64).sum(), np.abs(value.astype(np.float64)).sum()
        np.testing.assert_allclose(sums, meta["recipe_check"][key], rtol=1e-6, atol=1e-6, err_msg=key)
        state[key] = torch.from_numpy(value)
    return state


def _scaled(key: str, shape: tuple[int, ...], z: np.ndarray) -> np.ndarray:
    """Standard normal numbers as weights of a key."""
    if key.endswith("running_var"):
        return 0.5 + 0.5 * np.abs(z)
    if len(shape) == 1 and key.endswith(".weight"):
        return 1 + 0.1 * z
    if len(shape) >= 2 and key.rpartition(".")[2] in ("weight", "in_proj_weight", "text_projection"):
        return z / np.sqrt(np.prod(shape) / shape[0])
    return 0.1 * z
