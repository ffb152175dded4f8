"""Diffusion: noise schedules, the forward process, parametrisations, and the DDPM and DDIM steps back.

Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020, https://arxiv.org/abs/2006.11239 (equations
are theirs unless said); Song, Meng, Ermon, "Denoising Diffusion Implicit Models", ICLR 2021,
https://arxiv.org/abs/2010.02502; Nichol, Dhariwal, "Improved Denoising Diffusion Probabilistic Models", ICML 2021,
https://arxiv.org/abs/2102.09672 (cosine schedule); Salimans, Ho, "Progressive Distillation", ICLR 2022,
https://arxiv.org/abs/2202.00512 (v).

Convention: a *level* is alpha-bar, the share of the signal's variance that is left: 1 is clean, 0 is noise. Steps are
0 .. S-1, the noisiest last; step -1 is clean. Levels and their roots are computed in float64, whatever the states are.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from posewright.core.errors import InputError

Level = float | Tensor
"""One alpha-bar for all, or one per item of the batch: (B,), float64."""
Parametrisation = Literal["x0", "noise", "v"]
"""What the network predicts: the clean sample, the noise, or v = sqrt(level) noise - sqrt(1 - level) x0."""


@dataclass(frozen=True)
class NoiseSchedule:
    """Variances of the forward process."""

    betas: Float[Tensor, " S"]
    """Float64, each in (0, 1)."""
    by_step: tuple[float, ...] = field(init=False, repr=False, compare=False)
    """alpha-bar after each step, as plain numbers, which graphs of compiled and exported samplers take in."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_step", tuple(self.levels.tolist()))

    def __len__(self) -> int:
        return len(self.betas)

    @property
    def levels(self) -> Float[Tensor, " S"]:
        """alpha-bar after each step: the cumulative product of 1 - beta."""
        return (1 - self.betas).cumprod(0)

    def level(self, step: int) -> float:
        """alpha-bar after a step; 1 for step -1.

        Raises:
            InputError: no such step.
        """
        if not -1 <= step < len(self):
            raise InputError(f"diffusion: step {step}, expected one from -1 (clean) to {len(self) - 1}")
        return 1.0 if step < 0 else self.by_step[step]


def cosine_schedule(steps: int, offset: float = 0.008, largest: float = 0.999) -> NoiseSchedule:
    """Levels that fall as a squared cosine (Nichol & Dhariwal, equation 17), each beta at most `largest`."""
    _check_count(steps)
    x = torch.linspace(0, 1, steps + 1, dtype=torch.float64, device="cpu")
    level = torch.cos((x + offset) / (1 + offset) * (math.pi / 2)).square()
    return NoiseSchedule((1 - level[1:] / level[:-1]).clamp(0, largest))


def linear_schedule(steps: int, first: float = 1e-4, last: float = 0.02) -> NoiseSchedule:
    """Betas that rise evenly (section 4)."""
    _check_count(steps)
    if not 0 < first <= last < 1:
        raise InputError(f"diffusion: betas from {first:g} to {last:g}, expected 0 < first <= last < 1")
    return NoiseSchedule(torch.linspace(first, last, steps, dtype=torch.float64, device="cpu"))


def sampling_times(total: int, steps: int) -> tuple[int, ...]:
    """Steps that a sampler of `steps` steps visits, falling from `total` - 1, and -1 at the end (`steps` + 1 numbers).

    Evenly spaced from -1 and truncated to whole numbers, as D3DP and its successors do.

    Raises:
        InputError: no steps, or more than the schedule has.
    """
    if not 1 <= steps <= total:
        raise InputError(f"diffusion: {steps} sampling steps, expected 1 to {total}, the schedule's steps")
    return tuple(reversed(torch.linspace(-1, total - 1, steps + 1, device="cpu").int().tolist()))


# ------------------------------------------------------------------------- forward process, parametrisations


def signal_and_noise(level: Level, like: Tensor) -> tuple[float | Tensor, float | Tensor]:
    """Factors sqrt(level) of the signal and sqrt(1 - level) of the noise, which broadcast against `like` (B, ...)."""
    if not isinstance(level, Tensor):
        return math.sqrt(level), math.sqrt(1 - level)
    column = level.double().reshape(-1, *(1,) * (like.ndim - 1))
    return column.sqrt().to(like), (1 - column).sqrt().to(like)


