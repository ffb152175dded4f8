"""The table of docs/adaptation.md, from `benchmarks/results/adaptation.csv`; it is put there by `docs/generate.py`."""

import sys
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from docs.readme_results import rows  # noqa: E402

WAYS = {
    "none": "as it was",
    "more_steps": "trained on, its own pictures",
    "gpa": "`gpa`",
    "poseda": "`poseda`",
    "posynda": "`posynda`",
    "target_cameras": "trained on, the target's cameras (oracle)",
}
COLUMNS = ("target_mpjpe_mm", "target_pa_mpjpe_mm", "target_mpjve_mm_per_s", "source_mpjpe_mm")


def table() -> str:
    """Return a line per lifter and way: mean over seeds and, from two seeds on, half the range."""
    every = rows("adaptation")
    head = ["lifter", "way", "seeds", "MPJPE mm", "PA-MPJPE mm", "MPJVE mm/s", "MPJPE on the source mm"]
    lines = []
    for lifter in dict.fromkeys(row["lifter"] for row in every):
        for way, words in WAYS.items():
            found = [row for row in every if (row["lifter"], row["way"]) == (lifter, way)]
            if found:
                cells = (_cell([float(row[column]) for row in found]) for column in COLUMNS)
                lines.append([f"`{lifter}`", words, str(len({row["seed"] for row in found})), *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, ["---"] * len(head), *lines])


def _cell(values: list[float]) -> str:
    spread = f" ± {(max(values) - min(values)) / 2:.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{spread}"
