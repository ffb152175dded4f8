"""2D keypoints of a clip to 3D joints: the model run over any number of frames, people and frames per second.

`lift` is for keypoints from anywhere and places the person before the camera; `lift_people` is the stage of the video
pipeline. Both bring the clip to the model's 50 frames per second, run overlapping windows, blend them, and
come back to the clip's own frames; memory does not depend on what the model needs for the whole clip at once.
The published lifters run the same way (`pipelines.lift_zoo`) when they are named and their weights given.

Convention: pixels in (centre of the top-left pixel (0, 0)); metres and camera axes (x right, y down, z forward) out;
missing = NaN position and 0 confidence, both ways.
"""

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import nn

from posewright.core.errors import InputError
from posewright.evaluate.lifters import Lifter, Precision, as_lifter, load_lifter, read_weights
from posewright.fitting.refine import RefineOptions
from posewright.geometry.cameras import default_focal, remove_intrinsics, undistort_pixels
from posewright.geometry.resection import root_translation
from posewright.models import list_models
from posewright.models.lifting import raylift, raylift_errors
from posewright.pipelines.detector_errors import detector_scale
from posewright.pipelines.frame_rate import from_rate, to_rate
from posewright.pipelines.lift_animals import check_kinds, gives_animals, lift_animal
from posewright.pipelines.lift_errors import (
    TrackErrors,
    checked_samples,
    people_errors,
    require_errors,
    with_uncertainty,
)
from posewright.pipelines.lift_refined import (
    Refine,
    check_not_both,
    log_expected_errors,
    refine_options,
    refined_track,
)
from posewright.pipelines.lift_windows import run_windows
from posewright.pipelines.lift_zoo import lift_with, lifted_joints
from posewright.pipelines.visibility import honest_confidence
from posewright.skeletons.convert import convert
from posewright.skeletons.joint_sets import ANIMALS, BODY_24, BODY_26, JOINT_SETS, get
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D, Keypoints3D

DEFAULT_LIFTER = "lifting/raylift"
GUESSED = 0.2
"""Confidence of a joint that the picture does not show, relative to the person's mean in that frame."""
GUESSED_POINTS = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_heel", "right_heel")
"""Points whose place on the body was not recorded in training: they count a fifth in finding the root."""


def default_weights_path() -> Path:
    """Where the default lifter's weights lie inside the package."""
    return raylift.WEIGHTS_FILE


@lru_cache(maxsize=2)
def default_model(device: str = "cpu") -> raylift.Model:
    """Return the default lifter with its weights, in evaluation mode."""
    return raylift.load().to(device)


