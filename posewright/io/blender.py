"""`.fbx` and `.blend` through Blender, always in another process: its licence is the GPL.

The process is, in this order: the interpreter or `blender` program named by `POSEWRIGHT_BLENDER_PYTHON`; this
Python, if it has the `bpy` wheel (extra `[blender]`, Python 3.11); a `blender` program on the path. It
imports our glTF file and saves what is asked for.

Convention: as Blender has them: metres, Z up, our world's axes; FBX as its exporter writes it (Y up,
centimetres, which programs that read FBX turn back). Frame 0 is the first frame; a person who is missing
keeps the last pose. The scene's frame rate is the motion's.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from posewright.core.errors import InputError, MissingExtraError
from posewright.core.files import atomic_path
from posewright.io import glb
from posewright.io.npz import read_arrays
from posewright.io.people import known_order, named_skeleton, require_rotations, select_person
from posewright.io.rig import motion_from_poses
from posewright.io.user_files import expect, reading
from posewright.structures.motion import Motion

SUFFIXES = (".fbx", ".blend")
VARIABLE = "POSEWRIGHT_BLENDER_PYTHON"
SCRIPT = Path(__file__).with_name("blender_script.py")
TIMEOUT = 3600.0
"""Seconds after which the process is given up."""


def find_blender() -> list[str]:
    """Return the command that runs a script in Blender; the script and its arguments are appended.

    Raises:
        InputError: the variable names nothing that can be run.
        MissingExtraError: there is no Blender.
    """
    named = os.environ.get(VARIABLE)
    if named and not shutil.which(named):
        raise InputError(
            f"{VARIABLE} is {named!r}, which is no program; name a Python that has bpy, or blender"
        )
    if not named and importlib.util.find_spec("bpy"):
        named = sys.executable
    named = named or shutil.which("blender")
    if not named:
        raise MissingExtraError(
            "bpy",
            "blender",
            f"reading and writing FBX and .blend (or put the blender program on the path or into {VARIABLE})",
        )
    if Path(named).stem.lower().startswith("blender"):
        return [
            named,
            "--background",
            "--factory-startup",
            "--disable-autoexec",
            "--python-exit-code",
            "1",
            "--python",
        ]
    return [named]


def _run(*arguments: str | Path) -> None:
    """Run the script in Blender; what it says last is the reason if it fails."""
    command = find_blender()
    separator = ["--"] if len(command) > 1 else []
    with tempfile.TemporaryDirectory(prefix="posewright-blender-") as home:
        environment = os.environ | {"BLENDER_USER_RESOURCES": home}
        words = [*command, str(SCRIPT), *separator, *(str(a) for a in arguments)]
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=TIMEOUT, env=environment, errors="replace"
        )
    if done.returncode != 0:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise InputError(
            f"Blender failed ({command[0]}): {said[-1].strip()[:300] if said else done.returncode}"
        )


def write(motion: Motion, path: str | Path, *, person: int | None = None, skin: bool = True) -> None:
    """Write all people, or one, as armatures with a simple body.

    Args:
        motion: with rotations and rest offsets.
        path: the `.fbx` or `.blend` file.
        person: whom; None writes everybody.
        skin: give each rig a simple body.
    """
    motion = select_person(motion, person)
    require_rotations(motion, Path(path).suffix[1:].upper())
    find_blender()
    with atomic_path(path) as temporary, tempfile.TemporaryDirectory(prefix="posewright-") as folder:
        source = Path(folder) / "motion.glb"
        glb.write(motion, source, skin=skin)
        temporary.unlink()
        _run("write", source, temporary, repr(float(motion.fps)), str(motion.num_frames))
        expect(temporary.exists(), "Blender ended without writing the file")


def read(path: str | Path) -> Motion:
    """Read all armatures, one person each, over the frames of the scene or (FBX) of the animation.

    Raises:
        InputError: absent, damaged, or without an armature.
        MissingExtraError: there is no Blender.
    """
    with reading(path, Path(path).suffix[1:].upper()) as path:
        find_blender()
        with tempfile.TemporaryDirectory(prefix="posewright-") as folder:
            target = Path(folder) / "motion.npz"
            _run("read", path.resolve(), target)
            expect(target.exists(), "Blender could not open it")
            return _motion(read_arrays(target), path)


def _motion(a: dict[str, np.ndarray], path: Path) -> Motion:
    rigs = range(int(a["rigs"]))
    expect(len(rigs) > 0, "there is no armature in the file")
    described = [([str(name) for name in a[f"joints{n}"]], a[f"parents{n}"].tolist()) for n in rigs]
    names, parents = described[0]
    expect(
        all(other == described[0] for other in described), "the armatures of the file have different bones"
    )
    expect(parents.count(-1) == 1, f"the armature has {parents.count(-1)} root bones, expected one")
    known = known_order(names, parents)
    skeleton, order = known if known else (named_skeleton(names, parents, path.stem), list(range(len(names))))
    motion = motion_from_poses(
        skeleton,
        np.stack([a[f"rest{n}"][order] for n in rigs]),
        np.stack([a[f"poses{n}"][:, order] for n in rigs], 1),
        round(float(a["fps"]), 5),
    )
    numbers = [str(a[f"name{n}"]).removeprefix("person") for n in rigs]
    ours = all(number.isdigit() for number in numbers)
    return replace(
        motion,
        person_ids=tuple(int(number) for number in numbers) if ours else motion.person_ids,
        source=path.name,
        history=(f"read from {path.name}",),
    )
