"""Lift four-legged animals with a method that knows them, such as FMPose3D's second model.

As for people (`pipelines.lift_zoo`), without what belongs to a human body: joints stay in the method's joint set or
another one of animals, and none is placed by anatomy.

Convention: pixels in; metres, camera axes, the animal at its estimated place out; missing = NaN and 0 confidence. The
size is that of the training animals, and the distance from the camera follows from it.
"""

import numpy as np
import torch

from posewright.core.errors import InputError
from posewright.evaluate.lifters import Lifter
from posewright.geometry.resection import root_translation
from posewright.pipelines.frame_rate import from_rate
from posewright.pipelines.lift_refined import Refine
from posewright.pipelines.lift_zoo import screen_keypoints, track_joints
from posewright.pipelines.lift_zoo_refined import as_told
from posewright.skeletons.convert import convert
from posewright.skeletons.joint_sets import ANIMALS
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D


def gives_animals(lifter: Lifter) -> bool:
    """Tell whether a lifter's joints are those of an animal."""
    return lifter.facts.output_skeleton.name in ANIMALS


def check_kinds(lifter: Lifter, keypoints: Skeleton, target: Skeleton) -> None:
    """Refuse people for a lifter of animals and the other way round.

    Raises:
        InputError: says whose joint sets came and which are expected.
    """
    animals = gives_animals(lifter)
    wrong = [s.name for s in (keypoints, target) if (s.name in ANIMALS) != animals]
    if wrong:
        whose = (
            ("animals", ", ".join(sorted(ANIMALS))) if animals else ("people", "such as coco_17 or h36m_17")
        )
        raise InputError(
            f"{lifter.name} with these weights lifts {whose[0]}, and {wrong[0]} is not a joint set of {whose[0]}: "
            f"expected one of theirs ({whose[1]}), or another lifter"
        )


def lift_animal(
    lifter: Lifter,
    clip: Keypoints2D,
    camera: Camera,
    target: Skeleton,
    flip: bool = False,
    guessed: float = 0.2,
    refine: Refine = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Lift one animal's keypoints.

    Args:
        lifter: of animals.
        clip: of one animal, in a joint set of animals.
        camera: the filming camera.
        target: joint set of the result.
        flip: average with the mirrored clip.
        guessed: confidence of a joint that is not seen, relative to the mean of the frame.
        refine: test-time optimisation, see `pipelines.lift_refined.refine_options`.

    Returns:
        Joints (T, J, 3) and confidence (T, J) of the target; NaN and 0 in frames without any keypoint.

    Raises:
        InputError: the keypoints lack joints that the lifter reads, or it cannot be refined.
    """
    lifter, options = as_told(lifter, refine)
    screen, confidence = (x[:, 0] for x in screen_keypoints(lifter, clip, camera))
    seen = np.flatnonzero((confidence > 0).any(-1))
    skeleton = lifter.facts.output_skeleton
    joints = np.full((len(screen), len(skeleton), 3), np.nan, np.float32)
    sure = np.zeros(joints.shape[:2], np.float32)
    if len(seen):
        part = slice(seen[0], seen[-1] + 1)
        focal = 2 * float(camera.K[0, 0]) / camera.image_size[0]
        lifted, rate = track_joints(lifter, screen[part], confidence[part], clip.fps, focal, flip, options)
        joints[part] = from_rate(lifted, len(screen[part]), clip.fps, rate)
        joints, sure = _placed(joints, clip, camera, skeleton, guessed)
    positions, sure, _ = convert(joints, sure, skeleton, target)
    return positions.astype(np.float32), sure.astype(np.float32)


def _placed(
    joints: np.ndarray, clip: Keypoints2D, camera: Camera, skeleton: Skeleton, guessed: float
) -> tuple[np.ndarray, np.ndarray]:
    """Joints where they meet their keypoints, and their confidence."""
    pixels, own, _ = convert(clip.positions[:, 0], clip.confidence[:, 0], clip.skeleton, skeleton)
    there = np.asarray(np.isfinite(pixels).all(-1) & (own > 0))
    weights = np.where(there & np.isfinite(joints).all(-1), own, 0)
    arrays = (np.nan_to_num(joints), np.nan_to_num(pixels), np.asarray(camera.K), weights)
    points, image, K, w = (torch.from_numpy(a.astype(np.float64)) for a in arrays)
    distortion = (
        torch.from_numpy(np.asarray(camera.distortion, np.float64)) if np.any(camera.distortion) else None
    )
    root = root_translation(points, image, K, w, distortion, camera.model).translation.numpy()
    mean = np.where(there, own, 0).sum(-1, keepdims=True) / np.maximum(there.sum(-1, keepdims=True), 1)
    anything = there.any(axis=-1).reshape(-1, 1, 1)
    placed = np.where(anything, joints + root[:, None], np.nan)
    sure = np.where(there, np.clip(own, 0, 1), guessed * np.clip(mean, 0, 1))
    return placed, np.where(np.isfinite(placed).all(-1), sure, 0)
