"""Lamps, sky light, and the shadow maps of lamps.

A lamp's shadow is a depth picture taken from the lamp (L. Williams, "Casting curved shadows on curved surfaces",
SIGGRAPH 1978), compared with bilinear weights over 4 x 4 texels (percentage closer filtering; W. Reeves, D. Salesin,
R. Cook, "Rendering antialiased shadows with depth maps", SIGGRAPH 1987). How soft a shadow's edge is sets how coarse
the map is.

Convention: world axes, metres; colours in linear light, 1 being a white surface's brightness.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from posewright.core.errors import InputError
from posewright.geometry.cameras import look_at
from posewright.render.buffers import FaceFinder, Geometry
from posewright.render.raster import inverse_depth_planes, visible_faces

SUN_DISTANCE = 1000.0
"""Distance from which the sun's map is taken, in radii of what casts shadows: its rays are parallel to 0.1 degrees."""
MAP_SIZES = (64, 2048)
"""Least and greatest side of a shadow map, texels."""
BIAS_TEXELS = 1.5
"""How far a surface is lifted along its normal before it is compared with the map, against shadows on itself."""


@dataclass(frozen=True)
class Light:
    """A sun (`direction`) or a lamp (`position`)."""

    direction: tuple[float, float, float] | None = None
    """The way the sun's light travels, world; any length."""
    position: tuple[float, float, float] | None = None
    """Where the lamp is, metres, world."""
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Linear light."""
    strength: float = 0.8
    """Brightness of a white surface it falls on squarely; for a lamp, one `reach` away."""
    reach: float = 3.0
    """Metres; a lamp's light falls off with the square of the distance."""
    shadows: bool = True
    softness: float = 0.03
    """Metres over which a shadow's edge goes from dark to bright."""

    def __post_init__(self):
        if (self.direction is None) == (self.position is None):
            raise InputError(
                "a Light has either a direction (sun) or a position (lamp); give just one of them"
            )
        if self.direction is not None and not np.linalg.norm(self.direction) > 0:
            raise InputError(f"Light direction {self.direction}: expected a vector of positive length")


@dataclass(frozen=True)
class Ambient:
    """Light from everywhere: `sky` from above, `ground` from below, a mixture from the sides."""

    sky: tuple[float, float, float] = (0.42, 0.44, 0.48)
    ground: tuple[float, float, float] = (0.24, 0.22, 0.20)


@dataclass(frozen=True)
class ShadowMap:
    """Depths seen from a light."""

    R: np.ndarray
    t: np.ndarray
    K: np.ndarray
    depth: np.ndarray
    """(S, S) float32 metres along the map's axis; infinite where the light meets nothing."""
    texel: float
    """Metres, side of a texel at what casts the shadows."""


def _sun(light: Light) -> np.ndarray:
    """Unit vector (3,) along which the sun's light travels."""
    assert light.direction is not None
    return np.asarray(light.direction, float) / np.linalg.norm(light.direction)


def towards_light(light: Light, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (P, 3) from points to the light, and its brightness (P,) there, both float32."""
    if light.position is None:
        return -_sun(light)[None].astype(np.float32), np.full(1, light.strength, np.float32)
    towards = np.asarray(light.position, np.float32) - points.astype(np.float32)
    distance = np.sqrt(np.einsum("pi,pi->p", towards, towards))[:, None]
    return towards / np.maximum(distance, 1e-6), light.strength * (
        light.reach / np.maximum(distance[:, 0], 0.05)
    ) ** 2


def shadow_view(light: Light, casters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, float]:
    """Pose, intrinsics, size and texel (metres) of the map that holds all `casters` (N, 3), world.

    A lamp inside what casts shadows sees only the part in front of it, within 60 degrees of the middle.
    """
    low, high = np.nanmin(casters, 0), np.nanmax(casters, 0)
    centre, radius = (low + high) / 2, max(float(np.linalg.norm(high - low)) / 2, 1e-3)
    if light.position is None:
        way = _sun(light)
        eye = centre - way * radius * SUN_DISTANCE
    else:
        eye = np.asarray(light.position, float)
    way = centre - eye
    distance = max(float(np.linalg.norm(way)), 1e-6)
    tangent = math.tan(min(math.asin(min(radius / distance, 1.0)), math.radians(60)))
    size = int(np.clip(2 * tangent * distance / max(light.softness / 3, 1e-6), *MAP_SIZES))
    up = (0.0, 1.0, 0.0) if abs(way[2]) > 0.99 * distance else (0.0, 0.0, 1.0)
    R, t = (a.numpy() for a in look_at(torch.tensor(eye), torch.tensor(eye + way), up))
    focal = (size - 4) / 2 / tangent
    middle = (size - 1) / 2
    K = np.array([[focal, 0, middle], [0, focal, middle], [0, 0, 1.0]])
    return R, t, K, size, distance / focal


def shadow_map(light: Light, geometry: Geometry, find_faces: FaceFinder = visible_faces) -> ShadowMap | None:
    """Take the light's depth picture of the meshes that cast shadows; None if it casts none."""
    casting = np.array([mesh.casts_shadow for mesh in geometry.meshes], bool)
    faces = geometry.faces[casting[geometry.mesh_of_face]] if len(casting) else geometry.faces[:0]
    casters = geometry.vertices[np.unique(faces)]
    if not light.shadows or not np.isfinite(casters).all(-1).any():
        return None
    R, t, K, size, texel = shadow_view(light, casters)
    corners = (geometry.vertices @ R.T + t)[faces]
    seen = find_faces(corners, K, (size, size), 0.02)
    y, x = np.nonzero(seen >= 0)
    a, b, c = inverse_depth_planes(corners, K)[seen[y, x]].T
    depth = np.full((size, size), np.inf, np.float32)
    z = corners[seen[y, x], :, 2]
    depth[y, x] = np.clip(1 / (a * x + b * y + c), z.min(1), z.max(1))
    return ShadowMap(R, t, K, depth, texel)


def lit_share(shadows: ShadowMap, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Share (P,) of a light that reaches points (P, 3), world, of surfaces with unit normals (P, 3)."""
    lifted = (points + normals * (BIAS_TEXELS * shadows.texel)) @ shadows.R.T + shadows.t
    z = lifted[:, 2]
    size = len(shadows.depth)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = shadows.K[0, 0] * lifted[:, 0] / z + shadows.K[0, 2]
        y = shadows.K[1, 1] * lifted[:, 1] / z + shadows.K[1, 2]
        inside = np.flatnonzero((z > 0) & (x > 1) & (x < size - 3) & (y > 1) & (y < size - 3))
    out = np.ones(len(points), np.float32)
    x, y, z = x[inside], y[inside], (z[inside] - 0.5 * shadows.texel).astype(np.float32)
    column, row = x.astype(np.int64) - 1, y.astype(np.int64) - 1
    across, down = (_tap_weights((v - np.floor(v)).astype(np.float32)) for v in (x, y))
    flat, start = shadows.depth.ravel(), row * size + column
    total = np.zeros(len(inside), np.float32)
    for i in range(4):
        for j in range(4):
            total += down[i] * across[j] * (flat[start + (i * size + j)] >= z)
    out[inside] = total / 9
    return out


def _tap_weights(fraction: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Weights of four texels in a row under a box three texels wide at `fraction` between the middle two."""
    one = np.ones_like(fraction)
    return 1 - fraction, one, one, fraction
