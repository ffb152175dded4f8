"""Colour of what each pixel sees: texture, lights and shadows (Lambert's law), in linear light.

Textures are filtered bilinearly in the level of their pyramid whose texels are nearest in size to the pixel
(L. Williams, "Pyramidal parametrics", SIGGRAPH 1983); the size is that of the pixel on the surface, from distance and
slant.
"""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from posewright.render.buffers import Buffers
from posewright.render.lights import Ambient, Light, ShadowMap, lit_share, towards_light
from posewright.render.mesh import Mesh, face_normals, linear_to_srgb, srgb_to_linear

_DECODE = srgb_to_linear(np.arange(256) / 255)
_ENCODE_STEPS = 8192


def shade(
    buffers: Buffers,
    focal: float,
    lights: Sequence[Light],
    ambient: Ambient,
    shadows: Sequence[ShadowMap | None],
) -> np.ndarray:
    """Linear light (P, 3), float32, of the pixels that see something.

    Args:
        buffers: what the pixels see.
        focal: of the camera, pixels: how large a pixel is on a surface.
        lights: the lamps and suns.
        ambient: light from everywhere.
        shadows: the shadow map of each light, or None where it casts none.
    """
    normals, points = buffers.facing_normals(), buffers.world_points()
    up = (0.5 + 0.5 * normals[:, 2:]).astype(np.float32)
    light = np.array(ambient.ground, np.float32) + up * (
        np.array(ambient.sky, np.float32) - np.array(ambient.ground, np.float32)
    )
    for source, shadow in zip(lights, shadows, strict=True):
        towards, brightness = towards_light(source, points)
        across = normals @ towards[0] if len(towards) == 1 else np.einsum("pi,pi->p", normals, towards)
        strength = np.maximum(across, 0) * brightness
        if shadow is not None:
            lit = np.flatnonzero(strength > 1e-4)
            strength[lit] *= lit_share(shadow, points[lit], normals[lit])
        light += strength[:, None] * np.array(source.color, np.float32)
    return light * albedo(buffers, focal)


def albedo(buffers: Buffers, focal: float) -> np.ndarray:
    """Linear surface colour (P, 3), float32, of the seen points, before any light."""
    out = np.ones((len(buffers.pixel), 3), np.float32)
    owner = buffers.geometry.mesh_of_face[buffers.face]
    for index, mesh in enumerate(buffers.geometry.meshes):
        mine = np.flatnonzero(owner == index)
        if not len(mine):
            continue
        face = buffers.face[mine] - buffers.geometry.first_face[index]
        colors = srgb_to_linear(mesh.colors)
        if colors.ndim == 2:
            weights = buffers.weights[mine].astype(np.float32)
            out[mine] = np.einsum("pk,pkc->pc", weights, colors[mesh.faces[face]])
        else:
            out[mine] = colors
        if mesh.texture is not None:
            out[mine] *= _texels(mesh, face, buffers, mine, focal)
    return out


def encode(light: np.ndarray) -> np.ndarray:
    """Turn linear light into 8-bit sRGB, by a table finer than 8 bits everywhere."""
    index = np.clip(light * np.float32(_ENCODE_STEPS) + np.float32(0.5), 0, _ENCODE_STEPS).astype(np.int32)
    return _encoding()[index]


@lru_cache(maxsize=1)
def _encoding() -> np.ndarray:
    return np.rint(linear_to_srgb(np.arange(_ENCODE_STEPS + 1) / _ENCODE_STEPS) * 255).astype(np.uint8)


def pyramid(texture: np.ndarray) -> list[np.ndarray]:
    """Return the texture at full, half, quarter, ... size, down to one texel on its shorter side."""
    levels = [texture]
    while min(levels[-1].shape[:2]) > 1:
        height, width = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
    return levels


def texel_density(mesh: Mesh) -> np.ndarray:
    """Texels per square metre (F,) on each face of a textured mesh, float32."""
    assert mesh.uv is not None
    assert mesh.texture is not None
    a, b, c = (mesh.uv[mesh.faces[:, i]] for i in range(3))
    first, second = b - a, c - a
    area_uv = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    area = np.linalg.norm(face_normals(mesh.vertices, mesh.faces), axis=-1)
    height, width = mesh.texture.shape[:2]
    return (area_uv * width * height / np.maximum(area, 1e-12)).astype(np.float32)


def level_of_detail(density: np.ndarray, points: np.ndarray, slant: np.ndarray, focal: float) -> np.ndarray:
    """Level of the pyramid (P,), not rounded: half the logarithm of texels per pixel.

    Args:
        density: (P,) texels per square metre.
        points: (P, 3) camera axes.
        slant: (P,) cosine of the angle between ray and normal.
        focal: pixels.
    """
    squared = np.einsum("pi,pi->p", points, points)
    texels = density * squared / (focal * focal) / np.maximum(slant, 0.1)
    return np.maximum(0.5 * np.log2(np.maximum(texels, 1e-12)), 0)


def _texels(mesh: Mesh, face: np.ndarray, buffers: Buffers, mine: np.ndarray, focal: float) -> np.ndarray:
    """Linear colour (Q, 3) of the texture at the pixels `mine`."""
    assert mesh.uv is not None
    assert mesh.texture is not None
    corners = mesh.uv[mesh.faces[face]]
    uv = np.einsum("pk,pkc->pc", buffers.weights[mine], corners).astype(np.float32)
    points = buffers.points[mine]
    across = face_normals(mesh.vertices, mesh.faces) @ buffers.R.T
    across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-30)
    distance = np.sqrt(np.einsum("pi,pi->p", points, points))
    slant = np.abs(np.einsum("pi,pi->p", across[face], points)) / distance
    level = level_of_detail(texel_density(mesh)[face], points, slant, focal)
    levels = pyramid(mesh.texture)
    level = np.minimum((level + 0.5).astype(np.int64), len(levels) - 1)
    out = np.empty((len(mine), 3), np.float32)
    for index in np.unique(level):
        at = np.flatnonzero(level == index)
        out[at] = _DECODE[_sample(levels[index], uv[at])]
    return out


def _sample(texture: np.ndarray, uv: np.ndarray, row: int = 1024) -> np.ndarray:
    """Bilinear uint8 samples (Q, 3) of a repeating texture at uv (Q, 2)."""
    height, width = texture.shape[:2]
    padded = np.pad(texture, ((1, 1), (1, 1), (0, 0)), mode="wrap")
    place = (uv - np.floor(uv)) * np.array([width, height], np.float32) + np.float32(0.5)
    count = len(place)
    place = np.concatenate([place, np.zeros((-count % row, 2), np.float32)]).reshape(-1, row, 2)
    x, y = np.ascontiguousarray(place[..., 0]), np.ascontiguousarray(place[..., 1])
    return cv2.remap(padded, x, y, cv2.INTER_LINEAR).reshape(-1, 3)[:count]
