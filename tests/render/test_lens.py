"""Distorted and fisheye pictures against the cameras that define them."""

import numpy as np
import pytest
import torch

from posewright.geometry.cameras import project, unproject
from posewright.render.buffers import trace
from posewright.render.lens import enlarged, lens_of
from posewright.render.mesh import Mesh
from posewright.render.primitives import ground, quad, sphere
from posewright.structures.cameras import Camera

SIZE = (200, 150)
BARREL = Camera(
    np.array([[120.0, 0, 99.5], [0, 121, 74.5], [0, 0, 1]]),
    SIZE,
    distortion=np.array([-0.22, 0.05, 0.002, -0.001, 0.0]),
)
FISHEYE = Camera(
    np.array([[55.0, 0, 99.5], [0, 55, 74.5], [0, 0, 1]]),
    SIZE,
    distortion=np.array([0.03, -0.01, 0.002, 0.0]),
    model="fisheye",
)
WIDE = Camera(BARREL.K * [[0.5], [0.5], [1]], (100, 75), distortion=np.array([0.02, 0, 0, 0, 0]))
LENSES = [BARREL, FISHEYE, WIDE]


def points_at(camera: Camera, pixels: np.ndarray, distance: np.ndarray) -> np.ndarray:
    K, distortion = torch.tensor(camera.K), torch.tensor(camera.distortion)
    rays = unproject(torch.from_numpy(pixels)[None].double(), K, distortion, camera.model)[0].numpy()
    return rays * distance[:, None]


@pytest.mark.parametrize("camera", LENSES, ids=["barrel", "fisheye", "wide"])
def test_convention_outlines_lie_within_half_a_pixel_of_projected_edges(camera):
    corner, right, down = np.array([-1.6, -1.1, 3.0]), np.array([3.0, 0.4, 1.0]), np.array([-0.5, 2.2, 0.4])
    mask = trace([quad(tuple(corner), tuple(right), tuple(down), divisions=9)], camera).silhouette()
    width, height = camera.image_size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack([x, y], -1).reshape(-1, 2)
    rays = points_at(camera, pixels, np.ones(len(pixels)))
    on_plane = np.linalg.solve(
        np.stack([-rays, right + 0 * rays, down + 0 * rays], -1), -corner[:, None] + 0 * rays[..., None]
    )
    distance, u, v = on_plane[..., 0].T
    exact = (distance > 0) & (np.minimum(u, v) >= 0) & (np.maximum(u, v) <= 1)
    assert 300 < exact.sum() < 0.9 * len(exact)
    wrong = pixels[exact != mask.ravel()]
    along = np.linspace(0, 1, 4000)[:, None]
    sides = [along * right, along * down, down + along * right, right + along * down]
    edges = project(
        torch.from_numpy(corner + np.concatenate(sides)),
        torch.tensor(camera.K),
        torch.tensor(camera.distortion),
        camera.model,
    ).numpy()
    nearest = np.linalg.norm(wrong[:, None] - edges[None], axis=-1).min(1)
    assert (nearest < 0.5).all()
    assert len(wrong) < 0.3 * len(np.unique(np.rint(edges), axis=0))


@pytest.mark.parametrize("camera", LENSES, ids=["barrel", "fisheye", "wide"])
def test_law_points_seen_lie_on_their_pixels_rays(camera):
    wall = quad((-30, -30, 5), (60, 0, 3), (0, 60, 2))
    buffers = trace([wall], camera)
    assert buffers.silhouette().sum() > 0.4 * camera.image_size[0] * camera.image_size[1]
    pixels = project(
        torch.from_numpy(buffers.points),
        torch.tensor(camera.K),
        torch.tensor(camera.distortion),
        camera.model,
    ).numpy()
    expected = np.stack([buffers.pixel % camera.image_size[0], buffers.pixel // camera.image_size[0]], -1)
    inner = buffers.weights.min(-1) > 1e-3
    np.testing.assert_allclose(pixels[inner], expected[inner], atol=1e-5)


def test_law_a_fisheye_sees_behind_its_plane():
    camera = Camera(
        np.array([[40.0, 0, 99.5], [0, 40, 99.5], [0, 0, 1]]),
        (200, 200),
        distortion=np.zeros(4),
        model="fisheye",
    )
    buffers = trace([sphere((0, 0, 0), 10, rings=40)], camera)
    theta = np.hypot(*np.meshgrid(np.arange(200) - 99.5, np.arange(200) - 99.5)) / 40
    depth = buffers.depth()
    assert np.isfinite(depth[theta < 2.4]).all()
    np.testing.assert_allclose(depth[theta < 2.4], 10 * np.cos(theta[theta < 2.4]), atol=0.04)


def test_law_without_coefficients_the_warped_picture_is_the_direct_one():
    ideal = Camera(BARREL.K, SIZE)
    nearly = Camera(BARREL.K, SIZE, distortion=np.array([1e-9, 0, 0, 0, 0]))
    meshes = [sphere((0.3, 0.1, 3), 0.8), quad((-9, -9, 6), (18, 0, 0), (0, 18, 1))]
    first, second = trace(meshes, ideal), trace(meshes, nearly)
    same = first.mesh_index() == second.mesh_index()
    assert same.mean() > 0.99
    face = (first.face_index() == second.face_index()) & same
    assert face.mean() > 0.95
    np.testing.assert_allclose(first.depth()[face], second.depth()[face], rtol=1e-6)


def test_law_enlarged_cameras_keep_the_edges_of_the_picture():
    fine = enlarged(FISHEYE, 3)
    edge = np.array([[-0.5, -0.5], [199.5, 149.5]])
    np.testing.assert_allclose(
        points_at(FISHEYE, edge, np.ones(2)), points_at(fine, (edge + 0.5) * 3 - 0.5, np.ones(2)), atol=1e-12
    )
    assert fine.image_size == (600, 450)


def test_law_lenses_are_kept():
    assert lens_of(FISHEYE) is lens_of(
        Camera(FISHEYE.K.copy(), SIZE, distortion=FISHEYE.distortion, model="fisheye")
    )


def test_law_a_moving_camera_renders_the_frame_asked_for():
    t = np.array([[0, 1.5, 4.0], [0.0, 1.5, 8.0]])
    R = np.stack([np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])] * 2)
    camera = Camera(BARREL.K, SIZE, R, t)
    person = Mesh(sphere((0, 0, 1), 0.5).vertices, sphere().faces)
    near, far = (trace([person, ground(size=2)], camera, frame).silhouette(0).sum() for frame in (0, 1))
    assert near > 3 * far > 0
