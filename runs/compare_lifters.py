"""Compare architectures of the default lifter at equal training time, with the recipe that trained it.

    python runs/compare_lifters.py --minutes 2.5 --out out/compare

Trains per-frame, convolution, attention and hybrid (convolution and attention in turn) one after another, each
from scratch for the same time on the same data by `runs/train_raylift.py`, and the hybrid with AdamW in place of
Muon; scores each on every eighth test view of `val`. Two CPU cores, 5 x 2.5 minutes and scoring. Writes
benchmarks/results/lifter_architectures_by_recipe.csv (lifter_architectures.csv
holds the shorter exploration that chose the shipped one). Times are short, so the order says how fast each learns
rather than how good it could become; run it on a machine that does nothing else.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from row import write_rows  # noqa: E402

CANDIDATES = {
    "per-frame network": ["--mixer", "none", "--patch", "1"],
    "dilated convolution": ["--mixer", "convolution"],
    "attention": ["--mixer", "attention"],
    "hybrid": ["--mixer", "hybrid"],
    "hybrid, AdamW only": ["--mixer", "hybrid", "--adamw"],
}


def train(name: str, options: list[str], arguments: argparse.Namespace) -> dict:
    """Train one candidate in its own process and read its last score."""
    out = arguments.out / name.replace(" ", "_").replace(",", "")
    command = [sys.executable, str(ROOT / "runs" / "train_raylift.py"), "--minutes", str(arguments.minutes)]
    command += ["--batch", str(arguments.batch), "--every", "1000000", "--out", str(out), *options]
    subprocess.run(command, check=True)
    last = json.loads((out / "history.json").read_text())[-1]
    return {
        "architecture": name,
        "minutes": arguments.minutes,
        "workers": 2,
        "parameters": last["parameters"],
        "steps": last["step"],
        "mpjpe_mm": f"{last['mpjpe_mm']:.2f}",
        "pa_mpjpe_mm": f"{last['pa_mpjpe_mm']:.2f}",
        "mpjve_mm_per_s": f"{last['mpjve_mm_per_s']:.1f}",
        "protocol": "val, every eighth test view, coco_feet_21, noise 1 %, focal known",
    }


def main() -> None:
    """Train and score every candidate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path("out/compare"))
    arguments = parser.parse_args()
    print(
        write_rows("lifter_architectures_by_recipe", [train(n, o, arguments) for n, o in CANDIDATES.items()])
    )


if __name__ == "__main__":
    main()
