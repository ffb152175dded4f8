import torch

from posewright.geometry import cameras, epipolar
from posewright.geometry.triangulation import reprojection_error, triangulate

FOCAL = 1000.0


def rig(views=4, batch=()):
    angle = torch.linspace(0, 4, views, dtype=torch.float64)
    eyes = torch.stack([4 * angle.cos(), 4 * angle.sin(), torch.full_like(angle, 1.5)], -1)
    return cameras.look_at(eyes, torch.tensor([0.0, 0, 1], dtype=torch.float64))


def scene(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, 3, generator=g, dtype=torch.float64) * 1.6 - torch.tensor([0.8, 0.8, 0.0])


def seen(points, R, t, noise=0.0, seed=1):
    x = points[..., None, :, :] @ R.mT + t[..., None, :]
    flat = x[..., :2] / x[..., 2:]
    g = torch.Generator().manual_seed(seed)
    return flat + noise / FOCAL * torch.randn(flat.shape, generator=g, dtype=torch.float64)


def focal(views=4):
    return torch.full((views,), FOCAL, dtype=torch.float64)


def test_law_exact_views_give_exact_points():
    (R, t), points = rig(), scene(5, 17)
    for refine in (False, True):
        out = triangulate(seen(points, R, t), R, t, refine=refine)
        torch.testing.assert_close(out.points, points)
        assert out.residual.max() < 1e-9
        assert out.used.all()


def test_law_missing_views():
    (R, t), points = rig(), scene(17)
    flat = seen(points, R, t)
    flat[0, 3], flat[:3, 4] = torch.nan, torch.nan
    weights = torch.ones(4, 17, dtype=torch.float64)
    flat[2, 5] += 0.3
    weights[2, 5] = 0
    out = triangulate(flat, R, t, weights)
    assert torch.isnan(out.points[4]).all()
    assert torch.isnan(out.residual[4])
    others = [n for n in range(17) if n != 4]
    torch.testing.assert_close(out.points[others], points[others])
    assert out.used.sum(0)[[3, 4, 5]].tolist() == [3, 0, 3]


def test_law_parallel_views_do_not_fix_a_point():
    R, t = rig(1)
    R, t = R.expand(2, 3, 3), t.expand(2, 3)
    assert torch.isnan(triangulate(seen(scene(5), R, t), R, t).points).all()


def test_law_refinement_reaches_the_minimum():
    (R, t), points = rig(), scene(50)
    flat = seen(points, R, t, noise=5)
    out = triangulate(flat, R, t, focal=focal())
    x = out.points.clone().requires_grad_()
    reprojection_error(x, flat, R, t, focal()).square().sum().backward()
    assert x.grad.abs().max() < 1e-3
    linear = triangulate(flat, R, t, focal=focal(), refine=False)
    assert (out.residual <= linear.residual + 1e-9).all()


def test_law_covariance_predicts_the_scatter():
    R, t = rig(3)
    points = scene(1).expand(5000, 1, 3)
    out = triangulate(seen(points, R, t, noise=2.0), R, t, focal=focal(3))
    scatter = torch.cov(out.points[:, 0].T)
    torch.testing.assert_close(scatter, 4 * out.covariance.mean(0)[0], rtol=0.1, atol=3e-7)


def test_law_robust_drops_bad_views():
    (R, t), points = rig(5), scene(40)
    flat = seen(points, R, t, noise=1.0)
    g = torch.Generator().manual_seed(2)
    bad = torch.randint(5, (40,), generator=g)
    flat[bad, torch.arange(40)] += 0.2
    plain = (triangulate(flat, R, t, focal=focal(5)).points - points).norm(dim=-1)
    out = triangulate(flat, R, t, focal=focal(5), max_error=15.0)
    robust = (out.points - points).norm(dim=-1)
    assert robust.max() < 0.02 < plain.median()
    assert not out.used[bad, torch.arange(40)].any()
    assert (out.used.sum(0) == 4).all()


def test_law_robust_without_agreement_is_nan():
    R, t = rig(3)
    flat = torch.rand(3, 10, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    flat = (flat - 0.5) * torch.tensor([0.1, 3.0])
    out = triangulate(flat, R, t, focal=focal(3), max_error=2.0)
    assert torch.isnan(out.points).all()


def test_law_triangulation_gradients():
    (R, t), points = rig(3), scene(2)
    flat = seen(points, R, t, noise=3.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: triangulate(f, R, t).points, flat)


def test_law_epipolar_constraint():
    (R, t), points = rig(2), scene(30)
    K = cameras.intrinsics(torch.tensor(FOCAL, dtype=torch.float64), (1280, 720))
    pixels = cameras.apply_intrinsics(seen(points, R, t), K)
    relative = epipolar.relative_pose(R[0], t[0], R[1], t[1])
    F = epipolar.fundamental(*relative, K, K)
    assert epipolar.epipolar_distance(F, pixels[0], pixels[1]).max() < 1e-8
    assert epipolar.sampson_distance(F, pixels[0], pixels[1]).max() < 1e-8


def test_law_epipolar_distance_is_in_pixels():
    """A point moved 3 pixels across its line; Sampson's distance is the least total correction of the pair."""
    (R, t), points = rig(2), scene(30)
    K = cameras.intrinsics(torch.tensor(FOCAL, dtype=torch.float64), (1280, 720))
    one, two = cameras.apply_intrinsics(seen(points, R, t), K)
    F = epipolar.fundamental(*epipolar.relative_pose(R[0], t[0], R[1], t[1]), K, K)
    normal = (torch.cat([one, torch.ones(30, 1)], -1) @ F.mT)[:, :2]
    normal = normal / normal.norm(dim=-1, keepdim=True)
    sampson = epipolar.sampson_distance(F, one, two + 3 * normal)
    assert (sampson < 3).all()
    assert (sampson > 1).all()
    both = epipolar.epipolar_distance(F, one, two + 3 * normal)
    assert ((both > 1.5) & (both < 6)).all()


def test_convention_epipolar_order_is_second_then_first():
    (R, t), points = rig(2), scene(1)
    flat = torch.cat([seen(points, R, t), torch.ones(2, 1, 1)], -1)
    E = epipolar.essential(*epipolar.relative_pose(R[0], t[0], R[1], t[1]))
    assert abs(flat[1, 0] @ E @ flat[0, 0]) < 1e-12
    assert abs(flat[0, 0] @ E @ flat[1, 0]) > 1e-3
