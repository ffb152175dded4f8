"""Run any published lifter on keypoints from anywhere: what `pipelines.lift` does for methods of the zoo.

1. The keypoints are brought to the method's joint set, the lens is removed, and pixels become screen units.
2. The track is brought to the frame rate the weights were trained at (Human3.6M: 50 per second) and its gaps are
   bridged, since these networks know none; methods with a confidence channel are told 0 there.
3. `evaluate.windows` runs the network, with flip averaging if asked for; of hypotheses, JPMA or RPEA makes one pose.
4. Standardised joints are put back into metres; joints in image units become metres (`evaluate.units`). Metres stay
   the training people's metres.
5. Back at the clip's frames, joints come in the order of `BODY_26`; what the method does not give is placed by anatomy
   (`complete_body`) and is not counted as lifted.

Convention: pixels in; metres, camera axes, relative to the pelvis out; missing = NaN position and 0 confidence.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posewright.core.errors import InputError
from posewright.evaluate.lifters import Lifter
from posewright.evaluate.units import bridge_missing, camera_from_image
from posewright.evaluate.windows import run_clip, run_hypotheses
from posewright.geometry.cameras import project, remove_intrinsics, undistort_pixels
from posewright.metrics.hypotheses import estimated_root, jpma, rpea
from posewright.pipelines.complete_body import complete_body
from posewright.pipelines.frame_rate import from_rate, to_rate
from posewright.skeletons.convert import conversion, convert
from posewright.skeletons.joint_sets import BODY_26
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D

REFINED_AT_ONCE = 256
"""Frames whose keypoints are optimised together; each holds what the network computed from it."""


def lift_with(
    lifter: Lifter, keypoints: Keypoints2D, camera: Camera, flip: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Lift everybody's keypoints.

    Returns:
        Joints (T, P, 26, 3) of `BODY_26`, from each person's first to last keypoint, NaN outside; and a mask (26,) of
        the joints that the method gives. The others were placed by anatomy.

    Raises:
        InputError: the keypoints' joint set lacks joints that the method reads.
    """
    screen, confidence = screen_keypoints(lifter, keypoints, camera)
    points = np.full((*confidence.shape[:2], len(BODY_26), 3), np.nan, np.float32)
    focal = 2 * float(camera.K[0, 0]) / camera.image_size[0]
    for person in range(points.shape[1]):
        seen = np.flatnonzero((confidence[:, person] > 0).any(-1))
        if len(seen):
            part = slice(seen[0], seen[-1] + 1)
            points[part, person] = _lift_track(
                lifter, screen[part, person], confidence[part, person], keypoints.fps, focal, flip
            )
    return points, lifted_joints(lifter)


def lifted_joints(lifter: Lifter) -> np.ndarray:
    """(26,) bool: the joints of `BODY_26` that the method gives, the pelvis as their origin."""
    return conversion(lifter.facts.output_skeleton, BODY_26).measured | (np.arange(len(BODY_26)) == 0)


