import numpy as np

from posewright.pipelines.visibility import CONFIDENCE_LOST, honest_confidence
from posewright.skeletons.joint_sets import COCO_17, MEDIAPIPE_33
from posewright.structures.keypoints import Keypoints2D


def keypoints(skeleton, confidence):
    confidence = np.asarray(confidence, np.float32)
    return Keypoints2D(skeleton, np.zeros((*confidence.shape, 2), np.float32), confidence, (640, 480), 30.0)


def at(visibility):
    """Honest confidence (K,) of every keypoint at one visibility."""
    return honest_confidence(keypoints(MEDIAPIPE_33, np.full((1, 1, 33), visibility))).confidence[0, 0]


def test_law_more_visible_is_more_certain():
    levels = np.stack([at(v) for v in np.linspace(0.01, 1, 40)])
    assert (np.diff(levels, axis=0) >= -1e-6).all()
    assert levels.min() >= 0.05
    assert (levels[-1] == 1).all()


def test_convention_hidden_arms_are_known_better_than_hidden_feet():
    hidden = dict(zip(MEDIAPIPE_33.joint_names, at(0.05), strict=True))
    assert hidden["left_elbow"] > 0.4
    assert hidden["left_ankle"] < 0.3
    assert hidden["left_elbow"] == hidden["right_elbow"]
    assert CONFIDENCE_LOST > 0


def test_convention_missing_stays_missing_and_other_programs_are_believed():
    none = honest_confidence(keypoints(MEDIAPIPE_33, np.zeros((2, 1, 33)))).confidence
    assert not none.any()
    coco = keypoints(COCO_17, np.full((1, 1, 17), 0.1))
    assert honest_confidence(coco) is coco
