"""Moving people before surroundings that stand still: the surroundings are traced and lit once, not in every frame.

    still = Still(scene, camera, supersample=2)
    picture = still.with_people(meshes)           # (H, W, 3) uint8, for every frame

Equal to `scene.render` of everything together (tested), except that a lamp's shadow of the people comes from a map of
the people alone, which is finer. Only pixels that people cover or shade are computed again.

Convention: as `scene` and `buffers`.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from posewright.render.buffers import Buffers, gather, trace
from posewright.render.lens import enlarged, lens_of
from posewright.render.lights import Light, ShadowMap, lit_share, shadow_map, towards_light
from posewright.render.mesh import Mesh
from posewright.render.scene import Scene, backdrop_light
from posewright.render.shading import albedo, encode, shade
from posewright.structures.cameras import Camera

_RUN = 128
"""Points next to one another, in rows of the picture, that are looked at together first."""


class Still:
    """The surroundings as one camera pose sees them.

    Args:
        scene: what does not move, with its lights.
        camera: any model of `structures.cameras`.
        frame: which pose of a moving camera.
        supersample: rays per pixel along each axis for people and shadows.
        background: rays per pixel along each axis for the surroundings: `supersample`, or 1, which is several times
            faster and leaves the edges of walls and boxes jagged. None: `supersample`.
        lit: False: only `depth` and `normals()` are wanted, no pictures.

    Attributes:
        picture: (H, W, 3) uint8, the surroundings alone.
        fine: the camera with `supersample` times the pixels.
        depth: (H, W) float32 metres at the pixels' centres, infinite where nothing is seen.
    """

    def __init__(
        self,
        scene: Scene,
        camera: Camera,
        frame: int | None = None,
        supersample: int = 1,
        background: int | None = None,
        lit: bool = True,
    ):
        self.scene, self.camera, self.frame, self.supersample = scene, camera, frame, supersample
        self.background = supersample if background is None else background
        if self.background not in (1, supersample):
            raise ValueError(f"background is {background}, expected 1 or supersample ({supersample})")
        self.fine = enlarged(camera, supersample)
        self._static = gather(scene.meshes)
        self._casts = any(mesh.casts_shadow for mesh in scene.meshes)
        centres = trace(self._static, camera, frame)
        self.depth, self._centres = np.nan_to_num(centres.depth(), nan=np.inf), centres
        if not lit:
            return
        seen = centres if self.background == 1 else trace(self._static, self.fine, frame)
        self._light_up(seen, camera if self.background == 1 else self.fine)

    def normals(self) -> np.ndarray:
        """(H, W, 3) float32, camera axes, at the pixels' centres; NaN where nothing is seen."""
        return self._centres.normals()

    def with_people(self, people: Sequence[Mesh]) -> np.ndarray:
        """Take a picture (H, W, 3) uint8 sRGB with people in it."""
        moving = gather(people)
        if not np.isfinite(moving.vertices).all(-1).any():
            return self.picture.copy()
        maps = [shadow_map(light, moving) for light in self.scene.lights]
        shares = [self._shaded(light, m) for light, m in zip(self.scene.lights, maps, strict=True)]
        buffers = self._in_front(trace(moving, self.fine, self.frame))
        light = self._people_light(buffers, people, maps)
        return self._composed(buffers.pixel, light, shares)

    def _light_up(self, seen: Buffers, camera: Camera) -> None:
        """Light of the surroundings, each lamp's apart, so that people's shadows can be taken out of it."""
        shadows = [shadow_map(light, self._static) for light in self.scene.lights]
        focal = _focal(camera)
        unlit = backdrop_light(self.scene, camera, seen.R)
        if lens_of(camera).lookup is not None:
            unlit[~np.isfinite(lens_of(camera).rays).all(-1)] = 0
        unlit = unlit.reshape(-1, 3)
        colors = albedo(seen, focal)
        normals, points = seen.facing_normals(), seen.world_points()
        sky, ground = (np.array(c, np.float32) for c in (self.scene.ambient.sky, self.scene.ambient.ground))
        unlit[seen.pixel] = colors * (ground + (0.5 + 0.5 * normals[:, 2:]) * (sky - ground))
        self._unlit, self._points, self._normals = unlit, points.astype(np.float32), normals
        self._pixel, self._lit = seen.pixel, [np.ones(len(points), np.float32) for _ in self.scene.lights]
        self._place = np.zeros(self.depth.size * self.supersample**2, np.int32)
        starts = np.arange(0, len(points), _RUN)
        low, high = (
            f.reduceat(self._points, starts) if len(starts) else self._points
            for f in (np.minimum, np.maximum)
        )
        self._run_middles = (low + high) / 2
        self._run_radii = np.sqrt(np.einsum("ri,ri->r", high - low, high - low)) / 2
        self._row = np.full(len(unlit), -1, np.int32)
        self._row[seen.pixel] = np.arange(len(seen.pixel), dtype=np.int32)
        self._seen_depth = np.full(len(unlit), np.inf, np.float32)
        self._seen_depth[seen.pixel] = seen.points[:, 2]
        self._lamps = []
        total = unlit.copy()
        for source, shadow in zip(self.scene.lights, shadows, strict=True):
            lamp = colors * _strength(source, shadow, points, normals)[:, None]
            lamp *= np.array(source.color, np.float32)
            self._lamps.append(lamp)
            total[seen.pixel] += lamp
        width, height = self.camera.image_size
        blocks = total.reshape(height, self.background, width, self.background, 3)
        self.picture = encode(np.minimum(blocks, 1).mean((1, 3)))

    def _shaded(self, source: Light, shadow: ShadowMap | None) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the seen points that people keep some of a lamp's light from, and the share that still comes."""
        if shadow is None:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        near = self._in_beam(shadow)
        share = lit_share(shadow, self._points[near].astype(np.float64), self._normals[near])
        dark = np.flatnonzero(share < 0.999)
        return near[dark], share[dark]

    def _in_beam(self, shadow: ShadowMap) -> np.ndarray:
        """Rows of the points that may lie in the shadow of what the map holds: runs of them first, then each."""
        near = np.flatnonzero(_reached(shadow, self._run_middles, self._run_radii))
        rows = (near[:, None] * _RUN + np.arange(_RUN)).ravel()
        rows = rows[rows < len(self._points)]
        return rows[_reached(shadow, self._points[rows], np.zeros(1, np.float32))]

    def _in_front(self, buffers: Buffers) -> Buffers:
        """Keep the people's pixels that nothing of the surroundings hides."""
        behind = self._seen_depth[self._ground_pixel(buffers.pixel)]
        front = np.flatnonzero(buffers.points[:, 2] < behind)
        parts = {name: getattr(buffers, name)[front] for name in ("pixel", "face", "weights", "points")}
        return replace(buffers, **parts)

    def _people_light(
        self, buffers: Buffers, people: Sequence[Mesh], maps: Sequence[ShadowMap | None]
    ) -> np.ndarray:
        """Linear light (P, 3) of people's pixels; boxes of the scene shade people too."""
        lights = self.scene.lights
        if self._casts:
            everything = gather((*people, *self.scene.meshes))
            maps = [shadow_map(light, everything) for light in lights]
        return shade(buffers, _focal(self.fine), lights, self.scene.ambient, maps)

    def _ground_pixel(self, pixel: np.ndarray) -> np.ndarray:
        """Index among the surroundings' pixels of each fine pixel."""
        if self.background == self.supersample:
            return pixel
        width, s = self.fine.image_size[0], self.supersample
        return pixel // width // s * self.camera.image_size[0] + pixel % width // s

    def _composed(
        self, pixel: np.ndarray, light: np.ndarray, shares: list[tuple[np.ndarray, np.ndarray]]
    ) -> np.ndarray:
        """The picture with people's light (P, 3) at fine pixels (P,) and less of the lamps' light at some points."""
        width, s = self.camera.image_size[0], self.supersample
        changed = np.zeros(self.depth.size, bool)
        changed[self._coarse(pixel, s)] = True
        for share, (rows, part) in zip(self._lit, shares, strict=True):
            share[rows] = part
            changed[self._coarse(self._pixel[rows], self.background)] = True
        block = np.flatnonzero(changed)
        top, left = block // width * s, block % width * s
        fine_width = self.fine.image_size[0]
        rays = (top[:, None, None] + np.arange(s)[:, None]) * fine_width + left[:, None, None] + np.arange(s)
        below = self._ground_pixel(rays.ravel())
        values = self._unlit[below]
        row = self._row[below]
        there = np.flatnonzero(row >= 0)
        for lamp, share in zip(self._lamps, self._lit, strict=True):
            values[there] += lamp[row[there]] * share[row[there], None]
        for share, (rows, _) in zip(self._lit, shares, strict=True):
            share[rows] = 1
        self._place[rays.ravel()] = np.arange(rays.size, dtype=np.int32)  # people's pixels are all among them
        values[self._place[pixel]] = light
        picture = self.picture.copy()
        means = np.minimum(values, 1).reshape(len(block), s * s, 3).mean(1)
        picture.reshape(-1, 3)[block] = encode(means)
        return picture

    def _coarse(self, pixel: np.ndarray, factor: int) -> np.ndarray:
        """Index of the picture's pixel that holds each pixel of one `factor` times as fine."""
        width = self.camera.image_size[0]
        return pixel // (width * factor) // factor * width + pixel % (width * factor) // factor


def _strength(source: Light, shadow: ShadowMap | None, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Brightness (P,) that a light gives points (P, 3) with unit normals (P, 3), world."""
    towards, brightness = towards_light(source, points)
    across = normals @ towards[0] if len(towards) == 1 else np.einsum("pi,pi->p", normals, towards)
    strength = np.maximum(across, 0) * brightness
    if shadow is not None:
        lit = np.flatnonzero(strength > 1e-4)
        strength[lit] *= lit_share(shadow, points[lit], normals[lit])
    return strength


def _reached(shadow: ShadowMap, points: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """(N,) bool: balls around points (N, 3), world, that a shadow of what the map holds may reach."""
    local = points @ shadow.R.T.astype(np.float32) + shadow.t.astype(np.float32)
    tangent = len(shadow.depth) / 2 / shadow.K[0, 0]
    wide = np.float32(tangent) * local[:, 2] + np.float32(np.hypot(1, tangent)) * radii
    nearest = np.nanmin(shadow.depth) - 2 * shadow.texel
    return (local[:, 2] + radii > nearest) & (np.abs(local[:, :2]) < wide[:, None]).all(1)


def _focal(camera: Camera) -> float:
    return float(np.sqrt(abs(camera.K[0, 0] * camera.K[1, 1])))
