"""An upside-down pose on somebody is nobody; people who overlap upright are two."""

import numpy as np
import pytest

from posewright.models.detection.detector import PersonPose
from posewright.models.detection.turned_over import is_turned_over
from posewright.skeletons.joint_sets import COCO_17, HAND_21
from tests.pipelines.test_people import SHAPE, Scene, TopDownDetector, line, present, run


def pose(points, confidence=0.7):
    return PersonPose(np.asarray(points, np.float32), np.full(len(points), confidence, np.float32), 0.9)


def upside_down(points, scale=0.8):
    middle = points[5:13].mean(0)
    return middle - scale * (points - middle)


def test_law_an_inner_pose_the_other_way_up_is_the_same_person():
    person = pose(SHAPE + (300, 100), 0.9)
    assert is_turned_over(pose(upside_down(SHAPE) + (300, 100)), person, COCO_17)
    assert is_turned_over(pose(upside_down(SHAPE, 0.4) + (300, 100)), person, COCO_17)


def test_law_of_two_within_each_other_the_less_confident_is_the_wrong_one():
    a, b = pose(SHAPE, 0.9), pose(upside_down(SHAPE), 0.7)
    assert is_turned_over(b, a, COCO_17)
    assert not is_turned_over(a, b, COCO_17)


@pytest.mark.parametrize(
    "other",
    [
        SHAPE,  # the same way up: another rule's business
        0.5 * SHAPE + (0, 60),  # a child in front
        SHAPE + (25, 0),  # somebody who passes
        upside_down(SHAPE) + (120, 0),  # a handstand beside
    ],
)
def test_law_others_are_others(other):
    assert not is_turned_over(pose(other + (300.0, 100.0)), pose(SHAPE + (300, 100)), COCO_17)


def test_contract_missing_keypoints_and_other_joint_sets():
    missing = SHAPE + (300.0, 100.0)
    missing[5] = np.nan
    assert not is_turned_over(pose(missing), pose(SHAPE), COCO_17)
    assert not is_turned_over(pose(np.zeros((21, 2))), pose(np.zeros((21, 2))), HAND_21)
    assert not is_turned_over(pose(SHAPE), pose(np.zeros((17, 2))), COCO_17)


class Upending(TopDownDetector):
    """Also proposes a region upside down on everybody, and finds a confident pose in it."""

    def search(self, image, window=None):
        regions = super().search(image, window)
        return [*regions, *(self.upended(r) for r in regions)]

    def upended(self, region):
        x, y = region.center
        return type(region)((x, y - 60.0), 0.7 * region.size, np.pi)

    def estimate(self, image, regions):
        poses = super().estimate(image, regions)
        return [
            p if r.rotation == 0 or p is None else pose(upside_down(p.keypoints.astype(float)))
            for p, r in zip(poses, regions, strict=True)
        ]

    def next_region(self, pose):
        turned = pose.keypoints[0, 1] > pose.keypoints[-1, 1]
        points = upside_down(pose.keypoints, 1 / 0.8) if turned else pose.keypoints
        region = self.region(points[0] - SHAPE[0])
        return self.upended(region) if turned else region


@pytest.mark.parametrize("first", [False, True])
def test_nobody_is_followed_upside_down(first):
    scene = Scene({1: line(200, 400, 60)})
    detector = Upending(scene)
    if first:  # the wrong one is admitted first, the person comes after
        search = detector.search
        detector.search = lambda image, window=None: search(image, window)[
            :: -1 if image[0, 0, 1] > 5 else -2
        ]
    found = run(scene, detector)
    there = present(found)[20:]
    assert (there.sum(1) == 1).all()
    person = found.keypoints.positions[20:][there]
    assert (person[:, 0, 1] < person[:, -1, 1]).all()
