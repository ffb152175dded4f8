"""DiffPose (multi-hypothesis): poses by diffusion, told where each keypoint may be by candidates from its heat map.

Holmquist, Wandt, "DiffPose: Multi-hypothesis Human Pose Estimation using Diffusion Models", ICCV 2023,
https://arxiv.org/abs/2211.16487. Official code: https://github.com/bastianwandt/DiffPose (MIT). For each hypothesis,
candidates of each joint are drawn from its heat map, the peak among them; they are embedded, weighted by the heat map's
value there, summed, and go through a transformer over the joints (embedding transformer). A residual network, told that
condition, predicts the noise of a pose; ancestral sampling goes through all steps. No pose is made of the hypotheses in
the paper; `forward` and `pw.lift` take their mean (deployable). The paper's table takes the best by the truth (oracle).

Heat maps are read by `hypotheses_from_heatmaps`. Detectors whose maps nobody kept are served too: `hypotheses` draws
the candidates from Gaussians around the keypoints, with covariances that are given or follow from the confidence
(`nn.keypoint_distributions.spread_of_confidence`). The map that stands for them is that of the published detector: a
square around the person, `CROP` times the longer side of the box of the keypoints; a peak of height 1 and 2 of 64
pixels wide where the keypoint is certain, and wider, its mass unchanged, where it is not.

What else differs: noise and candidates are drawn once, from `Config.seed`, and every frame gets the same, so that a
clip has one answer and its hypotheses move with the person. Left out: the ablations that tell the network whole maps,
and dropping uncertain joints only.

Convention: keypoints (B, T, 17, 3), Human3.6M, screen units (x / w * 2 - 1, y / w * 2 - h / w) with their confidence;
heat maps (B, T, 16, h, w) in the order of `HEATMAP_JOINTS`; joints (B, T, 17, 3), the mean of the hypotheses, in
metres, camera axes, relative to the pelvis (the middle of the hips: the network gives the other 16); `hypotheses` gives
all, (B, T, H, 17, 3). Frames stand alone.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.core.weights import Paper, Weights
from posewright.nn.checkpoints import KeyTable, load_strictly, unwrap
from posewright.nn.diffusion import (
    Clamp,
    NoiseSchedule,
    SinusoidalEmbedding,
    cosine_schedule,
    q_sample,
    sample_ddpm,
)
from posewright.nn.diffusion_checkpoints import official_buffers, without_schedule
from posewright.nn.keypoint_distributions import check_heatmaps, inverse_cumulative, spread_of_confidence
from posewright.nn.post_norm import OFFICIAL_KEYS as BLOCK_KEYS
from posewright.nn.post_norm import PostNormBlock
from posewright.nn.sampler_options import check_sampler
from posewright.nn.spatiotemporal import check_window
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="DiffPose: Multi-hypothesis Human Pose Estimation using Diffusion Models",
    venue="ICCV 2023",
    url="https://arxiv.org/abs/2211.16487",
    code="https://github.com/bastianwandt/DiffPose",
    code_licence="MIT",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=3, output_frames="all")
DEAD = (r"\.bn[12]\.", r"conf_out\.")
"""The published network carries them and never uses them."""

HEATMAP_JOINTS = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "spine"),
    *("thorax", "head", "right_wrist", "right_elbow", "right_shoulder"),
    *("left_shoulder", "left_elbow", "left_wrist"),
)
"""Joints of the maps: MPII's order on Human3.6M's joints without the neck, as the published detector was trained."""
CROP = 1.25
PEAK = 2 * 2 / 64
"""Standard deviation of a certain keypoint's map: 2 of 64 pixels, where the map reaches from -1 to 1."""
REACH = 3.0
"""Estimates of the clean pose are clamped to this many metres."""


