"""People in 2D: from the frames of a clip to the keypoints of each person over time.

Frames are read once and not kept: memory grows only with the keypoints (about 400 bytes per person and frame).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from posewright.models.detection.detector import PersonPose, PoseDetector, RegionDetector
from posewright.models.detection.following import MODES, FollowedPose, PeopleFollower
from posewright.models.tracking.appearance import torso_histogram
from posewright.models.tracking.left_right import GROUPS, repair_swaps
from posewright.models.tracking.pose_similarity import Config, Tracker, link_tracklets
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.keypoints import Keypoints2D

PERSON_ORDERS = ("largest", "left-to-right", "first-seen")
LEAVING_SECONDS = 0.3
NEAR_EDGE = 0.03


@dataclass(frozen=True)
class TrackedPeople:
    """What `track_people` found."""

    keypoints: Keypoints2D
    warnings: tuple[str, ...]
    """Plain sentences for a person to read."""
    world: np.ndarray | None = None
    """(T, P, K, 3) float32, metres: the detector's own guess in space (see `PersonPose.world`), NaN where missing; as
    the detector gave it, swaps of left and right not repaired. None unless asked for."""


@dataclass
class _Observations:
    """Poses as they come, by tracklet."""

    frames: list[int]
    tracklets: list[int]
    keypoints: list[np.ndarray]
    confidence: list[np.ndarray]
    world: list[np.ndarray]


def track_people(
    frames: Iterable[tuple[int, float, np.ndarray]],
    *,
    image_size: tuple[int, int],
    fps: float,
    detector: PoseDetector,
    people: str | int = "all",
    person_order: str = "largest",
    mode: str = "balanced",
    with_world: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> TrackedPeople:
    """Find and follow people through a clip; repair exchanges of left and right.

    A pure function of its frames: the same frames and options give the same people.

    Args:
        frames: (index, seconds, image) in order; images (H, W, 3) uint8 RGB of one size.
        image_size: (width, height), pixels.
        fps: frames per second (nominal, if the rate varies).
        detector: a backend of `models.detection`.
        people: `all`, or at most how many, the first in `person_order`.
        person_order: `largest` (by area times time in the picture), `left-to-right` (where first seen), `first-seen`.
        mode: `fast`, `balanced` or `accurate`: how often the picture is searched for newcomers.
        with_world: also return the detector's guess in space.
        on_progress: told the number of frames done after each frame.

    Raises:
        ValueError: an unknown option, or no frames.
    """
    _check_options(people, person_order, mode)
    find = _finder(detector, image_size, fps, mode)
    tracker = Tracker(detector.skeleton, fps)
    seen, times = _Observations([], [], [], [], []), []
    for row, (_, seconds, image) in enumerate(frames):
        found = find(image)
        poses = [f.pose for f in found]
        numbers = _track(tracker, row, image, poses, [f.number for f in found], detector.skeleton)
        _store(seen, row, numbers, poses, with_world)
        times.append(seconds)
        if on_progress:
            on_progress(row + 1)
    if not times:
        raise ValueError("no frames came, expected at least one")
    chains = link_tracklets(
        tracker.tracklets, fps, Config(min_score=getattr(detector, "reliable_score", 0.0))
    )
    positions, confidence, world = _assemble(seen, chains, len(times), len(detector.skeleton))
    chosen = _order(positions, confidence, person_order)
    chosen = chosen if people == "all" else chosen[: int(people)]
    positions, confidence, world = positions[:, chosen], confidence[:, chosen], world[:, chosen]
    positions, confidence, swapped = repair_swaps(positions, confidence, detector.skeleton, fps)
    keypoints = Keypoints2D(
        skeleton=detector.skeleton,
        positions=positions,
        confidence=confidence,
        image_size=image_size,
        fps=fps,
        times=np.array(times, float),
        history=(_history(detector, mode, len(chains), swapped),),
    )
    return TrackedPeople(keypoints, _warnings(keypoints, swapped), world if with_world else None)


def _check_options(people: str | int, person_order: str, mode: str) -> None:
    if people != "all" and not (isinstance(people, int) and people >= 1):
        raise ValueError(f"people is {people!r}, expected 'all' or a number of at least 1")
    if person_order not in PERSON_ORDERS:
        raise ValueError(f"person_order is {person_order!r}, expected one of {', '.join(PERSON_ORDERS)}")
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}, expected one of {', '.join(MODES)}")


def _finder(
    detector: PoseDetector, image_size: tuple[int, int], fps: float, mode: str
) -> Callable[[np.ndarray], list[FollowedPose]]:
    """Follow regions where the detector can; else detect in every frame."""
    if isinstance(detector, RegionDetector):
        return PeopleFollower(detector, image_size, fps, MODES[mode])
    return lambda image: [FollowedPose(-1, pose) for pose in detector.detect(image)]


def _track(
    tracker: Tracker,
    frame: int,
    image: np.ndarray,
    poses: list[PersonPose],
    hints: list[int],
    skeleton: Skeleton,
) -> list[int]:
    """Return the tracklet of each pose."""
    if not poses:
        return []
    return tracker(
        frame,
        np.array([p.keypoints for p in poses]),
        np.array([p.confidence for p in poses]),
        np.array([p.score for p in poses]),
        np.array([torso_histogram(image, p.keypoints, skeleton) for p in poses]),
        hints,
    )


def _store(
    seen: _Observations, frame: int, numbers: list[int], poses: list[PersonPose], with_world: bool
) -> None:
    for number, pose in zip(numbers, poses, strict=True):
        seen.frames.append(frame)
        seen.tracklets.append(number)
        seen.keypoints.append(np.asarray(pose.keypoints, np.float32))
        seen.confidence.append(np.asarray(pose.confidence, np.float32))
        if with_world:
            missing = np.full((len(pose.keypoints), 3), np.nan, np.float32)
            seen.world.append(missing if pose.world is None else np.asarray(pose.world, np.float32))


def _assemble(
    seen: _Observations, chains: Sequence[Sequence[int]], frames: int, joints: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (T, P, K, 2) positions, (T, P, K) confidence and (T, P, K, 3) world, or (0, P) world if none was kept."""
    person_of = {number: person for person, chain in enumerate(chains) for number in chain}
    rows = np.array([i for i, number in enumerate(seen.tracklets) if number in person_of], int)
    at = (
        np.array([seen.frames[i] for i in rows], int),
        np.array([person_of[seen.tracklets[i]] for i in rows], int),
    )
    positions = np.full((frames, len(chains), joints, 2), np.nan, np.float32)
    confidence = np.zeros((frames, len(chains), joints), np.float32)
    world = np.full((frames if seen.world else 0, len(chains), joints, 3), np.nan, np.float32)
    if len(rows):
        positions[at] = np.array([seen.keypoints[i] for i in rows])
        confidence[at] = np.array([seen.confidence[i] for i in rows])
        if seen.world:
            world[at] = np.array([seen.world[i] for i in rows])
    confidence[~np.isfinite(positions).all(-1)] = 0
    return positions, confidence, world


