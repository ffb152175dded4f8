"""ViTPose and RT-DETR: their pre- and post-processing on networks made here, and tiny random models of transformers."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from posewright.core.errors import InputError, MissingAssetError, MissingExtraError
from posewright.models.detection import vitpose_hf
from posewright.models.detection.detector import Region, RegionDetector
from posewright.models.detection.top_down import TopDownDetector, crop_matrix, region_of_box, take_crop
from posewright.models.detection.vitpose_hf import (
    DetrBoxes,
    Model,
    decode_heatmaps,
    people_boxes,
)
from posewright.skeletons.joint_sets import COCO_17


@pytest.fixture
def transformers(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return pytest.importorskip(
        "transformers", reason="package transformers is missing: pip install 'posewright[hf]'"
    )


class BrightSpots(nn.Module):
    """Heat map k is channel k % 3 of the input, corner on corner, at a quarter of the size."""

    def forward(self, pixel_values):
        height, width = pixel_values.shape[2:]
        values = pixel_values * torch.tensor([58.395, 57.12, 57.375])[:, None, None]
        values = (values + torch.tensor([123.675, 116.28, 103.53])[:, None, None]) / 255
        maps = F.interpolate(values, (height // 4, width // 4), mode="bilinear", align_corners=True)
        return SimpleNamespace(heatmaps=maps[:, [k % 3 for k in range(17)]])


class OneBox(nn.Module):
    """The person is the third query of three: where the picture is brightest; the first is a dog."""

    def forward(self, pixel_values):
        assert pixel_values.shape == (1, 3, 640, 640)
        assert pixel_values.min() >= 0
        assert pixel_values.max() <= 1
        peak = pixel_values[0].sum(0).flatten().argmax()
        center = [float(peak % 640) / 640, float(peak // 640) / 640]
        logits = torch.tensor([[[-3.0, 4.0], [-3.0, -3.0], [2.0, -3.0]]])
        boxes = torch.tensor([[[0.5, 0.5, 1, 1], [0.1, 0.1, 0.1, 0.1], [*center, 0.25, 0.5]]])
        return SimpleNamespace(logits=logits, pred_boxes=boxes)


def scene(size, spots, sigma):
    """Draw a black (H, W, 3) picture with a red, a green and a blue spot."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    image = [255 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2)) for cx, cy in spots]
    return np.stack(image, -1).round().astype(np.uint8)


def gaussians(centers, size=(48, 64), sigma=2.0):
    """Return (1, K, h, w) heat maps with peaks at `centers`, x y."""
    y, x = np.mgrid[: size[1], : size[0]]
    maps = [np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2)) for cx, cy in centers]
    return np.stack(maps)[None].astype(np.float32)


def test_decoding_finds_peaks_between_pixels():
    centers = np.random.default_rng(0).uniform(8, 38, (40, 2))
    points, confidence = decode_heatmaps(0.8 * gaussians(centers), 0.8, 5)
    assert points[0] == pytest.approx(centers, abs=0.02)
    assert confidence.max() <= 0.8
    assert confidence.min() > 0.7


def test_decoding_of_maps_without_a_peak():
    flat = np.zeros((2, 3, 64, 48), np.float32)
    flat[1, 0], flat[1, 1] = 0.5, -1.0
    flat[1, 2, :, 0] = 1.0  # a ridge at the edge: no peak along y
    points, confidence = decode_heatmaps(flat, 0.8, 5)
    assert np.isfinite(points).all()
    assert (points >= 0).all()
    assert confidence[0].tolist() == [0, 0, 0]
    assert confidence[1] == pytest.approx([0.5, 0, 1.0])


@pytest.mark.parametrize("corner", [(0, 0), (47, 63)])
def test_decoding_at_the_corner(corner):
    points, _ = decode_heatmaps(gaussians([corner]), 0.8, 5)
    assert points[0, 0] == pytest.approx(corner, abs=0.6)


def test_convention_unbiased_crop_maps_corner_centres():
    """Of a box of 300x400 pixels: first to first pixel centre, last to last (UDP), by hand."""
    region = region_of_box(np.array([0.0, 0, 240, 320]), (192, 256))
    matrix = crop_matrix(region, (192, 256), unbiased=True)
    corners = np.array([[120 - 150, 160 - 200], [120 + 150, 160 + 200]])
    assert corners @ matrix[:, :2].T + matrix[:, 2] == pytest.approx(np.array([[0, 0], [191, 255]]))


@pytest.mark.parametrize("size", [(640, 480), (481, 641), (401, 333)])
def test_finds_the_spots(size):
    cx, cy = size[0] // 2, size[1] // 2
    spots = [(cx - 30.4, cy - 50), (cx + 41, cy + 33.7), (cx, cy)]
    detector = TopDownDetector(COCO_17, (192, 256), Model(BrightSpots()), DetrBoxes(OneBox()), unbiased=True)
    assert isinstance(detector, RegionDetector)
    # the box is a quarter of the picture wide and half of it high, around the brightest place
    found = detector.detect(scene(size, spots, sigma=10.0))
    assert len(found) == 1
    expected = np.array([spots[k % 3] for k in range(17)])
    assert np.abs(found[0].keypoints - expected).max() <= 1
    assert found[0].confidence.min() > 0.85


