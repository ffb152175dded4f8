"""YOLOX and RTMDet person boxes from an ONNX file; the first step of `rtmpose_onnx`. Finds boxes, no keypoints.

Ge, Liu, Wang, Li, Sun, "YOLOX: Exceeding YOLO Series in 2021", https://arxiv.org/abs/2107.08430, official code
https://github.com/Megvii-BaseDetection/YOLOX (Apache-2.0); Lyu, Zhang, Huang and others, "RTMDet: An Empirical Study
of Designing Real-Time Object Detectors", https://arxiv.org/abs/2212.07784, official code
https://github.com/open-mmlab/mmdetection (Apache-2.0). The networks are the user's
files; what comes before and after them is here.

Files that are understood: outputs `dets` (1, N, 5) with or without `labels` (1, N), as mmdeploy exports both families
with non-maximum suppression inside; and one output (1, N, 5 + classes) of YOLOX itself, decoded in the file or not
(told apart by where the centres lie: raw ones are offsets within a cell, decoded ones fill the picture).

Both families read BGR: YOLOX the values as they are, RTMDet with mean and deviation of ImageNet. The picture is fitted
into the upper left corner on grey. Class 0 is the person, as in COCO.

Convention: as `detector.py`; boxes x0 y0 x1 y1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posewright.core.errors import InputError
from posewright.core.weights import Paper, Weights
from posewright.models.detection.boxes import (
    boxes_to_image,
    letterbox,
    letterbox_matrix,
    non_maximum_suppression,
)
from posewright.models.detection.detector import check_image
from posewright.models.detection.onnx_graph import OnnxGraph

PAPERS = (
    Paper(
        title="YOLOX: Exceeding YOLO Series in 2021",
        venue="arXiv 2021",
        url="https://arxiv.org/abs/2107.08430",
        code="https://github.com/Megvii-BaseDetection/YOLOX",
        code_licence="Apache-2.0",
    ),
    Paper(
        title="RTMDet: An Empirical Study of Designing Real-Time Object Detectors",
        venue="arXiv 2022",
        url="https://arxiv.org/abs/2212.07784",
        code="https://github.com/open-mmlab/mmdetection",
        code_licence="Apache-2.0",
    ),
)

STRIDES = (8, 16, 32)
BGR_MEAN, BGR_STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
LAYER_MARKS = {"rtmdet": b"rtm_cls", "yolox": b"multi_level_conv_cls"}
"""Names of the classification layers in mmdetection, which exports keep."""


@dataclass(frozen=True)
class Config:
    """Thresholds."""

    min_score: float = 0.3
    max_overlap: float = 0.65
    """Non-maximum suppression of the published test configurations."""
    person_class: int = 0


class Model:
    """Finds people in an image.

    Args:
        graph: the loaded file.
        family: `yolox` or `rtmdet`, which differ in what they do to pixel values.
        config: thresholds.
    """

    def __init__(self, graph: OnnxGraph, family: str, config: Config | None = None):
        self.graph, self.family, self.config = graph, family, config or Config()
        self.input_size = graph.input_size((640, 640))
        self._read = _reader(graph)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return (N, 5) float32 for an (H, W, 3) uint8 RGB image: x0 y0 x1 y1 in pixels, score; best first."""
        check_image(image)
        image_size = (image.shape[1], image.shape[0])
        matrix = letterbox_matrix(image_size, self.input_size)
        pixels = letterbox(image, matrix, self.input_size)
        outputs = self.graph.run(network_values(pixels, self.family))
        boxes, scores = self._read(outputs, self.input_size, self.config.person_class)
        sure = (scores >= self.config.min_score) & np.isfinite(boxes).all(-1)
        boxes, scores = boxes[sure], scores[sure]
        kept = non_maximum_suppression(boxes, scores, self.config.max_overlap)
        boxes = boxes_to_image(boxes[kept], matrix, image_size)
        return np.concatenate([boxes, scores[kept, None]], 1).astype(np.float32)


def load(
    path: str | Path, device: str = "auto", threads: int | None = None, family: str | None = None
) -> Model:
    """Open a detector file.

    Args:
        path: `.onnx` file.
        device: `auto`, `cpu`, `cuda` or `mps`.
        threads: processor threads; None: all, at most 8.
        family: `yolox` or `rtmdet`; None: from the name of the file or of its folder, its layers or its outputs.

    Raises:
        InputError: not such a file, or the family cannot be told.
    """
    graph = OnnxGraph(path, device, threads)
    _reader(graph)
    return Model(graph, family or _family(graph))


