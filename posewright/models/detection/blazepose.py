"""BlazePose: On-device Real-time Body Pose Tracking.

Bazarevsky, Grishchenko, Raveendran, Zhu, Zhang, Grundmann. CVPR Workshop on Computer Vision for Augmented and
Virtual Reality, 2020. https://arxiv.org/abs/2006.10204. Models by Google, Apache-2.0, as MediaPipe 0.10.21 ships
them; run here on LiteRT without MediaPipe, for any number of people.

Step 1, `pose_detection.tflite` (224x224, values in [-1, 1]): 2254 anchors, each a face box and four alignment
points, of which the first is the centre of the hips and the second gives size and rotation of the body's circle.
Step 2, `pose_landmark_full.tflite` (256x256, values in [0, 1]) on the square around 1.25 times that circle, rotated
upright: 33 landmarks and 6 auxiliary ones, refined by heat maps; a flag that a person is there; 33 points in metres.

Differs from MediaPipe: any number of people; windows of the image can be searched one by one; landmarks are not
smoothed (that is a stage of its own in posewright). Left out: the segmentation mask.

Convention: as `detector.py`; landmarks equal MediaPipe's `x * width, y * height`. Confidence is visibility times
presence.
"""

import math
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from posewright.core.assets import Asset, Progress, WheelMember, obtain
from posewright.core.weights import Paper
from posewright.models.detection.detector import PersonPose, Region, check_image
from posewright.models.detection.windows import distinct_poses, distinct_regions, search_windows
from posewright.skeletons.joint_sets import MEDIAPIPE_33

PAPER = Paper(
    title="BlazePose: On-device Real-time Body Pose tracking",
    venue="CV4ARVR at CVPR 2020",
    url="https://arxiv.org/abs/2006.10204",
    code="https://github.com/google-ai-edge/mediapipe",
    code_licence="Apache-2.0",
)

_WHEEL_ARGUMENTS = ("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64")


def _asset(folder: str, name: str, sha256: str, size: int) -> Asset:
    """Describe one of the two model files: Google's model storage first, then MediaPipe's wheel."""
    member = f"mediapipe/modules/{folder}/{name}"
    return Asset(
        name=name,
        sha256=sha256,
        size=size,
        sources=(
            f"https://storage.googleapis.com/mediapipe-assets/{name}",
            WheelMember("mediapipe==0.10.21", member, _WHEEL_ARGUMENTS),
        ),
        licence="Apache-2.0",
        credit="BlazePose by Google, MediaPipe 0.10.21",
    )


WEIGHTS = {
    "detection": _asset(
        "pose_detection",
        "pose_detection.tflite",
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
        2_959_046,
    ),
    "landmarks": _asset(
        "pose_landmark",
        "pose_landmark_full.tflite",
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        6_440_512,
    ),
}
"""The wheel is verified by checksum; the storage address is Google's published one and could not be tried when this
was written (a file with another checksum is refused, so the wheel then serves)."""

ASSETS = tuple(WEIGHTS.values())


@dataclass(frozen=True)
class Config:
    """The constants of the two MediaPipe graphs (0.10.21), and how many people to look for."""

    min_detection_score: float = 0.5
    suppression_overlap: float = 0.3
    """Face boxes that overlap more than this (intersection over union) are one person, averaged by score."""
    region_scale: float = 1.25
    """Side of the region over diameter of the body's circle."""
    min_presence: float = 0.5
    """Least value of the person flag."""
    heatmap_kernel: int = 9
    """Cells. The graph's text says 7; what 0.10.21 returns is reproduced by 9, to 0.002 pixels, and not by 7."""
    min_heatmap_confidence: float = 0.5
    tiles: str = "square"
    """Windows that `detect` searches besides the whole image: `none`, `square` or `fine`, see `windows.py`."""
    max_people: int = 32


DETECTION_SIZE = 224
LANDMARK_SIZE = 256
HEATMAP_SIZE = 64
NUM_LANDMARKS = 33
NUM_OUTPUTS = 39
SAMPLE_STEPS = 32
"""Steps per pixel at which an image is sampled; OpenCV's fixed-point maps have just these."""
FINE_STEPS = SAMPLE_STEPS * 512
MAX_COORDINATE = 30_000
"""Pixels; fixed-point maps hold 16-bit positions."""