def screen_keypoints(lifter: Lifter, keypoints: Keypoints2D, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (T, P, K, 2) in the lifter's joint set and screen units, and confidence (T, P, K), 0 where missing."""
    skeleton = lifter.facts.skeleton
    absent = conversion(keypoints.skeleton, skeleton).missing
    if absent:
        raise InputError(
            f"{lifter.name} reads {len(skeleton)} joints ({skeleton.name}), and {', '.join(absent)} cannot be had from "
            f"{keypoints.skeleton.name}: give keypoints of a joint set that has them, such as {skeleton.name}, or use "
            "the default lifter, which needs no particular joint"
        )
    positions, confidence, _ = convert(
        keypoints.positions, keypoints.confidence, keypoints.skeleton, skeleton
    )
    present = np.isfinite(positions).all(-1) & (confidence > 0)
    pixels = torch.from_numpy(np.where(present[..., None], positions, 0.0).astype(np.float64))
    K = torch.from_numpy(np.asarray(camera.K, np.float64))
    flat = pixels.flatten(0, 2)
    if np.any(camera.distortion):
        rays = undistort_pixels(
            flat, K, torch.from_numpy(np.asarray(camera.distortion, np.float64)), camera.model
        )
    else:
        rays = remove_intrinsics(flat, K)
    screen = (rays * K.diagonal()[:2] * (2 / camera.image_size[0])).view(pixels.shape).numpy()
    present &= np.isfinite(screen).all(-1)
    screen = np.where(present[..., None], screen, 0).astype(np.float32)
    return screen, np.where(present, np.clip(confidence, 0, 1), 0).astype(np.float32)


def _lift_track(
    lifter: Lifter, screen: np.ndarray, confidence: np.ndarray, fps: float, focal: float, flip: bool
) -> np.ndarray:
    """One person's points (T, 26, 3) from screen keypoints (T, K, 2)."""
    joints, rate = track_joints(lifter, screen, confidence, fps, focal, flip)
    return from_rate(body_points(lifter, joints), len(screen), fps, rate)


def track_joints(
    lifter: Lifter, screen: np.ndarray, confidence: np.ndarray, fps: float, focal: float, flip: bool
) -> tuple[np.ndarray, float]:
    """One track's joints (T', J, 3) in the method's joint set and at its frame rate, and that rate.

    Args:
        lifter: the method.
        screen: (T, K, 2) of `screen_keypoints`.
        confidence: (T, K), 0 where missing.
        fps: frames per second of the keypoints.
        focal: screen units.
        flip: average with the mirrored clip.
    """
    rate = fps if lifter.fps is None else lifter.fps
    at_rate, sure = to_rate(screen, confidence, fps, rate)
    device = next(lifter.network.parameters()).device
    x, c = torch.from_numpy(at_rate).to(device), torch.from_numpy(sure).to(device)
    x = bridge_missing(x, c, lifter.facts.skeleton)
    joints = clip_joints(lifter, x, c, focal, flip)
    joints = metric_joints(lifter, joints, x, focal, rate)
    return joints.float().cpu().numpy(), rate


def clip_joints(lifter: Lifter, screen: Tensor, confidence: Tensor, focal: float, flip: bool) -> Tensor:
    """The network's answer (T, J, 3) for a clip; hypotheses are made one pose by JPMA or RPEA with the estimated root.

    Without either (`aggregation="mean"`, or keypoints of another joint set than the joints), and where too few
    keypoints say where the root is, the pose is their mean. UAO's input is optimised (`refined_joints`).
    """
    x = network_input(lifter, screen, confidence)
    if hasattr(lifter.network, "filmed_with"):  # Platypose projects its poses while it makes them
        lifter = replace(lifter, network=lifter.network.filmed_with(focal))  # type: ignore[operator]
    aligned = lifter.facts.skeleton == lifter.facts.output_skeleton
    config: Any = lifter.network.config
    if hasattr(lifter.network, "refined") and config.iterations > 0:
        return refined_joints(lifter, x, screen, confidence, focal)
    rule = getattr(config, "aggregation", None)
    if rule not in ("jpma", "rpea") or not aligned:
        return run_clip(lifter, x, flip)
    hypotheses = run_hypotheses(lifter, x, flip).cpu().double()  # not every GPU has float64
    sure = confidence.cpu().double()
    seen = torch.where(sure[..., None] > 0, screen.cpu().double(), torch.nan)
    K = torch.diag(seen.new_tensor([focal, focal, 1.0]))
    root = estimated_root(hypotheses, seen, K, sure)
    with_camera = seen, lambda points: project(points, K), root
    if rule == "rpea":
        joints = rpea(hypotheses, *with_camera, config.topk, config.temperature)
    else:
        joints = jpma(hypotheses, *with_camera)
    return torch.where(root.isfinite().all(-1)[:, None, None], joints, hypotheses.mean(1)).to(x)


def refined_joints(lifter: Lifter, x: Tensor, screen: Tensor, confidence: Tensor, focal: float) -> Tensor:
    """UAO's answer (T, J, 3) after its test-time optimisation, at the root estimated from its first pose."""
    network: Any = lifter.network
    first = run_clip(lifter, x, flip=network.config.test_time_augmentation).cpu().double()
    sure = confidence.cpu().double()
    seen = torch.where(sure[..., None] > 0, screen.cpu().double(), torch.nan)
    K = torch.diag(seen.new_tensor([focal, focal, 1.0]))
    root, K = estimated_root(first[:, None], seen, K, sure).to(x), K.to(x)
    done = [
        network.refined(
            x[part][None],
            lambda joints, place=root[part, None]: project(joints + place, K),
            seen[part].to(x)[None],
            confidence[part][None],
        )[0]
        for part in torch.arange(len(x), device=x.device).split(REFINED_AT_ONCE)
    ]
    return torch.cat(done)


def network_input(lifter: Lifter, screen: Tensor, confidence: Tensor) -> Tensor:
    """What the network reads (T, K, C): screen keypoints, standardised or with confidence where it wants that."""
    if lifter.statistics is not None:
        screen = (screen - lifter.statistics["keypoint_mean"]) / lifter.statistics["keypoint_deviation"]
    if lifter.facts.channels == 2:
        return screen
    # the published 3DHP models were trained with confidence 1 everywhere
    told = torch.ones_like(confidence) if lifter.facts.skeleton.name == "mpi_17" else confidence
    return torch.cat([screen, told[..., None]], -1)


def metric_joints(lifter: Lifter, joints: Tensor, screen: Tensor, focal: float, fps: float) -> Tensor:
    """The network's answer (T, J, 3) in metres, by the units it gives; see `JointUnits`."""
    if lifter.facts.joint_units == "image":
        root = screen[:, lifter.facts.skeleton.index("pelvis")]
        return camera_from_image(joints, root, focal, lifter.facts.output_skeleton, fps)
    if lifter.facts.joint_units == "standardised":
        assert lifter.statistics is not None
        return joints * lifter.statistics["joint_deviation"] + lifter.statistics["joint_mean"]
    return joints


def body_points(lifter: Lifter, joints: np.ndarray) -> np.ndarray:
    """Joints (T, J, 3) of the method as a whole body (T, 26, 3) of `BODY_26` about its pelvis."""
    skeleton = lifter.facts.output_skeleton
    points, _, _ = convert(joints, np.ones(joints.shape[:-1], np.float32), skeleton, BODY_26)
    if "pelvis" not in skeleton.joint_names:  # then it is the origin, which the hips' middle may miss
        points[:, 0] = 0
    return complete_body(points - points[:, :1])
