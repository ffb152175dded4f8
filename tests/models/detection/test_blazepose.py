"""Parity over everything is in `benchmarks/results/mediapipe_parity.csv`; here is a part that takes seconds."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

from posewright.core.errors import MissingAssetError
from posewright.models.detection import blazepose
from posewright.models.detection.detector import Region, RegionDetector

HERE = Path(__file__).resolve().parent
RECORDED = HERE / "mediapipe_0.10.21"
BENCHMARKS = HERE.parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def model():
    """The model files come through the download layer, from the package index where storage is out of reach."""
    try:
        return blazepose.Model(threads=2)
    except MissingAssetError as error:
        pytest.skip(f"the model files cannot be obtained here: {error}")


@pytest.fixture(scope="module")
def parity(monkeypatch_module):
    monkeypatch_module.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("mediapipe_parity", BENCHMARKS / "mediapipe_parity.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


PHOTOS_WITH_PEOPLE = [
    "astronaut",
    "avatar_woman",
    "camera",
    "man_standing",
    "squat",
    "three_people",
    "yoga_beach",
]


@pytest.mark.parametrize("name", PHOTOS_WITH_PEOPLE)
def test_parity_photo(model, parity, shared_data, name):
    recorded = dict(np.load(RECORDED / f"{name}.static.npz"))
    result = parity.compare(parity.find_media(shared_data, name), "static", recorded, model)
    assert result["found_both"] == 1
    difference = parity.differences(result)
    assert np.median(difference) < 0.002
    assert np.percentile(difference, 95) < 0.03
    assert np.median(np.abs(result["world"])) < 0.002


@pytest.mark.parametrize("name", ["table", "coffee", "chelsea"])
def test_parity_nobody(model, parity, shared_data, name):
    assert not np.load(RECORDED / f"{name}.static.npz")["found"].any()
    image = next(parity.decode(parity.find_media(shared_data, name), 0))[1]
    assert model.detect(image) == []


@pytest.mark.parametrize("name", ["yoga_avatar_30fps", "squats_5fps", "cam04"])
def test_parity_tracking(model, parity, shared_data, name):
    recorded = dict(np.load(RECORDED / f"{name}.tracking.npz"))
    result = parity.compare(parity.find_media(shared_data, name), "tracking", recorded, model, frames=25)
    assert result["found_both"] == 25
    difference = parity.differences(result)
    assert np.median(difference) < 0.01
    assert np.percentile(difference, 95) < 0.03


def test_three_people_are_found(model, parity, shared_data):
    image = next(parity.decode(parity.find_media(shared_data, "three_people"), 0))[1]
    people = model.detect(image)
    assert len(people) == 3
    noses = sorted(p.keypoints[0].tolist() for p in people)
    gaps = np.diff(np.array(noses)[:, 0])
    assert (gaps > 100).all(), "three different heads"


def test_model_is_a_region_detector(model):
    assert isinstance(model, RegionDetector)


def test_same_image_gives_the_same_people(model, parity, shared_data):
    image = next(parity.decode(parity.find_media(shared_data, "squat"), 0))[1]
    first, second = model.detect(image), model.detect(image)
    np.testing.assert_array_equal(first[0].keypoints, second[0].keypoints)


@pytest.mark.parametrize("shape", [(16, 16, 3), (1, 400, 3), (300, 2, 3)])
def test_tiny_images_hold_nobody(model, shape):
    assert model.detect(np.zeros(shape, np.uint8)) == []


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((0, 8, 3), np.uint8)]
)
def test_wrong_images_are_refused(model, image):
    with pytest.raises(ValueError, match="expected"):
        model.detect(image)


def test_law_anchors_cover_the_square():
    anchors = blazepose.anchor_centers()
    assert anchors.shape == (2254, 2)
    assert anchors.min() == pytest.approx(0.5 / 28)
    np.testing.assert_allclose(anchors.mean(0), 0.5, atol=1e-6)
    np.testing.assert_allclose(anchors[2:4, 0], 1.5 / 28, atol=1e-6)


@pytest.mark.parametrize("rotation", [0.0, 0.3, -2.0, np.pi / 2])
def test_law_crop_and_back(rotation):
    """A bright dot of the image is found in the crop where `region_points_to_image` says."""
    image = np.zeros((200, 300, 3), np.uint8)
    image[120:123, 160:163] = 255
    region = Region((150.0, 110.0), 128.0, rotation)
    crop = blazepose.crop(image, region, 256, cv2.BORDER_CONSTANT).astype(float).sum(-1)
    rows, cols = np.indices(crop.shape)
    center = np.array([(cols * crop).sum(), (rows * crop).sum()]) / crop.sum()
    back = blazepose.region_points_to_image(center[None] / 256, region)[0]
    np.testing.assert_allclose(back, [161, 121], atol=0.05)


def test_law_crop_equals_opencv4_rounding():
    """Positions are rounded to 1/32 pixel: a crop shifted by less than half of that is the same."""
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    crops = [
        blazepose.crop(image, Region((32.0 + shift, 32.0), 32.0), 32, cv2.BORDER_REPLICATE)
        for shift in (0.0, 0.012, 0.02)
    ]
    np.testing.assert_array_equal(crops[0], crops[1])
    assert (crops[0] != crops[2]).any()


@pytest.mark.parametrize("angle", [0.0, 0.5, -1.2, 3.0])
def test_convention_region_rotation_is_clockwise_from_up(angle):
    center = np.array([50.0, 60.0])
    edge = center + 20 * np.array([np.sin(angle), -np.cos(angle)])
    region = blazepose.region_from_alignment(center, edge, 1.25)
    assert region.rotation == pytest.approx(angle)
    assert region.size == pytest.approx(50.0)
    top = blazepose.region_points_to_image(np.array([[0.5, 0.5 - 0.4]], np.float32), region)[0]
    np.testing.assert_allclose(top, edge, atol=1e-3)


def test_law_suppression_merges_by_score():
    boxes = np.array([[0, 0, 10, 10, 1], [1, 0, 11, 10, 4], [50, 50, 60, 60, 9]], float)
    merged, best = blazepose.weighted_suppression(boxes, np.array([0.9, 0.6, 0.7]), 0.3)
    np.testing.assert_allclose(best, [0.9, 0.7])
    np.testing.assert_allclose(merged[0], (0.9 * boxes[0] + 0.6 * boxes[1]) / 1.5)
    np.testing.assert_allclose(merged[1], boxes[2])


def test_law_heatmap_moves_to_the_peak_or_leaves():
    heatmaps = np.full((64, 64, 2), -20.0)
    heatmaps[30, 41, 0] = 5.0
    points = np.array([[40.4 / 64, 31.2 / 64], [10 / 64, 10 / 64]])
    refined = blazepose.refine_by_heatmaps(points, heatmaps, 7, 0.5)
    np.testing.assert_allclose(refined[0], [41 / 64, 30 / 64], atol=1e-4)
    np.testing.assert_array_equal(refined[1], points[1])


def test_heatmap_outside_the_crop_leaves_the_point():
    heatmaps = np.full((64, 64, 1), 5.0)
    outside = np.array([[1.3, 0.5]])
    np.testing.assert_array_equal(blazepose.refine_by_heatmaps(outside, heatmaps, 7, 0.5), outside)


def test_absurd_region_gives_nobody(model):
    image = np.zeros((64, 64, 3), np.uint8)
    regions = [Region((1e9, 0.0), 100.0), Region((float("nan"), 0.0), 100.0), Region((0.0, 0.0), 1e7)]
    assert model.estimate(image, regions) == [None, None, None]
