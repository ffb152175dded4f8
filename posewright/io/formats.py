"""Save and load a `Motion` in any format, chosen by the suffix of the file.

A format that holds one person gets one file per person, `clip_person1.bvh`, `clip_person2.bvh`..., and just
`clip.bvh` where there is only one (or `person=` chooses one).
"""

import inspect
from importlib import import_module
from pathlib import Path
from types import ModuleType

from posewright.core.errors import InputError
from posewright.structures.motion import Motion

FORMATS = {
    ".npz": "npz",
    ".bvh": "bvh",
    ".glb": "glb",
    ".trc": "trc",
    ".c3d": "c3d",
    ".mot": "mot",
    ".csv": "motion_csv",
    ".json": "motion_json",
    ".usda": "usd",
    ".usd": "usd",
    ".fbx": "blender",
    ".blend": "blender",
    ".amc": "amc",
}
"""Suffix -> file of this package that reads and writes it."""


def save(motion: Motion, path: str | Path, **options) -> list[Path]:
    """Write a motion in the format that the suffix names.

    Args:
        motion: what to write.
        path: the file; its folder is made.
        options: the format's own, such as `person=2`, `scale=` of BVH, `angles=` of MOT.

    Returns:
        The files written: several where the format holds one person and the motion has more.

    Raises:
        InputError: an unknown suffix or option, or the format cannot hold this motion; the message says what
        is
            missing.
    """
    path = Path(path)
    module = format_of(path)
    if not hasattr(module, "write"):
        raise InputError(f"{path.suffix} files can be read but not written; {_list('write')}")
    _check_options(module.write, options, path)
    ids = motion.person_ids
    if not getattr(module, "ONE_PERSON", False) or len(ids) < 2 or options.get("person") is not None:
        module.write(motion, path, **options)
        return [path]
    files = {i: path.with_name(f"{path.stem}_person{i}{path.suffix}") for i in ids}
    for i, file in files.items():
        module.write(motion, file, **{**options, "person": i})
    return list(files.values())


def load(path: str | Path, **options) -> Motion:
    """Read a motion from any format that has one.

    Args:
        path: the file.
        options: the format's own, such as `unit=` and `up=` of BVH, `up=` of TRC and C3D.

    Raises:
        InputError: an unknown suffix or option, an absent or damaged file, or one that holds no motion.
    """
    path = Path(path)
    module = format_of(path)
    _check_options(module.read, options, path)
    motion = module.read(path, **options)
    if not isinstance(motion, Motion):
        raise InputError(
            f"{path}: holds {type(motion).__name__}, not joint positions; "
            f"read it with posewright.io.{FORMATS[path.suffix.lower()]}.read"
        )
    return motion


def convert(source: str | Path, target: str | Path, **options) -> list[Path]:
    """Read one format and write another: `save(load(source), target, **options)`."""
    return save(load(source), target, **options)


def format_of(path: str | Path) -> ModuleType:
    """Return the file of this package that knows a path's format.

    Raises:
        InputError: unknown suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"{path}: the suffix {suffix!r} names no format; {_list('read')}")
    return import_module(f"posewright.io.{FORMATS[suffix]}")


def _list(verb: str) -> str:
    return f"formats that posewright can {verb}: " + ", ".join(
        s for s in FORMATS if verb == "read" or s != ".amc"
    )


def _check_options(function, options: dict, path: Path) -> None:
    """Refuse options that the format does not have."""
    known = {n for n, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY}
    wrong = sorted(set(options) - known)
    if wrong:
        has = ", ".join(sorted(known)) or "none"
        raise InputError(f"{path}: {path.suffix} has no option {', '.join(wrong)}; it has: {has}")
