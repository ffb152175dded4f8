"""What each pixel sees: face, barycentric coordinates, depth, and what follows from them.

Convention: arrays (H, W, ...) in float32; depth is z in camera axes (behind a fisheye camera's plane it is negative),
metres. Where nothing is seen: NaN, and -1 for indices. Values are those at the centre of the pixel, never means.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from posewright.core.errors import InputError
from posewright.render.lens import lens_of, pose
from posewright.render.mesh import Mesh, face_normals, vertex_normals
from posewright.render.raster import NEAR, barycentrics, visible_faces
from posewright.structures.cameras import Camera

FaceFinder = Callable[[np.ndarray, np.ndarray, tuple[int, int], float], np.ndarray]
"""A function like `raster.visible_faces`."""


@dataclass(frozen=True)
class Geometry:
    """All meshes of a scene as one: vertices, faces, and which mesh each face is of."""

    meshes: tuple[Mesh, ...]
    vertices: np.ndarray
    """(N, 3) metres, world."""
    faces: np.ndarray
    """(F, 3)."""
    mesh_of_face: np.ndarray
    """(F,)."""
    first_face: np.ndarray
    """(M + 1,) where each mesh's faces begin."""

    @cached_property
    def normals(self) -> np.ndarray:
        """(F, 3, 3) float32 unit normals at the corners of each face, world."""
        corners = []
        for mesh in self.meshes:
            if mesh.flat:
                across = face_normals(mesh.vertices, mesh.faces)
                across = across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-30)
                corners.append(np.repeat(across[:, None], 3, 1))
            else:
                normals = vertex_normals(mesh.vertices, mesh.faces) if mesh.normals is None else mesh.normals
                corners.append(normals[mesh.faces])
        return np.concatenate(corners).astype(np.float32) if corners else np.zeros((0, 3, 3), np.float32)

    @cached_property
    def labels(self) -> np.ndarray:
        """(F,) part label of each face."""
        return np.concatenate(
            [np.broadcast_to(np.asarray(m.labels, np.int64), len(m.faces)) for m in self.meshes]
            or [np.zeros(0, np.int64)]
        )


def gather(meshes: Sequence[Mesh]) -> Geometry:
    """Put the meshes of a scene together; none at all is an empty scene."""
    shift = np.cumsum([0, *(len(m.vertices) for m in meshes)])
    first_face = np.cumsum([0, *(len(m.faces) for m in meshes)])
    vertices = np.concatenate([np.zeros((0, 3)), *(m.vertices for m in meshes)])
    faces = np.concatenate(
        [np.zeros((0, 3), np.int64), *(m.faces + s for m, s in zip(meshes, shift[:-1], strict=True))]
    )
    owner = np.repeat(np.arange(len(meshes)), np.diff(first_face))
    return Geometry(tuple(meshes), vertices, faces, owner, first_face)


