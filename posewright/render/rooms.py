"""Simple places to film people in: rooms and open air, with boxes to hide behind; drawn by lot.

Convention: world Z up, floor at z = 0, metres; the middle of the place is at the origin.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from posewright.render.lights import Ambient, Light
from posewright.render.mesh import Mesh
from posewright.render.primitives import box, ground, wall
from posewright.render.scene import Scene
from posewright.render.textures import texture

OPEN_AIR_SIZE = 120.0
"""Metres; the ground's edge is the horizon."""


def room(seed: int, size: tuple[float, float] = (9.0, 9.0), height: float = 3.2) -> Scene:
    """Make a room of `size` (x, y) metres with textured floor and walls and one or two lamps, without ceiling."""
    rng = np.random.default_rng(seed)
    x, y = size[0] / 2, size[1] / 2
    floor_kind, wall_kind = (
        rng.choice(["tiles", "planks", "plaster"]),
        rng.choice(["plaster", "bricks", "plaster"]),
    )
    floor = ground(max(size), texture=texture(str(floor_kind), seed, _muted(rng, 0.3, 0.65)), tile=2.0)
    paint = texture(str(wall_kind), seed + 1, _muted(rng, 0.55, 0.85))
    corners = [(-x, -y), (-x, y), (x, y), (x, -y)]
    walls = [
        wall(a, b, height, tile=2.0, texture=paint, name=f"wall {i}")
        for i, (a, b) in enumerate(zip(corners, corners[1:] + corners[:1], strict=True))
    ]
    lamps = tuple(
        Light(
            position=(float(rng.uniform(-0.6, 0.6) * x), float(rng.uniform(-0.8, 0.2) * y), height + 0.6),
            strength=float(rng.uniform(0.45, 0.7)),
            reach=4.0,
            softness=0.06,
        )
        for _ in range(int(rng.integers(1, 3)))
    )
    return Scene((floor, *walls), lamps, Ambient((0.40, 0.40, 0.41), (0.26, 0.25, 0.24)), (0.85, 0.85, 0.84))


def open_air(seed: int) -> Scene:
    """Make a meadow, street or square under a clear sky."""
    rng = np.random.default_rng(seed)
    kind, color = [
        ("plaster", (0.33, 0.45, 0.20)),
        ("plaster", (0.42, 0.42, 0.43)),
        ("tiles", (0.58, 0.55, 0.50)),
    ][rng.integers(3)]
    floor = ground(OPEN_AIR_SIZE, texture=texture(kind, seed, color), tile=3.0)
    around = rng.uniform(-np.pi, np.pi)
    slope = rng.uniform(0.6, 1.5)
    sun = Light(
        direction=(float(np.cos(around)), float(np.sin(around)), float(-slope)),
        strength=float(rng.uniform(0.55, 0.8)),
        color=(1.0, 0.96, 0.88),
    )
    sky = np.array([[0.25, 0.47, 0.82], [0.80, 0.87, 0.93]], np.float32)
    return Scene((floor,), (sun,), backdrop=sky)


def random_place(seed: int) -> Scene:
    """Draw a room (two times of three) or open air."""
    return room(seed) if np.random.default_rng(seed).random() < 2 / 3 else open_air(seed)


def occluder(seed: int, place: tuple[float, float], height: tuple[float, float] = (0.4, 1.1)) -> Mesh:
    """Make a textured box on the floor at `place` (x, y), metres, to hide a part of somebody behind it."""
    rng = np.random.default_rng(seed)
    size = (float(rng.uniform(0.3, 1.0)), float(rng.uniform(0.3, 0.8)), float(rng.uniform(*height)))
    look = texture(str(rng.choice(["planks", "plaster"])), seed, _muted(rng, 0.25, 0.8))
    return box((*place, size[2] / 2), size, float(rng.uniform(-np.pi, np.pi)), texture=look, name="occluder")


def with_meshes(scene: Scene, meshes: Sequence[Mesh]) -> Scene:
    """Return the place with people or things in it."""
    return replace(scene, meshes=(*scene.meshes, *meshes))


def _muted(rng: np.random.Generator, darkest: float, brightest: float) -> tuple[float, float, float]:
    """Draw the colour of a floor or wall: nearly grey."""
    red, green, blue = (
        (rng.uniform(darkest, brightest) * (1 + rng.uniform(-0.12, 0.12, 3))).clip(0, 1).tolist()
    )
    return red, green, blue
