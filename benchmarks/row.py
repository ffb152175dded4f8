"""What every results row carries: when, where, which commit, which command."""

import csv
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent
RESULTS = BENCHMARKS / "results"
PROVENANCE = ("date", "machine", "versions", "commit", "command")


def provenance() -> dict[str, str]:
    """Columns that say how a row was made."""
    versions = (f"{name} {metadata.version(name)}" for name in ("torch", "numpy", "ai-edge-litert", "av"))
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        "versions": ", ".join(versions),
        "commit": _commit(),
        "command": f"python benchmarks/{Path(sys.argv[0]).name} {shlex.join(sys.argv[1:])}".strip(),
    }


def write_rows(name: str, rows: list[dict], folder: Path = RESULTS) -> Path:
    """Write `results/<name>.csv`, replacing what was there; every row gets its provenance."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.csv"
    made = provenance()
    fields = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [*fields, *PROVENANCE], restval="")
        writer.writeheader()
        writer.writerows({**row, **made} for row in rows)
    return path


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), platform.machine())


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"],
        cwd=BENCHMARKS,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip() or "unknown"