def test_several_crops_and_nobody():
    spots = [(100, 120), (130, 180), (160, 140)]
    image = scene((640, 480), spots, sigma=10.0)
    detector = TopDownDetector(COCO_17, (192, 256), Model(BrightSpots()), unbiased=True)
    regions = [Region((130.0, 150.0), 250.0), Region((500.0, 300.0), 200.0)] * 10
    poses = detector.estimate(image, regions)
    assert [pose is None for pose in poses] == [False, True] * 10
    expected = np.array([spots[k % 3] for k in range(17)])
    assert all(np.abs(pose.keypoints - expected).max() <= 1 for pose in poses if pose is not None)
    assert detector.detect(np.zeros((480, 640, 3), np.uint8)) == []


def test_boxes_by_hand():
    boxes = np.array([[0.5, 0.5, 0.2, 0.4], [0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 1, 1]])
    found = people_boxes(boxes, np.array([0.4, 0.9, 0.1]), (200, 100), 0.3)
    assert found == pytest.approx(np.array([[0, 0, 60, 30, 0.9], [80, 30, 120, 70, 0.4]]), abs=1e-5)
    assert people_boxes(boxes, np.zeros(3), (200, 100), 0.3).shape == (0, 5)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 3), (900, 700, 3)])
def test_boxes_of_odd_pictures(shape):
    found = DetrBoxes(OneBox())(np.full(shape, 90, np.uint8))
    assert found.shape == (1, 5)
    assert found[0, 4] == pytest.approx(torch.tensor(2.0).sigmoid().item())
    assert (found[0, 2:4] <= (shape[1], shape[0])).all()


def test_without_transformers_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'posewright\[hf\]'"):
        vitpose_hf.load(tmp_path)


def test_devices_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match="not on this machine"):
        vitpose_hf.load(tmp_path, device="tpu")


def test_contract_file_says_where_it_comes_from():
    assert vitpose_hf.PAPER.url in vitpose_hf.__doc__
    assert "Convention:" in vitpose_hf.__doc__
    assert all(card.verified is None and card.licence for card in vitpose_hf.WEIGHTS.values())


# tiny models of transformers


def save_vitpose(transformers, folder, num_labels=17, **changes):
    """Save a random ViTPose of two layers."""
    torch.manual_seed(0)
    backbone = transformers.VitPoseBackboneConfig(
        image_size=(64, 48),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        out_indices=[2],
        **changes,
    )
    config = transformers.VitPoseConfig(backbone_config=backbone, num_labels=num_labels)
    model = transformers.VitPoseForPoseEstimation(config).eval()
    model.save_pretrained(folder)
    return model


def save_rtdetr(transformers, folder):
    """Save a random RT-DETR, the person being its second class."""
    torch.manual_seed(0)
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = transformers.RTDetrConfig(
        backbone_config=backbone,
        encoder_in_channels=[8, 16, 16],
        encoder_hidden_dim=16,
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        d_model=16,
        decoder_in_channels=[16, 16, 16],
        decoder_layers=1,
        decoder_ffn_dim=16,
        decoder_attention_heads=2,
        num_queries=20,
        num_labels=3,
        id2label={0: "dog", 1: "person", 2: "car"},
        label2id={"dog": 0, "person": 1, "car": 2},
    )
    model = transformers.RTDetrForObjectDetection(config).eval()
    with torch.no_grad():  # as initialised, all queries score the same
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.5)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("num_experts", [1, 3])
def test_loads_a_model_from_a_folder(transformers, tmp_path, num_experts):
    model = save_vitpose(transformers, tmp_path / "pose", num_experts=num_experts, part_features=8)
    detector = vitpose_hf.load(tmp_path / "pose", None, device="cpu")
    assert detector.skeleton is COCO_17
    assert detector.input_size == (48, 64)
    image = np.random.default_rng(0).integers(0, 255, (64, 48, 3), np.uint8)
    values = torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    values = (values - mean[:, None, None]) / std[:, None, None]
    experts = {"dataset_index": torch.tensor([0])} if num_experts > 1 else {}
    with torch.inference_mode():
        expected = model(pixel_values=values, **experts).heatmaps.numpy()
    got = Model(model, num_experts=num_experts).heatmaps(image[None])
    assert got == pytest.approx(expected, abs=1e-5)
    poses = detector.estimate(image, [Region((24.0, 32.0), 64.0)])
    assert len(poses) == 1  # what a random network sees in noise is not asked


