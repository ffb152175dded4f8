"""Errors of whole trajectories in a world whose origin and heading the estimate cannot know.

W-MPJPE and WA-MPJPE as in Shin et al., "WHAM" (CVPR 2024, section 4), after Ye et al., "SLAHMR" (2023): a clip is cut
into segments of 100 frames; each segment of the estimate is moved, turned and scaled onto the truth as one rigid thing,
by its first two frames (W) or by all of them (WA). Here the scale is kept unless asked for: metres should be right in
metres.

Convention: motions are (T, J, 3) in metres with time first, tensors or numpy arrays; NaN in either is not scored.
"""

import torch
from torch import Tensor

from posewright.metrics.arrays import MILLIMETRES, Array, as_tensors, check_poses, masked_mean, wide

SEGMENT = 100
"""Frames aligned together."""


def w_mpjpe(predicted: Array, target: Array, segment: int = SEGMENT, scaled: bool = False) -> Array:
    """World error per frame after aligning each segment by its first two scored frames: drift counts in full.

    Args:
        predicted: (T, J, 3) metres.
        target: the same shape.
        segment: frames per segment; the last may be shorter.
        scaled: also fit a scale, as the papers do.

    Returns:
        (T,) millimetres; NaN in frames without a joint in both.
    """
    return _aligned_error(predicted, target, segment, scaled, anchor=2)


def wa_mpjpe(predicted: Array, target: Array, segment: int = SEGMENT, scaled: bool = False) -> Array:
    """World error per frame after aligning each segment by all its frames; as `w_mpjpe` otherwise."""
    return _aligned_error(predicted, target, segment, scaled, anchor=None)


def _aligned_error(predicted: Array, target: Array, segment: int, scaled: bool, anchor: int | None) -> Array:
    (p, t), unwrap = as_tensors(predicted, target)
    check_poses(p, t, "motions", least_dims=3)
    if p.ndim != 3:
        raise ValueError(f"motions have shape {tuple(p.shape)}, expected (T, J, 3): one person at a time")
    p, t = wide(p), wide(t)
    both = torch.isfinite(p).all(-1) & torch.isfinite(t).all(-1)
    p, t = torch.where(both[..., None], p, 0.0), torch.where(both[..., None], t, 0.0)
    errors = torch.full(p.shape[:1], torch.nan, dtype=p.dtype, device=p.device)
    for start in range(0, len(p), segment):
        part = slice(start, start + segment)
        used = both[part]
        if anchor is not None:
            frames = torch.nonzero(used.any(-1)).flatten()[:anchor]
            used = torch.zeros_like(used).index_fill_(0, frames, True) & used
        moved = _moved(p[part], t[part], used, scaled)
        errors[part] = masked_mean(torch.linalg.vector_norm(moved - t[part], dim=-1), both[part])
    return unwrap(MILLIMETRES * errors)


def _moved(p: Tensor, t: Tensor, used: Tensor, scaled: bool) -> Tensor:
    """Move all of `p` by the similarity that brings its `used` joints onto those of `t` (Umeyama 1991)."""
    if int(used.sum()) < 3:
        return torch.full_like(p, torch.nan)
    a, b = p[used], t[used]
    a_mean, b_mean = a.mean(0), b.mean(0)
    u, s, vt = torch.linalg.svd((b - b_mean).T @ (a - a_mean))
    sign = torch.ones_like(s)
    sign[-1] = torch.where(torch.linalg.det(u @ vt) < 0, -1.0, 1.0)
    rotation = (u * sign) @ vt
    scale = (s * sign).sum() / (a - a_mean).square().sum().clamp(min=1e-12) if scaled else 1.0
    return scale * (p - a_mean) @ rotation.T + b_mean
