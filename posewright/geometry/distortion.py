"""Lens distortion and its inverse.

Convention: two models, with the coefficients of OpenCV.

* `pinhole`, Brown-Conrady: k1 k2 p1 p2 k3. On normalised coordinates (x / z, y / z) with r^2 = x^2 + y^2:
  x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6) + 2 p1 x y + p2 (r^2 + 2 x^2), and y' with p1 and p2 exchanged.
* `fisheye`, Kannala-Brandt: k1 k2 k3 k4. The angle theta from the optical axis becomes
  theta' = theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8), the distance from the centre.

Both are only meant for the part of the picture where the distance from the centre grows; the inverse is NaN
where it finds no answer there.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

ITERATIONS = 20
"""Newton steps; quadratic convergence makes 5 to 8 of them do for any real lens."""


def distort_pinhole(
    points: Float[Tensor, "*#B N 2"], distortion: Float[Tensor, "*#B 5"]
) -> Float[Tensor, "... N 2"]:
    """Apply Brown-Conrady distortion to normalised image coordinates."""
    x, y = points.unbind(-1)
    k1, k2, p1, p2, k3 = distortion[..., None, :].unbind(-1)
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    return torch.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ],
        -1,
    )


def undistort_pinhole(
    points: Float[Tensor, "*#B N 2"], distortion: Float[Tensor, "*#B 5"]
) -> Float[Tensor, "... N 2"]:
    """Invert `distort_pinhole` by Newton's method; NaN where there is no inverse.

    Gradients, also with respect to the coefficients, are those of the implicit function.
    """
    with torch.no_grad():
        guess = points.broadcast_to(
            torch.broadcast_shapes(points.shape, (*distortion.shape[:-1], 1, 2))
        ).clone()
        for _ in range(ITERATIONS):
            guess = guess + _pinhole_step(points, guess, distortion)
        residual = (distort_pinhole(guess, distortion) - points).abs().amax(-1, keepdim=True)
        xx, _, _, determinant = _pinhole_jacobian(guess, distortion)
        # a positive definite derivative: not a root beyond the fold, where the picture is mirrored
        found = (residual < _tolerance(points)) & ((xx > 0) & (determinant > 0))[..., None]
        guess = torch.where(found, guess, torch.nan)
    return guess + _pinhole_step(points, guess, distortion)


def distort_fisheye(
    rays: Float[Tensor, "*#B N 3"], distortion: Float[Tensor, "*#B 4"]
) -> Float[Tensor, "... N 2"]:
    """Image rays (any length, camera axes) by Kannala-Brandt; NaN beyond the angle where the image folds back."""
    flat = rays[..., :2]
    radius = _safe_norm(flat)
    theta = torch.atan2(radius, rays[..., 2:])
    bent, slope = _fisheye_curve(theta, distortion[..., None, :])
    # near the axis radius and theta both vanish; their ratio is 1 / z there
    central = radius < 1e-12
    ratio = torch.where(central, 1 / rays[..., 2:].clamp(min=1e-12), bent / radius)
    return torch.where(slope > 0, flat * ratio, torch.nan)


def undistort_fisheye(
    points: Float[Tensor, "*#B N 2"], distortion: Float[Tensor, "*#B 4"]
) -> Float[Tensor, "... N 3"]:
    """Invert `distort_fisheye` by Newton's method: unit rays, camera axes; NaN where there is no inverse."""
    radius = _safe_norm(points)
    coefficients = distortion[..., None, :]
    with torch.no_grad():
        theta = radius.clamp(max=math.pi / 2) + 0 * coefficients[..., :1]
        for _ in range(ITERATIONS):
            bent, slope = _fisheye_curve(theta, coefficients)
            theta = (theta - (bent - radius) / slope.clamp(min=0.05)).clamp(0, math.pi)
        bent, slope = _fisheye_curve(theta, coefficients)
        found = ((bent - radius).abs() < _tolerance(points)) & (slope > 0)
        theta = torch.where(found, theta, torch.nan)
    bent, slope = _fisheye_curve(theta, coefficients)
    theta = theta - (bent - radius) / slope
    central = radius < 1e-12
    sideways = torch.where(central, points, points / radius * theta.sin())
    return torch.cat([sideways, theta.cos()], -1)


def _fisheye_curve(theta: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """Distorted angle and its derivative."""
    k1, k2, k3, k4 = (k[..., None] for k in coefficients.unbind(-1))
    t2 = theta * theta
    bent = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
    return bent, 1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4)))


def _pinhole_jacobian(points: Tensor, distortion: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Entries xx, xy = yx, yy of the derivative of `distort_pinhole`, and its determinant."""
    x, y = points.unbind(-1)
    k1, k2, p1, p2, k3 = distortion[..., None, :].unbind(-1)
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    growth = 2 * (k1 + r2 * (2 * k2 + r2 * 3 * k3))
    xx = radial + x * x * growth + 2 * p1 * y + 6 * p2 * x
    xy = x * y * growth + 2 * p1 * x + 2 * p2 * y
    yy = radial + y * y * growth + 6 * p1 * y + 2 * p2 * x
    return xx, xy, yy, xx * yy - xy * xy


def _pinhole_step(target: Tensor, guess: Tensor, distortion: Tensor) -> Tensor:
    """One Newton step, kept short where the derivative is nearly singular."""
    xx, xy, yy, determinant = _pinhole_jacobian(guess, distortion)
    ex, ey = (target - distort_pinhole(guess, distortion)).unbind(-1)
    scale = 1 / torch.where(
        determinant.abs() < 0.05, determinant.sign() * 0.05 + (determinant == 0), determinant
    )
    return torch.stack([(yy * ex - xy * ey) * scale, (xx * ey - xy * ex) * scale], -1)


def _tolerance(points: Tensor) -> Tensor:
    """Largest error of a root that counts as found: rounding, relative to the size of the coordinates."""
    return 100 * torch.finfo(points.dtype).eps * (1 + points.abs().amax(-1, keepdim=True))


def _safe_norm(vectors: Tensor) -> Tensor:
    """Length with gradient 0 at zero, last dimension kept."""
    squared = vectors.square().sum(-1, keepdim=True)
    zero = squared == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, squared).sqrt())
