"""Lift 2D keypoints to 3D: what `pw.lift` takes and gives.

python examples/02_lift_keypoints.py
"""

import numpy as np

import posewright as pw
from posewright.datasets.procedural import walk
from posewright.skeletons.convert import convert
from posewright.skeletons.joint_sets import COCO_17

# A figure that walks across the view of a camera 5 m away, 1.3 m high, looking along +Y.
motion = walk(seconds=2.0, fps=30.0, heading=1.2)
joints, confidence, _ = convert(motion.joints, motion.confidence, motion.skeleton, COCO_17)
x, y, z = joints[:, 0, :, 0], joints[:, 0, :, 1] + 5.0, joints[:, 0, :, 2] - 1.3
focal, width, height = 1100.0, 1280, 720
keypoints = np.stack([focal * x / y + width / 2, -focal * z / y + height / 2], -1)  # (T, 17, 2) pixels
keypoints[10:14, 9] = np.nan  # a wrist that was not seen for a while

lifted = pw.lift(
    keypoints,
    confidence[:, 0],
    skeleton="coco_17",
    image_size=(width, height),
    fps=30.0,
    focal=focal,
    output="body_24",
)
pelvis = lifted.positions[:, lifted.skeleton.index("pelvis")]
wrist = lifted.positions[:, lifted.skeleton.index("left_wrist")]
print(f"joints: {lifted.positions.shape}, metres, camera axes (x right, y down, z forward)")
print(f"the pelvis goes from {np.round(pelvis[0], 2)} to {np.round(pelvis[-1], 2)}")
print(
    f"the unseen wrist is guessed: {np.isfinite(wrist).all()}, confidence {lifted.confidence[12].min():.2f}"
)
