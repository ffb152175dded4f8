"""Cameras as tensors: projection, rays, intrinsics, poses.

Convention: camera axes as OpenCV (x right, y down, z forward), `x_camera = R @ x_world + t`; pixels, with the
centre of the top-left pixel at (0, 0), so that an image w pixels wide reaches from -0.5 to w - 0.5.
Distortion as in `geometry.distortion`: model `pinhole` with k1 k2 p1 p2 k3, `fisheye` with k1 k2 k3 k4; None
for an ideal lens of the model. What a camera cannot see (behind it, or beyond a fisheye's fold) is NaN.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from posewright.geometry import distortion as lens

DEFAULT_DIAGONAL_FOV = math.radians(65)
"""Assumed field of view across the picture's diagonal where nothing is known: between a phone (75 to 80
degrees, less when it stabilises) and the 53 degrees ("focal length = diagonal") that mesh recovery papers
assume. The diagonal, because it is the same for a picture held upright or across. An error in it scales depth
and leaves the pose nearly alone."""


def world_to_camera(
    points: Float[Tensor, "*#B N 3"], R: Float[Tensor, "*#B 3 3"], t: Float[Tensor, "*#B 3"]
) -> Float[Tensor, "... N 3"]:
    """Express world points in camera axes: `R @ x + t`."""
    return points @ R.mT + t[..., None, :]


def camera_to_world(
    points: Float[Tensor, "*#B N 3"], R: Float[Tensor, "*#B 3 3"], t: Float[Tensor, "*#B 3"]
) -> Float[Tensor, "... N 3"]:
    """Express camera points in world axes: `R.T @ (x - t)`."""
    return (points - t[..., None, :]) @ R


def camera_centre(R: Float[Tensor, "*#B 3 3"], t: Float[Tensor, "*#B 3"]) -> Float[Tensor, "... 3"]:
    """Position of the camera in the world: `-R.T @ t`."""
    return -(R.mT @ t[..., None])[..., 0]


def project(
    points: Float[Tensor, "*#B N 3"],
    K: Float[Tensor, "*#B 3 3"],
    distortion: Float[Tensor, "*#B D"] | None = None,
    model: str = "pinhole",
) -> Float[Tensor, "... N 2"]:
    """Image points given in camera axes.

    Args:
        points: metres (or any unit), camera axes.
        K: intrinsics, pixels.
        distortion: coefficients, or None.
        model: `pinhole` or `fisheye`.

    Returns:
        Pixels; NaN for points a pinhole camera has at or behind its plane (z <= 0), and for those beyond the
        angle at which a fisheye image folds back. A pinhole image with strong distortion may fold far outside
        the picture too: that is not detected.
    """
    _check_model(model, distortion)
    if model == "fisheye":
        coefficients = K.new_zeros(4) if distortion is None else distortion
        return apply_intrinsics(lens.distort_fisheye(points, coefficients), K)
    flat = normalise(points)
    if distortion is not None:
        flat = lens.distort_pinhole(flat, distortion)
    return apply_intrinsics(flat, K)


def project_human36m(points: Float[Tensor, "*B N 3"], camera: Float[Tensor, " 9"]) -> Float[Tensor, "*B N 2"]:
    """Image points as the published evaluations of JPMA, RPEA and UAO do: the camera of VideoPose3D's Human3.6M files.

    Pavllo et al., CVPR 2019, https://github.com/facebookresearch/VideoPose3D. x / z and y / z are cut to [-1, 1]; the
    tangential terms are x (p . x) + p r^2, which are not OpenCV's to the second order: those are `project`'s. It gives
    a place to points behind the camera too. For repeating published numbers; use `project` elsewhere.

    Args:
        points: camera axes, metres.
        camera: focal length (2), centre (2), k1, k2, k3, p1, p2, screen units (x / w * 2 - 1, y / w * 2 - h / w).
    """
    focal, centre, radial, tangential = camera.split((2, 2, 3, 2))
    flat = (points[..., :2] / points[..., 2:]).clamp(-1, 1)
    r2 = flat.square().sum(-1, keepdim=True)
    bent = 1 + (radial * torch.cat([r2, r2**2, r2**3], -1)).sum(-1, keepdim=True)
    skewed = (tangential * flat).sum(-1, keepdim=True)
    return focal * (flat * (bent + skewed) + tangential * r2) + centre


def project_world(
    points: Float[Tensor, "*#B N 3"],
    R: Float[Tensor, "*#B 3 3"],
    t: Float[Tensor, "*#B 3"],
    K: Float[Tensor, "*#B 3 3"],
    distortion: Float[Tensor, "*#B D"] | None = None,
    model: str = "pinhole",
) -> Float[Tensor, "... N 2"]:
    """Image world points: `world_to_camera`, then `project`."""
    return project(world_to_camera(points, R, t), K, distortion, model)


def normalise(points: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 2"]:
    """Divide by depth: (x / z, y / z), NaN where z <= 0."""
    z = points[..., 2:]
    front = z > 0
    return torch.where(front, points[..., :2] / torch.where(front, z, 1.0), torch.nan)


def apply_intrinsics(flat: Float[Tensor, "*#B N 2"], K: Float[Tensor, "*#B 3 3"]) -> Float[Tensor, "... N 2"]:
    """Turn normalised image coordinates (x / z, y / z) into pixels."""
    return flat @ K[..., :2, :2].mT + K[..., None, :2, 2]


def remove_intrinsics(
    pixels: Float[Tensor, "*#B N 2"], K: Float[Tensor, "*#B 3 3"]
) -> Float[Tensor, "... N 2"]:
    """Turn pixels into normalised image coordinates, distortion left in."""
    y = (pixels[..., 1] - K[..., None, 1, 2]) / K[..., None, 1, 1]
    x = (pixels[..., 0] - K[..., None, 0, 2] - K[..., None, 0, 1] * y) / K[..., None, 0, 0]
    return torch.stack([x, y], -1)


def unproject(
    pixels: Float[Tensor, "*#B N 2"],
    K: Float[Tensor, "*#B 3 3"],
    distortion: Float[Tensor, "*#B D"] | None = None,
    model: str = "pinhole",
) -> Float[Tensor, "... N 3"]:
    """Unit rays, camera axes, that image to `pixels`: the inverse of `project` up to depth; NaN where there is none."""
    _check_model(model, distortion)
    flat = remove_intrinsics(pixels, K)
    if model == "fisheye":
        return lens.undistort_fisheye(flat, K.new_zeros(4) if distortion is None else distortion)
    if distortion is not None:
        flat = lens.undistort_pinhole(flat, distortion)
    return torch.nn.functional.normalize(torch.cat([flat, torch.ones_like(flat[..., :1])], -1), dim=-1)


def undistort_pixels(
    pixels: Float[Tensor, "*#B N 2"],
    K: Float[Tensor, "*#B 3 3"],
    distortion: Float[Tensor, "*#B D"] | None = None,
    model: str = "pinhole",
) -> Float[Tensor, "... N 2"]:
    """Normalised image coordinates (x / z, y / z) of what `pixels` show; NaN for rays 90 degrees off axis or more."""
    return normalise(unproject(pixels, K, distortion, model))


def rays(
    pixels: Float[Tensor, "*#B N 2"],
    R: Float[Tensor, "*#B 3 3"],
    t: Float[Tensor, "*#B 3"],
    K: Float[Tensor, "*#B 3 3"],
    distortion: Float[Tensor, "*#B D"] | None = None,
    model: str = "pinhole",
) -> tuple[Float[Tensor, "... 3"], Float[Tensor, "... N 3"]]:
    """Return the camera's centre and unit directions through `pixels`, both in world axes."""
    return camera_centre(R, t), unproject(pixels, K, distortion, model) @ R


