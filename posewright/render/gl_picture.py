"""Pictures shaded by OpenGL, for video: the reference's light, textures and shadows, several times as fast.

    with GlPainter() as gl:
        picture = gl.picture(scene, camera)          # (H, W, 3) uint8

The formulas are those of `shading` and `lights` (levels of textures, soft shadows, linear light), in float32 and with
edges smoothed by multisampling, so pictures differ from the reference's by rounding and at edges. There is no ground
truth here: that comes from `gl.GlRenderer` or the reference. Meshes that do not change from frame to frame (the same
`Mesh` object) stay on the graphics card.

A distorted picture is taken from the ideal views of `lens`, bilinearly.
"""

import weakref
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from posewright.core.errors import InputError
from posewright.render.gl import OnContext
from posewright.render.lens import Lens, View, lens_of, pose
from posewright.render.lights import Light, shadow_view
from posewright.render.mesh import Mesh, face_normals, srgb_to_linear, vertex_normals
from posewright.render.raster import NEAR
from posewright.render.scene import Scene
from posewright.render.shading import encode, pyramid, texel_density
from posewright.structures.cameras import Camera

SAMPLES = 4
"""Edge samples per pixel."""
FAR_AWAY = 1e30
"""Depth of a shadow map where the light meets nothing."""
_KEPT_MESHES = 64

_PROJECT = """
vec4 project(vec3 p, float z, mat3 K, vec2 size, float near) {
    // our pixel centres are whole numbers, OpenGL's lie at a half; row 0 is our top and OpenGL's bottom
    vec3 q = K * vec3(p.xy, z);
    return vec4((2.0 * q.xy + z) / size - z, z - 2.0 * near, z);
}
"""
_SHADOW_VERTEX = f"""
#version 330
in vec3 world;
uniform mat3 R, K;
uniform vec3 t;
uniform vec2 size;
uniform float away, near;
out float depth;
{_PROJECT}
void main() {{
    vec3 p = R * world + t;
    depth = p.z + away;
    gl_Position = project(p, p.z + away, K, size, near);
}}
"""
_SHADOW_FRAGMENT = """
#version 330
in float depth;
uniform float away;
out float kept;
void main() { kept = depth - away; }
"""
_VERTEX = f"""
#version 330
in vec3 world, normal, color;
in vec2 uv;
in float density;
uniform mat3 R, K;
uniform vec3 t;
uniform vec2 size;
uniform float near;
out vec3 at, up, paint, seen;
out vec2 place;
flat out float texels;
{_PROJECT}
void main() {{
    at = world; up = normal; paint = color; place = uv; texels = density;
    seen = R * world + t;
    gl_Position = project(seen, seen.z, K, size, near);
}}
"""
_WHOLE_VIEW = """
#version 330
in vec2 corner;
out vec2 pixel;
uniform vec2 size;
void main() { pixel = (corner * 0.5 + 0.5) * size - 0.5; gl_Position = vec4(corner, 0.0, 1.0); }
"""
_ENCODE_FRAGMENT = """
#version 330
uniform sampler2D picture;
out vec4 color;
void main() {
    vec3 light = clamp(texelFetch(picture, ivec2(gl_FragCoord.xy), 0).rgb, 0.0, 1.0);
    vec3 bright = 1.055 * pow(light, vec3(1.0 / 2.4)) - 0.055;
    color = vec4(mix(12.92 * light, bright, step(0.0031308, light)), 1.0);
}
"""
_SKY_FRAGMENT = """
#version 330
in vec2 pixel;
uniform mat3 upright;
uniform vec3 zenith, horizon;
out vec3 light;
void main() {
    vec3 ray = upright * vec3(pixel, 1.0);
    light = mix(horizon, zenith, sqrt(clamp(ray.z / length(ray), 0.0, 1.0)));
}
"""