def test_loads_both_models(transformers, tmp_path):
    save_vitpose(transformers, tmp_path / "pose")
    network = save_rtdetr(transformers, tmp_path / "boxes")
    detector = vitpose_hf.load(str(tmp_path / "pose"), str(tmp_path / "boxes"), device="cpu", threads=1)
    image = np.random.default_rng(0).integers(0, 255, (640, 640, 3), np.uint8)
    values = torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        output = network(pixel_values=values)
    scores = output.logits[0, :, 1].sigmoid().numpy()
    assert np.ptp(scores) > 0.005  # far more than the tolerance below
    threshold = float(np.median(scores))
    config = vitpose_hf.Config(min_box_score=threshold)
    found = DetrBoxes(detector._boxes.network, detector._boxes.person_class, config)(image)
    assert len(found) == (scores >= threshold).sum()
    assert found[0, 4] == pytest.approx(scores.max(), abs=1e-5)
    cx, cy, w, h = output.pred_boxes[0, int(scores.argmax())].tolist()
    corners = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]).clip(0, 1) * 640
    assert found[0, :4] == pytest.approx(corners, abs=0.05)


def processor(transformers):
    """Return transformers' own image processor, which needs Pillow."""
    pytest.importorskip("PIL", reason="package pillow is missing: pip install 'posewright[hf]'")
    for name in ("VitPoseImageProcessorPil", "VitPoseImageProcessor"):
        if hasattr(transformers, name):
            return getattr(transformers, name)()
    raise AssertionError(f"transformers {transformers.__version__} has no ViTPose image processor")


BOX = np.array([101.5, 60, 207, 330])


def test_parity_crop_is_that_of_transformers(transformers):
    image = np.random.default_rng(0).integers(0, 255, (26, 32, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    coco_box = [*BOX[:2].tolist(), *(BOX[2:] - BOX[:2]).tolist()]
    expected = processor(transformers)(image, boxes=[[coco_box]], return_tensors="pt").pixel_values.numpy()
    matrix = crop_matrix(region_of_box(BOX, (192, 256)), (192, 256), unbiased=True)
    crop = take_crop(image, matrix, (192, 256))
    got = vitpose_hf.normalised(crop[None], vitpose_hf.RGB_MEAN, vitpose_hf.RGB_STD)
    difference = np.abs(got - expected)
    assert difference.max() < 1.01 / (255 * 0.224)  # one grey level, from rounding


def test_parity_decoding_is_that_of_transformers(transformers):
    centers = np.random.default_rng(1).uniform(6, 40, (17, 2))
    heatmaps = 0.9 * gaussians(centers)
    coco_box = [*BOX[:2].tolist(), *(BOX[2:] - BOX[:2]).tolist()]
    outputs = SimpleNamespace(heatmaps=torch.from_numpy(heatmaps))
    expected = processor(transformers).post_process_pose_estimation(outputs, boxes=[[coco_box]])[0][0]

    class Recorded(nn.Module):
        def forward(self, pixel_values):
            return outputs

    detector = TopDownDetector(COCO_17, (192, 256), Model(Recorded()), unbiased=True)
    pose = detector.estimate(np.zeros((480, 640, 3), np.uint8), [region_of_box(BOX, (192, 256))])[0]
    assert pose is not None
    assert pose.keypoints == pytest.approx(expected["keypoints"].numpy(), abs=0.02)
    assert pose.confidence == pytest.approx(expected["scores"].numpy(), abs=1e-6)


# folders that are wrong


def test_missing_folder(transformers, tmp_path):
    with pytest.raises(InputError, match=r"expected a folder with config\.json"):
        vitpose_hf.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"expected a folder with config\.json"):
        vitpose_hf.load("nowhere")


def test_another_model_is_refused(transformers, tmp_path):
    save_rtdetr(transformers, tmp_path)
    with pytest.raises(InputError, match="type 'rt_detr', expected 'vitpose'"):
        vitpose_hf.load(tmp_path)


def test_another_joint_set_is_refused(transformers, tmp_path):
    save_vitpose(transformers, tmp_path, num_labels=52)
    with pytest.raises(InputError, match="finds 52 keypoints"):
        vitpose_hf.load(tmp_path, None)


def test_weights_must_fit(transformers, tmp_path):
    from safetensors.torch import load_file, save_file

    save_vitpose(transformers, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    name = next(key for key in weights if key.startswith("head") and key.endswith("weight"))
    kept = {key: value for key, value in weights.items() if key != name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=f"missing keys: {name}"):
        vitpose_hf.load(tmp_path, None)


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", None])
def test_broken_weights(transformers, tmp_path, content):
    save_vitpose(transformers, tmp_path)
    if content is None:
        (tmp_path / "model.safetensors").unlink()
        (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")  # a pickle is never read
    else:
        (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="cannot be loaded"):
        vitpose_hf.load(tmp_path, None)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"model_type": "nonsense"}', "{}"])
def test_broken_config(transformers, tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=str(tmp_path)):
        vitpose_hf.load(tmp_path, None)


@pytest.mark.parametrize("kind", [str, Path])
def test_offline_says_what_to_do(transformers, monkeypatch, kind):
    monkeypatch.setenv("POSEWRIGHT_OFFLINE", "1")
    with pytest.raises(MissingAssetError, match="hf download nobody/nothing-here --local-dir FOLDER"):
        vitpose_hf.load(kind("nobody/nothing-here"), None)
