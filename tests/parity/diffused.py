"""How to run the recordings of DiffPose (both) and FinePOSE."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

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

