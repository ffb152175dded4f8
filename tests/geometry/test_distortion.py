import pytest
import torch

from posewright.geometry import distortion as d

PINHOLE = [
    [0.0, 0, 0, 0, 0],
    [-0.28, 0.09, 0.0008, -0.0012, -0.01],  # an action camera
    [0.12, -0.25, -0.001, 0.002, 0.15],  # a phone
    [-0.09, 0.02, 0.02, -0.03, 0],  # a badly centred lens
]
FISHEYE = [[0.0, 0, 0, 0], [-0.02, 0.006, -0.004, 0.0006], [0.08, -0.03, 0.01, -0.002]]


def grid(reach, n=21):
    line = torch.linspace(-reach, reach, n, dtype=torch.float64)
    return torch.cartesian_prod(line, line)


@pytest.mark.parametrize("coefficients", PINHOLE)
def test_law_pinhole_round_trip(coefficients):
    k = torch.tensor(coefficients, dtype=torch.float64)
    points = grid(0.75)
    torch.testing.assert_close(
        d.undistort_pinhole(d.distort_pinhole(points, k), k), points, rtol=0, atol=1e-12
    )


def test_law_pinhole_round_trip_in_float32():
    k, points = torch.tensor(PINHOLE), grid(0.6).float().expand(4, -1, 2)
    back = d.undistort_pinhole(d.distort_pinhole(points, k), k)
    torch.testing.assert_close(back, points, rtol=0, atol=3e-6)


def test_law_no_inverse_is_nan():
    k = torch.tensor([-0.3, 0, 0, 0, 0], dtype=torch.float64)  # x - 0.3 x^3 never exceeds 0.703
    points = torch.tensor([[0.70, 0.0], [0.71, 0.0], [3.0, 3.0]], dtype=torch.float64)
    assert torch.isnan(d.undistort_pinhole(points, k)).any(-1).tolist() == [False, True, True]
    missing = torch.tensor([[torch.nan, 0.1]], dtype=torch.float64)
    assert torch.isnan(d.undistort_pinhole(missing, k)).all()


@pytest.mark.parametrize("coefficients", FISHEYE)
def test_law_fisheye_round_trip_beyond_ninety_degrees(coefficients):
    k = torch.tensor(coefficients, dtype=torch.float64)
    theta = torch.linspace(0, 1.7, 60, dtype=torch.float64)[:, None]
    phi = torch.linspace(0, 6.2, 13, dtype=torch.float64)[None]
    rays = torch.stack(
        [theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos().expand(60, 13)], -1
    ).flatten(0, 1)
    flat = d.distort_fisheye(3 * rays, k)
    assert torch.isfinite(flat).all()
    torch.testing.assert_close(d.undistort_fisheye(flat, k), rays, rtol=0, atol=1e-11)


def test_law_gradients_are_exact():
    k = torch.tensor(PINHOLE[1], dtype=torch.float64, requires_grad=True)
    points = (grid(0.4, 3) + 0.01).requires_grad_()
    assert torch.autograd.gradcheck(d.distort_pinhole, (points, k))
    assert torch.autograd.gradcheck(d.undistort_pinhole, (points, k))
    k = torch.tensor(FISHEYE[1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(d.undistort_fisheye, (points, k))
    rays = torch.cat([points.detach(), torch.ones(9, 1, dtype=torch.float64)], -1).requires_grad_()
    assert torch.autograd.gradcheck(d.distort_fisheye, (rays, k))


def test_convention_pinhole_coefficients_are_k1_k2_p1_p2_k3():
    """The formulas of Brown-Conrady, term by term."""
    x, y = 0.3, -0.2
    r2 = x * x + y * y
    terms = [
        (x * r2, y * r2),
        (x * r2**2, y * r2**2),
        (2 * x * y, r2 + 2 * y * y),
        (r2 + 2 * x * x, 2 * x * y),
        (x * r2**3, y * r2**3),
    ]
    point = torch.tensor([[x, y]], dtype=torch.float64)
    for n, term in enumerate(terms):
        k = torch.zeros(5, dtype=torch.float64)
        k[n] = 0.1
        expected = point + 0.1 * torch.tensor([term], dtype=torch.float64)
        torch.testing.assert_close(d.distort_pinhole(point, k), expected)


def test_convention_fisheye_is_equidistant_without_coefficients():
    ray = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)
    flat = d.distort_fisheye(ray, torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(flat, torch.tensor([[torch.pi / 4, 0.0]], dtype=torch.float64))
