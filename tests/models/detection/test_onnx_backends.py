"""The ONNX backends on graphs made here, whose output follows from where the bright spots of a picture are."""

import re
import sys

import numpy as np
import pytest

from posewright.core.errors import InputError, MissingExtraError
from posewright.models.detection import rtmo_onnx, rtmpose_onnx, yolox_onnx
from posewright.models.detection.boxes import (
    boxes_to_image,
    letterbox,
    letterbox_matrix,
    non_maximum_suppression,
    overlaps,
    to_image,
)
from posewright.models.detection.detector import PoseDetector, Region, RegionDetector
from posewright.models.detection.onnx_graph import OnnxGraph
from posewright.models.detection.top_down import (
    TopDownDetector,
    crop_matrix,
    normalised,
    region_of_box,
    take_crop,
)
from posewright.skeletons.joint_sets import COCO_17

onnx = pytest.importorskip("onnx", reason="package onnx is missing: it makes the models of these tests")
pytest.importorskip("onnxruntime", reason="package onnxruntime is missing: pip install 'posewright[onnx]'")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

SIDE = 640
PERSON = (120, 200)
"""Width and height of the boxes that the made detector gives, network pixels."""


class Graph:
    """Collects nodes and constants of a small ONNX graph."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, value, kind=np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes) -> str:
        output = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def save(self, path, image_shape, **outputs):
        ports = [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
            for n, s in outputs.items()
            if n != "labels"
        ]
        if "labels" in outputs:
            ports.append(helper.make_tensor_value_info("labels", TensorProto.INT64, outputs["labels"]))
        image = helper.make_tensor_value_info("input", TensorProto.FLOAT, image_shape)
        graph = helper.make_graph(self.nodes, "made", [image], ports, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
        return path


def simcc_file(path, keypoints=17, size=(192, 256), batch="batch", bins=2):
    """Make a SimCC network: keypoint k is where channel k % 3 is brightest."""
    graph = Graph()
    channels = graph.constant([k % 3 for k in range(keypoints)], np.int64)
    chosen = graph.add("Gather", "input", channels, axis=1)
    axis = graph.constant([3], np.int64)
    shape = graph.constant([0, 0, -1], np.int64)
    for name, squeezed in (("simcc_x", 2), ("simcc_y", 3)):
        line = graph.add("ReduceMax", chosen, axes=[squeezed], keepdims=0)
        column = graph.add("Unsqueeze", line, axis)
        graph.add("Reshape", graph.add("Concat", *[column] * bins, axis=3), shape, output=name)
    width, height = size
    return graph.save(
        path,
        [batch, 3, height, width],
        simcc_x=[batch, keypoints, bins * width],
        simcc_y=[batch, keypoints, bins * height],
    )


def yolox_file(path, decoded=False, classes=1, side=SIDE):
    """Make a YOLOX network: a person of size `PERSON` in each cell of 32 pixels with something in channel 0 (blue)."""
    graph = Graph()
    shape = graph.constant([1, -1, 1], np.int64)
    levels = []
    for stride in (8, 16, 32):
        n = side // stride
        blue = graph.add("Gather", "input", graph.constant([0], np.int64), axis=1)
        peak = graph.add("MaxPool", blue, kernel_shape=[stride, stride], strides=[stride, stride])
        brighter = graph.add("Relu", graph.add("Sub", peak, graph.constant(120.0)))  # than the margins
        weight = graph.constant((1 / 135) if stride == 32 else 0.0)
        objectness = graph.add("Reshape", graph.add("Mul", brighter, weight), shape)
        cells = np.tile([0.5, 0.5, *np.log(np.array(PERSON) / stride)], (n * n, 1))
        if decoded:
            rows, columns = np.divmod(np.arange(n * n), n)
            centers = (np.stack([columns, rows], -1) + 0.5) * stride
            cells = np.concatenate([centers, np.tile(PERSON, (n * n, 1))], 1)
        scores = np.tile(np.eye(classes)[0], (n * n, 1))
        levels.append(
            graph.add("Concat", graph.constant(cells[None]), objectness, graph.constant(scores[None]), axis=2)
        )
    graph.add("Concat", *levels, axis=1, output="output")
    cells = sum((side // s) ** 2 for s in (8, 16, 32))
    return graph.save(path, [1, 3, side, side], output=[1, cells, 5 + classes])


def fixed_detections_file(path, rows, labels=None):
    """Make a network with mmdeploy's outputs that always finds `rows` (x0 y0 x1 y1 score)."""
    graph = Graph()
    nothing = graph.add("Mul", graph.add("ReduceMax", "input", keepdims=0), graph.constant(0.0))
    graph.add("Add", graph.constant([rows]), nothing, output="dets")
    outputs = {"dets": [1, len(rows), 5]}
    if labels is not None:
        graph.add("Identity", graph.constant([labels], np.int64), output="labels")
        outputs["labels"] = [1, len(labels)]
    return graph.save(path, [1, 3, SIDE, SIDE], **outputs)


