"""Pull poses towards what bodies can be and how they move: rigid, symmetric bones, and no jerks, step by step.

The spatial-temporal physical guidance of StarPose (Yang, Chen, Xu, Xu, Xiao, Sun, Huang, He, IEEE TCSVT 2025,
https://arxiv.org/abs/2508.02056) as far as its abstract tells: it refines the denoising iteratively and enforces
anatomical plausibility in space and the dynamics of motion in time. The energies are this file's reading: half the
squared deviation of each bone from its mean over the frames and both sides, and half the squared second difference of
each joint over time, poses that were found before included. They are quadratic but for the bones' directions, so their
gradients are written out: nothing is differentiated, and a guided sampler can be compiled and exported as it is.

Convention: poses (B, T, J, 3) of consecutive frames, relative to the root (joint 0), metres.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from posewright.core.errors import InputError
from posewright.skeletons.skeleton import Skeleton


@dataclass(frozen=True)
class PhysicalGuidance:
    """How poses are pulled; the rates are stable up to one half for bones and an eighth for motion."""

    parents: Sequence[int]
    mirror: Sequence[int]
    """For each joint, the one on the other side, or itself."""
    steps: int = 2
    bones: float = 0.2
    """Rate of the descent along the energy of the bones."""
    motion: float = 0.02
    """Rate of the descent along the energy of the second differences."""

    def __post_init__(self) -> None:
        if self.steps < 0 or not 0 <= self.bones <= 0.5 or not 0 <= self.motion <= 0.125:
            raise InputError(
                f"physical guidance: {self.steps} steps at rates {self.bones:g} and {self.motion:g}, expected 0 or "
                "more, 0 to 0.5 (bones) and 0 to 0.125 (motion)"
            )

    def __call__(
        self, poses: Float[Tensor, "B T J 3"], before: Float[Tensor, "B P J 3"] | None = None
    ) -> Float[Tensor, "B T J 3"]:
        """Refine poses; those `before` them are looked at and stay."""
        for _ in range(self.steps):
            known = poses if before is None else torch.cat([before, poses], 1)
            change = self.bones * self.bone_gradient(known) + self.motion * motion_gradient(known)
            poses = poses - change[:, known.shape[1] - poses.shape[1] :]
        return poses

    def bone_gradient(self, poses: Float[Tensor, "B T J 3"]) -> Float[Tensor, "B T J 3"]:
        """Derivative by the joints of half the squared deviation of bone lengths, their means held."""
        parents = [max(p, 0) for p in self.parents]
        bones = poses - poses[:, :, parents]
        length = bones.square().sum(-1, keepdim=True).clamp_min(1e-12).sqrt()
        mean = length.mean(1, keepdim=True)
        wanted = (mean + mean[:, :, list(self.mirror)]) / 2
        pull = (length - wanted) * bones / length
        pull = pull * (torch.arange(len(parents), device=poses.device) > 0).to(poses.dtype)[:, None]
        return pull - _gathered(pull, parents)


def guidance_of(skeleton: Skeleton, steps: int, bones: float, motion: float) -> PhysicalGuidance:
    """Guidance of a joint set."""
    return PhysicalGuidance(skeleton.parents, skeleton.mirror.tolist(), steps, bones, motion)


def _gathered(pull: Tensor, parents: Sequence[int]) -> Tensor:
    """What the bones that begin at each joint pull it by."""
    table = torch.zeros(len(parents), len(parents), dtype=pull.dtype, device=pull.device)
    table[list(parents[1:]), list(range(1, len(parents)))] = 1
    return torch.einsum("jk,btkc->btjc", table, pull)


def motion_gradient(poses: Float[Tensor, "B T J 3"]) -> Float[Tensor, "B T J 3"]:
    """Derivative of half the squared second differences over time; zero for fewer than three frames."""
    if poses.shape[1] < 3:
        return torch.zeros_like(poses)
    bend = poses[:, 2:] - 2 * poses[:, 1:-1] + poses[:, :-2]
    last, middle, first = (F.pad(bend, (0, 0, 0, 0, a, 2 - a)) for a in (2, 1, 0))
    return last - 2 * middle + first
