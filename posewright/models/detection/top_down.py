"""What top-down detectors share: person boxes to upright crops of the network's shape, and keypoints back to the image.

A top-down backend gives two functions, one that finds boxes and one that finds keypoints in crops; `TopDownDetector`
makes a `RegionDetector` of them.

Convention: a `Region` is a square; the crop is its middle part with the aspect ratio of the network's input, so its
longer side is the region's. Keypoints in a crop are pixels, centre of its top-left pixel (0, 0).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from posewright.core.errors import InputError
from posewright.models.detection.boxes import to_image
from posewright.models.detection.detector import PersonPose, Region, check_image
from posewright.models.detection.windows import Window, distinct_poses
from posewright.skeletons.joint_sets import COCO_17, COCO_WHOLEBODY_133, HALPE_26
from posewright.skeletons.skeleton import Skeleton

KEYPOINT_SETS = {17: COCO_17, 26: HALPE_26, 133: COCO_WHOLEBODY_133}
"""The published models say what they find only by how many; all three begin with the 17 of COCO."""
NUM_BODY = 17
MAX_COORDINATE = 30_000
"""Pixels; OpenCV's warp holds 16-bit positions."""

BoxFinder = Callable[[np.ndarray], np.ndarray]
"""An (H, W, 3) uint8 RGB image to (N, 5) float32: x0 y0 x1 y1 in pixels, score; best first."""
KeypointFinder = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(N, H, W, 3) uint8 RGB crops to keypoints (N, K, 2), crop pixels, and confidence (N, K), 0 where nothing is."""


@dataclass(frozen=True)
class Config:
    """How boxes become crops, and who counts."""

    padding: float = 1.25
    """Side of the crop over side of the person's box, as the published models were trained."""
    growth: float = 1.25
    """Side of the person's box over side of the box around his keypoints, from which the next region is made."""
    min_pose_score: float = 0.3
    """Least mean confidence of the body's keypoints for a crop to hold somebody."""
    min_confidence: float = 0.3
    """Keypoints under this do not shape the next region."""
    max_people: int = 32


class TopDownDetector:
    """Boxes, then keypoints in each; a `RegionDetector`.

    Args:
        skeleton: joint set of the keypoints.
        input_size: (width, height) of the crops.
        keypoints: finds them in crops.
        boxes: finds people; None: one person who fills the picture is taken for granted.
        unbiased: crops map corner pixel centres onto each other (UDP, Huang et al., CVPR 2020), not corner edges.
        config: how boxes become crops, and who counts.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        input_size: tuple[int, int],
        keypoints: KeypointFinder,
        boxes: BoxFinder | None = None,
        unbiased: bool = False,
        config: Config | None = None,
    ):
        self.skeleton, self.input_size = skeleton, input_size
        self._keypoints, self._boxes, self._unbiased = keypoints, boxes, unbiased
        self.config = config or Config()

    def detect(self, image: np.ndarray) -> list[PersonPose]:
        """Return everybody in `image`, best first."""
        regions = self.search(image)[: self.config.max_people]
        poses = [pose for pose in self.estimate(image, regions) if pose is not None]
        return distinct_poses(sorted(poses, key=lambda pose: -pose.score), self.skeleton)

    def search(self, image: np.ndarray, window: Window | None = None) -> list[Region]:
        """Return candidate regions in `window` (x0, y0, x1, y1; None: the whole image), best first.

        Without a box finder the whole image is the only candidate, and a smaller window has none.
        """
        check_image(image)
        x0, y0, x1, y1 = _pixels_of(window, image)
        if x1 <= x0 or y1 <= y0:
            return []
        if self._boxes is None:
            whole = (x1 - x0, y1 - y0) == image.shape[1::-1]
            return [self._region(np.array([x0, y0, x1, y1, 1.0]))] if whole else []
        found = self._boxes(image[y0:y1, x0:x1]) + np.array([x0, y0, x0, y0, 0], np.float32)
        return [self._region(box) for box in found if (box[2:4] > box[:2]).all()]

    def estimate(self, image: np.ndarray, regions: Sequence[Region]) -> list[PersonPose | None]:
        """Return the pose in each region, None where the body's mean confidence is below `min_pose_score`."""
        check_image(image)
        out: list[PersonPose | None] = [None] * len(regions)
        usable = [i for i, region in enumerate(regions) if _is_usable(region)]
        if not usable:
            return out
        matrices = [crop_matrix(regions[i], self.input_size, self._unbiased) for i in usable]
        crops = np.stack([take_crop(image, matrix, self.input_size) for matrix in matrices])
        points, confidence = self._keypoints(crops)
        for i, matrix, p, c in zip(usable, matrices, points, confidence, strict=True):
            out[i] = self._pose(to_image(p, matrix), c, regions[i])
        return out

    def next_region(self, pose: PersonPose) -> Region:
        """Return the region around the pose's surer keypoints."""
        x0, y0, x1, y1 = pose.box(self.config.min_confidence).tolist()
        if not math.isfinite(x0 + y0 + x1 + y1):
            raise ValueError("pose has no keypoint, so there is no next region")
        center = np.array([x0 + x1, y0 + y1]) / 2
        half = np.maximum(np.array([x1 - x0, y1 - y0]) * self.config.growth / 2, 1.0)
        return self._region(np.array([*(center - half), *(center + half), pose.score]))

    def _region(self, box: np.ndarray) -> Region:
        return region_of_box(box[:4], self.input_size, self.config.padding, float(box[4]))

    def _pose(self, points: np.ndarray, confidence: np.ndarray, region: Region) -> PersonPose | None:
        """Make the result of one crop; None if the body is not in it."""
        confidence = np.nan_to_num(confidence).clip(0, 1).astype(np.float32)
        found = (confidence > 0) & np.isfinite(points).all(-1)
        confidence = np.where(found, confidence, np.float32(0))
        score = float(confidence[:NUM_BODY].mean())
        if score < self.config.min_pose_score:
            return None
        return PersonPose(np.where(found[:, None], points, np.float32(np.nan)), confidence, score, region)


