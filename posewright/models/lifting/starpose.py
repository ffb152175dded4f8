"""StarPose: hypotheses of the poses of a clip by diffusion, part after part, each told what was found before.

Yang, Chen, Xu, Xu, Xiao, Sun, Huang, He, "StarPose: 3D Human Pose Estimation via Spatial-Temporal Autoregressive
Diffusion", IEEE TCSVT 2025, https://arxiv.org/abs/2508.02056. No code was published where the paper says it is, and
this file was written from the abstract, not from the method section. What it says: the mapping from 2D to 3D as an
autoregressive diffusion; a Historical Pose Integration Module (HPIM) makes embeddings of the poses predicted before and
of the 2D poses, which guide the denoising; a plug-and-play Spatial-Temporal Physical Guidance (STPG) refines the
denoising iteratively, for plausible anatomy and motion.

Everything else is an assumption of this file:

* A window is cut into segments of `segment` frames; each is sampled in turn, with DDIM as in D3DP (cosine schedule,
  clean poses predicted, flip averaging inside each step), and is told the last `history` frames of those before it.
* *HPIM*: the window's keypoints, with the poses of the frames that are known and a mark which they are, are embedded,
  mixed over the joints of each frame by one block, and attended to by the tokens of the segment, joint by joint.
* *Denoiser*: MixSTE's alternating blocks over the segment's tokens, told the diffusion step.
* *STPG*: `nn.physical_guidance` on the estimate of every DDIM step, the history included; two steps at small rates.
* *Training*: all segments at once, told the true poses before them, blurred by noise of `history_noise` metres, so that
  predicted ones are met with tolerance; distances as for all lifters here.
* Width, depth and heads are D3DP's, with fewer blocks for the extra attention: chosen here.

Convention: keypoints (B, T, 17, 2), screen units (x / w * 2 - 1, y / w * 2 - h / w), T the number of frames the model
was made for; joints (B, T, 17, 3), the mean of the hypotheses, in metres, camera axes, relative to the pelvis;
`hypotheses` gives all, (B, T, H, 17, 3).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.core.weights import Paper, Weights
from posewright.nn.attention import CrossAttention, TransformerBlock, rising
from posewright.nn.checkpoints import load_strictly
from posewright.nn.diffusion import (
    Clamp,
    SinusoidalEmbedding,
    cosine_schedule,
    q_sample,
    sample_ddim,
    sampling_times,
)
from posewright.nn.mirror import mirrored
from posewright.nn.physical_guidance import guidance_of
from posewright.nn.sampler_options import check_sampler
from posewright.nn.spatiotemporal import AlternatingTransformer, check_window, position
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="StarPose: 3D Human Pose Estimation via Spatial-Temporal Autoregressive Diffusion",
    venue="IEEE TCSVT 2025",
    url="https://arxiv.org/abs/2508.02056",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=2, output_frames="all")
REACH = 1.1
"""States and estimates are clamped to so many metres."""


@dataclass(frozen=True)
class Config:
    """Sizes; none of them is the paper's."""

    num_frame: int = 243
    """Frames of a window."""
    num_joints: int = 17
    in_chans: int = 2
    embed_dim_ratio: int = 512
    """Width of a token."""
    depth: int = 7
    """Pairs of a spatial and a temporal block."""
    num_heads: int = 8
    mlp_ratio: float = 2.0
    drop_path_rate: float = 0.1
    segment: int = 27
    """Frames that are sampled together; they divide the window."""
    history: int = 27
    """Frames before a segment that it is told."""
    history_noise: float = 0.02
    """Metres, of the true poses that training tells in place of predicted ones."""
    timestep: int = 1000
    """Steps of the diffusion."""
    num_proposals: int = 5
    """H, hypotheses."""
    sampling_timesteps: int = 5
    """K, iterations of the sampler for each segment."""
    eta: float = 1.0
    """Randomness of the sampler: 0 deterministic."""
    guidance_steps: int = 2
    """Of the physical guidance, in each iteration; 0: none."""
    guidance_bones: float = 0.2
    guidance_motion: float = 0.02
    test_time_augmentation: bool = True
    """Average with the mirrored clip inside each iteration."""
    seed: int = 0
    """Of the sampler's noise."""
    aggregation: Literal["jpma", "mean"] = "jpma"
    """How one pose is made of the hypotheses where a camera and keypoints are at hand; `forward` gives the mean."""

    def __post_init__(self) -> None:
        check_sampler(self)
        if self.segment < 1 or self.num_frame % self.segment:
            raise InputError(
                f"starpose: segments of {self.segment} frames in a window of {self.num_frame}, expected a divisor of it"
            )
        if self.history < 0 or self.history_noise < 0:
            raise InputError(
                f"starpose: history of {self.history} frames, noise {self.history_noise:g}: expected 0 or more"
            )

    @property
    def frames(self) -> int:
        """Frames of a window."""
        return self.num_frame

    @property
    def segments(self) -> int:
        """Parts of a window."""
        return self.num_frame // self.segment


