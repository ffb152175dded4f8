"""Procrustes alignment: the rotation, translation and scale that bring one set of points nearest another.

Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991. Mirror images
are never used: where a reflection would fit better, the best rotation is returned.
"""

from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Alignment:
    """`aligned = scale * R @ source + t`."""

    R: Float[Tensor, "*B 3 3"]
    t: Float[Tensor, "*B 3"]
    scale: Float[Tensor, "*B"]

    def __call__(self, points: Float[Tensor, "*B N 3"]) -> Float[Tensor, "*B N 3"]:
        return self.scale[..., None, None] * (points @ self.R.mT) + self.t[..., None, :]


def align(
    source: Float[Tensor, "*#B N 3"],
    target: Float[Tensor, "*#B N 3"],
    weights: Float[Tensor, "*#B N"] | None = None,
    *,
    scale: bool = False,
) -> Alignment:
    """Find the rigid (or, with `scale`, similarity) transform of `source` that is nearest `target` in least squares.

    Points that are NaN on either side, or weigh nothing, do not count; without any the alignment is NaN. Where the
    points do not determine the rotation (one point, or all on a line) one of the best is returned, with finite
    gradients; a source without extent has scale 1.
    """
    source, target = torch.broadcast_tensors(source, target)
    seen = torch.isfinite(source).all(-1) & torch.isfinite(target).all(-1)
    w = seen.to(source.dtype) if weights is None else torch.where(seen, weights.nan_to_num(), 0.0)
    source, target = (torch.where((w > 0)[..., None], x, 0.0) for x in (source, target))
    total = w.sum(-1, keepdim=True)
    w = (w / total.clamp(min=torch.finfo(w.dtype).tiny))[..., None]
    source_mean, target_mean = (w * source).sum(-2), (w * target).sum(-2)
    from_, to = source - source_mean[..., None, :], target - target_mean[..., None, :]
    covariance = (w * to).mT @ from_
    size = covariance.detach().abs().amax((-2, -1), keepdim=True)
    scaled = covariance / torch.where(size > 0, size, 1.0)
    R = roma.special_procrustes(scaled)
    assert isinstance(R, Tensor)
    s = torch.ones_like(total[..., 0])
    if scale:
        spread = (w * from_.square()).sum((-2, -1))
        flat = spread <= torch.finfo(w.dtype).tiny
        s = torch.where(flat, 1.0, (R * covariance).sum((-2, -1)) / torch.where(flat, 1.0, spread))
    t = target_mean - s[..., None] * (R @ source_mean[..., None])[..., 0]
    known = total > 0
    return Alignment(torch.where(known[..., None], R, torch.nan), torch.where(known, t, torch.nan), s)
