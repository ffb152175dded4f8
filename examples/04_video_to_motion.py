"""The whole way in Python, stage by stage, on a clip of yours or on the demo clip.

python examples/04_video_to_motion.py [clip.mp4] [out.glb]
"""

import sys

import posewright as pw
from posewright.io.video import open_clip
from posewright.pipelines.demo_clip import obtain_demo_clip
from posewright.pipelines.video_to_motion import RunOptions, find_people, keypoints_to_motion

source = sys.argv[1] if len(sys.argv) > 1 else obtain_demo_clip()
options = RunOptions(end=1.5, mode="fast")

keypoints, warnings = find_people(open_clip(source, options.start, options.end), options)
print(f"{keypoints.num_people} people in {keypoints.num_frames} frames", *warnings, sep="\n  ")

motion = keypoints_to_motion(keypoints, options)
print("done to the data:", *motion.history, sep="\n  ")
print("to be distrusted:", *motion.warnings, sep="\n  ")

if len(sys.argv) > 2:
    pw.save(motion, sys.argv[2])
