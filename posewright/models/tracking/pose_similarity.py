"""Identities of people across the frames of a clip, by pose, motion and appearance.

Two steps. While frames come in, `Tracker` joins poses of neighbouring frames into tracklets by the Hungarian method
(Kuhn 1955, Munkres 1957) on object keypoint similarity with the pose moved on at constant velocity. When the clip is
over, `link_tracklets` joins tracklets into people across gaps (somebody hidden, or gone and back) by position, size and
clothing, and drops those that were nobody. Nothing is learned; MPPTrack, OC-SORT and others share the outline.

Convention: positions are pixels; a tracklet knows only summaries of itself, so memory does not grow with the clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from posewright.metrics.keypoint_similarity import keypoint_sigmas, keypoint_similarity
from posewright.models.tracking.appearance import appearance_distance
from posewright.skeletons.skeleton import Skeleton


@dataclass(frozen=True)
class Config:
    """Weights and limits; seconds are turned into frames by the clip's rate."""

    pose_weight: float = 0.5
    box_weight: float = 0.3
    appearance_weight: float = 0.2
    hint_bonus: float = 0.3
    """Added where the detector says that it followed this person here."""
    min_similarity: float = 0.2
    memory: float = 0.5
    """Seconds for which a tracklet waits for its next pose."""
    sigma_scale: float = 2.0
    """Keypoints of one person differ more between frames than between annotators."""
    min_duration: float = 0.3
    """Seconds; people never followed for so long are nobody (one frame is enough where the clip is that short)."""
    min_score: float = 0.0
    """Least median detection score of somebody real; detectors differ, see `PoseDetector`."""
    handover: float = 0.2
    """Seconds for which one person may have two tracklets, the old one ending and the new one beginning."""
    handover_overlap: float = 0.3
    """Least overlap of the two's boxes then, intersection over union."""
    near_gap: float = 1.5
    """Seconds up to which motion decides whether two tracklets are one person; beyond, appearance does."""
    max_speed: float = 3.0
    """Heights per second."""
    same_appearance: float = 0.3
    """Greatest distance of the clothing of one person seen again after a long gap."""


@dataclass
class Tracklet:
    """A stretch of one person's poses without a long gap, in summary."""

    number: int
    start: int
    end: int
    """Frames of the first and last pose."""
    first_box: np.ndarray
    """(4,) x0 y0 x1 y1, pixels."""
    last_box: np.ndarray
    last_pose: np.ndarray
    last_confidence: np.ndarray
    velocity: np.ndarray
    """(2,) pixels per frame."""
    appearance: np.ndarray
    """(C,) running mean of the histograms; zeros: unknown."""
    hint: int = -1
    count: int = 1
    scores: list[float] = field(default_factory=list)
    """A sample of at most `MAX_SCORES` detection scores."""

    @property
    def median_score(self) -> float:
        """Median detection score of the sampled poses."""
        return float(np.median(self.scores))


MAX_SCORES = 500
VELOCITY_WEIGHT = 0.4
APPEARANCE_WEIGHT = 0.05
SIMILAR_LOOK = 0.6
"""Greatest distance of the clothing of one person seen again at once: light and pose change it."""
NO_LINK = 1e3
SEEN_CONFIDENCE = 0.2


