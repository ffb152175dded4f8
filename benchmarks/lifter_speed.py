"""How many frames per second the lifter alone does: `posewright.lift` on random keypoints, median of several runs.

    python benchmarks/lifter_speed.py [--runs 5]

Writes results/lifter_speed.csv: COCO-17 keypoints of one person, 3,000 frames at 25, 30, 50 and 60 frames/s
(the model works at 50), with and without flip, and a single picture. Everything from pixels to joints before
the camera is counted.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from row import write_rows

from posewright.pipelines.lift import lift

CASES = (
    (3000, 25, False),
    (3000, 30, False),
    (3000, 50, False),
    (3000, 60, False),
    (3000, 50, True),
    (1, 30, False),
)
"""(frames, frames per second of the clip, flip)."""


def seconds(frames: int, fps: float, flip: bool, runs: int) -> float:
    """Median wall time of one call."""
    keypoints = np.random.default_rng(0).normal(600, 80, (frames, 17, 2)).astype(np.float32)
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        lift(keypoints, None, "coco_17", (1280, 720), fps, flip=flip)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Time the cases."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    rows = []
    for frames, fps, flip in CASES:
        time_taken = seconds(frames, fps, flip, runs)
        rows.append(
            {
                "frames": frames,
                "fps_of_clip": fps,
                "flip": flip,
                "threads": torch.get_num_threads(),
                "seconds": f"{time_taken:.4f}",
                "frames_per_second": f"{frames / time_taken:.0f}",
            }
        )
        print(rows[-1])
    print(write_rows("lifter_speed", rows))


if __name__ == "__main__":
    main()
