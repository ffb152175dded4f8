"""Follow everybody's region from frame to frame, and search the picture for newcomers a little at a time.

A search of every window costs as much as several poses, so it is spread: one window per `search_interval` frames in
turn; one per frame while nobody is followed or somebody was just lost, near the place of the loss first. A find counts
only when the landmark model confirms it and it is nobody who is followed already.

Regions are made from a detector's two anchors, smoothed by a One-Euro filter (Casiez, Roussel, Vogel, CHI 2012) with
MediaPipe's constants: a still person's region then stands still, and so do his landmarks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from posewright.models.detection.detector import PersonPose, Region, RegionDetector
from posewright.models.detection.windows import Window, is_same_person, is_same_region, search_windows


@dataclass(frozen=True)
class Schedule:
    """How much to search; the presets are `MODES`."""

    tiles: str = "square"
    """See `windows.TILES`."""
    search_interval: int = 4
    """Frames from one window's search to the next while somebody is followed."""
    loss_frames: float = 0.4
    """Seconds for which every frame searches after somebody was lost."""
    min_birth_confidence: float = 0.25
    """Least mean confidence of the keypoints of a newcomer."""
    min_confidence: float = 0.12
    """Least mean confidence of the keypoints of somebody followed."""
    max_people: int = 16


MODES = {
    "fast": Schedule(search_interval=8),
    "balanced": Schedule(search_interval=4),
    "accurate": Schedule(tiles="fine", search_interval=1, min_birth_confidence=0.2),
}


class OneEuro:
    """One-Euro filter of an array, frame by frame.

    Args:
        min_cutoff: hertz, at rest.
        beta: hertz per unit of speed.
        derivative_cutoff: hertz.
    """

    def __init__(self, min_cutoff: float = 0.01, beta: float = 10.0, derivative_cutoff: float = 1.0):
        self.min_cutoff, self.beta, self.derivative_cutoff = min_cutoff, beta, derivative_cutoff
        self._raw = self._smooth = self._speed = None

    def __call__(self, value: np.ndarray, seconds: float, scale: float) -> np.ndarray:
        """Return the smoothed value.

        Args:
            value: the new measurement.
            seconds: time since the last one.
            scale: factor that makes values comparable (1 / size of the object), for the speed only.
        """
        if self._raw is None or self._smooth is None or self._speed is None:
            self._raw, self._smooth, self._speed = value, value, np.zeros_like(value)
            return value
        speed = (value - self._raw) * scale / seconds
        self._speed = self._speed + self._weight(self.derivative_cutoff, seconds) * (speed - self._speed)
        weight = self._weight(self.min_cutoff + self.beta * np.abs(self._speed), seconds)
        self._raw, self._smooth = value, self._smooth + weight * (value - self._smooth)
        return self._smooth

    @staticmethod
    def _weight(cutoff, seconds: float):
        return 1 / (1 + 1 / (2 * math.pi * cutoff * seconds))


@dataclass
class _Followed:
    """Somebody whose region is known."""

    number: int
    pose: PersonPose
    region: Region
    anchor_filter: OneEuro = field(default_factory=OneEuro)


@dataclass(frozen=True)
class FollowedPose:
    """A pose and the number of the region it was followed in; the number changes when somebody is lost and found."""

    number: int
    pose: PersonPose


