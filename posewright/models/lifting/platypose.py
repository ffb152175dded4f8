"""Platypose: hypotheses of a motion by a diffusion prior that never saw keypoints, pulled towards them while sampling.

Pierzchlewicz, da Silva, Cotton, Sinz, "Platypose: Calibrated Zero-Shot Multi-Hypothesis 3D Human Motion Estimation",
2024, https://arxiv.org/abs/2403.06164. Official code: https://github.com/sinzlab/platypose (no licence stated). The
prior is a motion diffusion model (MDM, Tevet et al., ICLR 2023) of root-relative joints that predicts the clean
motion; between two DDIM steps (eta 0) the estimate takes some steps down the energy of reprojection
(`nn.reprojection_guidance`), of one camera or several.

What differs: the published evaluation is given the true root, moves the detected keypoints so that their root is the
projected true one, and weighs joints by their true error in the picture: an oracle, which `sample` can be given
(`root`, `weights`). `forward` and `hypotheses` have keypoints and a focal length alone (deployable): the root is
estimated from each pose at every step. The published prior knows the world's axes (gravity), for which one camera of
unknown tilt is taken to be level (`axes="world"`); priors trained here know the camera's. Noise is drawn once, from
`Config.seed`. The checkpoint's skeleton encoder, which is never called, is kept so that it loads strictly.

Convention: keypoints (B, T, 17, 2), screen units (x / w * 2 - 1, y / w * 2 - h / w), T at most the frames the model was
made for, `focal` in the same unit; joints (B, T, 17, 3), the mean of the hypotheses, in metres, camera axes, relative
to the pelvis; `hypotheses` gives all, (B, T, H, 17, 3).
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.core.weights import Paper, Weights
from posewright.nn.checkpoints import KeyTable, load_strictly, unwrap
from posewright.nn.diffusion import cosine_schedule, q_sample, sample_ddim, signal_and_noise
from posewright.nn.post_norm import OFFICIAL_KEYS as BLOCK_KEYS
from posewright.nn.post_norm import Activation, PostNormBlock, sinusoidal_positions
from posewright.nn.reprojection_guidance import Cameras, Target, energy_and_gradient, guided, one_camera
from posewright.nn.sampler_options import check_sampler
from posewright.nn.spatiotemporal import check_window
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="Platypose: Calibrated Zero-Shot Multi-Hypothesis 3D Human Motion Estimation",
    venue="arXiv 2024",
    url="https://arxiv.org/abs/2403.06164",
    code="https://github.com/sinzlab/platypose",
    code_licence="none stated",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=2, output_frames="all", short_clips=True)
FOCAL = 2.29
"""Focal length of Human3.6M's cameras in screen units (1145 pixels of 1000), where none is known."""
POSITIONS = 5000
"""Rows of the table of positions, and so the longest motion and the largest step."""
UNUSED_HIDDEN = 1024
"""Width inside the skeleton encoder, whatever that of the prior is."""
LEVEL = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))
"""World axes (Z up) to those of a level camera that looks along Y."""


@dataclass(frozen=True)
class Config:
    """Sizes as in the official pipeline, sampling as in its Human3.6M experiment."""

    frames: int = 256
    """Longest motion of a window; the published checkpoints are of 1, 30 and 256 frames, with weights of one shape."""
    num_joints: int = 17
    in_chans: int = 2
    latent_dim: int = 512
    ff_size: int = 1024
    num_layers: int = 8
    num_heads: int = 4
    dropout: float = 0.1
    activation: Activation = "gelu"
    timestep: int = 50
    """T, steps of the diffusion."""
    sampling_timesteps: int = 20
    """Steps of the schedule that are visited at all, evenly spaced: those that the prior is trained on."""
    skip_timesteps: int = 4
    """Of these, the noisiest that the sampler leaves out."""
    num_proposals: int = 20
    """H, hypotheses; 200 in the paper."""
    eta: float = 0.0
    """Randomness of the sampler: 0 deterministic, as published."""
    energy_scale: float = 30.0
    """Rate of the descent; 0 samples from the prior alone."""
    num_substeps: int = 10
    """Steps of the descent in each step of the sampler."""
    axes: Literal["camera", "world"] = "camera"
    """What the prior's motions are in: the camera's axes, or a world's with Z up."""
    focal: float = FOCAL
    """Screen units, of the camera where none is given; `pw.lift` gives the picture's."""
    seed: int = 0
    """Of the sampler's noise."""
    aggregation: Literal["mean", "jpma"] = "mean"
    """How one pose is made of the hypotheses where a camera and keypoints are at hand; `forward` gives the mean."""

    def __post_init__(self) -> None:
        check_sampler(self)
        if not 1 <= self.sampling_timesteps <= self.timestep:
            raise InputError(
                f"platypose: {self.sampling_timesteps} sampling steps, expected 1 to {self.timestep}, the schedule's"
            )
        if not 0 <= self.skip_timesteps < self.sampling_timesteps:
            raise InputError(
                f"platypose: {self.skip_timesteps} steps skipped, expected 0 to {self.sampling_timesteps - 1}"
            )
        if not 1 <= self.frames < POSITIONS or self.timestep > POSITIONS:
            raise InputError(f"platypose: {self.frames} frames, expected 1 to {POSITIONS - 1}")
        if not self.focal > 0 or self.energy_scale < 0 or self.num_substeps < 0:
            raise InputError(
                f"platypose: focal {self.focal:g}, energy_scale {self.energy_scale:g} and num_substeps "
                f"{self.num_substeps}: expected a positive focal length and no negative numbers"
            )
        if self.axes not in ("camera", "world"):
            raise InputError(f"platypose: axes is {self.axes!r}, expected camera or world")


