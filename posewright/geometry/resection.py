"""Where a known shape stands before a camera: root translation of a pose, and full camera pose (PnP).

Convention: camera axes as OpenCV; pixels; image points may be given with NaN or zero weight where they are missing.

The size of the shape is taken as given. Translation and scale cannot both be found from one view: a shape s times as
large, s times as far, gives the same picture.
"""

from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from posewright.geometry.cameras import apply_intrinsics, project, undistort_pixels
from posewright.geometry.rotations import rotvec_to_matrix

DEPTH_RANGE = 5.0
"""A root's depth lies within this factor of what the size of the pose in the picture suggests."""


@dataclass(frozen=True)
class RootFit:
    """Root translations and how well they explain the picture."""

    translation: Float[Tensor, "*B 3"]
    """Camera axes, unit of the joints; NaN where fewer than two joints are seen or they do not fix the depth."""
    residual: Float[Tensor, "*B"]
    """Weighted root mean square reprojection error, pixels."""
    covariance: Float[Tensor, "*B 3 3"]
    """Of the translation, for independent errors of one pixel in the keypoints (scale by their variance)."""


@dataclass(frozen=True)
class CameraFit:
    """Camera poses, world to camera, and how well they explain the picture."""

    R: Float[Tensor, "*B 3 3"]
    t: Float[Tensor, "*B 3"]
    residual: Float[Tensor, "*B"]
    """Weighted root mean square reprojection error, pixels."""


def root_translation(
    joints: Float[Tensor, "*B J 3"],
    keypoints: Float[Tensor, "*B J 2"],
    K: Float[Tensor, "*#B 3 3"],
    weights: Float[Tensor, "*B J"] | None = None,
    distortion: Float[Tensor, "*#B D"] | None = None,
    model: str = "pinhole",
    *,
    steps: int = 5,
    huber: float | None = None,
) -> RootFit:
    """Find where root-relative joints must stand so that they image to the keypoints.

    First the weighted linear least squares of `x + t_x = u (z + t_z)`, `y + t_y = v (z + t_z)` in closed form, then
    Gauss-Newton on the true reprojection error. The depth is kept within a factor `DEPTH_RANGE` of the ratio of the
    spreads in space and picture, which only a pose that contradicts the picture reaches; its residual is large.

    Args:
        joints: relative to the root, camera axes, metres.
        keypoints: the same joints in the picture, pixels, distorted as the camera does it.
        K: intrinsics.
        weights: of each joint, such as its confidence; None: all 1. NaN joints and keypoints weigh nothing.
        distortion: coefficients or None.
        model: `pinhole` or `fisheye`.
        steps: Gauss-Newton steps; 0 leaves the linear solution.
        huber: pixels beyond which an error counts linearly instead of squared; None: all squared.
    """
    flat = undistort_pixels(keypoints, K, distortion, model)
    joints, flat, weights = _without_missing(joints, flat, weights)
    focal = K[..., None, :2, :2].diagonal(dim1=-2, dim2=-1)
    nearest, farthest = _depth_range(joints, flat, weights)
    t = _linear_translation(joints, flat, weights, nearest, farthest)
    for _ in range(steps):
        normal, gradient, _ = _translation_equations(joints, flat, weights, focal, t, huber)
        t = t - torch.linalg.solve_ex(normal, gradient[..., None])[0][..., 0]
        t = torch.cat([t[..., :2], t[..., 2:].clamp(nearest, farthest)], -1)
    normal, _, squared = _translation_equations(joints, flat, weights, focal, t, None)
    total = weights.sum(-1)
    known = ((weights > 0).sum(-1) >= 2) & _well_posed(normal)
    residual = torch.where(known, (squared / total.clamp(min=1e-12)).sqrt(), torch.nan)
    safe = torch.where(known[..., None, None], normal, torch.eye(3, dtype=t.dtype, device=t.device))
    covariance = torch.where(known[..., None, None], torch.linalg.inv(safe), torch.nan)
    return RootFit(torch.where(known[..., None], t, torch.nan), residual, covariance)


