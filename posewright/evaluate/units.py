"""The units of published lifters: screen keypoints, and joints in image units that become metres.

Screen: x / w * 2 - 1 and y / w * 2 - h / w, so that x lies in [-1, 1] and the aspect ratio is kept (VideoPose3D,
Pavllo et al., CVPR 2019, and all that followed it). Image units (MotionBERT, Zhu et al., ICCV 2023; MotionAGFormer,
Mehraban et al., WACV 2024): x and y as on the screen, z as long as it would look at the root's depth, all relative to
the root, so that a pose is right up to one factor per frame.

Convention: pixels with the centre of the top-left pixel at (0, 0), so that the screen's zero is (w - 1) / 2 and a
mirrored picture has exactly mirrored keypoints (authors who take (0, 0) as a corner differ by half a pixel); camera
axes x right, y down, z forward; metres.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from posewright.skeletons.skeleton import Skeleton

LEG_AND_TRUNK_METRES = 1.31
"""Thigh, shin, pelvis to spine and spine to thorax of an adult of 1.75 m: the mean of the training bodies (CMU),
standard deviation 0.03, when thigh, shin, trunk, neck and head together are 1.60 m."""
SCALE_SECONDS = 0.25
"""Standard deviation of the Gaussian that smooths a person's apparent size over time."""


def to_screen(pixels: Float[Tensor, "*B 2"], image_size: tuple[int, int]) -> Float[Tensor, "*B 2"]:
    """Pixels to screen units; `image_size` is (width, height)."""
    width, height = image_size
    return (pixels + 0.5) * (2 / width) - pixels.new_tensor([1.0, height / width])


def image_from_camera(
    joints: Float[Tensor, "*B J 3"], root: int, focal: Float[Tensor, "*#B"]
) -> Float[Tensor, "*B J 3"]:
    """Joints in camera axes to image units: what a lifter of that convention is trained to give.

    Args:
        joints: metres, at their place before the camera.
        root: index of the root.
        focal: focal length in screen units, 2 f / w.
    """
    focal = focal[..., None, None]
    origin = joints[..., root : root + 1, :]
    plane = focal * joints[..., :2] / joints[..., 2:]
    depth = focal * (joints[..., 2:] - origin[..., 2:]) / origin[..., 2:]
    return torch.cat([plane - plane[..., root : root + 1, :], depth], -1)


def camera_from_image(
    joints: Float[Tensor, "T J 3"],
    root_keypoint: Float[Tensor, "T 2"],
    focal: float,
    skeleton: Skeleton,
    fps: float | None = None,
) -> Float[Tensor, "T J 3"]:
    """Joints in image units to metres, relative to the root: the inverse of `image_from_camera`, with an adult's size.

    The root's keypoint and the focal length turn x, y and z into a pose in perspective, `(1 + z / f) (u, v) / f` and
    `1 + z / f` in units of the root's depth; that depth is the one at which legs and trunk together measure
    `LEG_AND_TRUNK_METRES`. No single picture tells it, so it is smoothed over `SCALE_SECONDS`.

    Args:
        joints: image units, of T frames in order.
        root_keypoint: screen units.
        focal: focal length in screen units, 2 f / w.
        skeleton: joint set of the joints.
        fps: frames per second; None: single pictures, nothing is smoothed.
    """
    root = skeleton.index("pelvis")
    relative = joints - joints[:, root : root + 1]
    depth = 1 + relative[..., 2:] / focal
    shape = torch.cat([depth * (root_keypoint[:, None] + relative[..., :2]) / focal, depth], -1)
    shape = shape - shape[:, root : root + 1]
    size = leg_and_trunk(shape, skeleton).clamp_min(1e-6).log()
    if fps is not None and len(size) > 1:
        size = _smoothed(size, SCALE_SECONDS * fps)
    return shape * (LEG_AND_TRUNK_METRES / size.exp())[:, None, None]