def visited_steps(total: int, count: int) -> tuple[int, ...]:
    """Steps of a schedule that are kept, rising: evenly spaced from 0 to `total` - 1, truncated to whole numbers."""
    return tuple(torch.linspace(0, total - 1, count, dtype=torch.float64, device="cpu").long().tolist())


class SkeletonEncoder(nn.Module):
    """What the official network has for a condition that it never gets: weights without use."""

    def __init__(self, config: Config):
        super().__init__()
        dim = config.latent_dim
        self.mean_query, self.deviation_query = (nn.Parameter(torch.zeros(1, dim)) for _ in range(2))
        self.embed = nn.Linear(3 * config.num_joints, dim)
        self.blocks = nn.ModuleList([PostNormBlock(dim, config.num_heads, UNUSED_HIDDEN)])


class Denoiser(nn.Module):
    """Noisy motion and diffusion step to the clean motion: an encoder over frames, the step its first token."""

    positions: Tensor

    def __init__(self, config: Config):
        super().__init__()
        c, dim = config, config.latent_dim
        self.embed = nn.Linear(3 * c.num_joints, dim)
        self.step_embedding = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.blocks = nn.ModuleList(
            PostNormBlock(dim, c.num_heads, c.ff_size, c.dropout, c.activation) for _ in range(c.num_layers)
        )
        self.dropout = nn.Dropout(c.dropout)
        self.skeleton_encoder = SkeletonEncoder(c)
        self.head = nn.Linear(dim, 3 * c.num_joints)
        rows = max(c.frames + 1, c.timestep)
        self.register_buffer("positions", sinusoidal_positions(rows, dim), persistent=False)

    def forward(self, noisy: Float[Tensor, "N T C"], steps: Int[Tensor, " N"]) -> Float[Tensor, "N T C"]:
        step = self.step_embedding(self.positions[steps])
        tokens = torch.cat([step[:, None], self.embed(noisy)], 1)
        tokens = self.dropout(tokens + self.positions[: tokens.shape[1]])
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens[:, 1:])


