"""What official diffusion classes keep in their checkpoints beside the weights: the noise schedule, as buffers.

D3DP, FinePOSE and DiffPose (Holmquist & Wandt) took them from the same public code, with the same names.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from posewright.core.errors import InputError
from posewright.nn.diffusion import NoiseSchedule


def official_buffers(schedule: NoiseSchedule) -> dict[str, Float[Tensor, " S"]]:
    """Float64 buffers of a schedule, by their official names."""
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


def without_schedule(
    state: Mapping[str, Tensor], buffers: Mapping[str, Tensor], method: str
) -> dict[str, Tensor]:
    """Return the weights, once the schedule beside them is found to be ours.

    Raises:
        InputError: a buffer is missing, or is that of another schedule.
    """
    if missing := [key for key in buffers if key not in state]:
        raise InputError(f"not a whole checkpoint of {method}: keys missing ({', '.join(missing)})")
    differ = [
        key
        for key, ours in buffers.items()
        if state[key].shape != ours.shape
        or not torch.allclose(state[key].double(), ours, rtol=1e-5, atol=1e-7)
    ]
    if differ:
        steps = len(buffers["betas"])
        raise InputError(
            f"checkpoint of {method} with another noise schedule ({len(state['betas'])} steps; {', '.join(differ)} "
            f"differ): expected the cosine schedule of {steps} steps; give the timestep it was trained with"
        )
    return {key: value for key, value in state.items() if key not in buffers}