def network_values(pixels: np.ndarray, family: str) -> np.ndarray:
    """Turn an (H, W, 3) uint8 RGB image into the (1, 3, H, W) float32 BGR values that the family was trained on."""
    values = pixels[..., ::-1].astype(np.float32)
    if family == "rtmdet":
        values = (values - np.array(BGR_MEAN, np.float32)) / np.array(BGR_STD, np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def decode_cells(cells: np.ndarray, input_size: tuple[int, int]) -> np.ndarray:
    """Turn YOLOX's raw (N, 4) values into x y width height in network pixels (section 2.1 of the paper).

    Cells come stride by stride, row by row: centre = (offset + cell) * stride, size = exp(value) * stride.
    """
    grids, strides = [], []
    for stride in STRIDES:
        columns, rows = np.meshgrid(np.arange(input_size[0] // stride), np.arange(input_size[1] // stride))
        grids.append(np.stack([columns, rows], -1).reshape(-1, 2))
        strides.append(np.full((len(grids[-1]), 1), stride))
    grid, stride = np.concatenate(grids), np.concatenate(strides)
    if len(grid) != len(cells):
        raise InputError(
            f"the box model gives {len(cells)} cells, expected {len(grid)} for strides {STRIDES} of an input "
            f"of {input_size[0]}x{input_size[1]} pixels"
        )
    return np.concatenate([(cells[:, :2] + grid) * stride, np.exp(cells[:, 2:4].clip(max=20)) * stride], 1)


Reader = Callable[[list[np.ndarray], tuple[int, int], int], tuple[np.ndarray, np.ndarray]]
"""(outputs, input size, person class) to boxes (N, 4) in network pixels and scores (N,)."""


def _reader(graph: OnnxGraph) -> Reader:
    """Choose how to read the outputs, or refuse the file."""
    shapes = [port.shape for port in graph.outputs]
    if len(shapes[0]) == 3 and shapes[0][2] in (5, None) and (len(shapes) == 1 or len(shapes[1]) == 2):
        return _read_detections
    if len(shapes) == 1 and len(shapes[0]) == 3 and (shapes[0][2] or 0) > 5:
        return _read_cells
    graph.refuse(
        "YOLOX or RTMDet: dets (1, N, 5) and, if there are several classes, labels (1, N); "
        "or one output (1, N, 5 + classes) of YOLOX"
    )


def _read_detections(outputs: list[np.ndarray], input_size: tuple[int, int], person: int):
    """Read x0 y0 x1 y1 score (1, N, 5) and labels (1, N)."""
    rows = outputs[0][0]
    if len(outputs) > 1:
        rows = rows[outputs[1][0] == person]
    return rows[:, :4], rows[:, 4]


def _read_cells(outputs: list[np.ndarray], input_size: tuple[int, int], person: int):
    """Read x y width height, objectness and class scores (1, N, 5 + classes)."""
    rows = outputs[0][0]
    is_decoded = np.abs(rows[:, :2]).mean() > min(input_size) / 8
    values = rows[:, :4] if is_decoded else decode_cells(rows, input_size)
    center, half = values[:, :2], values[:, 2:4] / 2
    return np.concatenate([center - half, center + half], 1), rows[:, 4] * rows[:, 5 + person]


def _family(graph: OnnxGraph) -> str:
    """Tell which family a file belongs to."""
    name = f"{graph.path.resolve().parent.name}/{graph.path.name}".lower()
    for family in LAYER_MARKS:
        if family in name:
            return family
    for family, mark in LAYER_MARKS.items():
        if graph.mentions(mark):
            return family
    if (graph.outputs[0].shape[-1] or 0) > 5:
        return "yolox"
    raise InputError(
        f"{graph.path}: cannot tell whether this is YOLOX or RTMDet, which expect other pixel values: "
        "put 'yolox' or 'rtmdet' into the file's name"
    )


def _card(file: str, person_ap: float) -> Weights:
    """Describe one of OpenMMLab's archives; the licence is that of the repository which publishes them."""
    return Weights(
        url=f"https://download.openmmlab.com/mmpose/v1/projects/rtmposev1/onnx_sdk/{file}.zip",
        licence="Apache-2.0",
        trained_on=("COCO", "Human-Art"),
        reported={"coco_person_ap": person_ap},
    )


WEIGHTS = {
    "yolox-tiny": _card("yolox_tiny_8xb8-300e_humanart-6f3252f9", 47.7),
    "yolox-s": _card("yolox_s_8xb8-300e_humanart-3ef259a7", 54.6),
    "yolox-m": _card("yolox_m_8xb8-300e_humanart-c2c7a14a", 59.1),
}
"""Where OpenMMLab keeps some of the files. Neither addresses nor licence nor results were verified here, and nothing is
downloaded; the sets they were trained on have terms of their own."""
