import numpy as np
import pytest

from posewright.models.tracking.appearance import SIZE, appearance_distance, torso_histogram
from posewright.models.tracking.pose_similarity import (
    NO_LINK,
    Config,
    Tracker,
    box_overlaps,
    link_cost,
    link_tracklets,
    pose_boxes,
)
from posewright.skeletons.joint_sets import COCO_17

FPS = 30.0
SHAPE = np.random.default_rng(3).uniform(0, 1, (17, 2)) * [60, 180]
RED, BLUE, GREEN = np.eye(SIZE, dtype=np.float32)[[0, 8, 4]]


def run(paths, looks, hints=None, score=1.0, fps=FPS):
    """Track people given as (T, 2) paths of their corner (NaN: not seen); return numbers (T, P) and the tracker."""
    T, P = len(paths[0]), len(paths)
    tracker = Tracker(COCO_17, fps)
    numbers = np.full((T, P), -1)
    rng = np.random.default_rng(0)
    for t in range(T):
        seen = [p for p in rng.permutation(P) if np.isfinite(paths[p][t]).all()]
        if not seen:
            continue
        poses = np.array([SHAPE + paths[p][t] + rng.normal(0, 1, (17, 2)) for p in seen])
        look = np.array([looks[p] for p in seen])
        scores = np.full(len(seen), score)
        mine = [hints[p] if hints else -1 for p in seen]
        numbers[t, seen] = tracker(t, poses, np.ones((len(seen), 17)), scores, look, mine)
    return numbers, tracker


def line(start, end, T=90):
    return np.linspace(start, end, T)


def people_of(tracker, numbers, fps=FPS):
    """Return (T, P) the person each pose was given to, -1: nobody."""
    owner = {n: i for i, chain in enumerate(link_tracklets(tracker.tracklets, fps)) for n in chain}
    return np.vectorize(lambda n: owner.get(n, -1))(numbers)


def test_two_people_crossing_keep_their_numbers():
    numbers, _ = run([line((0, 0), (600, 0)), line((600, 10), (0, 10))], [RED, BLUE])
    assert set(numbers[:, 0]) == {numbers[0, 0]}
    assert set(numbers[:, 1]) == {numbers[0, 1]}
    assert numbers[0, 0] != numbers[0, 1]


def test_crossing_in_the_same_clothes_is_decided_by_motion():
    numbers, _ = run([line((0, 0), (900, 0)), line((900, 10), (0, 10))], [RED, RED])
    assert set(numbers[:, 0]) == {numbers[0, 0]}


def test_short_occlusion_is_bridged():
    path = line((0, 0), (300, 0)).astype(float)
    path[40:50] = np.nan
    numbers, _ = run([path], [RED])
    assert set(numbers[numbers[:, 0] >= 0, 0]) == {0}


def test_leaving_and_returning_is_one_person_again():
    first = line((0, 0), (400, 0), 240).astype(float)
    first[60:180] = np.nan
    second = line((800, 0), (700, 0), 240)
    numbers, tracker = run([first, second], [RED, BLUE])
    assert len(tracker.tracklets) == 3
    people = people_of(tracker, numbers)
    assert set(people[:, 0]) == {people[0, 0], -1}
    assert set(people[:, 1]) == {people[0, 1]}


def test_somebody_else_who_comes_later_is_somebody_else():
    first, later = (line((0, 0), (100, 0), 240).astype(float) for _ in range(2))
    first[60:], later[:180] = np.nan, np.nan
    numbers, tracker = run([first, later], [RED, GREEN])
    people = people_of(tracker, numbers)
    assert people[0, 0] != people[-1, 1]
    assert -1 not in (people[0, 0], people[-1, 1])


def test_phantoms_are_dropped():
    real = line((0, 0), (300, 0))
    flash = np.full((90, 2), np.nan)
    flash[30:36] = [700, 0]
    numbers, tracker = run([real, flash], [RED, GREEN])
    people = people_of(tracker, numbers)
    assert set(people[:, 0]) == {0}
    assert set(people[:, 1]) == {-1}


