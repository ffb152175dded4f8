"""D3DP: hypotheses of the 3D poses of a clip by diffusion, and JPMA, which makes one pose of them.

Shan, Liu, Zhang, Wang, Han, Wang, Ma, Gao, "Diffusion-Based 3D Human Pose Estimation with Multi-Hypothesis
Aggregation", ICCV 2023, https://arxiv.org/abs/2303.11579. Official code: https://github.com/paTRICK-swk/D3DP
(MIT). The denoiser is MixSTE (Zhang et al., CVPR 2022), told the noisy poses and the diffusion step; it predicts the
clean poses, and DDIM with eta 1 goes from noise to them. JPMA is `metrics.hypotheses.jpma`: the paper gives it the
true root (an oracle), `pw.lift` the root estimated from the mean hypothesis (deployable).

What differs: noise is drawn once, from `Config.seed`, and every window gets the same, so that a clip has one answer;
the official code draws anew each time. The official code runs without mirroring for one step only; here for any.

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
from posewright.nn.attention import rising
from posewright.nn.checkpoints import KeyTable, load_strictly, official_arguments, unwrap
from posewright.nn.diffusion import (
    Clamp,
    NoiseSchedule,
    SinusoidalEmbedding,
    cosine_schedule,
    q_sample,
    sample_ddim,
    sampling_times,
)
from posewright.nn.spatiotemporal import OFFICIAL_KEYS as LAYER_KEYS
from posewright.nn.spatiotemporal import AlternatingTransformer, check_window, position
from posewright.skeletons.joint_sets import H36M_17, get
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="Diffusion-Based 3D Human Pose Estimation with Multi-Hypothesis Aggregation",
    venue="ICCV 2023",
    url="https://arxiv.org/abs/2303.11579",
    code="https://github.com/paTRICK-swk/D3DP",
    code_licence="MIT",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=2, output_frames="all")
REACH = 1.1
"""States and estimates are clamped to this many times the scale."""


@dataclass(frozen=True)
class Config:
    """Sizes as in section 4.2."""

    num_frame: int = 243
    """N."""
    num_joints: int = 17
    """J."""
    in_chans: int = 2
    """Of a keypoint; the noisy pose adds 3."""
    embed_dim_ratio: int = 512
    """Width of a token; the official code's `cs`."""
    depth: int = 8
    """Pairs of a spatial and a temporal block; `dep`."""
    num_heads: int = 8
    mlp_ratio: float = 2.0
    qkv_bias: bool = True
    qk_scale: float | None = None
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    drop_path_rate: float = 0.1
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
        if self.num_proposals < 1:
            raise InputError(f"d3dp: {self.num_proposals} hypotheses (num_proposals), expected at least 1")
        if not self.scale > 0:
            raise InputError(f"d3dp: scale is {self.scale:g}, expected a positive number")
        if self.aggregation not in ("jpma", "mean"):
            raise InputError(f"d3dp: aggregation is {self.aggregation!r}, expected jpma or mean")
        if not 0 <= self.eta <= 1:
            raise InputError(f"d3dp: eta is {self.eta:g}, expected 0 to 1")

    @property
    def frames(self) -> int:
        """Frames of a window."""
        return self.num_frame


def lifting(config: Config) -> Lifting:
    """Conventions of one configuration."""
    return Lifting(
        get(config.keypoint_skeleton), get(config.joint_skeleton), config.in_chans, output_frames="all"
    )


