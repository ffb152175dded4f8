"""Scenes and their pictures: the reference renderer.

    scene = Scene((ground(texture=...), Mesh(vertices, faces)))
    rendering = render(scene, camera, supersample=2)
    rendering.color, rendering.buffers.depth(), rendering.buffers.labels()

Colour may be anti-aliased (`supersample` squared rays a pixel, averaged in linear light); all other pictures hold the
value at the pixel's centre, so that depth and labels are never mixtures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from posewright.core.errors import InputError
from posewright.render.buffers import Buffers, FaceFinder, gather, trace
from posewright.render.lens import enlarged, lens_of
from posewright.render.lights import Ambient, Light, ShadowMap, shadow_map
from posewright.render.mesh import Mesh, srgb_to_linear
from posewright.render.raster import NEAR, visible_faces
from posewright.render.shading import encode, shade
from posewright.structures.cameras import Camera

DAYLIGHT = (Light(direction=(-0.45, 0.7, -1.0), strength=0.75),)
"""Sun from over the left shoulder of a camera that looks along +Y."""
MAX_SUPERSAMPLE = 8


@dataclass(frozen=True)
class Scene:
    """Everything a picture shows."""

    meshes: tuple[Mesh, ...] = ()
    lights: tuple[Light, ...] = DAYLIGHT
    ambient: Ambient = field(default_factory=Ambient)
    backdrop: tuple[float, float, float] | np.ndarray = (0.62, 0.74, 0.88)
    """Behind everything: one sRGB colour in [0, 1]; or a (h, w, 3) uint8 picture, stretched over the image; or, as a
    (2, 3) array, the sky's colour at the zenith and at the horizon."""


@dataclass(frozen=True)
class Rendering:
    """A picture with its ground truth."""

    color: np.ndarray
    """(H, W, 3) uint8 sRGB, red first."""
    coverage: np.ndarray
    """(H, W) float32, share of each pixel's rays that meet a mesh."""
    buffers: Buffers
    """Depth, normals, labels and so on at the pixels' centres."""


def render(
    scene: Scene,
    camera: Camera,
    frame: int | None = None,
    supersample: int = 1,
    near: float = NEAR,
    find_faces: FaceFinder = visible_faces,
) -> Rendering:
    """Take a picture of a scene.

    Args:
        scene: meshes, lights, backdrop.
        camera: any model of `structures.cameras`, lens distortion included.
        frame: which pose of a moving camera.
        supersample: rays per pixel along each axis for the colour.
        near: metres; nearer surfaces are cut away.
        find_faces: the z-buffer used, see `buffers.trace`.

    Raises:
        InputError: a camera or supersampling that makes no picture.
    """
    if supersample not in range(1, MAX_SUPERSAMPLE + 1):
        raise InputError(f"supersample is {supersample}, expected a whole number from 1 to {MAX_SUPERSAMPLE}")
    geometry = gather(scene.meshes)
    shadows = [shadow_map(light, geometry, find_faces) for light in scene.lights]
    buffers = trace(geometry, camera, frame, near, find_faces)
    if supersample == 1:
        light, covered = _light(buffers, scene, camera, shadows)
    else:
        fine = enlarged(camera, supersample)
        light, covered = _light(trace(geometry, fine, frame, near, find_faces), scene, fine, shadows)
        light, covered = _block_means(light, supersample), _block_means(covered, supersample)
    return Rendering(encode(light), covered, buffers)


def render_clip(
    scenes: Sequence[Scene], camera: Camera, supersample: int = 1, find_faces: FaceFinder = visible_faces
) -> np.ndarray:
    """Render one scene per frame: (T, H, W, 3) uint8. A moving camera has a pose for each."""
    moving = np.ndim(camera.R) > 2 or np.ndim(camera.t) > 1
    return np.stack(
        [
            render(s, camera, i if moving else None, supersample, find_faces=find_faces).color
            for i, s in enumerate(scenes)
        ]
    )


def backdrop_light(scene: Scene, camera: Camera, R: np.ndarray) -> np.ndarray:
    """Linear light (H, W, 3) of the backdrop."""
    width, height = camera.image_size
    backdrop = np.asarray(scene.backdrop)
    if backdrop.shape == (3,):
        return np.broadcast_to(srgb_to_linear(backdrop), (height, width, 3)).copy()
    if backdrop.shape == (2, 3):
        rays = lens_of(camera).rays
        upwards = np.nan_to_num((rays @ R)[..., 2] / np.linalg.norm(rays, axis=-1))
        share = np.sqrt(np.clip(upwards, 0, 1)).astype(np.float32)[..., None]
        zenith, horizon = srgb_to_linear(backdrop)
        return horizon + share * (zenith - horizon)
    if backdrop.ndim == 3 and backdrop.shape[2] == 3 and backdrop.dtype == np.uint8:
        return srgb_to_linear(cv2.resize(backdrop, (width, height), interpolation=cv2.INTER_AREA) / 255)
    raise InputError(
        f"the backdrop is {backdrop.dtype} {backdrop.shape}; expected a colour (3,), zenith and horizon (2, 3), or a "
        "picture (h, w, 3) uint8"
    )


def _light(
    buffers: Buffers, scene: Scene, camera: Camera, shadows: list[ShadowMap | None]
) -> tuple[np.ndarray, np.ndarray]:
    """Linear light (H, W, 3) and coverage (H, W) of one ray per pixel."""
    light = backdrop_light(scene, camera, buffers.R)
    focal = float(np.sqrt(abs(camera.K[0, 0] * camera.K[1, 1])))
    light.reshape(-1, 3)[buffers.pixel] = shade(buffers, focal, scene.lights, scene.ambient, shadows)
    if lens_of(camera).lookup is not None:
        light[~np.isfinite(lens_of(camera).rays).all(-1)] = 0
    return light, buffers.silhouette().astype(np.float32)


def _block_means(values: np.ndarray, factor: int) -> np.ndarray:
    """Mean of each factor x factor block of pixels; highlights are clipped first, as a sensor clips."""
    height, width = values.shape[0] // factor, values.shape[1] // factor
    return cv2.resize(np.minimum(values, 1), (width, height), interpolation=cv2.INTER_AREA)