def test_phantoms_do_not_become_somebody_by_flashing_twice():
    real = line((0, 0), (300, 0))
    flash = np.full((90, 2), np.nan)
    flash[5:11] = flash[60:66] = [700, 0]
    numbers, tracker = run([real, flash], [RED, GREEN])
    assert set(people_of(tracker, numbers)[:, 1]) == {-1}


def test_weak_finds_are_dropped():
    _, tracker = run([line((0, 0), (10, 0))], [RED], score=0.7)
    assert link_tracklets(tracker.tracklets, FPS, Config(min_score=0.87)) == []
    assert link_tracklets(tracker.tracklets, FPS, Config(min_score=0.6)) == [[0]]


def test_one_frame_is_enough_in_a_photo():
    _, tracker = run([line((0, 0), (0, 0), 1)], [RED])
    assert link_tracklets(tracker.tracklets, FPS) == [[0]]


def test_hint_keeps_somebody_who_jumps():
    path = np.concatenate([line((0, 0), (10, 0), 20), line((75, 30), (85, 30), 20)])
    with_hint, _ = run([path], [RED], hints=[7])
    assert set(with_hint[:, 0]) == {0}


def test_nobody_gives_nobody():
    tracker = Tracker(COCO_17, FPS)
    empty = np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros(0), np.zeros((0, SIZE))
    assert tracker(0, *empty, []) == []
    assert link_tracklets([], FPS) == []


def test_overlapping_tracklets_cannot_be_one_person():
    _, tracker = run([line((0, 0), (10, 0)), line((300, 0), (310, 0))], [RED, RED])
    a, b = tracker.tracklets
    assert link_cost(a, b, FPS, Config()) == NO_LINK


@pytest.mark.parametrize(
    ("frames", "place", "look", "linked"),
    [(4, 5, RED, True), (15, 5, RED, False), (4, 400, RED, False), (4, 5, BLUE, False)],
)
def test_one_person_may_be_handed_over(frames, place, look, linked):
    """For some frames the old tracklet and the new one are both there: one person if place and clothes agree."""
    old, new = line((0, 0), (60, 0)), line((0, 0), (60, 0)) + (place, 3)
    old[40:], new[: 40 - frames] = np.nan, np.nan
    numbers, tracker = run([old, new], [RED, look], hints=[1, 2])
    people = people_of(tracker, numbers)
    assert (people[20, 0] == people[60, 1]) == linked


def test_law_boxes_and_overlaps():
    boxes = pose_boxes(np.array([[[0, 0], [10, 20], [np.nan, np.nan]], [[5, 0], [15, 20], [6, 6]]], float))
    np.testing.assert_array_equal(boxes, [[0, 0, 10, 20], [5, 0, 15, 20]])
    np.testing.assert_allclose(box_overlaps(boxes, boxes), [[1, 1 / 3], [1 / 3, 1]])


@pytest.mark.parametrize(
    ("colour", "other"), [((200, 20, 20), (20, 20, 200)), ((250, 250, 250), (10, 10, 10))]
)
def test_appearance_tells_shirts_apart(colour, other):
    keypoints = np.full((17, 2), 5.0)
    keypoints[COCO_17.indices("left_shoulder", "right_shoulder", "left_hip", "right_hip")] = [
        [40, 10],
        [20, 10],
        [40, 50],
        [20, 50],
    ]
    images = [np.full((64, 64, 3), c, np.uint8) for c in (colour, other)]
    looks = [torso_histogram(image, keypoints, COCO_17) for image in images]
    assert looks[0].sum() == pytest.approx(1, abs=1e-2)
    assert appearance_distance(looks[0], looks[0]) < 0.05
    assert appearance_distance(looks[0], looks[1]) > 0.9


def test_appearance_out_of_the_picture_is_unknown():
    look = torso_histogram(np.zeros((32, 32, 3), np.uint8), np.full((17, 2), 500.0), COCO_17)
    assert look.sum() == 0
    assert appearance_distance(look, RED) == 0.5
    missing = torso_histogram(np.zeros((32, 32, 3), np.uint8), np.full((17, 2), np.nan), COCO_17)
    assert missing.sum() == 0
