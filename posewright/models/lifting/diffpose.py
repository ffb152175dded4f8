"""DiffPose: a first guess of the pose is made better by a few steps of diffusion over its joints.

Gong, Foo, Fan, Ke, Rahmani, Liu, "DiffPose: Toward More Reliable 3D Pose Estimation", CVPR 2023,
https://arxiv.org/abs/2211.16940. Official code: https://github.com/GONGJIA0208/Diffpose (MIT) for single frames, and
https://github.com/GONGJIA0208/Diffpose_video (no licence stated) for video. An initialiser lifts the keypoints: a
GraFormer (frame), or MixSTE with mirror averaging (video). The state of the diffusion is (u, v, x, y, z) for each
joint, keypoint and joint side by side. The forward process adds noise to the true joints, as wide in u and v as the
Gaussian that was drawn from the keypoint's mixture (GMM-based diffusion, in the form of the released code: the paper
writes it around the mixture's mean); a second GraFormer, told the step, predicts the noise.

How the sampler starts is `Config.start`. `mean`: from the initialiser's pose as it is, one hypothesis, DDIM without
randomness, as the released tests do (their line that adds noise is commented out). `distribution`: from draws of the
initial pose distribution, as the paper says: a Gaussian is drawn for each keypoint, lifted, and noise added, the
keypoint's deviation wide in u and v and 1 m times the schedule's level in x, y, z. Mixtures come from heat maps,
covariances, or the keypoints' confidence (`nn.keypoint_distributions`); by `pw.lift` and `run` the last. The mean of
the hypotheses is the answer (deployable: nothing of the truth is used).

What else differs: the noise is drawn once, from `Config.seed`, and every frame gets the same; the published mixtures'
"variances" multiply standard normal noise there, here deviations do; initialiser and denoiser are trained side by side
(they share no weights), the authors train one after the other.

Convention: keypoints (B, T, 17, 2), with `start="distribution"` (B, T, 17, 3) with their confidence; Human3.6M, screen
units (x / w * 2 - 1, y / w * 2 - h / w); joints (B, T, 17, 3) in metres, camera axes, relative to the pelvis;
`hypotheses` gives all, (B, T, H, 17, 3). Frames stand alone but in the video version, whose T is that of MixSTE.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.core.weights import Paper, Weights
from posewright.nn.checkpoints import KeyTable, load_strictly, unwrap
from posewright.nn.diffusion import NoiseSchedule, linear_schedule, q_sample, sample_ddim
from posewright.nn.graformer import OFFICIAL_KEYS, GraFormer, row_normalised
from posewright.nn.keypoint_distributions import KeypointMixture, spread_of_confidence
from posewright.nn.mirror import mirrored
from posewright.nn.mixste import OFFICIAL_KEYS as MIXSTE_KEYS
from posewright.nn.mixste import MixSTE, MixSTEConfig
from posewright.nn.sampler_options import check_sampler
from posewright.nn.spatiotemporal import check_window
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="DiffPose: Toward More Reliable 3D Pose Estimation",
    venue="CVPR 2023",
    url="https://arxiv.org/abs/2211.16940",
    code="https://github.com/GONGJIA0208/Diffpose",
    code_licence="MIT",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=2, output_frames="all")
"""With one hypothesis from the initialiser's pose; `lifting(config)` for all."""
DEAD = (r"^initialiser\.step_embedding\.",)
"""The initialiser is told no step; the published one has the embedding all the same."""


