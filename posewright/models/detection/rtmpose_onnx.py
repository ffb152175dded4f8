"""RTMPose and RTMW from ONNX files: top-down keypoints by coordinate classification (SimCC).

Jiang, Lu, Zhang, Ma, Han, Lyu, Li, Chen, "RTMPose: Real-Time Multi-Person Pose Estimation based on MMPose",
https://arxiv.org/abs/2303.07399; Jiang, Xie, Li, "RTMW: Real-Time Multi-Person 2D and 3D Whole-body Pose Estimation",
https://arxiv.org/abs/2407.08634. Official code https://github.com/open-mmlab/mmpose (Apache-2.0). The network is the
user's file; the crop before it and the decoding after it are here. SimCC: Li, Yang, Liu and others, ECCV 2022,
https://arxiv.org/abs/2107.03332.

A person's box, 1.25 times as large and of the input's aspect ratio, becomes the crop. The network says for each
keypoint how likely each half-pixel column and row is; the position is where each is largest, the confidence is the
smaller of the two maxima, cut to [0, 1] (it is no probability). 17, 26 or 133 outputs are COCO, Halpe with feet and
COCO-WholeBody.

The network was trained on RGB (`bgr_to_rgb=True` in every RTMPose configuration). Some ports hand it BGR; results then
differ a little from these. Left out: flip test, and RTMW3D, whose third output is a depth.

Convention: as `detector.py`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posewright.core.errors import InputError
from posewright.core.weights import Paper, Weights
from posewright.models.detection import yolox_onnx
from posewright.models.detection.onnx_graph import OnnxGraph, needs_file
from posewright.models.detection.top_down import TopDownDetector, keypoint_set, normalised

PAPER = Paper(
    title="RTMPose: Real-Time Multi-Person Pose Estimation based on MMPose",
    venue="arXiv 2023",
    url="https://arxiv.org/abs/2303.07399",
    code="https://github.com/open-mmlab/mmpose",
    code_licence="Apache-2.0",
)

RGB_MEAN, RGB_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
EXPECTED = (
    "RTMPose or RTMW: an input (N, 3, height, width) and two outputs, simcc_x (N, keypoints, 2 * width) and "
    "simcc_y (N, keypoints, 2 * height)"
)


@dataclass(frozen=True)
class Config:
    """Constants of the published configurations."""

    split_ratio: float = 2.0
    """Bins per input pixel (k in SimCC)."""


class Model:
    """Finds the keypoints of the person in each crop.

    Args:
        graph: the loaded file; refused if it is no SimCC network.
        config: constants.
    """

    def __init__(self, graph: OnnxGraph, config: Config | None = None):
        self.graph, self.config = graph, config or Config()
        self.input_size = graph.input_size((192, 256))
        self._check()
        self.skeleton = keypoint_set(self._count(), str(graph.path))

    def __call__(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return keypoints (N, K, 2), crop pixels, and confidence (N, K) for (N, H, W, 3) uint8 RGB crops."""
        simcc_x, simcc_y = self.graph.run(normalised(crops, RGB_MEAN, RGB_STD))
        return decode_simcc(simcc_x, simcc_y, self.config.split_ratio)

    def _check(self) -> None:
        """Refuse a file whose outputs are not two SimCC vectors of the input's size."""
        shapes = [port.shape for port in self.graph.outputs]
        if len(shapes) != 2 or any(len(shape) != 3 for shape in shapes):
            self.graph.refuse(EXPECTED)
        for shape, pixels in zip(shapes, self.input_size, strict=True):
            if shape[2] not in (None, round(pixels * self.config.split_ratio)):
                self.graph.refuse(f"{EXPECTED}; here {self.input_size[0]}x{self.input_size[1]} pixels")

    def _count(self) -> int:
        """Return the number of keypoints; where the file leaves it open, by running it once."""
        if (count := self.graph.outputs[0].shape[1]) is not None:
            return count
        width, height = self.input_size
        return self.graph.run(np.zeros((1, 3, height, width), np.float32))[0].shape[1]


def decode_simcc(
    simcc_x: np.ndarray, simcc_y: np.ndarray, split_ratio: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (N, K, 2) in crop pixels and confidence (N, K), 0 where no bin is above 0.

    Args:
        simcc_x: (N, K, split_ratio * width).
        simcc_y: (N, K, split_ratio * height).
        split_ratio: bins per pixel.
    """
    points = np.stack([simcc_x.argmax(-1), simcc_y.argmax(-1)], -1) / split_ratio
    return points.astype(np.float32), np.minimum(simcc_x.max(-1), simcc_y.max(-1)).clip(min=0)


def load(
    pose_model: str | Path | None = None,
    box_model: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> TopDownDetector:
    """Make the detector from the user's files.

    Args:
        pose_model: RTMPose or RTMW `.onnx`; needed.
        box_model: YOLOX or RTMDet `.onnx`; None: one person who fills the picture is taken for granted.
        device: `auto`, `cpu`, `cuda` or `mps`.
        threads: processor threads; None: all, at most 8.

    Raises:
        InputError: no file was given, or one is not what it should be; the message lists what it has.
        MissingExtraError: onnxruntime is not installed.
    """
    if pose_model is None:
        raise InputError(needs_file("RTMPose or RTMW"))
    keypoints = Model(OnnxGraph(pose_model, device, threads))
    boxes = yolox_onnx.load(box_model, device, threads) if box_model is not None else None
    return TopDownDetector(keypoints.skeleton, keypoints.input_size, keypoints, boxes)


_BODY7 = ("AI Challenger", "COCO", "CrowdPose", "MPII", "sub-JHMDB", "Halpe", "PoseTrack18")
_STORE = "https://download.openmmlab.com/mmpose/v1/projects"


def _card(file: str, trained_on: tuple[str, ...], **reported: float) -> Weights:
    """Describe one of OpenMMLab's archives; the licence is that of the repository which publishes them."""
    return Weights(url=f"{_STORE}/{file}.zip", licence="Apache-2.0", trained_on=trained_on, reported=reported)


WEIGHTS = {
    "rtmpose-s-17": _card(
        "rtmposev1/onnx_sdk/rtmpose-s_simcc-body7_pt-body7_420e-256x192-acd4a1ef_20230504",
        _BODY7,
        coco_ap=69.7,
    ),
    "rtmpose-m-17": _card(
        "rtmposev1/onnx_sdk/rtmpose-m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504",
        _BODY7,
        coco_ap=74.9,
    ),
    "rtmpose-s-26": _card(
        "rtmposev1/onnx_sdk/rtmpose-s_simcc-body7_pt-body7-halpe26_700e-256x192-7f134165_20230605", _BODY7
    ),
    "rtmpose-m-26": _card(
        "rtmposev1/onnx_sdk/rtmpose-m_simcc-body7_pt-body7-halpe26_700e-256x192-4d3e73dd_20230605", _BODY7
    ),
    "rtmw-m-133": _card(
        "rtmw/onnx_sdk/rtmw-dw-m-s_simcc-cocktail14_270e-256x192_20231122",
        ("cocktail14: 14 body, face and hand sets",),
        coco_wholebody_ap=58.2,
    ),
    "rtmw-l-133": _card(
        "rtmw/onnx_sdk/rtmw-dw-x-l_simcc-cocktail14_270e-384x288_20231122",
        ("cocktail14: 14 body, face and hand sets",),
        coco_wholebody_ap=70.1,
    ),
}
"""Where OpenMMLab keeps some of the files. Neither addresses nor licence nor results were verified here, and nothing is
downloaded; the sets they were trained on have terms of their own."""
