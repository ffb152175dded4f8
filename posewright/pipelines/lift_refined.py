"""Test-time optimisation of the default lifter: its rays are moved until the pose meets the keypoints.

Wang et al., "Uncertainty-Aware Testing-Time Optimization for 3D Human Pose Estimation", IEEE TMM 2025
(`fitting.refine`), here for `lifting/raylift`, deployable: the pose stands at the root that the first pose and the
keypoints give (the paper: at the true one), and what the network says of its own error is said by
`models.lifting.raylift_errors`, for the first pose. The settings chosen on `train` do not use that: they end after a
few steps, and nothing holds the pose (docs/lifting.md has the figures).

Everything is measured in metres at the person: rays are multiplied by the depth of the root, so that a step, and a miss
in the picture, mean the same to somebody far away and near. Windows are optimised each by itself and blended after, so
memory does not grow with the clip.

Convention: rays x/z and y/z, camera axes, metres, joints of `BODY_26` relative to the pelvis, 50 frames per second.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.fitting.refine import RefineOptions, refine_latents
from posewright.geometry.cameras import project
from posewright.models.lifting import raylift, raylift_errors
from posewright.pipelines.lift_errors import ROOT, track_errors
from posewright.pipelines.lift_windows import run_windows
from posewright.skeletons.joint_sets import BODY_26

Refine = bool | int | RefineOptions
"""False or 0: no; True: with the settings chosen for the lifter; a number: so many steps; or settings of one's own."""
REFINED = RefineOptions(4, 1e-3, 1.0, 0.0)
"""Settings chosen on filmed recordings of `train` (`benchmarks/refine.py`); `learning_rate` in metres at the person."""
WINDOWS_AT_ONCE = 8
"""Windows whose rays are optimised together; each holds what the network computed from it."""
FEWEST = 4
"""Keypoints of a frame without which nothing says where the person stands, and so nothing pulls."""
SOMEWHERE = 4.0
"""Depth of the root, metres, where no frame of a clip says it."""
GUESSED_WEIGHT = 0.2
"""Pull of points whose place on the body the lifter was not taught from recordings, as in finding the root."""
_GUESSED = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_heel", "right_heel")
EXPECTED_LENGTH = math.sqrt(8 / (3 * math.pi))
"""Mean length of a Gaussian error over its root mean square, where it is the same in all directions."""
_CHANNELS = (2, 1, 1, 1, 3)
"""What `RefinedRaylift` reads of a keypoint: ray, confidence, pull, logarithm of the expected error, root."""


def refine_options(refine: Refine, default: RefineOptions = REFINED) -> RefineOptions | None:
    """Settings that a caller means; None: no optimisation.

    Raises:
        InputError: not a number of steps.
    """
    if refine is True:
        return default
    if isinstance(refine, int):
        refine = replace(default, iterations=int(refine))
    if not isinstance(refine, RefineOptions):
        raise InputError(f"refine is {refine!r}, expected True, a number of steps, or RefineOptions")
    return refine if refine.iterations > 0 else None


def check_not_both(refine: Refine) -> None:
    """Refuse test-time optimisation together with samples.

    Raises:
        InputError: it is asked for.
    """
    if refine:
        raise InputError(
            "samples with refine: samples say how far off the lifter's own answer may be, which was not measured for a "
            "refined one: expected one of the two"
        )


def refined_track(
    network: raylift.Model,
    keypoints: Float[Tensor, "T J 3"],
    first: Float[Tensor, "T J 3"],
    focal_known: bool,
    options: RefineOptions,
    flip: bool = False,
    log_errors: Float[Tensor, "T J"] | None = None,
    root: Float[Tensor, "T 3"] | None = None,
) -> Float[Tensor, "T J 3"]:
    """Lift one person's rays with test-time optimisation.

    Args:
        network: the default lifter.
        keypoints: rays and confidence, 0 where missing: these pull nowhere.
        first: what the lifter said, metres, relative to the pelvis.
        focal_known: whether the rays come from the true focal length.
        options: settings; lengths in metres at the person.
        flip: also optimise the mirrored window, and take the mean.
        log_errors: logarithm of the error that is expected of each joint, metres (`log_expected_errors`); None: all
            are trusted the same, and the settings' weight is one per metre.
        root: where the pelvis stands, NaN unknown; None: where `first` meets the keypoints (deployable).
    """
    rays, confidence = keypoints[..., :2], keypoints[..., 2]
    if root is None:
        root = raylift_errors.root_of(first, rays, confidence)
    guessed = [GUESSED_WEIGHT if n in _GUESSED else 1.0 for n in BODY_26.joint_names]
    root, pull = placed(root, confidence * confidence.new_tensor(guessed))
    errors = torch.zeros_like(confidence) if log_errors is None else log_errors.to(confidence)
    told = [keypoints, pull[..., None], errors[..., None], root[:, None].expand(-1, len(BODY_26), -1)]
    return run_windows(
        RefinedRaylift(network, options, flip), torch.cat(told, -1), focal_known, WINDOWS_AT_ONCE
    )


