"""Synthetic videos with exact ground truth: recorded motion on bodies, filmed by virtual cameras.

`plan` says what a clip shows, `clip.make_clip` makes it, `truth` is what is true of it; `draw` draws plans by lot,
`dataset` writes many clips.
"""

from posewright.datasets.synth.clip import make_clip
from posewright.datasets.synth.dataset import write_dataset
from posewright.datasets.synth.draw import SynthOptions, draw_plan
from posewright.datasets.synth.plan import CameraPlan, ClipPlan, Performer
from posewright.datasets.synth.truth import ClipTruth, meshes, read_truth, write_truth

__all__ = [
    "CameraPlan",
    "ClipPlan",
    "ClipTruth",
    "Performer",
    "SynthOptions",
    "draw_plan",
    "make_clip",
    "meshes",
    "read_truth",
    "write_dataset",
    "write_truth",
]
