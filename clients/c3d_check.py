"""Read our C3D files with two independent libraries, ezc3d (C++) and c3d (Python), and compare.

Run inside an interpreter that has both: `python clients/c3d_check.py SAMPLES [RESULTS.json]`.
"""

import sys
from importlib.metadata import version
from itertools import zip_longest

import c3d
import ezc3d
import numpy as np
from expected import Checks, largest_mm, samples


def with_ezc3d(file: str) -> tuple[np.ndarray, list[str], float, int]:
    """Points (T, N, 3) millimetres with NaN where missing, labels, rate, first frame (from 1)."""
    read = ezc3d.c3d(file)
    points = np.moveaxis(read["data"]["points"][:3], 0, -1).swapaxes(0, 1)
    points = np.where(read["data"]["meta_points"]["residuals"][0].T[..., None] < 0, np.nan, points)
    point = read["parameters"]["POINT"]
    first = read["header"]["points"]["first_frame"] + 1
    return points, list(point["LABELS"]["value"]), float(point["RATE"]["value"][0]), first


def with_c3d(file: str) -> tuple[np.ndarray, list[str], float, int]:
    """The same through the other library."""
    with open(file, "rb") as handle:
        reader = c3d.Reader(handle)
        frames = [points for _, points, _ in reader.read_frames(copy=True)]
        points = np.stack(frames)
        labels = [label.strip() for label in reader.point_labels]
        missing = points[..., 3] < 0
        return (
            np.where(missing[..., None], np.nan, points[..., :3]),
            labels,
            reader.point_rate,
            reader.first_frame,
        )


def main() -> int:
    """Check every sample with both."""
    failed = 0
    rows = []
    for library, read in (("ezc3d", with_ezc3d), ("c3d", with_c3d)):
        checks = Checks(f"{library} {version(library)}")
        for name, sample in samples(sys.argv[1]).items():
            points, labels, rate, first = read(sample["files"][".c3d"][0])
            T, P, J, _ = sample["joints"].shape
            expected = sample["joints"].reshape(T, P * J, 3)
            names = [f"person{p + 1}:{n}" if P > 1 else n for p in range(P) for n in sample["names"]]
            wrong = sum(a != b for a, b in zip_longest(labels, names))
            gaps = np.isfinite(points).all(-1) != np.isfinite(expected).all(-1)
            checks.check(name, ".c3d labels that differ", wrong, 0, "labels")
            checks.check(name, ".c3d marker positions", largest_mm(points / 1000, expected), 0.001, "mm")
            checks.check(name, ".c3d markers wrongly present or missing", float(gaps.sum()), 0, "markers")
            checks.check(name, ".c3d data rate off", abs(rate - float(sample["fps"])), 1e-4, "Hz")
            start = round(float(sample["start_time"]) * float(sample["fps"])) + 1
            checks.check(name, ".c3d first frame off", abs(first - start), 0, "frames")
        rows += checks.rows
        failed += checks.finish(None)
    last = Checks("c3d libraries")
    last.rows, last.failed = rows, failed
    return last.finish(sys.argv[2] if len(sys.argv) > 2 else None)


if __name__ == "__main__":
    sys.exit(main())