def intrinsics(
    focal: float | Tensor, image_size: tuple[int, int], principal: Sequence[float] | None = None
) -> Float[Tensor, "*B 3 3"]:
    """Build K for square pixels.

    Args:
        focal: focal length, pixels; a tensor gives a batch. Floats give float32.
        image_size: (width, height), pixels.
        principal: pixels; None: the middle of the picture, ((w - 1) / 2, (h - 1) / 2).
    """
    width, height = image_size
    focal = torch.as_tensor(focal)
    focal = focal if focal.is_floating_point() else focal.float()
    x, y = ((width - 1) / 2, (height - 1) / 2) if principal is None else principal
    K = torch.zeros(*focal.shape, 3, 3, dtype=focal.dtype, device=focal.device)
    K[..., 0, 0] = K[..., 1, 1] = focal
    K[..., 0, 2], K[..., 1, 2], K[..., 2, 2] = x, y, 1
    return K


def focal_from_fov(
    fov: float | Tensor, image_size: tuple[int, int], across: str = "horizontal"
) -> float | Tensor:
    """Focal length in pixels of an ideal camera whose view spans `fov` radians across the picture.

    Args:
        fov: angle between opposite edges (corners) of the picture, radians.
        image_size: (width, height), pixels.
        across: `horizontal`, `vertical` or `diagonal`.
    """
    width, height = image_size
    lengths = {"horizontal": width, "vertical": height, "diagonal": math.hypot(width, height)}
    if across not in lengths:
        raise ValueError(f"focal_from_fov: across is {across!r}, expected one of {', '.join(lengths)}")
    tangent = torch.tan(fov / 2) if isinstance(fov, Tensor) else math.tan(fov / 2)
    return lengths[across] / 2 / tangent