def _fragment(lights: int) -> str:
    """Shader source for so many lights: the samplers of shadow maps cannot be chosen by a variable."""
    uniforms = "".join(
        f"uniform vec3 source{i}, glow{i}, shadow_t{i}; uniform float lamp{i}, reach{i}, texel{i}, away{i};"
        f"uniform float shadowed{i}; uniform mat3 shadow_R{i}, shadow_K{i}; uniform sampler2D shadow{i};\n"
        for i in range(lights)
    )
    sums = "".join(
        f"""
    {{
        vec3 way = lamp{i} > 0.5 ? source{i} - at : source{i};
        float far = length(way);
        float fall = lamp{i} > 0.5 ? reach{i} / max(far, 0.05) : 1.0;
        float strength = max(dot(n, way / max(far, 1e-6)), 0.0) * fall * fall;
        if (shadowed{i} > 0.5 && strength > 1e-4)
            strength *= lit(shadow{i}, shadow_R{i} * (at + n * (1.5 * texel{i})) + shadow_t{i},
                            shadow_K{i}, away{i}, texel{i});
        light += strength * glow{i};
    }}"""
        for i in range(lights)
    )
    return f"""
#version 400
in vec3 at, up, paint, seen;
in vec2 place;
flat in float texels;
uniform mat3 R;
uniform vec3 sky, ground;
uniform float focal, textured, levels;
uniform sampler2D picture;
{uniforms}
out vec3 color;

float lit(sampler2D depths, vec3 p, mat3 K, float away, float texel) {{
    float z = p.z + away;
    vec2 q = vec2(K[0][0] * p.x / z + K[2][0], K[1][1] * p.y / z + K[2][1]);
    float side = float(textureSize(depths, 0).x);
    if (z <= 0.0 || q.x <= 1.0 || q.y <= 1.0 || q.x >= side - 3.0 || q.y >= side - 3.0) return 1.0;
    // nine texels, the outer ones in part: four squares of four
    vec2 f = fract(q);
    vec4 wx = vec4(1.0 - f.x, 1.0, 1.0, f.x), wy = vec4(1.0 - f.y, 1.0, 1.0, f.y);
    vec2 corner = floor(q) / side;
    vec4 own = vec4(p.z - 0.5 * texel);
    float total = 0.0, unit = 2.0 / side;
    total += dot(step(own, textureGather(depths, corner)), wx.xyyx * wy.yyxx);
    total += dot(step(own, textureGather(depths, corner + vec2(unit, 0.0))), wx.zwwz * wy.yyxx);
    total += dot(step(own, textureGather(depths, corner + vec2(0.0, unit))), wx.xyyx * wy.wwzz);
    total += dot(step(own, textureGather(depths, corner + vec2(unit, unit))), wx.zwwz * wy.wwzz);
    return total / 9.0;
}}

vec3 decoded(vec3 c) {{
    return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(0.04045, c));
}}

void main() {{
    vec3 towards = transpose(R) * seen;
    vec3 n = dot(up, towards) > 0.0 ? -up : up;
    n /= max(length(n), 1e-12);
    vec3 light = mix(ground, sky, 0.5 + 0.5 * n.z);
    {sums}
    vec3 albedo = paint;
    if (textured > 0.5) {{
        vec3 across = cross(dFdx(seen), dFdy(seen));
        float slant = abs(dot(across, seen)) / max(length(across) * length(seen), 1e-30);
        float level = max(0.5 * log2(max(texels * dot(seen, seen) / (focal * focal) / max(slant, 0.1), 1e-12)), 0.0);
        albedo *= decoded(textureLod(picture, place, min(floor(level + 0.5), levels - 1.0)).rgb);
    }}
    color = min(light * albedo, vec3(1.0));
}}
"""


@dataclass(frozen=True)
class _Uploaded:
    """A mesh on the graphics card."""

    owner: "weakref.ref[Mesh]"
    buffer: Any
    """Of corners, or, with an index, of vertices without texture coordinates."""
    index: Any | None
    texture: Any | None
    levels: int

    def array(self, context, program, *wanted: str):
        """Bind the attributes that a program reads."""
        names = ["world", "normal", "color", *(() if self.index is not None else ("uv", "density"))]
        sizes = {"world": 3, "normal": 3, "color": 3, "uv": 2, "density": 1}
        layout = " ".join(f"{sizes[n]}f" if n in wanted else f"{4 * sizes[n]}x" for n in names)
        content = [(self.buffer, layout, *(n for n in names if n in wanted))]
        return context.vertex_array(program, content, index_buffer=self.index)

    def release(self) -> None:
        for part in (self.buffer, self.index, self.texture):
            if part is not None:
                part.release()


