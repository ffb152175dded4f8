"""Frames of a clip as one camera sees them: the picture, and who and what is to be seen in it.

A keypoint is hidden by others where another person, a box or the place is nearer than the joint at the pixel that it
falls into. It is hidden by its own body where the body's own surface lies further in front of it than flesh around the
joint explains: `2 r + OWN_FLESH`, r being the distance from joint to skin in the rest pose. Both are read off depth at
pixels' centres, so they are right to about half a pixel.

Convention: pixels, metres; depth is z in camera axes; arrays (H, W); P people, J joints.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import torch

from posewright.datasets.synth.performance import BATCH, Performance
from posewright.geometry.cameras import project_world
from posewright.render.buffers import Buffers, trace
from posewright.render.gl_picture import GlPainter
from posewright.render.lens import pose
from posewright.render.mesh import Mesh
from posewright.render.rooms import with_meshes
from posewright.render.scene import Scene
from posewright.render.still import Still
from posewright.structures.cameras import Camera

TOUCH = 0.03
"""Metres that something must be nearer than a joint to hide it."""
OWN_FLESH = 0.02
"""Metres, see above."""
WIDEST = 1.0
"""Pictures' sizes on each side beyond the picture in which the rest of a silhouette is looked for."""


@dataclass(frozen=True)
class FrameView:
    """One frame of one camera."""

    picture: np.ndarray | None
    """(H, W, 3) uint8 sRGB; None: not asked for."""
    depth: np.ndarray
    """(H, W) float32 metres, infinite where nothing is seen."""
    people: np.ndarray
    """(H, W) int32, place of the person seen, -1: none."""
    normals: np.ndarray | None
    """(H, W, 3) float32 unit normals, camera axes, NaN where nothing is seen; None: not asked for."""
    visible: dict[str, np.ndarray]
    """By joint set, (P, J) bool."""
    self_hidden: dict[str, np.ndarray]
    """By joint set, (P, J) bool."""
    visible_share: np.ndarray
    """(P,) float32."""


def film(
    performance: Performance,
    scene: Scene,
    camera: Camera,
    keypoints: dict[str, np.ndarray],
    supersample: int = 2,
    picture: bool = True,
    normals: bool = False,
    painter: GlPainter | None = None,
) -> Iterator[FrameView]:
    """Film a clip, frame by frame.

    Args:
        performance: who moves how.
        scene: the place, without people.
        camera: still or moving.
        keypoints: (T, P, J, 2) pixels by joint set, the performance's joints in this camera.
        supersample: rays per pixel along each axis; of a moving camera's surroundings 1.
        picture: whether to take pictures; the truth alone is several times faster.
        normals: whether to give normals.
        painter: takes the pictures instead of the reference renderer, several times as fast; the truth is the same.
    """
    moving = np.ndim(camera.R) > 2
    by_reference = picture and painter is None
    still = None if moving else _still(scene, camera, None, supersample, by_reference)
    frame = count()
    for start in range(0, performance.num_frames, BATCH):
        for skin in performance.vertices(start, min(start + BATCH, performance.num_frames)):
            f = next(frame)
            around = still or _still(scene, camera, f, supersample, by_reference)
            people = performance.dressed(skin)
            seen = [trace([mesh], camera, f if moving else None) for mesh in people]
            view = _who_is_seen(seen, around, normals)
            depths = [np.nan_to_num(s.depth(), nan=np.inf) for s in seen]
            joints = {name: x[f].astype(np.float64) for name, x in performance.joints.items()}
            pixels = {name: x[f] for name, x in keypoints.items()}
            visible, own = _seen_joints(
                depths, around.depth, joints, pixels, seen[0], performance.depth_inside
            )
            yield replace(
                view,
                picture=_picture(around, people, painter) if picture else None,
                visible=visible,
                self_hidden=own,
                visible_share=_shares(view.people, seen, people, camera, f if moving else None),
            )


def _still(scene: Scene, camera: Camera, frame: int | None, supersample: int, picture: bool) -> Still:
    """The surroundings; without pictures, as fine as the truth needs."""
    if not picture:
        return Still(scene, camera, frame, 1, lit=False)
    return Still(scene, camera, frame, supersample, background=1 if frame is not None else None)


def _picture(around: Still, people: list[Mesh], painter: GlPainter | None) -> np.ndarray:
    if painter is None:
        return around.with_people(people)
    return painter.picture(with_meshes(around.scene, people), around.camera, around.frame)