def _order(positions: np.ndarray, confidence: np.ndarray, person_order: str) -> list[int]:
    """Return the people in the order asked for."""
    present = (confidence > 0).any(-1)
    first = present.argmax(0)
    everyone = np.arange(positions.shape[1])
    if person_order == "first-seen":
        keys = first.astype(float)
    elif person_order == "left-to-right":
        keys = np.nanmean(positions[first, everyone, :, 0], axis=-1) if len(everyone) else first
    else:
        keys = -_areas(positions).sum(0)
    return np.argsort(keys, kind="stable").tolist()


def _areas(positions: np.ndarray) -> np.ndarray:
    """Return (T, P) areas of the boxes around the keypoints, 0 where missing."""
    low = np.where(np.isfinite(positions), positions, np.inf).min(2)
    high = np.where(np.isfinite(positions), positions, -np.inf).max(2)
    return np.where(np.isfinite(high - low), high - low, 0.0).prod(-1)


def _history(detector: PoseDetector, mode: str, found: int, swapped: np.ndarray) -> str:
    counts = ", ".join(f"{name} in {n} frames" for name, n in zip(GROUPS, swapped.sum((0, 1)), strict=True))
    name = type(detector).__module__.removeprefix("posewright.models.")
    return f"people: {name}, mode {mode}, {found} found; left and right exchanged back: {counts}"


def _warnings(keypoints: Keypoints2D, swapped: np.ndarray) -> tuple[str, ...]:
    """Say in plain words what somebody should know before trusting the keypoints."""
    if keypoints.num_people == 0:
        return ("nobody was found in the picture",)
    times, out = keypoints.frame_times(), []
    present = np.asarray((keypoints.confidence > 0).any(-1))
    for i, person in enumerate(keypoints.person_ids):
        rows = np.flatnonzero(present[:, i])
        patience = max(1, round(LEAVING_SECONDS * keypoints.fps))
        for before, after in zip(rows[:-1], rows[1:], strict=True):
            if after - before > patience:
                out.append(f"person {person} is not seen from {times[before]:.1f} s to {times[after]:.1f} s")
        if rows[0] > patience:
            out.append(f"person {person} is first seen at {times[rows[0]]:.1f} s")
        if keypoints.num_frames - 1 - rows[-1] > patience:
            how = "leaves the picture" if _is_near_edge(keypoints, rows[-1], i) else "is no longer seen"
            out.append(f"person {person} {how} at {times[rows[-1]]:.1f} s")
        exchanged = int(swapped[:, i].any(-1).sum())
        if exchanged:
            out.append(f"person {person}: left and right were exchanged in {exchanged} frames and put right")
    return tuple(out)


def _is_near_edge(keypoints: Keypoints2D, frame: int, person: int) -> bool:
    """Tell whether some keypoint is at the border of the picture or beyond."""
    points = keypoints.positions[frame, person]
    points = points[np.isfinite(points).all(-1)]
    margin = NEAR_EDGE * np.array(keypoints.image_size)
    return bool(((points < margin) | (points > np.array(keypoints.image_size) - margin)).any())