@dataclass(frozen=True)
class Buffers:
    """What a camera's pixels see of a scene. Kept for the pixels that see something; methods make pictures of it."""

    geometry: Geometry
    image_size: tuple[int, int]
    """(width, height), pixels."""
    R: np.ndarray
    """(3, 3) world to camera."""
    t: np.ndarray
    """(3,) metres."""
    pixel: np.ndarray
    """(P,) index y * width + x of the pixels that see something, ascending."""
    face: np.ndarray
    """(P,) index of the face, counted through all meshes."""
    weights: np.ndarray
    """(P, 3) barycentric coordinates."""
    points: np.ndarray
    """(P, 3) metres, camera axes."""

    def picture(self, values: np.ndarray, empty: float = np.nan) -> np.ndarray:
        """Spread values (P, ...) of the seen pixels over the picture (H, W, ...)."""
        width, height = self.image_size
        out = np.full((height * width, *values.shape[1:]), empty, values.dtype)
        out[self.pixel] = values
        return out.reshape(height, width, *values.shape[1:])

    def interpolate(self, corners: np.ndarray) -> np.ndarray:
        """Values (P, C) at the seen points, from values (F, 3, C) at the corners of all faces."""
        taken = corners[self.face]
        w = self.weights.astype(taken.dtype)
        return w[:, :1] * taken[:, 0] + w[:, 1:2] * taken[:, 1] + w[:, 2:] * taken[:, 2]

    def depth(self) -> np.ndarray:
        """(H, W) z in camera axes, metres."""
        return self.picture(self.points[:, 2].astype(np.float32))

    def positions(self) -> np.ndarray:
        """(H, W, 3) the points seen, metres, camera axes."""
        return self.picture(self.points.astype(np.float32))

    def silhouette(self, mesh: int | None = None) -> np.ndarray:
        """(H, W) bool: something is seen, or the mesh of that index."""
        index = self.mesh_index()
        return index >= 0 if mesh is None else index == mesh

    def mesh_index(self) -> np.ndarray:
        """(H, W) int32 index of the mesh, -1 where there is none."""
        return self.picture(self.geometry.mesh_of_face[self.face].astype(np.int32), -1)

    def face_index(self) -> np.ndarray:
        """(H, W) int32 index of the face within its mesh, -1 where there is none."""
        first = self.geometry.first_face[self.geometry.mesh_of_face[self.face]]
        return self.picture((self.face - first).astype(np.int32), -1)

    def barycentric(self) -> np.ndarray:
        """(H, W, 3) perspective-correct barycentric coordinates of the seen point in its face."""
        return self.picture(self.weights.astype(np.float32))

    def labels(self) -> np.ndarray:
        """(H, W) int32 part label, -1 where there is none."""
        return self.picture(self.geometry.labels[self.face].astype(np.int32), -1)

    def normals(self) -> np.ndarray:
        """(H, W, 3) unit normals, camera axes, those used for shading, turned towards the camera."""
        return self.picture((self.facing_normals() @ self.R.T).astype(np.float32))

    def facing_normals(self) -> np.ndarray:
        """(P, 3) float32 unit normals, world axes, turned towards the camera."""
        normals = self.interpolate(self.geometry.normals)
        length = np.sqrt(np.einsum("pi,pi->p", normals, normals))[:, None]
        towards = (self.points @ self.R).astype(np.float32)
        away = np.einsum("pi,pi->p", normals, towards)[:, None] > 0
        return np.where(away, -normals, normals) / np.maximum(length, 1e-12)

    def uv(self) -> np.ndarray:
        """(H, W, 2) texture coordinates; NaN also on meshes that have none."""
        return self.picture(self.texture_coordinates())

    def texture_coordinates(self) -> np.ndarray:
        """(P, 2) float32 texture coordinates of the seen points, NaN where the mesh has none."""
        out = np.full((len(self.pixel), 2), np.nan, np.float32)
        owner = self.geometry.mesh_of_face[self.face]
        for index, mesh in enumerate(self.geometry.meshes):
            if mesh.uv is not None:
                mine = np.flatnonzero(owner == index)
                corners = mesh.uv[mesh.faces[self.face[mine] - self.geometry.first_face[index]]]
                out[mine] = np.einsum("pk,pkc->pc", self.weights[mine], corners)
        return out

    def world_points(self) -> np.ndarray:
        """(P, 3) the points seen, metres, world."""
        return (self.points - self.t) @ self.R


def trace(
    meshes: Sequence[Mesh] | Geometry,
    camera: Camera,
    frame: int | None = None,
    near: float = NEAR,
    find_faces: FaceFinder = visible_faces,
) -> Buffers:
    """Find what each pixel of a camera sees of some meshes.

    Args:
        meshes: of the scene, world.
        camera: any model of `structures.cameras`, lens distortion included.
        frame: which pose of a moving camera.
        near: metres; nearer surfaces are cut away (in z of the ideal views the picture is made of).
        find_faces: the z-buffer: `raster.visible_faces`, or one with the same results.
    """
    geometry = meshes if isinstance(meshes, Geometry) else gather(meshes)
    if not near > 0:
        raise InputError(f"near plane at {near} m, expected a positive distance")
    lens = lens_of(camera)
    R, t = pose(camera, frame)
    vertices = geometry.vertices @ R.T + t
    corners = _without_backs(vertices[geometry.faces], geometry)
    if lens.lookup is None:
        seen = find_faces(corners, lens.views[0].K, camera.image_size, near).ravel()
    else:
        seen = np.full(lens.rays.shape[0] * lens.rays.shape[1], -1, np.int32)
        for view, table in zip(lens.views, lens.lookup, strict=True):
            turned = np.where(np.isnan(corners), np.nan, (vertices @ view.R_view_camera.T)[geometry.faces])
            found = find_faces(turned, view.K, view.image_size, near)
            np.copyto(seen, found.ravel()[table], where=table >= 0)
    pixel = np.flatnonzero(seen >= 0)
    face = seen[pixel]
    weights, points = barycentrics(corners, face, lens.rays.reshape(-1, 3)[pixel])
    return Buffers(geometry, camera.image_size, R, t, pixel, face, weights, points)


def _without_backs(corners: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Make faces of closed meshes NaN where they show the camera their back: they cannot be seen."""
    closed = np.array([mesh.closed for mesh in geometry.meshes], bool)
    if not closed.any():
        return corners
    a, b, c = (corners[:, i] for i in range(3))
    back = (np.cross(b - a, c - a) * a).sum(-1) >= 0
    return np.where((back & closed[geometry.mesh_of_face])[:, None, None], np.nan, corners)
