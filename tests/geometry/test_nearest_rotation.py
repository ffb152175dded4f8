import torch

from posewright.geometry.nearest_rotation import nearest_rotation


def _by_svd(M):
    U, _, Vh = torch.linalg.svd(M)
    sign = torch.det(U @ Vh)
    D = torch.diag_embed(torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign], -1))
    return U @ D @ Vh


def test_law_nearest_rotation_is_the_svd_solution():
    M = torch.randn(500, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    s = torch.linalg.svdvals(M)
    posed = (s[:, 1] + torch.det(M).sign() * s[:, 2]) > 0.05 * s[:, 0]
    assert posed.sum() > 400
    torch.testing.assert_close(nearest_rotation(M[posed]), _by_svd(M[posed]), atol=1e-7, rtol=0)


def test_law_nearest_rotation_is_a_rotation_at_any_scale():
    M = torch.randn(4, 7, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    M = M + 3 * torch.eye(3, dtype=torch.float64)
    R = nearest_rotation(1e-6 * M)
    torch.testing.assert_close(R @ R.mT, torch.eye(3, dtype=torch.float64).expand_as(R), atol=1e-8, rtol=0)
    torch.testing.assert_close(R, nearest_rotation(1e5 * M), atol=1e-9, rtol=0)
    assert (torch.linalg.det(R) > 0).all()


def test_law_nearest_rotation_has_true_gradients():
    g = torch.Generator().manual_seed(2)
    M = torch.randn(3, 3, 3, generator=g, dtype=torch.float64) + 2 * torch.eye(3, dtype=torch.float64)
    assert torch.autograd.gradcheck(nearest_rotation, M.requires_grad_())


def test_law_nearest_rotation_of_a_plane_of_vectors():
    M = torch.diag(torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(nearest_rotation(M), torch.eye(3, dtype=torch.float64))