def leg_and_trunk(joints: Float[Tensor, "*B J 3"], skeleton: Skeleton) -> Float[Tensor, "*B"]:
    """Length of thigh and shin, the mean of both sides, and of the trunk, in the unit of the joints."""

    def length(a: str, b: str) -> Tensor:
        return (joints[..., skeleton.index(a), :] - joints[..., skeleton.index(b), :]).norm(dim=-1)

    pairs = (("hip", "knee"), ("knee", "ankle"))
    legs = [length(f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in pairs]
    return torch.stack(legs).sum(0) / 2 + length("pelvis", "spine") + length("spine", "thorax")


def _smoothed(values: Float[Tensor, " T"], deviation: float) -> Float[Tensor, " T"]:
    """Gaussian mean over time, in frames; continued by its point reflection at the ends, so that trends go on."""
    reach = min(max(1, round(3 * deviation)), len(values) - 1)
    time = torch.arange(-reach, reach + 1, dtype=values.dtype, device=values.device)
    kernel = torch.softmax(-0.5 * (time / max(deviation, 1e-3)) ** 2, 0)
    before = 2 * values[0] - values[1 : reach + 1].flip(0)
    after = 2 * values[-1] - values[-reach - 1 : -1].flip(0)
    return F.conv1d(torch.cat([before, values, after])[None, None], kernel[None, None])[0, 0]


def bridge_missing(
    keypoints: Float[Tensor, "*B T K D"], confidence: Float[Tensor, "*B T K"], skeleton: Skeleton
) -> Float[Tensor, "*B T K D"]:
    """Give every keypoint a place, for networks that know no gaps: straight lines over time, ends held.

    A joint never seen in the clip takes the place of its nearest seen ancestor in the skeleton, else the mean of the
    seen joints; where nothing is ever seen the result is 0.

    Args:
        keypoints: any unit; what has confidence 0 is not looked at, NaN or not.
        confidence: 0 where missing.
        skeleton: joint set of the keypoints.
    """
    seen = confidence > 0
    T = keypoints.shape[-3]
    clean = torch.where(seen[..., None], keypoints, torch.zeros_like(keypoints))
    time = torch.arange(T, device=keypoints.device)[:, None].expand(confidence.shape)
    before = torch.where(seen, time, -1).cummax(-2).values
    after = T - 1 - torch.where(seen, T - 1 - time, -1).flip(-2).cummax(-2).values.flip(-2)
    low = torch.where(before < 0, after, before).clamp(0, T - 1)
    high = torch.where(after > T - 1, before, after).clamp(0, T - 1)
    share = ((time - low) / (high - low).clamp_min(1)).clamp(0, 1).to(keypoints.dtype)
    start, end = (clean.gather(-3, i[..., None].expand(*i.shape, clean.shape[-1])) for i in (low, high))
    filled = torch.lerp(start, end, share[..., None])
    ever = seen.any(-2, keepdim=True)
    return filled if bool(ever.all()) else _borrowed(filled, ever, skeleton)


def _borrowed(
    filled: Float[Tensor, "*B T K D"], ever: Tensor, skeleton: Skeleton
) -> Float[Tensor, "*B T K D"]:
    """Place joints that are never seen: at their nearest seen ancestor, else at the mean of the seen joints."""
    known = ever.to(filled.dtype)[..., None]
    mean = (filled * known).sum(-2, keepdim=True) / known.sum(-2, keepdim=True).clamp_min(1)
    parent = torch.tensor([p if p >= 0 else j for j, p in enumerate(skeleton.parents)], device=filled.device)
    for _ in range(len(skeleton)):  # at most as often as the tree is deep
        if bool((ever | ever[..., parent]).eq(ever).all()):
            break
        filled = torch.where(ever[..., None], filled, filled[..., parent, :])
        ever = ever | ever[..., parent]
    return torch.where(ever[..., None], filled, mean.expand_as(filled))
