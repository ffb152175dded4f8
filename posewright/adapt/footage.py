"""Unlabelled footage: windows of somebody's 2D keypoints, which a lifter is adapted to.

    footage = footage_of(student, clips, cameras)      # training windows, of the first four fifths of every clip
    later = held_out(clips)                            # the rest, which nothing is trained on, for the report

Convention: screen units about the principal point (x from -1 to 1 over the picture's width), the lens removed; missing
= confidence 0; gaps are bridged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from posewright.adapt.student import Student
from posewright.core.errors import InputError
from posewright.evaluate.lifters import Lifter
from posewright.evaluate.units import bridge_missing
from posewright.pipelines.frame_rate import to_rate
from posewright.pipelines.lift import keypoint_rays
from posewright.pipelines.lift_zoo import screen_keypoints
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D

TRAINED_ON = 0.8
"""Share of each clip, from its beginning, that is trained on."""
SEEN_SHARE = 0.5
"""A joint of a window counts if it is seen in this share of its frames."""
FEWEST_JOINTS = 8
"""Windows in which fewer joints count are left out."""
STILL = 0.01
"""Somebody moves if joints wander this far against the pelvis within a window, in parts of the body's box."""


@dataclass(frozen=True)
class Footage:
    """N windows of T frames of keypoints."""

    screen: Float[Tensor, "N T K 2"]
    used: Bool[Tensor, "N K"]
    """Joints that are seen often enough to be looked at."""
    focal: Float[Tensor, " N"]
    """Of each window's camera, screen units."""
    focal_known: Float[Tensor, " N"]
    """1 where it was given, 0 where it was assumed."""
    skeleton: Skeleton
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.screen)

    def drawn(self, count: int, generator: torch.Generator) -> "Footage":
        """Some windows, each as likely as any other, drawn with replacement."""
        index = torch.randint(len(self), (count,), generator=generator)
        return replace(
            self,
            screen=self.screen[index],
            used=self.used[index],
            focal=self.focal[index],
            focal_known=self.focal_known[index],
        )

    def to(self, device: str | torch.device) -> "Footage":
        """Move to a device."""
        moved = {n: getattr(self, n).to(device) for n in ("screen", "used", "focal", "focal_known")}
        return replace(self, **moved)


def footage_of(student: Student, clips: Sequence[Keypoints2D], cameras: Sequence[Camera]) -> Footage:
    """Cut what a lifter reads of the clips into its windows, half overlapping.

    Args:
        student: whose joint set, frame rate and window they get.
        clips: people in any joint set.
        cameras: of each clip.

    Returns:
        The windows, with a warning where nobody moves.

    Raises:
        InputError: there is no clip, or no window in which enough of a person is seen.
    """
    if not clips:
        raise InputError("adapt: no footage, expected at least one clip of 2D keypoints")
    parts = [_windows_of(student, k, c) for k, c in zip(clips, cameras, strict=True)]
    screen, used, focal, known = (torch.cat(column) for column in zip(*parts, strict=True))
    if not len(screen):
        frames = sum(k.num_frames for k in clips)
        raise InputError(
            f"adapt: in {len(clips)} clips of {frames} frames there is no window with {FEWEST_JOINTS} joints of "
            f"{student.skeleton.name} in sight, expected footage of whole people"
        )
    return Footage(screen, used, focal, known, student.skeleton, tuple(_remarks(screen, used)))


def held_out(clips: Sequence[Keypoints2D]) -> list[Keypoints2D]:
    """The last part of each clip, which is not trained on; the whole clip where it is too short to be parted."""
    return [_cut(clip, *_parted(clip)[1]) for clip in clips]


def trained_on(clips: Sequence[Keypoints2D]) -> list[Keypoints2D]:
    """The first part of each clip."""
    return [_cut(clip, *_parted(clip)[0]) for clip in clips]


def _parted(clip: Keypoints2D) -> tuple[tuple[int, int], tuple[int, int]]:
    frames = clip.num_frames
    border = round(TRAINED_ON * frames)
    if frames - border < 2:
        return (0, frames), (0, frames)
    return (0, border), (border, frames)