def perspective_n_point(
    points: Float[Tensor, "*B N 3"],
    pixels: Float[Tensor, "*B N 2"],
    K: Float[Tensor, "*#B 3 3"],
    weights: Float[Tensor, "*B N"] | None = None,
    distortion: Float[Tensor, "*#B D"] | None = None,
    model: str = "pinhole",
    *,
    steps: int = 20,
) -> CameraFit:
    """Find the camera's pose from points known in the world and their image.

    Two starts, the direct linear transform (needs six points in general position) and the homography of the points'
    plane (needs four, right for boards), each refined by Levenberg-Marquardt on the reprojection error; the better one
    is kept.

    Args:
        points: world, any unit.
        pixels: their image; NaN where not seen.
        K: intrinsics.
        weights: of each point; None: all 1.
        distortion: coefficients or None.
        model: `pinhole` or `fisheye`.
        steps: Levenberg-Marquardt steps.

    Returns:
        Poses; NaN where fewer than four points are seen.
    """
    flat = undistort_pixels(pixels, K, distortion, model)
    points, flat, weights = _without_missing(points, flat, weights)
    K = K.expand(*points.shape[:-2], 3, 3)
    starts = [_pose_from_dlt(points, flat, weights), _pose_from_plane(points, flat, weights)]
    fits = [refine_pose(points, flat, K, weights, R, t, steps=steps) for R, t in starts]
    better = fits[1].residual.nan_to_num(torch.inf) < fits[0].residual.nan_to_num(torch.inf)
    known = (weights > 0).sum(-1) >= 4

    def pick(second: Tensor, first: Tensor) -> Tensor:
        shape = better.shape + (1,) * (first.ndim - better.ndim)
        return torch.where(known.view(shape), torch.where(better.view(shape), second, first), torch.nan)

    return CameraFit(*(pick(getattr(fits[1], n), getattr(fits[0], n)) for n in ("R", "t", "residual")))


def refine_pose(
    points: Float[Tensor, "*B N 3"],
    flat: Float[Tensor, "*B N 2"],
    K: Float[Tensor, "*B 3 3"],
    weights: Float[Tensor, "*B N"],
    R: Float[Tensor, "*B 3 3"],
    t: Float[Tensor, "*B 3"],
    *,
    steps: int = 20,
) -> CameraFit:
    """Improve camera poses by Levenberg-Marquardt on the reprojection error; `flat` are undistorted (x / z, y / z)."""
    damping = torch.full_like(t[..., 0], 1e-3)
    cost = _pose_cost(points, flat, K, weights, R, t)
    for _ in range(steps):
        normal, gradient = _pose_equations(points, flat, K, weights, R, t)
        scale = normal.diagonal(dim1=-2, dim2=-1).clamp(min=1e-9)
        damped = normal + torch.diag_embed(scale * damping[..., None])
        step = -torch.linalg.solve_ex(damped, gradient[..., None])[0][..., 0]
        turn = rotvec_to_matrix(step[..., :3])
        new_R, new_t = turn @ R, (turn @ t[..., None])[..., 0] + step[..., 3:]
        new_cost = _pose_cost(points, flat, K, weights, new_R, new_t)
        good = new_cost < cost
        R, t = torch.where(good[..., None, None], new_R, R), torch.where(good[..., None], new_t, t)
        cost, damping = torch.where(good, new_cost, cost), torch.where(good, damping / 5, damping * 5)
    return CameraFit(R, t, (cost / weights.sum(-1)).sqrt())


