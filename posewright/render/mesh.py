"""Triangle meshes as the renderer wants them: world positions, faces, and what the surface looks like.

Convention: world axes, metres, Z up. A face's corners run anticlockwise seen from outside. Colours are sRGB in
[0, 1], as in a picture file; shading happens in linear light (`srgb_to_linear`, IEC 61966-2-1). Texture
coordinates (u, v) are in [0, 1], u right and v down, (0, 0) the outer corner of the texture's top-left texel, and
repeat outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from posewright.core.errors import InputError


@dataclass(frozen=True)
class Mesh:
    """One object of a scene."""

    vertices: np.ndarray
    """(N, 3) metres, world. Faces with a NaN corner are not drawn."""
    faces: np.ndarray
    """(F, 3) integers, corners of each triangle."""
    colors: np.ndarray | tuple[float, float, float] = (0.7, 0.7, 0.7)
    """(N, 3) sRGB in [0, 1] per vertex, or one colour for all; multiplies the texture if there is one."""
    uv: np.ndarray | None = None
    """(N, 2) texture coordinates."""
    texture: np.ndarray | None = None
    """(h, w, 3) uint8 sRGB, rows downwards; needs `uv`."""
    labels: np.ndarray | int = 0
    """(F,) part label of each face, or one for all; 0 to 65535."""
    normals: np.ndarray | None = None
    """(N, 3) unit normals for shading; None: area-weighted means of the faces around each vertex."""
    flat: bool = False
    """Shade with the face's own normal: for boxes and walls."""
    closed: bool = False
    """The surface has no holes, so that the backs of its faces are never seen: drawn in half the time."""
    casts_shadow: bool = True
    name: str = "mesh"

    def __post_init__(self):
        object.__setattr__(self, "vertices", as_array(self.vertices, np.float64))
        object.__setattr__(self, "faces", as_array(self.faces, np.int64))
        vertices, faces = self.vertices, self.faces
        if vertices.ndim != 2 or vertices.shape[1] != 3:
            raise InputError(f"mesh {self.name}: vertices have shape {vertices.shape}, expected (N, 3)")
        if faces.ndim != 2 or faces.shape[1] != 3:
            raise InputError(
                f"mesh {self.name}: faces have shape {faces.shape}, expected (F, 3) triangles; split quads first"
            )
        if faces.size and (faces.min() < 0 or faces.max() >= len(vertices)):
            raise InputError(
                f"mesh {self.name}: faces name vertices {faces.min()} to {faces.max()}, but there are "
                f"{len(vertices)} (0 to {len(vertices) - 1})"
            )
        self._check_looks()

    def _check_looks(self) -> None:
        count = len(self.vertices)
        object.__setattr__(self, "colors", as_array(self.colors, np.float32))
        if np.shape(self.colors) not in ((3,), (count, 3)):
            raise InputError(
                f"mesh {self.name}: colors have shape {np.shape(self.colors)}, expected (3,) or ({count}, 3)"
            )
        if self.uv is not None:
            object.__setattr__(self, "uv", as_array(self.uv, np.float64))
            if np.shape(self.uv) != (count, 2):
                raise InputError(f"mesh {self.name}: uv has shape {np.shape(self.uv)}, expected ({count}, 2)")
        if self.texture is not None:
            texture = self.texture
            if self.uv is None:
                raise InputError(f"mesh {self.name}: a texture needs uv, (N, 2) texture coordinates")
            if texture.dtype != np.uint8 or texture.ndim != 3 or texture.shape[2] != 3:
                raise InputError(
                    f"mesh {self.name}: the texture is {texture.dtype} {texture.shape}, expected uint8 (h, w, 3)"
                )
        if np.ndim(self.labels) and np.shape(self.labels) != (len(self.faces),):
            raise InputError(
                f"mesh {self.name}: labels have shape {np.shape(self.labels)}, expected ({len(self.faces)},), "
                "one per face (see face_labels)"
            )


def as_array(values, dtype: type) -> np.ndarray:
    """Turn a tensor (any device, with or without gradient), array or list into a contiguous array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.ascontiguousarray(values, dtype)


def batch_of_meshes(vertices, faces, names: Sequence[str] | None = None, **look) -> list[Mesh]:
    """Make one mesh of each item of a batch that shares its faces: several people, or one at several times.

    Args:
        vertices: (B, N, 3) metres, world.
        faces: (F, 3).
        names: B names; None: `mesh 0`, `mesh 1`, ...
        look: further fields of `Mesh`, the same for all.
    """
    vertices = as_array(vertices, np.float64)
    if vertices.ndim != 3:
        raise InputError(f"batch_of_meshes: vertices have shape {vertices.shape}, expected (B, N, 3)")
    names = names or [f"mesh {i}" for i in range(len(vertices))]
    return [Mesh(v, faces, name=name, **look) for v, name in zip(vertices, names, strict=True)]


def face_labels(vertex_labels: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Label (F,) of each face from its corners' labels (N,): the majority's; if all differ, the first's."""
    a, b, c = as_array(vertex_labels, np.int64)[as_array(faces, np.int64)].T
    return np.where(b == c, b, a)


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Cross product (F, 3) of two edges: outwards, its length twice the face's area."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.cross(b - a, c - a)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (N, 3): means of the faces around each vertex, weighted by area; 0 where there is no face."""
    across = np.nan_to_num(face_normals(vertices, faces))
    corners = faces.T.ravel()
    total = np.stack([np.bincount(corners, np.tile(across[:, i], 3), len(vertices)) for i in range(3)], -1)
    length = np.linalg.norm(total, axis=-1, keepdims=True)
    return total / np.where(length > 0, length, 1)


def moved(mesh: Mesh, vertices: np.ndarray) -> Mesh:
    """Return the same object with its vertices elsewhere: the next frame of an animation."""
    return replace(mesh, vertices=vertices, normals=None)


def srgb_to_linear(colors: ArrayLike) -> np.ndarray:
    """Turn picture values in [0, 1] into linear light (IEC 61966-2-1)."""
    values = np.asarray(colors, np.float32)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(light: np.ndarray) -> np.ndarray:
    """Turn linear light into picture values in [0, 1]; the inverse of `srgb_to_linear`, clipped."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)
