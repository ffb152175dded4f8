"""Files of fitted bodies: `.glb` (skinned meshes), `.bvh` (bones), `.npz` (AMASS layout).

A format that holds one person gets one file per person, `body_person1.bvh`..., as `io.formats` does it.
"""

from pathlib import Path

import numpy as np

from posewright.bodies.rig import body_rig
from posewright.core.errors import InputError
from posewright.io import body_amass, body_bvh, body_glb
from posewright.io.people import select_person
from posewright.pipelines.body import load_named_body
from posewright.structures.motion import Motion
from posewright.structures.motion_bodies import BodyRig

DETAILS = {"full": "full", "low": "low_1229"}
"""How fine the mesh of `.glb` is -> topology: 13,718 or 1,229 vertices."""
SUFFIXES = (".glb", ".bvh", ".npz")
NAMES = ("body.glb", "body.bvh", "body_amass.npz")
"""What `posewright run --body` writes."""


def body_rigs(motion: Motion, detail: str = "full") -> tuple[BodyRig, ...]:
    """The mesh of everybody.

    Args:
        motion: with `bodies`.
        detail: `full` or `low`.

    Raises:
        InputError: the motion has no bodies, or no such detail.
    """
    if motion.bodies is None:
        raise InputError("the motion has no bodies: run with --body anny, or posewright.with_bodies(motion)")
    if detail not in DETAILS:
        raise InputError(f"body detail {detail!r}, expected one of {', '.join(DETAILS)}")
    body = load_named_body(motion.bodies.model, DETAILS[detail])
    return tuple(body_rig(body, motion.bodies, p) for p in range(motion.num_people))


def save_body(
    motion: Motion, path: str | Path, *, detail: str = "full", person: int | None = None
) -> list[Path]:
    """Write the bodies of a motion in the format that the suffix names.

    Args:
        motion: with `bodies`.
        path: `.glb`, `.bvh` or `.npz`; its folder is made.
        detail: of the mesh in `.glb`: `full` or `low`.
        person: whom; None: everybody.

    Returns:
        The files written: one per person where the format holds one and there are more.

    Raises:
        InputError: the motion has no bodies or nobody of that number, or no such suffix or detail.
    """
    path, motion = Path(path), select_person(motion, person)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: bodies are written as {', '.join(SUFFIXES)}")
    rigs = body_rigs(motion, detail if suffix == ".glb" else "low")
    if suffix == ".glb":
        body_glb.write(motion, rigs, path)
        return [path]
    assert motion.bodies is not None
    there = np.flatnonzero(motion.bodies.present().any(0))
    if not len(there):
        raise InputError(f"{path}: no body could be fitted to anybody")
    write = body_bvh.write if suffix == ".bvh" else body_amass.write
    files = []
    for p in there:
        files.append(_file_of(path, motion.person_ids[p], motion.num_people))
        write(motion.bodies, int(p), rigs[p], motion.fps, files[-1])
    return files


def _file_of(path: Path, person: int, people: int) -> Path:
    return path if people == 1 else path.with_name(f"{path.stem}_person{person}{path.suffix}")
