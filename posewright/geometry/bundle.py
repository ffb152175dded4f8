"""Bundle adjustment: cameras and what they saw, refined together until the pictures agree best.

Convention: pinhole cameras, `x_camera = R @ x_world + t`, pixels, distortion k1 k2 p1 p2 k3 (of which k1 and k2 are
refined, with one factor on both focal lengths and the principal point). Arrays are numpy, float64. A NaN observation is
one that is missing.

Gauge: the first camera keeps its pose. The scale is held by known distances or by the size of a board; without them the
first camera and the one farthest from it keep their distance.

Source: Triggs et al., Bundle Adjustment: A Modern Synthesis, 1999; the solver is `scipy.optimize.least_squares` (trust
region, sparse differences).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import least_squares
from scipy.sparse import csr_matrix, lil_matrix

from posewright.geometry.cameras import project
from posewright.geometry.rotations import rotvec_to_matrix

_BEHIND = 1e4
"""Residual of a point that a trial step puts behind a camera, pixels."""
_DISTANCE_WEIGHT = 1e4
"""Residual of one metre of error in a known distance (0.1 mm counts as one pixel)."""
_POSE, _INTRINSICS = 6, 5


@dataclass(frozen=True)
class BundleCameras:
    """V pinhole cameras as arrays."""

    R: np.ndarray
    """(V, 3, 3)"""
    t: np.ndarray
    """(V, 3)"""
    K: np.ndarray
    """(V, 3, 3)"""
    distortion: np.ndarray
    """(V, 5)"""


@dataclass(frozen=True)
class Distances:
    """Lengths known in the scene."""

    pairs: np.ndarray
    """(M, 2): numbers of the two points."""
    lengths: np.ndarray
    """(M,): metres (the unit of the points)."""


@dataclass(frozen=True)
class PointBundle:
    """What `bundle_adjust` found."""

    cameras: BundleCameras
    points: np.ndarray
    """(N, 3): NaN for those that fewer than two cameras saw."""
    errors: np.ndarray
    """(V, N): reprojection errors, pixels; NaN where not seen."""


@dataclass(frozen=True)
class BoardBundle:
    """What `bundle_adjust_boards` found."""

    cameras: BundleCameras
    R: np.ndarray
    """(M, 3, 3): board to world."""
    t: np.ndarray
    """(M, 3)"""
    errors: np.ndarray
    """(V, M, C): reprojection errors, pixels; NaN where not seen."""


def bundle_adjust(
    observations: np.ndarray,
    cameras: BundleCameras,
    points: np.ndarray,
    *,
    distances: Distances | None = None,
    refine_intrinsics: bool = False,
    huber: float = 2.0,
) -> PointBundle:
    """Refine cameras and free points.

    Args:
        observations: (V, N, 2) pixels, distorted as the cameras do it; NaN where not seen.
        cameras: first guess; the first one's pose is kept.
        points: (N, 3) first guess, world.
        distances: lengths that fix the scale, between points that are seen.
        refine_intrinsics: also find a factor on the focal length, principal point, k1 and k2 of each camera.
        huber: pixels beyond which an error counts linearly.

    Raises:
        ValueError: fewer than two cameras or no point that two of them see.
    """
    seen = np.isfinite(observations).all(-1) & np.isfinite(points).all(-1)
    solved = seen.sum(0) >= 2
    if len(cameras.R) < 2 or not solved.any():
        raise ValueError("bundle_adjust: no point is seen by two cameras")
    view, point = np.nonzero(seen & solved)
    rank = np.cumsum(solved) - 1
    head = _camera_size(cameras, refine_intrinsics)
    anchor, baseline = _farthest(cameras)

    def unpack(x):
        return _moved(cameras, x[:head], refine_intrinsics), x[head:].reshape(-1, 3)

    def residuals(x):
        moved, found = unpack(x)
        image = _image(moved, view, found[rank[point]]) - observations[view, point]
        if distances is None:
            held = np.array([np.linalg.norm(_centres(moved)[anchor] - _centres(moved)[0]) - baseline])
        else:
            ends = found[rank[distances.pairs]]
            held = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1) - distances.lengths
        return np.concatenate([image.ravel(), _DISTANCE_WEIGHT * held])

    columns = [_camera_columns(cameras, view, refine_intrinsics), head + 3 * rank[point, None] + np.arange(3)]
    if distances is None:
        held_columns = [np.arange(head)]
    else:
        held_columns = [
            np.concatenate([head + 3 * rank[p] + np.arange(3) for p in pair]) for pair in distances.pairs
        ]
    start = np.concatenate([np.zeros(head), points[solved].ravel()])
    pattern = _pattern(columns, held_columns, len(start))
    x = _solve(residuals, start, pattern, 2 * len(view), huber)
    moved, found = unpack(x)
    out = np.full(points.shape, np.nan)
    out[solved] = found
    return PointBundle(moved, out, _errors(moved, view, out[point], observations, (view, point)))


def bundle_adjust_boards(
    observations: np.ndarray,
    cameras: BundleCameras,
    shape: np.ndarray,
    R: np.ndarray,
    t: np.ndarray,
    *,
    refine_intrinsics: bool = False,
    huber: float = 2.0,
) -> BoardBundle:
    """Refine cameras and the poses of one rigid board at M moments; the board's size fixes the scale.

    Args:
        observations: (V, M, C, 2) pixels of the board's C corners at each moment; NaN where not seen.
        cameras: first guess; the first one's pose is kept.
        shape: (C, 3) corners in board axes, metres.
        R: (M, 3, 3) board to world rotations, first guess.
        t: (M, 3) board to world translations.
        refine_intrinsics: also find a factor on the focal length, principal point, k1 and k2 of each camera.
        huber: pixels beyond which an error counts linearly.

    Raises:
        ValueError: nothing was seen.
    """
    view, moment, corner = np.nonzero(np.isfinite(observations).all(-1))
    if not len(view):
        raise ValueError("bundle_adjust_boards: there is no observation")
    head = _camera_size(cameras, refine_intrinsics)

    def unpack(x):
        pose = x[head:].reshape(-1, _POSE)
        return _moved(cameras, x[:head], refine_intrinsics), _rotations(pose[:, :3]) @ R, t + pose[:, 3:]

    def corners(board_R, board_t):
        return np.einsum("oij,oj->oi", board_R[moment], shape[corner]) + board_t[moment]

    def residuals(x):
        moved, board_R, board_t = unpack(x)
        return (_image(moved, view, corners(board_R, board_t)) - observations[view, moment, corner]).ravel()

    columns = [_camera_columns(cameras, view, refine_intrinsics)]
    columns.append(head + _POSE * moment[:, None] + np.arange(_POSE))
    start = np.zeros(head + _POSE * len(R))
    x = _solve(residuals, start, _pattern(columns, [], len(start)), 2 * len(view), huber)
    moved, board_R, board_t = unpack(x)
    seen = (view, moment, corner)
    return BoardBundle(
        moved, board_R, board_t, _errors(moved, view, corners(board_R, board_t), observations, seen)
    )


# ------------------------------------------------------------------------------------------- the parts of it


def _solve(
    residuals: Callable, start: np.ndarray, pattern: csr_matrix, images: int, huber: float
) -> np.ndarray:
    """Minimise; the first `images` residuals are robust, the rest (what holds the scale) counts squared.

    Iteratively reweighted: the loss says that its second derivative is 0, because the true one, negative beyond the
    bound, takes all curvature from a point whose views all err, and the solver creeps.
    """

    def loss(z):
        rho = np.stack([z, np.ones_like(z), np.zeros_like(z)])
        far = np.flatnonzero(z[:images] > 1)
        root = np.sqrt(z[far])
        rho[0, far], rho[1, far] = 2 * root - 1, 1 / root
        return rho

    tight = {"ftol": 1e-8, "xtol": 1e-10, "gtol": 1e-8, "max_nfev": 200}
    lsmr = {"atol": 1e-10, "btol": 1e-10, "maxiter": 500}
    options = {"jac_sparsity": pattern, "x_scale": "jac", "tr_solver": "lsmr", "tr_options": lsmr}
    found = least_squares(residuals, start, loss=loss, f_scale=huber, **tight, **options)  # pyright: ignore[reportArgumentType]
    return found.x


def _camera_size(cameras: BundleCameras, refine_intrinsics: bool) -> int:
    V = len(cameras.R)
    return _POSE * (V - 1) + (_INTRINSICS * V if refine_intrinsics else 0)


def _camera_columns(cameras: BundleCameras, view: np.ndarray, refine_intrinsics: bool) -> np.ndarray:
    """Unknowns of the camera of each observation; -1 for the pose of the first, which has none."""
    pose = np.where(view[:, None] > 0, _POSE * (view[:, None] - 1) + np.arange(_POSE), -1)
    if not refine_intrinsics:
        return pose
    first = _POSE * (len(cameras.R) - 1)
    return np.concatenate([pose, first + _INTRINSICS * view[:, None] + np.arange(_INTRINSICS)], 1)


def _pattern(columns: list[np.ndarray], held: list[np.ndarray], size: int) -> csr_matrix:
    """Which residual depends on which unknown: two rows per observation, then one per thing held."""
    together = np.repeat(np.concatenate(columns, 1), 2, axis=0)
    rows = np.broadcast_to(np.arange(len(together))[:, None], together.shape)
    some = together >= 0
    pattern = lil_matrix((len(together) + len(held), size), dtype=np.int8)
    pattern[rows[some], together[some]] = 1
    for n, which in enumerate(held):
        pattern[len(together) + n, which] = 1
    return csr_matrix(pattern.tocsr())


def _moved(cameras: BundleCameras, x: np.ndarray, refine_intrinsics: bool) -> BundleCameras:
    """Apply a step: small rotations after R, added translations; the lens as log of the focal factor, added k1, k2.

    The principal point moves by hundredths of the focal length.
    """
    V = len(cameras.R)
    pose = np.concatenate([np.zeros((1, _POSE)), x[: _POSE * (V - 1)].reshape(-1, _POSE)])
    moved = replace(cameras, R=_rotations(pose[:, :3]) @ cameras.R, t=cameras.t + pose[:, 3:])
    if not refine_intrinsics:
        return moved
    lens = x[_POSE * (V - 1) :].reshape(V, _INTRINSICS)
    K, distortion = cameras.K.copy(), cameras.distortion.copy()
    K[:, :2, :2] *= np.exp(lens[:, :1])[..., None]
    distortion[:, :2] += lens[:, 1:3]
    K[:, :2, 2] += lens[:, 3:] * K[:, :1, 0] / 100
    return replace(moved, K=K, distortion=distortion)


def _rotations(rotvecs: np.ndarray) -> np.ndarray:
    return rotvec_to_matrix(torch.from_numpy(np.ascontiguousarray(rotvecs))).numpy()


def _image(cameras: BundleCameras, view: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Pixels (O, 2) of point o (O, 3) in camera `view[o]`; far out where it is behind the camera."""
    local = np.einsum("oij,oj->oi", cameras.R[view], points) + cameras.t[view]
    pixels = project(
        torch.from_numpy(local)[:, None],
        torch.from_numpy(cameras.K[view]),
        torch.from_numpy(cameras.distortion[view]),
    )[:, 0]
    return np.nan_to_num(pixels.numpy(), nan=_BEHIND)


def _errors(cameras, view, points, observations, where) -> np.ndarray:
    errors = np.full(observations.shape[:-1], np.nan)
    errors[where] = np.linalg.norm(_image(cameras, view, points) - observations[where], axis=-1)
    return errors


def _centres(cameras: BundleCameras) -> np.ndarray:
    return -np.einsum("vji,vj->vi", cameras.R, cameras.t)


def _farthest(cameras: BundleCameras) -> tuple[int, float]:
    """The camera farthest from the first, and how far it is."""
    apart = np.linalg.norm(_centres(cameras) - _centres(cameras)[0], axis=-1)
    return int(apart.argmax()), float(apart.max())