def fov_from_focal(focal: float, image_size: tuple[int, int], across: str = "horizontal") -> float:
    """Angle in radians that the picture spans; the inverse of `focal_from_fov`."""
    unit = focal_from_fov(math.pi / 2, image_size, across)
    return 2 * math.atan(float(unit) / focal)


def default_focal(image_size: tuple[int, int]) -> float:
    """Focal length in pixels to assume where nothing is known: `DEFAULT_DIAGONAL_FOV`."""
    return float(focal_from_fov(DEFAULT_DIAGONAL_FOV, image_size, "diagonal"))


def crop_intrinsics(K: Float[Tensor, "*B 3 3"], left: float, top: float) -> Float[Tensor, "*B 3 3"]:
    """K of the picture whose top-left pixel was at (left, top)."""
    out = K.clone()
    out[..., 0, 2] -= left
    out[..., 1, 2] -= top
    return out


def resize_intrinsics(K: Float[Tensor, "*B 3 3"], scale_x: float, scale_y: float) -> Float[Tensor, "*B 3 3"]:
    """K of the picture resized by these factors; pixel edges, not centres, keep their relative place."""
    scale = K.new_tensor([[scale_x, 0, (scale_x - 1) / 2], [0, scale_y, (scale_y - 1) / 2], [0, 0, 1]])
    return scale @ K


def rotate_intrinsics(
    K: Float[Tensor, "*B 3 3"], image_size: tuple[int, int], quarter_turns: int
) -> tuple[Float[Tensor, "*B 3 3"], Float[Tensor, "3 3"], tuple[int, int]]:
    """Turn the picture clockwise by quarter turns (as rotation metadata of phones asks).

    Returns:
        K of the turned picture, the rotation `R_new_old` from the old camera axes to the new ones, and the
        new (width, height). Radial distortion stays; tangential (p1, p2) becomes (p2, -p1) at each turn. K
        must have no skew.
    """
    turn = K.new_tensor([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    R_new_old = torch.eye(3, dtype=K.dtype, device=K.device)
    width, height = image_size
    for _ in range(quarter_turns % 4):
        pixels = K.new_tensor([[0, -1, height - 1], [1, 0, 0], [0, 0, 1]])
        K, R_new_old = pixels @ K @ turn.mT, turn @ R_new_old
        width, height = height, width
    return K, R_new_old, (width, height)


def look_at(
    eye: Float[Tensor, "*#B 3"], target: Float[Tensor, "*#B 3"], up: Sequence[float] = (0.0, 0.0, 1.0)
) -> tuple[Float[Tensor, "... 3 3"], Float[Tensor, "... 3"]]:
    """Pose (R, t), world to camera, of a camera at `eye` that looks at `target` with the world's `up` upwards.

    NaN where the view is along `up` and the roll not determined.
    """
    forward = torch.nn.functional.normalize(target - eye, dim=-1)
    right = torch.linalg.cross(forward, forward.new_tensor(up).expand_as(forward))
    length = right.norm(dim=-1, keepdim=True)
    right = torch.where(length > 1e-9, right / length.clamp(min=1e-9), torch.nan)
    R = torch.stack([right, torch.linalg.cross(forward, right), forward], -2)
    return R, -(R @ eye[..., None])[..., 0]


def _check_model(model: str, distortion: Tensor | None) -> None:
    sizes = {"pinhole": 5, "fisheye": 4}
    if model not in sizes:
        raise ValueError(f"camera model {model!r}: expected 'pinhole' or 'fisheye'")
    if distortion is not None and distortion.shape[-1] != sizes[model]:
        raise ValueError(
            f"{model} distortion has {distortion.shape[-1]} coefficients, expected {sizes[model]}"
        )