class HistoricalPoseIntegration(nn.Module):
    """What a segment is told of the window's keypoints and of the poses before it (HPIM)."""

    def __init__(self, config: Config):
        super().__init__()
        c, dim = config, config.embed_dim_ratio
        self.embed = nn.Linear(c.in_chans + 4, dim)
        self.over_joints = TransformerBlock(dim, c.num_heads, round(dim * c.mlp_ratio))
        self.norm, self.norm_queries = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = CrossAttention(dim, c.num_heads)

    def forward(
        self,
        tokens: Float[Tensor, "B S J D"],
        keypoints: Float[Tensor, "B N J C"],
        past: Float[Tensor, "B N J 4"],
        places: Float[Tensor, "1 N J D"],
    ) -> Float[Tensor, "B S J D"]:
        """Tokens of a segment, told.

        Args:
            tokens: of the segment, with their places in the window.
            keypoints: of the whole window.
            past: poses of the frames that are known and 1, and 0 elsewhere.
            places: position embeddings of the window's frames and joints.
        """
        seen = self.norm(self.over_joints(self.embed(torch.cat([keypoints, past], -1)) + places))
        queries, memory = (x.transpose(1, 2) for x in (self.norm_queries(tokens), seen))
        return tokens + self.attention(queries, memory, memory).transpose(1, 2)


class Denoiser(nn.Module):
    """Noisy poses of a segment to clean ones."""

    def __init__(self, config: Config):
        super().__init__()
        c, dim = config, config.embed_dim_ratio
        self.embed = nn.Linear(c.in_chans + 3, dim)
        self.spatial_position = position(1, 1, c.num_joints, dim)
        self.temporal_position = position(1, c.num_frame, 1, dim)
        self.step_embedding = nn.Sequential(
            SinusoidalEmbedding(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )
        self.history = HistoricalPoseIntegration(c)
        drop_paths = rising(c.drop_path_rate, c.depth)
        self.layers = AlternatingTransformer(c.depth, dim, c.num_heads, round(dim * c.mlp_ratio), drop_paths)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 3))

    def forward(
        self,
        keypoints: Float[Tensor, "B N J C"],
        noisy: Float[Tensor, "B S J 3"],
        past: Float[Tensor, "B N J 4"],
        steps: Int[Tensor, " B"],
        first: Int[Tensor, " B"],
    ) -> Float[Tensor, "B S J 3"]:
        """Clean poses of the frames that begin at `first` of each window."""
        frames = first[:, None] + torch.arange(noisy.shape[1], device=first.device)
        places = self.temporal_position[0, frames] + self.spatial_position
        own = keypoints.gather(1, frames[..., None, None].expand(-1, -1, *keypoints.shape[2:]))
        tokens = self.embed(torch.cat([own, noisy], -1)) + places + self.step_embedding(steps)[:, None, None]
        window = self.temporal_position + self.spatial_position
        return self.head(self.layers(self.history(tokens, keypoints, past, window)))