def rtmo_file(path, side=SIDE):
    """Make an RTMO network: one person at the brightest blue pixel, keypoint k (k, 2 k) pixels from it.

    A second, overlapping row repeats him with a lower score, a third is empty.
    """
    graph = Graph()
    blue = graph.add("Gather", "input", graph.constant([0], np.int64), axis=1)
    places = []
    for squeezed in (2, 3):
        line = graph.add("ReduceMax", blue, axes=[squeezed], keepdims=0)
        index = graph.add("ArgMax", line, axis=2, keepdims=0)
        places.append(graph.add("Cast", index, to=TensorProto.FLOAT))
    place = graph.add("Concat", *places, axis=1)
    score = graph.add("Div", graph.add("ReduceMax", blue, keepdims=0), graph.constant([[255.0]]))
    corners = graph.add(
        "Add", graph.add("Concat", place, place, axis=1), graph.constant([[-40, -80, 40, 80]])
    )
    row = graph.add("Concat", corners, score, axis=1)
    lower = graph.add("Mul", row, graph.constant([1, 1, 1, 1, 0.8]))
    rows = graph.add("Concat", row, lower, graph.add("Mul", row, graph.constant(0.0)), axis=0)
    graph.add("Unsqueeze", rows, graph.constant([0], np.int64), output="dets")
    offsets = [[k, 2 * k] for k in range(17)]
    points = graph.add("Add", place, graph.constant(offsets))
    full = graph.add("Concat", points, graph.constant(np.full((17, 1), 0.9)), axis=1)
    stacked = graph.add("Unsqueeze", full, graph.constant([0, 1], np.int64))
    graph.add("Concat", stacked, stacked, stacked, axis=1, output="keypoints")
    return graph.save(path, [1, 3, side, side], dets=[1, 3, 5], keypoints=[1, 3, 17, 3])


