"""Where the rays of a real lens go, and the ideal pinhole views that together see everything it sees.

A distorted or fisheye picture is rendered from ideal views of the same centre: one where the lens sees less than
MAX_SINGLE_ANGLE off its axis, otherwise the faces of a cube it needs. Each pixel's ray is exact
(`geometry.cameras.unproject`), and is looked up in the view it passes through. Only the choice of the face is
sampled there: where on the face, and how deep, is computed from the exact ray, so depth and texture are exact inside
an outline; the outline itself is right to OVERSAMPLE-fold finer than the picture's pixels.

Convention: as `geometry.cameras`; both models of `geometry.distortion`.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from posewright.core.errors import InputError
from posewright.geometry.cameras import resize_intrinsics, unproject
from posewright.structures.cameras import Camera

OVERSAMPLE = 1.5
"""Pixels of the ideal views per pixel of the picture, along each axis, where the lens resolves finest."""
MAX_SINGLE_ANGLE = math.radians(58)
"""Off the axis; beyond, one flat view would waste most of its pixels on its rim."""
MAX_VIEW_SIZE = 6000
"""Pixels; wider ideal views are made coarser."""


@dataclass(frozen=True)
class View:
    """An ideal pinhole view from the camera's centre."""

    R_view_camera: np.ndarray
    """(3, 3) rotation, camera axes to the view's."""
    K: np.ndarray
    """(3, 3) intrinsics, pixels."""
    image_size: tuple[int, int]
    """(width, height), pixels."""


@dataclass(frozen=True)
class Lens:
    """Rays of a picture's pixels, and where to look each up."""

    rays: np.ndarray
    """(H, W, 3) camera axes; z is 1 for an ideal pinhole, otherwise unit length; NaN: the pixel sees nothing."""
    views: tuple[View, ...]
    lookup: tuple[np.ndarray, ...] | None
    """For each view, indices (H W,) into its flattened pixels, -1 for pixels that another view (or none) serves;
    None: the one view is the picture itself."""


def pose(camera: Camera, frame: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """R (3, 3) and t (3,) of a camera, world to camera, at `frame` if it moves."""
    R, t = np.asarray(camera.R, np.float64), np.asarray(camera.t, np.float64)
    if (R.ndim > 2 or t.ndim > 1) and frame is None:
        raise InputError(f"camera {camera.name} moves: say which frame to render (frame=0, 1, ...)")
    R, t = (R[frame] if R.ndim > 2 else R), (t[frame] if t.ndim > 1 else t)
    if not (np.isfinite(R).all() and np.isfinite(t).all()):
        raise InputError(
            f"camera {camera.name}: its pose has NaN or infinite values; look_at gives them straight up and down"
        )
    return R, t


def enlarged(camera: Camera, factor: int) -> Camera:
    """Return the camera with `factor` times as many pixels along each axis and the same view."""
    if factor == 1:
        return camera
    K = resize_intrinsics(torch.as_tensor(np.asarray(camera.K, np.float64)), factor, factor).numpy()
    width, height = camera.image_size
    return Camera(
        K, (width * factor, height * factor), camera.R, camera.t, camera.distortion, camera.model, camera.name
    )


def lens_of(camera: Camera) -> Lens:
    """Rays and views of a camera; kept for the last few cameras, as the inverse of a distortion takes time."""
    width, height = camera.image_size
    K = np.asarray(camera.K, np.float64)
    if width < 1 or height < 1 or not np.isfinite(K).all() or abs(np.linalg.det(K)) < 1e-12:
        raise InputError(
            f"camera {camera.name}: image size {width}x{height} and K {K.tolist()} make no picture; expected "
            "positive sizes and focal lengths"
        )
    distortion = np.asarray(camera.distortion, np.float64)
    if camera.model == "fisheye":  # Camera's default is the five zeros of a pinhole
        distortion = distortion[:4] if not distortion.any() else distortion
    return _lens(K.tobytes(), (width, height), distortion.tobytes(), camera.model)


@lru_cache(maxsize=8)
def _lens(K_bytes: bytes, image_size: tuple[int, int], distortion_bytes: bytes, model: str) -> Lens:
    K = np.frombuffer(K_bytes).reshape(3, 3)
    distortion = np.frombuffer(distortion_bytes)
    if model == "pinhole" and not distortion.any():
        return Lens(_ideal_rays(K, image_size), (View(np.eye(3), K, image_size),), None)
    width, height = image_size
    grid = np.stack(np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float)), -1)
    rays = unproject(
        torch.from_numpy(grid.reshape(-1, 2)), torch.tensor(K), torch.tensor(distortion), model
    ).numpy()
    rays = rays.reshape(height, width, 3)
    if not np.isfinite(rays).any():
        raise InputError(f"camera: no pixel has a ray; the distortion {distortion.tolist()} has no inverse")
    z = rays[..., 2]
    single = np.nanmin(z) > math.cos(MAX_SINGLE_ANGLE)
    views = [_covering_view(rays)] if single else _cube_views(rays)
    return Lens(rays, tuple(views), _look_up(rays.reshape(-1, 3), views))