class Model(nn.Module):
    """The prior, and its guided sampler as a lifter."""

    start_noise: Tensor
    step_noise: Tensor
    to_camera: Tensor

    def __init__(self, config: Config):
        super().__init__()
        c = config
        self.config = c
        self.denoiser = Denoiser(c)
        self.schedule = cosine_schedule(c.timestep)
        self.visited = visited_steps(c.timestep, c.sampling_timesteps)
        kept = self.visited[: len(self.visited) - c.skip_timesteps]
        self.times = (*reversed(kept), -1)
        self.focal = c.focal
        turn = torch.tensor(LEVEL) if c.axes == "world" else torch.eye(3)
        self.register_buffer("to_camera", turn, persistent=False)
        generator = torch.Generator("cpu").manual_seed(c.seed)
        shape = (len(kept), 1, c.num_proposals, c.frames, 3 * c.num_joints)
        noise = torch.randn(shape if c.eta > 0 else (1, *shape[1:]), generator=generator, device="cpu")
        self.register_buffer("start_noise", noise[0], persistent=False)
        self.register_buffer("step_noise", noise[1:], persistent=False)

    @property
    def sequences_per_window(self) -> int:
        """Sequences that the denoiser sees at once for each window."""
        return self.config.num_proposals

    def filmed_with(self, focal: float) -> "Model":
        """The same model, weights shared, for keypoints of a camera with this focal length, screen units."""
        twin = copy.copy(self)
        twin.focal = float(focal)
        return twin

    def forward(self, keypoints: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T J 3"]:
        return self.hypotheses(keypoints).mean(2)

    def hypotheses(self, keypoints: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T H J 3"]:
        """Return all hypotheses in metres, camera axes, for one camera without distortion; its root is estimated."""
        c = self.config
        joints, channels = c.num_joints, c.in_chans
        check_window(
            keypoints, keypoints.shape[1] if c.frames == 1 else c.frames, joints, channels, shorter=True
        )
        windows = keypoints.flatten(0, 1)[:, None] if c.frames == 1 else keypoints
        cameras = one_camera(self.focal, self.to_camera)
        poses = self.sample(windows[None], cameras)[:, -1] @ self.to_camera.T
        poses = poses.transpose(1, 2)
        return poses[:, 0].unflatten(0, keypoints.shape[:2]) if c.frames == 1 else poses

    def sample(
        self,
        keypoints: Float[Tensor, "V B T J 2"],
        cameras: Cameras,
        weights: Float[Tensor, "V B T J 2"] | None = None,
        root: Float[Tensor, "B T 3"] | None = None,
        start: Float[Tensor, "#B H T C"] | None = None,
        step_noise: Float[Tensor, "..."] | None = None,
        record: list | None = None,
    ) -> Float[Tensor, "B K H T J 3"]:
        """Run the guided sampler and return the clean motions after each of its steps.

        Args:
            keypoints: of each camera, in its units; NaN is missing.
            cameras: where they stand, in the prior's axes.
            weights: of the energy; None: 1 where there is a keypoint.
            root: the pelvis in the prior's axes, metres: the true place as published (oracle). None: estimated from
                each pose (deployable).
            start: standard normal noise to begin with; None: that of `Config.seed`. It decides how many hypotheses.
            step_noise: (K - 1, B or 1, H, T, 3 J) for `eta` above 0; None: that of `Config.seed`.
            record: a list that gets, for each step, the estimate before the descent and the energy after it.

        Returns:
            Metres, the prior's axes, relative to the root; K steps.

        Raises:
            InputError: keypoints, cameras or root do not fit one another.
        """
        c = self.config
        target = self._target(keypoints, cameras, weights, root)
        B, T = keypoints.shape[1:3]
        noise = (self.start_noise[:, :, :T] if start is None else start).expand(B, -1, -1, -1)
        if step_noise is None and c.eta > 0:
            step_noise = self.step_noise[..., :T, :]

        def denoise(state: Tensor, step: int) -> Tensor:
            clean = self.denoise(state, step)
            poses = guided(clean.unflatten(-1, (-1, 3)), target, c.energy_scale, c.num_substeps)
            if record is not None:
                record.append((clean, energy_and_gradient(poses, target)[0]))
            return poses.flatten(-2)

        if c.skip_timesteps:
            _, sigma = signal_and_noise(self.schedule.level(self.times[0]), noise)
            noise = sigma * noise
        estimates = sample_ddim(denoise, noise, self.schedule, self.times, step_noise=step_noise, eta=c.eta)
        return estimates.transpose(0, 1).unflatten(-1, (-1, 3))

    def denoise(self, noisy: Float[Tensor, "B H T C"], step: int) -> Float[Tensor, "B H T C"]:
        """Clean motions by the prior alone."""
        steps = torch.full((noisy.shape[0] * noisy.shape[1],), step, device=noisy.device)
        return self.denoiser(noisy.flatten(0, 1), steps).unflatten(0, noisy.shape[:2])

    def training_loss(
        self, keypoints: Float[Tensor, "B T J C"], joints: Float[Tensor, "B T J 3"]
    ) -> Float[Tensor, ""]:
        """Squared error of the clean motion from a random visited step; keypoints do not matter to a prior."""
        motion = (joints @ self.to_camera).flatten(2)
        if self.config.frames == 1:
            motion = motion.flatten(0, 1)[:, None]
        visited = torch.tensor(self.visited)
        steps = visited[torch.randint(len(visited), (len(motion),))]
        noisy = q_sample(motion, torch.randn_like(motion), self.schedule.levels[steps])
        return (self.denoiser(noisy, steps.to(motion.device)) - motion).square().mean()

    def _target(
        self, keypoints: Tensor, cameras: Cameras, weights: Tensor | None, root: Tensor | None
    ) -> Target:
        c = self.config
        if (
            keypoints.ndim != 5
            or keypoints.shape[0] != len(cameras)
            or keypoints.shape[3:] != (c.num_joints, 2)
        ):
            raise InputError(
                f"platypose: keypoints have shape {tuple(keypoints.shape)} for {len(cameras)} cameras, expected "
                f"(V, B, T, {c.num_joints}, 2)"
            )
        if root is not None and root.shape[-1] != 3:
            raise InputError(f"platypose: root has shape {tuple(root.shape)}, expected (B, T, 3)")
        seen = keypoints.isfinite().all(-1, keepdim=True)
        weights = torch.ones_like(keypoints) if weights is None else weights
        return Target(
            torch.where(seen, keypoints, 0.0)[:, :, None],
            torch.where(seen, weights, 0.0)[:, :, None],
            cameras.to(keypoints),
            None if root is None else root[:, None],
        )


# --------------------------------------------------------------------------------------------- checkpoints

OFFICIAL_KEYS: KeyTable = (
    (r"^denoiser\.", ""),
    (r"^embed\.", "input_process.poseEmbedding."),
    (r"^head\.", "output_process.poseFinal."),
    (r"^step_embedding\.", "embed_timestep.time_embed."),
    (r"^(skeleton_encoder\.)?blocks\.", r"\1seqTransEncoder.layers."),
    (r"^skeleton_encoder\.mean_query$", "skeleton_encoder.muQuery"),
    (r"^skeleton_encoder\.deviation_query$", "skeleton_encoder.sigmaQuery"),
    (r"^skeleton_encoder\.embed\.", "skeleton_encoder.skelEmbedding."),
    *BLOCK_KEYS,
)
DEAD = (r"skeleton_encoder\.",)
"""Weights that cannot change the answer: a part that is never called."""
_TABLES = (
    "sequence_pos_encoder.pe",
    "embed_timestep.sequence_pos_encoder.pe",
    "skeleton_encoder.sequence_pos_encoder.pe",
)


def load_official(
    state_dict: Mapping, arch: str = "trans_enc", data_rep: str = "h36m", steps: int = 50, **kwargs
) -> Model:
    """Load a checkpoint of the official `MDM`.

    Args:
        state_dict: bare or wrapped; the tables of positions, which are constants, may be in it.
        arch: `trans_enc` only.
        data_rep: `h36m` only.
        steps: of the diffusion; `Config.timestep`.
        **kwargs: fields of `Config`; `axes` is `world` unless said.

    Raises:
        InputError: keys, sizes or tables are not those of the arguments, or another architecture is asked for.
    """
    if arch != "trans_enc" or data_rep != "h36m":
        raise InputError(f"platypose: arch {arch!r} and data_rep {data_rep!r}, expected trans_enc and h36m")
    config = Config(**({"timestep": steps, "axes": "world"} | kwargs))
    state = unwrap(state_dict)
    for name in _TABLES:
        if name in state:
            _check_table(state[name], config.latent_dim, name)
    return load_strictly(Model(config), {k: v for k, v in state.items() if k not in _TABLES}, OFFICIAL_KEYS)


def _check_table(table: Tensor, dim: int, name: str) -> None:
    ours = sinusoidal_positions(len(table), dim)
    found = table.flatten(1)
    if found.shape != ours.shape or not torch.allclose(found.float(), ours, atol=1e-4):
        raise InputError(
            f"checkpoint of platypose with other positions ({name}): expected {dim} channels of sines"
        )


VARIANTS = {
    "256": Config(axes="world"),
    "30": Config(frames=30, axes="world"),
    "1": Config(frames=1, axes="world"),
}
PARAMETERS = {"256": 19_530_803, "30": 19_530_803, "1": 19_530_803}
"""Measured on the official class, 2,130,432 of them without use."""

WEIGHTS = {
    "h36m": Weights(
        url="https://huggingface.co/sinzlab/platypose",
        licence="none stated",
        trained_on=("Human3.6M, 3D poses alone",),
        reported={"h36m_p1_mean_of_200_true_root_mpjpe_mm": 48.38, "h36m_calibration_error": 0.132},
    ),
}
"""Reported: comments in the official repository's experiments/h36m.yaml."""