def lift(
    keypoints: np.ndarray,
    confidence: np.ndarray | None = None,
    skeleton: str | Skeleton = "coco_17",
    image_size: tuple[int, int] = (1920, 1080),
    fps: float = 30.0,
    focal: float | None = None,
    model: str | nn.Module | Lifter | None = None,
    output: str | Skeleton | None = None,
    *,
    variant: str | None = None,
    weights: str | Path | None = None,
    flip: bool = False,
    device: str = "cpu",
    precision: Precision | None = None,
    samples: int | None = None,
    seed: int = 0,
    refine: Refine = False,
) -> Keypoints3D:
    """Lift one person's 2D keypoints to 3D joints in camera axes; or one animal's, with a lifter that knows animals.

    Args:
        keypoints: (T, K, 2) pixels; NaN is missing. A single pose (K, 2) is taken as one frame.
        confidence: (T, K) in [0, 1], 0 is missing; None: 1 wherever the keypoint is finite.
        skeleton: joint set of the keypoints, by name or one of your own with the same joint names.
        image_size: (width, height), pixels.
        fps: frames per second.
        focal: focal length in pixels; None: unknown, a common one is assumed (`geometry.cameras.default_focal`).
        model: None or "lifting/raylift", the default; any other lifter of `list_models("lifting")`, by name and
            with `weights`; or a model of one of their classes, with weights of your own.
        output: joint set of the result; None: that of the keypoints. "body_24" is all that the model gives.
        variant: the published size that authors' weights have; weights made here know theirs.
        weights: file of a named lifter's weights: safetensors, or its authors' checkpoint.
        flip: average with the mirrored clip's result, at twice the time.
        device: where the model runs.
        precision: of a published lifter's hidden layers, "float32" or "bfloat16", which takes about half the time where
            the processor has such products, and moves joints by 1 to 3 mm (docs/zoo_usage.md); None: the lifter's
            own, float32. The default lifter needs none.
        samples: also say how sure this is (the default lifter only): that many `samples` around the answer, the
            `covariance` of each joint's place, and its `pose_covariance` relative to the pelvis; see
            docs/uncertainty.md. The answer itself does not change.
        seed: of the samples; the same seed gives the same samples, and the first of many are those of few.
        refine: test-time optimisation: move what the lifter reads until the pose meets the keypoints. True, a number
            of steps, or `fitting.refine.RefineOptions` (lengths in metres at the person); see docs/lifting.md. Not
            together with `samples`, which speak of the lifter's own answer.

    Returns:
        Joints (T, J, 3) in metres, camera axes, the person at the place where the joints project onto the keypoints.
        The body's size is that of a typical adult: scale about the camera if you know better. Frames without any
        keypoint are NaN; joints that the picture does not show are estimated with low confidence, and so are those
        that a published lifter does not give (feet and face of Human3.6M's 17), which are placed by anatomy.

    Raises:
        ValueError: shapes, rate or size make no sense; a lifter's weights are missing or another's; `samples` is not
            a positive number, or the lifter has no model of its error; `refine` is not a number of steps, or the lifter
            samples its poses.
    """
    skeleton = get(skeleton) if isinstance(skeleton, str) else skeleton
    keypoints, confidence = _checked(keypoints, confidence, skeleton)
    if samples is not None:
        checked_samples(samples)
        check_not_both(refine)
    focal_known, focal = focal is not None, default_focal(image_size) if focal is None else float(focal)
    K = np.array(
        [[focal, 0, (image_size[0] - 1) / 2], [0, focal, (image_size[1] - 1) / 2], [0, 0, 1]], np.float64
    )
    clip = Keypoints2D(skeleton, keypoints[:, None], confidence[:, None], image_size, fps)
    camera = Camera(K=K, image_size=image_size, focal_source="given" if focal_known else "assumed")
    target = skeleton if output is None else get(output) if isinstance(output, str) else output
    chosen = choose_lifter(model, variant, weights, device, precision)
    sampled = None if samples is None else require_errors(chosen)
    name = chosen.name if isinstance(chosen, Lifter) else DEFAULT_LIFTER
    note = f"lifted by {name}, focal length {'given' if focal_known else 'assumed'}: {focal:.0f} px"
    if isinstance(chosen, Lifter):
        check_kinds(chosen, skeleton, target)
        if gives_animals(chosen):
            return Keypoints3D(
                target, *lift_animal(chosen, clip, camera, target, flip, GUESSED, refine), fps, (note,)
            )
    points, joint_confidence = lift_points(
        clip, camera, model=chosen, flip=flip, device=device, refine=refine
    )
    believed = points
    if isinstance(chosen, Lifter):
        believed = np.where(lifted_joints(chosen)[:, None], points, np.nan)
    root = root_before_camera(believed, clip, camera)
    positions, joint_confidence, _ = convert(
        (points + root[:, :, None])[:, 0].astype(np.float32), joint_confidence[:, 0], BODY_26, target
    )
    lifted = Keypoints3D(target, positions, joint_confidence, fps, (note,))
    if samples is None or sampled is None:
        return lifted
    errors = lift_errors(clip, camera, points, sampled)[0]
    return with_uncertainty(lifted, errors, samples, seed)


