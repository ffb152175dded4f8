"""Gradients of silhouettes and depth."""

import cv2
import numpy as np
import pytest
import torch

from posewright.core.errors import InputError
from posewright.render.buffers import trace
from posewright.render.primitives import box, sphere
from posewright.render.soft import silhouette_loss, soft_render
from posewright.structures.cameras import Camera

SIZE = (48, 40)
K = torch.tensor([[60.0, 0, 23.5], [0, 60, 19.5], [0, 0, 1]], dtype=torch.float64)


def tensors(mesh) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces)


def test_law_gradients_are_those_of_differences():
    faces = torch.tensor([[0, 1, 2], [1, 3, 2]])
    vertices = torch.tensor(
        [[-0.61, -0.42, 3.0], [0.53, -0.37, 3.3], [-0.44, 0.52, 3.1], [0.7, 0.6, 2.7]], dtype=torch.float64
    )

    def pictures(points):
        out = soft_render(
            points, faces, K / K.new_tensor([[5.0], [5.0], [1.0]]), (10, 8), sigma=1.3, gamma=0.3
        )
        return out.silhouette, torch.nan_to_num(out.depth)

    torch.autograd.gradcheck(pictures, (vertices.requires_grad_(),), eps=1e-7, atol=1e-5)


def test_law_small_sigma_is_the_reference():
    mesh = sphere((0.1, 0, 3), 0.7, rings=12)
    soft = soft_render(*tensors(mesh), K, SIZE, sigma=0.05, gamma=1e-3)
    hard = trace([mesh], Camera(K.numpy(), SIZE))
    assert ((soft.silhouette.numpy() > 0.5) == hard.silhouette()).mean() > 0.995
    inner = cv2.erode(hard.silhouette().astype(np.uint8), np.ones((5, 5))) > 0
    assert inner.sum() > 300
    assert np.abs(soft.depth.numpy() - hard.depth())[inner].max() < 0.02


def test_law_the_silhouette_moves_with_the_mesh():
    vertices, faces = tensors(sphere((0, 0, 3), 0.5, rings=8))
    shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    silhouette = soft_render(vertices + shift, faces, K, SIZE).silhouette
    column = torch.arange(SIZE[0]) - K[0, 2]
    (silhouette * column).sum().backward()
    assert shift.grad is not None
    assert shift.grad[0] > 0
    area = soft_render(vertices + shift, faces, K, SIZE).silhouette.sum()
    (further,) = torch.autograd.grad(area, shift)
    assert further[2] < 0  # further away is smaller
    assert abs(further[0]) < 0.05 * abs(further[2])


def test_learns_where_a_body_stands_from_its_silhouette_and_depth():
    mesh = box((0, 0, 0), (0.7, 1.1, 0.5), turn=0.5)
    vertices, faces = tensors(mesh)
    truth = torch.tensor([0.25, -0.15, 3.2], dtype=torch.float64)
    seen = trace([box(tuple(truth.tolist()), (0.7, 1.1, 0.5), turn=0.5)], Camera(K.numpy(), SIZE))
    target = torch.from_numpy(seen.silhouette()).double()
    depth = torch.from_numpy(seen.depth()).double()
    place = torch.tensor([-0.2, 0.2, 2.7], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([place], lr=0.05)
    for step in range(70):
        optimiser.param_groups[0]["lr"] = 0.05 * 0.96**step
        out = soft_render(vertices + place, faces, K, SIZE, sigma=max(2.0 * 0.95**step, 0.3))
        shared = torch.isfinite(out.depth) & torch.isfinite(depth)
        off = torch.where(shared, out.depth - depth, 0.0).abs().sum() / shared.sum().clamp(min=1)
        loss = silhouette_loss(out.silhouette, target) + off
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert (place.detach() - truth).norm() < 0.03


def test_law_nothing_in_view_is_an_empty_picture_with_gradients():
    vertices, faces = tensors(sphere((0, 0, -3), 0.5, rings=4))
    out = soft_render(vertices.requires_grad_(), faces, K, SIZE)
    assert out.silhouette.abs().max() == 0
    assert out.depth.isnan().all()
    out.silhouette.sum().backward()


@pytest.mark.parametrize("wrong", [{"sigma": 0.0}, {"gamma": -1.0}, {"vertices": torch.zeros(4, 2)}])
def test_law_wrong_settings_are_refused(wrong):
    vertices, faces = tensors(sphere((0, 0, 3), rings=4))
    with pytest.raises(InputError):
        soft_render(**{"vertices": vertices, "faces": faces, "K": K, "image_size": SIZE, **wrong})