def q_sample(x0: Float[Tensor, "*B"], noise: Float[Tensor, "*B"], level: Level) -> Float[Tensor, "*B"]:
    """Draw the noisy state of a level: sqrt(level) x0 + sqrt(1 - level) noise (equation 4)."""
    signal, sigma = signal_and_noise(level, x0)
    return signal * x0 + sigma * noise


def noise_from_x0(x: Float[Tensor, "*B"], x0: Float[Tensor, "*B"], level: Level) -> Float[Tensor, "*B"]:
    """The noise that leads from x0 to the state x; the level must be below 1."""
    signal, sigma = signal_and_noise(level, x)
    return (x - signal * x0) / sigma


def x0_from_noise(x: Float[Tensor, "*B"], noise: Float[Tensor, "*B"], level: Level) -> Float[Tensor, "*B"]:
    """The clean sample that the noise turned into the state x; the level must be above 0."""
    signal, sigma = signal_and_noise(level, x)
    return (x - sigma * noise) / signal


def velocity(x0: Float[Tensor, "*B"], noise: Float[Tensor, "*B"], level: Level) -> Float[Tensor, "*B"]:
    """V = sqrt(level) noise - sqrt(1 - level) x0 (Salimans & Ho, section 4 and appendix D)."""
    signal, sigma = signal_and_noise(level, x0)
    return signal * noise - sigma * x0


def x0_from_velocity(x: Float[Tensor, "*B"], v: Float[Tensor, "*B"], level: Level) -> Float[Tensor, "*B"]:
    """The clean sample of a state x with the velocity v."""
    signal, sigma = signal_and_noise(level, x)
    return signal * x - sigma * v


def as_x0(
    predicted: Float[Tensor, "*B"], x: Float[Tensor, "*B"], level: Level, parametrisation: Parametrisation
) -> Float[Tensor, "*B"]:
    """What a network predicted at state x, as a clean sample.

    Raises:
        InputError: no such parametrisation.
    """
    if parametrisation == "x0":
        return predicted
    convert = {"noise": x0_from_noise, "v": x0_from_velocity}.get(parametrisation)
    if convert is None:
        raise InputError(f"diffusion: parametrisation {parametrisation!r}, expected x0, noise or v")
    return convert(x, predicted, level)


# ---------------------------------------------------------------------------------------------- steps back


def ddim_step(
    x0: Float[Tensor, "*B"],
    noise_estimate: Float[Tensor, "*B"],
    level: float,
    next_level: float,
    eta: float = 0.0,
    noise: Float[Tensor, "*B"] | None = None,
) -> Float[Tensor, "*B"]:
    """Go from one level to a cleaner one (Song et al., equation 12).

    Args:
        x0: estimate of the clean sample.
        noise_estimate: estimate of the noise in the state.
        level: of the state.
        next_level: where to go, larger; 1 gives x0.
        eta: 0 is deterministic (DDIM), 1 has the variance of DDPM.
        noise: standard normal; needed where `eta` is above 0 and `next_level` below 1.
    """
    spread = eta * math.sqrt((1 - level / next_level) * (1 - next_level) / (1 - level))
    out = math.sqrt(next_level) * x0 + math.sqrt(max(1 - next_level - spread * spread, 0.0)) * noise_estimate
    return out if spread == 0 else out + spread * _given(noise)


def ddpm_step(
    x: Float[Tensor, "*B"],
    x0: Float[Tensor, "*B"],
    level: float,
    next_level: float,
    noise: Float[Tensor, "*B"] | None = None,
) -> Float[Tensor, "*B"]:
    """Draw from the posterior q(next | x, x0) (equations 6 and 7), over one or several steps of the schedule.

    The same distribution as `ddim_step` with eta 1. `noise` is needed where `next_level` is below 1.
    """
    kept = level / next_level
    share = (1 - next_level) / (1 - level)
    mean = math.sqrt(next_level) * (1 - kept) / (1 - level) * x0 + math.sqrt(kept) * share * x
    spread = math.sqrt((1 - kept) * share)
    return mean if spread == 0 else mean + spread * _given(noise)