class Denoiser(nn.Module):
    """Noisy poses, keypoints and diffusion step to clean poses: MixSTE with a step embedding (figure 3)."""

    def __init__(self, config: Config):
        super().__init__()
        c, dim = config, config.embed_dim_ratio
        self.embed = nn.Linear(c.in_chans + 3, dim)
        self.spatial_position, self.temporal_position = (
            position(1, c.num_joints, dim),
            position(1, c.num_frame, dim),
        )
        self.step_embedding = nn.Sequential(
            SinusoidalEmbedding(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )
        self.layers = AlternatingTransformer(
            c.depth,
            dim,
            c.num_heads,
            round(dim * c.mlp_ratio),
            rising(c.drop_path_rate, c.depth),
            qkv_bias=c.qkv_bias,
            scale=c.qk_scale,
            dropout=c.drop_rate,
            attention_dropout=c.attn_drop_rate,
        )
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 3))

    def forward(
        self,
        keypoints: Float[Tensor, "B T J C"],
        noisy: Float[Tensor, "B H T J 3"],
        steps: Int[Tensor, " B"],
    ) -> Float[Tensor, "B H T J 3"]:
        B, H = noisy.shape[:2]
        conditioned = torch.cat([keypoints[:, None].expand(-1, H, -1, -1, -1), noisy], -1)
        step = self.step_embedding(steps)[:, None].expand(-1, H, -1).flatten(0, 1)
        x = self.embed(conditioned.flatten(0, 1)) + step[:, None, None]
        x = self.layers(x, self.spatial_position, self.temporal_position)
        return self.head(x).unflatten(0, (B, H))


