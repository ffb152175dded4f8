"""Errors of joint positions, in millimetres: MPJPE and its aligned forms, and the error of the root's place.

MPJPE is the mean over joints of the distance between estimate and truth (protocol 1 of Human3.6M when both are relative
to the root); PA-MPJPE first aligns each pose by the best rotation, translation and scale (protocol 2; Gower 1975);
N-MPJPE first scales each pose (protocol 3; Rhodin et al., CVPR 2018, Unsupervised Geometry-Aware Representation for 3D
Human Pose Estimation, section 4); MRPE is the distance of the roots in camera axes (Moon et al., ICCV 2019, Camera
Distance-aware Top-down Approach, section 6).

Convention: poses are (..., J, 3) in metres, tensors or numpy arrays; results are (...,) in millimetres, one number per
pose, to be averaged over what the protocol says (`metrics.averaging`). A joint that is NaN in the truth is not scored;
an estimate that is NaN where the truth is finite makes the result NaN, so that it cannot go unnoticed.
"""

import torch
from torch import Tensor

from posewright.metrics.arrays import MILLIMETRES, Array, as_tensors, check_poses, masked_mean, scored, wide

NEWTON_STEPS = 12
"""Enough for full precision in float64 from the upper bound of the root, which is at most three times the root."""
SETTLED = 1e-9
"""Last step of Newton's method: the next would be its square."""
WELL_POSED = 1e-2
"""Product of the eigenvalue gaps, relative to the covariance, below which rotations come from an SVD."""


def mpjpe(predicted: Array, target: Array) -> Array:
    """Mean per-joint position error, as given: subtract the root before (`root_relative`), if the protocol does.

    Args:
        predicted: (..., J, 3) metres.
        target: the same shape; NaN joints are not scored.

    Returns:
        (...,) millimetres; NaN where no joint is scored or a scored one is not estimated.

    Raises:
        ValueError: shapes that differ.
    """
    (p, t), unwrap = as_tensors(predicted, target)
    check_poses(p, t)
    return unwrap(_mean_distance(p - t, t))


def pa_mpjpe(predicted: Array, target: Array) -> Array:
    """MPJPE in millimetres after aligning each pose by rotation, translation and scale (no reflection)."""
    (p, t), unwrap = as_tensors(predicted, target)
    check_poses(p, t)
    flat_p, flat_t = p.reshape(-1, *p.shape[-2:]), t.reshape(-1, *t.shape[-2:])
    A, p_centred, t_centred, _ = _similarity(flat_p, flat_t)
    error = torch.baddbmm(t_centred, p_centred, A.mT, alpha=-1)
    return unwrap(_mean_distance(error, flat_t).reshape(t.shape[:-2]))


def n_mpjpe(predicted: Array, target: Array) -> Array:
    """MPJPE in millimetres after scaling each root-relative pose by the factor with the least squared error."""
    (p, t), unwrap = as_tensors(predicted, target)
    check_poses(p, t)
    p_seen, t_seen, _ = _zero_filled(p, t)
    scale = (p_seen * t_seen).flatten(-2).sum(-1) / p_seen.square().flatten(-2).sum(-1).clamp(min=1e-12)
    return unwrap(_mean_distance(scale[..., None, None] * p - t, t))


def mrpe(predicted: Array, target: Array, root: int = 0) -> Array:
    """Mean root position error: distance of the estimated root from the true one, in camera axes.

    Args:
        predicted: (..., J, 3) metres, camera axes, at its estimated place (not root-relative).
        target: the same shape.
        root: index of the root joint.

    Returns:
        (...,) millimetres per pose; NaN where either root is missing. `mrpe_axes` gives x, y and z apart.
    """
    (p, t), unwrap = as_tensors(predicted, target)
    check_poses(p, t)
    return unwrap(MILLIMETRES * torch.linalg.vector_norm((p - t)[..., root, :], dim=-1))


def mrpe_axes(predicted: Array, target: Array, root: int = 0) -> Array:
    """Distance of the roots along x, y and z of the camera, (..., 3) millimetres (MRPE_x, MRPE_y, MRPE_z)."""
    (p, t), unwrap = as_tensors(predicted, target)
    check_poses(p, t)
    return unwrap(MILLIMETRES * (p - t)[..., root, :].abs())


def root_relative(poses: Array, root: int | tuple[int, ...] = 0) -> Array:
    """Poses (..., J, 3) minus their root: one joint, or the middle of several (such as both hips)."""
    (x,), unwrap = as_tensors(poses)
    joints = [root] if isinstance(root, int) else list(root)
    return unwrap(x - x[..., joints, :].mean(-2, keepdim=True))


def procrustes_aligned(predicted: Array, target: Array) -> Array:
    """Poses moved, turned and scaled onto the truth in the least squares sense (Umeyama 1991, eqs. 38-43).

    Args:
        predicted: (..., J, 3).
        target: the same shape; NaN joints do not count.

    Returns:
        (..., J, 3), each pose aligned by itself; NaN poses where a joint that the truth has is not estimated.
    """
    (p, t), unwrap = as_tensors(predicted, target)
    check_poses(p, t)
    A, p_centred, _, t_mean = _similarity(p.reshape(-1, *p.shape[-2:]), t.reshape(-1, *t.shape[-2:]))
    return unwrap(torch.baddbmm(t_mean, p_centred, A.mT).reshape(t.shape))


