import pytest
import torch

from posewright.geometry import procrustes, transforms
from posewright.geometry.rotations import rotvec_to_matrix


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("scale", [False, True])
def test_law_alignment_undoes_a_similarity(scale):
    source = random(3, 5, 17, 3)
    R, t = rotvec_to_matrix(random(3, 5, 3, seed=1)), random(3, 5, 3, seed=2)
    s = (
        torch.rand(3, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64) + 0.5
        if scale
        else torch.ones(3, 5)
    )
    target = s[..., None, None] * (source @ R.mT) + t[..., None, :]
    source[..., 4, :] = torch.nan
    target[..., 5, :] = torch.nan
    fit = procrustes.align(source, target, scale=scale)
    torch.testing.assert_close(fit.R, R)
    torch.testing.assert_close(fit.t, t)
    torch.testing.assert_close(fit.scale, s.double())
    seen = torch.isfinite(source + target)
    torch.testing.assert_close(fit(source)[seen], target[seen])


def test_law_mirror_image_is_not_undone():
    source = random(10, 17, 3)
    fit = procrustes.align(source, source * torch.tensor([-1.0, 1, 1]))
    torch.testing.assert_close(torch.linalg.det(fit.R), torch.ones(10, dtype=torch.float64))


def test_law_weights_choose_the_points():
    source, target = random(20, 3), random(20, 3, seed=1)
    R = rotvec_to_matrix(random(3, seed=2))
    target[:8] = source[:8] @ R.mT
    weights = torch.zeros(20, dtype=torch.float64)
    weights[:8] = 0.3
    torch.testing.assert_close(procrustes.align(source, target, weights).R, R)


def test_law_alignment_is_the_best_one():
    source, target = random(17, 3), random(17, 3, seed=1)
    fit = procrustes.align(source, target, scale=True)
    best = (fit(source) - target).square().sum()
    for seed in range(30):
        R = rotvec_to_matrix(0.1 * random(3, seed=seed)) @ fit.R
        other = procrustes.Alignment(
            R, fit.t + 0.05 * random(3, seed=seed + 50), fit.scale * (1 + 0.03 * random(1, seed=seed)[0])
        )
        assert (other(source) - target).square().sum() > best


@pytest.mark.parametrize("points", [1, 2, 17])
def test_law_degenerate_input_has_finite_gradients(points):
    source = torch.zeros(points, 3, dtype=torch.float64)
    source[:, 0] = torch.arange(points)  # on a line
    source.requires_grad_()
    fit = procrustes.align(source, source.detach() * 2, scale=True)
    torch.testing.assert_close(fit(source), source.detach() * 2)
    fit(source).square().sum().backward()
    assert torch.isfinite(source.grad).all()


def test_law_no_points_is_nan():
    fit = procrustes.align(torch.full((2, 4, 3), torch.nan), torch.ones(2, 4, 3))
    assert torch.isnan(fit.R).all()
    assert torch.isnan(fit.t).all()


def test_law_alignment_gradients():
    inputs = (random(6, 3).requires_grad_(), random(6, 3, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: procrustes.align(a, b, scale=True)(a), inputs)


def test_convention_transform_names():
    T_a_b = transforms.transform(rotvec_to_matrix(random(4, 3)), random(4, 3, seed=1))
    T_b_c = transforms.transform(rotvec_to_matrix(random(4, 3, seed=2)), random(3, seed=3))
    points = random(4, 7, 3, seed=4)
    by_steps = transforms.apply(T_a_b, transforms.apply(T_b_c, points))
    torch.testing.assert_close(transforms.apply(transforms.compose(T_a_b, T_b_c), points), by_steps)


def test_law_inverse_transform():
    T = transforms.transform(rotvec_to_matrix(random(4, 3)), random(4, 3, seed=1))
    eye = torch.eye(4, dtype=torch.float64).expand(4, 4, 4)
    torch.testing.assert_close(transforms.compose(T, transforms.invert(T)), eye)
