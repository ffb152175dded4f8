import pytest
import torch

from posewright.geometry import cameras
from posewright.geometry.resection import perspective_n_point, root_translation
from posewright.geometry.rotations import rotvec_to_matrix

SIZE = (1280, 720)
K = cameras.intrinsics(torch.tensor(1000.0, dtype=torch.float64), SIZE)
DISTORTION = torch.tensor([-0.2, 0.05, 0.001, -0.002, 0.0], dtype=torch.float64)


def people(*batch, joints=17, seed=0):
    """Root-relative poses of human size, and roots 2 to 12 metres away."""
    g = torch.Generator().manual_seed(seed)
    pose = 0.4 * torch.randn(*batch, joints, 3, generator=g, dtype=torch.float64)
    pose = pose - pose[..., :1, :]
    root = torch.rand(*batch, 3, generator=g, dtype=torch.float64) * torch.tensor([2.0, 1, 9]) + torch.tensor(
        [-1, -0.5, 3]
    )
    return pose, root


@pytest.mark.parametrize("steps", [0, 5])
@pytest.mark.parametrize("distortion", [None, DISTORTION])
def test_law_exact_keypoints_give_the_exact_root(steps, distortion):
    pose, root = people(6, 20)
    pixels = cameras.project(pose + root[..., None, :], K, distortion)
    fit = root_translation(pose, pixels, K, distortion=distortion, steps=steps)
    torch.testing.assert_close(fit.translation, root)
    assert fit.residual.max() < 1e-6


def test_law_missing_and_zero_weight_joints_do_not_count():
    pose, root = people(40)
    pixels = cameras.project(pose + root[..., None, :], K)
    weights = torch.rand(40, 17, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pixels[:, 3] = torch.nan
    pose[:, 5] = torch.nan
    pixels[:, 7] += 500
    weights[:, 7] = 0
    weights[:, 8] = torch.nan
    fit = root_translation(pose, pixels, K, weights)
    torch.testing.assert_close(fit.translation, root)


def test_law_too_few_or_coinciding_joints_are_nan():
    pose, root = people(3)
    pixels = cameras.project(pose + root[..., None, :], K)
    pixels[0, 1:] = torch.nan
    pixels[1] = torch.nan
    pose[2] = 0
    pixels[2] = pixels[2, :1]
    fit = root_translation(pose, pixels, K)
    assert torch.isnan(fit.translation).all()
    assert torch.isnan(fit.residual).all()
    assert torch.isnan(fit.covariance).all()


def test_law_gauss_newton_reaches_the_minimum():
    pose, root = people(200)
    g = torch.Generator().manual_seed(3)
    pixels = cameras.project(pose + root[..., None, :], K) + 5 * torch.randn(
        200, 17, 2, generator=g, dtype=torch.float64
    )
    fit = root_translation(pose, pixels, K)
    linear = root_translation(pose, pixels, K, steps=0)
    t = fit.translation.clone().requires_grad_()
    cost = (cameras.project(pose + t[:, None], K) - pixels).square().sum()
    cost.backward()
    assert t.grad.abs().max() < 1e-2  # of costs about 850 per person
    assert (fit.residual <= linear.residual + 1e-9).all()
    torch.testing.assert_close(
        fit.residual, (cameras.project(pose + t[:, None], K) - pixels).square().sum(-1).mean(-1).sqrt()
    )


def test_law_covariance_predicts_the_scatter():
    pose, root = people()
    pose, root = pose.expand(4000, 17, 3), root.expand(4000, 3)
    g = torch.Generator().manual_seed(3)
    noise = 0.5 * torch.randn(4000, 17, 2, generator=g, dtype=torch.float64)
    fit = root_translation(pose, cameras.project(pose + root[:, None], K) + noise, K)
    expected = 0.25 * fit.covariance.mean(0)
    torch.testing.assert_close(torch.cov(fit.translation.T), expected, rtol=0.1, atol=1e-7)


def test_law_huber_resists_outliers():
    pose, root = people(100)
    pixels = cameras.project(pose + root[..., None, :], K)
    pixels[:, 4] += torch.tensor([150.0, -80])
    plain = (root_translation(pose, pixels, K).translation - root).norm(dim=-1)
    robust = (root_translation(pose, pixels, K, huber=5.0, steps=30).translation - root).norm(dim=-1)
    assert robust.median() < plain.median() / 5


def test_law_contradicting_pose_stays_in_front():
    pose, root = people(50)
    pixels = cameras.project(pose + root[..., None, :], K)
    fit = root_translation(-pose, pixels, K)
    assert ((fit.translation[:, None, 2] - pose[..., 2]) > 0).all()
    assert torch.isfinite(fit.residual).all()


def test_law_root_gradients():
    pose, root = people(2, joints=5)
    pixels = cameras.project(pose + root[..., None, :], K) + 1.0
    inputs = (pose.requires_grad_(), pixels.requires_grad_())
    assert torch.autograd.gradcheck(lambda p, k: root_translation(p, k, K).translation, inputs)


def test_law_root_in_float32():
    pose, root = people(300)
    pixels = cameras.project(pose + root[..., None, :], K)
    fit = root_translation(pose.float(), pixels.float(), K.float())
    torch.testing.assert_close(fit.translation.double(), root, rtol=1e-3, atol=1e-3)


def poses(*batch, seed=5):
    g = torch.Generator().manual_seed(seed)
    R = rotvec_to_matrix(torch.randn(*batch, 3, generator=g, dtype=torch.float64))
    return R, torch.rand(*batch, 3, generator=g, dtype=torch.float64) + torch.tensor([-0.5, -0.5, 4.0])


@pytest.mark.parametrize("shape", ["volume", "board"])
def test_law_pnp_recovers_the_camera(shape):
    R, t = poses(30)
    g = torch.Generator().manual_seed(6)
    points = torch.rand(30, 12, 3, generator=g, dtype=torch.float64) - 0.5
    if shape == "board":
        points = (points * torch.tensor([1.0, 0.7, 0.0])) @ rotvec_to_matrix(
            torch.tensor([0.3, 1.0, -0.4]).double()
        ).mT + 1.0
        t = t - (R @ torch.ones(3, dtype=torch.float64))
    pixels = cameras.project_world(points, R, t, K, DISTORTION)
    points[:, 3], pixels[:, 4] = torch.nan, torch.nan
    fit = perspective_n_point(points, pixels, K, distortion=DISTORTION)
    torch.testing.assert_close(fit.R, R, rtol=0, atol=1e-7)
    torch.testing.assert_close(fit.t, t, rtol=0, atol=1e-6)
    assert fit.residual.max() < 1e-5


def test_law_pnp_with_noise_finds_at_least_as_good_a_camera_as_the_true_one():
    R, t = poses(20)
    g = torch.Generator().manual_seed(6)
    points = torch.rand(20, 30, 3, generator=g, dtype=torch.float64) - 0.5
    exact = cameras.project_world(points, R, t, K)
    pixels = exact + torch.randn(20, 30, 2, generator=g, dtype=torch.float64)
    fit = perspective_n_point(points, pixels, K)
    assert (fit.residual <= (exact - pixels).square().sum(-1).mean(-1).sqrt()).all()


def test_law_pnp_needs_four_points():
    R, t = poses(1)
    points = torch.rand(1, 3, 3, dtype=torch.float64)
    fit = perspective_n_point(points, cameras.project_world(points, R, t, K), K)
    assert torch.isnan(fit.R).all()
