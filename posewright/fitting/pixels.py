"""Points of a body as cameras see them: reprojection errors as a term of a fit.

Errors are measured on the ideal image plane, (x / z, y / z), against keypoints whose distortion was undone: the same as
in pixels up to the bend of the lens, and free of its derivative. Robust: Huber, by reweighting.

Convention: camera axes as OpenCV; V views; sigma in units of the ideal plane (pixels over focal length).
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from posewright.core.errors import InputError
from posewright.fitting.terms import Posed, huber_cost, huber_weight
from posewright.geometry.cameras import undistort_pixels
from posewright.structures.cameras import Camera

NEAREST = 0.1
"""Metres: points nearer to a camera's plane, or behind it, are taken to be there."""


@dataclass(frozen=True)
class SeenPixels:
    """Points should be seen where they were seen: the first P of the body's points, in every view."""

    flat: Float[Tensor, "N V P 2"]
    """On the ideal image plane; anything where the weight is 0."""
    weights: Float[Tensor, "N V P"]
    """Confidence, 0 where not seen."""
    R: Float[Tensor, "N V 3 3"]
    t: Float[Tensor, "N V 3"]
    """World to camera, metres."""
    sigma: Float[Tensor, " V"]
    """Expected error of a point of confidence 1."""
    huber: float
    """Times the expected error from which on a point counts less."""

    def rows(self, rows: Tensor) -> "SeenPixels":
        return replace(self, flat=self.flat[rows], weights=self.weights[rows], R=self.R[rows], t=self.t[rows])

    def _gap(self, points: Tensor) -> tuple[Float[Tensor, "N V P 2"], Float[Tensor, "N V P 3"]]:
        """Errors in units of sigma, and the points in camera axes."""
        seen = points[:, None, : self.flat.shape[2]] @ self.R.mT + self.t[:, :, None]
        seen = torch.cat([seen[..., :2], seen[..., 2:].clamp(min=NEAREST)], -1)
        return (seen[..., :2] / seen[..., 2:] - self.flat) / self.sigma[:, None, None], seen

    def errors(self, points: Float[Tensor, "N P 3"]) -> Float[Tensor, "N V P"]:
        """Distance between points and keypoints, in units of sigma."""
        return self._gap(points)[0].norm(dim=-1)

    def cost(self, frames: Posed) -> Tensor:
        return (self.weights * huber_cost(self.errors(frames.points), self.huber)).sum((-1, -2))

    def add(self, frames: Posed, H: Tensor, g: Tensor) -> None:
        gap, seen = self._gap(frames.points)
        weight = self.weights * huber_weight(gap.norm(dim=-1), self.huber)
        x, y, z = seen.unbind(-1)
        zero = torch.zeros_like(z)
        flatten = torch.stack([1 / z, zero, -x / z**2, zero, 1 / z, -y / z**2], -1).unflatten(-1, (2, 3))
        by_point = (flatten / self.sigma[:, None, None, None]) @ self.R[:, :, None]
        moved = frames.jacobian[:, : self.flat.shape[2]]
        for view in range(self.flat.shape[1]):
            J = (by_point[:, view] @ moved).flatten(1, 2)
            WJ = weight[:, view].repeat_interleave(2, 1)[..., None] * J
            H += WJ.mT @ J
            g += (WJ.mT @ gap[:, view].flatten(1)[..., None])[..., 0]


def seen_pixels(
    cameras: tuple[Camera, ...],
    keypoints: Float[np.ndarray, "V T J 2"],
    weights: Float[np.ndarray, "V T J"],
    share: float,
    huber: float,
) -> SeenPixels:
    """The term of keypoints in several cameras.

    Args:
        cameras: one per view, still or moving.
        keypoints: pixels, distorted as the camera does it; NaN where the weight is 0.
        weights: confidence.
        share: expected error, as a share of the person's size in the picture (diagonal of the box about the seen
            keypoints, median over the frames).
        huber: times the expected error from which on a keypoint counts less.
    """
    T = keypoints.shape[1]
    flat, R, t, sigma = [], [], [], []
    for camera, points, sure in zip(cameras, keypoints, weights, strict=True):
        K = torch.from_numpy(np.asarray(camera.K, float))
        lens = np.asarray(camera.distortion, float)
        bent = torch.from_numpy(lens) if lens.any() else None
        plane = undistort_pixels(torch.from_numpy(points.astype(float)), K, bent, camera.model)
        flat.append(plane)
        R.append(torch.from_numpy(np.broadcast_to(np.asarray(camera.R, float), (T, 3, 3)).copy()))
        t.append(torch.from_numpy(np.broadcast_to(np.asarray(camera.t, float), (T, 3)).copy()))
        sigma.append(share * _size(plane.numpy(), sure))
    plane = torch.stack(flat, 1)
    known = torch.isfinite(plane).all(-1)
    sure = torch.from_numpy(weights.astype(float)).transpose(0, 1) * known
    plane = torch.where(known[..., None], plane, 0.0)
    spread = torch.tensor(sigma, dtype=torch.float64)
    return SeenPixels(plane, sure, torch.stack(R, 1), torch.stack(t, 1), spread, huber)


def _size(flat: np.ndarray, weights: np.ndarray) -> float:
    """Diagonal of a person's box, median over the frames with at least two keypoints; 1 without any."""
    known = (weights > 0) & np.isfinite(flat).all(-1)
    rows = known.sum(-1) >= 2
    if not rows.any():
        return 1.0
    points = np.where(known[..., None], flat, np.nan)[rows]
    return float(np.median(np.linalg.norm(np.nanmax(points, 1) - np.nanmin(points, 1), axis=-1)))


def check_camera(camera: Camera, frames: int) -> None:
    """Refuse cameras that no picture can come from.

    Raises:
        InputError: says which camera, what is wrong, and what to do.
    """
    K, R, t = (np.asarray(x, float) for x in (camera.K, camera.R, camera.t))
    problem = None
    if not all(np.isfinite(x).all() for x in (K, R, t, np.asarray(camera.distortion, float))):
        problem = "has numbers that are NaN or infinite"
    elif min(K[0, 0], K[1, 1]) <= 0:
        problem = f"has focal length {K[0, 0]:g} x {K[1, 1]:g} pixels, expected more than 0"
    elif np.abs(R @ np.swapaxes(R, -1, -2) - np.eye(3)).max() > 1e-3 or np.linalg.det(R).min() < 0:
        problem = "has an R that is no rotation"
    elif any(x.ndim == d + 1 and len(x) != frames for x, d in ((R, 2), (t, 1))):
        problem = f"moves over {len(R) if R.ndim == 3 else len(t)} frames, expected {frames}"
    if problem:
        raise InputError(f"camera {camera.name} {problem}; calibrate it or give its focal length")
