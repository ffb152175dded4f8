"""What BlazePose's visibility says about where a keypoint is, for lifters that were trained with honest confidences.

BlazePose (and MediaPipe, which is the same model) states how likely a keypoint is to be *seen*. An arm behind the body
has a visibility near 0, and its position is nevertheless right within some percent of the body's size; a lifter that
takes 0.05 for "knows nothing" throws the arm away and guesses. Here visibility becomes the mean error that was measured
at that visibility (`benchmarks/measure_keypoint_visibility.py`, on rendered people of `train`), and what it is more
than that of a keypoint in full view becomes the confidence that keypoints with such an error have in training.
"""

import json
from dataclasses import replace
from functools import lru_cache
from importlib import resources

import numpy as np

from posewright.skeletons.joint_sets import MEDIAPIPE_33
from posewright.structures.keypoints import Keypoints2D

CONFIDENCE_LOST = 6.0
"""Confidence lost per body size of error: the mean of training, which draws from 0 to 12 (`datasets.synthetic`)."""
LEAST = 0.05
"""Confidence of the worst keypoint that is there at all, as in training."""


def honest_confidence(keypoints: Keypoints2D) -> Keypoints2D:
    """Replace the visibility of BlazePose's keypoints by a confidence that says how far off they are.

    Keypoints of other joint sets come back as they are: their programs' scores mean other things.
    """
    if keypoints.skeleton.name != MEDIAPIPE_33.name:
        return keypoints
    visibility, errors = _measured()
    given = np.clip(keypoints.confidence, 0, 1)
    out = np.zeros_like(given)
    for k, error in enumerate(errors):
        more = error - error[-1]
        out[..., k] = np.interp(given[..., k], visibility, np.clip(1 - CONFIDENCE_LOST * more, LEAST, 1))
    return replace(keypoints, confidence=np.where(keypoints.confidence > 0, out, 0).astype(np.float32))


@lru_cache(maxsize=1)
def _measured() -> tuple[np.ndarray, np.ndarray]:
    """Visibility (B,) and the mean error (33, B) of each keypoint there, in body sizes."""
    text = resources.files("posewright.pipelines").joinpath("blazepose_visibility.json").read_text("utf-8")
    found = json.loads(text)
    kinds = [n.removeprefix("left_").removeprefix("right_") for n in MEDIAPIPE_33.joint_names]
    return np.array(found["visibility"]), np.array([found["error"][kind] for kind in kinds])