def _who_is_seen(seen: list[Buffers], around: Still, normals: bool) -> FrameView:
    """Nearest surface of each pixel: depth, who it is, normals."""
    depth, people = around.depth.copy(), np.full(around.depth.shape, -1, np.int32)
    directions = around.normals() if normals else None
    for p, buffers in enumerate(seen):
        nearer = np.flatnonzero(buffers.points[:, 2] < depth.ravel()[buffers.pixel])
        pixel = buffers.pixel[nearer]
        depth.ravel()[pixel] = buffers.points[nearer, 2]
        people.ravel()[pixel] = p
        if directions is not None:
            directions.reshape(-1, 3)[pixel] = buffers.normals().reshape(-1, 3)[pixel]
    return FrameView(None, depth, people, directions, {}, {}, np.zeros(len(seen), np.float32))


def _seen_joints(
    depths: list[np.ndarray],
    around: np.ndarray,
    joints: dict[str, np.ndarray],
    pixels: dict[str, np.ndarray],
    pose_of: Buffers,
    inside: dict[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Which joints others leave visible, and which the own body hides, by joint set."""
    others = [
        np.minimum.reduce([around, *(d for q, d in enumerate(depths) if q != p)]) for p in range(len(depths))
    ]
    visible, own = {}, {}
    for name, pixel in pixels.items():
        z = joints[name] @ pose_of.R[2] + pose_of.t[2]
        visible[name] = np.stack([_not_behind(*x) for x in zip(others, pixel, z, strict=True)])
        own[name] = np.stack([_self_hidden(*x) for x in zip(depths, pixel, z, inside[name], strict=True)])
    return visible, own


def _not_behind(depth: np.ndarray, pixels: np.ndarray, z: np.ndarray) -> np.ndarray:
    """(J,) bool: inside the picture, with nothing nearer than the joint."""
    there, nearest = _at(depth, pixels)
    return there & (nearest > z - TOUCH)


def _self_hidden(depth: np.ndarray, pixels: np.ndarray, z: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(J,) bool: inside the picture, with the body's own surface further in front than flesh explains."""
    there, nearest = _at(depth, pixels)
    return there & (z - nearest > 2 * inside + OWN_FLESH)


def _at(depth: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether keypoints (J, 2) lie in the picture, and the depth (J,) at the pixel they fall into."""
    height, width = depth.shape
    x, y = np.nan_to_num(pixels, nan=-10.0, posinf=-10.0, neginf=-10.0).astype(np.float64).T
    there = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    column, row = (np.rint(np.where(there, v, 0)).astype(np.int64) for v in (x, y))
    return there, depth[row.clip(0, height - 1), column.clip(0, width - 1)]


def _shares(
    seen_people: np.ndarray, seen: list[Buffers], people: list[Mesh], camera: Camera, frame: int | None
) -> np.ndarray:
    """(P,) share of each person's silhouette that the picture shows."""
    shown = np.bincount(seen_people[seen_people >= 0], minlength=len(people))
    whole = [
        _whole(s, mesh, camera, frame) if n else 1 for s, mesh, n in zip(seen, people, shown, strict=True)
    ]
    return (shown / np.maximum(whole, 1)).astype(np.float32)


def _whole(seen: Buffers, mesh: Mesh, camera: Camera, frame: int | None) -> int:
    """Pixels of a person's silhouette, also those that a larger picture would show."""
    K, distortion = (torch.as_tensor(np.asarray(a, np.float64)) for a in (camera.K, camera.distortion))
    R, t = (torch.from_numpy(a) for a in pose(camera, frame))
    place = project_world(torch.from_numpy(mesh.vertices), R, t, K, distortion, camera.model).numpy()
    size = np.array(camera.image_size)
    low, high = np.nanmin(place, 0), np.nanmax(place, 0)
    if np.isfinite(place).all() and (low > -0.5).all() and (high < size - 0.5).all():
        return len(seen.pixel)
    before = np.ceil(np.clip(-low, 0, WIDEST * size)).astype(int)
    after = np.ceil(np.clip(high - size + 1, 0, WIDEST * size)).astype(int)
    if not np.isfinite(place).all():  # partly behind the camera
        before = after = np.ceil(WIDEST * size).astype(int)
    wide_K = np.asarray(camera.K, float).copy()
    wide_K[:2, 2] += before
    width, height = (size + before + after).tolist()
    return len(trace([mesh], replace(camera, K=wide_K, image_size=(width, height)), frame).pixel)