class GlPainter(OnContext):
    """Takes pictures; holds programs and uploaded meshes. Close it, or use it in a `with`.

    Args:
        samples: edge samples per pixel; 0 leaves edges jagged, as the reference's with one ray, and saves a third
            of the time on a processor.
    """

    def __init__(self, samples: int = SAMPLES):
        super().__init__()
        self._samples = min(samples, int(self._context.max_samples))
        self._shadow = self._context.program(vertex_shader=_SHADOW_VERTEX, fragment_shader=_SHADOW_FRAGMENT)
        self._sky = self._context.program(vertex_shader=_WHOLE_VIEW, fragment_shader=_SKY_FRAGMENT)
        self._encode = self._context.program(vertex_shader=_WHOLE_VIEW, fragment_shader=_ENCODE_FRAGMENT)
        corners = np.array([-1, -1, 3, -1, -1, 3], np.float32)
        self._corners = self._context.buffer(corners.tobytes())
        self._programs: dict[int, Any] = {}
        self._meshes: dict[int, _Uploaded] = {}

    def close(self) -> None:
        """Release what the context holds."""
        for mesh in self._meshes.values():
            mesh.release()
        self._meshes.clear()
        self._corners.release()
        super().close()

    def picture(
        self, scene: Scene, camera: Camera, frame: int | None = None, near: float = NEAR
    ) -> np.ndarray:
        """Take a picture (H, W, 3), uint8 sRGB.

        Args:
            scene: meshes, lights, backdrop.
            camera: any model of `structures.cameras`.
            frame: which pose of a moving camera.
            near: metres; nearer surfaces are cut away.
        """
        lens = lens_of(camera)
        R, t = pose(camera, frame)
        shadows = self._shadow_maps(scene)
        self._forget_meshes(scene.meshes)
        if lens.lookup is None:
            self._view(scene, R, t, lens.views[0], shadows, near)
            return self._encoded(lens.views[0].image_size)
        width, height = camera.image_size
        out = np.zeros((height, width, 3), np.float32)
        for view, table in zip(lens.views, lens.lookup, strict=True):
            turned = view.R_view_camera
            self._view(scene, turned @ R, turned @ t, view, shadows, near)
            light = self._light(view.image_size)
            mine = (table >= 0).reshape(height, width)
            x, y = _places(lens, view)
            seen = cv2.remap(light, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            np.copyto(out, seen, where=mine[..., None])
        return encode(out)

    # ---------------------------------------------------------------------------------------- passes

    def _view(
        self, scene: Scene, R: np.ndarray, t: np.ndarray, view: View, shadows: list, near: float
    ) -> None:
        """Draw an ideal view: linear light, at most 1, into the plain target of its size."""
        import moderngl

        size = view.image_size
        target, resolved = self._target(size)[:2]
        target.use()
        target.clear(0.0, 0.0, 0.0, 1.0, depth=1.0)
        self._draw_sky(scene, R, view)
        program = self._program(len(scene.lights))
        self._set_lights(program, scene, shadows)
        _set(program, R=R, K=view.K, t=t, size=size, near=near)
        _set(program, focal=float(np.sqrt(abs(view.K[0, 0] * view.K[1, 1]))))
        self._context.enable(moderngl.DEPTH_TEST)
        for mesh in sorted(
            scene.meshes, key=lambda mesh: not mesh.casts_shadow
        ):  # a room is behind what it holds
            self._draw(program, mesh)
        self._context.copy_framebuffer(resolved, target)

    def _light(self, size: tuple[int, int]) -> np.ndarray:
        """Linear light (H, W, 3), float32, of the last view of this size."""
        colors = self._target(size)[2]
        return np.frombuffer(colors.read(), np.float16).reshape(size[1], size[0], 3).astype(np.float32)

    def _encoded(self, size: tuple[int, int]) -> np.ndarray:
        """Encode the last view of this size: sRGB (H, W, 3), uint8."""
        *_, colors, encoded, target = self._target(size)
        target.use()
        colors.use(0)
        _set(self._encode, picture=0, size=size)
        self._fill(self._encode)
        picture = np.frombuffer(encoded.read(), np.uint8).reshape(size[1], size[0], 4)
        return np.ascontiguousarray(picture[..., :3])

    def _fill(self, program) -> None:
        """Run a program on every pixel of the target."""
        import moderngl

        self._context.disable(moderngl.DEPTH_TEST | moderngl.CULL_FACE)
        array = self._context.vertex_array(program, [(self._corners, "2f", "corner")])
        array.render(moderngl.TRIANGLES)
        array.release()

    def _draw_sky(self, scene: Scene, R: np.ndarray, view: View) -> None:
        """Fill the view with the backdrop's colour or sky."""
        backdrop = np.asarray(scene.backdrop)
        if backdrop.shape not in ((3,), (2, 3)):
            raise InputError(
                f"the backdrop has shape {backdrop.shape}; OpenGL draws a colour (3,) or zenith and horizon (2, 3); "
                "render.scene.render also takes a picture"
            )
        zenith, horizon = srgb_to_linear(np.broadcast_to(backdrop, (2, 3)))
        _set(
            self._sky,
            upright=R.T @ np.linalg.inv(view.K),
            zenith=zenith,
            horizon=horizon,
            size=view.image_size,
        )
        self._fill(self._sky)

    def _draw(self, program, mesh: Mesh) -> None:
        """Draw one mesh with the program's lights."""
        import moderngl

        uploaded = self._upload(mesh)
        if uploaded.texture is not None:
            uploaded.texture.use(0)
        _set(program, picture=0, textured=float(uploaded.texture is not None), levels=float(uploaded.levels))
        array = uploaded.array(self._context, program, "world", "normal", "color", "uv", "density")
        if mesh.closed:  # anticlockwise seen from outside is clockwise in a picture whose rows run downwards
            self._context.enable(moderngl.CULL_FACE)
            self._context.front_face = "cw"
        else:
            self._context.disable(moderngl.CULL_FACE)
        array.render(moderngl.TRIANGLES)
        array.release()

    def _shadow_maps(self, scene: Scene) -> list:
        """Depth textures of the lights with what `lit` needs to know, or None where a light casts no shadow."""
        casters = [mesh for mesh in scene.meshes if mesh.casts_shadow and len(mesh.faces)]
        return [self._shadow_map(i, light, casters) for i, light in enumerate(scene.lights)]

    def _shadow_map(self, slot: int, light: Light, casters: list[Mesh]) -> tuple | None:
        import moderngl

        if not light.shadows or not casters:
            return None
        points = np.concatenate([mesh.vertices[_used(mesh)] for mesh in casters])
        if not np.isfinite(points).all(-1).any():
            return None
        R, t, K, size, texel = shadow_view(light, points)
        away = float(t[2])
        near_origin = t - [0, 0, away]
        key = ("shadow", slot, size)
        if key not in self._targets:
            for old in [k for k in self._targets if k[:2] == key[:2]]:
                for part in self._targets.pop(old):
                    part.release()
            depths = self._context.texture((size, size), 1, dtype="f4")
            depths.filter = (moderngl.NEAREST, moderngl.NEAREST)
            buffer = self._context.depth_renderbuffer((size, size))
            self._targets[key] = self._context.framebuffer([depths], buffer), depths, buffer
        target, depths, _ = self._targets[key]
        target.use()
        target.clear(FAR_AWAY, depth=1.0)
        self._context.enable(moderngl.DEPTH_TEST)
        self._context.disable(moderngl.CULL_FACE)
        _set(self._shadow, R=R, K=K, t=near_origin, size=(size, size), away=away, near=0.02)
        for mesh in casters:
            array = self._upload(mesh).array(self._context, self._shadow, "world")
            array.render(moderngl.TRIANGLES)
            array.release()
        return depths, R, near_origin, K, away, texel

    def _set_lights(self, program, scene: Scene, shadows: list) -> None:
        """Tell the program where light comes from."""
        _set(program, sky=scene.ambient.sky, ground=scene.ambient.ground)
        for i, (light, shadow) in enumerate(zip(scene.lights, shadows, strict=True)):
            lamp = light.position is not None
            source = np.asarray(light.position if lamp else light.direction, float)
            source = source if lamp else -source / np.linalg.norm(source)
            values = {"source": source, "glow": np.asarray(light.color) * light.strength, "lamp": float(lamp)}
            values |= {"reach": light.reach, "shadowed": float(shadow is not None)}
            if shadow is not None:
                depths, R, t, K, away, texel = shadow
                depths.use(i + 1)
                values |= {"shadow": i + 1, "shadow_R": R, "shadow_t": t, "shadow_K": K}
                values |= {"away": away, "texel": texel}
            _set(program, **{f"{name}{i}": value for name, value in values.items()})

    # ------------------------------------------------------------------------------------- resources

    def _program(self, lights: int):
        if lights not in self._programs:
            self._programs[lights] = self._context.program(
                vertex_shader=_VERTEX, fragment_shader=_fragment(lights)
            )
        return self._programs[lights]

    def _target(self, size: tuple[int, int]) -> tuple:
        """Of a size, kept: multisampled target, plain target and its texture, 8-bit texture and its target."""
        if size not in self._targets:
            several = self._context.renderbuffer(size, 3, samples=self._samples, dtype="f2")
            depth = self._context.depth_renderbuffer(size, samples=self._samples)
            colors = self._context.texture(size, 3, dtype="f2")
            encoded = self._context.texture(size, 4)
            self._targets[size] = (
                self._context.framebuffer([several], depth),
                self._context.framebuffer([colors]),
                colors,
                encoded,
                self._context.framebuffer([encoded]),
            )
        return self._targets[size]

    def _upload(self, mesh: Mesh) -> _Uploaded:
        """The mesh on the card, put there if it is not."""
        known = self._meshes.get(id(mesh))
        if known is not None and known.owner() is mesh:
            return known
        if known is not None:
            known.release()
        texture, levels = self._texture(mesh)
        if texture is None and not mesh.flat:
            buffer = self._context.buffer(_vertices(mesh).tobytes())
            index = self._context.buffer(mesh.faces[_whole(mesh)].astype(np.int32).tobytes())
        else:
            buffer, index = self._context.buffer(_corners(mesh).tobytes()), None
        self._meshes[id(mesh)] = _Uploaded(weakref.ref(mesh), buffer, index, texture, levels)
        return self._meshes[id(mesh)]

    def _texture(self, mesh: Mesh) -> tuple[Any | None, int]:
        """The texture with the reference's levels, and how many."""
        import moderngl

        if mesh.texture is None:
            return None, 1
        levels = pyramid(mesh.texture)
        height, width = mesh.texture.shape[:2]
        texture = self._context.texture((width, height), 3, alignment=1)
        texture.build_mipmaps(0, len(levels) - 1)
        for level, texels in enumerate(levels):
            texture.write(np.ascontiguousarray(texels).tobytes(), level=level, alignment=1)
        texture.filter = (moderngl.LINEAR_MIPMAP_NEAREST, moderngl.LINEAR)
        return texture, len(levels)

    def _forget_meshes(self, used: tuple[Mesh, ...]) -> None:
        """Release meshes that are gone, and the oldest beyond the number kept."""
        wanted = {id(mesh) for mesh in used}
        spare = [key for key, mesh in self._meshes.items() if key not in wanted]
        gone = [key for key in spare if self._meshes[key].owner() is None]
        for key in {*gone, *spare[: max(0, len(spare) - _KEPT_MESHES)]}:
            self._meshes.pop(key).release()


def _used(mesh: Mesh) -> np.ndarray:
    """Which vertices (V,) faces have."""
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.faces.ravel()] = True
    return used


