"""The z-buffer against exact geometry."""

import numpy as np
import pytest
import torch

from posewright.core.errors import InputError
from posewright.geometry.cameras import project_world
from posewright.render.buffers import trace
from posewright.render.mesh import Mesh, batch_of_meshes, face_labels
from posewright.render.primitives import box, ground, quad, sphere, subdivide
from posewright.render.raster import clip_near, visible_faces
from posewright.structures.cameras import Camera

K = np.array([[140.0, 0, 79.5], [0, 150, 59.5], [0, 0, 1]])
SIZE = (160, 120)
AHEAD = Camera(K, SIZE)


def rays(camera: Camera) -> np.ndarray:
    x, y = np.meshgrid(np.arange(camera.image_size[0]), np.arange(camera.image_size[1]))
    return np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(camera.K).T


def test_law_depth_of_a_slanted_plane_is_exact():
    plane = quad((-9, -7, 4), (18, 0, 6), (0, 14, -2), divisions=7)
    depth = trace([plane], AHEAD).depth()
    normal = np.cross((18, 0, 6), (0, 14, -2))
    expected = np.dot(normal, (-9, -7, 4)) / (rays(AHEAD) @ normal)
    np.testing.assert_allclose(depth, expected, rtol=1e-6)


def test_law_depth_of_a_sphere_is_that_of_its_equation():
    radius, centre = 0.8, np.array([0.2, -0.1, 3.0])
    buffers = trace([sphere(centre, radius, rings=120)], AHEAD)
    d = rays(AHEAD)
    half, square = d @ centre, (d * d).sum(-1)
    under = half**2 - square * (centre @ centre - radius**2)
    expected = (half - np.sqrt(np.maximum(under, 0))) / square
    inside = under > 0.02 * under.max()
    assert buffers.silhouette()[inside].all()
    assert not buffers.silhouette()[under < 0].any()
    assert np.abs(buffers.depth() - expected)[inside].max() < 2e-3
    towards = (d * expected[..., None] - centre) / radius
    assert ((buffers.normals() * towards).sum(-1)[inside] > 0.9995).all()


def test_law_barycentrics_give_back_the_point_seen():
    buffers = trace([sphere((0, 0, 3), 1.0)], AHEAD)
    corners = buffers.geometry.vertices[buffers.geometry.faces][buffers.face]
    points = np.einsum("pk,pki->pi", buffers.weights, corners)
    seen = buffers.picture(points)
    pixels = project_world(
        torch.from_numpy(points)[None], torch.eye(3).double(), torch.zeros(3).double(), torch.from_numpy(K)
    )[0].numpy()
    width = SIZE[0]
    np.testing.assert_allclose(
        pixels, np.stack([buffers.pixel % width, buffers.pixel // width], -1), atol=1e-6
    )
    np.testing.assert_allclose(seen[..., 2], buffers.depth(), rtol=1e-6)
    np.testing.assert_allclose(buffers.weights.sum(-1), 1)


def test_convention_vertices_appear_where_cameras_project_them():
    rng = np.random.default_rng(3)
    R = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    R *= np.sign(np.linalg.det(R))
    pixels = rng.integers([4, 4], np.subtract(SIZE, 4), (40, 2))
    t = np.array([0.3, -0.2, 0.5])
    depth = rng.uniform(2, 5, 40)
    points = np.concatenate([pixels, np.ones((40, 1))], 1) @ np.linalg.inv(K).T * depth[:, None]
    world = (points - t) @ R
    tiny = np.array([[0, -1e-2, 0], [1e-2, 1e-2, 0], [-1e-2, 1e-2, 0]]) @ R
    meshes = [Mesh(x + tiny, [[0, 1, 2]]) for x in world]
    camera = Camera(K, SIZE, R, t)
    index = trace(meshes, camera).mesh_index()
    expected = project_world(*(torch.from_numpy(a) for a in (world, R, t, K))).numpy()
    np.testing.assert_allclose(expected, pixels, atol=1e-9)
    hit = index[pixels[:, 1], pixels[:, 0]]
    nearest = [np.flatnonzero((pixels == p).all(1))[depth[(pixels == p).all(1)].argmin()] for p in pixels]
    assert (hit == nearest).all()


def test_law_order_of_faces_does_not_matter():
    rng = np.random.default_rng(0)
    vertices = rng.uniform([-3, -2, 1], [3, 2, 6], (300, 3))
    faces = rng.permutation(300).reshape(100, 3)
    order = rng.permutation(100)
    first = visible_faces(vertices[faces], K, SIZE)
    second = visible_faces(vertices[faces[order]], K, SIZE)
    turned = visible_faces(vertices[faces[:, [2, 0, 1]]], K, SIZE)
    assert (first >= 0).mean() > 0.5
    assert (first == np.where(second >= 0, order[second], -1)).all()
    assert (first == turned).mean() > 0.9999


@pytest.mark.parametrize("seed", range(5))
def test_law_faces_that_share_edges_leave_no_hole_and_no_pixel_twice(seed):
    rng = np.random.default_rng(seed)
    plane = quad((-40, -30, 9), (80, 0, 0), (0, 60, 0), divisions=25)
    jitter = rng.uniform(-0.6, 0.6, (len(plane.vertices), 3))  # less than folds a face over
    snapped = np.where(rng.random(jitter.shape) < 0.3, 0, jitter)
    corners = (plane.vertices + snapped * [1, 1, 0])[plane.faces]
    even = np.array([[90.0, 0, 80], [0, 90, 60], [0, 0, 1]])  # corners left in place fall on pixel centres
    alone = np.array([(visible_faces(c[None], even, SIZE) >= 0) for c in corners]).sum(0)
    assert (alone == 1).all()


def test_law_near_plane_cuts_exactly():
    floor = ground(size=400.0)
    camera = Camera(K, SIZE, R=np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), t=np.array([0, 1.5, 0]))
    depth = trace([floor], camera, near=5.0).depth()
    down = rays(camera)[..., 1]
    exact = 1.5 / np.where(down > 0, down, np.nan)
    shown = (exact > 5.0) & (exact < 190)
    np.testing.assert_allclose(depth[shown], exact[shown], rtol=1e-6)
    assert np.isnan(depth[(exact < 5.0) | np.isnan(exact)]).all()


def test_law_clipped_pieces_have_the_area_in_front():
    rng = np.random.default_rng(1)
    corners = rng.normal(size=(200, 3, 3))
    pieces, owners = clip_near(corners, np.arange(200), 0.1)
    assert pieces[..., 2].min() >= 0.1

    def area(t):
        return np.linalg.norm(np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]), axis=-1)

    weights = rng.dirichlet([1, 1, 1], (20000,))
    points = np.einsum("qk,fki->fqi", weights, corners)
    expected = (points[..., 2] > 0.1).mean(1)
    got = np.bincount(owners, area(pieces), 200) / area(corners)
    np.testing.assert_allclose(got, expected, atol=0.02)