@dataclass(frozen=True)
class Config:
    """Sizes and settings as in the released configuration for single frames."""

    hid_dim: int = 96
    """Width of both GraFormers."""
    num_layer: int = 5
    n_head: int = 4
    dropout: float = 0.25
    num_joints: int = 17
    """J; the official code's `n_pts`."""
    initialiser: Literal["graformer", "mixste"] = "graformer"
    """`graformer`: single frames. `mixste`: video, of the sizes below."""
    num_frame: int = 243
    embed_dim_ratio: int = 512
    depth: int = 8
    num_heads: int = 8
    test_time_augmentation: bool = False
    """Average the initialiser with the mirrored clip; the released video test does."""
    beta_start: float = 1e-4
    beta_end: float = 1e-3
    num_diffusion_timesteps: int = 51
    """Steps of the schedule, evenly rising."""
    test_num_diffusion_timesteps: int = 24
    """K, steps that the sampler goes back."""
    test_timesteps: int = 2
    """Iterations of the sampler."""
    num_proposals: int = 1
    """N, samples; the official code's `test_times`."""
    start: Literal["mean", "distribution"] = "mean"
    """See the top of this file."""
    eta: float = 0.0
    """Randomness of the sampler's steps: 0 none, as published."""
    spread: float | None = None
    """Deviation of u and v in training, screen units; None: from the confidence. The released video training: 0.5."""
    seed: int = 0
    """Of the sampler's noise."""
    aggregation: Literal["jpma", "mean"] = "mean"
    """How one pose is made of the hypotheses where a camera and keypoints are at hand."""

    def __post_init__(self) -> None:
        check_sampler(self)
        if self.start not in ("mean", "distribution"):
            raise InputError(f"diffpose: start is {self.start!r}, expected mean or distribution")
        if self.initialiser not in ("graformer", "mixste"):
            raise InputError(f"diffpose: initialiser is {self.initialiser!r}, expected graformer or mixste")
        if self.num_proposals > 1 and self.start == "mean" and self.eta == 0:
            raise InputError(
                f"diffpose: {self.num_proposals} hypotheses from one pose without randomness would all be the same: "
                "set start to distribution, or eta above 0"
            )

    @property
    def frames(self) -> int:
        """Frames of a window."""
        return self.num_frame if self.initialiser == "mixste" else 1


def lifting(config: Config) -> Lifting:
    """Conventions of one configuration: draws of the initial pose distribution need the keypoints' confidence."""
    return Lifting(H36M_17, H36M_17, 3 if config.start == "distribution" else 2, output_frames="all")


