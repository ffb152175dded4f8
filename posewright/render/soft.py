"""Silhouettes and depth with gradients: SoftRas in torch.

S. Liu, T. Li, W. Chen, H. Li, "Soft Rasterizer: A Differentiable Renderer for Image-based 3D Reasoning", ICCV 2019,
https://arxiv.org/abs/1904.01786, written from the paper (the authors' code, ShichenLiu/SoftRas, is MIT). Each face
covers pixels around it with probability D = sigmoid(+-d^2 / sigma^2), d the distance to its nearest edge in pixels,
plus inside (eq. 1; here sigma is in pixels). The silhouette is 1 - prod(1 - D) (eq. 6); depth is the mean of the
faces' depths weighted by D exp(nearness / gamma) (eq. 2 and 3).

Differs: a face counts only within CUT sigma of a pixel, so the pairs of face and pixel are listed, not all taken;
depth has no background term and is NaN where the silhouette is under half.

As in the paper, several faces that meet at an outline cover it more than one would: the silhouette is a little too
large, by a share of sigma, and depth at an outline leans to the nearer face. So fit with sigma going down, and with
depth where it is known.

Convention: metres, camera axes as OpenCV, pixels. No lens distortion: undistort the observed silhouette instead. Any
floating dtype; gradients with respect to vertices (and K).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from posewright.core.errors import InputError

CUT = 3.0
"""Faces further than this many sigma from a pixel add less than 1.3e-4 of coverage, and are left out."""


@dataclass(frozen=True)
class SoftImages:
    """Pictures with gradients."""

    silhouette: Float[Tensor, "H W"]
    """0 to 1."""
    depth: Float[Tensor, "H W"]
    """Metres, z; NaN where the silhouette is under 0.5."""


def soft_render(
    vertices: Float[Tensor, "N 3"],
    faces: Int[Tensor, "F 3"],
    K: Float[Tensor, "3 3"],
    image_size: tuple[int, int],
    sigma: float = 1.0,
    gamma: float = 0.02,
    near: float = 0.05,
) -> SoftImages:
    """Render a mesh with gradients.

    Args:
        vertices: metres, camera axes (`geometry.cameras.world_to_camera`).
        faces: corners of each triangle.
        K: intrinsics, pixels.
        image_size: (width, height), pixels; small is enough (K by `geometry.cameras.resize_intrinsics`).
        sigma: pixels over which an outline fades. Large values pull from afar; small values are exact.
        gamma: metres; of surfaces behind one another, those further back by this count 1 / e as much in depth.
        near: metres; faces with a nearer corner are left out.

    Raises:
        InputError: sigma, gamma or shapes that make no picture.
    """
    if not (sigma > 0 and gamma > 0):
        raise InputError(f"soft_render: sigma {sigma} pixels and gamma {gamma} m, expected positive numbers")
    if vertices.ndim != 2 or vertices.shape[-1] != 3 or faces.ndim != 2 or faces.shape[-1] != 3:
        raise InputError(
            f"soft_render: vertices {tuple(vertices.shape)} and faces {tuple(faces.shape)}, expected (N, 3), (F, 3)"
        )
    corners = vertices[faces]
    corners = corners[(corners[..., 2] > near).all(-1)]
    flat = corners[..., :2] / corners[..., 2:]
    pixels = flat @ K[:2, :2].mT + K[:2, 2]
    face, pixel = _pairs(pixels.detach(), image_size, CUT * sigma)
    width, height = image_size
    place = torch.stack([pixel % width, pixel // width], -1).to(vertices.dtype)
    triangles = pixels[face]
    inside = _inside(triangles, place)
    squared = _edge_distance_squared(triangles, place)
    logit = torch.where(inside, squared, -squared) / sigma**2
    silhouette = _silhouette(logit, pixel, width * height)
    depth = _depth(logit, _depth_at(triangles, corners[face][..., 2], place), pixel, width * height, gamma)
    depth = torch.where(silhouette.detach() < 0.5, torch.nan, depth)
    return SoftImages(silhouette.reshape(height, width), depth.reshape(height, width))


def silhouette_loss(silhouette: Float[Tensor, "H W"], target: Float[Tensor, "H W"]) -> Float[Tensor, ""]:
    """One minus the intersection over union of two silhouettes (the paper's eq. 8)."""
    shared = (silhouette * target).sum()
    return 1 - shared / (silhouette + target - silhouette * target).sum().clamp(min=1e-6)


@torch.no_grad()
def _pairs(
    pixels: Float[Tensor, "F 3 2"], image_size: tuple[int, int], margin: float
) -> tuple[Int[Tensor, " P"], Int[Tensor, " P"]]:
    """Faces and the pixels in their bounding boxes grown by `margin`, as pairs."""
    limits = pixels.new_tensor([image_size[0] - 1, image_size[1] - 1])
    low = (pixels.amin(1) - margin).ceil().clamp(min=0).minimum(limits + 1).long()
    high = (pixels.amax(1) + margin).floor().clamp(min=-1).minimum(limits).long()
    size = (high - low + 1).clamp(min=0)
    count = size.prod(-1)
    face = torch.arange(len(pixels), device=pixels.device).repeat_interleave(count)
    within = torch.arange(len(face), device=pixels.device) - (count.cumsum(0) - count)[face]
    across = size[face, 0]
    x, y = low[face, 0] + within % across, low[face, 1] + within // across
    return face, y * image_size[0] + x


def _inside(triangles: Float[Tensor, "P 3 2"], place: Float[Tensor, "P 2"]) -> Bool[Tensor, " P"]:
    """Whether places lie in their triangles, of either sense."""
    edge = triangles.roll(-1, 1) - triangles
    arm = place[:, None] - triangles
    side = edge[..., 0] * arm[..., 1] - edge[..., 1] * arm[..., 0]
    return (side >= 0).all(-1) | (side <= 0).all(-1)


def _edge_distance_squared(
    triangles: Float[Tensor, "P 3 2"], place: Float[Tensor, "P 2"]
) -> Float[Tensor, " P"]:
    """Squared distance to the nearest edge, pixels squared."""
    edge = triangles.roll(-1, 1) - triangles
    arm = place[:, None] - triangles
    share = ((arm * edge).sum(-1) / edge.square().sum(-1).clamp(min=1e-12)).clamp(0, 1)
    return (arm - share[..., None] * edge).square().sum(-1).amin(-1)


def _depth_at(
    triangles: Float[Tensor, "P 3 2"], z: Float[Tensor, "P 3"], place: Float[Tensor, "P 2"]
) -> Float[Tensor, " P"]:
    """Perspective-correct depth of the face's plane, held within the face's own depths around it."""
    a, b, c = triangles.unbind(1)
    area = _cross(b - a, c - a)
    flat = area.abs() < 1e-9
    area = torch.where(flat, 1.0, area)
    weights = torch.stack(
        [_cross(b - place, c - place), _cross(c - place, a - place), _cross(a - place, b - place)], -1
    )
    weights = torch.where(flat[:, None], 1 / 3, (weights / area[:, None]).clamp(0, 1))
    weights = weights / weights.sum(-1, keepdim=True)
    return 1 / (weights / z).sum(-1)


def _cross(u: Float[Tensor, "P 2"], v: Float[Tensor, "P 2"]) -> Float[Tensor, " P"]:
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]


def _silhouette(logit: Float[Tensor, " P"], pixel: Int[Tensor, " P"], count: int) -> Float[Tensor, "..."]:
    """1 - prod(1 - sigmoid(logit)) over the faces of each pixel, summed as logarithms."""
    missed = logit.new_zeros(count).index_add(0, pixel, torch.nn.functional.logsigmoid(-logit))
    return -torch.expm1(missed)


def _depth(
    logit: Float[Tensor, " P"], z: Float[Tensor, " P"], pixel: Int[Tensor, " P"], count: int, gamma: float
) -> Float[Tensor, "..."]:
    """Mean depth of each pixel's faces, weighted by coverage and nearness."""
    score = torch.nn.functional.logsigmoid(logit) - z / gamma
    highest = score.new_full((count,), -torch.inf).scatter_reduce(0, pixel, score.detach(), "amax")
    weight = (score - highest[pixel]).exp()
    total = weight.new_zeros(count).index_add(0, pixel, weight)
    return weight.new_zeros(count).index_add(0, pixel, weight * z) / total.clamp(min=1e-30)