def scene(size, people, sigma=2.0):
    """Draw a black (H, W, 3) picture with, per person, a red, a green and a blue spot at given x y."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    image = np.zeros((height, width, 3))
    for spots in people:
        for channel, (cx, cy) in enumerate(spots):
            image[..., channel] += 255 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
    return image.clip(0, 255).round().astype(np.uint8)


def person(cx, cy):
    """Return red, green and blue spots of a person whose blue spot is the middle."""
    return [(cx - 37, cy - 61), (cx + 43, cy + 55), (cx, cy)]


def check_spots(pose, spots, tolerance=1.0):
    """Compare each keypoint with the spot of its colour."""
    expected = np.array([spots[k % 3] for k in range(len(pose.confidence))])
    assert np.abs(pose.keypoints - expected).max() <= tolerance


@pytest.fixture
def folder(tmp_path):
    simcc_file(tmp_path / "pose.onnx")
    yolox_file(tmp_path / "yolox.onnx")
    return tmp_path


# boxes


def test_overlap_by_hand():
    box = np.array([0.0, 0, 10, 10])
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [2, 2, 4, 4], [3, 3, 3, 3]], float)
    assert overlaps(box, others) == pytest.approx([1, 50 / 150, 0, 4 / 100, 0])


def test_suppression_by_hand():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [5, 0, 15, 10], [9, 0, 19, 10]], float)
    scores = np.array([0.8, 0.9, 0.3, 0.7, 0.6])
    # box 1 removes 0 (9/11) but not 3 (6/14); 3 does not remove 4 (6/14)
    assert non_maximum_suppression(boxes, scores, 0.5).tolist() == [1, 3, 4, 2]
    # now 1 removes 0 and 3; 4 overlaps 1 by 2/18 only
    assert non_maximum_suppression(boxes, scores, 0.4).tolist() == [1, 4, 2]
    assert non_maximum_suppression(np.zeros((0, 4)), np.zeros(0), 0.5).shape == (0,)


@pytest.mark.parametrize("size", [(1280, 720), (333, 501), (640, 640), (1, 1), (37, 2000)])
@pytest.mark.parametrize("centred", [False, True])
def test_law_letterbox_inverse(size, centred):
    matrix = letterbox_matrix(size, (640, 416), centred)
    points = np.random.default_rng(0).uniform(0, 1, (50, 2)) * size
    inside = points @ matrix[:, :2].T + matrix[:, 2]
    assert (inside >= 0).all()
    assert (inside <= [640, 416]).all()
    assert to_image(inside, matrix) == pytest.approx(points, abs=1e-3)


def test_letterbox_puts_the_picture_where_it_says():
    image = scene((300, 200), [[(0, 0), (299, 199), (150, 100)]])
    for centred, corner in ((False, (0, 0)), (True, (0, (640 - 200 * 640 / 300) / 2))):
        matrix = letterbox_matrix((300, 200), (640, 640), centred)
        boxed = letterbox(image, matrix, (640, 640))
        y, x = np.unravel_index(boxed[..., 2].argmax(), (640, 640))
        assert (x, y) == pytest.approx(np.array([150, 100]) * 640 / 300 + corner, abs=1)
        assert (boxed[630, 320] == 114).all()


def test_boxes_stay_in_the_image():
    boxes = boxes_to_image(
        np.array([[-50.0, 100, 5000, 200]]), letterbox_matrix((320, 240), (640, 640)), (320, 240)
    )
    assert boxes.tolist() == [[0, 50, 320, 100]]


# crops


def test_convention_crop_is_that_of_mmpose():
    """Centre to centre, padded corner to corner: the numbers follow from `TopdownAffine` by hand."""
    region = region_of_box(np.array([100.0, 50, 200, 250]), (192, 256))
    assert region.center == (150, 150)
    assert region.size == 250  # 1.25 * 200; the width, 125, grows to 187.5
    matrix = crop_matrix(region, (192, 256))
    corners = np.array([[150, 150], [150 - 93.75, 25], [150 + 93.75, 275]])
    expected = np.array([[96, 128], [0, 0], [192, 256]])
    assert corners @ matrix[:, :2].T + matrix[:, 2] == pytest.approx(expected)


def test_convention_wide_box_sets_the_height():
    region = region_of_box(np.array([0.0, 0, 300, 100]), (192, 256))
    assert region.size == pytest.approx(300 * 1.25 * 256 / 192)


def test_convention_rotated_region_is_upright_in_the_crop():
    """A person leaning to the right (clockwise) stands upright in the crop."""
    angle = 0.5
    region = Region((200.0, 150.0), 200.0, rotation=angle)
    head = np.array(region.center) + 60 * np.array([np.sin(angle), -np.cos(angle)])
    matrix = crop_matrix(region, (256, 256))
    assert matrix[:, :2] @ head + matrix[:, 2] == pytest.approx([128, 128 - 60 * 256 / 200])
    crop = take_crop(scene((400, 300), [[head] * 3]), matrix, (256, 256))
    y, x = np.unravel_index(crop[..., 0].argmax(), (256, 256))
    assert (x, y) == pytest.approx((128, 51.2), abs=1)


def test_convention_colours_are_rgb_for_poses_and_bgr_for_boxes():
    red = np.full((1, 1, 1, 3), (255, 0, 0), np.uint8)
    rgb = normalised(red, rtmpose_onnx.RGB_MEAN, rtmpose_onnx.RGB_STD)
    assert rgb.ravel() == pytest.approx([(255 - 123.675) / 58.395, -116.28 / 57.12, -103.53 / 57.375])
    bgr = yolox_onnx.network_values(red[0], "rtmdet")
    assert bgr.ravel() == pytest.approx([-103.53 / 57.375, -116.28 / 57.12, (255 - 123.675) / 58.395])
    assert yolox_onnx.network_values(red[0], "yolox").ravel().tolist() == [0, 0, 255]


# RTMPose


def test_simcc_by_hand():
    x, y = np.zeros((1, 2, 12)), np.zeros((1, 2, 16))
    x[0, 0, 7], y[0, 0, 4] = 0.9, 0.6
    x[0, 1], y[0, 1] = -1, -1
    points, confidence = rtmpose_onnx.decode_simcc(x, y, 2.0)
    assert points[0, 0].tolist() == [3.5, 2.0]
    assert confidence[0].tolist() == [0.6, 0]


@pytest.mark.parametrize("size", [(640, 640), (641, 480), (479, 637), (333, 250)])
def test_finds_the_spots_of_one_person(folder, size):
    spots = person(size[0] // 2, size[1] // 2)
    found = rtmpose_onnx.load(folder / "pose.onnx", folder / "yolox.onnx").detect(scene(size, [spots]))
    assert len(found) == 1
    check_spots(found[0], spots)
    assert found[0].score == pytest.approx(1.0)
    assert found[0].region is not None


def test_finds_several_people(folder):
    """Three people in a wide picture that the detector sees at half size."""
    people = [person(cx, cy) for cx, cy in ((203, 160), (670, 420), (1056, 224))]
    detector = rtmpose_onnx.load(folder / "pose.onnx", folder / "yolox.onnx")
    image = scene((1280, 720), people, sigma=3.0)
    found = detector.detect(image)
    assert len(found) == 3
    for spots, pose in zip(people, sorted(found, key=lambda p: p.keypoints[2, 0]), strict=True):
        # the box of 240x400 image pixels becomes a crop in which a pixel is 1.95 of the image
        check_spots(pose, spots, tolerance=1.95)
    regions = [
        region_of_box(np.array([cx - 60, cy - 80, cx + 60, cy + 80]), (192, 256)) for *_, (cx, cy) in people
    ]
    for spots, pose in zip(people, detector.estimate(image, regions), strict=True):
        assert pose is not None
        check_spots(pose, spots)


@pytest.mark.parametrize("batch", [1, 4, "batch"])
def test_fixed_and_open_batches_agree(tmp_path, batch):
    people = [person(120 + 150 * i, 200) for i in range(6)]
    detector = rtmpose_onnx.load(simcc_file(tmp_path / "pose.onnx", batch=batch))
    regions = [region_of_box(np.array([cx - 60, 120, cx + 60, 280]), (192, 256)) for *_, (cx, _) in people]
    poses = detector.estimate(scene((1100, 400), people), regions)
    for spots, pose in zip(people, poses, strict=True):
        assert pose is not None
        check_spots(pose, spots)


@pytest.mark.parametrize(
    ("keypoints", "name"), [(17, "coco_17"), (26, "halpe_26"), (133, "coco_wholebody_133")]
)
@pytest.mark.parametrize("size", [(192, 256), (288, 384)])
def test_joint_set_and_input_come_from_the_file(tmp_path, keypoints, name, size):
    detector = rtmpose_onnx.load(simcc_file(tmp_path / "pose.onnx", keypoints, size))
    assert detector.skeleton.name == name
    assert detector.input_size == size
    spots = person(100, 130)
    found = detector.detect(scene((201, 263), [spots]))
    assert len(found) == 1
    check_spots(found[0], spots, tolerance=1.3)


def test_nobody_in_an_empty_picture(folder):
    detector = rtmpose_onnx.load(folder / "pose.onnx", folder / "yolox.onnx")
    assert detector.detect(np.zeros((480, 640, 3), np.uint8)) == []
    alone = rtmpose_onnx.load(folder / "pose.onnx")
    assert alone.detect(np.zeros((480, 640, 3), np.uint8)) == []


def test_a_region_without_a_person_is_none(folder):
    spots = person(200, 200)
    image = scene((640, 480), [spots])
    detector = rtmpose_onnx.load(folder / "pose.onnx")
    regions = [
        Region((550.0, 400.0), 100.0),
        Region((200.0, 200.0), 200.0),
        Region((float("nan"), 0.0), 50.0),
    ]
    empty, found, broken = detector.estimate(image, regions)
    assert empty is None
    assert broken is None
    check_spots(found, spots)
    assert detector.estimate(image, []) == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 300, 3), (300, 1, 3), (16, 16, 3)])
def test_tiny_pictures_do_not_crash(folder, shape):
    detector = rtmpose_onnx.load(folder / "pose.onnx", folder / "yolox.onnx")
    for pose in detector.detect(np.full(shape, 200, np.uint8)):
        assert np.isfinite(pose.keypoints).all()


def test_grey_pictures_need_three_channels(folder):
    detector = rtmpose_onnx.load(folder / "pose.onnx")
    grey = scene((200, 266), [[(90, 120)] * 3])
    check_spots(detector.detect(grey)[0], [(90, 120)] * 3, tolerance=1.3)
    with pytest.raises(ValueError, match="expected \\(H, W, 3\\) uint8 RGB"):
        detector.detect(grey[..., 0])


def test_windows_give_image_coordinates(folder):
    detector = rtmpose_onnx.load(folder / "pose.onnx", folder / "yolox.onnx")
    image = scene((1280, 720), [person(900, 300), person(150, 300)])
    regions = detector.search(image, (640.0, -50.0, 1280.4, 639.6))
    assert len(regions) == 1
    assert regions[0].center == pytest.approx((900, 300), abs=32)
    assert detector.search(image, (1300.0, 0.0, 1400.0, 100.0)) == []


def test_without_boxes_the_whole_picture_is_the_person(folder):
    detector = rtmpose_onnx.load(folder / "pose.onnx")
    image = np.zeros((480, 640, 3), np.uint8)
    assert [r.center for r in detector.search(image)] == [(320, 240)]
    assert detector.search(image, (0.0, 0.0, 320.0, 480.0)) == []


def test_next_region_follows_a_moving_person(folder):
    detector = rtmpose_onnx.load(folder / "pose.onnx", folder / "yolox.onnx")
    assert isinstance(detector, RegionDetector)
    region = detector.search(scene((640, 480), [person(150, 240)]))[0]
    for frame in range(8):
        spots = person(150 + 12 * frame, 240 + 3 * frame)
        pose = detector.estimate(scene((640, 480), [spots]), [region])[0]
        assert pose is not None
        check_spots(pose, spots)
        region = detector.next_region(pose)
        assert region.center == pytest.approx(np.mean(spots[:2], 0), abs=2)


def test_unsure_keypoints_do_not_shape_the_next_region():
    points = np.zeros((1, 17, 2), np.float32)
    points[0, 1] = 100
    points[0, 2] = 5000
    confidence = np.ones((1, 17), np.float32)
    confidence[0, 2], confidence[0, 3] = 0.1, 0
    detector = TopDownDetector(COCO_17, (192, 256), lambda crops: (points, confidence))
    pose = detector.estimate(np.zeros((256, 192, 3), np.uint8), [Region((96.0, 128.0), 256.0)])[0]
    assert pose is not None
    assert np.isnan(pose.keypoints[3]).all()
    assert pose.confidence[3] == 0
    assert detector.next_region(pose).center == pytest.approx((50, 50))


# YOLOX and RTMDet


@pytest.mark.parametrize("classes", [1, 80])
@pytest.mark.parametrize("decoded", [False, True])
def test_yolox_boxes_are_around_the_cells(tmp_path, decoded, classes):
    find = yolox_onnx.load(yolox_file(tmp_path / "yolox.onnx", decoded, classes))
    boxes = find(scene((1280, 720), [[(400, 336)] * 3], sigma=3.0))
    # half size: the spot (200, 168) is in cell (6, 5), centre (208, 176); back at full size the person is twice as big
    assert boxes.shape == (1, 5)
    assert boxes[0, :4] == pytest.approx([416 - 120, 352 - 200, 416 + 120, 352 + 200], abs=0.01)
    assert boxes[0, 4] > 0.9


def test_yolox_of_another_size_is_refused(tmp_path):
    find = yolox_onnx.load(fixed_cells_file(tmp_path / "yolox.onnx", 100))
    with pytest.raises(InputError, match="gives 100 cells, expected 8400"):
        find(np.zeros((640, 640, 3), np.uint8))


def fixed_cells_file(path, cells):
    graph = Graph()
    nothing = graph.add("Mul", graph.add("ReduceMax", "input", keepdims=0), graph.constant(0.0))
    graph.add("Add", graph.constant(np.zeros((1, cells, 6))), nothing, output="output")
    return graph.save(path, [1, 3, SIDE, SIDE], output=[1, cells, 6])


ROWS = [
    [100, 100, 200, 300, 0.9],
    [102, 100, 202, 300, 0.8],
    [300, 100, 400, 300, 0.7],
    [500, 0, 600, 300, 0.1],
]


def test_rtmdet_rows_are_filtered_and_scaled(tmp_path):
    find = yolox_onnx.load(fixed_detections_file(tmp_path / "rtmdet-m.onnx", ROWS, [0, 0, 0, 0]))
    assert find.family == "rtmdet"
    boxes = find(np.zeros((320, 320, 3), np.uint8))
    assert boxes[:, :4].tolist() == [[50, 50, 100, 150], [150, 50, 200, 150]]
    assert boxes[:, 4] == pytest.approx([0.9, 0.7])


def test_other_classes_are_no_people(tmp_path):
    find = yolox_onnx.load(fixed_detections_file(tmp_path / "yolox.onnx", ROWS, [3, 0, 16, 0]))
    assert find(np.zeros((640, 640, 3), np.uint8))[:, :4].tolist() == [ROWS[1][:4]]


def test_family_must_be_known(tmp_path):
    path = fixed_detections_file(tmp_path / "end2end.onnx", ROWS)
    with pytest.raises(InputError, match="put 'yolox' or 'rtmdet' into the file's name"):
        yolox_onnx.load(path)
    assert yolox_onnx.load(path, family="rtmdet").family == "rtmdet"


# RTMO


@pytest.mark.parametrize("size", [(500, 333), (640, 640), (1281, 719), (120, 401)])
def test_rtmo_finds_the_spot(tmp_path, size):
    spot = (size[0] // 3, size[1] // 2)
    detector = rtmo_onnx.load(rtmo_file(tmp_path / "rtmo.onnx"))
    assert isinstance(detector, PoseDetector)
    assert not isinstance(detector, RegionDetector)
    found = detector.detect(scene(size, [[(5, 5), (9, 9), spot]], sigma=3.0))
    assert len(found) == 1
    scale = max(size) / SIDE
    expected = spot + np.array([[k, 2 * k] for k in range(17)]) * scale
    assert np.abs(found[0].keypoints - expected).max() <= 1
    assert found[0].confidence == pytest.approx(np.full(17, 0.9))


def test_rtmo_finds_nobody_in_an_empty_picture(tmp_path):
    detector = rtmo_onnx.load(rtmo_file(tmp_path / "rtmo.onnx"))
    # square, so that no grey margin is brighter than the picture
    assert detector.detect(np.zeros((640, 640, 3), np.uint8)) == []


def test_rtmo_takes_no_box_model(tmp_path):
    with pytest.raises(InputError, match="finds people by itself"):
        rtmo_onnx.load(rtmo_file(tmp_path / "rtmo.onnx"), tmp_path / "det.onnx")


# files that are wrong


@pytest.mark.parametrize("load", [rtmpose_onnx.load, rtmo_onnx.load, yolox_onnx.load])
@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x07" + bytes(200), None])
def test_broken_files_are_one_sentence(tmp_path, load, content):
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(path))):
        load(path)


def test_truncated_file(tmp_path, folder):
    path = tmp_path / "half.onnx"
    path.write_bytes((folder / "yolox.onnx").read_bytes()[:5000])
    with pytest.raises(InputError, match="cannot be read as an ONNX model"):
        yolox_onnx.load(path)


def test_wrong_model_lists_what_it_has(tmp_path, folder):
    with pytest.raises(InputError) as caught:
        rtmpose_onnx.load(rtmo_file(tmp_path / "rtmo.onnx"))
    message = str(caught.value)
    assert "dets (1, 3, 5) float" in message
    assert "Expected: RTMPose" in message
    with pytest.raises(InputError, match="Expected: RTMO"):
        rtmo_onnx.load(folder / "pose.onnx")
    with pytest.raises(InputError, match="Expected: YOLOX"):
        rtmpose_onnx.load(folder / "pose.onnx", folder / "pose.onnx")


def test_simcc_of_another_split_is_refused(tmp_path):
    with pytest.raises(InputError, match="here 192x256 pixels"):
        rtmpose_onnx.load(simcc_file(tmp_path / "pose.onnx", bins=3))


def test_unknown_joint_sets_are_refused(tmp_path):
    with pytest.raises(InputError, match="finds 21 keypoints; the sets known here have 17"):
        rtmpose_onnx.load(simcc_file(tmp_path / "hand.onnx", 21))


def test_models_that_take_no_images_are_refused(tmp_path):
    graph = Graph()
    graph.add("Identity", "input", output="output")
    path = graph.save(tmp_path / "vector.onnx", [1, 10], output=[1, 10])
    with pytest.raises(InputError, match="one input of colour images"):
        OnnxGraph(path)


def test_devices_that_are_not_there(folder):
    import onnxruntime

    with pytest.raises(InputError, match="expected auto, cpu, cuda or mps"):
        rtmpose_onnx.load(folder / "pose.onnx", device="tpu")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(InputError, match="this onnxruntime has only"):
            rtmpose_onnx.load(folder / "pose.onnx", device="cuda")


def test_without_onnxruntime_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'posewright[onnx]'")):
        rtmpose_onnx.load(folder / "pose.onnx")


@pytest.mark.parametrize("load", [rtmpose_onnx.load, rtmo_onnx.load])
def test_no_file_says_how_to_give_one(load):
    with pytest.raises(InputError, match=re.escape("--detector-model FILE.onnx")):
        load()


@pytest.mark.parametrize("module", [rtmpose_onnx, rtmo_onnx, yolox_onnx])
def test_contract_file_says_where_it_comes_from(module):
    for paper in getattr(module, "PAPERS", None) or [module.PAPER]:
        assert paper.url in module.__doc__
    assert "Convention:" in module.__doc__
    for card in module.WEIGHTS.values():
        assert card.licence
        assert card.verified is None