def test_law_faces_just_before_the_near_plane_do_not_overflow():
    corners = np.array([[[-5, 1, 0.02], [900, 1, -3], [0.3, 1, 40]], [[0, 0, 0.0], [0, 0, 0], [0, 0, 0]]])
    seen = visible_faces(corners, K, SIZE, near=1e-9)
    assert set(np.unique(seen)) <= {-1, 0}


def test_law_labels_uv_and_faces_of_a_textured_batch():
    plane = quad((0, 0, 0), (1, 0, 0), (0, 1, 0), divisions=4)
    places = np.array([[-1.2, -0.5, 3], [0.2, -0.5, 2]])
    meshes = batch_of_meshes(
        plane.vertices + places[:, None], plane.faces, ["a", "b"], uv=plane.uv, labels=np.arange(32)
    )
    buffers = trace(meshes, AHEAD)
    seen = buffers.silhouette()
    assert (buffers.labels()[seen] == buffers.face_index()[seen]).all()
    assert (buffers.labels()[~seen] == -1).all()
    for index, place in enumerate(places):
        mine = buffers.silhouette(index)
        assert mine.sum() > 100
        flat = buffers.positions()[mine][:, :2] - place[:2]
        np.testing.assert_allclose(buffers.uv()[mine], flat, atol=1e-6)


def test_law_backs_of_a_closed_mesh_are_not_missed():
    look = {"rings": 12}
    both = trace([sphere((0, 0, 3), 1, **look)], AHEAD)
    closed = trace([sphere((0, 0, 3), 1, closed=True, **look)], AHEAD)
    assert (both.face_index() == closed.face_index()).mean() > 0.999


def test_law_subdivided_faces_cover_the_same_surface():
    shape = box((0, 0, 3), (1, 1, 1), turn=0.4)
    faces, pairs = subdivide(shape.faces)
    finer = Mesh(np.concatenate([shape.vertices, shape.vertices[pairs].mean(1)]), faces)
    np.testing.assert_allclose(trace([finer], AHEAD).depth(), trace([shape], AHEAD).depth(), rtol=1e-6)
    assert len(faces) == 4 * len(shape.faces)


def test_law_an_empty_scene_or_nan_body_shows_nothing():
    gone = sphere((0, 0, 3), 1)
    gone = Mesh(np.full_like(gone.vertices, np.nan), gone.faces)
    for meshes in ([], [gone], [sphere((0, 0, -3), 1)]):
        buffers = trace(meshes, AHEAD)
        assert not buffers.silhouette().any()
        assert np.isnan(buffers.depth()).all()


def test_convention_face_labels_take_the_majority():
    assert face_labels(np.array([4, 5, 5, 6]), np.array([[0, 1, 2], [0, 1, 3], [0, 0, 1]])).tolist() == [
        5,
        4,
        4,
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vertices": np.zeros((4, 2))}, "expected \\(N, 3\\)"),
        ({"faces": [[0, 1, 2, 3]]}, "split quads"),
        ({"faces": [[0, 1, 9]]}, "there are 4"),
        ({"colors": np.zeros((3, 3))}, "expected \\(3,\\) or \\(4, 3\\)"),
        ({"texture": np.zeros((4, 4, 3), np.uint8)}, "needs uv"),
        ({"texture": np.zeros((4, 4, 3)), "uv": np.zeros((4, 2))}, "expected uint8"),
        ({"labels": [1, 2, 3]}, "one per face"),
    ],
)
def test_law_wrong_meshes_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        Mesh(**{"vertices": np.zeros((4, 3)), "faces": [[0, 1, 2]], **fields})


def test_law_degenerate_cameras_are_refused():
    for camera in (
        Camera(np.zeros((3, 3)), SIZE),
        Camera(K, (0, 10)),
        Camera(K, SIZE, R=np.full((3, 3), np.nan)),
        Camera(K, SIZE, R=np.stack([np.eye(3)] * 2), t=np.zeros((2, 3))),
    ):
        with pytest.raises(InputError):
            trace([sphere((0, 0, 3))], camera)
