"""Marker trajectories in the binary `.c3d` of biomechanics laboratories (https://www.c3d.org), through ezc3d.

Convention: millimetres, Z up, our world's axes unchanged; joint names are the labels; several people are told
apart by a prefix, `person1:left_hip`, as motion-capture programs do. Missing = residual -1. Positions are
stored as float32 millimetres. Rotations, bones and confidence are not in the file. At most 65535 frames;
where the start time would count beyond that, it is lost.
"""

import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import ezc3d
import numpy as np

from posewright.core.files import atomic_path
from posewright.io.axes import to_z_up
from posewright.io.npz import read_arrays
from posewright.io.people import missing_confidence, named_skeleton, select_person, unique_names
from posewright.io.user_files import expect, reading
from posewright.structures.motion import Motion

SUFFIXES = (".c3d",)
MAX_FRAMES = 65535
"""What the format's 16-bit counters hold; ezc3d reads no further."""
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
CHILD = Path(__file__).with_name("c3d_child.py")
SECONDS, BYTES_PER_SECOND = 30.0, 1e6
"""Reading is given up after this long, longer for larger files: damaged ones can keep the library busy."""


def write(motion: Motion, path: str | Path, *, person: int | None = None) -> None:
    """Write the joints of all people, or of one."""
    motion = select_person(motion, person)
    T, P, J, _ = motion.joints.shape
    expect(P > 0 and T > 0, "the motion has no people or no frames; a C3D file needs both")
    expect(
        T <= MAX_FRAMES,
        f"the motion has {T} frames, and a C3D file holds at most {MAX_FRAMES}: write .trc or .npz, or shorter parts",
    )
    first = max(0, round(motion.start_time * motion.fps))
    prefixes = [f"person{i}:" if P > 1 else "" for i in motion.person_ids]
    points = np.full((4, P * J, T), 1.0)
    points[:3] = motion.joints.reshape(T, P * J, 3).transpose(2, 1, 0) * 1000.0
    c3d = ezc3d.c3d()
    point = c3d["parameters"]["POINT"]
    point["RATE"]["value"] = [float(motion.fps)]
    point["UNITS"]["value"] = ["mm"]
    point["LABELS"]["value"] = [prefix + name for prefix in prefixes for name in motion.skeleton.joint_names]
    c3d.add_parameter("POINT", "X_SCREEN", ["+X"])
    c3d.add_parameter("POINT", "Y_SCREEN", ["+Z"])
    c3d["data"]["points"] = points
    c3d["header"]["points"]["first_frame"] = first if first + T <= MAX_FRAMES else 0
    with atomic_path(path) as temporary:
        c3d.write(str(temporary))


def read(path: str | Path, *, up: str = "z") -> Motion:
    """Read markers, whatever the processor type; angles and forces among the points are left out.

    Args:
        path: the `.c3d` file.
        up: up axis of the file: `z` as laboratories have it, or `y`.

    Raises:
        InputError: absent, cut off, or not C3D.
    """
    with reading(path, "C3D") as path:
        _check_header(path)
        with tempfile.TemporaryDirectory(prefix="posewright-") as folder:
            return _motion(read_arrays(_extract(path, Path(folder) / "points.npz")), up, path)


def _extract(path: Path, target: Path) -> Path:
    """Let a process of its own read the file: damaged ones can crash the library."""
    words = [sys.executable, str(CHILD), str(path.resolve()), str(target)]
    patience = SECONDS + path.stat().st_size / BYTES_PER_SECOND
    done = subprocess.run(words, capture_output=True, text=True, timeout=patience, errors="replace")
    said = [line for line in done.stderr.splitlines() if line.strip()]
    expect(done.returncode >= 0, f"the file is damaged: ezc3d crashed on it (signal {-done.returncode})")
    expect(done.returncode == 0, f"ezc3d: {said[-1].strip()[:300] if said else done.returncode}")
    return target


