"""ViTPose with RT-DETR boxes, through transformers (extra `[hf]`): top-down keypoints by heat maps.

Xu, Zhang, Zhang, Tao, "ViTPose: Simple Vision Transformer Baselines for Human Pose Estimation", NeurIPS 2022,
https://arxiv.org/abs/2204.12484, official code https://github.com/ViTAE-Transformer/ViTPose (Apache-2.0); Zhao, Lv, Xu
and others, "DETRs Beat YOLOs on Real-time Object Detection", CVPR 2024, https://arxiv.org/abs/2304.08069, official
code https://github.com/lyuwenyu/RT-DETR (Apache-2.0). The networks are those of transformers; what comes before and
after them is here, so neither its image processors nor Pillow nor torchvision are needed.

A person's box, 1.25 times as large and of the input's aspect ratio, becomes the crop, corner pixel on corner pixel
(UDP: Huang, Zhu, Guo, Huang, CVPR 2020, https://arxiv.org/abs/1911.07524), normalised as ImageNet. A heat map's largest
value is the confidence; its place is refined by one Newton step on the logarithm of the smoothed map (DARK: Zhang, Zhu,
Dai, Ye, Zhu, CVPR 2020, https://arxiv.org/abs/1910.06278). RT-DETR sees the picture squeezed to 640x640, values from 0
to 1.

ViTPose++ mixes experts by data set; the expert of COCO is used. Left out: flip test.

Convention: as `detector.py`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import SafetensorError
from scipy.ndimage import gaussian_filter

from posewright.core.assets import is_offline
from posewright.core.errors import InputError, MissingAssetError, MissingExtraError
from posewright.core.weights import Paper, Weights
from posewright.models.detection.detector import check_image
from posewright.models.detection.top_down import TopDownDetector, keypoint_set, normalised

PAPER = Paper(
    title="ViTPose: Simple Vision Transformer Baselines for Human Pose Estimation",
    venue="NeurIPS 2022",
    url="https://arxiv.org/abs/2204.12484",
    code="https://github.com/ViTAE-Transformer/ViTPose",
    code_licence="Apache-2.0",
)

POSE_MODEL = "usyd-community/vitpose-base-simple"
BOX_MODEL = "PekingU/rtdetr_r50vd_coco_o365"
RGB_MEAN, RGB_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of ImageNet, for values from 0 to 255."""
COCO_EXPERT = 0
"""Index of COCO among the data sets of ViTPose++."""
MAX_BATCH = 16
"""Crops in one call at most: memory stays bounded however many people there are."""
MAX_STEP = 2.0
"""Heat map pixels from the largest value to the refined peak, per axis."""


@dataclass(frozen=True)
class Config:
    """Constants of the published image processors, and a threshold."""

    blur_sigma: float = 0.8
    blur_radius: int = 5
    """Heat map pixels (kernel 11)."""
    box_input: tuple[int, int] = (640, 640)
    """(width, height) of RT-DETR's input."""
    min_box_score: float = 0.3


