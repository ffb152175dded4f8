"""The published methods, one file each: the name of a method is its path, `lifting/videopose3d`.

list_models("lifting")                      names, by walking the folders
find(name)                                  the module: PAPER, Config, Model, VARIANTS, WEIGHTS
create(name, variant=..., **changes)        a model with fresh weights
load_official(name, state_dict, **kwargs)   the authors' own checkpoint, strict
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from torch import nn

_ROOT = Path(__file__).parent


def list_models(task: str | None = None) -> list[str]:
    """Names of the methods of a task (`lifting`), or of all tasks: every file that defines `PAPER`.

    Raises:
        LookupError: there is no such task.
    """
    tasks = sorted(p.parent.name for p in _ROOT.glob("*/__init__.py"))
    if task is not None and task not in tasks:
        raise LookupError(f"no task {task!r}; there are: {', '.join(tasks)}")
    return [
        f"{folder}/{file.stem}"
        for folder in ([task] if task else tasks)
        for file in sorted((_ROOT / folder).glob("[a-z]*.py"))
        if "\nPAPER = " in file.read_text(encoding="utf-8")
    ]


def find(name: str) -> "ModuleType":
    """Return the module of a method.

    Raises:
        LookupError: there is no such method; the message lists those of its task.
    """
    names = list_models()
    if name not in names:
        task = name.partition("/")[0]
        near = [n for n in names if n.startswith(f"{task}/")] or names
        raise LookupError(f"no method {name!r}; there are: {', '.join(near)}")
    return import_module(f"posewright.models.{name.replace('/', '.')}")


def create(name: str, variant: str | None = None, **changes: Any) -> "nn.Module":
    """Build a model with fresh weights.

    Args:
        name: path of the method.
        variant: one of its published sizes; None: the default `Config`.
        **changes: fields of `Config` to replace.

    Raises:
        LookupError: there is no such method or variant.
        TypeError: the configuration has no such field.
    """
    from dataclasses import fields, replace

    method = find(name)
    variants = getattr(method, "VARIANTS", {})
    if variant is not None and variant not in variants:
        raise LookupError(f"{name} has no variant {variant!r}; it has: {', '.join(variants) or 'none'}")
    known = [f.name for f in fields(method.Config)]
    if unknown := set(changes) - set(known):
        raise TypeError(f"{name} has no option {', '.join(sorted(unknown))}; it has: {', '.join(known)}")
    config = variants[variant] if variant is not None else method.Config()
    return method.Model(replace(config, **changes))


def load_official(name: str, state_dict: Mapping, **kwargs: Any) -> "nn.Module":
    """Load the authors' own checkpoint into our model, in evaluation mode; an unknown or missing key is an error.

    Args:
        name: path of the method.
        state_dict: bare or wrapped, with or without `module.`.
        **kwargs: the official constructor's own keyword arguments.
    """
    return find(name).load_official(state_dict, **kwargs)
