"""The camera that maps known 3D points to their known pixels, found from the pairs themselves.

Several data sets come, in the files that everybody has, with 3D joints in the world and with their exact
projections, but without the cameras. The cameras follow from those: the direct linear transform gives a first
camera (Hartley and Zisserman, Multiple View Geometry, 2nd edition, algorithm 7.1), its intrinsics by an RQ
decomposition; then all intrinsics, the lens and the pose are refined by least squares on the pixels.

Convention: OpenCV's camera, Brown-Conrady distortion. Human3.6M's own projection has its tangential terms without
OpenCV's factor 2 (x (p1 y + p2 x) + p2 r^2), so that the best OpenCV camera differs from it by some hundredths of a
pixel.
"""

import numpy as np
import torch
from scipy.linalg import rq
from scipy.optimize import least_squares

from posewright.core.errors import InputError
from posewright.geometry.cameras import project_world
from posewright.geometry.rotations import matrix_to_rotvec, rotvec_to_matrix
from posewright.structures.cameras import Camera

MAX_POINTS = 4000
"""More pairs do not make the fit better; they are thinned evenly."""
LARGEST_RMS = 1.0
"""Pixels: beyond it the 2D points are no projections of the 3D points (detections, for example)."""


def fit_camera(
    points: np.ndarray, pixels: np.ndarray, image_size: tuple[int, int], name: str = "camera"
) -> tuple[Camera, float]:
    """Find the camera that saw points.

    Args:
        points: (..., 3) metres, world; NaN where missing.
        pixels: (..., 2) their projections.
        image_size: (width, height).
        name: of the camera.

    Returns:
        The camera, with `focal_source` "calibrated", and the root mean square distance of its projections, pixels.

    Raises:
        InputError: fewer than 20 pairs, points in one plane, or pixels that are no projections of the points.
    """
    points, pixels = points.reshape(-1, 3).astype(np.float64), pixels.reshape(-1, 2).astype(np.float64)
    known = np.isfinite(points).all(-1) & np.isfinite(pixels).all(-1)
    points, pixels = points[known], pixels[known]
    if len(points) < 20:
        raise InputError(f"camera {name}: {len(points)} pairs of 3D and 2D points, expected 20 or more")
    chosen = np.linspace(0, len(points) - 1, min(MAX_POINTS, len(points))).astype(int)
    points, pixels = points[chosen], pixels[chosen]
    start = _as_vector(*_linear_camera(points, pixels, name))
    fitted = least_squares(_residual, start, args=(points, pixels), x_scale="jac", max_nfev=200)
    rms = float(np.sqrt(2 * np.mean(np.square(fitted.fun))))
    if not rms <= LARGEST_RMS:
        raise InputError(
            f"camera {name}: the best camera leaves {rms:.1f} pixels between 3D and 2D, expected less than "
            f"{LARGEST_RMS}: the 2D points are no projections of the 3D points (are they detections?)"
        )
    K, distortion, R, t = _as_camera(fitted.x)
    camera = Camera(
        K=K, image_size=image_size, R=R, t=t, distortion=distortion, name=name, focal_source="calibrated"
    )
    return camera, rms


def _linear_camera(
    points: np.ndarray, pixels: np.ndarray, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K, R, t by the direct linear transform on normalised coordinates."""
    N3, N2 = _normalising(points), _normalising(pixels)
    X = np.concatenate([points, np.ones((len(points), 1))], 1) @ N3.T
    u = np.concatenate([pixels, np.ones((len(pixels), 1))], 1) @ N2.T
    zero = np.zeros_like(X)
    A = np.concatenate(
        [np.concatenate([X, zero, -u[:, :1] * X], 1), np.concatenate([zero, X, -u[:, 1:2] * X], 1)]
    )
    values, vectors = np.linalg.eigh(A.T @ A)
    if values[1] < 1e-9 * values[-1]:
        raise InputError(f"camera {name}: the 3D points lie in one plane, which does not determine a camera")
    P = np.linalg.solve(N2, vectors[:, 0].reshape(3, 4)) @ N3
    P = P * np.sign(np.linalg.det(P[:, :3]))
    K, R = rq(P[:, :3])
    signs = np.diag(np.sign(np.diag(K)))
    K, R = K @ signs, signs @ R
    return K / K[2, 2], R, np.linalg.solve(K, P[:, 3])


def _normalising(points: np.ndarray) -> np.ndarray:
    """Similarity (D + 1, D + 1) that moves points to the origin and makes them of size sqrt(D)."""
    D = points.shape[1]
    mean = points.mean(0)
    size = np.sqrt(np.square(points - mean).sum(1).mean() / D)
    out = np.eye(D + 1)
    out[:D] = np.concatenate([np.eye(D), -mean[:, None]], 1) / size
    return out


def _as_vector(K: np.ndarray, R: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Focal lengths, principal point, five coefficients, rotation vector, translation."""
    turn = matrix_to_rotvec(torch.from_numpy(R)).numpy()
    return np.concatenate([[K[0, 0], K[1, 1], K[0, 2], K[1, 2]], np.zeros(5), turn, t])


def _as_camera(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """K, distortion, R, t of a parameter vector."""
    K = np.array([[x[0], 0, x[2]], [0, x[1], x[3]], [0, 0, 1]])
    return K, x[4:9], rotvec_to_matrix(torch.from_numpy(x[9:12].copy())).numpy(), x[12:15]


def _residual(x: np.ndarray, points: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Pixels between projections and observations; large and constant for points behind the camera."""
    K, distortion, R, t = (torch.from_numpy(np.ascontiguousarray(part)) for part in _as_camera(x))
    projected = project_world(torch.from_numpy(points), R, t, K, distortion).numpy()
    return np.nan_to_num(projected - pixels, nan=1e4).ravel()