def keypoint_set(count: int, source: str) -> Skeleton:
    """Return the joint set with `count` keypoints; `InputError` names `source` and the sets that are known."""
    if count not in KEYPOINT_SETS:
        known = ", ".join(f"{n} ({s.name})" for n, s in KEYPOINT_SETS.items())
        raise InputError(f"{source} finds {count} keypoints; the sets known here have {known}")
    return KEYPOINT_SETS[count]


def region_of_box(
    box: np.ndarray, input_size: tuple[int, int], padding: float = 1.25, score: float = 1.0
) -> Region:
    """Return the region whose crop, of the input's aspect ratio, just holds the padded box (x0, y0, x1, y1)."""
    width, height = input_size
    fitted = max((box[2] - box[0]) / width, (box[3] - box[1]) / height)
    size = float(fitted * padding * max(width, height))
    return Region((float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2), size, 0.0, score)


def crop_matrix(region: Region, input_size: tuple[int, int], unbiased: bool = False) -> np.ndarray:
    """Return the (2, 3) map from image pixels to crop pixels, as `TopdownAffine` of MMPose makes it.

    The crop's rectangle of `size * input_size / max(input_size)` image pixels becomes `input_size` network pixels; with
    `unbiased` it becomes `input_size - 1`, the distance between the outermost pixel centres.
    """
    inputs = np.array(input_size, np.float64)
    extent = inputs - 1 if unbiased else inputs
    scale = extent / (region.size * inputs / inputs.max())
    cos, sin = math.cos(region.rotation), math.sin(region.rotation)
    linear = scale[:, None] * np.array([[cos, sin], [-sin, cos]])
    return np.concatenate([linear, (extent / 2 - linear @ np.array(region.center))[:, None]], 1)


def take_crop(image: np.ndarray, matrix: np.ndarray, input_size: tuple[int, int]) -> np.ndarray:
    """Return the (H, W, 3) uint8 crop, black outside the image."""
    return cv2.warpAffine(image, matrix, input_size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def normalised(crops: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Return (N, H, W, 3) uint8 images as (N, 3, H, W) float32, `(value - mean) / std` per channel."""
    scaled = (crops.astype(np.float32) - np.array(mean, np.float32)) / np.array(std, np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def _pixels_of(window: Window | None, image: np.ndarray) -> tuple[int, int, int, int]:
    """Return the window as whole pixels inside the image."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = window or (0, 0, width, height)
    return (
        max(math.floor(x0), 0),
        max(math.floor(y0), 0),
        min(math.ceil(x1), width),
        min(math.ceil(y1), height),
    )


def _is_usable(region: Region) -> bool:
    """Tell whether a crop can be taken there at all."""
    reach = max(abs(region.center[0]), abs(region.center[1])) + region.size
    return region.size > 0 and reach < MAX_COORDINATE
