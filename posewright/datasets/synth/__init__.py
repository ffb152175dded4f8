"""Synthetic videos with exact ground truth: recorded motion on bodies, filmed by virtual cameras.

`plan` says what a clip shows, `clip.make_clip` makes it, `dataset` draws and writes many; `truth` is what is true.
"""

from posewright.datasets.synth.clip import make_clip
from posewright.datasets.synth.plan import CameraPlan, ClipPlan, Performer
from posewright.datasets.synth.truth import ClipTruth, meshes, read_truth, write_truth

__all__ = [
    "CameraPlan",
    "ClipPlan",
    "ClipTruth",
    "Performer",
    "make_clip",
    "meshes",
    "read_truth",
    "write_truth",
]