def placed(
    root: Float[Tensor, "T 3"], pull: Float[Tensor, "T J"]
) -> tuple[Float[Tensor, "T 3"], Float[Tensor, "T J"]]:
    """Roots without NaN, and no pull where they were unknown or stood on too few keypoints."""
    known: Bool[Tensor, " T"] = torch.isfinite(root).all(-1) & ((pull > 0).sum(-1) >= FEWEST)
    depth = float(root[known, 2].median()) if bool(known.any()) else SOMEWHERE
    root = torch.where(known[:, None], root, root.new_tensor([0.0, 0.0, depth]))
    return root, torch.where(known[:, None], pull, 0.0)


class RefinedRaylift(nn.Module):
    """The default lifter with optimisation of what it reads, in the place of the lifter itself."""

    def __init__(self, network: raylift.Model, options: RefineOptions, flip: bool):
        super().__init__()
        self.network, self.options, self.flip = network, options, flip

    def forward(
        self, told: Float[Tensor, "B T J C"], focal_known: Float[Tensor, " B"]
    ) -> Float[Tensor, "B T J 3"]:
        """Lift windows whose keypoints carry `_CHANNELS`."""
        with torch.inference_mode(False):
            rays, sure, pull, errors, root = told.clone().split(_CHANNELS, -1)
            depth, known = root[..., 2:], focal_known.clone()
            K = torch.eye(3, dtype=root.dtype, device=root.device)

            def decode(latents: Tensor) -> tuple[Tensor, Tensor]:
                views = torch.cat([latents / depth, sure.expand(len(latents), *sure.shape)], -1)
                if self.flip:  # the latents of the second view are in the mirrored picture; confidence is not
                    views = torch.stack([views[0], torch.cat([views[1, ..., :2], mirrored(sure)], -1)])
                joints = self.network(views.flatten(0, 1), known.repeat(len(views)))
                joints = joints.unflatten(0, views.shape[:2])
                if self.flip:
                    joints = torch.stack([joints[0], mirrored(joints[1])])
                return joints, errors[..., 0].expand(joints.shape[:-1])

            views = [rays, mirrored(rays)] if self.flip else [rays]
            done = refine_latents(
                decode,
                lambda joints: project(joints + root, K) * depth,
                torch.stack(views) * depth,
                rays * depth,
                pull[..., 0],
                self.options,
            )
            return done.joints.mean(0)


def mirrored(values: Float[Tensor, "*B J C"]) -> Float[Tensor, "*B J C"]:
    """Rays (C = 2), joints (C = 3) or confidence (C = 1) of the mirrored picture."""
    order = torch.from_numpy(BODY_26.mirror).to(values.device)
    sign = values.new_ones(values.shape[-1])
    if len(sign) > 1:
        sign[0] = -1
    return values[..., order, :] * sign


def log_expected_errors(
    network: raylift.Model,
    keypoints: Float[Tensor, "T J 3"],
    points: Float[Tensor, "T J 3"],
    focal_known: bool,
    scale: np.ndarray | None = None,
) -> Float[Tensor, "T J"]:
    """Logarithm of how far off the lifter expects to be, metres; 0 for the pelvis, which is the origin.

    Args:
        network: the default lifter.
        keypoints: rays and confidence.
        points: what it said.
        focal_known: whether the rays come from the true focal length.
        scale: (27,) factors for the detector at hand (`pipelines.detector_errors`).
    """
    told, said = keypoints.cpu().numpy(), points.cpu().numpy()
    errors = track_errors(network, told[..., :2], told[..., 2], said, raylift.FRAMES_PER_SECOND, focal_known)
    errors = replace(errors, scale=scale)
    relative = np.concatenate([np.eye(ROOT), np.zeros((ROOT, 1))], axis=1)
    found = []
    for block in errors.blocks():
        covariance = errors.gaussians(block).covariance(relative)
        found.append(EXPECTED_LENGTH * np.sqrt(np.trace(covariance, axis1=-2, axis2=-1)))
    expected = np.concatenate(found)
    expected[:, 0] = 1.0
    return torch.from_numpy(np.log(expected)).to(keypoints)
