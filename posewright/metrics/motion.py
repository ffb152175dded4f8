"""Errors of motion over time: velocity, acceleration, jitter, and bones that change length.

Convention: motions are (T, ..., J, 3) in metres with time first, tensors or numpy arrays; rates in frames per second. A
joint that is NaN in any frame that a difference needs is left out of it. Functions called `..._errors` give one number
per difference, to be averaged by frame or action (`metrics.averaging`); the others one number for the whole motion.
"""

import torch
from torch import Tensor

from posewright.metrics.arrays import MILLIMETRES, Array, as_tensors, check_poses, masked_mean


def mpjve(predicted: Array, target: Array, fps: float | None = None) -> float:
    """Mean per-joint velocity error.

    Args:
        predicted: (T, ..., J, 3) metres.
        target: the same shape.
        fps: frames per second for millimetres per second; None: millimetres per frame, as Pavllo et al. (VideoPose3D,
            2019, section 5) report it.
    """
    return _mean_norm(MILLIMETRES * (fps or 1.0) * _error_difference(predicted, target, 1))


def acceleration_error(predicted: Array, target: Array, fps: float | None = None) -> float:
    """Mean per-joint acceleration error, ACCEL (Kanazawa et al., HMMR, 2019, appendix).

    Args:
        predicted: (T, ..., J, 3) metres.
        target: the same shape.
        fps: frames per second for metres per second squared; None: millimetres per frame squared. Papers print both
            as "mm/s^2" or without unit: at 30 frames per second 1 mm/frame^2 is 0.9 m/s^2.
    """
    unit = MILLIMETRES if fps is None else fps**2
    return _mean_norm(unit * _error_difference(predicted, target, 2))


def velocity_errors(predicted: Array, target: Array, fps: float | None = None) -> Array:
    """MPJVE of each pair of frames, (T - 1, ...): units as `mpjve`; NaN where no joint is in both."""
    return _per_difference(_error_difference(predicted, target, 1), predicted, MILLIMETRES * (fps or 1.0))


def acceleration_errors(predicted: Array, target: Array, fps: float | None = None) -> Array:
    """ACCEL of each three frames, (T - 2, ...): units as `acceleration_error`; NaN where no joint is in all three."""
    unit = MILLIMETRES if fps is None else fps**2
    return _per_difference(_error_difference(predicted, target, 2), predicted, unit)


def jitter(motion: Array, fps: float) -> float:
    """Mean size of the third time derivative of the joints, metres per second cubed: no truth needed.

    Yi et al. (TransPose, 2021, section 5) and later work call this jitter and give it in units of 100 m/s^3.
    """
    (x,), _ = as_tensors(motion)
    return _mean_norm(fps**3 * torch.diff(x.double(), n=3, dim=0))


def bone_length_deviation(motion: Array, parents: tuple[int, ...]) -> float:
    """Standard deviation over time of each bone's length, averaged over bones, in millimetres.

    Args:
        motion: (T, ..., J, 3) metres.
        parents: index of each joint's parent, -1 for a root.
    """
    (x,), _ = as_tensors(motion)
    children = [j for j, p in enumerate(parents) if p >= 0]
    bones = x[..., children, :] - x[..., [parents[j] for j in children], :]
    lengths = torch.linalg.vector_norm(bones.double(), dim=-1)
    seen = torch.isfinite(lengths)
    count = seen.sum(0)
    mean = torch.where(seen, lengths, 0.0).sum(0) / count.clamp(min=1)
    variance = torch.where(seen, (lengths - mean).square(), 0.0).sum(0) / count.clamp(min=1)
    known = variance.sqrt()[count > 0]
    return float(MILLIMETRES * known.mean()) if len(known) else float("nan")


def _error_difference(predicted: Array, target: Array, order: int) -> Tensor:
    """(T - order, ..., J, 3): difference over time of the estimate's error."""
    (p, t), _ = as_tensors(predicted, target)
    check_poses(p, t, "motions", least_dims=3)
    return torch.diff(p - t, n=order, dim=0)


def _per_difference(vectors: Tensor, like: Array, unit: float) -> Array:
    """Mean over joints, in the caller's kind of array."""
    (_,), unwrap = as_tensors(like)
    length = torch.linalg.vector_norm(vectors, dim=-1)
    mean = length.mean(-1)
    return unwrap(unit * (masked_mean(length, torch.isfinite(length)) if torch.isnan(mean).any() else mean))


def _mean_norm(vectors: Tensor) -> float:
    """Mean length of the finite vectors; NaN where there are none."""
    length = torch.linalg.vector_norm(vectors, dim=-1)
    finite = torch.isfinite(length)
    mean = torch.where(finite, length, 0.0).sum() / finite.sum()
    return float(mean)