def anchor_centers() -> np.ndarray:
    """Return the (2254, 2) anchor centres, x y in [0, 1]: strides 8, 16 and three times 32, two anchors each."""
    centers = []
    for stride, anchors_per_cell in ((8, 2), (16, 2), (32, 6)):
        cells = DETECTION_SIZE // stride
        axis = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
        centers.append(grid.repeat(anchors_per_cell, 0))
    return np.concatenate(centers).astype(np.float32)


def crop(image: np.ndarray, region: Region, size: int, border: int) -> np.ndarray:
    """Return the region as a (size, size, 3) uint8 image by bilinear sampling.

    The region's top-left corner falls on the centre of pixel (0, 0) of the crop, and positions are rounded to 1/32
    pixel, as in MediaPipe (OpenCV 4's warp); so results depend neither on the version of OpenCV nor differ from
    MediaPipe's by more than rounding.
    """
    fine = FINE_STEPS * region.size / size
    cos, sin = math.cos(region.rotation) * fine, math.sin(region.rotation) * fine
    axis = np.arange(size)
    start = FINE_STEPS * np.array(region.center) - (size / 2) * np.array([cos - sin, sin + cos])
    x = _fixed(start[0] + cos * axis)[None, :] - _fixed(sin * axis)[:, None]
    y = _fixed(start[1] + sin * axis)[None, :] + _fixed(cos * axis)[:, None]
    to_steps = FINE_STEPS // SAMPLE_STEPS
    x, y = (x + to_steps // 2) // to_steps, (y + to_steps // 2) // to_steps
    whole = np.empty((size, size, 2), np.int16)
    whole[..., 0], whole[..., 1] = x // SAMPLE_STEPS, y // SAMPLE_STEPS
    fraction = (y % SAMPLE_STEPS * SAMPLE_STEPS + x % SAMPLE_STEPS).astype(np.uint16)
    return cv2.remap(image, whole, fraction, cv2.INTER_LINEAR, borderMode=border)


def _fixed(values: np.ndarray) -> np.ndarray:
    """Round to 32-bit integers."""
    return np.rint(values).astype(np.int32)


def region_points_to_image(points: np.ndarray, region: Region) -> np.ndarray:
    """Map (N, 2) points, fractions of the region's side, to pixels of the image."""
    cos, sin = math.cos(region.rotation), math.sin(region.rotation)
    offset = (points - 0.5) * region.size
    return offset @ np.array([[cos, sin], [-sin, cos]], np.float32) + np.array(region.center, np.float32)


def region_from_alignment(center: np.ndarray, edge: np.ndarray, scale: float, score: float = 1.0) -> Region:
    """Make the region whose circle has its centre at `center` and passes through `edge`, which is to be on top."""
    x, y = (edge - center).tolist()
    rotation = math.pi / 2 - math.atan2(-y, x)
    rotation -= 2 * math.pi * math.floor((rotation + math.pi) / (2 * math.pi))
    size = max(2 * math.hypot(x, y) * scale, 1.0)
    return Region((float(center[0]), float(center[1])), size, rotation, score)


def weighted_suppression(
    boxes: np.ndarray, scores: np.ndarray, overlap: float
) -> tuple[np.ndarray, np.ndarray]:
    """Merge overlapping detections, best first.

    Args:
        boxes: (N, 4 + C): x0 y0 x1 y1, then any further coordinates, averaged with the box.
        scores: (N,).
        overlap: detections whose boxes have a larger intersection over union with the best one are merged with it.

    Returns:
        (M, 4 + C) means weighted by score, and (M,) the best score of each group.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    merged, best = [], []
    while len(scores):
        same = box_overlap(boxes[0], boxes) > overlap
        same[0] = True
        merged.append(np.average(boxes[same], axis=0, weights=scores[same]))
        best.append(scores[0])
        boxes, scores = boxes[~same], scores[~same]
    return np.array(merged).reshape(-1, boxes.shape[1]), np.array(best)


def box_overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the intersection over union (N,) of one box with many, each x0 y0 x1 y1."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:4], boxes[:, 2:4])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = np.clip(boxes[:, 2:4] - boxes[:, :2], 0, None).prod(-1)
    union = areas + np.clip(box[2:4] - box[:2], 0, None).prod() - shared
    return np.where(union > 0, shared / np.maximum(union, 1e-12), 0.0)


def refine_by_heatmaps(points: np.ndarray, heatmaps: np.ndarray, kernel: int, threshold: float) -> np.ndarray:
    """Move each point to the heat map's centre of mass around it, where the heat map is sure.

    Args:
        points: (N, 2), fractions of the region.
        heatmaps: (S, S, N) logits.
        kernel: side of the square of cells looked at.
        threshold: least maximum within the square.

    Returns:
        (N, 2); a cell counts at the fraction cell / S, as in MediaPipe.
    """
    size, count = heatmaps.shape[0], len(points)
    center = np.trunc(points * size).astype(np.int64)
    steps = np.arange(kernel) - kernel // 2
    cols = center[:, 0, None, None] + steps[None, None, :]
    rows = center[:, 1, None, None] + steps[None, :, None]
    inside = (cols >= 0) & (cols < size) & (rows >= 0) & (rows < size)
    inside &= ((center >= 0).all(-1) & (center[:, 0] < size))[:, None, None]
    logits = heatmaps[rows.clip(0, size - 1), cols.clip(0, size - 1), np.arange(count)[:, None, None]]
    weights = np.where(inside, _sigmoid(logits), 0)
    total = weights.sum((1, 2))
    mean = np.stack([(weights * cols).sum((1, 2)), (weights * rows).sum((1, 2))], -1)
    sure = (weights.max((1, 2)) >= threshold) & (total > 0)
    return np.where(sure[:, None], mean / np.maximum(total, 1e-12)[:, None] / size, points)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)), safe for large |x|."""
    return 1 / (1 + np.exp(-np.clip(x, -80, 80)))


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep LiteRT's native notices ("Created ... XNNPACK delegate") off stderr; its errors are exceptions."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class Network:
    """One TFLite model on a few interpreters, so that several threads can run it at once."""

    def __init__(self, path: Path, interpreters: int, threads: int):
        self._idle: SimpleQueue = SimpleQueue()
        for _ in range(interpreters):
            with _without_chatter():
                interpreter = Interpreter(model_path=str(path), num_threads=threads)
                interpreter.allocate_tensors()
            size = interpreter.get_input_details()[0]["shape"][1]
            self._idle.put((interpreter, np.empty((1, size, size, 3), np.float32)))
        self._outputs = [o["index"] for o in interpreter.get_output_details()]
        self._input = interpreter.get_input_details()[0]["index"]

    def __call__(self, image: np.ndarray, scale: float, offset: float) -> list[np.ndarray]:
        """Run on `image * scale + offset`, (S, S, 3) uint8, and return copies of the outputs."""
        interpreter, buffer = self._idle.get()
        try:
            np.multiply(image, np.float32(scale), out=buffer[0])
            if offset:
                buffer += np.float32(offset)
            interpreter.set_tensor(self._input, buffer)
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in self._outputs]
        finally:
            self._idle.put((interpreter, buffer))