class Model(nn.Module):
    """Keypoints of a window to hypotheses of the poses of all its frames, segment after segment."""

    start_noise: Tensor
    step_noise: Tensor

    def __init__(self, config: Config):
        super().__init__()
        c = config
        self.config = c
        self.denoiser = Denoiser(c)
        self.schedule = cosine_schedule(c.timestep)
        self.times = sampling_times(c.timestep, c.sampling_timesteps)
        self.guidance = guidance_of(H36M_17, c.guidance_steps, c.guidance_bones, c.guidance_motion)
        self.mirror = H36M_17.mirror.tolist()
        generator = torch.Generator("cpu").manual_seed(c.seed)
        shape = (c.sampling_timesteps, 1, c.num_proposals, c.num_frame, c.num_joints, 3)
        noise = torch.randn(shape, generator=generator, device="cpu")
        self.register_buffer("start_noise", noise[0], persistent=False)
        self.register_buffer("step_noise", noise[1:], persistent=False)

    @property
    def sequences_per_window(self) -> int:
        """Sequences that the denoiser sees at once for each window."""
        return self.config.num_proposals * (2 if self.config.test_time_augmentation else 1)

    def forward(self, keypoints: Float[Tensor, "B N J C"]) -> Float[Tensor, "B N J 3"]:
        return self.hypotheses(keypoints).mean(2)

    def hypotheses(
        self, keypoints: Float[Tensor, "B N J C"], start: Float[Tensor, "#B H N J 3"] | None = None
    ) -> Float[Tensor, "B N H J 3"]:
        """Return all hypotheses, in metres; `start` is standard normal noise, None: that of `Config.seed`.

        Raises:
            ValueError: keypoints of another window or joint set.
        """
        c = self.config
        check_window(keypoints, c.num_frame, c.num_joints, c.in_chans)
        start = (self.start_noise if start is None else start).expand(len(keypoints), -1, -1, -1, -1)
        B, H = start.shape[:2]
        every = keypoints[:, None].expand(-1, H, -1, -1, -1).flatten(0, 1)
        found: list[Tensor] = []
        for k in range(c.segments):
            part = slice(k * c.segment, (k + 1) * c.segment)
            between = self.step_noise[..., part, :, :].expand(-1, B, H, -1, -1, -1).flatten(1, 2)
            found.append(self._segment(every, found, k, start[:, :, part].flatten(0, 1), between))
        return torch.cat(found, 1).unflatten(0, (B, H)).transpose(1, 2)

    def _segment(
        self, keypoints: Tensor, found: list[Tensor], k: int, start: Tensor, between: Tensor
    ) -> Tensor:
        """Sample the poses (BH, S, J, 3) of segment k, the poses of all before it known."""
        c = self.config
        known = torch.cat(found, 1)[:, -c.history :] if found and c.history else None
        past = self._past(keypoints, known, k * c.segment)
        clamp = Clamp(state=REACH, x0=REACH)

        def denoise(state: Tensor, step: int) -> Tensor:
            return self.guidance(self.denoise(keypoints, state, past, step, k * c.segment), known)

        return sample_ddim(
            denoise, start, self.schedule, self.times, step_noise=between, eta=c.eta, clamp=clamp
        )[-1]

    def _past(self, keypoints: Tensor, known: Tensor | None, first: int) -> Tensor:
        """(B, N, J, 4): the poses that are known, at their places in the window, and where they are."""
        B, N, J = keypoints.shape[:3]
        if known is None:
            return keypoints.new_zeros(B, N, J, 4)
        marked = torch.cat([known, torch.ones_like(known[..., :1])], -1)
        before, after = first - known.shape[1], N - first
        return torch.cat([marked.new_zeros(B, before, J, 4), marked, marked.new_zeros(B, after, J, 4)], 1)

    def denoise(
        self, keypoints: Tensor, noisy: Float[Tensor, "B S J 3"], past: Tensor, step: int, first: int
    ) -> Float[Tensor, "B S J 3"]:
        """Clean poses of a segment, averaged with the mirrored ones if so configured."""
        steps, places = (torch.full((len(noisy),), n, device=noisy.device) for n in (step, first))
        poses = self.denoiser(keypoints, noisy, past, steps, places)
        if not self.config.test_time_augmentation:
            return poses
        others = (mirrored(x, self.mirror) for x in (keypoints, noisy, past))
        return (poses + mirrored(self.denoiser(*others, steps, places), self.mirror)) / 2

    def denoised(
        self, keypoints: Float[Tensor, "B N J C"], joints: Float[Tensor, "B N J 3"]
    ) -> Float[Tensor, "B N J 3"]:
        """Answer of a training step: all segments, noised to a random step, told the blurred truth before them."""
        c = self.config
        check_window(keypoints, c.num_frame, c.num_joints, c.in_chans)
        B, G = len(joints), c.segments
        truth = joints.unflatten(1, (G, c.segment)).flatten(0, 1)
        steps = torch.randint(c.timestep, (B * G,))
        noisy = q_sample(truth, torch.randn_like(truth), self.schedule.levels[steps]).clamp(-REACH, REACH)
        first = c.segment * torch.arange(G, device=joints.device).repeat(B)
        blurred = joints + c.history_noise * torch.randn_like(joints)
        frame = torch.arange(c.num_frame, device=joints.device)
        told = (frame < first[:, None]) & (frame >= first[:, None] - c.history)
        past = torch.cat([blurred, torch.ones_like(blurred[..., :1])], -1).repeat_interleave(G, 0)
        past = past * told[..., None, None].to(past.dtype)
        poses = self.denoiser(keypoints.repeat_interleave(G, 0), noisy, past, steps.to(joints.device), first)
        return poses.unflatten(0, (B, G)).flatten(1, 2)


def load_official(state_dict: Mapping, **kwargs) -> Model:
    """Load a state dict of this file's own model: there is no official one. `kwargs` are fields of `Config`."""
    return load_strictly(Model(Config(**kwargs)), state_dict)


VARIANTS = {"243": Config(), "81": Config(81), "27": Config(27, segment=9, history=9)}
"""Sizes of this file; the paper's are not known."""
PARAMETERS: dict[str, int] = {}
WEIGHTS: dict[str, Weights] = {}
"""No checkpoints are published."""
