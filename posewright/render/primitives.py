"""Simple shapes: planes, boxes, spheres, backdrops.

Convention: world axes, metres, Z up; faces anticlockwise seen from outside.
"""

import math

import numpy as np

from posewright.render.mesh import Mesh

# the eight corners are bits x + 2 y + 4 z; each side's quad is anticlockwise seen from outside
_BOX_QUADS = ((0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5))


def quad(
    corner: tuple[float, float, float],
    right: tuple[float, float, float],
    down: tuple[float, float, float],
    divisions: int = 1,
    repeats: tuple[float, float] = (1.0, 1.0),
    **look,
) -> Mesh:
    """Make a flat rectangle.

    Args:
        corner: metres, where the texture's top-left corner goes.
        right: vector along the texture's upper edge, metres.
        down: vector along its left edge, metres.
        divisions: cells along each side.
        repeats: how often the texture repeats along `right` and `down`.
        look: further fields of `Mesh`.
    """
    steps = np.linspace(0, 1, divisions + 1)
    u, v = (grid.ravel() for grid in np.meshgrid(steps, steps))
    vertices = np.asarray(corner) + u[:, None] * np.asarray(right) + v[:, None] * np.asarray(down)
    row, column = (grid.ravel() for grid in np.mgrid[:divisions, :divisions])
    a = row * (divisions + 1) + column
    below = a + divisions + 1
    faces = np.concatenate([np.stack([a, below, below + 1], -1), np.stack([a, below + 1, a + 1], -1)])
    return Mesh(vertices, faces, uv=np.stack([u, v], -1) * repeats, flat=True, **look)


def ground(
    size: float = 20.0,
    height: float = 0.0,
    tile: float = 1.0,
    centre: tuple[float, float] = (0.0, 0.0),
    divisions: int = 1,
    **look,
) -> Mesh:
    """Make a horizontal square of `size` metres at z = `height`, its texture repeating every `tile` metres."""
    x, y = centre
    look = {"name": "ground", "casts_shadow": False, **look}
    start, repeats = (x - size / 2, y + size / 2, height), (size / tile, size / tile)
    return quad(start, (size, 0, 0), (0, -size, 0), divisions, repeats, **look)


def wall(
    start: tuple[float, float], end: tuple[float, float], height: float = 3.0, tile: float = 1.0, **look
) -> Mesh:
    """Make a wall on the floor from `start` to `end` (x, y), metres; seen from its front, `start` is at the left."""
    along = np.subtract(end, start)
    repeats = (float(np.hypot(*along)) / tile, height / tile)
    look = {"name": "wall", "casts_shadow": False, **look}
    return quad((*start, height), (*along, 0.0), (0, 0, -height), 1, repeats, **look)


def box(
    centre: tuple[float, float, float], size: tuple[float, float, float], turn: float = 0.0, **look
) -> Mesh:
    """Make a box with edges `size` (x, y, z) metres around `centre`, turned by `turn` radians about Z.

    Every side carries the whole texture.
    """
    bits = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)]) - 0.5
    cos, sin = math.cos(turn), math.sin(turn)
    turned = (bits * size) @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) + np.asarray(centre)
    vertices = turned[np.array(_BOX_QUADS).ravel()]
    first = 4 * np.arange(6)[:, None]
    faces = np.concatenate([first + [0, 1, 2], first + [0, 2, 3]])
    uv = np.tile([[0.0, 1], [1, 1], [1, 0], [0, 0]], (6, 1))
    return Mesh(vertices, faces, uv=uv, flat=True, **{"name": "box", **look})


def sphere(
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0), radius: float = 1.0, rings: int = 24, **look
) -> Mesh:
    """Make a sphere of `rings` bands of latitude and twice as many sectors; its corners lie on the sphere."""
    sectors = 2 * rings
    latitude = np.linspace(0, math.pi, rings + 1)[1:-1]
    longitude = np.arange(sectors) * 2 * math.pi / sectors
    belt = np.stack(
        [
            np.outer(np.sin(latitude), np.cos(longitude)),
            np.outer(np.sin(latitude), np.sin(longitude)),
            np.repeat(np.cos(latitude)[:, None], sectors, 1),
        ],
        -1,
    ).reshape(-1, 3)
    points = np.concatenate([belt, [[0, 0, 1.0], [0, 0, -1.0]]])
    faces = _sphere_faces(rings, sectors)
    return Mesh(points * radius + np.asarray(centre), faces, normals=points, **{"name": "sphere", **look})


def _sphere_faces(rings: int, sectors: int) -> np.ndarray:
    """Faces between the rings - 1 belts of a sphere, and to its poles, which are the last two vertices."""
    here = np.arange(sectors)
    beside = (here + 1) % sectors
    belts = (np.arange(rings - 2) * sectors)[:, None]
    a, b, c, d = belts + here, belts + sectors + here, belts + sectors + beside, belts + beside
    count = (rings - 1) * sectors
    last = count - sectors
    north = np.stack([np.full(sectors, count), here, beside], -1)
    south = np.stack([np.full(sectors, count + 1), last + beside, last + here], -1)
    sides = [np.stack([x.ravel() for x in corners], -1) for corners in ((a, b, c), (a, c, d))]
    return np.concatenate([*sides, north, south])


def subdivide(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split every face in four at the middles of its edges.

    Args:
        faces: (F, 3).

    Returns:
        (4 F, 3) faces, and (E, 2) the vertices each new vertex lies between. New vertices come after the old:
        `np.concatenate([vertices, vertices[pairs].mean(1)])`, also for colours and labels; the same in every frame.
    """
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), 1)
    pairs, which = np.unique(edges, axis=0, return_inverse=True)
    middle = which.reshape(-1, 3) + faces.max(initial=-1) + 1
    (a, b, c), (ab, bc, ca) = faces.T, middle.T
    split = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.concatenate([np.stack(corners, -1) for corners in split]), pairs