class Model:
    """Finds the keypoints of the person in each crop.

    Args:
        network: takes `pixel_values` (N, 3, H, W), returns something with `heatmaps` (N, K, h, w).
        config: constants.
        num_experts: more than one for ViTPose++.
    """

    def __init__(self, network: torch.nn.Module, config: Config | None = None, num_experts: int = 1):
        self.network, self.config, self.num_experts = network, config or Config(), num_experts

    def __call__(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return keypoints (N, K, 2), crop pixels, and confidence (N, K) for (N, H, W, 3) uint8 RGB crops."""
        heatmaps = np.concatenate(
            [self.heatmaps(crops[i : i + MAX_BATCH]) for i in range(0, len(crops), MAX_BATCH)]
        )
        points, confidence = decode_heatmaps(heatmaps, self.config.blur_sigma, self.config.blur_radius)
        crop_extent = np.array([crops.shape[2] - 1, crops.shape[1] - 1])
        map_extent = np.array([heatmaps.shape[3] - 1, heatmaps.shape[2] - 1])
        return points * (crop_extent / map_extent).astype(np.float32), confidence

    def heatmaps(self, crops: np.ndarray) -> np.ndarray:
        """Run the network: (N, H, W, 3) uint8 to (N, K, h, w) float32."""
        device = _device_of(self.network)
        values = torch.from_numpy(normalised(crops, RGB_MEAN, RGB_STD)).to(device)
        experts = {}
        if self.num_experts > 1:
            experts["dataset_index"] = torch.full((len(crops),), COCO_EXPERT, device=device)
        with torch.inference_mode():
            return self.network(pixel_values=values, **experts).heatmaps.float().cpu().numpy()


class DetrBoxes:
    """Finds people with RT-DETR.

    Args:
        network: takes `pixel_values` (1, 3, H, W), returns `logits` (1, Q, classes) and `pred_boxes` (1, Q, 4): centre
            and size, fractions of the picture.
        person_class: index of the person among the classes.
        config: constants.
    """

    def __init__(self, network: torch.nn.Module, person_class: int = 0, config: Config | None = None):
        self.network, self.person_class, self.config = network, person_class, config or Config()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return (N, 5) float32 for an (H, W, 3) uint8 RGB image: x0 y0 x1 y1 in pixels, score; best first."""
        check_image(image)
        shrinks = image.shape[0] > self.config.box_input[1] or image.shape[1] > self.config.box_input[0]
        # the published processor filters when it shrinks, as INTER_AREA does and INTER_LINEAR does not
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        small = cv2.resize(image, self.config.box_input, interpolation=method)
        values = torch.from_numpy(normalised(small[None], (0, 0, 0), (255, 255, 255)))
        with torch.inference_mode():
            output = self.network(pixel_values=values.to(_device_of(self.network)))
        scores = output.logits[0, :, self.person_class].float().sigmoid().cpu().numpy()
        boxes = output.pred_boxes[0].float().cpu().numpy()
        return people_boxes(boxes, scores, (image.shape[1], image.shape[0]), self.config.min_box_score)


def people_boxes(
    boxes: np.ndarray, scores: np.ndarray, image_size: tuple[int, int], min_score: float
) -> np.ndarray:
    """Turn centre-and-size fractions (Q, 4) and scores (Q,) into (N, 5) x0 y0 x1 y1 pixels and score, best first."""
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= min_score]
    center, half = boxes[order, :2], boxes[order, 2:] / 2
    corners = np.concatenate([center - half, center + half], 1).clip(0, 1) * np.tile(image_size, 2)
    return np.concatenate([corners, scores[order, None]], 1).astype(np.float32)


