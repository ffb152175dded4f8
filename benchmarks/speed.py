"""How fast `posewright run` is and how much memory it takes, as a user runs it: whole processes, start-up included.

    python benchmarks/speed.py [--runs 3] [--seconds 20] [--long]

Clips (H.264, 30 frames/s, same number of pixels as 1280x720), made from the recorded data and the demo clip:
  one person   multiview/pose2sim_single/cam04.mp4 at every second frame, 720x1280, played forth and back
  two people   the demo clip, 1280x720, played forth and back
`--long` instead runs ten minutes of the first clip once, to show that memory does not grow with length, and writes
results/long_clip.csv (its speed counts only if the machine was quiet, which this row does not claim).
Writes results/speed.csv: frames per second end to end (frames / wall seconds), peak memory, and seconds per stage
of the median run.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from row import write_rows

from posewright.io.video import open_clip, write_video
from posewright.pipelines.demo_clip import obtain_demo_clip

DATA = Path(os.environ.get("POSEWRIGHT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
VARIANTS = {
    "motion files only": ["--no-overlay", "--no-report"],
    "with report": ["--no-overlay"],
    "with report and overlay": [],
}


def main() -> None:
    """Make the clips, time the runs, write the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--long", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.long:
            clip = apart(one_person_clip, Path(folder) / "long.mp4", 600)
            row = measure(clip, "one person, 10 minutes", "with report", ["--no-overlay"], 1)
            print(write_rows("long_clip", [row]))
            return
        clips = {
            "one person": apart(one_person_clip, Path(folder) / "one.mp4", arguments.seconds),
            "two people": apart(two_people_clip, Path(folder) / "two.mp4", arguments.seconds),
        }
        rows = [
            measure(clip, name, variant, options, arguments.runs)
            for name, clip in clips.items()
            for variant, options in VARIANTS.items()
        ]
    rows += [time_command("posewright --help", ["posewright", "--help"], 11), import_time()]
    print(write_rows("speed", rows))


def apart(make: Callable[[Path, float], Path], path: Path, seconds: float) -> Path:
    """Make a clip in another process: a child's peak memory counts from that of the process that starts it."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(make, (path, seconds))


def one_person_clip(path: Path, seconds: float) -> Path:
    """Every second frame of cam04 (60 frames/s), 720x1280, forth and back until `seconds` are full."""
    source = open_clip(DATA / "media/multiview/pose2sim_single/cam04.mp4")
    frames = [
        cv2.resize(f.image, (720, 1280), interpolation=cv2.INTER_AREA) for f in source if f.index % 2 == 0
    ]
    return write_clip(path, there_and_back(frames, seconds), (720, 1280))


def two_people_clip(path: Path, seconds: float) -> Path:
    """The demo clip at 1280x720, forth and back until `seconds` are full."""
    source = open_clip(obtain_demo_clip())
    frames = [cv2.resize(f.image, (1280, 720), interpolation=cv2.INTER_AREA) for f in source]
    return write_clip(path, there_and_back(frames, seconds), (1280, 720))


def there_and_back(frames: list, seconds: float) -> Iterator:
    """Frames forth and back, 30 per second, until `seconds` are full."""
    circle = frames + frames[-2:0:-1]
    return (circle[i % len(circle)] for i in range(round(seconds * 30)))


def write_clip(path: Path, frames, size: tuple[int, int]) -> Path:
    """Write frames at 30 per second."""
    with write_video(path, size, 30, quality=20) as write:
        for frame in frames:
            write(np.ascontiguousarray(frame))
    return path


def measure(clip: Path, name: str, variant: str, options: list[str], runs: int) -> dict:
    """Run the clip `runs` times after one warm-up (skipped when runs is 1); the median run's figures."""
    done = [one_run(clip, options) for _ in range(runs + (runs > 1))][runs > 1 :]
    done.sort(key=lambda r: r["wall"])
    median = done[len(done) // 2]
    frames = median["summary"]["frames"]
    row = {
        "what": f"run: {name}, {variant}",
        "people": median["summary"]["people"],
        "frames": frames,
        "frames_per_second": round(frames / median["wall"], 1),
        "slowest": round(frames / done[-1]["wall"], 1),
        "fastest": round(frames / done[0]["wall"], 1),
        "seconds": round(median["wall"], 2),
        "cpu_seconds": round(median["cpu"], 2),
        "peak_memory_mb": max(r["memory"] for r in done),
        "runs": len(done),
        "stage_seconds": json.dumps(median["summary"]["stage_seconds"]),
    }
    print(row, flush=True)
    return row


def one_run(clip: Path, options: list[str]) -> dict:
    """Run once in a process of its own."""
    with tempfile.TemporaryDirectory() as out:
        command = ["posewright", "run", str(clip), "-o", out, "--json", "--fresh", *options]
        wall, cpu, memory, output = timed(command)
    return {"wall": wall, "cpu": cpu, "memory": memory, "summary": json.loads(output)}


def timed(command: list[str]) -> tuple[float, float, int, str]:
    """Wall seconds, CPU seconds, peak memory in MB and standard output of a command."""
    executable = Path(sys.executable).with_name(command[0])
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([str(executable), *command[1:]], stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        output.seek(0)
        text = output.read()
    if status:
        raise SystemExit(f"{' '.join(command)} ended with status {status}")
    return wall, usage.ru_utime + usage.ru_stime, round(usage.ru_maxrss / 1024), text


def time_command(name: str, command: list[str], runs: int) -> dict:
    """Median wall time of a short command."""
    walls = [timed(command)[0] for _ in range(runs)]
    return {"what": name, "seconds": round(statistics.median(walls), 3), "runs": runs}


def import_time() -> dict:
    """Median time of `import posewright`, and whether it brings torch."""
    code = (
        "import time; t = time.perf_counter(); import posewright, sys; "
        "print(time.perf_counter() - t, 'torch' in sys.modules)"
    )
    out = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
        for _ in range(11)
    ]
    assert not any(torch == "True" for _, torch in out)
    return {
        "what": "import posewright",
        "seconds": round(statistics.median(float(t) for t, _ in out), 4),
        "runs": 11,
    }


if __name__ == "__main__":
    main()