class Model:
    """BlazePose for any number of people; a `RegionDetector`.

    Args:
        config: thresholds and search windows.
        threads: processor threads to use; None: all, at most 8.
        progress: told about downloads when the model files are obtained for the first time.
    """

    skeleton = MEDIAPIPE_33
    reliable_score = 0.87
    """Of 27 tracks measured: people have a median of at least 0.98; a table's foot, shadows and so on 0.6 to 0.98."""

    def __init__(
        self, config: Config | None = None, threads: int | None = None, progress: Progress | None = None
    ):
        self.config = config or Config()
        self._anchors = anchor_centers()
        threads = max(1, threads or min(8, os.cpu_count() or 1))
        # Two threads per interpreter: measured as fast as one thread on each of two interpreters when there
        # are several people, and twice as fast when there is one.
        self._interpreters, self._threads = max(1, threads // 2), min(2, threads)
        self._paths = {key: obtain(asset, progress) for key, asset in WEIGHTS.items()}

    @cached_property
    def _detection(self) -> Network:
        return Network(self._paths["detection"], 1, self._threads)

    @cached_property
    def _landmarks(self) -> Network:
        return Network(self._paths["landmarks"], self._interpreters, self._threads)

    @cached_property
    def _workers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._interpreters, thread_name_prefix="blazepose")

    def detect(self, image: np.ndarray) -> list[PersonPose]:
        """Return everybody in `image`: searched whole and in tiles, confirmed by the landmark model, best first."""
        check_image(image)
        windows = search_windows((image.shape[1], image.shape[0]), self.config.tiles)
        regions = [r for window in windows for r in self.search(image, window)]
        regions = distinct_regions(regions)[: self.config.max_people]
        found = [pose for pose in self.estimate(image, regions) if pose is not None]
        return distinct_poses(sorted(found, key=lambda pose: -pose.score), self.skeleton)

    def search(
        self, image: np.ndarray, window: tuple[float, float, float, float] | None = None
    ) -> list[Region]:
        """Return candidate regions in `window` (x0, y0, x1, y1; None: the whole image), best first."""
        x0, y0, x1, y1 = window or (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
        square = Region(((x0 + x1) / 2, (y0 + y1) / 2), max(x1 - x0, y1 - y0))
        pixels = crop(image, square, DETECTION_SIZE, cv2.BORDER_CONSTANT)
        values, logits = self._detection(pixels, 2 / 255, -1.0)
        scores = _sigmoid(logits[0, :, 0])
        kept = scores >= self.config.min_detection_score
        if not kept.any():
            return []
        points = self._decode(values[0][kept], self._anchors[kept])
        merged, best = weighted_suppression(points, scores[kept], self.config.suppression_overlap)
        alignment = region_points_to_image(merged[:, 4:8].reshape(-1, 2), square).reshape(-1, 2, 2)
        return [
            region_from_alignment(center, edge, self.config.region_scale, float(score))
            for (center, edge), score in zip(alignment, best, strict=True)
        ]

    def estimate(self, image: np.ndarray, regions: Sequence[Region]) -> list[PersonPose | None]:
        """Return the pose in each region, None where the person flag is below `min_presence`."""
        if len(regions) < 2 or self._interpreters == 1:
            return [self._estimate_one(image, region) for region in regions]
        return list(self._workers.map(lambda region: self._estimate_one(image, region), regions))

    def next_region(self, pose: PersonPose) -> Region:
        """Return the region around the circle that the two auxiliary landmarks describe."""
        if pose.anchors is None:
            raise ValueError("pose has no anchors, expected a pose made by this detector")
        return region_from_alignment(pose.anchors[0], pose.anchors[1], self.config.region_scale, pose.score)

    @staticmethod
    def _decode(values: np.ndarray, anchors: np.ndarray) -> np.ndarray:
        """Turn (N, 12) network values into (N, 12): x0 y0 x1 y1 and four points, fractions of the square."""
        scaled = values / DETECTION_SIZE
        center, half = scaled[:, :2] + anchors, scaled[:, 2:4] / 2
        points = scaled[:, 4:] + np.tile(anchors, 4)
        return np.concatenate([center - half, center + half, points], 1)

    def _estimate_one(self, image: np.ndarray, region: Region) -> PersonPose | None:
        if not max(map(abs, region.center)) + region.size < MAX_COORDINATE:
            return None
        pixels = crop(image, region, LANDMARK_SIZE, cv2.BORDER_REPLICATE)
        values, flag, _, heatmaps, world = self._landmarks(pixels, 1 / 255, 0.0)
        score = float(flag[0, 0])
        if not score >= self.config.min_presence:
            return None
        values = values.reshape(NUM_OUTPUTS, 5)
        kernel, threshold = self.config.heatmap_kernel, self.config.min_heatmap_confidence
        points = refine_by_heatmaps(values[:, :2] / LANDMARK_SIZE, heatmaps[0], kernel, threshold)
        points = region_points_to_image(points.astype(np.float32), region)
        confidence = _sigmoid(values[:NUM_LANDMARKS, 3]) * _sigmoid(values[:NUM_LANDMARKS, 4])
        return PersonPose(
            keypoints=points[:NUM_LANDMARKS],
            confidence=confidence.astype(np.float32),
            score=score,
            region=region,
            world=_upright_to_image(world.reshape(NUM_OUTPUTS, 3)[:NUM_LANDMARKS], region.rotation),
            anchors=points[NUM_LANDMARKS : NUM_LANDMARKS + 2],
        )


def load(
    pose_model: Path | None = None,
    box_model: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Model:
    """Load the detector; it runs on the processor whatever `device` says.

    Raises:
        ValueError: model files were given; this method brings its own.
        MissingAssetError: the model files are not in the cache and could not be fetched.
    """
    if pose_model or box_model:
        raise ValueError(f"detection/blazepose brings its own model files, but got {pose_model or box_model}")
    return Model(threads=threads, progress=progress)


def _upright_to_image(world: np.ndarray, rotation: float) -> np.ndarray:
    """Turn (K, 3) points of the upright crop about the viewing axis into the image's axes."""
    cos, sin = math.cos(rotation), math.sin(rotation)
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]], np.float32)
    return world @ turn
