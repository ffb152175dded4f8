"""How to run the recordings of UAO: the lifter, and its test-time optimisation with the true root."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from posewright.geometry.cameras import project_human36m
from posewright.models.lifting.uao import MIRROR, rooted
from posewright.nn.mirror import mirrored

Arrays = Mapping[str, Tensor]


def uao_lifter(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    mean, log_error = model.gaussian(arrays["input"])
    graph = torch.stack([block.graph.adjacency for block in model.blocks])
    torch.testing.assert_close(graph, arrays["input_graph"].transpose(1, 2).expand_as(graph))
    return {"output_mu": mean, "output_s": log_error[..., None]}


def uao_testtime(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    keypoints, root = arrays["input"], arrays["input_root"]
    torch.testing.assert_close(mirrored(keypoints, MIRROR), arrays["input_flip"])

    def image(joints: Tensor) -> Tensor:
        placed = (joints + root).unbind(1)
        cameras = arrays["input_camera"]
        return torch.stack([project_human36m(x, c) for x, c in zip(placed, cameras, strict=True)], 1)

    done = model.optimised(keypoints, image)
    c = model.config
    total = c.projection_weight * done.projection.sum(1) + c.uncertainty_weight * done.uncertainty.sum(1)
    flipped = mirrored(model(mirrored(keypoints, MIRROR)), MIRROR)
    return {
        "output_z": done.latents[0],
        "output_z_flip": done.latents[1],
        "output": rooted(done.joints.mean(0)),
        "output_without": (model(keypoints) + flipped) / 2,
        "output_losses": torch.cat([total[:, None], done.uncertainty, done.projection], 1),
    }
