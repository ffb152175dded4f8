"""The same pictures by OpenGL (moderngl on EGL): no window, a graphics card where there is one, Mesa's CPU driver else.

    with GlRenderer() as gl:
        rendering = gl.render(scene, camera)

Needs the extra `posewright[render]` and the system's libEGL (Debian: libegl1, libgl1-mesa-dri). OpenGL
finds the face each pixel and each texel of a shadow map sees; depth, colour and everything else are then computed by
the reference's code, so they agree wherever the face does. It differs only where an edge passes a pixel's centre,
because OpenGL rounds corners to 1/256 pixel.
"""

from types import TracebackType
from typing import Any, Self

import numpy as np

from posewright.core.errors import MissingAssetError, MissingExtraError
from posewright.render.buffers import Buffers, Geometry, trace
from posewright.render.buffers import gather as gather_meshes
from posewright.render.lens import lens_of
from posewright.render.raster import NEAR
from posewright.render.scene import Rendering, Scene
from posewright.render.scene import render as render_reference
from posewright.structures.cameras import Camera

_FACES_VERTEX = """
#version 330
in vec3 place;
uniform mat3 K;
uniform vec2 size;
uniform float near;
void main() {
    vec3 p = K * place;
    // our pixel centres are whole numbers, OpenGL's lie at a half; row 0 is our top and OpenGL's bottom
    vec2 across = (2.0 * p.xy + place.z) / size - place.z;
    gl_Position = vec4(across, place.z - 2.0 * near, place.z);
}
"""
_FACES_FRAGMENT = """
#version 330
out int face;
void main() { face = gl_PrimitiveID; }
"""


def context():
    """Open a moderngl context without a window, on EGL.

    Raises:
        MissingExtraError: moderngl is not installed.
        MissingAssetError: the system has no EGL, or no driver for it.
    """
    try:
        import moderngl
    except ImportError:
        raise MissingExtraError("moderngl", "render", "rendering with OpenGL") from None
    try:
        return moderngl.create_context(standalone=True, backend="egl", require=400)  # pyright: ignore[reportArgumentType]
    except Exception as error:
        raise MissingAssetError(
            f"rendering with OpenGL needs EGL and a driver ({error}); on Debian: apt install libegl1 libgl1-mesa-dri. "
            "render.scene.render needs neither"
        ) from error


class OnContext:
    """Holds an OpenGL context and what is drawn into; close it, or use it in a `with`.

    Raises:
        MissingExtraError: moderngl is not installed.
        MissingAssetError: the system has no EGL, or no driver for it.
    """

    def __init__(self):
        self._context = context()
        self._targets: dict[tuple, tuple] = {}

    @property
    def device(self) -> str:
        """Name of the driver: `llvmpipe` is Mesa on the processor."""
        return str(self._context.info["GL_RENDERER"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release what the context holds."""
        for parts in self._targets.values():
            for part in parts:
                part.release()
        self._targets.clear()
        self._context.release()


class GlRenderer(OnContext):
    """The reference's pictures and ground truth, with the faces found by OpenGL."""

    def __init__(self):
        super().__init__()
        self._program = self._context.program(vertex_shader=_FACES_VERTEX, fragment_shader=_FACES_FRAGMENT)

    def visible_faces(
        self, corners: np.ndarray, K: np.ndarray, image_size: tuple[int, int], near: float = NEAR
    ) -> np.ndarray:
        """Do what `raster.visible_faces` does, same arguments and result."""
        width, height = image_size
        framebuffer, faces, _ = self._target(image_size)
        framebuffer.use()
        framebuffer.clear(depth=1.0)
        faces.write(np.full((height, width), -1, np.int32).tobytes())
        if not len(corners):
            return np.full((height, width), -1, np.int32)
        self._set("K", tuple(np.asarray(K, np.float32).T.ravel().tolist()))
        self._set("size", (float(width), float(height)))
        self._set("near", float(near))
        self._draw(np.nan_to_num(np.asarray(corners, np.float32), nan=-1.0))
        return np.frombuffer(faces.read(), np.int32).reshape(height, width).copy()

    def _set(self, name: str, value: float | tuple[float, ...]) -> None:
        """Set a uniform of the program."""
        uniform: Any = self._program[name]
        uniform.value = value

    def trace(
        self, scene: Scene | Geometry, camera: Camera, frame: int | None = None, near: float = NEAR
    ) -> Buffers:
        """Depth, labels and so on without colour: `buffers.trace`."""
        geometry = gather_meshes(scene.meshes) if isinstance(scene, Scene) else scene
        return trace(geometry, camera, frame, near, self.visible_faces)

    def render(
        self, scene: Scene, camera: Camera, frame: int | None = None, supersample: int = 1, near: float = NEAR
    ) -> Rendering:
        """Take a picture: `scene.render`, with OpenGL as the z-buffer of camera and shadow maps."""
        lens_of(camera)
        return render_reference(scene, camera, frame, supersample, near, self.visible_faces)

    def _draw(self, corners: np.ndarray) -> None:
        """Draw triangles (F, 3, 3), camera axes, into the framebuffer in use."""
        import moderngl

        buffer = self._context.buffer(corners.tobytes())
        array = self._context.vertex_array(self._program, [(buffer, "3f", "place")])
        self._context.enable(moderngl.DEPTH_TEST)
        array.render(moderngl.TRIANGLES)
        array.release()
        buffer.release()

    def _target(self, image_size: tuple[int, int]) -> tuple:
        """Framebuffer, face texture and depth buffer of a size; kept."""
        if image_size not in self._targets:
            faces = self._context.texture(image_size, 1, dtype="i4")
            depth = self._context.depth_renderbuffer(image_size)
            self._targets[image_size] = self._context.framebuffer([faces], depth), faces, depth
        return self._targets[image_size]