def _without_missing(points: Tensor, flat: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Give missing points weight 0 and finite coordinates."""
    weights = torch.ones_like(flat[..., 0]) if weights is None else weights.nan_to_num()
    seen = torch.isfinite(points).all(-1) & torch.isfinite(flat).all(-1) & (weights > 0)
    return points.nan_to_num(), torch.where(seen[..., None], flat, 0.0), weights * seen


def _linear_translation(
    joints: Tensor, flat: Tensor, weights: Tensor, nearest: Tensor, farthest: Tensor
) -> Tensor:
    """Closed form of the linear equations, the depth within its range."""
    w = _shares(weights)
    mean_flat = (w * flat).sum(-2)
    target = flat * joints[..., 2:] - joints[..., :2]  # = t_xy - t_z * flat
    mean_target = (w * target).sum(-2)
    centred = flat - mean_flat[..., None, :]
    spread = (w * centred.square()).sum((-2, -1)).clamp(min=1e-18)
    depth = -(w * centred * (target - mean_target[..., None, :])).sum((-2, -1)) / spread
    depth = depth[..., None].clamp(nearest, farthest)
    return torch.cat([mean_target + depth * mean_flat, depth], -1)


def _depth_range(joints: Tensor, flat: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Least and greatest root depth: all weighted joints in front of the camera, and the size about right."""
    w = _shares(weights)

    def spread(x: Tensor) -> Tensor:
        return (w * (x - (w * x).sum(-2, keepdim=True)).square()).sum((-2, -1))

    by_size = (
        (spread(joints[..., :2]).clamp(min=1e-18) / spread(flat).clamp(min=1e-18)).sqrt()[..., None].detach()
    )
    behind = torch.where(weights > 0, -joints[..., 2], -torch.inf).amax(-1, keepdim=True).detach()
    nearest = torch.maximum(1.1 * behind.clamp(min=0) + 1e-6, by_size / DEPTH_RANGE)
    return nearest, torch.maximum(nearest, by_size * DEPTH_RANGE)


def _shares(weights: Tensor) -> Tensor:
    """Weights as shares of their sum, with a last dimension of 1."""
    return (weights / weights.sum(-1, keepdim=True).clamp(min=1e-12))[..., None]


def _translation_equations(
    joints: Tensor, flat: Tensor, weights: Tensor, focal: Tensor, t: Tensor, huber: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Normal matrix, gradient and weighted sum of squared pixel errors at translation t."""
    x, y, z = (joints + t[..., None, :]).unbind(-1)
    z = z.clamp(min=1e-6)
    error = (torch.stack([x / z, y / z], -1) - flat) * focal
    zero, one = torch.zeros_like(z), torch.ones_like(z)
    rows = torch.stack([torch.stack([one, zero, -x / z], -1), torch.stack([zero, one, -y / z], -1)], -2)
    rows = rows * (focal / z[..., None])[..., None]
    squared = error.square().sum(-1)
    w = weights
    if huber is not None:
        w = w * (huber / squared.clamp(min=1e-18).sqrt()).clamp(max=1)
    normal = torch.einsum("...j,...jci,...jck->...ik", w, rows, rows)
    return normal, torch.einsum("...j,...jci,...jc->...i", w, rows, error), (weights * squared).sum(-1)


def _well_posed(normal: Tensor) -> Tensor:
    """True where the normal matrix can be inverted (compared after scaling its diagonal to 1)."""
    scale = normal.diagonal(dim1=-2, dim2=-1).clamp(min=1e-30).rsqrt()
    scaled = normal * scale[..., :, None] * scale[..., None, :]
    return torch.linalg.det(scaled) > 100 * torch.finfo(normal.dtype).eps


def _pose_from_dlt(points: Tensor, flat: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Direct linear transform: the 3x4 projection, of which the left part is made a rotation."""
    homogeneous, conditioning = _conditioned(points, weights)
    projection = _homogeneous_map(homogeneous, flat, weights) @ conditioning
    return _pose_from_columns(projection[..., :3], projection[..., 3], points, weights)


def _pose_from_plane(points: Tensor, flat: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Homography from the plane that fits the points best."""
    w = weights / weights.sum(-1, keepdim=True).clamp(min=1e-12)
    centre = (w[..., None] * points).sum(-2, keepdim=True)
    centred = points - centre
    scatter = torch.einsum("...n,...ni,...nj->...ij", w, centred, centred)
    axes = torch.linalg.eigh(scatter)[1].flip(-1)  # columns: widest first
    axes = torch.cat([axes[..., :2], torch.linalg.cross(axes[..., 0], axes[..., 1])[..., None]], -1)
    homogeneous, conditioning = _conditioned((centred @ axes)[..., :2], weights)
    homography = _homogeneous_map(homogeneous, flat, weights) @ conditioning
    first, second, t = homography.unbind(-1)
    scale = 2 / (first.norm(dim=-1) + second.norm(dim=-1)).clamp(min=1e-18)
    scale = scale * torch.where(t[..., 2] < 0, -1.0, 1.0)
    first, second, t = (v * scale[..., None] for v in (first, second, t))
    R_plane = _nearest_rotation(torch.stack([first, second, torch.linalg.cross(first, second)], -1))
    R = R_plane @ axes.mT
    return R, t - (R @ centre.mT)[..., 0]


def _homogeneous_map(homogeneous: Tensor, flat: Tensor, weights: Tensor) -> Tensor:
    """3 x D matrix M with `flat ~ M @ homogeneous`: the singular vector of the smallest singular value."""
    zero = torch.zeros_like(homogeneous)
    u, v = flat[..., :1], flat[..., 1:]
    rows = torch.cat(
        [
            torch.cat([homogeneous, zero, -u * homogeneous], -1),
            torch.cat([zero, homogeneous, -v * homogeneous], -1),
        ],
        -2,
    )
    rows = rows * torch.cat([weights, weights], -1)[..., None].sqrt()
    smallest = torch.linalg.eigh(rows.mT @ rows)[1][..., 0]
    return smallest.unflatten(-1, (3, homogeneous.shape[-1]))


def _conditioned(points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Homogeneous points, centred and of size 1 (Hartley 1997), and the matrix that does it."""
    w = weights / weights.sum(-1, keepdim=True).clamp(min=1e-12)
    centre = (w[..., None] * points).sum(-2)
    size = (w[..., None] * (points - centre[..., None, :]).square()).sum((-2, -1)).sqrt().clamp(min=1e-12)
    D = points.shape[-1]
    matrix = torch.eye(D + 1, dtype=points.dtype, device=points.device).repeat(*size.shape, 1, 1)
    matrix[..., :D, D] = -centre
    matrix[..., :D, :] = matrix[..., :D, :] / size[..., None, None]
    homogeneous = torch.cat([points, torch.ones_like(points[..., :1])], -1)
    return homogeneous @ matrix.mT, matrix


def _pose_from_columns(A: Tensor, b: Tensor, points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and sign a projection [A | b] so that A is nearly a rotation and the points are in front."""
    depth = (points @ A[..., 2, :, None])[..., 0] + b[..., 2:]
    sign = torch.where((weights * depth).sum(-1) < 0, -1.0, 1.0).to(A.dtype)
    scale = sign / (A.square().sum((-2, -1)) / 3).sqrt().clamp(min=1e-18)
    return _nearest_rotation(A * scale[..., None, None]), b * scale[..., None]


def _nearest_rotation(matrix: Tensor) -> Tensor:
    nearest = roma.special_procrustes(matrix)
    assert isinstance(nearest, Tensor)
    return nearest


def _pose_cost(points: Tensor, flat: Tensor, K: Tensor, weights: Tensor, R: Tensor, t: Tensor) -> Tensor:
    """Weighted sum of squared pixel errors; infinite where a point is behind the camera."""
    pixels = project(points @ R.mT + t[..., None, :], K)
    squared = (pixels - apply_intrinsics(flat, K)).square().sum(-1)
    return torch.where(weights > 0, weights * squared, 0.0).sum(-1).nan_to_num(nan=torch.inf)


def _pose_equations(
    points: Tensor, flat: Tensor, K: Tensor, weights: Tensor, R: Tensor, t: Tensor
) -> tuple[Tensor, Tensor]:
    """Normal matrix and gradient with respect to a small rotation (applied after R, t) and translation."""
    x, y, z = (points @ R.mT + t[..., None, :]).unbind(-1)
    z = z.clamp(min=1e-6)
    zero, one = torch.zeros_like(z), torch.ones_like(z)
    by_place = torch.stack([torch.stack([one, zero, -x / z], -1), torch.stack([zero, one, -y / z], -1)], -2)
    by_place = K[..., None, :2, :2] @ by_place / z[..., None, None]
    by_turn = by_place @ -_cross_matrix(torch.stack([x, y, z], -1))
    rows = torch.cat([by_turn, by_place], -1)
    error = apply_intrinsics(torch.stack([x / z, y / z], -1) - flat, K) - K[..., None, :2, 2]
    normal = torch.einsum("...j,...jci,...jck->...ik", weights, rows, rows)
    return normal, torch.einsum("...j,...jci,...jc->...i", weights, rows, error)


def _cross_matrix(v: Tensor) -> Tensor:
    """Matrix of the cross product with v."""
    x, y, z = v.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).unflatten(-1, (3, 3))
