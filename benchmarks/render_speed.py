"""How fast a person in a room is rendered: the reference z-buffer, OpenGL, and gradients.

    OMP_NUM_THREADS=1 python benchmarks/render_speed.py [--frames 10]

The person is a stand-in of 14,160 faces, the size of a person 3.5 m away: an ellipsoid 1.7 m high and 0.5 m wide (more
pixels than a real body, no body model needed). The scene is a room with textured floor and walls, its lamps with shadow
maps, and a sensor is not applied. Writes results/render_speed.csv: frames per second by wall clock (the median frame)
and processor milliseconds per frame, which other work on the machine disturbs less.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from row import write_rows

from posewright.core.errors import MissingAssetError, MissingExtraError
from posewright.render.buffers import trace
from posewright.render.gl import GlRenderer
from posewright.render.gl_picture import SAMPLES, GlPainter
from posewright.render.mesh import Mesh
from posewright.render.primitives import sphere
from posewright.render.rooms import room, with_meshes
from posewright.render.scene import Scene, render
from posewright.render.soft import soft_render
from posewright.structures.cameras import Camera

STANDING = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def main() -> None:
    """Time each way of rendering and write the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=10)
    frames = parser.parse_args().frames
    body = person()
    scene = with_meshes(room(1), [body])
    rows = []
    for size in ((512, 512), (1280, 720)):
        view = camera(size)
        rows += [
            measure("reference, ground truth without colour", size, frames, partial(truth, scene, view)),
            measure(
                "reference, colour, shadows and ground truth", size, frames, partial(render, scene, view)
            ),
            measure(
                "reference, colour with 2 x 2 rays a pixel",
                size,
                frames,
                partial(render, scene, view, supersample=2),
            ),
        ]
    fisheye = Camera(camera((512, 512)).K * [[0.5], [0.5], [1]], (512, 512), STANDING, np.array([0, 1.0, 3.5]),
                     np.zeros(4), "fisheye")  # fmt: skip
    rows.append(measure("reference, fisheye", (512, 512), frames, lambda: render(scene, fisheye)))
    rows.append(measure("soft silhouette and depth, forward and back", (128, 128), frames, gradients))
    rows += opengl(scene, frames)
    print(write_rows("render_speed", rows))


def person() -> Mesh:
    """Make the stand-in."""
    ball = sphere(rings=60, closed=True)
    return Mesh(ball.vertices * [0.25, 0.15, 0.85] + [0, 0, 0.9], ball.faces, closed=True)


def camera(size: tuple[int, int]) -> Camera:
    """Make a camera that shows the whole person."""
    focal = 1.17 * size[1]
    K = np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1]])
    return Camera(K, size, STANDING, np.array([0, 1.0, 3.5]))


def truth(scene: Scene, view: Camera) -> np.ndarray:
    """Find what each pixel sees, and its depth."""
    return trace(scene.meshes, view).depth()


def gradients() -> None:
    """Render a soft silhouette of a mesh of 2,208 faces, and its gradient."""
    ball = sphere(rings=24)
    vertices = torch.tensor(
        ball.vertices * [0.25, 0.85, 0.15] + [0, 0, 3.5], dtype=torch.float32, requires_grad=True
    )
    K = torch.tensor([[150.0, 0, 63.5], [0, 150, 63.5], [0, 0, 1]])
    soft_render(vertices, torch.from_numpy(ball.faces), K, (128, 128)).silhouette.sum().backward()


def opengl(scene: Scene, frames: int) -> list[dict]:
    """Time OpenGL where there is EGL; otherwise say why not."""
    try:
        renderer = GlRenderer()
    except (MissingAssetError, MissingExtraError) as error:
        print(f"OpenGL left out: {error}")
        return []
    with renderer as gl:
        name = f"OpenGL ({gl.device})"
        small = camera((512, 512))
        return [
            measure(
                f"{name}, ground truth without colour",
                (512, 512),
                frames,
                lambda: gl.trace(scene, small).depth(),
            ),
            measure(
                f"{name}, colour, shadows and ground truth",
                (512, 512),
                frames,
                lambda: gl.render(scene, small),
            ),
            *painted(scene, frames),
        ]


def painted(scene: Scene, frames: int) -> list[dict]:
    """Time pictures shaded by OpenGL, the person uploaded anew for each."""
    *place, body = scene.meshes
    rows = []
    for samples, edges in ((0, "shadows"), (SAMPLES, "shadows and smooth edges")):
        with GlPainter(samples) as gl:
            rows += [
                measure(
                    f"OpenGL ({gl.device}), picture with {edges}",
                    size,
                    frames,
                    lambda gl=gl, size=size: gl.picture(
                        replace(scene, meshes=(*place, replace(body))), camera(size)
                    ),
                )
                for size in ((512, 512), (1280, 720))
            ]
    return rows


def measure(what: str, size: tuple[int, int], frames: int, run: Callable[[], object]) -> dict:
    """Time a function, after one call to fill caches."""
    run()
    wall, cpu = [], []
    for _ in range(frames):
        start = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])
    row = {
        "what": what,
        "image": f"{size[0]}x{size[1]}",
        "frames_per_second": round(1 / statistics.median(wall), 2),
        "processor_ms": round(1000 * statistics.median(cpu), 1),
        "threads": torch.get_num_threads(),
    }
    print(row)
    return row


if __name__ == "__main__":
    main()
