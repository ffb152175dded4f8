"""What an adaptation changed: how well poses meet their pictures, how steady bones are, how near the pictures are.

None of it needs a label, so none of it is accuracy: a lifter may meet the keypoints better and have the depth wrong.
Use it to see that the adaptation did what it should, and that nothing fell apart.

Convention: lengths in centimetres, errors in pixels and in per cent of the person's box in the picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from posewright.adapt.alignment import aligned_clips, anchor
from posewright.adapt.footage import Footage, box_size
from posewright.adapt.student import Student
from posewright.datasets.synthetic import SyntheticClips
from posewright.geometry.cameras import project
from posewright.pipelines.lift import root_before_camera
from posewright.skeletons.convert import convert
from posewright.skeletons.joint_sets import BODY_26
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D

BONES = {
    "upper arm": (("left_shoulder", "left_elbow"), ("right_shoulder", "right_elbow")),
    "forearm": (("left_elbow", "left_wrist"), ("right_elbow", "right_wrist")),
    "thigh": (("left_hip", "left_knee"), ("right_hip", "right_knee")),
    "shin": (("left_knee", "left_ankle"), ("right_knee", "right_ankle")),
}
SAMPLE = 256
"""Pictures that distributions are compared over."""


@dataclass(frozen=True)
class Measured:
    """A lifter on footage."""

    frames: int
    reprojection_px: float
    """Median distance of joints from their keypoints, the person placed where it is smallest."""
    reprojection_percent: float
    """The same in per cent of the person's box."""
    bone_cm: dict[str, float] = field(default_factory=dict)
    """Mean length of both sides."""
    bone_variation_percent: float = float("nan")
    """Standard deviation of a bone's length over a clip, in per cent of its mean; bones are rigid."""
    asymmetry_percent: float = float("nan")
    """Difference of left and right, in per cent; people are nearly symmetric."""


def measure(student: Student, clips: Sequence[Keypoints2D], cameras: Sequence[Camera]) -> Measured:
    """Lift footage and measure what can be measured without labels."""
    errors, shares, lengths, variations, differences, frames = [], [], [], [], [], 0
    for clip, camera in zip(clips, cameras, strict=True):
        points = np.where(student.given[:, None], student.lift(clip, camera), np.nan)
        error, share = _reprojection(points, clip, camera)
        errors.append(error)
        shares.append(share)
        length = _lengths(points)
        with np.errstate(invalid="ignore"):
            mean = np.nanmean(length, 0)
            variations.append((np.nanstd(length, 0) / mean).ravel())
            differences.append((np.abs(mean[..., 0] - mean[..., 1]) / mean.mean(-1)).ravel())
        lengths.append(mean.reshape(-1, len(BONES), 2))
        frames += int(np.isfinite(points).any((-1, -2)).sum())
    bones = np.nanmean(np.concatenate(lengths), (0, 2))
    return Measured(
        frames=frames,
        reprojection_px=_rounded(np.nanmedian(np.concatenate(errors))),
        reprojection_percent=_rounded(100 * np.nanmedian(np.concatenate(shares))),
        bone_cm={name: _rounded(100 * length) for name, length in zip(BONES, bones, strict=True)},
        bone_variation_percent=_rounded(100 * np.nanmean(np.concatenate(variations))),
        asymmetry_percent=_rounded(100 * np.nanmean(np.concatenate(differences))),
    )


