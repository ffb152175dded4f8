"""By how much the lifter's expected errors are to be multiplied for the keypoints of BlazePose.

The error model was calibrated on keypoints that err independently in every frame. BlazePose's do not: they are off for
seconds, and mark other places than the middles of joints, which no picture tells. So expected errors are multiplied,
one factor for each group of joints and one for the pelvis' place, so that the 80 % regions of a whole `run` hold 80 %
of the truth on rendered people of `train` (`benchmarks/measure_uncertainty.py`). Where the focal length is not known,
that is by far the largest error of the place, and its factor stays 1.
"""

import json
from functools import lru_cache
from importlib import resources

import numpy as np

from posewright.evaluate.uncertainty import GROUPS
from posewright.skeletons.joint_sets import BODY_26, MEDIAPIPE_33
from posewright.skeletons.skeleton import Skeleton

FILE = "blazepose_uncertainty.json"
PELVIS = "pelvis"
"""Name of the factor for the pelvis' place."""


def detector_scale(skeleton: Skeleton, focal_known: bool) -> np.ndarray | None:
    """Factors (27,) float32 on the deviations of `BODY_26` and of the pelvis' place; None: of other joint sets, 1."""
    if skeleton.name != MEDIAPIPE_33.name:
        return None
    scale = factors_of(_measured())
    scale[-1] = scale[-1] if focal_known else 1.0
    return scale


def factors_of(measured: dict[str, float]) -> np.ndarray:
    """Factors (27,) float32 of factors by group."""
    scale = np.ones(len(BODY_26) + 1, np.float32)
    for group, names in GROUPS.items():
        scale[[BODY_26.index(n) for n in names]] = measured[group]
    scale[-1] = measured[PELVIS]
    return scale


@lru_cache(maxsize=1)
def _measured() -> dict[str, float]:
    text = resources.files("posewright.pipelines").joinpath(FILE).read_text("utf-8")
    return json.loads(text)["factors"]
