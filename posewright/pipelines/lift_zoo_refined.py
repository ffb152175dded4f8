"""Test-time optimisation of any published lifter: its keypoints are moved until the pose meets them.

As `pipelines.lift_refined` does for the default lifter, window by window as the method runs (`evaluate.windows`):
windows of methods that answer for their middle frame are moved whole, pulled by that frame alone. These lifters say
nothing of their own error, so settings that hold the pose hold all joints the same; UAO, which does, brings its own
settings and optimisation.
Methods that sample their poses are refused: their answer hangs on noise, or already follows the keypoints.

Keypoints that the detector did not give, such as a spine made of shoulders and hips, are moved but pull nowhere.

Convention: screen units in; joints in metres or image units as the method gives them, about the pelvis; steps and
distances in the picture in metres at the person.
"""

import copy
from dataclasses import asdict, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.evaluate.lifters import Lifter
from posewright.evaluate.windows import mirrored_joints, run_clip
from posewright.fitting.refine import RefineOptions, refine_latents
from posewright.geometry.cameras import project
from posewright.geometry.resection import root_translation
from posewright.models import find, list_models
from posewright.pipelines.lift_refined import Refine, placed, refine_options
from posewright.pipelines.lifter_units import metric_joints, network_input

LESS_AT_ONCE = 8
"""By how much fewer frames are optimised together than lifted: each holds what the network computed from it."""
UAO_AT_ONCE = 256
"""Frames of UAO that are optimised together."""
_CHANNELS = (2, 1, 1, 1, 3)
"""What `RefinedLifter` reads of a keypoint: screen place, confidence, pull, metres per screen unit, place."""


def check_refinable(name: str) -> None:
    """Refuse a method that test-time optimisation makes no sense for; unknown names are somebody else's business.

    Raises:
        InputError: it samples its poses.
    """
    if name in list_models("lifting") and samples_poses(find(name).Model):
        raise InputError(
            f"refine: {name} samples its poses, and the network would have to be followed through every step of the "
            "sampler; its own aggregation already looks at the keypoints: leave refine out, or choose another lifter"
        )


def samples_poses(model: type) -> bool:
    """Tell whether a method's models draw their answer: UAO's draw too, but around an answer of their own."""
    return hasattr(model, "hypotheses") and not hasattr(model, "refined")


def as_told(lifter: Lifter, refine: Refine) -> tuple[Lifter, RefineOptions | None]:
    """The lifter and settings for it; UAO with its own settings changed, and then nothing to be done around it.

    Raises:
        InputError: see `check_refinable` and `refine_options`.
    """
    network: Any = lifter.network
    if refine is False:
        return lifter, None
    if hasattr(network, "refined"):
        own = network.config.refine_options
        chosen = refine_options(refine, own if own.iterations else type(network.config)().refine_options)
        twin = copy.copy(network)
        twin.config = replace(network.config, **(asdict(chosen) if chosen else {"iterations": 0}))
        return replace(lifter, network=twin), None
    options = refine_options(refine)
    if options is not None:
        check_refinable(lifter.name)
    return lifter, options


def refined_clip(
    lifter: Lifter,
    screen: Float[Tensor, "T K 2"],
    confidence: Float[Tensor, "T K"],
    measured: Bool[Tensor, " K"],
    focal: float,
    fps: float,
    flip: bool,
    options: RefineOptions,
) -> Float[Tensor, "T J 3"]:
    """Joints of a clip in metres, about the pelvis.

    Args:
        lifter: a method that does not sample.
        screen: keypoints without gaps.
        confidence: 0 where missing.
        measured: which keypoints pull, those that the detector gave.
        focal: screen units.
        fps: frames per second; matters to methods that answer in image units.
        flip: also optimise the mirrored window, and take the mean; the first pose is that of `run_clip` with it.
        options: settings; lengths in metres at the person.
    """
    pull = confidence * measured
    first = run_clip(lifter, network_input(lifter, screen, confidence), flip)
    metres = about_pelvis(lifter, metric_joints(lifter, first, screen, focal, fps))
    root, pull = placed(_root(lifter, metres, screen, pull, focal), pull)
    unit = root[:, 2:] / focal
    if lifter.facts.joint_units == "image":
        root = torch.cat([_place(lifter, first, screen, pull), torch.ones_like(unit)], -1)
    own = [part[:, None].expand(-1, screen.shape[1], -1) for part in (unit, root)]
    told = torch.cat([screen, confidence[..., None], pull[..., None], *own], -1)
    joints = run_clip(replace(lifter, network=RefinedLifter(lifter, focal, flip, options)), told)
    return (
        metric_joints(lifter, joints, screen, focal, fps) if lifter.facts.joint_units == "image" else joints
    )


def seen_joints(lifter: Lifter) -> tuple[list[int], list[int]]:
    """Joints that have a keypoint of the same name, and these keypoints."""
    keypoints = lifter.facts.skeleton.joint_names
    pairs = [
        (j, keypoints.index(n))
        for j, n in enumerate(lifter.facts.output_skeleton.joint_names)
        if n in keypoints
    ]
    return [j for j, _ in pairs], [k for _, k in pairs]


def about_pelvis(lifter: Lifter, joints: Float[Tensor, "*B J 3"]) -> Float[Tensor, "*B J 3"]:
    """Joints relative to the pelvis, where the method has one."""
    skeleton = lifter.facts.output_skeleton
    if "pelvis" not in skeleton.joint_names:
        return joints
    root = skeleton.index("pelvis")
    return joints - joints[..., root : root + 1, :]


