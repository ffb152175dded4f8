"""RTMO from an ONNX file: everybody's boxes and keypoints in one step.

Lu, Jiang, Li and others, "RTMO: Towards High-Performance One-Stage Real-Time Multi-Person Pose Estimation", CVPR 2024,
https://arxiv.org/abs/2312.07526. Official code https://github.com/open-mmlab/mmpose (Apache-2.0). The network is the
user's file, with its non-maximum suppression inside, as mmdeploy exports it.

The picture is fitted into the middle of the input (640x640; 416x416 for RTMO-t) on grey, as in the official evaluation;
values are BGR from 0 to 255, not normalised. The cost is that of the input, however many people there are.

Convention: as `detector.py`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posewright.core.errors import InputError
from posewright.core.weights import Paper, Weights
from posewright.models.detection.boxes import (
    letterbox,
    letterbox_matrix,
    non_maximum_suppression,
    to_image,
)
from posewright.models.detection.detector import PersonPose, check_image
from posewright.models.detection.onnx_graph import OnnxGraph, needs_file
from posewright.models.detection.top_down import keypoint_set

PAPER = Paper(
    title="RTMO: Towards High-Performance One-Stage Real-Time Multi-Person Pose Estimation",
    venue="CVPR 2024",
    url="https://arxiv.org/abs/2312.07526",
    code="https://github.com/open-mmlab/mmpose",
    code_licence="Apache-2.0",
)

EXPECTED = (
    "RTMO: an input (1, 3, height, width) and two outputs, dets (1, N, 5) and keypoints (1, N, keypoints, 3)"
)


@dataclass(frozen=True)
class Config:
    """Thresholds."""

    min_score: float = 0.3
    max_overlap: float = 0.65
    """Non-maximum suppression of the published test configuration; for files that left it out."""
    max_people: int = 32


class Model:
    """RTMO; a `PoseDetector`.

    Args:
        graph: the loaded file; refused if its outputs are not RTMO's.
        config: thresholds.
    """

    def __init__(self, graph: OnnxGraph, config: Config | None = None):
        self.graph, self.config = graph, config or Config()
        self.input_size = graph.input_size((640, 640))
        shapes = [port.shape for port in graph.outputs]
        if (
            [len(shape) for shape in shapes] != [3, 4]
            or shapes[0][2] not in (5, None)
            or shapes[1][3] not in (3, None)
        ):
            graph.refuse(EXPECTED)
        self.skeleton = keypoint_set(self._count(), str(graph.path))

    def detect(self, image: np.ndarray) -> list[PersonPose]:
        """Return everybody in `image`, best first."""
        check_image(image)
        matrix = letterbox_matrix((image.shape[1], image.shape[0]), self.input_size, centred=True)
        detections, keypoints = self._run(letterbox(image, matrix, self.input_size))
        sure = (detections[:, 4] >= self.config.min_score) & np.isfinite(detections).all(-1)
        detections, keypoints = detections[sure], keypoints[sure]
        kept = non_maximum_suppression(detections[:, :4], detections[:, 4], self.config.max_overlap)
        return [
            _pose(to_image(keypoints[i, :, :2], matrix), keypoints[i, :, 2], float(detections[i, 4]))
            for i in kept[: self.config.max_people]
        ]

    def _run(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return dets (N, 5) and keypoints (N, K, 3), network pixels, for one (H, W, 3) uint8 RGB input."""
        values = pixels[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)
        detections, keypoints = self.graph.run(values)
        return detections[0], keypoints[0]

    def _count(self) -> int:
        """Return the number of keypoints; where the file leaves it open, by running it once."""
        if (count := self.graph.outputs[1].shape[2]) is not None:
            return count
        width, height = self.input_size
        return self._run(np.zeros((height, width, 3), np.uint8))[1].shape[1]


def load(
    pose_model: str | Path | None = None,
    box_model: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> Model:
    """Make the detector from the user's file.

    Args:
        pose_model: RTMO `.onnx`; needed.
        box_model: none: RTMO finds people by itself.
        device: `auto`, `cpu`, `cuda` or `mps`.
        threads: processor threads; None: all, at most 8.

    Raises:
        InputError: no file was given, it is not RTMO (the message lists what it has), or a box model was given.
        MissingExtraError: onnxruntime is not installed.
    """
    if box_model is not None:
        raise InputError(f"box model {box_model} was given, but RTMO finds people by itself: leave it out")
    if pose_model is None:
        raise InputError(needs_file("RTMO"))
    return Model(OnnxGraph(pose_model, device, threads))


def _pose(points: np.ndarray, confidence: np.ndarray, score: float) -> PersonPose:
    """Make the result of one person."""
    confidence = np.nan_to_num(confidence).clip(0, 1).astype(np.float32)
    found = (confidence > 0) & np.isfinite(points).all(-1)
    points = np.where(found[:, None], points, np.float32(np.nan))
    return PersonPose(points, np.where(found, confidence, np.float32(0)), min(score, 1.0))


_BODY7 = ("AI Challenger", "COCO", "CrowdPose", "MPII", "sub-JHMDB", "Halpe", "PoseTrack18")


def _card(file: str, coco_ap: float) -> Weights:
    """Describe one of OpenMMLab's archives; the licence is that of the repository which publishes them."""
    return Weights(
        url=f"https://download.openmmlab.com/mmpose/v1/projects/rtmo/onnx_sdk/{file}.zip",
        licence="Apache-2.0",
        trained_on=_BODY7,
        reported={"coco_ap": coco_ap},
    )


WEIGHTS = {
    "s": _card("rtmo-s_8xb32-600e_body7-640x640-dac2bf74_20231211", 68.6),
    "m": _card("rtmo-m_16xb16-600e_body7-640x640-39e78cc4_20231211", 72.6),
    "l": _card("rtmo-l_16xb16-600e_body7-640x640-b37118ce_20231211", 74.8),
}
"""Where OpenMMLab keeps the files. Neither addresses nor licence nor results were verified here, and nothing is
downloaded; the sets they were trained on have terms of their own."""
