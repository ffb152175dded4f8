"""Small clips for tests: somebody who walks, made by `datasets.procedural`."""

from dataclasses import replace

from posewright.datasets.procedural import walk
from posewright.datasets.synth import CameraPlan, ClipPlan, Performer

FPS = 10.0
SIZE = (160, 120)


def small_plan(people: int = 1, cameras: int = 1, **changes) -> ClipPlan:
    """A plan of six tiny pictures."""
    performers = tuple(
        Performer(walk(0.5, FPS), offset=(0.9 * i, 0.3 * i), turn=0.8 * i, look_seed=i) for i in range(people)
    )
    views = tuple(CameraPlan(azimuth=0.5 + 1.4 * c, pitch=0.15, seed=c) for c in range(cameras))
    plan = ClipPlan(
        performers, views, FPS, SIZE, scene_seed=3, topology="low_1229", supersample=1, action="walk"
    )
    return replace(plan, **changes)
