"""What is said about people who come and go."""

import numpy as np
import pytest

from posewright.motion.remarks import absence_remarks
from posewright.skeletons.joint_sets import COCO_17
from posewright.structures.keypoints import Keypoints2D


def keypoints(x: np.ndarray, there: np.ndarray, start: float = 0.0) -> Keypoints2D:
    """One person whose keypoints all lie at (x, 100) in a picture 400 wide, at 10 frames per second."""
    positions = np.full((len(x), 1, 17, 2), 100.0, np.float32)
    positions[..., 0] = x[:, None, None]
    positions[~there] = np.nan
    confidence = np.repeat(there[:, None, None], 17, 2).astype(np.float32)
    return Keypoints2D(COCO_17, positions, confidence, (400, 200), 10.0, times=start + np.arange(len(x)) / 10)


@pytest.mark.parametrize(
    ("x", "said"),
    [(395.0, "person 1 leaves the picture at 3.0 s"), (200.0, "person 1 is no longer seen at 3.0 s")],
)
def test_leaving_over_the_edge_and_vanishing_are_told_apart(x, said):
    there = np.arange(60) < 30
    assert absence_remarks(there[:, None], keypoints(np.full(60, x), there)) == (said,)


def test_entering_and_being_away_in_between():
    there = ((np.arange(90) >= 20) & (np.arange(90) < 40)) | (np.arange(90) >= 60)
    said = absence_remarks(there[:, None], keypoints(np.full(90, 4.0), there))
    assert said == ("person 1 enters the picture at 2.0 s", "person 1 is not seen from 4.0 to 6.0 s")


def test_convention_times_are_those_of_the_source_clip():
    there = np.arange(60) >= 30
    said = absence_remarks(there[:, None], keypoints(np.full(60, 200.0), there, start=7.0))
    assert said == ("person 1 is first seen at 10.0 s",)


def test_somebody_never_placed():
    there = np.zeros((20, 1), bool)
    assert absence_remarks(there, keypoints(np.zeros(20), ~there[:, 0])) == (
        "person 1 could not be placed in space",
    )
