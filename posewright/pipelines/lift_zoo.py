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
from posewright.evaluate.units import bridge_missing
from posewright.evaluate.windows import run_clip, run_hypotheses
from posewright.fitting.refine import RefineOptions
from posewright.geometry.cameras import project, remove_intrinsics, undistort_pixels
from posewright.metrics.hypotheses import estimated_root, jpma, rpea
from posewright.pipelines.complete_body import complete_body
from posewright.pipelines.frame_rate import from_rate, to_rate
from posewright.pipelines.lift_refined import Refine
from posewright.pipelines.lift_zoo_refined import as_told, refined_by_itself, refined_clip
from posewright.pipelines.lifter_units import metric_joints, network_input
from posewright.skeletons.convert import conversion, convert
from posewright.skeletons.joint_sets import BODY_26
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D


def lift_with(
    lifter: Lifter, keypoints: Keypoints2D, camera: Camera, flip: bool = False, refine: Refine = False
) -> tuple[np.ndarray, np.ndarray]:
    """Lift everybody's keypoints.

    Args:
        lifter: the method.
        keypoints: in a joint set that has what it reads.
        camera: the filming camera.
        flip: average with the mirrored clip.
        refine: test-time optimisation, see `pipelines.lift_refined.refine_options`.

    Returns:
        Joints (T, P, 26, 3) of `BODY_26`, from each person's first to last keypoint, NaN outside; and a mask (26,) of
        the joints that the method gives. The others were placed by anatomy.

    Raises:
        InputError: the keypoints' joint set lacks joints that the method reads, or it cannot be refined.
    """
    lifter, options = as_told(lifter, refine)
    screen, confidence = screen_keypoints(lifter, keypoints, camera)
    measured = conversion(keypoints.skeleton, lifter.facts.skeleton).measured
    points = np.full((*confidence.shape[:2], len(BODY_26), 3), np.nan, np.float32)
    focal = 2 * float(camera.K[0, 0]) / camera.image_size[0]
    for person in range(points.shape[1]):
        seen = np.flatnonzero((confidence[:, person] > 0).any(-1))
        if len(seen):
            part = slice(seen[0], seen[-1] + 1)
            given = screen[part, person], confidence[part, person]
            joints, rate = track_joints(lifter, *given, keypoints.fps, focal, flip, options, measured)
            points[part, person] = from_rate(body_points(lifter, joints), len(given[0]), keypoints.fps, rate)
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


def track_joints(
    lifter: Lifter,
    screen: np.ndarray,
    confidence: np.ndarray,
    fps: float,
    focal: float,
    flip: bool,
    options: RefineOptions | None = None,
    measured: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """One track's joints (T', J, 3) in the method's joint set and at its frame rate, and that rate.

    Args:
        lifter: the method.
        screen: (T, K, 2) of `screen_keypoints`.
        confidence: (T, K), 0 where missing.
        fps: frames per second of the keypoints.
        focal: screen units.
        flip: average with the mirrored clip.
        options: of test-time optimisation; None: none.
        measured: (K,) keypoints that pull in it, those that the detector gave; None: all.
    """
    rate = fps if lifter.fps is None else lifter.fps
    at_rate, sure = to_rate(screen, confidence, fps, rate)
    device = next(lifter.network.parameters()).device
    x, c = torch.from_numpy(at_rate).to(device), torch.from_numpy(sure).to(device)
    x = bridge_missing(x, c, lifter.facts.skeleton)
    if options is None:
        joints = metric_joints(lifter, clip_joints(lifter, x, c, focal, flip), x, focal, rate)
    else:
        told = np.ones(x.shape[1], bool) if measured is None else measured
        pulling = torch.from_numpy(told).to(device)
        joints = refined_clip(lifter, x, c, pulling, focal, rate, flip, options)
    return joints.float().cpu().numpy(), rate


def clip_joints(lifter: Lifter, screen: Tensor, confidence: Tensor, focal: float, flip: bool) -> Tensor:
    """The network's answer (T, J, 3) for a clip; hypotheses are made one pose by JPMA or RPEA with the estimated root.

    Without either (`aggregation="mean"`, or keypoints of another joint set than the joints), and where too few
    keypoints say where the root is, the pose is their mean. UAO's input is optimised (`refined_by_itself`).
    """
    x = network_input(lifter, screen, confidence)
    if hasattr(lifter.network, "filmed_with"):  # Platypose projects its poses while it makes them
        lifter = replace(lifter, network=lifter.network.filmed_with(focal))  # type: ignore[operator]
    aligned = lifter.facts.skeleton == lifter.facts.output_skeleton
    config: Any = lifter.network.config
    if hasattr(lifter.network, "refined") and config.iterations > 0:
        return refined_by_itself(lifter, x, screen, confidence, focal)
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


def body_points(lifter: Lifter, joints: np.ndarray) -> np.ndarray:
    """Joints (T, J, 3) of the method as a whole body (T, 26, 3) of `BODY_26` about its pelvis."""
    skeleton = lifter.facts.output_skeleton
    points, _, _ = convert(joints, np.ones(joints.shape[:-1], np.float32), skeleton, BODY_26)
    if "pelvis" not in skeleton.joint_names:  # then it is the origin, which the hips' middle may miss
        points[:, 0] = 0
    return complete_body(points - points[:, :1])
