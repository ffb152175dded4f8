import math

import pytest
import torch

from posewright.geometry import cameras as c
from posewright.geometry.rotations import rotvec_to_matrix

SIZE = (1280, 720)
PINHOLE = torch.tensor([-0.2, 0.05, 0.001, -0.002, 0.0], dtype=torch.float64)
FISHEYE = torch.tensor([-0.02, 0.006, -0.004, 0.0006], dtype=torch.float64)


def random_camera(*batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    R = rotvec_to_matrix(torch.randn(*batch, 3, generator=generator, dtype=torch.float64))
    t = torch.randn(*batch, 3, generator=generator, dtype=torch.float64)
    return R, t, c.intrinsics(torch.full(batch, 1100.0, dtype=torch.float64), SIZE)


def points_in_view(*batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(*batch, 3, generator=generator, dtype=torch.float64) - 0.5
    return points * torch.tensor([2.0, 1.2, 2.0]) + torch.tensor([0, 0, 4.0])


@pytest.mark.parametrize(
    ("model", "distortion"), [("pinhole", None), ("pinhole", PINHOLE), ("fisheye", FISHEYE)]
)
def test_law_unproject_inverts_project(model, distortion):
    _, _, K = random_camera(3)
    points = points_in_view(3, 50)
    rays = c.unproject(c.project(points, K, distortion, model), K, distortion, model)
    torch.testing.assert_close(rays, torch.nn.functional.normalize(points, dim=-1))
    flat = c.undistort_pixels(c.project(points, K, distortion, model), K, distortion, model)
    torch.testing.assert_close(flat, points[..., :2] / points[..., 2:])


def test_law_the_human36m_camera_is_the_pinhole_but_for_its_tangential_terms():
    points = points_in_view(5, 17).float()
    camera = torch.tensor([2.3, 2.2, 0.05, -0.02, 0, 0, 0, 0, 0])
    K = torch.tensor([[2.3, 0, 0.05], [0, 2.2, -0.02], [0, 0, 1]])
    torch.testing.assert_close(c.project_human36m(points, camera), c.project(points, K))
    lens = torch.tensor([-0.2, 0.25, 0.0, 0.0, -0.03])  # k1 k2 p1 p2 k3
    bent = c.project_human36m(points, camera + torch.tensor([0, 0, 0, 0, -0.2, 0.25, -0.03, 0, 0]))
    torch.testing.assert_close(bent, c.project(points, K, lens))
    skewed = c.project_human36m(points, camera + torch.tensor([0, 0, 0, 0, 0, 0, 0, 0.001, -0.002]))
    assert not torch.allclose(
        skewed, c.project(points, K, torch.tensor([0, 0, 0.001, -0.002, 0.0])), atol=1e-6
    )


def test_law_world_and_camera_are_inverse():
    R, t, K = random_camera(4)
    points = points_in_view(4, 10)
    torch.testing.assert_close(c.camera_to_world(c.world_to_camera(points, R, t), R, t), points)
    centre = c.camera_centre(R, t)
    assert c.world_to_camera(centre[:, None], R, t).abs().max() < 1e-12
    world = c.camera_to_world(points, R, t)
    origin, direction = c.rays(c.project_world(world, R, t, K), R, t, K)
    off = torch.linalg.cross(world - origin[:, None], direction)
    assert off.abs().max() < 1e-12


def test_law_behind_the_camera_is_nan_and_has_no_gradient():
    points = torch.tensor(
        [[0.1, 0.2, 2.0], [0.1, 0.2, -2.0], [0.1, 0.2, 0.0]], dtype=torch.float64, requires_grad=True
    )
    pixels = c.project(points, c.intrinsics(torch.tensor(1000.0, dtype=torch.float64), SIZE))
    assert torch.isnan(pixels).all(-1).tolist() == [False, True, True]
    pixels[0].sum().backward()
    assert torch.isfinite(points.grad).all()


def test_law_gradients_are_exact():
    R, t, K = random_camera()
    points = points_in_view(4)
    world = c.camera_to_world(points, R, t)
    inputs = tuple(x.clone().requires_grad_() for x in (world, R, t, K, PINHOLE))
    assert torch.autograd.gradcheck(c.project_world, inputs)
    assert torch.autograd.gradcheck(
        lambda p, K: c.unproject(p, K, PINHOLE), (c.project(points, K).requires_grad_(), K.requires_grad_())
    )


def test_law_skew_is_kept():
    K = torch.tensor([[900.0, 7, 600], [0, 950, 300], [0, 0, 1]], dtype=torch.float64)
    flat = torch.rand(10, 2, dtype=torch.float64)
    torch.testing.assert_close(c.remove_intrinsics(c.apply_intrinsics(flat, K), K), flat)


def test_convention_camera_axes_are_opencv():
    """x right, y down, z forward; the middle of the picture is on the axis."""
    K = c.intrinsics(1000.0, SIZE)
    points = torch.tensor([[0.0, 0, 5], [1, 0, 5], [0, 1, 5]])
    expected = torch.tensor([[639.5, 359.5], [839.5, 359.5], [639.5, 559.5]])
    torch.testing.assert_close(c.project(points, K), expected)


def test_convention_pose_is_world_to_camera():
    R, t, _ = random_camera()
    x = torch.tensor([[0.3, -0.2, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(c.world_to_camera(x, R, t)[0], R @ x[0] + t)


def test_convention_look_at_with_z_up():
    eye = torch.tensor([0.0, -5.0, 1.0], dtype=torch.float64)
    R, t = c.look_at(eye, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(c.camera_centre(R, t), eye)
    above_right = torch.tensor([[1.0, 0.0, 2.0]], dtype=torch.float64)
    torch.testing.assert_close(
        c.world_to_camera(above_right, R, t)[0], torch.tensor([1.0, -1.0, 5.0], dtype=torch.float64)
    )
    assert torch.linalg.det(R) == pytest.approx(1)
    assert torch.isnan(c.look_at(eye, eye + torch.tensor([0, 0, 1.0]))[0]).any()


def test_convention_default_field_of_view():
    for size in (SIZE, SIZE[::-1]):
        assert c.default_focal(size) == pytest.approx(math.hypot(*size) / 2 / math.tan(math.radians(65) / 2))
        assert c.fov_from_focal(c.default_focal(size), size, "diagonal") == pytest.approx(math.radians(65))


@pytest.mark.parametrize(
    ("across", "length"), [("horizontal", 1280), ("vertical", 720), ("diagonal", math.hypot(*SIZE))]
)
def test_law_fov_and_focal_are_inverse(across, length):
    focal = c.focal_from_fov(0.9, SIZE, across)
    assert focal == pytest.approx(length / 2 / math.tan(0.45))
    assert c.fov_from_focal(focal, SIZE, across) == pytest.approx(0.9)


def test_law_crop_resize_rotate_follow_the_pixels():
    K = torch.tensor([[900.0, 0, 600], [0, 950, 300], [0, 0, 1]], dtype=torch.float64)
    points = points_in_view(20)
    u, v = c.project(points, K).unbind(-1)
    torch.testing.assert_close(
        c.project(points, c.crop_intrinsics(K, 100.0, 40.0)), torch.stack([u - 100, v - 40], -1)
    )
    resized = torch.stack([(u + 0.5) * 0.5 - 0.5, (v + 0.5) * 2 - 0.5], -1)
    torch.testing.assert_close(c.project(points, c.resize_intrinsics(K, 0.5, 2.0)), resized)
    turned, R, size = c.rotate_intrinsics(K, SIZE, 1)
    assert size == (720, 1280)
    torch.testing.assert_close(c.project(points @ R.mT, turned), torch.stack([719 - v, u], -1))
    again, R, size = c.rotate_intrinsics(K, SIZE, 4)
    torch.testing.assert_close(again, K)
    torch.testing.assert_close(R, torch.eye(3, dtype=K.dtype))


def test_law_rotated_tangential_distortion():
    K = c.intrinsics(torch.tensor(900.0, dtype=torch.float64), SIZE)
    points = points_in_view(20)
    k1, k2, p1, p2, k3 = PINHOLE
    turned, R, _ = c.rotate_intrinsics(K, SIZE, 1)
    u, v = c.project(points, K, PINHOLE).unbind(-1)
    out = c.project(points @ R.mT, turned, torch.stack([k1, k2, p2, -p1, k3]))
    torch.testing.assert_close(out, torch.stack([719 - v, u], -1))


def test_law_wrong_model_or_coefficients_are_named():
    K, points = c.intrinsics(900.0, SIZE), torch.ones(1, 3)
    with pytest.raises(ValueError, match="expected 'pinhole'"):
        c.project(points, K, None, "spherical")
    with pytest.raises(ValueError, match="expected 5"):
        c.project(points, K, torch.zeros(4))
    with pytest.raises(ValueError, match="horizontal"):
        c.focal_from_fov(1.0, SIZE, "wide")
