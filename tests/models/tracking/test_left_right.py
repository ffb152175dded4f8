import numpy as np
import pytest

from posewright.models.tracking.left_right import best_labels, person_size, repair_swaps
from posewright.skeletons.joint_sets import COCO_17, H36M_17, MEDIAPIPE_33

FPS = 30.0


def walker(T=120, fps=FPS, side_on=True, people=1, seed=0):
    """Somebody walking past (T, P, 33, 2): ankles and knees swing and pass each other, a little noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(T)[:, None] / fps
    positions = np.zeros((T, people, 33, 2))
    heights = {"eye": 20, "ear": 22, "mouth": 30, "shoulder": 70, "elbow": 120, "wrist": 165, "hip": 180}
    heights |= {"knee": 265, "ankle": 340, "heel": 350, "toe": 352, "pinky": 175, "index": 178, "thumb": 172}
    swing = {"elbow": 12, "wrist": 30, "pinky": 32, "index": 32, "thumb": 32}
    swing |= {"knee": -25, "ankle": -55, "heel": -60, "toe": -55}
    for j, name in enumerate(MEDIAPIPE_33.joint_names):
        side = {"left": 1, "right": -1}.get(name.split("_")[0], 0)
        part = next((p for p in heights if p in name.split("_")), None)
        wave = swing.get(part, 0) * side * np.sin(2 * np.pi * t)
        breadth = 5 if side_on else 25
        positions[:, :, j, 0] = 400 * side_on * t + breadth * side + wave + 300 * np.arange(people)
        positions[:, :, j, 1] = heights.get(part, 15)
    return positions + rng.normal(0, 0.7, positions.shape)


def exchange(positions, frames, joints=None):
    out = positions.copy()
    mirror = MEDIAPIPE_33.mirror
    joints = np.arange(33) if joints is None else joints
    out[np.ix_(frames, [0], joints)] = positions[np.ix_(frames, [0], mirror[joints])]
    return out


@pytest.mark.parametrize("side_on", [True, False])
@pytest.mark.parametrize("fps", [15.0, 30.0, 60.0])
def test_clean_walking_is_left_alone(side_on, fps):
    clean = walker(int(4 * fps), fps, side_on)
    repaired, _, swapped = repair_swaps(clean, np.ones(clean.shape[:3]), MEDIAPIPE_33, fps)
    assert swapped.mean() < 0.005
    if not swapped.any():
        np.testing.assert_array_equal(repaired, clean)


@pytest.mark.parametrize("frames", [[40], list(range(40, 44)), list(range(60, 85)), [0, 1], [118, 119]])
def test_exchanged_body_seen_from_the_front_is_repaired(frames):
    clean = walker(side_on=False)
    repaired, _, swapped = repair_swaps(exchange(clean, frames), np.ones((120, 1, 33)), MEDIAPIPE_33, FPS)
    np.testing.assert_array_equal(np.flatnonzero(swapped[:, 0].all(-1)), frames)
    np.testing.assert_array_equal(repaired, clean)


def test_only_the_legs():
    clean = walker(side_on=False)
    words = ("hip", "knee", "ankle", "heel", "toe")
    legs = np.array([i for i, n in enumerate(MEDIAPIPE_33.joint_names) if n.split("_")[-1] in words])
    frames = [30, 31, 32]
    confidence = np.ones((120, 1, 33))
    repaired, _, swapped = repair_swaps(exchange(clean, frames, legs), confidence, MEDIAPIPE_33, FPS)
    assert swapped[:, 0, 2].nonzero()[0].tolist() == frames
    assert not swapped[:, 0, :2].any()
    np.testing.assert_array_equal(repaired, clean)


def test_confidence_moves_with_its_keypoint():
    clean = walker(side_on=False)
    confidence = np.ones((120, 1, 33)) * np.linspace(0.5, 1.0, 33)
    frames = [50, 51]
    mixed = confidence.copy()
    mixed[frames] = confidence[frames][..., MEDIAPIPE_33.mirror]
    _, repaired, _ = repair_swaps(exchange(clean, frames), mixed, MEDIAPIPE_33, FPS)
    np.testing.assert_allclose(repaired, confidence)


def test_law_a_wholly_exchanged_clip_cannot_be_seen():
    clean = walker(side_on=False)
    _, _, swapped = repair_swaps(exchange(clean, np.arange(120)), np.ones((120, 1, 33)), MEDIAPIPE_33, FPS)
    assert not swapped.any()


def test_gaps_and_short_clips_are_survived():
    clean = walker(side_on=False, people=2)
    clean[30:60, 1] = np.nan
    clean[:, 0, 5] = np.nan
    confidence = np.isfinite(clean).all(-1).astype(float)
    repaired, _, swapped = repair_swaps(clean, confidence, MEDIAPIPE_33, FPS)
    assert not swapped.any()
    np.testing.assert_array_equal(repaired, clean)
    for T in (0, 1, 2):
        assert repair_swaps(clean[:T], confidence[:T], MEDIAPIPE_33, FPS)[2].shape == (T, 2, 3)
    assert repair_swaps(clean[:, :0], confidence[:, :0], MEDIAPIPE_33, FPS)[2].shape == (120, 0, 3)


@pytest.mark.parametrize("skeleton", [COCO_17, H36M_17])
def test_contract_other_skeletons(skeleton):
    rng = np.random.default_rng(0)
    positions = rng.normal(0, 50, (1, 1, len(skeleton), 2)) + np.linspace(0, 100, 20)[:, None, None, None]
    _, _, swapped = repair_swaps(positions, np.ones(positions.shape[:3]), skeleton, FPS)
    assert not swapped.any()


def test_law_best_labels_is_the_least_of_all():
    """Against all labelings of a short clip, tried one by one."""
    rng = np.random.default_rng(1)
    N = 8
    own = rng.uniform(-0.1, 0.2, N)
    costs = {step: rng.random((N, 2, 2, 2)) for step in (1, 2)}
    for step, cost in costs.items():
        cost[: 2 * step] = 0
    found = best_labels(costs, own, 0.2)

    def total(labels):
        changes = 0.2 * sum(a != b for a, b in zip(labels[:-1], labels[1:], strict=True))
        bends = sum(
            cost[n, labels[n - 2 * step], labels[n - step], labels[n]]
            for step, cost in costs.items()
            for n in range(2 * step, N)
        )
        return own @ labels + changes + bends

    least = min(total(labels) for labels in np.ndindex(*[2] * N))
    assert total(found.astype(int)) == pytest.approx(least)


@pytest.mark.parametrize("frames", [list(range(40, 62)), list(range(70, 90))])
def test_exchange_through_frames_that_fall_on_the_middle(frames):
    """A detector that changes its mind passes through a frame in which both sides lie together."""
    clean = walker(side_on=False)
    seen = exchange(clean, frames)
    between = [frames[0] - 1, frames[-1] + 1]
    seen[between] = (seen[between] + seen[between][:, :, MEDIAPIPE_33.mirror]) / 2
    confidence = np.ones((120, 1, 33))
    elbows = MEDIAPIPE_33.indices("left_elbow", "right_wrist", "left_index", "left_pinky", "left_thumb")
    confidence[:, :, elbows] = 0.15
    _, _, swapped = repair_swaps(seen, confidence, MEDIAPIPE_33, FPS)
    inner = frames[1:-1]
    assert swapped[inner].all()
    assert not swapped[: frames[0] - 2].any()
    assert not swapped[frames[-1] + 3 :].any()


def test_size_is_the_median_diagonal():
    positions = np.zeros((3, 1, 2, 2))
    positions[:, 0, 1] = [[30, 40], [60, 80], [3000, 4000]]
    assert person_size(positions).tolist() == [100.0]


def test_real_exchange_seen_by_the_other_cameras():
    """Recorded: MediaPipe exchanges the sides in camera 2 from frame 41 on; the other three cameras agree on when."""
    from pathlib import Path

    folder = Path(__file__).resolve().parents[1] / "detection" / "mediapipe_0.10.21"
    for camera, exchanged in (("cam02", True), ("cam01", False), ("cam03", False), ("cam04", False)):
        recorded = np.load(folder / f"{camera}.tracking.npz")
        pixels = recorded["landmarks"][:, None, :, :2] * recorded["image_size"]
        _, _, swapped = repair_swaps(pixels, recorded["landmarks"][:, None, :, 3], MEDIAPIPE_33, 60.0)
        if exchanged:
            assert swapped[42:58, 0, 1:].mean() > 0.8
            assert swapped[:38, 0].mean() < 0.02
        else:
            assert swapped.mean() < 0.01
