"""Joint angles in OpenSim's coordinates, and a MOT file of them.

python examples/03_joint_angles.py [motion.npz]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import posewright as pw
from posewright.datasets.procedural import walk
from posewright.motion.angles import joint_angles

motion = pw.load(sys.argv[1]) if len(sys.argv) > 1 else walk(seconds=3.0)
angles = joint_angles(motion)  # values (T, P, N): radians, metres for the pelvis translation
for name in ("knee_angle_r", "knee_angle_l", "hip_flexion_r", "elbow_flex_r"):
    degrees = np.degrees(angles.values[:, 0, angles.names.index(name)])
    print(f"{name:14} {np.nanmin(degrees):6.1f} to {np.nanmax(degrees):6.1f} degrees")

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "walk.mot"
    pw.save(motion, path, angles=angles)
    print(path.read_text().splitlines()[0])
