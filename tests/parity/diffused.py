"""How to run the recordings of DiffPose (both) and FinePOSE."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from posewright.geometry.cameras import project_human36m
from posewright.metrics.hypotheses import chosen_joints, j_agg, j_best, nearest_in_picture, p_agg, p_best
from posewright.models.lifting import diffpose_multihyp
from posewright.nn.diffusion_checkpoints import official_buffers
from posewright.nn.mirror import mirrored

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
    """The sampler's scale stands at the beginning of a sentence; the published one is named beside its arrays."""
    if "scaling_3d_pose" not in kwargs:
        return kwargs
    return {**kwargs, "scaling_3d_pose": float(number(r"(\d+)", str(kwargs["scaling_3d_pose"])))}


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
        scale = float(name.rpartition("scale")[2]) if "scale" in name else model.config.scaling_3d_pose
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


def finepose_arguments(kwargs: Mapping) -> Mapping:
    """Sizes of the text part are written out in words."""
    given = {k: v for k, v in kwargs.items() if k not in ("clip", "text_encoder", "left", "right")}
    found = {
        "text_width": number(r"width (\d+)", kwargs["clip"]),
        "text_heads": number(r"(\d+) heads", kwargs["clip"]),
        "text_layers": number(r"(\d+) layer", kwargs["clip"]),
        "text_vocabulary": number(r"vocabulary (\d+)", kwargs["clip"]),
        "prompt_layers": number(r"(\d+) post-norm", kwargs["text_encoder"]),
        "prompt_hidden": number(r"heads, (\d+)", kwargs["text_encoder"]),
    }
    sides = {f"joints_{side}": kwargs[side] for side in ("left", "right") if side in kwargs}
    return given | found | sides


def number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, (pattern, text)
    return int(found.group(1))


def finepose_denoiser(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    whole, prompt = model.denoiser.prompts(arrays["input_part_text"], arrays["input_text"])
    noisy = (arrays[f"input_{name}"] for name in ("pose2d", "pose3d", "t"))
    return {
        "output": model.denoiser(*noisy, whole, prompt),
        "output_text_pooled": whole,
        "output_text_tokens": prompt,
    }


def finepose_sampler(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    keypoints, noise = arrays["input_pose2d"], arrays["input_noise"]
    torch.testing.assert_close(mirrored(keypoints, model.keypoint_mirror), arrays["input_pose2d_flip"])
    whole, prompt = model.denoiser.prompts(arrays["input_part_text"], arrays["input_text"])
    clean = model.sample(keypoints, noise[0], noise[1:], whole=whole, prompt=prompt)
    steps = torch.linspace(0, len(model.schedule) - 1, len(arrays["output_alphas_cumprod"])).long()
    levels = model.schedule.levels[steps].float()
    return {"output": model.config.scale * clean, "output_alphas_cumprod": levels}


def finepose_jpma(_: nn.Module, arrays: Arrays) -> dict[str, Tensor]:
    """Official errors are in metres, one per iteration of the sampler; P-Best chooses one hypothesis per batch."""
    poses = arrays["input_hypotheses"]
    root = arrays["input_trajectory"][:, None, None]
    flat = project_human36m((poses + root).flatten(0, -2), arrays["input_camera"][0])
    projected = flat.reshape(*poses.shape[:-1], 2)
    h, images = (x.transpose(2, 3) for x in (poses, projected))
    keypoints = arrays["input_pose2d"][:, None].expand(-1, poses.shape[1], -1, -1, -1)
    target = arrays["input_target"][:, None].expand_as(h[..., 0, :, :])
    choice = nearest_in_picture(images, keypoints)
    errors = {"j_agg": j_agg(h, target, choice), "j_best": j_best(h, target), "p_agg": p_agg(h, target)}
    best = [p_best(one, t, one_for_all=True) for one, t in zip(h.unbind(1), target.unbind(1), strict=True)]
    means = {name: error.transpose(0, 1).flatten(1).mean(1) for name, error in errors.items()}
    return {
        "output_reprojection": projected,
        "output_choice": choice,
        "output": chosen_joints(h, choice),
        "output_p_best": torch.stack(best) / 1000,
    } | {f"output_{name}": error / 1000 for name, error in means.items()}