def _mean_distance(error: Tensor, target: Tensor) -> Tensor:
    """Mean length of the error vectors (..., J, 3) of scored joints, in millimetres."""
    distance = torch.linalg.vector_norm(error, dim=-1)
    mean = distance.mean(-1)
    if torch.isnan(mean).any():
        mean = masked_mean(distance, scored(target))
    return MILLIMETRES * mean


def _zero_filled(p: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor | int]:
    """Poses with 0 for joints that are not scored, and how many are (..., 1, 1); nothing to do where all are."""
    if torch.isfinite(t.sum()):
        return p, t, max(t.shape[-2], 1)
    seen = torch.isfinite(t).all(-1, keepdim=True)
    return torch.where(seen, p, 0.0), torch.where(seen, t, 0.0), seen.sum(-2, keepdim=True).clamp(min=1)


def _similarity(p: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The similarity `t = A (p - p_mean) + t_mean` of least squares for poses (N, J, 3).

    Returns:
        A (N, 3, 3), scaled rotations; estimate and truth minus their means (N, J, 3); the truth's mean (N, 1, 3).
    """
    p_seen, t_seen, count = _zero_filled(p, t)
    p_mean, t_mean = (x.sum(-2, keepdim=True) / count for x in (p_seen, t_seen))
    p_centred, t_centred = p - p_mean, t - t_mean
    p_seen, t_seen, _ = _zero_filled(p_centred, t_centred)
    covariance = wide(t_seen.mT @ p_seen)
    spread = wide(p_seen.flatten(1).square().sum(-1)).clamp(min=1e-12)
    rotation = _best_rotations(covariance)
    scale = (rotation * covariance).flatten(1).sum(-1) / spread
    return (scale[:, None, None] * rotation).to(t.dtype), p_centred, t_centred, t_mean


def _best_rotations(covariance: Tensor) -> Tensor:
    """Rotations (N, 3, 3) of largest trace(R^T B): those that turn the estimate onto the truth.

    Markley, Attitude Determination Using Vector Observations: A Fast Optimal Matrix Algorithm, J. Astronautical
    Sciences 41(2), 1993: the largest eigenvalue of Davenport's matrix by Newton's method on its characteristic
    polynomial, then the rotation in closed form. All poses at once, elementwise (poses last, so that each entry of the
    matrices lies in one piece); the few whose rotation is ill-determined (points nearly on a line) go through an SVD
    instead, which picks one of the best.
    """
    size = torch.linalg.vector_norm(covariance.flatten(1), dim=-1)
    usable = torch.isfinite(size) & (size > 0)
    B = covariance.permute(1, 2, 0).contiguous() / size
    if not usable.all():
        B = torch.where(usable, B, torch.eye(3).to(B)[..., None] / 3**0.5)
    cofactors = torch.stack([_cross(B[1], B[2]), _cross(B[2], B[0]), _cross(B[0], B[1])])
    det = (B[0] * cofactors[0]).sum(0)
    eigenvalue, settled = _largest_eigenvalue(det, cofactors.square().sum((0, 1)))
    kappa = (eigenvalue.square() - 1) / 2
    zeta = kappa * eigenvalue - det
    cubed = ((B[:, None] * B[None]).sum(2)[:, :, None] * B[None]).sum(1)
    unclear = ~(usable & settled & (8 * zeta > WELL_POSED))
    rotation = ((kappa + 1) * B + eigenvalue * cofactors - cubed) / torch.where(unclear, 1.0, zeta)
    rotation = rotation.permute(2, 0, 1).contiguous()
    if unclear.any():
        rotation[unclear] = _rotations_by_svd(B.permute(2, 0, 1)[unclear])
        rotation = torch.where(torch.isfinite(size)[:, None, None], rotation, torch.nan)
    return rotation


def _largest_eigenvalue(det: Tensor, cofactor_size: Tensor) -> tuple[Tensor, Tensor]:
    """Largest root (N,) of (x^2 - 1)^2 - 8 x det B - 4 |adj B|^2, for B of Frobenius norm 1: at most sqrt(3).

    Returns:
        The root, and whether Newton's method has settled (near a double root it is slow).
    """
    x, step = torch.full_like(det, 3**0.5), det
    for _ in range(NEWTON_STEPS):
        rest = x.square() - 1
        slope = 4 * (x * rest - 2 * det)
        step = (rest.square() - 8 * x * det - 4 * cofactor_size) / slope.clamp(min=1e-9)
        x = x - step
    return x, step.abs() < (SETTLED if x.dtype == torch.float64 else 1e-4)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product of (3, N) vectors."""
    return torch.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def _rotations_by_svd(B: Tensor) -> Tensor:
    u, _, vt = torch.linalg.svd(B)
    sign = torch.ones_like(B[..., 0])
    sign[..., -1] = torch.where(torch.linalg.det(u @ vt) < 0, -1.0, 1.0)
    return (u * sign[..., None, :]) @ vt
