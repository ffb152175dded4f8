"""Token pruning by density-peaks clustering (HoT, section 3.2): keep the frames that differ most.

Convention: tokens are (B, T, ..., C), T frames.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

NEIGHBOURS = 2
"""Nearest frames, the frame itself included, that make its density, as published."""
NOISE = 1e-6


@torch.no_grad()
def density_peaks(
    features: Float[Tensor, "B T C"],
    count: int,
    noise: Float[Tensor, "B T"] | None = None,
    always: int | None = None,
) -> Int[Tensor, "B count"]:
    """Choose `count` frames, in ascending order: those that are dense and far from any denser frame.

    Two frames that are each other's nearest neighbour have equal densities, so something must break ties. The
    official code adds uniform `noise` in [0, 1) times 1e-6, fresh at every call, so that its choice is
    random. Here, without `noise`, the earlier of two equally dense frames counts as the denser one: the same
    clip gives the same frames.

    Args:
        features: what frames are compared by.
        count: how many frames to keep.
        noise: the official code's draw, for parity with it.
        always: a frame that is kept in any case, as one of the `count`.
    """
    frames = features.shape[1]
    if not 0 < count <= frames:
        raise ValueError(f"density_peaks: {count} frames of {frames} cannot be kept")
    distance = torch.cdist(features, features) / features.shape[-1] ** 0.5
    nearest = distance.topk(min(NEIGHBOURS, frames), dim=-1, largest=False).values
    density = (-nearest.square().mean(-1)).exp()
    if noise is not None:
        density = density + noise * NOISE
    denser = density[:, None, :] > density[:, :, None]
    if noise is None:
        earlier = torch.ones(frames, frames, dtype=torch.bool, device=features.device).tril(-1)
        denser = denser | ((density[:, None, :] == density[:, :, None]) & earlier)
    farthest = distance.flatten(1).amax(-1)[:, None, None]
    score = torch.where(denser, distance, farthest).amin(-1) * density
    if always is not None:
        score[:, always] = float("inf")
    return score.topk(count, dim=-1).indices.sort(-1).values


def take_frames(x: Float[Tensor, "B T *C"], frames: Int[Tensor, "B K"]) -> Float[Tensor, "B K *C"]:
    """Return the tokens of the chosen frames."""
    return x[torch.arange(len(x), device=x.device)[:, None], frames]