def visited_steps(total: int, steps: int) -> tuple[int, ...]:
    """Steps that the sampler visits, falling, and -1 at the end: every (total // steps)-th from 0, as published.

    Raises:
        InputError: no steps, or more than there are.
    """
    if not 1 <= steps <= total:
        raise InputError(
            f"diffpose: {steps} sampling steps (test_timesteps), expected 1 to {total} (test_num_diffusion_timesteps)"
        )
    return (*reversed(range(0, total, total // steps)), -1)


class Denoiser(GraFormer):
    """Predicts the noise in (u, v, x, y, z) of each joint, and goes back through it."""

    def __init__(
        self, config: Config, adjacency: Float[Tensor, "J J"], schedule: NoiseSchedule, channels: int = 5
    ):
        c = config
        super().__init__(
            (channels, channels), c.hid_dim, c.num_layer, c.n_head, adjacency, c.dropout, told=True
        )
        self.config, self.schedule = c, schedule
        if c.test_num_diffusion_timesteps > len(schedule):
            raise InputError(
                f"diffpose: {c.test_num_diffusion_timesteps} steps back (test_num_diffusion_timesteps), expected at "
                f"most {len(schedule)}, the schedule's (num_diffusion_timesteps)"
            )
        self.times = visited_steps(c.test_num_diffusion_timesteps, c.test_timesteps)

    def sample(
        self,
        start: Float[Tensor, "B H J 5"],
        step_noise: Float[Tensor, "..."] | None = None,
        eta: float | None = None,
    ) -> Float[Tensor, "K B H J 5"]:
        """Run DDIM and return the clean states after each of its iterations.

        Args:
            start: states at the first step visited.
            step_noise: (K - 1, B or 1, H, J, 5) standard normal, added after each iteration but the last; needed where
                eta is above 0.
            eta: randomness; None: `Config.eta`.
        """

        def noise(x: Tensor, step: int) -> Tensor:
            steps = torch.full((x.shape[0] * x.shape[1],), step, device=x.device)
            return self(x.flatten(0, 1), steps).unflatten(0, x.shape[:2])

        return sample_ddim(
            noise,
            start,
            self.schedule,
            self.times,
            step_noise=step_noise,
            eta=self.config.eta if eta is None else eta,
            parametrisation="noise",
        )


class Model(nn.Module):
    """Keypoints to hypotheses of the pose of each frame (figure 2).

    Args:
        config: sizes and settings.
        adjacency: of the joints; None: bones of Human3.6M and self loops, each row divided by its sum, as published.
        betas: of the schedule; None: evenly rising, as `config` says.
    """

    start_noise: Tensor
    step_noise: Tensor
    kernel_noise: Tensor

    def __init__(
        self,
        config: Config,
        adjacency: Float[Tensor, "J J"] | None = None,
        betas: Float[Tensor, " S"] | None = None,
    ):
        super().__init__()
        c = config
        self.config = c
        graph = _graph(c, adjacency)
        self.initialiser = _initialiser(c, graph)
        self.denoiser = Denoiser(c, graph, _schedule(c, betas))
        self.mirror = H36M_17.mirror.tolist()
        generator = torch.Generator("cpu").manual_seed(c.seed)
        shape = (len(self.denoiser.times) - 1, 1, c.num_proposals, c.num_joints, 5)
        noise = torch.randn(shape, generator=generator, device="cpu")
        kernels = torch.rand(shape[1:4], generator=generator, device="cpu")
        self.register_buffer("start_noise", noise[0], persistent=False)
        self.register_buffer("step_noise", noise[1:], persistent=False)
        self.register_buffer("kernel_noise", kernels, persistent=False)

    @property
    def sequences_per_window(self) -> int:
        """Sequences that the denoiser sees at once for each window."""
        return self.config.num_proposals

    def forward(self, keypoints: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T J 3"]:
        return self.hypotheses(keypoints).mean(2)

    def hypotheses(
        self, keypoints: Float[Tensor, "B T J C"], mixture: KeypointMixture | None = None
    ) -> Float[Tensor, "B T H J 3"]:
        """Return all samples, metres.

        Args:
            keypoints: as for `forward`; with `mixture`, their confidence may be left out.
            mixture: (B, T, J, M), where the keypoints may be, screen units: see `nn.keypoint_distributions`.

        Raises:
            InputError: neither confidence nor mixture for draws of the initial pose distribution, or a mixture where
                none is drawn.
        """
        c = self.config
        start = self.initial_states(keypoints, mixture)
        states = self.denoiser.sample(start.flatten(0, 1), self.step_noise)[-1]
        joints = states[..., 2:].unflatten(0, start.shape[:2])
        assert joints.shape[2] == c.num_proposals
        return joints - joints[..., :1, :]

    def initial_states(
        self, keypoints: Float[Tensor, "B T J C"], mixture: KeypointMixture | None = None
    ) -> Float[Tensor, "B T H J 5"]:
        """Where the sampler starts: (u, v, x, y, z) of each joint of each sample."""
        c = self.config
        self._check(keypoints, mixture)
        screen = keypoints[..., :2]
        if c.start == "mean":
            state = torch.cat([screen, self.initialise(screen)], -1)
            return state[:, :, None].expand(-1, -1, c.num_proposals, -1, -1)
        if mixture is None:
            mean, deviation = screen[:, :, None], self.deviations(keypoints)[:, :, None]
            lifted = self.initialise(screen)[:, :, None]
        else:
            each = KeypointMixture(*(part[:, :, None] for part in vars(mixture).values()))
            uniform = self.kernel_noise.expand(*keypoints.shape[:2], -1, -1)
            mean, deviation = _picked(each, uniform)
            lifted = self.initialise(mean.transpose(1, 2).flatten(0, 1))
            lifted = lifted.unflatten(0, (-1, c.num_proposals)).transpose(1, 2)
        scale = torch.cat([deviation, torch.ones_like(lifted)], -1)
        level = self.denoiser.schedule.level(self.denoiser.times[0])
        return q_sample(torch.cat([mean, lifted], -1), scale * self.start_noise, level)

    def initialise(self, screen: Float[Tensor, "B T J 2"]) -> Float[Tensor, "B T J 3"]:
        """First guess of the joints, relative to the root, metres."""
        joints = self._initialised(screen)
        if not self.config.test_time_augmentation:
            return joints
        other = self._initialised(mirrored(screen, self.mirror))
        return (joints + mirrored(other, self.mirror)) / 2

    def deviations(self, keypoints: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T J 2"]:
        """Standard deviation of each keypoint, screen units, from its confidence; without it they are sure."""
        screen = keypoints[..., :2]
        sure = keypoints[..., 2] if keypoints.shape[-1] > 2 else torch.ones_like(screen[..., 0])
        return spread_of_confidence(screen, sure)[..., None].expand_as(screen)

    def training_loss(
        self, keypoints: Float[Tensor, "B T J C"], joints: Float[Tensor, "B T J 3"]
    ) -> Float[Tensor, ""]:
        """Distance of the initialiser's joints, plus the squared error of the denoiser's noise.

        The first is a mean over joints, the second a sum over them and their five numbers, as published. Half of the
        steps are the mirror images of the others, so that all levels of noise are in every batch.
        """
        screen = keypoints[..., :2]
        guess = (self._initialised(screen) - joints).norm(dim=-1).mean()
        state = torch.cat([screen, joints], -1).flatten(0, 1)
        deviation = self.deviations(keypoints)
        if self.config.spread is not None:
            deviation = torch.full_like(deviation, self.config.spread)
        scale = torch.cat([deviation, torch.ones_like(joints)], -1).flatten(0, 1)
        steps = self._paired_steps(len(state))
        noise = scale * torch.randn_like(state)
        noisy = q_sample(state, noise, self.denoiser.schedule.levels[steps])
        predicted = self.denoiser(noisy, steps.to(state.device))
        return guess + (noise - predicted).square().sum((1, 2)).mean()

    def _initialised(self, screen: Tensor) -> Tensor:
        """Without mirror averaging."""
        if self.config.initialiser == "mixste":
            return self.initialiser(screen)
        joints = self.initialiser(screen.flatten(0, 1)).unflatten(0, screen.shape[:2])
        return joints - joints[..., :1, :]

    def _paired_steps(self, count: int) -> Int[Tensor, " N"]:
        """Random steps and their mirror images, from both ends of the schedule."""
        total = len(self.denoiser.schedule)
        steps = torch.randint(total, (count // 2 + 1,))
        return torch.cat([steps, total - 1 - steps])[:count]

    def _check(self, keypoints: Tensor, mixture: KeypointMixture | None) -> None:
        """Refuse keypoints of another window or joint set, and uncertainty that is missing or not asked for."""
        c = self.config
        frames = c.num_frame if c.initialiser == "mixste" else keypoints.shape[1] if keypoints.ndim > 1 else 1
        drawn = c.start == "distribution"
        if mixture is not None and not drawn:
            raise InputError(
                "diffpose: a mixture, but start is mean: set start to distribution to draw from it"
            )
        if drawn and mixture is None and keypoints.shape[-1] == 2:
            raise InputError(
                "diffpose: keypoints without confidence and no mixture, expected one of them: start is distribution, "
                "which says how far off each keypoint may be"
            )
        channels = keypoints.shape[-1] if mixture is not None else 3 if drawn else 2
        check_window(keypoints, frames, c.num_joints, channels)
        if mixture is not None and mixture.weights.shape[:-1] != keypoints.shape[:-1]:
            raise InputError(
                f"diffpose: mixture of {tuple(mixture.weights.shape[:-1])} keypoints, expected "
                f"{tuple(keypoints.shape[:-1])}: (B, T, J)"
            )


def _picked(mixture: KeypointMixture, uniform: Float[Tensor, "B T H J"]) -> tuple[Tensor, Tensor]:
    """Draw a Gaussian for each keypoint of each hypothesis."""
    H = uniform.shape[2]
    many = KeypointMixture(
        mixture.weights.expand(-1, -1, H, -1, -1),
        mixture.means.expand(-1, -1, H, -1, -1, -1),
        mixture.deviations.expand(-1, -1, H, -1, -1, -1),
    )
    return many.pick(uniform)


def _graph(config: Config, adjacency: Tensor | None) -> Tensor:
    """The adjacency, or that of Human3.6M."""
    graph = row_normalised(H36M_17.parents) if adjacency is None else adjacency
    if graph.shape != (config.num_joints, config.num_joints):
        raise InputError(
            f"diffpose: adjacency of shape {tuple(graph.shape)} for {config.num_joints} joints, expected a square "
            "matrix of as many; give `adj` for joint sets other than Human3.6M's"
        )
    return graph


def _schedule(config: Config, betas: Tensor | None) -> NoiseSchedule:
    if betas is not None:
        return NoiseSchedule(betas.double())
    return linear_schedule(config.num_diffusion_timesteps, config.beta_start, config.beta_end)


def _initialiser(config: Config, graph: Tensor, channels: tuple[int, int] = (2, 3)) -> nn.Module:
    c = config
    if c.initialiser == "graformer":
        return GraFormer(channels, c.hid_dim, c.num_layer, c.n_head, graph, c.dropout)
    sizes = MixSTEConfig(c.num_frame, c.num_joints, channels[0], c.embed_dim_ratio, c.depth, c.num_heads)
    return MixSTE(sizes)


# --------------------------------------------------------------------------------------------- checkpoints

_RENAMED = {"n_pts": "num_joints", "T": "test_num_diffusion_timesteps", "K": "test_timesteps"}
_NO_MATTER = ("emd_dim", "seq", "var_type", "ema", "ema_rate", "resamp_with_conv")


def load_official(
    state_dict: Mapping | Sequence,
    initialiser: Mapping | Sequence | str | None = None,
    adj: Float[Tensor, "J J"] | None = None,
    betas: Float[Tensor, " S"] | None = None,
    coords_dim: Sequence[int] | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Load the official denoiser `GCNdiff` and the checkpoint of the initialiser it is used with, or one of them alone.

    Args:
        state_dict: of `GCNdiff`, bare, wrapped, or as published, the list whose first entry is the state dict (the test
            uses this one, not the moving average at its end); or of an initialiser alone.
        initialiser: checkpoint of `GCNpose` (frame) or `MixSTE2` (video). Without it, `state_dict` alone is loaded:
            the result is a `Denoiser` or an initialiser, not a whole lifter. A string is that field of `Config`.
        adj: adjacency that the official class is constructed with; None: that of Human3.6M.
        betas: of the official schedule; None: as `kwargs` say.
        coords_dim: numbers of a joint that go in and come out, of a network that is loaded alone.
        **kwargs: fields of `Config`, or the names that the official configuration has for them.

    Raises:
        InputError: keys or sizes are not those of the arguments.
    """
    given = {_RENAMED.get(k, k): v for k, v in kwargs.items() if k not in _NO_MATTER}
    state = unwrap(state_dict)
    second = None if initialiser is None or isinstance(initialiser, str) else unwrap(initialiser)
    video = any(key.startswith("STEblocks.") for key in (state if second is None else second))
    given.setdefault(
        "initialiser", initialiser if isinstance(initialiser, str) else "mixste" if video else "graformer"
    )
    config = Config(**given)
    if second is not None:
        return _whole(Model(config, adj, betas), state, second)
    graph = _graph(config, adj)
    if any(".temb_proj." in key for key in state):
        channels = tuple(coords_dim or (5, 5))
        return load_strictly(
            Denoiser(config, graph, _schedule(config, betas), channels[0]), state, OFFICIAL_KEYS
        )
    channels = tuple(coords_dim or (2, 3))
    network = _initialiser(config, graph, (channels[0], channels[1]))
    return load_strictly(network, state, MIXSTE_KEYS if video else OFFICIAL_KEYS)


def _whole(model: Model, denoiser: Mapping, initialiser: Mapping) -> Model:
    """Load both networks."""
    load_strictly(model.denoiser, denoiser, OFFICIAL_KEYS)
    keys: KeyTable = MIXSTE_KEYS if model.config.initialiser == "mixste" else OFFICIAL_KEYS
    load_strictly(model.initialiser, initialiser, keys)
    return model.eval()


VARIANTS = {
    "frame": Config(),
    "frame_5": Config(
        num_proposals=5, start="distribution", test_num_diffusion_timesteps=50, test_timesteps=5
    ),
    "video": Config(
        initialiser="mixste",
        test_time_augmentation=True,
        test_num_diffusion_timesteps=6,
        test_timesteps=1,
        spread=0.5,
    ),
}
"""`frame` and `video` as their released tests run them; `frame_5` as the paper says: 5 samples, 50 steps back in 5."""
PARAMETERS = {"frame": 1_865_106, "frame_5": 1_865_106, "video": 34_809_485}
"""Measured on the official classes, denoiser and initialiser together."""

_FOLDER = "https://www.dropbox.com/sh/jhwz3ypyxtyrlzv/AABivC5oiiMdgPePxekzu6vga?dl=0"
WEIGHTS = {
    "h36m_cpn_frame": Weights(
        url=f"{_FOLDER} (diffpose_uvxyz_cpn.pth and gcn_xyz_cpn.pth)",
        licence="none stated",
        trained_on=("Human3.6M, CPN keypoints as mixtures",),
    ),
    "h36m_gt_frame": Weights(
        url=f"{_FOLDER} (diffpose_uvxyz_gt.pth and gcn_xyz_gt.pth)",
        licence="none stated",
        trained_on=("Human3.6M, ground-truth keypoints",),
    ),
    "h36m_cpn_video": Weights(
        url=f"{_FOLDER} (diffpose_video_uvxyz_cpn.pth and mixste_cpn_243f.bin)",
        licence="none stated",
        trained_on=("Human3.6M, CPN keypoints",),
    ),
}
