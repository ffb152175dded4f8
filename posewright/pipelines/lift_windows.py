"""The default lifter over a clip of any length: overlapping windows, blended.

Convention: as `models.lifting.raylift`, at its own rate of 50 frames per second.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

WINDOW, HOP, BATCH = 128, 64, 32
"""Frames per window and between windows, windows at a time."""


@torch.inference_mode()
def run_windows(
    network: nn.Module, keypoints: Float[Tensor, "T J C"], focal_known: bool, at_once: int = BATCH
) -> Float[Tensor, "T J 3"]:
    """Run the model over a clip at its own rate, window by window, and blend where windows overlap.

    Args:
        network: the lifter, or `pipelines.lift_refined.RefinedRaylift`, which reads more of each keypoint.
        keypoints: rays and confidence, C = 3.
        focal_known: whether the rays come from the true focal length.
        at_once: windows that are run together.
    """
    T = len(keypoints)
    known = keypoints.new_full((at_once,), float(focal_known))
    if T <= WINDOW:
        return network(keypoints[None], known[:1])[0]
    starts = torch.arange(0, T - WINDOW + HOP, HOP).clamp_max(T - WINDOW)
    position = torch.arange(WINDOW, device=keypoints.device)
    ramp = torch.minimum(position + 1, WINDOW - position).to(keypoints.dtype)[:, None, None]
    total = keypoints.new_zeros(*keypoints.shape[:2], 3)
    weight = keypoints.new_zeros(T, 1, 1)
    for group in starts.to(keypoints.device).split(at_once):
        index = group[:, None] + position
        out = network(keypoints[index], known[: len(group)])
        total.index_add_(0, index.flatten(), (out * ramp).flatten(0, 1))
        weight.index_add_(0, index.flatten(), ramp.expand(len(group), -1, -1, -1).flatten(0, 1))
    return total / weight