class Model(nn.Module):
    """Keypoints of a window to hypotheses of the poses of all its frames (figure 2)."""

    start_noise: Tensor
    step_noise: Tensor

    def __init__(self, config: Config):
        super().__init__()
        c = config
        self.config = c
        self.denoiser = Denoiser(c)
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

    def hypotheses(self, keypoints: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T H J 3"]:
        """Return all hypotheses after the last iteration, in metres."""
        return self.sample(keypoints)[:, -1].transpose(1, 2)

    def sample(
        self,
        keypoints: Float[Tensor, "B T J C"],
        start: Float[Tensor, "#B H T J 3"] | None = None,
        step_noise: Float[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "B K H T J 3"]:
        """Run the sampler (section 3.2) and return the clean poses after each of its iterations, in metres.

        Args:
            keypoints: as for `forward`.
            start: standard normal noise to begin with; None: that of `Config.seed`. It decides how many hypotheses.
            step_noise: (K - 1, B or 1, H, T, J, 3) standard normal, added after each iteration but the last; None: that
                of `Config.seed`.

        Raises:
            ValueError: keypoints of another window or joint set.
        """
        c = self.config
        check_window(keypoints, c.num_frame, c.num_joints, c.in_chans)
        start = self.start_noise if start is None else start
        steps_noise = self.step_noise if step_noise is None else step_noise
        estimates = sample_ddim(
            lambda x, step: c.scale * self.denoise(keypoints, x / c.scale, step),
            start.expand(len(keypoints), -1, -1, -1, -1),
            self.schedule,
            self.times,
            step_noise=steps_noise,
            eta=c.eta,
            clamp=Clamp(state=REACH * c.scale, x0=REACH * c.scale),
        )
        return estimates.transpose(0, 1) / c.scale

    def denoise(
        self, keypoints: Float[Tensor, "B T J C"], noisy: Float[Tensor, "B H T J 3"], step: int
    ) -> Float[Tensor, "B H T J 3"]:
        """Clean poses, averaged with those of the mirrored clip and mirrored noisy poses if so configured, metres."""
        steps = torch.full((len(keypoints),), step, device=keypoints.device)
        joints = self.denoiser(keypoints, noisy, steps)
        if not self.config.test_time_augmentation:
            return joints
        other = self.denoiser(
            mirrored(keypoints, self.keypoint_mirror), mirrored(noisy, self.joint_mirror), steps
        )
        return (joints + mirrored(other, self.joint_mirror)) / 2

    def denoised(
        self, keypoints: Float[Tensor, "B T J C"], joints: Float[Tensor, "B T J 3"]
    ) -> Float[Tensor, "B T J 3"]:
        """Answer of a training step (section 3.1): true poses, noised to a random step of the diffusion, denoised."""
        c = self.config
        check_window(keypoints, c.num_frame, c.num_joints, c.in_chans)
        steps = torch.randint(c.timestep, (len(joints),))
        noisy = q_sample(c.scale * joints, torch.randn_like(joints), self.schedule.levels[steps])
        seen = noisy.clamp(-REACH * c.scale, REACH * c.scale) / c.scale
        return self.denoiser(keypoints, seen[:, None], steps.to(joints.device))[:, 0]


def mirrored(points: Float[Tensor, "*B J C"], order: list[int]) -> Float[Tensor, "*B J C"]:
    """Mirror points: x negated, left and right exchanged."""
    swapped = points[..., order, :]
    return torch.cat([-swapped[..., :1], swapped[..., 1:]], -1)


def project_human36m(points: Float[Tensor, "*B N 3"], camera: Float[Tensor, " 9"]) -> Float[Tensor, "*B N 2"]:
    """Image points as the published evaluation does for JPMA, the camera model of VideoPose3D's Human3.6M files.

    x / z and y / z are cut to [-1, 1]; the tangential terms are x (p . x) + p r^2, which are not OpenCV's to the second
    order: those are `geometry.cameras.project`'s.

    Args:
        points: camera axes, metres.
        camera: focal length (2), centre (2), k1, k2, k3, p1, p2, screen units.
    """
    focal, centre, radial, tangential = camera.split((2, 2, 3, 2))
    flat = (points[..., :2] / points[..., 2:]).clamp(-1, 1)
    r2 = flat.square().sum(-1, keepdim=True)
    bent = 1 + (radial * torch.cat([r2, r2**2, r2**3], -1)).sum(-1, keepdim=True)
    skewed = (tangential * flat).sum(-1, keepdim=True)
    return focal * (flat * (bent + skewed) + tangential * r2) + centre


# --------------------------------------------------------------------------------------------- checkpoints

DENOISER_KEYS: KeyTable = (
    (r"^denoiser\.", ""),
    (r"^spatial_position$", "Spatial_pos_embed"),
    (r"^temporal_position$", "Temporal_pos_embed"),
    (r"^embed\.", "Spatial_patch_to_embedding."),
    (r"^step_embedding\.", "time_mlp."),
    *LAYER_KEYS,
)
"""Ours to those of the official denoiser, `MixSTE2`, by itself."""
OFFICIAL_KEYS: KeyTable = (*DENOISER_KEYS, (r"^", "pose_estimator."))
_ARGUMENTS = {
    "number_of_frames": "num_frame",
    "cs": "embed_dim_ratio",
    "dep": "depth",
    "timestep": "timestep",
    "scale": "scale",
    "test_time_augmentation": "test_time_augmentation",
}


def load_official(
    state_dict: Mapping,
    args: object = None,
    joints_left: list[int] | None = None,
    joints_right: list[int] | None = None,
    is_train: bool | None = None,
    **kwargs,
) -> Model:
    """Load a checkpoint of the official `D3DP`, or of its denoiser `MixSTE2` alone.

    Args:
        state_dict: bare or wrapped. One of `D3DP` holds the noise schedule too, which must be that of `timestep`.
        args: what `D3DP` takes, a dict or a namespace: `number_of_frames`, `cs`, `dep`, `timestep`, `scale`,
            `test_time_augmentation`.
        joints_left: of the poses; they must be those of `joint_skeleton`.
        joints_right: their counterparts, in the same order.
        is_train: no matter here.
        **kwargs: fields of `Config`, among them `num_proposals` and `sampling_timesteps`.

    Raises:
        InputError: keys, sizes, schedule or joints are not those of the arguments.
    """
    given = official_arguments(args, tuple(_ARGUMENTS))
    config = Config(**({_ARGUMENTS[name]: value for name, value in given.items()} | kwargs))
    _check_sides(config, joints_left, joints_right)
    state, model = unwrap(state_dict), Model(config)
    if not any(key.startswith("pose_estimator.") for key in state):
        return load_strictly(model, state, DENOISER_KEYS)
    return load_strictly(model, _without_schedule(state, model.schedule), OFFICIAL_KEYS)


def official_buffers(schedule: NoiseSchedule) -> dict[str, Float[Tensor, " S"]]:
    """What the official class keeps of the schedule beside its weights, float64, by its names."""
    beta, level = schedule.betas, schedule.levels
    before = torch.cat([torch.ones_like(level[:1]), level[:-1]])
    variance = beta * (1 - before) / (1 - level)
    return {
        "betas": beta,
        "alphas_cumprod": level,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": level.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - level).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - level).log(),
        "sqrt_recip_alphas_cumprod": level.rsqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / level - 1).sqrt(),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": variance.clamp(min=1e-20).log(),
        "posterior_mean_coef1": beta * before.sqrt() / (1 - level),
        "posterior_mean_coef2": (1 - before) * (1 - beta).sqrt() / (1 - level),
    }


def _without_schedule(state: Mapping[str, Tensor], schedule: NoiseSchedule) -> dict[str, Tensor]:
    """The weights, once the schedule beside them is found to be ours."""
    buffers = official_buffers(schedule)
    if missing := [key for key in buffers if key not in state]:
        raise InputError(f"not a whole checkpoint of d3dp: keys missing ({', '.join(missing)})")
    differ = [
        key
        for key, ours in buffers.items()
        if state[key].shape != ours.shape
        or not torch.allclose(state[key].double(), ours, rtol=1e-5, atol=1e-7)
    ]
    if differ:
        raise InputError(
            f"checkpoint of d3dp with another noise schedule ({len(state['betas'])} steps; {', '.join(differ)} "
            f"differ): expected the cosine schedule of {len(schedule)} steps; give the timestep it was trained with"
        )
    return {key: value for key, value in state.items() if key not in buffers}


def _check_sides(config: Config, left: list[int] | None, right: list[int] | None) -> None:
    """Refuse sides other than those of the joint set."""
    mirror = get(config.joint_skeleton).mirror
    lefts, rights = left or [], right or []
    if len(lefts) != len(rights) or any(mirror[a] != b for a, b in zip(lefts, rights, strict=True)):
        raise InputError(
            f"d3dp: joints_left {left} and joints_right {right} are not sides of {config.joint_skeleton}: name the "
            "joint set of the poses as `joint_skeleton`"
        )


VARIANTS = {
    "243": Config(),
    "243_coco": Config(keypoint_skeleton="coco_17"),
    "243_3dhp": Config(keypoint_skeleton="mpi_17", joint_skeleton="mpi_17"),
}
PARAMETERS = {"243": 34_835_459, "243_coco": 34_835_459, "243_3dhp": 34_835_459}
"""Measured on the official class, which is the same for all three."""

WEIGHTS = {
    "h36m_cpn_243": Weights(
        url="https://drive.google.com/file/d/1c48a2SxIkRxxqP5F1l3kpUSRWwHknYVK/view",
        licence="none stated",
        trained_on=("Human3.6M, CPN keypoints",),
        reported={
            "h36m_p1_j_agg_true_root_mpjpe_mm": 39.5,
            "h36m_p2_j_agg_true_root_pa_mpjpe_mm": 31.6,
            "h36m_p1_j_best_mpjpe_mm": 35.4,
        },
    ),
    "3dhp_gt_243": Weights(
        url="https://drive.google.com/file/d/1x78KEmAXJINPzJJbp7KP9RRjVZI5k-mt/view",
        licence="none stated",
        trained_on=("MPI-INF-3DHP, ground-truth keypoints",),
    ),
    "h36m_coco_243": Weights(
        url="https://drive.google.com/file/d/1S_mu5slB8_CHqkhB6t-NgFpiiWe6viiy/view",
        licence="none stated",
        trained_on=("Human3.6M, keypoints of COCO's joint set",),
    ),
}
