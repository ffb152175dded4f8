"""Write a motion in every format, read it back, and look at what a `Motion` holds.

python examples/01_files.py
"""

import tempfile
from pathlib import Path

import numpy as np

import posewright as pw
from posewright.datasets.procedural import walk

motion = walk(
    seconds=2.0, fps=30.0
)  # a figure walking by formula; `pw.estimate("clip.mp4")` gives the same structure
print(
    f"{motion.num_people} person, {motion.num_frames} frames at {motion.fps:g} frames/s, {len(motion.skeleton)} joints"
)

left_knee = motion.joints[:, 0, motion.skeleton.index("left_knee")]  # (T, 3) metres, world, Z up
print(f"the left knee rises {100 * np.ptp(left_knee[:, 2]):.0f} cm")

with tempfile.TemporaryDirectory() as folder:
    for suffix in ("npz", "bvh", "glb", "trc", "c3d", "csv", "json"):
        path = Path(folder) / f"walk.{suffix}"
        pw.save(motion, path)
        again = pw.load(path)
        print(
            f"{path.name:9} {path.stat().st_size:7} bytes, {again.num_frames} frames, {len(again.skeleton)} joints"
        )
