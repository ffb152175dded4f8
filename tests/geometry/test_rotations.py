import itertools
import math

import pytest
import torch
from scipy.spatial.transform import Rotation

from posewright.geometry import rotations as r

ORDERS = ["".join(p) for p in itertools.product("XYZ", repeat=3) if p[0] != p[1] and p[1] != p[2]]


def random_matrices(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return r.quat_wxyz_to_matrix(torch.randn(*shape, 4, generator=generator, dtype=torch.float64))


def half_turns():
    axes = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.8, 0]], dtype=torch.float64)
    return r.rotvec_to_matrix(math.pi * axes)


@pytest.mark.parametrize("name", ["quat_wxyz", "rotvec", "rot6d_cols", "rot6d_rows", "rot6d_interleaved"])
def test_law_round_trip(name):
    there, back = getattr(r, f"matrix_to_{name}"), getattr(r, f"{name}_to_matrix")
    for matrix in (random_matrices(2, 50), torch.eye(3, dtype=torch.float64)[None], half_turns()):
        torch.testing.assert_close(back(there(matrix)), matrix, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["quat_wxyz", "rotvec", "rot6d_cols", "rot6d_rows", "rot6d_interleaved"])
def test_law_gradients_are_exact(name):
    there, back = getattr(r, f"matrix_to_{name}"), getattr(r, f"{name}_to_matrix")
    value = there(random_matrices(4, seed=1)).requires_grad_()
    assert torch.autograd.gradcheck(back, value)
    assert torch.autograd.gradcheck(lambda v: there(back(v)), value)


def test_law_rotvec_gradient_at_identity():
    zero = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(r.rotvec_to_matrix, zero)
    assert torch.autograd.gradcheck(lambda v: r.matrix_to_rotvec(r.rotvec_to_matrix(v)), zero)


def test_law_conversions_compose():
    matrix = random_matrices(30)
    quat = r.matrix_to_quat_wxyz(matrix)
    torch.testing.assert_close(r.quat_wxyz_to_rotvec(quat), r.matrix_to_rotvec(matrix))
    torch.testing.assert_close(
        r.quat_wxyz_to_matrix(r.rotvec_to_quat_wxyz(r.matrix_to_rotvec(matrix))), matrix
    )
    assert (quat[..., 0] >= 0).all()


def test_convention_quaternions_are_wxyz():
    quarter = torch.tensor([math.sqrt(0.5), 0, 0, math.sqrt(0.5)], dtype=torch.float64)
    x = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    expected = torch.tensor([0.0, 1, 0], dtype=torch.float64)
    torch.testing.assert_close(r.quat_wxyz_to_matrix(quarter) @ x, expected)
    torch.testing.assert_close(
        r.quat_wxyz_to_rotvec(quarter), torch.tensor([0, 0, math.pi / 2], dtype=torch.float64)
    )


def test_convention_rot6d_layouts():
    R = random_matrices(1)[0]
    cols = torch.tensor([R[0, 0], R[1, 0], R[2, 0], R[0, 1], R[1, 1], R[2, 1]])
    rows = torch.tensor([R[0, 0], R[0, 1], R[0, 2], R[1, 0], R[1, 1], R[1, 2]])
    interleaved = torch.tensor([R[0, 0], R[0, 1], R[1, 0], R[1, 1], R[2, 0], R[2, 1]])
    torch.testing.assert_close(r.matrix_to_rot6d_cols(R), cols)
    torch.testing.assert_close(r.matrix_to_rot6d_rows(R), rows)
    torch.testing.assert_close(r.matrix_to_rot6d_interleaved(R), interleaved)


