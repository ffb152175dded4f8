"""The place people are filmed in: large enough for everybody and every camera, with boxes to hide behind."""

from dataclasses import replace

import numpy as np

from posewright.datasets.synth.performance import Performance
from posewright.datasets.synth.plan import ClipPlan
from posewright.render.mesh import Mesh
from posewright.render.rooms import occluder, open_air, room, with_meshes
from posewright.render.scene import Scene
from posewright.structures.cameras import Camera

SMALLEST = 9.0
"""Metres, side of a room."""
SPARE = 1.0
"""Metres between a wall and the nearest camera or person."""
CLEAR_OF_PEOPLE, CLEAR_OF_CAMERAS = 0.75, 1.2
"""Metres from the middle of a box to anybody's box of space, in any frame, and to any camera."""
TRIES = 300
HEIGHTS = (0.5, 1.2)
"""Of boxes, metres."""


def build_place(plan: ClipPlan, performance: Performance, cameras: tuple[Camera, ...]) -> Scene:
    """Make the place of a plan, without people."""
    if plan.place == "open_air":
        scene = open_air(plan.scene_seed)
    else:
        reach = (
            np.abs(np.concatenate([_ground_boxes(performance).reshape(-1, 2), _eyes(cameras)])).max(0) + SPARE
        )
        width, depth = np.maximum(2 * reach, SMALLEST).tolist()
        scene = room(plan.scene_seed, (width, depth))
        scene = replace(scene, lights=room(plan.scene_seed, (SMALLEST, SMALLEST)).lights)  # near the people
    return with_meshes(scene, boxes(plan, performance, cameras))


def boxes(plan: ClipPlan, performance: Performance, cameras: tuple[Camera, ...]) -> list[Mesh]:
    """Boxes between people and the first camera, nowhere in anybody's way; fewer than asked for where none fit."""
    rng = np.random.default_rng([plan.scene_seed, 7])
    people, eyes = _ground_boxes(performance), _eyes(cameras)
    middle = people.reshape(-1, 2).mean(0)
    ahead = eyes[0] - middle
    aside = np.array([-ahead[1], ahead[0]]) / max(float(np.linalg.norm(ahead)), 1e-9)
    spread = max(float(np.ptp(people.reshape(-1, 2) @ aside)) / 2, 0.4)
    found, places = [], np.zeros((0, 2))
    for _ in range(TRIES):
        if len(found) == plan.occluders:
            break
        place = middle + rng.uniform(0.15, 0.7) * ahead + rng.uniform(-1, 1) * spread * aside
        if not _free(place, people, eyes, places):
            continue
        places = np.concatenate([places, place[None]])
        x, y = place.tolist()
        found.append(occluder(int(rng.integers(1 << 30)), (x, y), HEIGHTS))
    return found


def _free(place: np.ndarray, people: np.ndarray, eyes: np.ndarray, places: np.ndarray) -> bool:
    outside = np.maximum(np.maximum(people[..., 0, :] - place, place - people[..., 1, :]), 0)
    apart = np.linalg.norm(places - place, axis=-1).min(initial=np.inf)
    from_eyes = np.linalg.norm(eyes - place, axis=-1).min()
    nearest = np.linalg.norm(outside, axis=-1).min()
    return bool(nearest > CLEAR_OF_PEOPLE and from_eyes > CLEAR_OF_CAMERAS and apart > 1.2)


def _ground_boxes(performance: Performance) -> np.ndarray:
    """(T, P, 2, 2) lowest and highest x, y of everybody."""
    return performance.extent[..., :2].astype(float)


def _eyes(cameras: tuple[Camera, ...]) -> np.ndarray:
    """(N, 2) x, y of all cameras in all frames."""
    places = []
    for camera in cameras:
        R, t = np.asarray(camera.R, float), np.asarray(camera.t, float)
        places.append(np.atleast_2d(-np.einsum("...ji,...j->...i", R, t)[..., :2]))
    return np.concatenate(places)