def _cut(clip: Keypoints2D, start: int, stop: int) -> Keypoints2D:
    times = None if clip.times is None else clip.times[start:stop]
    return replace(
        clip, positions=clip.positions[start:stop], confidence=clip.confidence[start:stop], times=times
    )


# -------------------------------------------------------------------------------------------------- inside


def _windows_of(student: Student, clip: Keypoints2D, camera: Camera) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    focal = 2 * float(camera.K[0, 0]) / camera.image_size[0]
    known = float(camera.focal_source != "assumed")
    screen, confidence = _as_read(student, clip, camera, focal)
    windows, used = [], []
    for person in range(clip.num_people):
        seen = np.flatnonzero((confidence[:, person] > 0).any(-1))
        if len(seen):
            part = slice(seen[0], seen[-1] + 1)
            at_rate = to_rate(screen[part, person], confidence[part, person], clip.fps, student.fps)
            points, sure = (torch.from_numpy(np.ascontiguousarray(x)) for x in at_rate)
            windows.append(_cut_up(bridge_missing(points, sure, student.skeleton), student.window))
            used.append((_cut_up(sure, student.window) > 0).float().mean(1) >= SEEN_SHARE)
    K = len(student.skeleton)
    found = torch.cat([torch.zeros(0, student.window, K, 2), *windows])
    joints = torch.cat([torch.zeros(0, K, dtype=torch.bool), *used])
    enough = joints.sum(-1) >= FEWEST_JOINTS
    found, joints = found[enough], joints[enough]
    return found, joints, torch.full((len(found),), focal), torch.full((len(found),), known)


def _as_read(
    student: Student, clip: Keypoints2D, camera: Camera, focal: float
) -> tuple[np.ndarray, np.ndarray]:
    """Screen keypoints (T, P, K, 2) and confidence (T, P, K) in the student's joint set."""
    if isinstance(student.model, Lifter):
        return screen_keypoints(student.model, clip, camera)
    rays, confidence = keypoint_rays(clip, camera)
    return (focal * rays).astype(np.float32), confidence


def _cut_up(values: Tensor, window: int) -> Tensor:
    """Windows (N, T, ...) of a track, half overlapping; a shorter track is continued by its last frame."""
    T = len(values)
    if window > T:
        return torch.cat([values, values[-1:].expand(window - T, *values.shape[1:])])[None]
    starts = range(0, T - window + 1, max(1, window // 2))
    return torch.stack([values[start : start + window] for start in starts])


def _remarks(screen: Tensor, used: Tensor) -> list[str]:
    """Warn where nobody moves: poses that never change teach a lifter one pose."""
    weight = used.float()[:, None, :, None]
    relative = screen - (weight * screen).sum(2, keepdim=True) / weight.sum(2, keepdim=True)
    half = screen.shape[1] // 2
    means = (
        torch.stack([relative[:, :half].mean(1), relative[:, half:].mean(1)])
        if half
        else relative[None, :, 0]
    )
    size = box_size(screen.mean(1), used).clamp_min(1e-6)
    wander = ((means[0] - means[-1]).norm(dim=-1) * used).amax(-1) / size
    between = (means.mean(0) - means.mean(0).mean(0)).norm(dim=-1).mul(used).amax(-1) / size
    moved = torch.maximum(wander, between).quantile(0.9)
    if moved >= STILL:
        return []
    return [
        f"nobody moves in the footage: joints wander by {100 * float(moved):.1f} % of the body's box at most. The "
        "lifter will fit this pose, and may become worse at others"
    ]


def box_size(points: Float[Tensor, "*B K D"], used: Bool[Tensor, "*#B K"]) -> Float[Tensor, "*B"]:
    """Mean of width and height of the box around the joints that are used (first two coordinates)."""
    plane = points[..., :2]
    low = torch.where(used[..., None], plane, torch.inf).amin(-2)
    high = torch.where(used[..., None], plane, -torch.inf).amax(-2)
    return (high - low).mean(-1)
