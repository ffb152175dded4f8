"""Global position alignment: training poses are put where the people of other footage stand.

Chai, Jiang, Hwang, Wang, "Global Adaptation meets Local Generalization: Unsupervised Domain Adaptation for 3D Human
Pose Estimation" (PoseDA), ICCV 2023, https://arxiv.org/abs/2303.16456, section 3.2. Official code:
https://github.com/rese1f/PoseDA (MIT; this one function). A pose of the source and one of the target are paired at
random; the source pose is moved to the depth at which its box is as large in the picture as the other's, and to the
place of the other's root. So the training pictures get the places and sizes of the footage, and the poses stay.

What differs: the official code takes the depth's focal length from the first camera for all poses; here each pose has
its own (`depth_of_box` and `placed` are apart, so that either can be had). For windows, the middle of the window is
aligned, with the mean box of its frames, and the person's own way before and after it is kept; the errors of the
keypoints are kept too, in metres across the line of sight.

Convention: metres, camera axes; keypoints in the units of `focal` and `centre`.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from posewright.adapt.footage import Footage, box_size
from posewright.skeletons.joint_sets import BODY_26

NEAREST = 0.6
"""Metres that every joint has before it at least, as in the training clips."""


def global_position_alignment(
    poses: Float[Tensor, "N J 3"],
    keypoints: Float[Tensor, "N J 2"],
    focal: Float[Tensor, "#N 2"],
    centre: Float[Tensor, "#N 2"],
) -> Float[Tensor, "N J 3"]:
    """Move poses to where their pairs stand (equations 1 to 3); the first joint is the root.

    Args:
        poses: of the source, anywhere.
        keypoints: of the target, paired with the poses by their order: shuffle them first.
        focal: of the target's cameras.
        centre: their principal points.
    """
    return placed(poses, keypoints[:, 0], depth_of_box(poses, keypoints, focal), focal, centre)


def depth_of_box(
    poses: Float[Tensor, "*B J 3"], keypoints: Float[Tensor, "*B J 2"], focal: Float[Tensor, "*#B 2"]
) -> Float[Tensor, "*B"]:
    """Depth at which the box of a pose is as large in the picture as that of the keypoints, width plus height."""
    sizes = [x.amax(-2) - x.amin(-2) for x in (poses[..., :2], keypoints)]
    return (focal * sizes[0]).sum(-1) / sizes[1].sum(-1).clamp_min(1e-6)


def placed(
    poses: Float[Tensor, "*B J 3"],
    root: Float[Tensor, "*B 2"],
    depth: Float[Tensor, "*B"],
    focal: Float[Tensor, "*#B 2"],
    centre: Float[Tensor, "*#B 2"],
) -> Float[Tensor, "*B J 3"]:
    """Poses whose first joint is at a depth and has its image at `root`."""
    ray = torch.cat([(root - centre) / focal, torch.ones_like(root[..., :1])], -1)
    return poses - poses[..., :1, :] + (depth[..., None] * ray)[..., None, :]


def aligned_clips(clips: Mapping[str, Tensor], target: Footage) -> dict[str, Tensor]:
    """Training clips with the places, sizes and cameras of windows of footage, one for each.

    Args:
        clips: of `datasets.synthetic`: `screen`, `screen_focal`, `rays`, `joints`, `root`, `confidence`.
        target: as many windows, of any joint set whose names `BODY_26` has; drawn at random.

    Returns:
        The clips with `root`, `screen`, `screen_focal`, `rays` and `focal_known` of the target's cameras.
    """
    order = [BODY_26.index(name) for name in target.skeleton.joint_names]
    middle, half = clips["joints"].shape[1] // 2, target.screen.shape[1] // 2
    size_there = box_size(target.screen, target.used[:, None]).mean(1)
    size_here = box_size(clips["joints"][:, :, order], target.used[:, None]).mean(1)
    depth = target.focal * size_here / size_there.clamp_min(1e-6)
    weight = anchor(target)[..., None]
    place = (weight * target.screen[:, half]).sum(1) / target.focal[:, None]
    offset = (weight * clips["joints"][:, middle, order]).sum(1)
    start = depth[:, None] * torch.cat([place, torch.ones_like(place[:, :1])], -1) - offset
    root = start[:, None] + clips["root"] - clips["root"][:, middle, None]
    near = (clips["joints"][..., 2] + root[..., 2, None]).amin((1, 2))
    root = torch.cat([root[..., :2], root[..., 2:] + (NEAREST - near).clamp_min(0)[:, None, None]], -1)
    return moved(clips, root, target.focal, target.focal_known)


def moved(clips: Mapping[str, Tensor], root: Tensor, focal: Tensor, focal_known: Tensor) -> dict[str, Tensor]:
    """Clips seen from elsewhere: roots (B, T, 3), focal lengths (B,); errors of keypoints go with the distance."""
    error = clips["screen"] - _pictured(clips["joints"], clips["root"], clips["screen_focal"])
    nearer = (clips["root"][..., 2] / root[..., 2])[..., None, None]
    scale = nearer * (focal / clips["screen_focal"])[:, None, None, None]
    screen = _pictured(clips["joints"], root, focal) + scale * error
    seen = clips["confidence"][..., None] > 0
    screen = torch.where(seen, screen, 0.0)
    rays = screen / focal[:, None, None, None]
    return {
        **clips,
        "root": root,
        "screen": screen,
        "screen_focal": focal,
        "rays": rays,
        "focal_known": focal_known,
    }


def _pictured(joints: Tensor, root: Tensor, focal: Tensor) -> Tensor:
    points = joints + root[..., None, :]
    return focal[:, None, None, None] * points[..., :2] / points[..., 2:].clamp_min(0.3)


def anchor(target: Footage) -> Float[Tensor, "N K"]:
    """Weights of the joints whose mean is put in place: the pelvis, or the hips, or all that are seen."""
    names = target.skeleton.joint_names
    everything = target.used.float()
    weight = everything / everything.sum(-1, keepdim=True).clamp_min(1)
    for chosen in (("left_hip", "right_hip"), ("pelvis",)):
        if set(chosen) <= set(names):
            index = [names.index(name) for name in chosen]
            own = torch.zeros_like(weight)
            own[:, index] = 1 / len(index)
            weight = torch.where(target.used[:, index].all(-1, keepdim=True), own, weight)
    return weight