def _reprojection(points: np.ndarray, clip: Keypoints2D, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Errors of all joints that are both lifted and seen, in pixels and in parts of the frame's box."""
    pixels, confidence, measured = convert(clip.positions, clip.confidence, clip.skeleton, BODY_26)
    root = root_before_camera(points, clip, camera)
    placed = torch.from_numpy(points + root[:, :, None])
    distortion = (
        torch.from_numpy(np.asarray(camera.distortion, np.float64)) if np.any(camera.distortion) else None
    )
    images = project(
        placed.double().flatten(0, 2),
        torch.from_numpy(np.asarray(camera.K, np.float64)),
        distortion,
        camera.model,
    )
    error = np.linalg.norm(images.view(*placed.shape[:-1], 2).numpy() - pixels, axis=-1)
    seen = measured & (confidence > 0) & np.isfinite(error)
    plane = np.where(seen[..., None], pixels, np.nan)
    with np.errstate(all="ignore"):
        low, high = (
            f(np.where(seen[..., None], plane, w), axis=2) for f, w in ((np.min, np.inf), (np.max, -np.inf))
        )
        size = np.maximum((high - low).mean(-1), 1e-6)[..., None]
    return error[seen], (error / size)[seen]


def _lengths(points: np.ndarray) -> np.ndarray:
    """(T, P, bones, 2 sides) metres."""
    ends = np.array([[BODY_26.indices(*side) for side in sides] for sides in BONES.values()])
    return np.linalg.norm(points[:, :, ends[..., 0]] - points[:, :, ends[..., 1]], axis=-1)


# ------------------------------------------------------------------------------------------------ pictures


def picture_distances(
    clips: SyntheticClips, student: Student, footage: Footage, seed: int = 0
) -> dict[str, float]:
    """How far training pictures are from the footage's, as they are and aligned.

    Energy distances (Székely & Rizzo 2013): 0 if two distributions are equal. `place_and_size`: where in the picture
    somebody is, and the logarithm of how large; `shape`: the pose in the picture, in units of its box.
    """
    random = torch.Generator().manual_seed(seed)
    target = footage.drawn(min(SAMPLE, max(len(footage), 32)), random).to("cpu")
    clips.generator.manual_seed(seed)
    source = clips.batch(len(target), student.window * student.stride)
    source = {n: v[:, :: student.stride] if v.ndim > 2 else v for n, v in source.items()}
    order = [BODY_26.index(name) for name in footage.skeleton.joint_names]
    middle = target.screen.shape[1] // 2
    real = _features(target.screen[:, middle], target)
    out = {}
    for name, made in (("training", source), ("aligned", aligned_clips(source, target))):
        points = made["joints"] + made["root"][..., None, :]
        flat = made["screen_focal"][:, None, None, None] * points[..., :2] / points[..., 2:].clamp_min(0.3)
        seen = _features(flat[:, flat.shape[1] // 2][:, order], target)
        for kind, a, b in zip(("place_and_size", "shape"), seen, real, strict=True):
            out[f"{kind}_{name}"] = _rounded(energy_distance(a, b))
    return out


def _features(points: Tensor, footage: Footage) -> tuple[Tensor, Tensor]:
    weight = anchor(footage)[..., None]
    place = (weight * points).sum(1)
    size = box_size(points, footage.used).clamp_min(1e-6)
    shape = footage.used[..., None] * (points - place[:, None]) / size[:, None, None]
    return torch.cat([place, size.log()[:, None]], -1), shape.flatten(1)


def energy_distance(a: Float[Tensor, "N C"], b: Float[Tensor, "M C"]) -> float:
    """Twice the mean distance between the samples, minus those within each; not below 0 but for the samples' chance."""
    between, first, second = torch.cdist(a, b).mean(), torch.cdist(a, a), torch.cdist(b, b)
    within = sum(x.sum() / max(len(x) * (len(x) - 1), 1) for x in (first, second))
    return float(2 * between - within)


# --------------------------------------------------------------------------------------------------- words


def in_words(report: Mapping) -> list[str]:
    """The report as lines for a person."""
    before, after = report["before"], report["after"]
    pictures = report["pictures"]
    rows = [
        ("joints from their keypoints", "reprojection_percent", "% of the body's box"),
        ("bones over time", "bone_variation_percent", "% of their length"),
        ("left against right", "asymmetry_percent", "%"),
    ]
    lines = [f"{what}: {before[key]:g} -> {after[key]:g} {unit}" for what, key, unit in rows]
    lines += [
        f"{bone}: {before['bone_cm'][bone]:.1f} -> {after['bone_cm'][bone]:.1f} cm"
        for bone in before["bone_cm"]
    ]
    lines.append(
        "training pictures from yours (0 is the same): place and size "
        f"{pictures['place_and_size_training']:g} -> {pictures['place_and_size_aligned']:g}, shape "
        f"{pictures['shape_training']:g} -> {pictures['shape_aligned']:g}"
    )
    return lines


def as_data(before: Measured, after: Measured) -> dict[str, dict]:
    """Both measurements for JSON."""
    return {"before": asdict(before), "after": asdict(after)}


def _rounded(value: Any) -> float:
    return round(float(value), 3)