def decode_heatmaps(heatmaps: np.ndarray, sigma: float, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the peak of each heat map with sub-pixel accuracy (DARK, equation 9 of the paper).

    Args:
        heatmaps: (N, K, h, w).
        sigma: of the Gaussian that smooths before derivatives are taken, pixels.
        radius: of that Gaussian's kernel, pixels.

    Returns:
        Positions (N, K, 2) float32, x y in heat map pixels, and the largest values (N, K), 0 where none is positive.
        Where the map is no peak around its largest value, the position is that pixel.
    """
    N, K, height, width = heatmaps.shape
    flat = heatmaps.reshape(N, K, -1)
    x, y = flat.argmax(-1) % width, flat.argmax(-1) // width
    smooth = gaussian_filter(heatmaps, (0, 0, sigma, sigma), radius=(0, 0, radius, radius))
    logs = np.log(smooth.astype(np.float64).clip(0.001, 50))
    step = _newton_step(np.pad(logs, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge"), x + 1, y + 1)
    return (np.stack([x, y], -1) + step).astype(np.float32), flat.max(-1).clip(min=0)


def _newton_step(logs: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the step (N, K, 2) from pixel (x, y) to the top of the parabola through its neighbours in (N, K, h, w)."""
    n, k = np.ogrid[: logs.shape[0], : logs.shape[1]]

    def at(dx: int, dy: int) -> np.ndarray:
        return logs[n, k, y + dy, x + dx]

    middle = at(0, 0)
    gx, gy = (at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2
    xx, yy = at(1, 0) - 2 * middle + at(-1, 0), at(0, 1) - 2 * middle + at(0, -1)
    xy = (at(1, 1) - at(1, 0) - at(0, 1) + 2 * middle - at(-1, 0) - at(0, -1) + at(-1, -1)) / 2
    determinant = xx * yy - xy * xy
    is_peak = (xx < 0) & (determinant > 1e-9)
    safe = np.where(is_peak, determinant, 1.0)
    step = np.stack([xy * gy - yy * gx, xy * gx - xx * gy], -1) / safe[..., None]
    is_near = (np.abs(step) <= MAX_STEP).all(-1)  # further away, the neighbours say nothing
    return np.where((is_peak & is_near)[..., None], step, 0.0)


def load(
    pose_model: str | Path = POSE_MODEL,
    box_model: str | Path | None = BOX_MODEL,
    device: str = "auto",
    threads: int | None = None,
) -> TopDownDetector:
    """Make the detector from folders of the user's, or from the Hugging Face hub when there is a network.

    Args:
        pose_model: folder with a ViTPose model (`config.json`, `model.safetensors`), or its name on the hub.
        box_model: the same for RT-DETR; None: one person who fills the picture is taken for granted.
        device: `auto`, `cpu`, `cuda` or `mps`.
        threads: processor threads of torch, for the whole process; None: left as they are.

    Raises:
        InputError: a folder is missing or holds another model.
        MissingAssetError: a name of the hub is not in its cache and cannot be fetched.
        MissingExtraError: transformers is not installed.
    """
    where = _device(device)
    if threads is not None:
        torch.set_num_threads(threads)
    pose = _pretrained(pose_model, "VitPoseForPoseEstimation", ("vitpose",)).to(where)
    backbone = pose.config.backbone_config
    height, width = backbone.image_size
    keypoints = Model(pose, num_experts=backbone.num_experts)
    count = keypoints.heatmaps(np.zeros((1, height, width, 3), np.uint8)).shape[1]
    boxes = None if box_model is None else _boxes(box_model, where)
    skeleton = keypoint_set(count, str(pose_model))
    return TopDownDetector(skeleton, (width, height), keypoints, boxes, unbiased=True)


def _boxes(box_model: str | Path, device: str) -> DetrBoxes:
    """Load RT-DETR and find which of its classes is the person."""
    network = _pretrained(box_model, "AutoModelForObjectDetection", ("rt_detr", "rt_detr_v2")).to(device)
    names = {str(name).lower(): int(index) for index, name in (network.config.id2label or {}).items()}
    return DetrBoxes(network, names.get("person", 0))


def _pretrained(name: str | Path, architecture: str, kinds: tuple[str, ...]):
    """Load a model of one of the `kinds` with all its weights, from safetensors only, in evaluation mode."""
    transformers = _import_transformers()
    folder, name = Path(name), Path(name).as_posix()
    is_local = folder.exists() or not re.fullmatch(r"\w[\w.-]*/[\w.-]+", name)
    if is_local and not (folder / "config.json").is_file():
        raise InputError(f"no model in {folder}: expected a folder with config.json and model.safetensors")
    options = {"local_files_only": is_local or is_offline()}
    try:
        kind = transformers.AutoConfig.from_pretrained(name, **options).model_type
        if kind not in kinds:
            raise InputError(f"{name} is a model of type {kind!r}, expected {' or '.join(map(repr, kinds))}")
        model, info = getattr(transformers, architecture).from_pretrained(
            name, use_safetensors=True, output_loading_info=True, **options
        )
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _unusable(name, is_local, error) from error
    _check_complete(name, info)
    return model.eval()


def _unusable(name: str, is_local: bool, error: Exception) -> Exception:
    """Say why a model cannot be loaded and what to do."""
    reason = (" ".join(str(error).split()) or type(error).__name__)[:300]
    if is_local:
        return InputError(f"the model in {name} cannot be loaded: {reason}")
    return MissingAssetError(
        f"there is no folder {name}, and as a name on the Hugging Face hub it is not in the cache and could not be "
        f"fetched: {reason}. Run once with a network and without POSEWRIGHT_OFFLINE, or fetch it on another machine "
        f"(hf download {name} --local-dir FOLDER) and name the folder"
    )


def _check_complete(name: str, info: dict) -> None:
    """Refuse a checkpoint that leaves some weights at random or brings others."""
    wrong = {
        key: sorted(map(str, info.get(key) or ()))
        for key in ("missing_keys", "unexpected_keys", "mismatched_keys")
    }
    found = [f"{key.replace('_', ' ')}: {', '.join(v[:3])} ({len(v)})" for key, v in wrong.items() if v]
    if found:
        raise InputError(f"the weights of {name} do not fit its config.json: {'; '.join(found)}")


def _import_transformers():
    """Return the transformers module, or say which extra brings it."""
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("transformers", "hf", "ViTPose") from error
    return transformers


def _device(name: str) -> str:
    """Choose torch's device."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return "cuda" if available["cuda"] else "mps" if available["mps"] else "cpu"
    if not available.get(name.partition(":")[0], False):
        raise InputError(
            f"device {name!r} is not on this machine; there are: {', '.join(k for k, v in available.items() if v)}"
        )
    return name


def _device_of(network: torch.nn.Module) -> torch.device:
    """Return where a network's parameters are (the CPU, if it has none)."""
    return next((p.device for p in network.parameters()), torch.device("cpu"))


WEIGHTS = {
    "vitpose-base-simple": Weights(
        url=f"https://huggingface.co/{POSE_MODEL}", licence="Apache-2.0", trained_on=("COCO",)
    ),
    "rtdetr-r50": Weights(
        url=f"https://huggingface.co/{BOX_MODEL}",
        licence="Apache-2.0",
        trained_on=("Objects365", "COCO"),
        reported={"coco_box_ap": 55.3},
    ),
}
"""What `load` takes from the hub unless told otherwise. Neither licence nor results were verified here."""