class PeopleFollower:
    """People of consecutive frames of one clip; call it with each frame in turn.

    Args:
        detector: a top-down detector.
        image_size: (width, height), pixels.
        fps: frames per second.
        schedule: how much to search.
    """

    def __init__(
        self,
        detector: RegionDetector,
        image_size: tuple[int, int],
        fps: float,
        schedule: Schedule = MODES["balanced"],
    ):
        self.detector, self.schedule, self.fps = detector, schedule, fps
        self._windows = search_windows(image_size, schedule.tiles)
        self._followed: list[_Followed] = []
        self._next_number, self._turn, self._since_search = 0, 0, 10**9
        self._hurry = 0
        self._lost_places: list[Region] = []
        self._is_first = True

    def __call__(self, image: np.ndarray) -> list[FollowedPose]:
        """Return everybody seen in the next frame."""
        self._follow(image)
        for region in self._search(image):
            self._admit(image, region)
        return [FollowedPose(f.number, f.pose) for f in self._followed]

    def _follow(self, image: np.ndarray) -> None:
        """Move everybody's region to the new frame; drop who is gone or doubled."""
        poses = self.detector.estimate(image, [f.region for f in self._followed])
        kept: list[tuple[_Followed, PersonPose]] = []
        for followed, pose in zip(self._followed, poses, strict=True):
            if pose is None or pose.confidence.mean() < self.schedule.min_confidence:
                self._lose(followed)
            else:
                kept.append((followed, pose))
        self._followed = [self._advance(f, pose) for f, pose in self._without_doubles(kept)]

    def _without_doubles(
        self, kept: Sequence[tuple[_Followed, PersonPose]]
    ) -> list[tuple[_Followed, PersonPose]]:
        """Where two regions fell on one person, keep the one who moved less since the last frame."""
        moved = [_movement(f.pose, pose) for f, pose in kept]
        out: list[tuple[_Followed, PersonPose]] = []
        for i in sorted(range(len(kept)), key=lambda i: moved[i]):
            followed, pose = kept[i]
            if any(is_same_person(pose, other, self.detector.skeleton) for _, other in out):
                self._lose(followed)
            else:
                out.append((followed, pose))
        return sorted(out, key=lambda pair: pair[0].number)

    def _advance(self, followed: _Followed, pose: PersonPose) -> _Followed:
        """Take the new pose and make the next region from its smoothed anchors."""
        followed.pose = pose
        smooth = pose
        if pose.anchors is not None:
            radius = float(np.linalg.norm(pose.anchors[1] - pose.anchors[0]))
            anchors = followed.anchor_filter(pose.anchors, 1 / self.fps, 1 / max(2 * radius, 1e-6))
            smooth = replace(pose, anchors=anchors)
        followed.region = self.detector.next_region(smooth)
        return followed

    def _lose(self, followed: _Followed) -> None:
        self._hurry = max(1, round(self.schedule.loss_frames * self.fps))
        self._lost_places.append(followed.region)

    def _search(self, image: np.ndarray) -> list[Region]:
        """Search the windows that are due and return the candidates, best first."""
        self._since_search += 1
        if self._is_first:
            self._is_first = False
            return sorted((r for w in self._windows for r in self._look(image, w)), key=lambda r: -r.score)
        if len(self._followed) >= self.schedule.max_people:
            return []
        hurry = self._hurry > 0 or not self._followed
        self._hurry = max(0, self._hurry - 1)
        if not hurry and self._since_search < self.schedule.search_interval:
            return []
        return self._look(image, self._next_window(image))

    def _look(self, image: np.ndarray, window: Window) -> list[Region]:
        self._since_search = 0
        return self.detector.search(image, window)

    def _next_window(self, image: np.ndarray) -> Window:
        """Take the place of a loss once, then the windows in turn."""
        if self._lost_places:
            region = self._lost_places.pop(0)
            (x, y), half = region.center, 0.8 * region.size
            if half > 16 and -half < x < image.shape[1] + half and -half < y < image.shape[0] + half:
                return x - half, y - half, x + half, y + half
        self._turn = (self._turn + 1) % len(self._windows)
        return self._windows[self._turn]

    def _admit(self, image: np.ndarray, region: Region) -> None:
        """Confirm a candidate by its pose and follow it if it is somebody new."""
        if len(self._followed) >= self.schedule.max_people:
            return
        if any(is_same_region(region, f.region) for f in self._followed):
            return
        pose = self.detector.estimate(image, [region])[0]
        if pose is None or pose.confidence.mean() < self.schedule.min_birth_confidence:
            return
        if any(is_same_person(pose, f.pose, self.detector.skeleton) for f in self._followed):
            return
        newcomer = _Followed(self._next_number, pose, region)
        self._next_number += 1
        self._followed.append(self._advance(newcomer, pose))


def _movement(before: PersonPose, after: PersonPose) -> float:
    """Return how far the keypoints moved on average, in sizes of the person."""
    weights = before.confidence * after.confidence + 1e-6
    distance = np.linalg.norm(after.keypoints - before.keypoints, axis=-1)
    box = before.box()
    size = max(float(np.hypot(box[2] - box[0], box[3] - box[1])), 1.0)
    return float(np.average(np.nan_to_num(distance), weights=weights)) / size
