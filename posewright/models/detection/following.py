"""Follow everybody's region from frame to frame, and search the picture for newcomers a little at a time.

A search of every window costs as much as several poses, so it is spread: one window per `search_interval` frames in
turn, or every frame while nobody is followed. Somebody lost is looked for in every frame for a while, where he should
be by now. A find counts only when the landmark model confirms it and it is nobody who is followed already.

Regions are made from a detector's two anchors, smoothed by a One-Euro filter (Casiez, Roussel, Vogel, CHI 2012) with
MediaPipe's constants: a still person's region then stands still, and so do his landmarks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from posewright.models.detection.detector import PersonPose, Region, RegionDetector
from posewright.models.detection.turned_over import is_turned_over
from posewright.models.detection.windows import (
    Window,
    distinct_regions,
    is_same_person,
    is_same_region,
    search_windows,
)
from posewright.skeletons.skeleton import Skeleton


@dataclass(frozen=True)
class Schedule:
    """How much to search; the presets are `MODES`."""

    tiles: str = "square"
    """See `windows.TILES`."""
    search_interval: int = 4
    """Frames from one window's search to the next while everybody is followed."""
    patience: float = 0.6
    """Seconds for which somebody lost is looked for where he should be by now."""
    min_birth_confidence: float = 0.3
    """Least mean confidence of the keypoints of a newcomer."""
    min_confidence: float = 0.12
    """Least mean confidence of the keypoints of somebody followed."""
    max_size_change: float = 1.6
    """A region that grows or shrinks more than this from one frame to the next is no longer on the person."""
    min_torso: float = 0.2
    """Least length of a newcomer's torso, as a fraction of the diagonal of the pose's box: a table's foot has less."""
    max_people: int = 16