def lift_people(
    keypoints: Keypoints2D,
    camera: Camera,
    model: str | nn.Module | Lifter | None = None,
    device: str = "cpu",
    flip: bool = False,
    variant: str | None = None,
    weights: str | Path | None = None,
    refine: Refine = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Lift everybody's keypoints: the stage of the video pipeline.

    Args:
        keypoints: P people over T frames, any joint set, at a constant rate.
        camera: the filming camera; its `focal_source` tells the model how far to trust the focal length.
        model: see `lift`.
        device: `cpu`, `cuda`, `mps`, or `auto`: a GPU where there is one.
        flip: see `lift`.
        variant: see `lift`.
        weights: see `lift`.
        refine: see `lift`.

    Returns:
        Joints (T, P, 24, 3) float32 of `BODY_24` relative to the pelvis, metres, camera axes, and their confidence
        (T, P, 24). A frame without any keypoint of a person is NaN with confidence 0.
    """
    points, confidence = lift_points(keypoints, camera, model, device, flip, variant, weights, refine)
    return points[:, :, : len(BODY_24)], confidence[:, :, : len(BODY_24)]


def lift_points(
    keypoints: Keypoints2D,
    camera: Camera,
    model: str | nn.Module | Lifter | None = None,
    device: str = "cpu",
    flip: bool = False,
    variant: str | None = None,
    weights: str | Path | None = None,
    refine: Refine = False,
) -> tuple[np.ndarray, np.ndarray]:
    """As `lift_people`, with the eyes: (T, P, 26, 3) of `BODY_26`, and the confidence (T, P, 26)."""
    network = choose_lifter(model, variant, weights, device)
    if isinstance(network, Lifter):
        return _lift_points_with(network, keypoints, camera, flip, refine)
    options = refine_options(refine)
    rays, confidence = keypoint_rays(honest_confidence(keypoints), camera)
    T, P = confidence.shape[:2]
    points = np.full((T, P, len(BODY_26), 3), np.nan, np.float32)
    known = camera.focal_source != "assumed"
    scale = detector_scale(keypoints.skeleton, known)
    for person in range(P):
        seen = np.flatnonzero((confidence[:, person] > 0).any(-1))
        if len(seen):
            part = slice(seen[0], seen[-1] + 1)
            points[part, person] = _lift_track(
                network,
                rays[part, person],
                confidence[part, person],
                keypoints.fps,
                known,
                flip,
                options,
                scale,
            )
    absent = np.logical_not((confidence > 0).any(-1))
    points[absent] = np.nan
    return points, np.where(absent[..., None], 0, joint_confidence(keypoints)).astype(np.float32)


def lift_errors(
    keypoints: Keypoints2D,
    camera: Camera,
    points: np.ndarray,
    lifter: raylift.Model,
    model: raylift_errors.Model | None = None,
) -> list[tuple[slice, TrackErrors] | None]:
    """Say how far off `lift_points` may be: for each person the frames from first to last seen, and the errors there.

    Args:
        keypoints: as given to `lift_points`.
        camera: as given to `lift_points`.
        points: (T, P, 26, 3), its answer.
        lifter: the default lifter.
        model: of its errors; None: the one that ships.
    """
    rays, confidence = keypoint_rays(honest_confidence(keypoints), camera)
    known = camera.focal_source != "assumed"
    scale = detector_scale(keypoints.skeleton, known)
    return people_errors(lifter, rays, confidence, points, keypoints.fps, known, model, scale)


def gives_feet(model: raylift.Model | Lifter) -> bool:
    """Tell whether a lifter gives heels and toes; those of Human3.6M's joints end at the ankles."""
    feet = BODY_26.indices("left_heel", "left_toe", "right_heel", "right_toe")
    return not isinstance(model, Lifter) or bool(lifted_joints(model)[list(feet)].all())


def _lift_points_with(
    lifter: Lifter, keypoints: Keypoints2D, camera: Camera, flip: bool, refine: Refine
) -> tuple[np.ndarray, np.ndarray]:
    """As `lift_points`, by a published lifter; joints that it does not give have the confidence of a guess."""
    check_kinds(lifter, keypoints.skeleton, BODY_26)
    points, given = lift_with(lifter, keypoints, camera, flip, refine)
    seen = np.isfinite(keypoints.positions).all(-1) & (keypoints.confidence > 0)
    points[~seen.any(-1)] = np.nan
    confidence = joint_confidence(keypoints)
    confidence = np.where(given, confidence, np.minimum(confidence, _guess(keypoints)))
    return points, np.where(np.isfinite(points).all(-1), confidence, 0).astype(np.float32)


def keypoint_rays(keypoints: Keypoints2D, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints as rays x/z and y/z (T, P, 26, 2) of `BODY_26`, and confidence (T, P, 26), 0 where missing.

    Spine, thorax, neck and head are taken from joint sets that name the spine: in others, such as OpenPose's or
    Halpe's, those words mean points on the skin or between the shoulders.
    """
    positions, confidence, measured = convert(
        keypoints.positions, keypoints.confidence, keypoints.skeleton, BODY_26
    )
    usable = measured | np.isin(BODY_26.joint_names, ("left_eye", "right_eye"))
    if "spine" not in keypoints.skeleton.joint_names:
        usable = usable & ~np.isin(BODY_26.joint_names, ("pelvis", "spine", "thorax", "neck", "head"))
    present = usable & np.isfinite(positions).all(-1) & (confidence > 0)
    pixels = torch.from_numpy(np.where(present[..., None], positions, 0.0).astype(np.float64))
    K = torch.from_numpy(np.asarray(camera.K, np.float64))
    if np.any(camera.distortion):
        distortion = torch.from_numpy(np.asarray(camera.distortion, np.float64))
        rays = undistort_pixels(pixels.flatten(0, 2), K, distortion, camera.model).view(pixels.shape)
    else:
        rays = remove_intrinsics(pixels.flatten(0, 2), K).view(pixels.shape)
    rays = rays.numpy()
    present &= np.isfinite(rays).all(-1)
    rays = np.where(present[..., None], rays, 0).astype(np.float32)
    return rays, np.where(present, np.clip(confidence, 0, 1), 0).astype(np.float32)


def joint_confidence(keypoints: Keypoints2D) -> np.ndarray:
    """Confidence (T, P, 26) of lifted joints: that of their keypoints, `GUESSED` times the mean elsewhere."""
    _, own, _ = convert(keypoints.positions, keypoints.confidence, keypoints.skeleton, BODY_26)
    return np.where(own > 0, np.clip(own, 0, 1), _guess(keypoints)).astype(np.float32)


def _guess(keypoints: Keypoints2D) -> np.ndarray:
    """Confidence (T, P, 1) of joints that no picture shows."""
    seen = np.isfinite(keypoints.positions).all(-1) & (keypoints.confidence > 0)
    total = np.where(seen, keypoints.confidence, 0).sum(-1) / np.maximum(seen.sum(-1), 1)
    return GUESSED * np.clip(total, 0, 1)[..., None]


def root_before_camera(points: np.ndarray, keypoints: Keypoints2D, camera: Camera) -> np.ndarray:
    """Where the pelvis stands (T, P, 3), camera axes, metres: the place from which the joints meet their keypoints."""
    pixels, confidence, measured = convert(
        keypoints.positions, keypoints.confidence, keypoints.skeleton, BODY_26
    )
    weights = np.where(measured & np.isfinite(pixels).all(-1) & np.isfinite(points).all(-1), confidence, 0)
    weights = weights * np.where(np.isin(BODY_26.joint_names, GUESSED_POINTS), 0.2, 1.0)
    fit = root_translation(
        torch.from_numpy(np.nan_to_num(points).astype(np.float64)),
        torch.from_numpy(np.nan_to_num(pixels).astype(np.float64)),
        torch.from_numpy(np.asarray(camera.K, np.float64)),
        torch.from_numpy(weights.astype(np.float64)),
        torch.from_numpy(np.asarray(camera.distortion, np.float64)) if np.any(camera.distortion) else None,
        camera.model,
    )
    return fit.translation.numpy()


# ------------------------------------------------------------------------------------------------- frames


def _lift_track(
    network: raylift.Model,
    rays: np.ndarray,
    confidence: np.ndarray,
    fps: float,
    known: bool,
    flip: bool,
    options: RefineOptions | None,
    scale: np.ndarray | None,
) -> np.ndarray:
    """One person's points (T, 26, 3) from rays (T, 26, 2) at any rate; `scale` as for `log_expected_errors`."""
    rays50, confidence50 = to_rate(rays, confidence, fps, raylift.FRAMES_PER_SECOND)
    device = next(network.parameters()).device
    x = torch.from_numpy(np.concatenate([rays50, confidence50[..., None]], axis=-1)).to(device)
    points = run_windows(network, x, known)
    if flip:
        mirror = torch.from_numpy(BODY_26.mirror).to(device)
        other_hand = x.new_tensor([-1.0, 1.0, 1.0])
        mirrored = run_windows(network, x[:, mirror] * other_hand, known)
        points = (points + mirrored[:, mirror] * other_hand) / 2
    if options is not None:
        held = options.uncertainty_weight > 0
        expected = log_expected_errors(network, x, points, known, scale) if held else None
        points = refined_track(network, x, points, known, options, flip, expected)
    return from_rate(points.cpu().numpy(), len(rays), fps, raylift.FRAMES_PER_SECOND)


# -------------------------------------------------------------------------------------------------- input


def choose_lifter(
    model: str | nn.Module | Lifter | None = None,
    variant: str | None = None,
    weights: str | Path | None = None,
    device: str = "cpu",
    precision: Precision | None = None,
) -> raylift.Model | Lifter:
    """Return the lifter that a caller means, on its device; arguments as for `lift`.

    Raises:
        InputError: no such lifter, or its weights are missing or another's, or it does not run in that precision.
    """
    chosen = _choose(model, variant, weights, device)
    if precision is None or (precision == "float32" and not isinstance(chosen, Lifter)):
        return chosen
    if precision not in get_args(Precision):
        raise InputError(f"precision {precision!r}, expected one of {', '.join(get_args(Precision))}")
    if not isinstance(chosen, Lifter):
        raise InputError(
            f"precision {precision}: {DEFAULT_LIFTER} lifts thousands of frames a second as it is; precision is for "
            "the other lifters: name one, or leave it out"
        )
    return replace(chosen, precision=precision)


def _choose(
    model: str | nn.Module | Lifter | None, variant: str | None, weights: str | Path | None, device: str
) -> raylift.Model | Lifter:
    if device == "auto":
        device = (
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    if model is None and weights is not None:
        raise InputError(
            f"weights {weights} are for a lifter that is not named: say which; {DEFAULT_LIFTER} has its own"
        )
    if model is None or model == DEFAULT_LIFTER:
        return default_model(device) if weights is None else load_raylift(weights).to(device)
    if isinstance(model, raylift.Model):
        return model.to(device).eval()
    if isinstance(model, nn.Module):
        return as_lifter(model, variant).to(device)
    if isinstance(model, Lifter):
        return model.to(device)
    if model not in list_models("lifting"):
        raise InputError(
            f"no lifter {model!r}; there are: {', '.join(list_models('lifting'))}; or give a model of theirs"
        )
    return load_lifter(model, weights, variant, device)


def load_raylift(weights: str | Path) -> raylift.Model:
    """Load the default lifter with weights of its own kind from a file, such as an adapted one.

    Raises:
        InputError: the file is not of this method.
    """
    state, metadata = read_weights(weights)
    if metadata.get("model") != DEFAULT_LIFTER:
        raise InputError(
            f"{weights} holds weights of {metadata.get('model', 'an unknown method')}, expected {DEFAULT_LIFTER}: name "
            "the method that they are of"
        )
    config = json.loads(metadata.get("config", "{}"))
    return raylift.load_official({name: value.float() for name, value in state.items()}, **config)


def _other_sets(keypoints: np.ndarray) -> str:
    """Name the joint sets that keypoints of this shape could be of."""
    count = keypoints.shape[1] if keypoints.ndim == 3 and keypoints.shape[2] == 2 else 0
    names = [name for name, skeleton in JOINT_SETS.items() if len(skeleton) == count and name not in ANIMALS]
    if not names:
        return ""
    return (
        f"; {' and '.join(names)} {'has' if len(names) == 1 else 'have'} {count} joints: give `skeleton`, and they are "
        "converted to what the lifter reads"
    )


def _checked(
    keypoints: np.ndarray, confidence: np.ndarray | None, skeleton: Skeleton
) -> tuple[np.ndarray, np.ndarray]:
    keypoints = np.asarray(keypoints, np.float32)
    keypoints = keypoints[None] if keypoints.ndim == 2 else keypoints
    if keypoints.ndim != 3 or keypoints.shape[1:] != (len(skeleton), 2) or not len(keypoints):
        raise ValueError(
            f"lift: keypoints have shape {keypoints.shape}, expected (T, {len(skeleton)}, 2) with T > 0 "
            f"for {skeleton.name}{_other_sets(keypoints)}"
        )
    finite = np.isfinite(keypoints).all(-1)
    confidence = np.ones(finite.shape) if confidence is None else np.asarray(confidence, np.float32)
    confidence = confidence[None] if confidence.ndim == 1 else confidence
    if confidence.shape != finite.shape:
        raise ValueError(f"lift: confidence has shape {confidence.shape}, expected {finite.shape}")
    seen = finite & (np.nan_to_num(confidence) > 0)
    return (
        np.where(seen[..., None], keypoints, np.nan).astype(np.float32),
        np.where(seen, np.clip(confidence, 0, 1), 0).astype(np.float32),
    )
