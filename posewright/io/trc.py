"""Marker trajectories in OpenSim's `.trc` text table: joint positions of one person, under their joint names.

Convention: the file has Y up, `(x, y, z) -> (x, z, -y)` from our Z-up world, metres (or mm); tab-separated; a
missing position is three empty cells. Positions are written to 1e-6 m. Rotations, bones and confidence are
not in the file. Layout: https://opensimconfluence.atlassian.net/wiki/spaces/OpenSim/pages/53089972 (header of
five lines, then rows).
"""

from pathlib import Path

import numpy as np

from posewright.core.errors import InputError
from posewright.core.files import atomic_path
from posewright.io.axes import from_z_up, to_z_up
from posewright.io.people import missing_confidence, named_skeleton, one_person
from posewright.io.user_files import expect, reading
from posewright.structures.motion import Motion

SUFFIXES = (".trc",)
ONE_PERSON = True
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
"""Length of each unit that the header may name."""
KEYS = (
    "DataRate",
    "CameraRate",
    "NumFrames",
    "NumMarkers",
    "Units",
    "OrigDataRate",
    "OrigDataStartFrame",
    "OrigNumFrames",
)


def write(
    motion: Motion, path: str | Path, *, person: int | None = None, unit: str = "m", up: str = "y"
) -> None:
    """Write one person's joints.

    Args:
        motion: joints in any joint set; the names become marker names.
        path: the `.trc` file.
        person: whom, where there are several.
        unit: `m`, `cm` or `mm`.
        up: up axis of the file; OpenSim expects `y`.
    """
    motion = one_person(motion, person, "TRC")
    if unit not in METRES:
        raise InputError(f"unit {unit!r}, expected one of {', '.join(METRES)}")
    values = from_z_up(motion.joints[:, 0].astype(np.float64), up) / METRES[unit]
    decimals = {"m": 6, "cm": 4, "mm": 3}[unit]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(_header(motion, Path(path).name, unit))
        for frame, (time, row) in enumerate(
            zip(motion.times(), values.reshape(len(values), -1), strict=True)
        ):
            cells = ["" if v != v else f"{v:.{decimals}f}" for v in row.tolist()]
            # OpenSim 4.6 does not count an empty cell at the end of a row unless a tab follows it
            end = "\t" if cells and not cells[-1] else ""
            file.write("\t".join([str(frame + 1), f"{time:.9f}", *cells]) + end + "\n")


def _header(motion: Motion, name: str, unit: str) -> str:
    joints, frames = motion.skeleton.joint_names, motion.num_frames
    numbers = (motion.fps, motion.fps, frames, len(joints), unit, motion.fps, 1, frames)
    axes = [f"{axis}{n}" for n in range(1, len(joints) + 1) for axis in "XYZ"]
    lines = [
        ["PathFileType", "4", "(X/Y/Z)", name],
        list(KEYS),
        [f"{v:.10g}" if isinstance(v, float) else str(v) for v in numbers],
        ["Frame#", "Time", *(cell for joint in joints for cell in (joint, "", ""))],
        ["", "", *axes],
        [],
    ]
    return "".join("\t".join(line) + "\n" for line in lines)


def read(path: str | Path, *, up: str = "y") -> Motion:
    """Read marker trajectories; tabs and commas are both understood.

    Args:
        path: the `.trc` file.
        up: up axis of the file, which TRC does not say: `y` (OpenSim) or `z`.

    Raises:
        InputError: absent, cut off within a row, or not a TRC table. Fewer rows than the header promises, which real
            files have, is a warning.
    """
    with reading(path, "marker table (.trc)") as path:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        right = len(lines) > 5 and lines[0].startswith("PathFileType")
        expect(right, "the first line should begin with PathFileType")
        separator = "\t" if "\t" in lines[1] else ","
        # of real files some leave cells at the end of line 2 or 3 out: what is paired is what is known
        header = dict(zip(_cells(lines[1], separator), _cells(lines[2], separator), strict=False))
        names = [cell for cell in _cells(lines[3], separator)[2:] if cell]
        expect(bool(names), "there are no marker names in line 4")
        table = _table(lines[5:], separator, len(names), int(header.get("NumFrames", 0)))
        return _motion(header, names, table, up, path)


def _cells(line: str, separator: str) -> list[str]:
    return [cell.strip() for cell in line.split(separator)]


def _table(lines: list[str], separator: str, num_markers: int, promised: int) -> np.ndarray:
    """(T, 2 + 3 N) numbers; empty cells, also at the end of a row, are NaN."""
    width = 2 + 3 * num_markers
    lengths, rows = [], []
    for number, line in enumerate(lines, 6):
        cells = _cells(line, separator)
        if not any(cells):
            continue
        while len(cells) > width and not cells[-1]:
            cells.pop()
        expect(len(cells) <= width, f"line {number} has {len(cells)} cells, expected {width}")
        lengths.append(len(cells))
        rows.append([float(c) if c else np.nan for c in cells] + [np.nan] * (width - len(cells)))
    expect(bool(rows), "there is a header but no frames")
    cut = lengths[-1] < width and (lengths[0] == width or len(rows) < promised)
    expect(not cut, f"cut off: the last row has {lengths[-1]} cells, expected {width}")
    return np.array(rows)


def _motion(header: dict[str, str], names: list[str], table: np.ndarray, up: str, path: Path) -> Motion:
    unit, promised = header.get("Units", "mm"), int(header.get("NumFrames", len(table)))
    short = f"The header of {path.name} promises {promised} frames, there are {len(table)}."
    expect(unit in METRES, f"Units is {unit!r}, expected one of {', '.join(METRES)}")
    positions = table[:, 2:].reshape(len(table), 1, len(names), 3) * METRES[unit]
    joints = to_z_up(positions, up).astype(np.float32)
    return Motion(
        skeleton=named_skeleton(names, None, path.stem),
        joints=joints,
        confidence=missing_confidence(joints),
        fps=float(header["DataRate"]),
        start_time=float(np.nan_to_num(table[0, 1])),
        source=path.name,
        warnings=(short,) if len(table) < promised else (),
        history=(f"read from {path.name}: {unit}, {up} up",),
    )