def _root(lifter: Lifter, metres: Tensor, screen: Tensor, pull: Tensor, focal: float) -> Tensor:
    """Where the pelvis stands by the first pose (T, 3), metres; NaN unknown."""
    joints, keypoints = seen_joints(lifter)
    points, seen, weights = (
        x.cpu().double() for x in (metres[:, joints], screen[:, keypoints], pull[:, keypoints])
    )
    K = torch.diag(seen.new_tensor([focal, focal, 1.0]))
    return root_translation(points, seen, K, weights).translation.to(screen)


def _place(lifter: Lifter, first: Tensor, screen: Tensor, pull: Tensor) -> Tensor:
    """Where the pelvis of a pose in image units is on the screen (T, 2), so that it meets the keypoints in the mean."""
    joints, keypoints = seen_joints(lifter)
    off = screen[:, keypoints] - about_pelvis(lifter, first)[:, joints, :2]
    weights = pull[:, keypoints, None]
    return (weights * off).sum(1) / weights.sum(1).clamp_min(1e-6)


class RefinedLifter(nn.Module):
    """A lifter with optimisation of what it reads, in the place of its network; windows carry `_CHANNELS`.

    The lifter is no submodule, so that nobody packs its layers (`nn.packed_linear`): packed ones have no gradients.
    """

    def __init__(self, lifter: Lifter, focal: float, flip: bool, options: RefineOptions):
        super().__init__()
        self.lifter, self.focal, self.flip, self.options = lifter, focal, flip, options
        self.sequences_per_window = LESS_AT_ONCE * (2 if flip else 1)

    def forward(self, told: Float[Tensor, "B T K C"]) -> Float[Tensor, "B N J 3"]:
        with torch.inference_mode(False):
            screen, sure, pull, unit, place = told.clone().split(_CHANNELS, -1)
            joints, keypoints = seen_joints(self.lifter)
            answered = self.answered(told.shape[1])
            metres, root = unit[:, answered, :1], place[:, answered, :1]
            J = len(self.lifter.facts.output_skeleton)
            target, weights = screen.new_full((*metres.shape[:2], J, 2), torch.nan), screen.new_zeros(1)
            target[:, :, joints] = (screen[:, answered] * metres)[:, :, keypoints]
            weights = weights.expand(target.shape[:-1]).clone()
            weights[:, :, joints] = pull[:, answered][:, :, keypoints, 0]
            views = [screen, self._keypoints_mirrored(screen)] if self.flip else [screen]
            done = refine_latents(
                lambda latents: (self._decode(latents / unit, sure[..., 0]), None),
                lambda poses: self.image(poses, root) * metres,
                torch.stack(views) * unit,
                target,
                weights,
                self.options,
            )
            return done.joints.mean(0)

    def _decode(self, screen: Float[Tensor, "V B T K 2"], sure: Float[Tensor, "B T K"]) -> Tensor:
        """Poses (V, B, N, J, 3) of both views, metres or image units; the second is turned back."""
        lifter = self.lifter
        order = torch.from_numpy(lifter.facts.skeleton.mirror).to(sure.device)
        confidence = torch.stack([sure, sure[..., order]][: len(screen)])
        joints = lifter.network(network_input(lifter, screen, confidence).flatten(0, 1))
        if lifter.facts.output_frames == "centre" and joints.shape[1] > 1:
            joints = joints[:, self.answered(screen.shape[2])]
        joints = joints.unflatten(0, screen.shape[:2])
        if len(screen) > 1:
            joints = torch.stack([joints[0], mirrored_joints(lifter, joints[1])])
        if lifter.facts.joint_units == "standardised":
            joints = metric_joints(lifter, joints, screen, self.focal, 0.0)
        return about_pelvis(lifter, joints)

    def image(self, poses: Float[Tensor, "V B N J 3"], place: Float[Tensor, "B N 1 3"]) -> Tensor:
        """Screen places of poses."""
        if self.lifter.facts.joint_units == "image":
            return poses[..., :2] + place[..., :2]
        K = torch.diag(poses.new_tensor([self.focal, self.focal, 1.0]))
        return project(poses + place, K)

    def answered(self, frames: int) -> slice:
        """Frames of a window that the method answers for."""
        window, facts = self.lifter.window, self.lifter.facts
        if window == 1 or facts.output_frames == "all":
            return slice(frames)
        before = window - 1 if facts.causal and facts.output_frames == "valid" else (window - 1) // 2
        return slice(before, before + (1 if facts.output_frames == "centre" else frames - window + 1))

    def _keypoints_mirrored(self, screen: Tensor) -> Tensor:
        """Of the mirrored picture, screen units."""
        order = torch.from_numpy(self.lifter.facts.skeleton.mirror).to(screen.device)
        return screen[..., order, :] * screen.new_tensor([-1.0, 1.0])


def refined_by_itself(
    lifter: Lifter, x: Tensor, screen: Tensor, confidence: Tensor, focal: float
) -> Float[Tensor, "T J 3"]:
    """UAO's answer (T, J, 3) after its test-time optimisation, at the root estimated from its first pose."""
    network: Any = lifter.network
    first = run_clip(lifter, x, flip=network.config.test_time_augmentation).cpu().double()
    sure = confidence.cpu().double()
    seen = torch.where(sure[..., None] > 0, screen.cpu().double(), torch.nan)
    K = torch.diag(seen.new_tensor([focal, focal, 1.0]))
    root, K = root_translation(first, seen, K, sure).translation.to(x), K.to(x)
    done = [
        network.refined(
            x[part][None],
            lambda joints, place=root[part, None]: project(joints + place, K),
            seen[part].to(x)[None],
            confidence[part][None],
        )[0]
        for part in torch.arange(len(x), device=x.device).split(UAO_AT_ONCE)
    ]
    return torch.cat(done)
