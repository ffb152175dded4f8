"""Load our TRC and MOT files with OpenSim's own readers and compare the values.

OpenSim's wheel (4.6) is built without its C3D reader; `c3d_check.py` reads those.

Run inside an interpreter that has opensim: `python clients/opensim_check.py SAMPLES [RESULTS.json]`.
"""

import sys

import numpy as np
import opensim
from expected import Checks, largest_mm, samples


def vectors(table) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Positions (T, N, 3), labels and times of a table of vectors."""
    labels = list(table.getColumnLabels())
    times = np.array(table.getIndependentColumn())
    flat = table.flatten()  # kept: the matrix is only a view into it
    matrix = flat.getMatrix()
    values = np.array(matrix.to_numpy())
    return values.reshape(len(times), len(labels), 3), labels, times


def z_up(points: np.ndarray) -> np.ndarray:
    """From the Y-up axes of TRC files to ours."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], -1)


def check_trc(checks: Checks, name: str, sample: dict, files: list[str]) -> None:
    """Names, times, units and positions, missing ones included."""
    worst, late, wrong_gaps = 0.0, 0.0, 0
    for p, file in enumerate(files):
        table = opensim.TimeSeriesTableVec3(file)
        points, labels, times = vectors(table)
        factor = {"m": 1.0, "mm": 0.001}[table.getTableMetaDataString("Units")]
        expected = sample["joints"][:, p]
        same = labels == sample["names"]
        worst = max(worst, largest_mm(z_up(points) * factor, expected) if same else np.inf)
        wrong_gaps += int((np.isfinite(points).all(-1) != np.isfinite(expected).all(-1)).sum())
        late = max(
            late, float(np.abs(times - sample["start_time"] - np.arange(len(expected)) / sample["fps"]).max())
        )
        rate = abs(float(table.getTableMetaDataString("DataRate")) - float(sample["fps"]))
        checks.check(name, ".trc data rate off", rate, 1e-6, "Hz")
    checks.check(name, ".trc marker positions", worst, 0.001, "mm")
    checks.check(name, ".trc times", late, 1e-6, "s")
    checks.check(name, ".trc markers wrongly present or missing", wrong_gaps, 0, "markers")


def check_mot(checks: Checks, name: str, sample: dict, files: list[str]) -> None:
    """Coordinates as OpenSim's storage reads them, in degrees and metres."""
    worst, late = 0.0, 0.0
    for p, file in enumerate(files):
        storage = opensim.Storage(file)
        if not storage.isInDegrees():
            worst = np.inf
        labels = [storage.getColumnLabels().get(n) for n in range(storage.getColumnLabels().getSize())]
        expected = sample["angles"][:, p]
        rows = np.flatnonzero(np.isfinite(expected).any(1))
        for n, label in enumerate(sample["angle_names"]):
            column = opensim.ArrayDouble()
            storage.getDataColumn(str(label), column)
            found = np.array([column.get(k) for k in range(column.getSize())])
            good = len(found) == len(rows) and str(label) in labels
            worst = max(worst, float(np.abs(found - expected[rows, n]).max()) if good else np.inf)
        times = opensim.ArrayDouble()
        storage.getTimeColumn(times)
        found = np.array([times.get(k) for k in range(times.getSize())])
        # posewright.structures.JointAngles: rows start when the person comes
        late = max(late, float(np.abs(found - sample["start_time"] - rows / sample["fps"]).max()))
    checks.check(name, ".mot coordinates", worst, 1e-5, "degrees or metres")
    checks.check(name, ".mot times", late, 1e-6, "s")


def main() -> int:
    """Check every sample."""
    opensim.Logger.setLevelString("Error")
    checks = Checks(f"opensim {opensim.GetVersion()}")
    for name, sample in samples(sys.argv[1]).items():
        check_trc(checks, name, sample, sample["files"][".trc"])
        check_mot(checks, name, sample, sample["files"][".mot"])
    return checks.finish(sys.argv[2] if len(sys.argv) > 2 else None)


if __name__ == "__main__":
    sys.exit(main())