@dataclass(frozen=True)
class Clamp:
    """What is cut to a range while sampling; None: nothing."""

    state: float | None = None
    """Largest magnitude of the state as the network sees it; the state itself stays as it is."""
    x0: float | None = None
    """Largest magnitude of the estimate of the clean sample."""
    noise_from_clamped: bool = True
    """Estimate the noise from the state as it is and the clamped x0; otherwise from the unclamped x0."""


Denoise = Callable[[Tensor, int], Tensor]
"""(state, step) -> what the network predicts."""


def sample_ddim(
    denoise: Denoise,
    start: Float[Tensor, "*B"],
    schedule: NoiseSchedule,
    times: Sequence[int],
    *,
    step_noise: Float[Tensor, "K1 *#B"] | None = None,
    eta: float = 0.0,
    parametrisation: Parametrisation = "x0",
    clamp: Clamp = Clamp(),
) -> Float[Tensor, "..."]:
    """Sample with DDIM, from noise to clean.

    Args:
        denoise: the network, called with the state (clamped, if `clamp` says so) and the step's number.
        start: standard normal noise.
        schedule: of the training.
        times: K + 1 falling steps, the last one -1: see `sampling_times`.
        step_noise: standard normal, one for each step but the last (K - 1); needed where `eta` is above 0.
        eta: see `ddim_step`.
        parametrisation: what `denoise` returns.
        clamp: what is cut.

    Returns:
        (K, *B), the estimate of the clean sample after every step; the last one is the sample.
    """
    x, estimates = start, []
    for i, (step, following) in enumerate(zip(times[:-1], times[1:], strict=True)):
        level = schedule.level(step)
        raw = as_x0(denoise(_cut(x, clamp.state), step), x, level, parametrisation)
        x0 = _cut(raw, clamp.x0)
        estimates.append(x0)
        if following >= 0:
            noise = noise_from_x0(x, x0 if clamp.noise_from_clamped else raw, level)
            drawn = None if step_noise is None else step_noise[i]
            x = ddim_step(x0, noise, level, schedule.level(following), eta, drawn)
    return torch.stack(estimates)


def sample_ddpm(
    denoise: Denoise,
    start: Float[Tensor, "*B"],
    schedule: NoiseSchedule,
    *,
    step_noise: Float[Tensor, "S1 *#B"],
    parametrisation: Parametrisation = "noise",
    clamp: Clamp = Clamp(),
) -> Float[Tensor, "*B"]:
    """Sample through all steps of the schedule, each drawn from the posterior (ancestral sampling, algorithm 2).

    Args:
        denoise: see `sample_ddim`.
        start: standard normal noise.
        schedule: of the training.
        step_noise: standard normal, one for each step but the last (S - 1); zeros follow the means.
        parametrisation: what `denoise` returns.
        clamp: what is cut; `noise_from_clamped` does not matter.

    Returns:
        (*B), the sample.
    """
    x = start
    for i, step in enumerate(reversed(range(len(schedule)))):
        level = schedule.level(step)
        x0 = _cut(as_x0(denoise(_cut(x, clamp.state), step), x, level, parametrisation), clamp.x0)
        x = ddpm_step(x, x0, level, schedule.level(step - 1), step_noise[i] if step > 0 else None)
    return x


class SinusoidalEmbedding(nn.Module):
    """Sines, then cosines, of the step at frequencies that fall geometrically from 1 to 1/10000, as in DDPM."""

    def __init__(self, dim: int):
        super().__init__()
        if dim < 4 or dim % 2:
            raise InputError(f"diffusion: time embedding of width {dim}, expected an even number from 4")
        self.pairs = dim // 2

    def forward(self, steps: Int[Tensor, " B"]) -> Float[Tensor, "B C"]:
        order = torch.arange(self.pairs, device=steps.device, dtype=torch.float32)
        angle = steps.float()[:, None] * torch.exp(order * (-math.log(10_000) / (self.pairs - 1)))
        return torch.cat([angle.sin(), angle.cos()], -1)


def _cut(x: Tensor, limit: float | None) -> Tensor:
    return x if limit is None else x.clamp(-limit, limit)


def _given(noise: Tensor | None) -> Tensor:
    if noise is None:
        raise InputError("diffusion: a step with randomness (eta above 0, DDPM) without noise: give it")
    return noise


def _check_count(steps: int) -> None:
    if steps < 1:
        raise InputError(f"diffusion: a schedule of {steps} steps, expected at least 1")