def test_convention_rot6d_layouts_differ_by_about_a_right_angle():
    numbers = torch.randn(1000, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cols, rows = r.rot6d_cols_to_matrix(numbers), r.rot6d_rows_to_matrix(numbers)
    interleaved = r.rot6d_interleaved_to_matrix(numbers)
    for a, b in [(cols, rows), (cols, interleaved), (rows, interleaved)]:
        assert 80 < torch.rad2deg(r.geodesic_distance(a, b)).mean() < 130


@pytest.mark.parametrize("order", ORDERS)
def test_convention_euler_is_intrinsic(order):
    angles = torch.rand(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4 - 2
    expected = torch.as_tensor(Rotation.from_euler(order, angles.numpy()).as_matrix())  # capitals: intrinsic
    torch.testing.assert_close(r.euler_to_matrix(angles, order), expected)


@pytest.mark.parametrize("order", ORDERS)
def test_law_euler_round_trip(order):
    matrix = random_matrices(3, 100)
    angles = r.matrix_to_euler(matrix, order)
    torch.testing.assert_close(r.euler_to_matrix(angles, order), matrix, rtol=0, atol=1e-12)
    low = 0.0 if order[0] == order[2] else -math.pi / 2
    assert (angles[..., 1] >= low).all()
    assert (angles[..., 1] <= low + math.pi).all()


@pytest.mark.parametrize("order", ORDERS)
def test_law_euler_reproduces_gimbal_lock(order):
    middles = [0.0, math.pi] if order[0] == order[2] else [math.pi / 2, -math.pi / 2]
    for middle, nudge in itertools.product(middles, [0.0, 1e-14, 1e-9, 1e-5]):
        matrix = r.euler_to_matrix(torch.tensor([0.7, middle + nudge, -1.9], dtype=torch.float64), order)
        angles = r.matrix_to_euler(matrix, order)
        torch.testing.assert_close(r.euler_to_matrix(angles, order), matrix, rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", ["ZXY", "XYZ", "ZXZ"])
def test_law_euler_gradients(order):
    rotvec = torch.randn(
        5, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    ).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: r.matrix_to_euler(r.rotvec_to_matrix(v), order), rotvec)


def test_law_euler_gradient_is_finite_in_gimbal_lock():
    angles = torch.tensor([0.3, math.pi / 2, 0.0], dtype=torch.float64)
    matrix = r.euler_to_matrix(angles, "ZXY").requires_grad_()
    r.matrix_to_euler(matrix, "ZXY").sum().backward()
    assert torch.isfinite(matrix.grad).all()


@pytest.mark.parametrize("order", ORDERS)
def test_law_unwrap_follows_a_path_over_the_poles(order):
    time = torch.linspace(0, 1, 400, dtype=torch.float64)
    path = torch.stack([0.4 + 9 * time, 0.5 + 7 * time, -0.2 - 8 * time], -1)[:, None].repeat(1, 2, 1)
    path[:, 1] *= -1
    wrapped = r.matrix_to_euler(r.euler_to_matrix(path, order), order)
    out = r.unwrap_euler(wrapped, order)
    torch.testing.assert_close(
        r.euler_to_matrix(out, order), r.euler_to_matrix(path, order), rtol=0, atol=1e-11
    )
    assert (out[1:] - out[:-1]).abs().max() < 0.03
    assert (wrapped[1:] - wrapped[:-1]).abs().max() > 1  # the principal branch does jump on this path


def test_law_unwrap_holds_the_free_angle_in_gimbal_lock():
    rise = torch.linspace(0, math.pi / 2, 20, dtype=torch.float64)
    path = torch.stack([torch.full_like(rise, 0.5), rise, torch.full_like(rise, 1.1)], -1)
    locked = path[-1:].repeat(10, 1)
    locked[:, 0] += torch.linspace(0, 0.5, 10)
    matrix = r.euler_to_matrix(torch.cat([path, locked]), "ZXY")
    out = r.unwrap_euler(r.matrix_to_euler(matrix, "ZXY"), "ZXY")
    torch.testing.assert_close(out, torch.cat([path, locked]), rtol=0, atol=1e-7)


def test_law_unwrap_skips_missing_frames():
    path = torch.stack([torch.linspace(0, 8, 100, dtype=torch.float64)] * 3, -1)
    wrapped = r.matrix_to_euler(r.euler_to_matrix(path, "ZXY"), "ZXY")
    whole = r.unwrap_euler(wrapped, "ZXY")
    holes = wrapped.clone()
    holes[[0, 1, 30, 31, 99]] = torch.nan
    out = r.unwrap_euler(holes, "ZXY")
    assert torch.isnan(out[[0, 1, 30, 31, 99]]).all()
    seen = torch.isfinite(out[:, 0])
    turn = (out - whole)[seen] / (2 * math.pi)
    torch.testing.assert_close(turn, turn[:1].expand_as(turn))


@pytest.mark.parametrize("frames", [0, 1])
def test_law_unwrap_of_no_or_one_frame(frames):
    angles = torch.rand(frames, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(r.unwrap_euler(angles, "ZXY"), angles)


@pytest.mark.parametrize("order", ["", "XY", "XXY", "XYW", "XYZX"])
def test_law_wrong_euler_order_is_named(order):
    with pytest.raises(ValueError, match="expected"):
        r.euler_to_matrix(torch.zeros(3), order)


def test_law_geodesic_distance_is_the_angle():
    start, axis = random_matrices(1)[0], torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    angles = torch.tensor([0.0, 1e-9, 0.3, 3.0, math.pi], dtype=torch.float64)
    end = start @ r.rotvec_to_matrix(angles[:, None] * axis)
    torch.testing.assert_close(r.geodesic_distance(start, end), angles, rtol=0, atol=1e-12)


@pytest.mark.parametrize("length", [0.0, 1e-6, 0.05, 0.0999, 0.1001, 1.5, 3.0, math.pi - 1e-3])
def test_law_right_jacobian_inverse_is_the_derivative_of_the_logarithm(length):
    g = torch.Generator().manual_seed(0)
    rotvec = torch.nn.functional.normalize(torch.randn(5, 3, generator=g).double(), dim=-1) * length
    analytic = r.right_jacobian_inverse(rotvec)
    step = 1e-5 * torch.eye(3).double()
    R = r.rotvec_to_matrix(rotvec)[:, None]
    ahead, behind = (r.matrix_to_rotvec(R @ r.rotvec_to_matrix(s * step)) for s in (1.0, -1.0))
    numeric = ((ahead - behind) / 2e-5).mT
    torch.testing.assert_close(analytic, numeric, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(r.right_jacobian_inverse(rotvec.float()).double(), analytic, atol=2e-5, rtol=0)


def test_law_slerp_meets_both_ends_at_constant_speed():
    a, b = random_matrices(20), random_matrices(20, seed=1)
    fraction = torch.linspace(0, 1, 11, dtype=torch.float64)[:, None]
    path = r.slerp(a, b, fraction)
    torch.testing.assert_close(path[0], a)
    torch.testing.assert_close(path[-1], b)
    steps = r.geodesic_distance(path[:-1], path[1:])
    torch.testing.assert_close(steps, r.geodesic_distance(a, b)[None].expand_as(steps) / 10)
    quat = r.slerp_quat_wxyz(r.matrix_to_quat_wxyz(a), -r.matrix_to_quat_wxyz(b), fraction)
    torch.testing.assert_close(r.quat_wxyz_to_matrix(quat), path)


@pytest.mark.parametrize("tilt", [math.pi, math.pi - 1e-15, math.pi - 1e-9, math.pi - 1e-4, 2.0, 1e-9, 0.0])
def test_law_rotation_between_maps_and_is_smallest(tilt):
    frame = random_matrices(50)
    a = frame[..., 0]
    b = math.cos(tilt) * frame[..., 0] + math.sin(tilt) * frame[..., 1]
    R = r.rotation_between(a, b)
    torch.testing.assert_close((R @ a[..., None])[..., 0], b, rtol=0, atol=1e-14)
    torch.testing.assert_close(
        r.geodesic_distance(R, torch.eye(3, dtype=a.dtype)), torch.full((50,), tilt).to(a)
    )
    torch.testing.assert_close(R @ R.mT, torch.eye(3, dtype=a.dtype).expand_as(R))


def test_law_rotation_between_gradients():
    a = random_matrices(5)[..., 0].clone().requires_grad_()
    b = random_matrices(5, seed=1)[..., 1].clone().requires_grad_()
    assert torch.autograd.gradcheck(r.rotation_between, (a, b))
    r.rotation_between(a, -a).sum().backward()
    assert torch.isfinite(a.grad).all()


def test_law_rotation_between_in_float32():
    a = torch.nn.functional.normalize(torch.randn(100, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    b = -a + 1e-6 * torch.randn(100, 3, generator=torch.Generator().manual_seed(1))
    moved = (r.rotation_between(a, b) @ a[..., None])[..., 0]
    torch.testing.assert_close(moved, torch.nn.functional.normalize(b, dim=-1), rtol=0, atol=1e-6)


def test_law_mean_rotation():
    R = random_matrices(4)
    torch.testing.assert_close(r.mean_rotation(R[:, None].expand(4, 5, 3, 3)), R)
    a, b = R[0], R[0] @ r.axis_rotation("X", torch.tensor(0.8, dtype=torch.float64))
    half = r.slerp(a, b, torch.tensor(0.5, dtype=torch.float64))
    torch.testing.assert_close(r.mean_rotation(torch.stack([a, b])), half)
    torch.testing.assert_close(r.mean_rotation(torch.stack([a, b]), torch.tensor([0.0, 1]).to(a)), b)


def test_law_continuous_quaternions():
    angle = torch.linspace(0, 20, 300, dtype=torch.float64)
    rotvec = torch.stack([angle, 0.3 * angle, torch.zeros_like(angle)], -1)[:, None]
    quat = r.matrix_to_quat_wxyz(r.rotvec_to_matrix(rotvec))
    assert ((quat[1:] * quat[:-1]).sum(-1) < 0).any()
    quat[40:44] = torch.nan
    out = r.continuous_quat_wxyz(quat)
    finite = out[torch.isfinite(out).all(-1)]
    assert ((finite[1:] * finite[:-1]).sum(-1) > 0).all()
    assert torch.isnan(out[40:44]).all()
    torch.testing.assert_close(out.abs(), quat.abs(), equal_nan=True)


def test_law_swing_twist():
    R = random_matrices(40)
    axis = random_matrices(1, seed=2)[0, 0]
    swing, twist = r.swing_twist(R, axis)
    torch.testing.assert_close(swing @ r.rotvec_to_matrix(twist[:, None] * axis), R)
    assert (r.matrix_to_rotvec(swing) @ axis).abs().max() < 1e-12
    torch.testing.assert_close((swing @ axis), R @ axis)