@dataclass(frozen=True)
class Config:
    """Sizes and settings as published (section 4 and the released configuration)."""

    num_samples: int = 32
    """Candidates of a joint, the peak among them."""
    condition_dim: int = 128
    """Of the condition, for each joint."""
    embedding_dim: int = 64
    """Of a coordinate."""
    positional_embedding: Literal["channel", "sin", "linear"] = "channel"
    """How a candidate's place is embedded: bumps, sines, or layers."""
    old_behaviour: bool = False
    """Sum the joints' conditions, instead of one layer for all joints side by side."""
    project_positional_embedding: bool = True
    without_transformer: bool = False
    without_argmax: bool = False
    """Draw all candidates, the peak not among them for certain."""
    without_posemb_scaling: bool = False
    """Do not weight candidates by the map's value."""
    dropout_joint_method: Literal["any"] | None = "any"
    """Hide joints while training."""
    dropout_prob: float = 0.01
    nhead: int = 4
    layers: int = 4
    feedforward: int = 512
    hidden: int = 1024
    """Width of the denoiser."""
    timesteps: int = 25
    """Steps of the diffusion, all of which are sampled."""
    scaling_3d_pose: float = 10.0
    """Metres are multiplied by it before noise is added."""
    objective: Literal["noise", "x0"] = "noise"
    """What the denoiser predicts."""
    num_proposals: int = 20
    """H, hypotheses; 200 in the published evaluation."""
    seed: int = 0
    """Of noise and candidates."""
    aggregation: Literal["jpma", "mean"] = "mean"
    """How one pose is made of the hypotheses where a camera and keypoints are at hand."""

    def __post_init__(self) -> None:
        check_sampler(self)
        if self.num_samples < 1:
            raise InputError(
                f"diffpose_multihyp: {self.num_samples} candidates (num_samples), expected at least 1"
            )
        if not self.scaling_3d_pose > 0:
            raise InputError(
                f"diffpose_multihyp: scaling_3d_pose is {self.scaling_3d_pose:g}, expected a positive number"
            )
        choices = {
            "positional_embedding": ("channel", "sin", "linear"),
            "dropout_joint_method": ("any", None),
            "objective": ("noise", "x0"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise InputError(
                    f"diffpose_multihyp: {name} is {getattr(self, name)!r}, expected {' or '.join(map(str, known))}"
                )

    @property
    def drawn(self) -> int:
        """Candidates that are drawn."""
        return self.num_samples - (0 if self.without_argmax else 1)

    @property
    def frames(self) -> int:
        """Frames of a window."""
        return 1


# --------------------------------------------------------------------------------------------- condition


class ChannelEmbedding(nn.Module):
    """A number from -1 to 1 as bumps: cos^2 of the distance to each of the centres, within half a period."""

    centers: Tensor

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("centers", torch.linspace(-1, 1, dim))
        self.frequency = math.pi * dim / 8

    def forward(self, x: Float[Tensor, "*B"]) -> Float[Tensor, "*B C"]:
        angle = (x[..., None] - self.centers) * self.frequency
        return torch.where(angle.abs() > math.pi / 2, 0.0, angle.cos().square())


class SineEmbedding(SinusoidalEmbedding):
    """A number as sines and cosines."""

    def forward(self, x: Float[Tensor, "*B"]) -> Float[Tensor, "*B C"]:
        return super().forward(x.flatten()).unflatten(0, x.shape)


def _linear_embedding(dim: int) -> nn.Sequential:
    """A place (x, y) through four layers."""
    widths = (2, 512, 1024, 512, 2 * dim)
    layers = [nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True)]
    return nn.Sequential(*(part for layer in layers[:-1] for part in (layer, nn.LeakyReLU())), layers[-1])


class Condition(nn.Module):
    """Candidates of the joints to the condition of the denoiser (embedding transformer, figure 3)."""

    def __init__(self, config: Config):
        super().__init__()
        c, J, dim = config, len(HEATMAP_JOINTS), 2 * config.embedding_dim
        self.config = c
        self.pos_proj = nn.Linear(dim, dim) if c.project_positional_embedding else None
        embeddings = {"channel": ChannelEmbedding, "sin": SineEmbedding, "linear": _linear_embedding}
        self.pos_encoder = embeddings[c.positional_embedding](c.embedding_dim)
        self.joint_embedding = nn.Embedding(J, dim)
        blocks = 0 if c.without_transformer else c.layers
        self.transformer = nn.ModuleList(
            PostNormBlock(dim, c.nhead, c.feedforward, activation="relu") for _ in range(blocks)
        )
        self.conf_out = nn.Linear(dim, 1)
        self.pos_out = nn.Linear(dim * (1 if c.old_behaviour else J), J * c.condition_dim)

    def forward(
        self, samples: Float[Tensor, "N S J 2"], likelihoods: Float[Tensor, "N S J"]
    ) -> Float[Tensor, "N D"]:
        """Return the condition.

        Args:
            samples: candidates, from -1 to 1 over the map.
            likelihoods: the map's values there.
        """
        c = self.config
        embedded = self.pos_encoder(samples)
        if c.positional_embedding != "linear":  # x and y by themselves, side by side
            embedded = embedded.flatten(-2)
        if not c.without_posemb_scaling:
            embedded = embedded * likelihoods[..., None]
        x = embedded.sum(1)
        if self.training and c.dropout_joint_method == "any":
            x = x * (torch.rand_like(x[..., :1]) > c.dropout_prob)
        if self.pos_proj is not None:  # of each candidate, so the offset counts for each
            x = F.linear(x, self.pos_proj.weight) + samples.shape[1] * self.pos_proj.bias
        x = x + self.joint_embedding.weight
        for block in self.transformer:
            x = block(x)
        return self.pos_out(x).sum(1) if c.old_behaviour else self.pos_out(x.flatten(1))


# ---------------------------------------------------------------------------------------------- denoiser


class ResidualBlock(nn.Module):
    """Two layers around a shortcut, with batch norms that are never used."""

    def __init__(self, dim: int):
        super().__init__()
        self.l1, self.l2 = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.bn1, self.bn2 = nn.BatchNorm1d(dim), nn.BatchNorm1d(dim)

    def forward(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        return x + F.leaky_relu(self.l2(F.leaky_relu(self.l1(x))))


class Denoiser(nn.Module):
    """Noisy pose, step and condition side by side, to the noise; and the way back through all steps."""

    def __init__(self, config: Config, state: int = 48, condition: int | None = None):
        super().__init__()
        c = config
        condition = len(HEATMAP_JOINTS) * c.condition_dim if condition is None else condition
        self.config = c
        self.schedule: NoiseSchedule = cosine_schedule(c.timesteps)
        self.upscale = nn.Linear(state + 1 + condition, c.hidden)
        self.res_pose1, self.res_pose2 = ResidualBlock(c.hidden), ResidualBlock(c.hidden)
        self.pose = nn.Linear(c.hidden, state)

    def forward(
        self, x: Float[Tensor, "N D"], steps: Int[Tensor, " N"], condition: Float[Tensor, "N C"]
    ) -> Float[Tensor, "N D"]:
        """Predict the noise; the step enters as its plain number."""
        told = torch.cat([x, steps[:, None].to(x), condition], -1)
        return self.pose(self.res_pose2(self.res_pose1(self.upscale(told))))

    def sample(
        self,
        condition: Float[Tensor, "N C"],
        start: Float[Tensor, "N D"],
        step_noise: Float[Tensor, "..."],
    ) -> Float[Tensor, "N D"]:
        """Sample states, in metres times the scale, through all steps of the schedule.

        Args:
            condition: of each state.
            start: standard normal.
            step_noise: (steps - 1, N or 1, D) standard normal, for each step but the last; zeros follow the means.
        """

        def denoise(x: Tensor, step: int) -> Tensor:
            return self(x, torch.full((len(x),), step, device=x.device), condition)

        reach = REACH * self.config.scaling_3d_pose
        return sample_ddpm(
            denoise,
            start,
            self.schedule,
            step_noise=step_noise,
            parametrisation=self.config.objective,
            clamp=Clamp(x0=reach),
        )


# ------------------------------------------------------------------------------------------------- model


class Model(nn.Module):
    """Keypoints with their uncertainty, or heat maps, to hypotheses of the pose of each frame (figure 2)."""

    start_noise: Tensor
    step_noise: Tensor
    candidate_noise: Tensor
    candidate_uniform: Tensor

    def __init__(self, config: Config):
        super().__init__()
        c, J = config, len(HEATMAP_JOINTS)
        self.config = c
        self.condition, self.denoiser = Condition(c), Denoiser(c)
        self.read = H36M_17.indices(*HEATMAP_JOINTS)
        generator = torch.Generator("cpu").manual_seed(c.seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, device="cpu")

        noise = normal(c.timesteps, 1, c.num_proposals, 3 * J)
        uniform = torch.rand((c.num_proposals, J, c.drawn), generator=generator, device="cpu")
        self.register_buffer("start_noise", noise[0], persistent=False)
        self.register_buffer("step_noise", noise[1:], persistent=False)
        self.register_buffer("candidate_noise", normal(c.num_proposals, c.drawn, J, 2), persistent=False)
        self.register_buffer("candidate_uniform", uniform, persistent=False)

    @property
    def sequences_per_window(self) -> int:
        """How much more room a frame takes than its pose: candidates of all hypotheses are embedded at once."""
        return self.config.num_proposals * max(1, self.config.num_samples // 8)

    def forward(self, keypoints: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T J 3"]:
        return self.hypotheses(keypoints).mean(2)

    def hypotheses(
        self, keypoints: Float[Tensor, "B T J C"], covariance: Float[Tensor, "B T J 2 2"] | None = None
    ) -> Float[Tensor, "B T H J 3"]:
        """Return all hypotheses, metres.

        Args:
            keypoints: as for `forward`; with `covariance`, their confidence may be left out.
            covariance: of each keypoint, screen units squared; None: from the confidence.

        Raises:
            InputError: neither confidence nor covariance, or covariances of another shape or not positive.
        """
        mean, root = self.gaussians(keypoints, covariance)
        samples, values = gaussian_candidates(
            mean[:, :, None], root[:, :, None], self.candidate_noise, not self.config.without_argmax
        )
        return self._sampled(samples, values)

    def hypotheses_from_heatmaps(self, heatmaps: Float[Tensor, "B T J h w"]) -> Float[Tensor, "B T H J2 3"]:
        """Return all hypotheses, metres, as published: candidates come from heat maps of a square crop of the person.

        Raises:
            InputError: other maps than those of `HEATMAP_JOINTS`, or values that are not numbers.
        """
        check_heatmaps(heatmaps, len(HEATMAP_JOINTS))
        if heatmaps.ndim != 5:
            raise InputError(
                f"diffpose_multihyp: heat maps have shape {tuple(heatmaps.shape)}, expected (B, T, 16, height, width)"
            )
        maps = heatmaps.flatten(0, 1)[:, None].expand(-1, self.config.num_proposals, -1, -1, -1)
        samples, values = heatmap_candidates(maps, self.candidate_uniform, not self.config.without_argmax)
        frames = heatmaps.shape[:2]
        return self._sampled(samples.unflatten(0, frames), values.unflatten(0, frames))

    def gaussians(
        self, keypoints: Float[Tensor, "B T J C"], covariance: Float[Tensor, "B T J 2 2"] | None = None
    ) -> tuple[Float[Tensor, "B T J2 2"], Float[Tensor, "B T J2 2 2"]]:
        """Means of the keypoints, and lower triangular roots of their covariances, on a map of the person.

        From -1 to 1 over the map, in the order of `HEATMAP_JOINTS`. The peak's own width is part of the covariance.
        """
        if covariance is None and keypoints.ndim == 4 and keypoints.shape[-1] == 2:
            raise InputError(
                "diffpose_multihyp: keypoints without confidence and no covariance, expected one of them: candidates "
                "are drawn where the keypoints may be"
            )
        channels = keypoints.shape[-1] if covariance is not None else 3
        check_window(keypoints, keypoints.shape[1] if keypoints.ndim > 1 else 1, len(H36M_17), channels)
        screen = keypoints[..., :2]
        low, high = screen.amin(-2, keepdim=True), screen.amax(-2, keepdim=True)
        half = CROP / 2 * (high - low).amax(-1, keepdim=True).clamp_min(1e-6)
        mean = (screen - (low + high) / 2) / half
        if covariance is None:
            spread = spread_of_confidence(screen, keypoints[..., 2])[..., None] / half
            root = (spread.square() + PEAK**2).sqrt()[..., None] * torch.eye(2).to(mean)
        else:
            root = _roots(covariance, half, screen)
        return mean[..., self.read, :], root[..., self.read, :, :]

    def training_loss(
        self, keypoints: Float[Tensor, "B T J C"], joints: Float[Tensor, "B T J 3"]
    ) -> Float[Tensor, ""]:
        """Squared error of what the denoiser predicts, at a random step, with candidates drawn anew."""
        c = self.config
        mean, root = (x.flatten(0, 1) for x in self.gaussians(keypoints))
        drawn = torch.randn(len(mean), c.drawn, len(HEATMAP_JOINTS), 2).to(mean)
        condition = self.condition(*gaussian_candidates(mean, root, drawn, not c.without_argmax))
        clean = c.scaling_3d_pose * states_of(joints).flatten(0, 1)
        steps = torch.randint(c.timesteps, (len(clean),))
        noise = torch.randn_like(clean)
        noisy = q_sample(clean, noise, self.denoiser.schedule.levels[steps])
        predicted = self.denoiser(noisy, steps.to(clean.device), condition)
        return (predicted - (noise if c.objective == "noise" else clean)).square().mean()

    def _sampled(
        self, samples: Float[Tensor, "B T H S J 2"], values: Float[Tensor, "B T H S J"]
    ) -> Float[Tensor, "B T H J2 3"]:
        """Poses told candidates."""
        several = samples.shape[:3]
        condition = self.condition(samples.flatten(0, 2), values.flatten(0, 2))
        frames = several[0] * several[1]
        start = self.start_noise.expand(frames, -1, -1).flatten(0, 1)
        between = self.step_noise.expand(-1, frames, -1, -1).flatten(1, 2)
        states = self.denoiser.sample(condition, start, between) / self.config.scaling_3d_pose
        return joints_of(states).unflatten(0, several)


# -------------------------------------------------------------------------------- candidates and poses


def gaussian_candidates(
    mean: Float[Tensor, "*B J 2"],
    root: Float[Tensor, "*B J 2 2"],
    noise: Float[Tensor, "*#B S J 2"],
    peak: bool = True,
) -> tuple[Float[Tensor, "*B S J 2"], Float[Tensor, "*B S J"]]:
    """Draw candidates from Gaussians, and return their places and the values that a map would have there.

    Args:
        mean: of each joint.
        root: lower triangular root of the covariance.
        noise: standard normal, for the candidates that are drawn.
        peak: put the mean first.
    """
    if peak:
        noise = torch.cat([torch.zeros_like(noise[..., :1, :, :]), noise], -3)
    mean, root = mean[..., None, :, :], root[..., None, :, :, :]
    places = mean + (root @ noise[..., None])[..., 0]
    height = PEAK**2 / root.diagonal(dim1=-2, dim2=-1).prod(-1)
    return places, height * torch.exp(-noise.square().sum(-1) / 2)


def heatmap_candidates(
    heatmaps: Float[Tensor, "N H J h w"], uniform: Float[Tensor, "H J S"], peak: bool = True
) -> tuple[Float[Tensor, "N H S J 2"], Float[Tensor, "N H S J"]]:
    """Draw candidates from heat maps, negative values as zero, and return their places and the maps' values there.

    Args:
        heatmaps: of each hypothesis.
        uniform: numbers from 0 to 1, for the candidates that are drawn.
        peak: put the largest value's place first.
    """
    flat, clipped = heatmaps.flatten(-2), heatmaps.flatten(-2).clamp_min(0)
    index = inverse_cumulative(clipped, uniform)
    values = clipped.gather(-1, index)
    if peak:
        largest, place = flat.max(-1, keepdim=True)
        index, values = torch.cat([place, index], -1), torch.cat([largest, values], -1)
    return on_map(index, heatmaps.shape[-2:]).transpose(-2, -3), values.transpose(-1, -2)


def on_map(index: Int[Tensor, "*B"], size: tuple[int, ...]) -> Float[Tensor, "*B 2"]:
    """Pixels, counted row by row, as places from -1 (the first one) to 1 (one beyond the last)."""
    h, w = size
    return torch.stack([2 * (index % w) / w - 1, 2 * (index // w) / h - 1], -1)


def states_of(joints: Float[Tensor, "*B J 3"]) -> Float[Tensor, "*B D"]:
    """What is diffused: joints but the root about their mean, y up, z towards the camera; all x, all y, all z."""
    others = joints[..., 1:, :] * joints.new_tensor([1.0, -1.0, -1.0])
    return (others - others.mean(-2, keepdim=True)).transpose(-1, -2).flatten(-2)


def joints_of(states: Float[Tensor, "*B D"]) -> Float[Tensor, "*B J 3"]:
    """Joints relative to the pelvis, camera axes; the pelvis is the middle of the hips, the first and the fourth."""
    others = states.unflatten(-1, (3, -1)).transpose(-1, -2) * states.new_tensor([1.0, -1.0, -1.0])
    pelvis = others[..., [0, 3], :].mean(-2, keepdim=True)
    return torch.cat([torch.zeros_like(pelvis), others - pelvis], -2)


def _roots(covariance: Tensor, half: Tensor, screen: Tensor) -> Tensor:
    """Lower triangular roots of the covariances on the map, the peak's own width among them."""
    if covariance.shape != (*screen.shape, 2):
        raise InputError(
            f"diffpose_multihyp: covariance has shape {tuple(covariance.shape)}, expected {(*screen.shape, 2)}: one "
            "2 x 2 matrix for each keypoint"
        )
    width = PEAK**2 * torch.eye(2).to(covariance)
    root, failed = torch.linalg.cholesky_ex(covariance / half[..., None].square() + width)
    if bool(failed.any()) or not bool(root.isfinite().all()):
        raise InputError(
            "diffpose_multihyp: covariances that are no covariances (not positive, or not numbers), expected symmetric "
            "matrices with eigenvalues from 0 on; a missing keypoint has a large one"
        )
    return root


# --------------------------------------------------------------------------------------------- checkpoints

CONDITION_KEYS: KeyTable = (
    (r"^transformer\.", "transformer.layers."),
    *BLOCK_KEYS,
)
OFFICIAL_KEYS: KeyTable = (
    (r"^denoiser\.", "denoise_fn."),
    (r"^condition\.transformer\.", "condition_emb.transformer.layers."),
    (r"^condition\.", "condition_emb."),
    *BLOCK_KEYS,
)
_RENAMED = {"pred_noise": "noise", "pred_x0": "x0"}
_NO_MATTER = ("sampleable", "loss_type", "normalization_method")


def load_official(
    state_dict: Mapping,
    num_joints: int = 16,
    cond_dim: int | None = None,
    beta_schedule: str = "cosine",
    noise_scale: float = 1.0,
    objective: str = "noise",
    **kwargs: Any,
) -> nn.Module:
    """Load a checkpoint of the official `GaussianDiffusion`, or of its denoiser or its condition alone.

    The published evaluation takes the weights under `model`, not the moving average under `ema`.

    Args:
        state_dict: bare or wrapped; a whole one holds the noise schedule too, which must be that of `timesteps`.
        num_joints: 16, the others than the root.
        cond_dim: numbers of the condition, of a denoiser that is loaded alone; None: as many as its weights take.
        beta_schedule: cosine, the only one that was published.
        noise_scale: 1, the only one that was published.
        objective: `pred_noise` or `pred_x0`.
        **kwargs: fields of `Config`.

    Raises:
        InputError: keys, sizes, schedule or options are not those of the arguments.
    """
    if num_joints != len(HEATMAP_JOINTS) or beta_schedule != "cosine" or noise_scale != 1:
        raise InputError(
            f"diffpose_multihyp: num_joints {num_joints}, beta_schedule {beta_schedule} and noise_scale "
            f"{noise_scale:g}, expected 16, cosine and 1: no other was published with weights"
        )
    given = {key: value for key, value in kwargs.items() if key not in _NO_MATTER}
    config = Config(**given, objective=_RENAMED.get(objective, objective))  # type: ignore[arg-type]
    state = unwrap(state_dict)
    if any(key.startswith("denoise_fn.") for key in state):
        model = Model(config)
        schedule = model.denoiser.schedule
        buffers = official_buffers(schedule) | {"p2_loss_weight": torch.ones_like(schedule.betas)}
        return load_strictly(model, without_schedule(state, buffers, "diffpose_multihyp"), OFFICIAL_KEYS)
    if any(key.startswith("upscale.") for key in state):
        state_size = 3 * len(HEATMAP_JOINTS)
        if cond_dim is None and "upscale.weight" in state:
            cond_dim = state["upscale.weight"].shape[-1] - state_size - 1
        return load_strictly(Denoiser(config, state_size, cond_dim), state)
    return load_strictly(Condition(config), state, CONDITION_KEYS)


VARIANTS = {"base": Config(), "base_200": Config(num_proposals=200)}
"""One size was published, with 200 hypotheses."""
PARAMETERS = {"base": 11_412_273, "base_200": 11_412_273}
"""Measured on the official classes; 8,321 of them are never used."""

_SEEDS = {
    42: (30.526, 46.116),
    2967: (30.618, 46.661),
    6173: (30.745, 46.808),
    5478: (30.964, 46.813),
    989: (31.028, 47.134),
}
WEIGHTS = {
    f"h36m_seed_{seed}": Weights(
        url="https://drive.google.com/drive/folders/1C182piD21B6fG5Aksl0ryT97zxQQdS0u (one folder per seed)",
        licence="none stated",
        trained_on=("Human3.6M, heat maps of an HRNet trained on it",),
        reported={"h36m_p2_pa_mpjpe_mm": plain, "h36m_ambiguous_pa_mpjpe_mm": hard},
    )
    for seed, (plain, hard) in _SEEDS.items()
}
