"""People in 2D: from the frames of a clip to the keypoints of each person over time.

Frames are read once and not kept: memory grows only with the keypoints (about 400 bytes per person and frame).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from posewright.models.detection.detector import PoseDetector, RegionDetector
from posewright.models.detection.following import MODES, FollowedPose, PeopleFollower
from posewright.models.tracking.appearance import SIZE as COLOURS
from posewright.models.tracking.appearance import torso_histogram
from posewright.models.tracking.left_right import GROUPS, repair_swaps
from posewright.models.tracking.pose_similarity import Config, Tracker, link_tracklets
from posewright.pipelines.journal import Observation
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.keypoints import Keypoints2D

PERSON_ORDERS = ("largest", "left-to-right", "first-seen")


@dataclass(frozen=True)
class TrackedPeople:
    """What `track_people` found."""

    keypoints: Keypoints2D
    warnings: tuple[str, ...]
    """Plain sentences for a person to read."""
    world: np.ndarray | None = None
    """(T, P, K, 3) float32, metres: the detector's own guess in space (see `PersonPose.world`), NaN where missing; as
    the detector gave it, swaps of left and right not repaired. None unless asked for."""


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
    known: Sequence[Observation] = (),
    keep: Callable[[Iterable[Observation]], Iterable[Observation]] | None = None,
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
        known: what an interrupted look found in the clip's first frames; `frames` are then those that come after.
        keep: gets the stream of new observations and passes it on, such as `journal.Journal.keep`.
        on_progress: told the number of frames done after each frame.

    Raises:
        ValueError: an unknown option, or no frames.
    """
    _check_options(people, person_order, mode)
    fresh = observe(frames, _finder(detector, image_size, fps, mode), detector.skeleton, _first_hint(known))
    fresh = keep(fresh) if keep else fresh
    tracker = Tracker(detector.skeleton, fps)
    seen: list[Observation] = []
    tracklets: list[list[int]] = []
    for observation in chain(known, fresh):
        tracklets.append(_track(tracker, len(seen), observation))
        seen.append(observation)
        if on_progress:
            on_progress(len(seen))
    if not seen:
        raise ValueError("no frames came, expected at least one")
    chains = link_tracklets(
        tracker.tracklets, fps, Config(min_score=getattr(detector, "reliable_score", 0.0))
    )
    positions, confidence, world = _assemble(seen, tracklets, chains, len(detector.skeleton))
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
        times=np.array([o.seconds for o in seen], float),
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


def observe(
    frames: Iterable[tuple[int, float, np.ndarray]],
    find: Callable[[np.ndarray], list[FollowedPose]],
    skeleton: Skeleton,
    first_hint: int = 0,
) -> Iterator[Observation]:
    """Find the people of each frame and what they look like; region numbers are counted from `first_hint`."""
    K = len(skeleton)
    missing = np.full((K, 3), np.nan, np.float32)
    for _, seconds, image in frames:
        found = find(image)
        poses = [f.pose for f in found]
        N = len(poses)
        yield Observation(
            seconds=seconds,
            hints=np.array([f.number + first_hint if f.number >= 0 else -1 for f in found], np.int64),
            keypoints=np.array([p.keypoints for p in poses], np.float32).reshape(N, K, 2),
            confidence=np.array([p.confidence for p in poses], np.float32).reshape(N, K),
            scores=np.array([p.score for p in poses], np.float32),
            colours=np.array(
                [torso_histogram(image, p.keypoints, skeleton) for p in poses], np.float16
            ).reshape(N, COLOURS),
            world=np.array([missing if p.world is None else p.world for p in poses], np.float32).reshape(
                N, K, 3
            ),
        )


def _first_hint(known: Sequence[Observation]) -> int:
    """A region number that no known observation has."""
    return 1 + max((int(o.hints.max()) for o in known if len(o.hints)), default=-1)


def _track(tracker: Tracker, frame: int, found: Observation) -> list[int]:
    """Return the tracklet of each pose of a frame."""
    if not len(found.hints):
        return []
    return tracker(
        frame, found.keypoints, found.confidence, found.scores, found.colours, found.hints.tolist()
    )


def _assemble(
    seen: Sequence[Observation],
    tracklets: Sequence[Sequence[int]],
    chains: Sequence[Sequence[int]],
    joints: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (T, P, K, 2) positions, (T, P, K) confidence and (T, P, K, 3) world."""
    person_of = {number: person for person, chain in enumerate(chains) for number in chain}
    shape = (len(seen), len(chains), joints)
    positions, world = np.full((*shape, 2), np.nan, np.float32), np.full((*shape, 3), np.nan, np.float32)
    confidence = np.zeros(shape, np.float32)
    frame = np.repeat(np.arange(len(seen)), [len(numbers) for numbers in tracklets])
    person = np.array([person_of.get(n, -1) for numbers in tracklets for n in numbers], int)
    if (person >= 0).any():
        kept = person >= 0
        at = frame[kept], person[kept]
        positions[at] = np.concatenate([o.keypoints for o in seen])[kept]
        confidence[at] = np.concatenate([o.confidence for o in seen])[kept]
        world[at] = np.concatenate([o.world for o in seen])[kept]
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
    out = []
    for i, person in enumerate(keypoints.person_ids):
        exchanged = int(swapped[:, i].any(-1).sum())
        if exchanged:
            out.append(f"person {person}: left and right were exchanged in {exchanged} frames and put right")
    return tuple(out)