def _ideal_rays(K: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Rays with z = 1 of an ideal pinhole camera."""
    width, height = image_size
    x, y = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
    down = (y - K[1, 2]) / K[1, 1]
    return np.stack([(x - K[0, 2] - K[0, 1] * down) / K[0, 0], down, np.ones_like(x)], -1)


def _finest_step(directions: np.ndarray) -> float:
    """Least distance between directions (H, W, D) of neighbouring pixels."""
    steps = [np.linalg.norm(np.diff(directions, axis=axis), axis=-1) for axis in (0, 1)]
    steps = np.concatenate([s[np.isfinite(s)] for s in steps])
    return float(np.quantile(steps, 0.001)) if len(steps) else 1e-3


def _covering_view(rays: np.ndarray) -> View:
    """One ideal view that holds all rays, as fine as the finest place of the lens asks."""
    flat = rays[..., :2] / rays[..., 2:]
    low, high = np.nanmin(flat, (0, 1)), np.nanmax(flat, (0, 1))
    focal = min(OVERSAMPLE / _finest_step(flat), (MAX_VIEW_SIZE - 3) / (high - low).max())
    width, height = (np.ceil((high - low) * focal) + 3).astype(int).tolist()
    x, y = 1 - low * focal
    return View(np.eye(3), np.array([[focal, 0, x], [0, focal, y], [0, 0, 1.0]]), (width, height))


def _cube_views(rays: np.ndarray) -> list[View]:
    """The faces of a cube around the camera that some ray passes through."""
    size = min(math.ceil(2 * OVERSAMPLE / _finest_step(rays)), MAX_VIEW_SIZE)
    middle = (size - 1) / 2
    K = np.array([[size / 2, 0, middle], [0, size / 2, middle], [0, 0, 1.0]])
    turns = [
        np.array(m, float)
        for m in (
            [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            [[0, 0, -1], [0, 1, 0], [1, 0, 0]],
            [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
            [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
            [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
            [[-1, 0, 0], [0, 1, 0], [0, 0, -1]],
        )
    ]
    ahead = _face_of_cube(rays.reshape(-1, 3), turns)
    return [View(R, K, (size, size)) for i, R in enumerate(turns) if (ahead == i).any()]


def _face_of_cube(rays: np.ndarray, turns: list[np.ndarray]) -> np.ndarray:
    """Index of the view whose axis is nearest to each ray (P, 3); -1 for NaN."""
    along = rays @ np.stack([R[2] for R in turns], -1)
    return np.where(np.isfinite(rays).all(-1), np.nan_to_num(along, nan=-2).argmax(-1), -1)


def _look_up(rays: np.ndarray, views: list[View]) -> tuple[np.ndarray, ...]:
    """For each view the index of its pixel nearest to each ray (P, 3), -1 where another view serves."""
    serving = _face_of_cube(rays, [view.R_view_camera for view in views])
    tables = []
    for index, view in enumerate(views):
        table = np.full(len(rays), -1, np.int64)
        mine = np.flatnonzero(serving == index)
        there = rays[mine] @ view.R_view_camera.T @ view.K.T
        x, y = np.rint(there[:, :2] / there[:, 2:]).astype(np.int64).T
        width, height = view.image_size
        table[mine] = y.clip(0, height - 1) * width + x.clip(0, width - 1)
        tables.append(table)
    return tuple(tables)
