"""From detections of single frames, as other programs write them, to people over a clip."""

import re
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from posewright.core.errors import InputError
from posewright.io.user_files import expect
from posewright.skeletons import joint_sets
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.keypoints import Keypoints2D

BY_COUNT = {
    17: "coco_17",
    21: "hand_21",
    25: "body_25",
    26: "halpe_26",
    33: "mediapipe_33",
    133: "coco_wholebody_133",
}
"""Joint sets that a number of keypoints means where a file does not name its own."""
COMMON_SIZES = ((640, 480), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160))
FORGET_AFTER = 1.0
"""Seconds without detection after which a person is not looked for any more."""
FARTHEST = 0.5
"""Median shift of keypoints between frames, in person sizes, above which it is somebody else."""


@dataclass(frozen=True)
class Detection:
    """One person in one frame."""

    positions: np.ndarray
    """(K, 2) pixels; missing = NaN."""
    confidence: np.ndarray
    """(K,)."""
    person_id: int | None = None
    """The program's own number for the person, or None."""


def detection(flat: list, scores: list | None = None, person_id: int | None = None) -> Detection:
    """Build a detection from `[x, y, c, x, y, c...]`, or from points and scores.

    Points without confidence are missing, whatever their coordinates say.
    """
    values = np.array(flat, np.float64)
    if scores is None:
        expect(
            values.ndim == 1 and values.size % 3 == 0 and values.size > 0,
            "keypoints should be x, y, c triples",
        )
        values = values.reshape(-1, 3)
        positions, confidence = values[:, :2], values[:, 2]
    else:
        positions, confidence = (
            values.reshape(-1, values.shape[-1])[:, :2],
            np.array(scores, np.float64).reshape(-1),
        )
    expect(len(positions) == len(confidence), f"{len(positions)} keypoints but {len(confidence)} scores")
    confidence = np.clip(np.nan_to_num(confidence), 0, 1)
    there = np.isfinite(positions).all(-1) & (confidence > 0)
    positions = np.where(there[:, None], positions, np.nan)
    return Detection(positions, np.where(there, confidence, 0), person_id)


def skeleton_for(count: int, what: str) -> Skeleton:
    """Return the joint set with this many keypoints.

    Raises:
        InputError: no known set has that many.
    """
    if count not in BY_COUNT:
        known = ", ".join(f"{n} ({name})" for n, name in BY_COUNT.items())
        raise InputError(f"{what} has {count} keypoints per person; known numbers are {known}")
    return joint_sets.get(BY_COUNT[count])


def frame_numbers(names: list[str]) -> list[int]:
    """Frame of each name, from 0: its last number if that counts frames, else its place when sorted."""
    found = [re.findall(r"\d+", name) for name in names]
    if all(found):
        numbers = [int(digits[-1]) for digits in found]
        span = max(numbers) - min(numbers) + 1
        if len(set(numbers)) == len(set(names)) and span <= 10 * len(set(names)) + 100:
            return [n - min(numbers) for n in numbers]
    order = {name: n for n, name in enumerate(sorted(set(names)))}
    return [order[name] for name in names]


def assemble(
    frames: list[list[Detection]],
    skeleton: Skeleton,
    source: str,
    image_size: tuple[int, int] | None,
    fps: float | None,
) -> Keypoints2D:
    """Link detections into people, by their own numbers if all have them, else by similarity.

    Args:
        frames: detections of every frame, in order.
        skeleton: what the keypoints are.
        source: format and file, for the history.
        image_size: (width, height), or None: guessed, and noted.
        fps: frames per second, or None: 30 is assumed, and noted.
    """
    everybody = [d for frame in frames for d in frame]
    expect(bool(everybody), "there is no person in any frame")
    wrong = [len(d.positions) for d in everybody if len(d.positions) != len(skeleton)]
    expect(not wrong, f"some people have {wrong[0] if wrong else 0} keypoints, others {len(skeleton)}")
    notes = [f"2D keypoints read from {source}"]
    if fps is None:
        notes.append("frame rate assumed: 30 (give fps)")
    named = all(d.person_id is not None for d in everybody)
    ids = _own_numbers(frames) if named else _link(frames, fps or 30.0)
    people = sorted({i for frame in ids for i in frame})
    positions = np.full((len(frames), len(people), len(skeleton), 2), np.nan, np.float32)
    confidence = np.zeros(positions.shape[:3], np.float32)
    for t, (frame, numbers) in enumerate(zip(frames, ids, strict=True)):
        for person, number in zip(frame, numbers, strict=True):
            positions[t, people.index(number)] = person.positions
            confidence[t, people.index(number)] = person.confidence
    notes.append("people as numbered in the file" if named else "people linked over frames by similarity")
    if image_size is None:
        image_size = guess_size(positions)
        notes.append(
            f"image size guessed from the keypoints: {image_size[0]}x{image_size[1]} (give image_size)"
        )
    numbers = tuple(people) if named else tuple(range(1, len(people) + 1))
    return Keypoints2D(skeleton, positions, confidence, image_size, fps or 30.0, None, numbers, tuple(notes))


def guess_size(positions: np.ndarray) -> tuple[int, int]:
    """Return the smallest usual picture, upright or lying, that holds all keypoints (..., 2)."""
    reach = np.nan_to_num(np.nanmax(positions.reshape(-1, 2), axis=0), nan=1.0)
    for long, short in COMMON_SIZES:
        for size in ((long, short), (short, long)):
            if reach[0] < size[0] and reach[1] < size[1]:
                return size
    return int(np.ceil(reach[0])) + 1, int(np.ceil(reach[1])) + 1


def _own_numbers(frames: list[list[Detection]]) -> list[list[int]]:
    """The file's numbers; of two people with one number in a frame, the less sure is dropped."""
    out = []
    for frame in frames:
        best: dict[int, Detection] = {}
        for person in frame:
            assert person.person_id is not None
            rival = best.get(person.person_id)
            if rival is None or person.confidence.sum() > rival.confidence.sum():
                best[person.person_id] = person
        frame[:] = list(best.values())
        out.append(list(best))
    return out


def _link(frames: list[list[Detection]], fps: float) -> list[list[int]]:
    """Number people by the smallest total shift from where each was last seen (Hungarian method)."""
    last: dict[int, tuple[int, Detection]] = {}
    out, following = [], 1
    for t, frame in enumerate(frames):
        alive = [i for i, (seen, _) in last.items() if t - seen <= max(1.0, FORGET_AFTER * fps)]
        numbers = [0] * len(frame)
        if alive and frame:
            cost = np.array([[_shift(last[i][1], person) for person in frame] for i in alive])
            for row, column in zip(*linear_sum_assignment(cost), strict=True):
                if cost[row, column] <= FARTHEST:
                    numbers[column] = alive[row]
        for n, person in enumerate(frame):
            if numbers[n] == 0:
                numbers[n], following = following, following + 1
            last[numbers[n]] = (t, person)
        out.append(numbers)
    return out


def _shift(a: Detection, b: Detection) -> float:
    """Median distance of the keypoints seen in both, in sizes of `a`; large where nothing is shared."""
    both = np.isfinite(a.positions).all(-1) & np.isfinite(b.positions).all(-1)
    if not both.any():
        return 1e6
    size = float(np.linalg.norm(np.nanmax(a.positions, 0) - np.nanmin(a.positions, 0)))
    return float(np.median(np.linalg.norm(a.positions[both] - b.positions[both], axis=-1)) / max(size, 1.0))
