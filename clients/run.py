"""`make clients`: real programs read what posewright writes.

Makes an environment for each program under `.venv-clients/` (Blender's wheel is about 400 MB), writes the
samples, runs every check, prints one line per check, writes `benchmarks/results/clients.csv`, and ends with
status 1 if anything failed.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
HOME = REPOSITORY / ".venv-clients"
RESULTS = REPOSITORY / "benchmarks" / "results" / "clients.csv"
CLIENTS = {
    "blender": ["bpy==4.5.*"],
    "opensim": ["opensim==4.6.*"],
    "c3d": ["ezc3d==1.7.*", "c3d==0.6.0"],
    "gltf": ["pygltflib==1.16.*", "numpy==2.*"],
    "three": ["playwright==1.65.*", "numpy==2.*"],
}
"""Environment -> what is installed into it; `<name>_check.py` runs in it."""
NODE_PACKAGES = {"gltf": "gltf-validator@2.0.0-dev.3.10", "three": "three@0.180.0"}
"""Environment -> npm package installed beside it, where npm is."""


def environment(name: str, packages: list[str]) -> Path:
    """Return the Python of a client's environment, made on first use."""
    folder = HOME / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    mark = folder / ".installed"
    if not mark.exists() or mark.read_text() != repr(packages):
        say(f"making {folder.relative_to(REPOSITORY)}: {' '.join(packages)}")
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        mark.write_text(repr(packages))
    return python


def node_package(folder: Path, package: str) -> None:
    """Install an npm package where npm is; without it, the check that needs it says so."""
    npm = shutil.which("npm")
    if npm and not (folder / "node_modules" / package.partition("@")[0]).is_dir():
        words = [
            npm,
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--prefix",
            str(folder),
            package,
        ]
        done = subprocess.run(words, check=False)
        if done.returncode:
            say(f"npm could not install {package}")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write_results(rows: list[dict]) -> None:
    """Write the table, every row with its provenance."""
    sys.path.insert(0, str(REPOSITORY / "benchmarks"))
    import row

    made = row.provenance() | {"command": "python clients/run.py"}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [*rows[0], *made])
        writer.writeheader()
        writer.writerows({**r, **made} for r in rows)


def main() -> int:
    """Run everything; the interpreter that runs this is posewright's."""
    pythons = {name: environment(name, packages) for name, packages in CLIENTS.items()}
    for name, package in NODE_PACKAGES.items():
        node_package(HOME / name, package)
    folder = HOME / "samples"
    shutil.rmtree(folder, ignore_errors=True)
    with_blender = os.environ | {"POSEWRIGHT_BLENDER_PYTHON": str(pythons["blender"])}
    subprocess.run([sys.executable, HERE / "samples.py", folder], check=True, env=with_blender)
    rows, failed = [], []
    for name, python in pythons.items():
        results = HOME / f"{name}.json"
        results.unlink(missing_ok=True)
        done = subprocess.run([python, HERE / f"{name}_check.py", folder, results, HOME / name], check=False)
        failed += [name] if done.returncode else []
        rows += json.loads(results.read_text()) if results.exists() else []
    if rows:
        write_results(rows)
    say(
        f"clients: {sum(r['ok'] for r in rows)} of {len(rows)} checks passed"
        + (f"; failed: {failed}" if failed else "")
    )
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
