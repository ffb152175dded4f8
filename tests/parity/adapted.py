"""How to run the recordings of guided sampling and of domain adaptation: Platypose, PoSynDA, PoseDA."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from posewright.adapt.alignment import depth_of_box, global_position_alignment, placed
from posewright.nn.mirror import mirrored
from posewright.nn.post_norm import sinusoidal_positions
from posewright.nn.reprojection_guidance import Cameras

Arrays = Mapping[str, Tensor]


def platypose_arguments(kwargs: Mapping) -> dict[str, Any]:
    """The official respacing, which keeps the steps of `timestep_map`, is our number of sampling steps."""
    left_out = ("schedule", "respacing", "timestep_map")
    ours = {k: v for k, v in kwargs.items() if k not in left_out}
    if "timestep_map" in kwargs:
        ours["sampling_timesteps"] = len(kwargs["timestep_map"])
    return ours


def platypose_denoiser(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    table = arrays["input_pe_first_rows"]
    torch.testing.assert_close(sinusoidal_positions(len(table), model.config.latent_dim), table[:, 0])
    return {"output": model.denoiser(arrays["input_x"], arrays["input_t"])}


def platypose_sampler(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    """The official camera takes rows of points: (X - t) times the inverse of R."""
    R = torch.linalg.inv(arrays["input_camera_R"]).transpose(-1, -2)
    t = -(R @ arrays["input_camera_t"].transpose(-1, -2))[..., 0]
    focal, centre = (arrays[f"input_camera_{name}"].expand(len(R), 2) for name in ("f", "c"))
    steps: list = []
    poses = model.sample(
        arrays["input_pose2d"],
        Cameras(R, t, focal, centre),
        arrays["input_weights"],
        arrays["input_root"][:, :, 0],
        start=arrays["input_noise"][None],
        record=steps,
    )[0].flatten(-2)
    before, energy = (torch.stack([step[i][0] for step in steps]) for i in (0, 1))
    return {
        "output_x0": poses,
        "output_x0_before_energy": before,
        "output_energy": energy,
        "output_last_sample": poses[-1],
    }


def posynda_denoiser(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    keypoints, noisy, steps = (arrays[f"input_{name}"] for name in ("pose2d", "pose3d", "t"))
    return {"output": model.denoiser(keypoints, noisy, steps)}


def posynda_sampler(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    """Official poses are millimetres."""
    keypoints, noise = arrays["input_pose2d"], arrays["input_noise"]
    torch.testing.assert_close(mirrored(keypoints, model.keypoint_mirror), arrays["input_pose2d_flip"])
    return {"output": 1000 * model.sample(keypoints, noise[0], noise[1:])}


def posynda_weight_net(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    table = arrays["input_pe_first_rows"]
    torch.testing.assert_close(sinusoidal_positions(len(table), table.shape[-1]), table[:, 0])
    return {"output": model(arrays["input"])}


def poseda_gpa(_: Any, arrays: Arrays) -> dict[str, Tensor]:
    """The official code takes the depth's focal length from the first camera, that of the place from each one's."""
    poses, keypoints = arrays["input_source"], arrays["input_target2d"][arrays["input_permutation"]]
    focal, centre = arrays["input_camera"].split(2, -1)
    depth = depth_of_box(poses, keypoints, focal[:1])
    out = placed(poses, keypoints[:, 0], depth, focal, centre)
    if bool((focal == focal[:1]).all()):
        torch.testing.assert_close(global_position_alignment(poses, keypoints, focal, centre), out)
    return {"output": out}
