"""Joint angles over time in OpenSim's `.mot` motion file: the coordinates of one person.

Convention: degrees in the file, radians in `JointAngles`; metres; names are OpenSim's coordinates
(`pelvis_tilt`, `pelvis_tx`, `knee_angle_r`). Frames before the person comes and after they leave are not
written; the time column says when the rest is. Numbers have 6 decimals (1e-6 degrees, 1e-6 m).

A MOT file holds angles, not joint positions: `read` gives `JointAngles`, and `write` needs them beside the
motion.
"""

from pathlib import Path

import numpy as np

from posewright.core.errors import InputError
from posewright.core.files import atomic_path
from posewright.io.user_files import expect, reading
from posewright.structures.joint_angles import JointAngles
from posewright.structures.motion import Motion

SUFFIXES = (".mot",)
ONE_PERSON = True


def write(
    motion: Motion | None,
    path: str | Path,
    *,
    person: int | None = None,
    angles: JointAngles | None = None,
) -> None:
    """Write one person's joint angles.

    Args:
        motion: only named in errors; the angles are all that is written.
        path: the `.mot` file.
        person: whom, where `angles` has several.
        angles: the joint angles, same people as the motion.
    """
    if angles is None:
        raise InputError(
            "a MOT file holds joint angles, and a motion holds joint positions and rotations: "
            "compute them with posewright.motion and give angles="
        )
    p = _person(angles, person)
    values = angles.values[:, p].astype(np.float64)
    values = np.where(angles.is_translation, values, np.rad2deg(values))
    times = angles.start_time + np.arange(len(values)) / angles.fps
    there = np.flatnonzero(np.isfinite(values).any(1))
    expect(len(there) > 0, "the joint angles of this person are missing in every frame")
    rows = slice(there[0], there[-1] + 1)
    table = np.column_stack([times[rows], values[rows]])
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"Coordinates\nversion=1\nnRows={len(table)}\nnColumns={table.shape[1]}\ninDegrees=yes\n")
        file.write("\nUnits are SI: seconds and metres; angles are in degrees.\n\nendheader\n")
        file.write("\t".join(["time", *angles.names]) + "\n")
        formats = ["%.9f"] + ["%.6f"] * len(angles.names)
        np.savetxt(file, table, fmt=formats, delimiter="\t")


def _person(angles: JointAngles, person: int | None) -> int:
    if person is None and len(angles.person_ids) == 1:
        return 0
    if person not in angles.person_ids:
        known = ", ".join(str(i) for i in angles.person_ids)
        raise InputError(f"a MOT file holds one person: say person=, one of {known} (got {person})")
    return angles.person_ids.index(person)


def read(path: str | Path) -> JointAngles:
    """Read joint angles of a MOT (or STO) file, in degrees or radians as its header says.

    Raises:
        InputError: absent, cut off, or not a motion file.
    """
    with reading(path, "OpenSim motion (.mot)") as path:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        ends = [n for n, line in enumerate(lines) if line.strip().lower() == "endheader"]
        expect(bool(ends) and len(lines) > ends[0] + 2, "there is no endheader line with a table after it")
        header = dict(line.strip().split("=", 1) for line in lines[: ends[0]] if "=" in line)
        names = lines[ends[0] + 1].split()
        expect(names[0] == "time" and len(names) > 1, "the first column should be called time")
        rows = [[float(cell) for cell in line.split()] for line in lines[ends[0] + 2 :] if line.strip()]
        wrong = [n for n, row in enumerate(rows, 1) if len(row) != len(names)]
        expect(not wrong, f"row {wrong[0] if wrong else 0} does not have {len(names)} cells")
        promised = int(header.get("nRows", len(rows)))
        expect(len(rows) >= promised, f"cut off: the header says {promised} rows, there are {len(rows)}")
        return _angles(names[1:], np.array(rows), header.get("inDegrees", "yes").strip().lower() == "yes")


def _angles(names: list[str], table: np.ndarray, in_degrees: bool) -> JointAngles:
    times, values = table[:, 0], table[:, None, 1:]
    increasing = len(times) > 1 and times[-1] > times[0]
    expect(increasing, "at least two rows of increasing time are needed to know the rate")
    angles = JointAngles(
        names=tuple(names),
        values=values,
        fps=round((len(times) - 1) / float(times[-1] - times[0]), 6),
        start_time=float(times[0]),
    )
    if in_degrees:
        values[..., ~angles.is_translation] = np.deg2rad(values[..., ~angles.is_translation])
    return angles
