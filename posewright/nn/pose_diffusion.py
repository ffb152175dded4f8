"""Diffusion from noise to the poses of a window, given its keypoints: the sampler of D3DP and its successors.

Shan et al., "Diffusion-Based 3D Human Pose Estimation with Multi-Hypothesis Aggregation", ICCV 2023,
https://arxiv.org/abs/2303.11579, section 3. The denoiser predicts the clean poses; DDIM with eta 1 goes from noise to
them, for all hypotheses at once, averaging with the mirrored clip inside each step.

Noise is drawn once, from the configuration's seed, and every window gets the same, so that a clip has one answer.

Convention: keypoints (B, T, J, C), T the number of frames of a window; poses (B, T, J, 3), metres, camera axes,
relative to the root; hypotheses (B, T, H, J, 3).
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.nn.diffusion import Clamp, cosine_schedule, q_sample, sample_ddim, sampling_times
from posewright.nn.mirror import mirrored
from posewright.nn.mixste import MixSTEConfig
from posewright.nn.sampler_options import check_sampler
from posewright.nn.spatiotemporal import check_window
from posewright.skeletons.joint_sets import get

REACH = 1.1
"""States and estimates are clamped to this many times the scale."""
OFFICIAL_ARGUMENTS = {
    "number_of_frames": "num_frame",
    "cs": "embed_dim_ratio",
    "dep": "depth",
    "timestep": "timestep",
    "scale": "scale",
    "test_time_augmentation": "test_time_augmentation",
}
"""What the official classes of D3DP and FinePOSE read of their `args` -> our field."""


@dataclass(frozen=True)
class PoseDiffusionConfig(MixSTEConfig):
    """Sizes of the denoiser, and how it is sampled (D3DP, section 4.2)."""

    timestep: int = 1000
    """T, steps of the diffusion."""
    scale: float = 1.0
    """Metres are multiplied by it before noise is added."""
    num_proposals: int = 5
    """H, hypotheses."""
    sampling_timesteps: int = 5
    """K, iterations of the sampler."""
    eta: float = 1.0
    """Randomness of the sampler: 0 deterministic, 1 as published."""
    test_time_augmentation: bool = True
    """Average with the mirrored clip inside each iteration."""
    seed: int = 0
    """Of the sampler's noise."""
    aggregation: Literal["jpma", "mean"] = "jpma"
    """How one pose is made of the hypotheses where a camera and keypoints are at hand; `forward` gives the mean."""
    keypoint_skeleton: str = "h36m_17"
    """Joint set of the keypoints; it says how they are mirrored."""
    joint_skeleton: str = "h36m_17"
    """Joint set of the poses."""

    def __post_init__(self) -> None:
        method = type(self).__module__.rpartition(".")[2]
        check_sampler(self)
        if not self.scale > 0:
            raise InputError(f"{method}: scale is {self.scale:g}, expected a positive number")


class PoseDiffusion(nn.Module):
    """Keypoints of a window to hypotheses of the poses of all its frames (D3DP, figure 2).

    Args:
        config: sizes and settings.
        denoiser: called with keypoints (B, T, J, C), noisy poses (B, H, T, J, 3), metres, steps (B,), and by name what
            else the method tells it (`told`); returns clean poses (B, H, T, J, 3).
    """

    start_noise: Tensor
    step_noise: Tensor

    def __init__(self, config: PoseDiffusionConfig, denoiser: nn.Module):
        super().__init__()
        c = config
        self.config = c
        self.denoiser = denoiser
        self.schedule = cosine_schedule(c.timestep)
        self.times = sampling_times(c.timestep, c.sampling_timesteps)
        self.keypoint_mirror = get(c.keypoint_skeleton).mirror.tolist()
        self.joint_mirror = get(c.joint_skeleton).mirror.tolist()
        generator = torch.Generator("cpu").manual_seed(c.seed)
        shape = (c.sampling_timesteps, 1, c.num_proposals, c.num_frame, c.num_joints, 3)
        noise = torch.randn(shape, generator=generator, device="cpu")
        self.register_buffer("start_noise", noise[0], persistent=False)
        self.register_buffer("step_noise", noise[1:], persistent=False)

    @property
    def sequences_per_window(self) -> int:
        """Sequences that the denoiser sees at once for each window."""
        return self.config.num_proposals * (2 if self.config.test_time_augmentation else 1)

    def forward(self, keypoints: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T J 3"]:
        return self.hypotheses(keypoints).mean(2)

    def hypotheses(self, keypoints: Float[Tensor, "B T J C"], **told: Any) -> Float[Tensor, "B T H J 3"]:
        """Return all hypotheses after the last iteration, in metres."""
        return self.sample(keypoints, **told)[:, -1].transpose(1, 2)

    def sample(
        self,
        keypoints: Float[Tensor, "B T J C"],
        start: Float[Tensor, "#B H T J 3"] | None = None,
        step_noise: Float[Tensor, "..."] | None = None,
        **told: Any,
    ) -> Float[Tensor, "B K H T J 3"]:
        """Run the sampler (section 3.2) and return the clean poses after each of its iterations, in metres.

        Args:
            keypoints: as for `forward`.
            start: standard normal noise to begin with; None: that of the seed. It decides how many hypotheses.
            step_noise: (K - 1, B or 1, H, T, J, 3) standard normal, added after each iteration but the last; None: that
                of the seed.
            **told: see `PoseDiffusion`.

        Raises:
            ValueError: keypoints of another window or joint set.
        """
        c = self.config
        check_window(keypoints, c.num_frame, c.num_joints, c.in_chans)
        start = self.start_noise if start is None else start
        steps_noise = self.step_noise if step_noise is None else step_noise
        estimates = sample_ddim(
            lambda x, step: c.scale * self.denoise(keypoints, x / c.scale, step, **told),
            start.expand(len(keypoints), -1, -1, -1, -1),
            self.schedule,
            self.times,
            step_noise=steps_noise,
            eta=c.eta,
            clamp=Clamp(state=REACH * c.scale, x0=REACH * c.scale),
        )
        return estimates.transpose(0, 1) / c.scale

    def denoise(
        self,
        keypoints: Float[Tensor, "B T J C"],
        noisy: Float[Tensor, "B H T J 3"],
        step: int,
        **told: Any,
    ) -> Float[Tensor, "B H T J 3"]:
        """Clean poses, averaged with those of the mirrored clip and mirrored noisy poses if so configured, metres."""
        steps = torch.full((len(keypoints),), step, device=keypoints.device)
        joints = self.denoiser(keypoints, noisy, steps, **told)
        if not self.config.test_time_augmentation:
            return joints
        other = self.denoiser(
            mirrored(keypoints, self.keypoint_mirror), mirrored(noisy, self.joint_mirror), steps, **told
        )
        return (joints + mirrored(other, self.joint_mirror)) / 2

    def denoised(
        self, keypoints: Float[Tensor, "B T J C"], joints: Float[Tensor, "B T J 3"], **told: Any
    ) -> Float[Tensor, "B T J 3"]:
        """Answer of a training step (section 3.1): true poses, noised to a random step of the diffusion, denoised."""
        c = self.config
        check_window(keypoints, c.num_frame, c.num_joints, c.in_chans)
        steps = torch.randint(c.timestep, (len(joints),))
        noisy = q_sample(c.scale * joints, torch.randn_like(joints), self.schedule.levels[steps])
        seen = noisy.clamp(-REACH * c.scale, REACH * c.scale) / c.scale
        return self.denoiser(keypoints, seen[:, None], steps.to(joints.device), **told)[:, 0]
