"""Motion as a table, `.csv`: one row per frame, for spreadsheets, pandas and R.

Columns: `frame` (from 0), `time` (seconds in the source clip), then for each person and joint
`person1_left_hip_x`, `_y`, `_z` (metres) and `_confidence` (0 to 1); of a motion with uncertainty then, for each
person and joint, `_expected_error` (metres: root mean square error to be expected relative to the pelvis) and the
covariance of the joint's place, `_cov_xx`, `_cov_xy`, `_cov_xz`, `_cov_yy`, `_cov_yz`, `_cov_zz` (square metres).
Comma-separated, dot as decimal mark, UTF-8, no comment lines. A missing position is an empty cell.

Convention: metres, Z up. The frame rate is that of the `time` column. Positions are rounded to 1e-6 m. Bones
(parents), rotations, cameras and samples are not in the table; `_expected_error` is not read back.
"""

import csv
import re
from pathlib import Path

import numpy as np

from posewright.core.errors import InputError
from posewright.core.files import atomic_path
from posewright.io.covariances import NAMES, matrix_of, six_of
from posewright.io.people import missing_confidence, named_skeleton, select_person
from posewright.io.user_files import expect, reading
from posewright.structures.motion import Motion

SUFFIXES = (".csv",)
FIELDS = ("x", "y", "z", "confidence")
SPREAD = ("expected_error", *(f"cov_{name}" for name in NAMES))
"""Fields of a motion with uncertainty."""
_COLUMN = re.compile(rf"person(\d+)_(.+)_({'|'.join((*SPREAD, *FIELDS))})")


def write(motion: Motion, path: str | Path, *, person: int | None = None) -> None:
    """Write a motion, all people or one."""
    motion = select_person(motion, person)
    header = ["frame", "time"] + [
        f"person{i}_{joint}_{field}"
        for i in motion.person_ids
        for joint in motion.skeleton.joint_names
        for field in FIELDS
    ]
    values = np.concatenate([motion.joints, motion.confidence[..., None]], -1, dtype=np.float64)
    values = values.reshape(motion.num_frames, -1)
    formats = ["%.6f", "%.6f", "%.6f", "%.4f"] * (values.shape[1] // 4)
    more, columns = _spread(motion)
    values, formats = np.concatenate([values, columns], axis=1), formats + ["%.5g"] * columns.shape[1]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(header + more) + "\n")
        for frame, (time, row) in enumerate(zip(motion.times().tolist(), values, strict=True)):
            cells = ",".join("" if v != v else f % v for f, v in zip(formats, row.tolist(), strict=True))
            file.write(f"{frame},{time!r},{cells}\n" if cells else f"{frame},{time!r}\n")


def _spread(motion: Motion) -> tuple[list[str], np.ndarray]:
    """Names and columns (T, C) of what a motion with uncertainty has more."""
    expected = motion.expected_error()
    if expected is None or motion.joint_covariance is None:
        return [], np.zeros((motion.num_frames, 0))
    names = [
        f"person{i}_{joint}_{field}"
        for i in motion.person_ids
        for joint in motion.skeleton.joint_names
        for field in SPREAD
    ]
    columns = np.concatenate([expected[..., None], six_of(motion.joint_covariance)], axis=-1)
    return names, columns.reshape(motion.num_frames, -1).astype(np.float64)


def read(path: str | Path, *, fps: float | None = None) -> Motion:
    """Read a motion written by `write`, or any table with the same column names.

    Args:
        path: the table.
        fps: frames per second; None takes it from the `time` column, which needs at least two frames.

    Raises:
        InputError: absent, damaged, or other columns.
    """
    with reading(path, "motion table (.csv)") as path:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = list(csv.reader(file))
        expect(header[:2] == ["frame", "time"], "the first two columns should be called frame and time")
        expect(bool(rows), "there are column names but no rows")
        wrong = [n for n, row in enumerate(rows, 2) if len(row) != len(header)]
        expect(
            not wrong,
            f"row {wrong[0] if wrong else 0} has another number of cells than the {len(header)} names",
        )
        table = np.array([[float(cell) if cell else np.nan for cell in row] for row in rows])
        return _motion(header, table, fps, path)


def _motion(header: list[str], table: np.ndarray, fps: float | None, path: Path) -> Motion:
    people, joints = _columns(header[2:])
    fields = (*FIELDS, *SPREAD)
    values = np.full((len(table), len(people), len(joints), len(fields)), np.nan)
    for column, name in enumerate(header[2:], 2):
        match = _COLUMN.fullmatch(name)
        assert match is not None
        person, joint, field = match.groups()
        values[:, people.index(int(person)), joints.index(joint), fields.index(field)] = table[:, column]
    positions = values[..., :3].astype(np.float32)
    given = np.where(np.isfinite(values[..., 3]), values[..., 3], missing_confidence(positions))
    return Motion(
        skeleton=named_skeleton(joints, None, path.stem),
        joints=positions,
        confidence=np.where(missing_confidence(positions) > 0, given, 0).astype(np.float32),
        fps=fps or _rate(table[:, 1]),
        joint_covariance=_covariance(values[..., -len(NAMES) :]),
        person_ids=tuple(people),
        start_time=float(table[0, 1]),
        source=path.name,
        history=(f"read from {path.name}",),
    )


def _covariance(six: np.ndarray) -> np.ndarray | None:
    """Covariances (T, P, J, 3, 3) of the table's six columns, or None where it has none."""
    return matrix_of(six).astype(np.float32) if np.isfinite(six).any() else None


def _columns(names: list[str]) -> tuple[list[int], list[str]]:
    """People and joints in the order in which the columns name them."""
    people: dict[int, None] = {}
    joints: dict[str, None] = {}
    for name in names:
        match = _COLUMN.fullmatch(name)
        if match is None:
            raise InputError(f"column {name!r}, expected names such as person1_left_hip_x")
        people.setdefault(int(match[1]))
        joints.setdefault(match[2])
    expect(bool(joints), "there are no joint columns")
    return list(people), list(joints)


def _rate(times: np.ndarray) -> float:
    """Frames per second of equally spaced times."""
    expect(len(times) > 1, "one frame does not say the frame rate: give fps=")
    expect(bool(np.isfinite(times).all() and times[-1] > times[0]), "the time column does not increase")
    return round((len(times) - 1) / float(times[-1] - times[0]), 6)
