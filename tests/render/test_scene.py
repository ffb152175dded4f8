"""Colour, light, shadow, textures, and what a sensor does."""

import numpy as np
import pytest

from posewright.core.errors import InputError
from posewright.render.buffers import gather
from posewright.render.lights import Ambient, Light, lit_share, shadow_map
from posewright.render.mesh import linear_to_srgb, srgb_to_linear
from posewright.render.primitives import box, ground, quad, sphere
from posewright.render.rooms import occluder, open_air, random_place, room, with_meshes
from posewright.render.scene import Scene, render, render_clip
from posewright.render.sensor import Sensor, expose, random_sensor, shutter
from posewright.render.textures import KINDS, texture
from posewright.structures.cameras import Camera

K = np.array([[120.0, 0, 79.5], [0, 120, 59.5], [0, 0, 1]])
SIZE = (160, 120)
AHEAD = Camera(K, SIZE)
STANDING = Camera(K, SIZE, R=np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), t=np.array([0, 1.2, 3.5]))
DARK = Ambient((0, 0, 0), (0, 0, 0))


def test_convention_srgb_round_trip():
    values = np.linspace(0, 1, 256, dtype=np.float32)
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-6)


def test_law_brightness_follows_lamberts_cosine():
    plane = quad((-20, -20, 3), (40, 0, 0), (0, 40, 0), colors=(1.0, 1, 1))
    for angle in (0.0, 0.5, 1.2):
        sun = Light(direction=(np.sin(angle), 0, np.cos(angle)), strength=0.7, shadows=False)
        color = render(Scene((plane,), (sun,), DARK), AHEAD).color
        expected = np.rint(255 * linear_to_srgb(np.float32(0.7 * np.cos(angle))))
        assert np.abs(color.astype(int) - expected).max() <= 1


def test_law_a_lamp_falls_off_with_the_square_of_the_distance():
    plane = quad((-20, -20, 4), (40, 0, 0), (0, 40, 0), colors=(1.0, 1, 1))
    lamp = Light(position=(0, 0, 2.0), strength=0.6, reach=2.0, shadows=False)
    color = render(Scene((plane,), (lamp,), DARK), AHEAD).color
    middle = srgb_to_linear(color[59:61, 79:81] / 255).mean()
    aside = srgb_to_linear(color[59:61, 139] / 255).mean()
    distance = np.hypot(2.0, 59.5 / 120 * 4)
    assert abs(middle - 0.6) < 0.01
    assert abs(aside - 0.6 * (2 / distance) ** 3) < 0.01


def test_law_a_shadow_lies_where_the_sun_puts_it():
    ball = sphere((0, 0, 2), 0.4, rings=40)
    sun = Light(direction=(1.0, 0, -1.0), softness=0.02)
    shadows = shadow_map(sun, gather([ball, ground()]))
    rng = np.random.default_rng(0)
    floor = np.concatenate([rng.uniform([1, -1], [3, 1], (4000, 2)), np.zeros((4000, 1))], 1)
    along = np.array([1, 0, -1]) / np.sqrt(2)
    arm = floor - [0, 0, 2]
    off = np.linalg.norm(arm - (arm @ along)[:, None] * along, axis=-1)
    share = lit_share(shadows, floor, np.array([0.0, 0, 1]))
    assert share[off < 0.37].max() == 0
    assert share[off > 0.43].min() > 1 - 1e-6
    assert ((share > 0) & (share < 1)).any()


def test_law_a_convex_body_does_not_shade_its_lit_side():
    ball = sphere((0, 0, 1), 0.5, rings=60, closed=True)
    sun = Light(direction=(0.3, 0.8, -1.0))
    with_map, without = (
        render(Scene((ball,), (light,)), STANDING).color.astype(int)
        for light in (sun, Light(direction=sun.direction, shadows=False))
    )
    assert np.abs(with_map - without).max() <= 6


def test_law_supersampling_gives_coverage_and_leaves_depth():
    scene = Scene((box((0, 0, 1), (0.8, 0.8, 0.8), 0.5),))
    plain, fine = render(scene, STANDING), render(scene, STANDING, supersample=4)
    np.testing.assert_array_equal(plain.buffers.depth(), fine.buffers.depth())
    partial = (fine.coverage > 0.01) & (fine.coverage < 0.99)
    assert 20 < partial.sum() < 0.1 * fine.coverage.size
    assert abs(fine.coverage.sum() - plain.coverage.sum()) < 0.02 * plain.coverage.sum()
    np.testing.assert_array_equal((fine.coverage > 0.9) & ~plain.buffers.silhouette(), False)


def test_convention_textures_start_at_their_top_left_corner():
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[:8, :8] = (255, 0, 0)
    picture[:8, 8:] = (0, 255, 0)
    picture[8:, :8] = (0, 0, 255)
    plane = quad((-1, -0.75, 1.5), (2, 0, 0), (0, 1.5, 0), texture=picture, colors=(1.0, 1, 1))
    light = Scene((plane,), (), Ambient((1, 1, 1), (1, 1, 1)))
    color = render(light, AHEAD).color
    assert color[20, 20].tolist() == [255, 0, 0]
    assert color[20, 140].tolist() == [0, 255, 0]
    assert color[100, 20].tolist() == [0, 0, 255]
    assert color[100, 140].tolist() == [0, 0, 0]