class Tracker:
    """Joins the poses of consecutive frames into tracklets; call it with each frame in turn."""

    def __init__(self, skeleton: Skeleton, fps: float, config: Config | None = None):
        self.config = config or Config()
        self.tracklets: list[Tracklet] = []
        self._active: list[Tracklet] = []
        self._memory = max(1, round(self.config.memory * fps))
        self._sigmas = keypoint_sigmas(skeleton) * self.config.sigma_scale

    def __call__(
        self,
        frame: int,
        keypoints: np.ndarray,
        confidence: np.ndarray,
        scores: np.ndarray,
        appearance: np.ndarray,
        hints: Sequence[int],
    ) -> list[int]:
        """Return the tracklet number of each pose.

        Args:
            frame: index, larger than that of the call before.
            keypoints: (P, K, 2).
            confidence: (P, K).
            scores: (P,) how sure the detector is of each person.
            appearance: (P, C) histograms.
            hints: P numbers; poses of one number in different frames are likely one person; -1: unknown.
        """
        self._active = [t for t in self._active if frame - t.end <= self._memory]
        boxes = pose_boxes(_seen(keypoints, confidence))
        numbers = [-1] * len(keypoints)
        if self._active and len(keypoints):
            similarity = self._similarity(frame, keypoints, confidence, boxes, appearance, hints)
            for row, column in zip(*linear_sum_assignment(-similarity), strict=True):
                if similarity[row, column] >= self.config.min_similarity:
                    tracklet = self._active[row]
                    numbers[column] = tracklet.number
                    _extend(tracklet, frame, keypoints[column], confidence[column], boxes[column])
                    _remember(tracklet, float(scores[column]), appearance[column], hints[column])
        for i, number in enumerate(numbers):
            if number < 0:
                numbers[i] = self._begin(frame, keypoints[i], confidence[i], boxes[i])
                _remember(self.tracklets[-1], float(scores[i]), appearance[i], hints[i])
        return numbers

    def _begin(self, frame: int, keypoints: np.ndarray, confidence: np.ndarray, box: np.ndarray) -> int:
        number = len(self.tracklets)
        empty = np.zeros(0, np.float32)
        new = Tracklet(number, frame, frame, box, box, keypoints, confidence, np.zeros(2), empty)
        self.tracklets.append(new)
        self._active.append(new)
        return number

    def _similarity(self, frame, keypoints, confidence, boxes, appearance, hints) -> np.ndarray:
        """Return (tracklets, poses) similarities."""
        config, active = self.config, self._active
        shift = np.array([t.velocity * (frame - t.end) for t in active], np.float32)[:, None]
        expected = np.array([t.last_pose for t in active]) + shift
        weights = np.array([t.last_confidence for t in active])[:, None] * confidence[None] + 1e-3
        pose = keypoint_similarity(expected[:, None], keypoints[None], weights, self._sigmas)
        moved = np.array([t.last_box for t in active]) + np.tile(shift[:, 0], 2)
        box = box_overlaps(moved, boxes)
        look = 1 - appearance_distance(np.array([t.appearance for t in active])[:, None], appearance[None])
        hinted = np.array([[t.hint == hint >= 0 for hint in hints] for t in active])
        near = np.maximum(pose, box)
        total = config.pose_weight * pose + config.box_weight * box + config.appearance_weight * look * near
        return total + config.hint_bonus * hinted


def _extend(tracklet: Tracklet, frame: int, keypoints, confidence, box: np.ndarray) -> None:
    """Add a pose to a tracklet."""
    step = (_center(box) - _center(tracklet.last_box)) / (frame - tracklet.end)
    tracklet.velocity = tracklet.velocity + VELOCITY_WEIGHT * (step - tracklet.velocity)
    tracklet.last_box, tracklet.last_pose, tracklet.last_confidence = box, keypoints, confidence
    tracklet.end = frame
    tracklet.count += 1


def _remember(tracklet: Tracklet, score: float, appearance: np.ndarray, hint: int) -> None:
    """Update what is known of the person as a whole."""
    tracklet.hint = hint
    if len(tracklet.scores) < MAX_SCORES:
        tracklet.scores.append(score)
    look = np.asarray(appearance, np.float32)
    if not tracklet.appearance.sum() > 0:
        tracklet.appearance = look
    elif look.sum() > 0:
        tracklet.appearance = tracklet.appearance + APPEARANCE_WEIGHT * (look - tracklet.appearance)