MODES = {
    "fast": Schedule(search_interval=6),
    "balanced": Schedule(search_interval=4),
    "accurate": Schedule(tiles="fine", search_interval=1),
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
    """Somebody whose region is known, or was until `misses` frames ago."""

    number: int
    pose: PersonPose
    region: Region
    anchor_filter: OneEuro = field(default_factory=OneEuro)
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """x, y (pixels) and rotation (radians) of the region per frame, averaged over a few frames."""
    misses: int = 0

    def expected_region(self) -> Region:
        """Return where the person should be by now, turning and moving on as before."""
        if self.misses == 0:
            return self.region
        x, y, turn = self.velocity * (self.misses + 1)
        center = (self.region.center[0] + x, self.region.center[1] + y)
        return replace(self.region, center=center, rotation=self.region.rotation + turn)


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
        self._next_number, self._turn, self._since_search = 0, 0, 0
        self._is_first = True

    def __call__(self, image: np.ndarray) -> list[FollowedPose]:
        """Return everybody seen in the next frame."""
        self._follow(image)
        for region in self._search(image):
            self._admit(image, region)
        limit = self.schedule.patience * self.fps
        self._followed = [f for f in self._followed if f.misses <= limit and not self._is_outside(f, image)]
        return [FollowedPose(f.number, f.pose) for f in self._followed if f.misses == 0]

    def _is_outside(self, followed: _Followed, image: np.ndarray) -> bool:
        """Tell whether somebody lost must have left the picture."""
        x, y = followed.expected_region().center
        return followed.misses > 0 and not (0 <= x < image.shape[1] and 0 <= y < image.shape[0])

    def _follow(self, image: np.ndarray) -> None:
        """Move everybody's region to the new frame; miss who is gone or doubled."""
        poses = self.detector.estimate(image, [f.expected_region() for f in self._followed])
        found = []
        for followed, pose in zip(self._followed, poses, strict=True):
            if pose is None or self._is_off(followed, pose):
                followed.misses += 1
            else:
                found.append((followed, pose))
        for followed, pose in self._without_doubles(found):
            self._advance(followed, pose)

    def _is_off(self, followed: _Followed, pose: PersonPose) -> bool:
        """Tell whether a pose is too poor, or its region has become so large or small that it is on something else."""
        if followed.misses and not self._is_convincing(pose, newcomer=False):
            return True
        sizes = sorted((followed.region.size, self.detector.next_region(pose).size))
        changed = sizes[1] > self.schedule.max_size_change * sizes[0]
        return changed or pose.confidence.mean() < self.schedule.min_confidence

    def _is_convincing(self, pose: PersonPose, newcomer: bool) -> bool:
        """Tell whether a pose found by searching is somebody's; somebody missed may be curled up."""
        least = self.schedule.min_torso * (1.0 if newcomer else 0.5)
        return (
            pose.confidence.mean() >= self.schedule.min_birth_confidence
            and torso_fraction(pose, self.detector.skeleton) >= least
        )

    def _without_doubles(
        self, found: Sequence[tuple[_Followed, PersonPose]]
    ) -> list[tuple[_Followed, PersonPose]]:
        """Where two regions fell on one person, keep the one who moved less since the last frame.

        A pose upside down within another is dropped, whatever moved.
        """
        skeleton = self.detector.skeleton
        order = sorted(found, key=lambda pair: (pair[0].misses, _movement(pair[0].pose, pair[1])))
        kept: list[tuple[_Followed, PersonPose]] = []
        for followed, pose in order:
            repeats = any(is_same_person(pose, other, skeleton) for _, other in kept)
            if repeats or any(
                is_turned_over(pose, other, skeleton) for _, other in found if other is not pose
            ):
                followed.misses += 1
            else:
                kept.append((followed, pose))
        return kept

    def _advance(self, followed: _Followed, pose: PersonPose) -> None:
        """Take the new pose and make the next region from its smoothed anchors."""
        if followed.misses:
            followed.anchor_filter = OneEuro()
        smooth = pose
        if pose.anchors is not None:
            diameter = 2 * float(np.linalg.norm(pose.anchors[1] - pose.anchors[0]))
            anchors = followed.anchor_filter(pose.anchors, 1 / self.fps, 1 / max(diameter, 1e-6))
            smooth = replace(pose, anchors=anchors)
        region = self.detector.next_region(smooth)
        step = _region_step(followed.region, region) / (followed.misses + 1)
        followed.velocity = followed.velocity + VELOCITY_WEIGHT * (step - followed.velocity)
        followed.pose, followed.region, followed.misses = pose, region, 0

    def _search(self, image: np.ndarray) -> list[Region]:
        """Search the windows that are due and return the candidates, best first."""
        if self._is_first:
            self._is_first = False
            return distinct_regions([r for w in self._windows for r in self.detector.search(image, w)])
        missing = [f for f in self._followed if f.misses]
        candidates = [r for f in missing for r in self.detector.search(image, _window_around(f))]
        self._since_search += 1
        nobody = len(missing) == len(self._followed)
        if nobody or self._since_search >= self.schedule.search_interval:
            self._since_search = 0
            self._turn = (self._turn + 1) % len(self._windows)
            candidates += self.detector.search(image, self._windows[self._turn])
        return distinct_regions(candidates)

    def _admit(self, image: np.ndarray, region: Region) -> None:
        """Confirm a candidate by its pose; it is somebody missed, or somebody new."""
        present = [f for f in self._followed if not f.misses]
        if any(is_same_region(region, f.region) for f in present):
            return
        pose = self.detector.estimate(image, [region])[0]
        missing = [f for f in self._followed if f.misses and _is_near(f.expected_region(), region)]
        if pose is None or not self._is_convincing(pose, newcomer=not missing):
            return
        skeleton = self.detector.skeleton
        if any(
            is_same_person(pose, f.pose, skeleton) or is_turned_over(pose, f.pose, skeleton) for f in present
        ):
            return
        if missing:
            self._advance(min(missing, key=lambda f: _distance(f.expected_region(), region)), pose)
        elif len(self._followed) < self.schedule.max_people:
            newcomer = _Followed(self._next_number, pose, region)
            self._next_number += 1
            self._followed.append(newcomer)
            self._advance(newcomer, pose)


VELOCITY_WEIGHT = 0.5


def _region_step(before: Region, after: Region) -> np.ndarray:
    """Return the movement (x, y, rotation) from one region to the next."""
    turn = (after.rotation - before.rotation + math.pi) % (2 * math.pi) - math.pi
    return np.array([after.center[0] - before.center[0], after.center[1] - before.center[1], turn])


def _distance(a: Region, b: Region) -> float:
    return math.dist(a.center, b.center)


def _is_near(expected: Region, found: Region) -> bool:
    """Tell whether `found` may be the person expected there."""
    sizes = sorted((expected.size, found.size))
    return _distance(expected, found) < 0.5 * expected.size and sizes[0] > 0.5 * sizes[1]


def _window_around(followed: _Followed) -> Window:
    """Return the window to search for somebody missed."""
    region = followed.expected_region()
    (x, y), half = region.center, 0.7 * region.size
    return x - half, y - half, x + half, y + half


def torso_fraction(pose: PersonPose, skeleton: Skeleton) -> float:
    """Return the distance from mid-shoulder to mid-hip over the diagonal of the box; 1 where it is not known."""
    try:
        corners = skeleton.indices("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    except LookupError:
        return 1.0
    points, box = pose.keypoints[corners], pose.box()
    length = float(np.linalg.norm(points[:2].mean(0) - points[2:].mean(0)))
    fraction = length / max(math.dist(box[:2], box[2:]), 1e-6)
    return fraction if math.isfinite(fraction) else 1.0


def _movement(before: PersonPose, after: PersonPose) -> float:
    """Return how far the keypoints moved on average, in sizes of the person."""
    weights = before.confidence * after.confidence + 1e-6
    distance = np.linalg.norm(after.keypoints - before.keypoints, axis=-1)
    box = before.box()
    size = max(float(np.hypot(box[2] - box[0], box[3] - box[1])), 1.0)
    return float(np.average(np.nan_to_num(distance), weights=weights)) / size
