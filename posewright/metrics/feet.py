"""Feet on the floor: do planted feet slide, does anything sink into the floor.

Convention: world, metres, Z up, floor at z = 0; numpy arrays or tensors; NaN is not scored.
"""

import torch

from posewright.metrics.arrays import MILLIMETRES, Array, as_tensors, masked_mean


def foot_skating(feet: Array, planted: Array, fps: float) -> float:
    """Mean horizontal speed of planted feet, millimetres per second: 0 for feet that stand.

    Args:
        feet: (T, F, 3) metres; any points of the feet that rest on the floor.
        planted: (T, F) bool: the point stands on the floor in that frame; true contacts, if they are known. A step
            from frame t to t + 1 counts where the point is planted in both.
        fps: frames per second.
    """
    (x,), _ = as_tensors(feet)
    (on,), _ = as_tensors(planted)
    if x.ndim != 3 or x.shape[-1] != 3 or on.shape != x.shape[:2]:
        raise ValueError(
            f"foot_skating: feet {tuple(x.shape)} and planted {tuple(on.shape)}, expected (T, F, 3) and (T, F)"
        )
    speed = MILLIMETRES * fps * torch.linalg.vector_norm(torch.diff(x[..., :2], dim=0), dim=-1)
    counted = (on[1:] > 0) & (on[:-1] > 0) & torch.isfinite(speed)
    return float(masked_mean(speed.flatten(), counted.flatten()))


def floor_penetration(points: Array) -> float:
    """Mean depth of the points below the floor, millimetres; points above it count as 0.

    Args:
        points: (..., 3) metres.
    """
    (x,), _ = as_tensors(points)
    depth = (-MILLIMETRES * x[..., 2]).clamp(min=0).flatten()
    return float(masked_mean(depth, torch.isfinite(depth)))