def _whole(mesh: Mesh) -> np.ndarray:
    """Which faces (F,) have finite corners."""
    finite = np.isfinite(mesh.vertices[mesh.faces]).all(axis=(1, 2))
    return np.asarray(finite)


def _vertices(mesh: Mesh) -> np.ndarray:
    """(V, 9) float32: world place, unit normal, linear colour."""
    out = np.empty((len(mesh.vertices), 9), np.float32)
    out[:, :3] = mesh.vertices
    out[:, 3:6] = vertex_normals(mesh.vertices, mesh.faces) if mesh.normals is None else mesh.normals
    out[:, 6:] = srgb_to_linear(mesh.colors)
    return out


def _corners(mesh: Mesh) -> np.ndarray:
    """(3 F, 12) float32: world place, unit normal, linear colour, texture coordinates, texels per square metre."""
    out = np.zeros((len(mesh.faces), 3, 12), np.float32)
    if mesh.flat:
        across = face_normals(mesh.vertices, mesh.faces)
        out[..., :3] = mesh.vertices[mesh.faces]
        out[..., 3:6] = (across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-30))[:, None]
        colors = srgb_to_linear(mesh.colors)
        out[..., 6:9] = colors if colors.ndim == 1 else colors[mesh.faces]
    else:
        out[..., :9] = _vertices(mesh)[mesh.faces]
    if mesh.uv is not None and mesh.texture is not None:
        out[..., 9:11] = mesh.uv[mesh.faces]
        out[..., 11] = texel_density(mesh)[:, None]
    return out[_whole(mesh)].reshape(-1, 12)


def _places(lens: Lens, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Where in an ideal view each pixel of the picture looks: x and y (H, W), float32."""
    with np.errstate(divide="ignore", invalid="ignore"):
        there = lens.rays @ (view.K @ view.R_view_camera).T
        flat = (there[..., :2] / there[..., 2:]).astype(np.float32)
    flat = np.nan_to_num(flat, nan=0.0, posinf=0.0, neginf=0.0)
    return flat[..., 0], flat[..., 1]


def _set(program, **uniforms) -> None:
    """Set uniforms; one that the compiler has left out as unused is passed over."""
    for name, value in uniforms.items():
        if name not in program:
            continue
        uniform: Any = program[name]
        array = np.asarray(value, np.float32)
        if array.ndim == 2:
            uniform.value = tuple(array.T.ravel().tolist())
        elif array.ndim == 1:
            uniform.value = tuple(array.tolist())
        else:
            uniform.value = value