def test_law_distant_textures_keep_their_mean_without_glitter():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::2] = 200
    floor = ground(400, texture=stripes, colors=(1.0, 1, 1))
    scene = Scene((floor,), (), Ambient((1, 1, 1), (1, 1, 1)))
    rendering = render(scene, STANDING)
    far = (rendering.buffers.depth() > 10) & (rendering.buffers.depth() < 100)
    assert far.sum() > 300
    assert rendering.color[far].std() < 6
    assert abs(rendering.color[far].mean() - 100) < 6


@pytest.mark.parametrize(
    "backdrop",
    [
        (0.2, 0.4, 0.6),
        np.array([[0.2, 0.4, 0.8], [0.9, 0.9, 0.9]]),
        np.arange(189, dtype=np.uint8).reshape(9, 7, 3),
    ],
)
def test_law_backdrops_fill_what_is_empty(backdrop):
    color = render(Scene(backdrop=backdrop), STANDING).color
    assert color.shape == (120, 160, 3)
    assert color.std() > 0
    with pytest.raises(InputError, match="backdrop"):
        render(Scene(backdrop=np.zeros(5)), STANDING)


def test_law_places_are_drawn_by_seed():
    for seed in range(3):
        place = with_meshes(random_place(seed), [occluder(seed, (0.0, 0.5))])
        first, second = render(place, STANDING).color, render(place, STANDING).color
        np.testing.assert_array_equal(first, second)
        assert first.std() > 5
    assert not np.array_equal(render(room(1), STANDING).color, render(room(2), STANDING).color)
    assert render(open_air(3), STANDING).buffers.silhouette()[70:].all()
    assert len(render_clip([room(1)] * 2, STANDING)) == 2


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_law_textures_repeat_without_a_seam(kind):
    picture = texture(kind, 5, (0.5, 0.4, 0.3)).astype(int)
    np.testing.assert_array_equal(picture, texture(kind, 5, (0.5, 0.4, 0.3)))
    if kind == "plaster":
        inside = np.abs(np.diff(picture, axis=0)).mean()
        assert np.abs(picture[0] - picture[-1]).mean() < 2 * inside
    assert np.abs(picture.mean((0, 1)) / 255 - (0.5, 0.4, 0.3)).max() < 0.12


def test_law_noise_has_the_variance_asked_for():
    grey = np.full((200, 200, 3), 128, np.uint8)
    sensor = Sensor(shot_noise=0.03, read_noise=0.01)
    light = srgb_to_linear(expose(grey, sensor, 1) / 255)
    level = float(srgb_to_linear(np.float32(128 / 255)))
    assert abs(light.mean() - level) < 0.002
    assert abs(light.std() - np.sqrt(0.03**2 * level + 0.01**2)) < 0.001
    np.testing.assert_array_equal(expose(grey, sensor, 1), expose(grey, sensor, 1))
    assert (expose(grey, sensor, 1) != expose(grey, sensor, 2)).any()


def test_law_exposure_doubles_light_and_blur_keeps_it():
    quiet = {"shot_noise": 0.0, "read_noise": 0.0}
    grey = np.full((40, 60, 3), 100, np.uint8)
    brighter = srgb_to_linear(expose(grey, Sensor(exposure=1.0, **quiet)) / 255)
    np.testing.assert_allclose(brighter, 2 * srgb_to_linear(grey / 255), rtol=0.02)
    np.testing.assert_array_equal(expose(grey, Sensor(**quiet)), grey)
    spot = np.zeros((41, 61, 3), np.uint8)
    spot[20, 30] = 255
    moved = srgb_to_linear(expose(spot, Sensor(motion=(8.0, 0.0), **quiet)) / 255)[..., 0]
    assert abs(moved.sum() - 1) < 0.05
    assert set(np.argwhere(moved > 0)[:, 0]) == {20}
    assert 8 <= (moved[20] > 0).sum() <= 10


def test_law_random_sensors_and_shutters():
    frames = [np.full((8, 8, 3), v, np.uint8) for v in (0, 255)]
    expected = np.rint(255 * linear_to_srgb(np.float32(0.5)))
    assert abs(int(shutter(frames)[0, 0, 0]) - expected) <= 1
    assert random_sensor(4) == random_sensor(4) != random_sensor(5)
    assert expose(frames[1], random_sensor(4)).shape == (8, 8, 3)
    with pytest.raises(InputError):
        shutter([])
    with pytest.raises(InputError):
        expose(np.zeros((4, 4, 3)), Sensor())


def test_law_lights_and_supersampling_are_checked():
    for wrong in ({}, {"direction": (0, 0, -1), "position": (0, 0, 1)}, {"direction": (0, 0, 0)}):
        with pytest.raises(InputError):
            Light(**wrong)
    with pytest.raises(InputError):
        render(Scene(), STANDING, supersample=0)
