"""How to run the recordings of DiffPose (both) and FinePOSE."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from posewright.models.lifting import diffpose_multihyp
from posewright.nn.diffusion_checkpoints import official_buffers

Arrays = Mapping[str, Tensor]


def diffpose_lifter(model: nn.Module, arrays: Arrays) -> dict[str, Tensor]:
    return {"output": model(arrays["input"])}


def diffpose_denoiser(model: nn.Module, arrays: Arrays) -> dict[str, Tensor]:
    return {"output": model(arrays["input_x"], arrays["input_t"])}


def diffpose_sampler(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    """The states that the network sees are those of the official list, which ends with the last clean state."""
    assert torch.equal(torch.tensor(model.times[:-1]), arrays["input_seq"].flip(0))
    plain, clean = states(model, arrays["input_uvxyz"], 0.0)
    joints = plain[-1][..., 2:]
    out = {
        "output_steps": plain,
        "output_x0": clean,
        "output_pose": joints - joints[:, :1],
    }
    if "input_noise_eta1" in arrays:
        noise = arrays["input_noise_eta1"][:-1, :, None]
        out["output_steps_eta1"] = states(model, arrays["input_uvxyz"], 1.0, noise)[0]
    return out


def states(model: Any, start: Tensor, eta: float, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """All states of the sampler, and the clean states after each iteration."""
    seen: list[Tensor] = []
    hook = model.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    clean = model.sample(start[:, None], noise, eta)[:, :, 0]
    hook.remove()
    return torch.stack([*seen, clean[-1]]), clean


def multihyp_arguments(kwargs: Mapping) -> Mapping:
    """The sampler's scales are named beside its arrays."""
    return {k: v for k, v in kwargs.items() if k != "scaling_3d_pose"}


def multihyp_condition(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    """Rows are batch items, each with all of its hypotheses."""
    samples = arrays["input_samples"].unflatten(-1, (-1, 2))
    condition = model(samples, arrays["input_likelihoods"])
    nothing = torch.empty(1, samples.shape[2], 0)
    place, value = diffpose_multihyp.heatmap_candidates(arrays["input_heatmaps"][:, None], nothing)
    return {
        "output": condition.unflatten(0, arrays["output"].shape[:2]),
        "output_max_position": place[:, 0].flatten(-2),
        "output_max_value": value[:, 0],
    }


def multihyp_denoiser(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    return {"output": model(arrays["input_x"], arrays["input_t"], arrays["input_condition"])}


def multihyp_sampler(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    """Published scale and a wider one; the official file keeps the schedule in float32."""
    noise, condition = arrays["input_noise"], arrays["input_condition"]
    out = {}
    for name in (k for k in arrays if k.startswith("output_") and "buffer" not in k):
        scale = float(name.rpartition("scale")[2]) if "scale" in name else 1000.0
        scaled = diffpose_multihyp.Denoiser(
            replace(model.config, scaling_3d_pose=scale), condition=condition.shape[1]
        ).eval()
        scaled.load_state_dict(model.state_dict())
        means = "mean_only" in name
        start = arrays["input_noise_mean_only"] if means else noise[0]
        between = torch.zeros_like(noise[1:-1]) if means else noise[1:-1]
        out[name] = scaled.sample(condition, start, between) / scale
    buffers = official_buffers(model.schedule) | {"p2_loss_weight": torch.ones_like(model.schedule.betas)}
    return out | {f"output_buffer_{key}": value.float() for key, value in buffers.items()}
