"""What every client check shares: the expected joints, and one line per check. Needs numpy only."""

import json
import sys
from pathlib import Path

import numpy as np


class Checks:
    """Collects results; `finish` prints the status a Makefile understands."""

    def __init__(self, client: str):
        self.client = client
        self.failed = 0
        self.rows: list[dict] = []

    def check(self, sample: str, what: str, value: float, limit: float, unit: str) -> None:
        """Record one measured value, which must not exceed `limit`."""
        ok = bool(np.isfinite(value) and value <= limit)
        self.failed += not ok
        self._say(ok, sample, what, value, limit, unit)
        self.rows.append(
            {
                "client": self.client,
                "sample": sample,
                "check": what,
                "value": f"{value:.6g}",
                "limit": f"{limit:g}",
                "unit": unit,
                "ok": ok,
            }
        )

    def _say(self, ok: bool, sample: str, what: str, value: float, limit: float, unit: str) -> None:
        verdict = "ok  " if ok else "FAIL"
        sys.stdout.write(f"{verdict} {self.client}: {sample}: {what}: {value:.6g} {unit} (limit {limit:g})\n")
        sys.stdout.flush()

    def finish(self, results: str | None) -> int:
        """Write the rows where asked to and return the exit status."""
        if results:
            Path(results).write_text(json.dumps(self.rows))
        sys.stdout.write(f"{self.client}: {len(self.rows) - self.failed} of {len(self.rows)} checks passed\n")
        return 1 if self.failed or not self.rows else 0


def samples(folder: str) -> dict[str, dict]:
    """Expected arrays of every sample, by name, with `files` by suffix."""
    out = {}
    for file in sorted(Path(folder).glob("*_expected.npz")):
        with np.load(file) as archive:
            sample = {key: archive[key] for key in archive.files}
        sample["files"] = json.loads(str(sample["files"]))
        sample["names"] = [str(name) for name in sample["names"]]
        out[file.name.removesuffix("_expected.npz")] = sample
    if not out:
        sys.exit(f"no samples in {folder}: run clients/samples.py first")
    return out


def bodies(folder: str) -> dict[str, dict]:
    """Expected vertices by name: `frames` (F,), `body` and `skinned` (F, P, V, 3) metres, `there` (F, P)."""
    out = {}
    for file in sorted(Path(folder).glob("*_bodies.npz")):
        with np.load(file) as archive:
            sample = {key: archive[key] for key in archive.files}
        out[file.name.removesuffix("_bodies.npz")] = sample | {"file": str(sample["path"])}
    if not out:
        sys.stdout.write("skip body.glb: no body among the samples\n")
    return out


def check_vertices(checks: Checks, name: str, sample: dict, found: list[list[np.ndarray]]) -> None:
    """Compare the vertices that a program shows, per frame and person, with ours."""
    frames, people = sample["there"].shape
    if len(found) != frames or any(len(meshes) != people for meshes in found):
        checks.check(name, "body.glb meshes missing", float("inf"), 0, "meshes")
        return
    for what, limit in (("skinned", 0.1), ("body", 2.0)):
        worst = [
            largest_mm(found[f][p], sample[what][f, p])
            for f in range(frames)
            for p in range(people)
            if sample["there"][f, p]
        ]
        against = "four weights per vertex" if what == "skinned" else "the body itself"
        checks.check(name, f"body.glb vertices against {against}", max(worst), limit, "mm")


def largest_mm(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest distance in millimetres where something is expected; infinite if that is missing."""
    if found.shape != expected.shape:
        return float("inf")
    there = np.isfinite(expected).all(-1)
    if not np.isfinite(found[there]).all() or not there.any():
        return float("inf")
    return float(1000 * np.linalg.norm(found[there] - expected[there], axis=-1).max())