def link_tracklets(
    tracklets: Sequence[Tracklet], fps: float, config: Config | None = None
) -> list[list[int]]:
    """Join tracklets into people and drop those that were nobody.

    Returns:
        One list of tracklet numbers per person, each in order of time; people in order of appearance.
    """
    config = config or Config()
    real = [t for t in tracklets if t.median_score >= config.min_score]
    chains = _chains(real, fps, config)
    least = config.min_duration * fps
    length = 1 + max((t.end for t in tracklets), default=0)
    kept = [c for c in chains if max(t.count for t in c) >= min(least, length)]
    return [[t.number for t in chain] for chain in sorted(kept, key=lambda c: c[0].start)]


def _chains(tracklets: list[Tracklet], fps: float, config: Config) -> list[list[Tracklet]]:
    """Follow the best successor of each tracklet."""
    if not tracklets:
        return []
    cost = np.array([[link_cost(a, b, fps, config) for b in tracklets] for a in tracklets])
    successor, has_predecessor = {}, set()
    for row, column in zip(*linear_sum_assignment(cost), strict=True):
        if cost[row, column] < NO_LINK:
            successor[row] = column
            has_predecessor.add(column)
    chains = []
    for start in set(range(len(tracklets))) - has_predecessor:
        chain, at = [tracklets[start]], start
        while at in successor:
            at = successor[at]
            chain.append(tracklets[at])
        chains.append(chain)
    return chains


def link_cost(before: Tracklet, after: Tracklet, fps: float, config: Config) -> float:
    """Return how unlikely it is that `after` continues `before`, in about [0, 1]; `NO_LINK` where it cannot be."""
    gap = (after.start - before.end) / fps
    look = float(appearance_distance(before.appearance, after.appearance))
    if gap <= 0:
        shared = float(box_overlaps(before.last_box[None], after.first_box[None])[0, 0])
        in_turn = before.start < after.start and before.end < after.end
        handed_over = in_turn and -gap <= config.handover and shared > config.handover_overlap
        return look if handed_over and look < SIMILAR_LOOK else NO_LINK
    height = max(_size(before.last_box), _size(after.first_box), 1.0)
    ratio = min(_size(before.last_box), _size(after.first_box)) / height
    expected = _center(before.last_box) + before.velocity * min(gap, 0.5) * fps
    distance = float(np.linalg.norm(_center(after.first_box) - expected)) / height
    reach = 0.3 + config.max_speed * gap
    if gap <= config.near_gap:
        possible = distance < min(reach, 2.0) and ratio > 0.4 and look < SIMILAR_LOOK
        return 0.5 * distance / reach + 0.5 * look if possible else NO_LINK
    possible = distance < reach and look < config.same_appearance
    return 0.6 + look + 0.1 * min(1.0, gap / 60) if possible else NO_LINK


def pose_boxes(keypoints: np.ndarray) -> np.ndarray:
    """Return (P, 4) x0 y0 x1 y1 around the finite keypoints of (P, K, 2)."""
    finite = np.isfinite(keypoints)
    low = np.where(finite, keypoints, np.inf).min(-2, initial=np.inf)
    high = np.where(finite, keypoints, -np.inf).max(-2, initial=-np.inf)
    return np.nan_to_num(np.concatenate([low, high], -1), posinf=0.0, neginf=0.0).reshape(-1, 4)


def box_overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return (N, M) intersections over union of (N, 4) and (M, 4) boxes."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = [np.clip(x[:, 2:] - x[:, :2], 0, None).prod(-1) for x in (a, b)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)


def _seen(keypoints: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Blank the keypoints that are only guessed, unless all are."""
    guessed = (confidence < SEEN_CONFIDENCE) & (confidence >= SEEN_CONFIDENCE).any(-1, keepdims=True)
    return np.where(guessed[..., None], np.nan, keypoints)


def _center(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:]) / 2


def _size(box: np.ndarray) -> float:
    """Return the diagonal of a box: steadier than its height when somebody bends."""
    return float(np.hypot(box[2] - box[0], box[3] - box[1]))