def _check_header(path: Path) -> None:
    """Refuse what is no C3D or shorter than it says, before the library reads it."""
    with path.open("rb") as file:
        header = file.read(512)
        expect(len(header) == 512 and header[1] == 0x50, "the file does not begin like C3D (second byte 80)")
        file.seek((header[0] - 1) * 512 if header[0] else 0)
        processor = file.read(4)[3:]
        expect(processor in (b"\x54", b"\x55", b"\x56"), "the processor type is not 84, 85 or 86")
    order = ">" if processor == b"\x56" else "<"
    points, analog, first, last = struct.unpack(order + "4H", header[2:10])
    data_block = struct.unpack(order + "H", header[16:18])[0]
    number = 2 if _scale(header[12:16], processor) > 0 else 4
    frame = (4 * points + analog) * number
    needed = (data_block - 1) * 512 + frame * (last - first + 1 if last < 65535 else 1)
    size = path.stat().st_size
    expect(size >= needed, f"cut off: {size} bytes, and the header promises {needed}")


def _scale(data: bytes, processor: bytes) -> float:
    """The header's scale factor: its sign says whether numbers are integers (+) or floats (-)."""
    if processor == b"\x55":
        return -1.0 if data[1] & 0x80 else 1.0
    return struct.unpack((">" if processor == b"\x56" else "<") + "f", data)[0]


def _motion(a: dict[str, np.ndarray], up: str, path: Path) -> Motion:
    """Put the positions among the points into our axes and units."""
    count, frames = a["points"].shape[1:]
    expect(count > 0 and frames > 0, "the file holds no points")
    labels = [str(label) for label in a["labels"][:count]]
    labels += [f"unnamed{n}" for n in range(len(labels) + 1, count + 1)]
    keep = [n for n, label in enumerate(labels) if label not in set(a["outputs"].tolist())]
    expect(bool(keep), "all points are model outputs (angles, forces), none is a position")
    people, joints = _split_people([labels[n] for n in keep])
    values = _positions(a, up)[:, keep].reshape(frames, len(people), -1, 3).astype(np.float32)
    rate, dropped = float(a["rate"]), count - len(keep)
    full = (
        f"{path.name} has {MAX_FRAMES} frames, the most that C3D counts: what comes after them is not read."
    )
    return Motion(
        skeleton=named_skeleton(joints, None, path.stem),
        joints=values,
        confidence=missing_confidence(values),
        fps=rate,
        person_ids=people,
        start_time=int(a["first_frame"]) / rate,
        source=path.name,
        warnings=(full,) if frames >= MAX_FRAMES else (),
        history=(f"read from {path.name}" + (f", without {dropped} model outputs" if dropped else ""),),
    )


def _positions(a: dict[str, np.ndarray], up: str) -> np.ndarray:
    """(T, N, 3) metres, Z up; NaN where the residual is negative."""
    unit = str(a["unit"][0]) if len(a["unit"]) else "mm"
    expect(unit in METRES, f"POINT:UNITS is {unit!r}, expected one of {', '.join(METRES)}")
    points = np.moveaxis(a["points"], 0, -1) * METRES[unit]
    points[a["residuals"] < 0] = np.nan
    return to_z_up(points.swapaxes(0, 1), up)


def _split_people(labels: list[str]) -> tuple[tuple[int, ...], list[str]]:
    """People and joints of labels like `person1:left_hip`; other labels belong to one person as they are."""
    numbers, joints_of = [], {}
    for label in labels:
        prefix, _, joint = label.partition(":")
        numbers.append(prefix.removeprefix("person"))
        joints_of.setdefault(numbers[-1], []).append(joint)
    sets = list(joints_of.values())
    in_order = numbers == [n for n, joints in joints_of.items() for _ in joints]
    ours = all(label.startswith("person") and n.isdigit() for label, n in zip(labels, numbers, strict=True))
    if not (ours and in_order and all(joints == sets[0] for joints in sets)):
        return (1,), unique_names(labels)
    return tuple(int(n) for n in joints_of), unique_names(sets[0])
