"""Bundle adjustment on rigs whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from posewright.geometry.bundle import BundleCameras, Distances, bundle_adjust, bundle_adjust_boards
from posewright.geometry.cameras import look_at, project_world
from posewright.geometry.rotations import rotvec_to_matrix

CENTRES = [[-3.0, -3, 1.5], [0, -4, 2], [3, -3, 1.2], [2, 4, 1.8]]


def a_rig() -> BundleCameras:
    R, t = look_at(torch.tensor(CENTRES, dtype=torch.float64), torch.tensor([0.0, 0, 1], dtype=torch.float64))
    K = np.tile(np.array([[900.0, 0, 640], [0, 900, 360], [0, 0, 1]]), (4, 1, 1))
    distortion = np.tile([-0.12, 0.04, 0.001, -0.001, 0], (4, 1))
    return BundleCameras(R.numpy(), t.numpy(), K, distortion)


def images(rig: BundleCameras, points: np.ndarray) -> np.ndarray:
    arrays = (torch.from_numpy(a) for a in (rig.R, rig.t, rig.K, rig.distortion))
    return project_world(torch.from_numpy(points), *arrays).numpy()


def shaken(rig: BundleCameras, rng, degrees: float = 1.5, metres: float = 0.05) -> BundleCameras:
    """The rig with every pose but the first disturbed."""
    turn = rotvec_to_matrix(torch.from_numpy(rng.normal(0, np.radians(degrees), (4, 3)))).numpy()
    turn[0] = np.eye(3)
    shift = rng.normal(0, metres, (4, 3))
    shift[0] = 0
    return replace(rig, R=turn @ rig.R, t=rig.t + shift)


def a_scene(seed: int = 0):
    rng = np.random.default_rng(seed)
    points = rng.uniform([-1, -1, 0], [1, 1, 2], (60, 3))
    seen = images(a_rig(), points)
    seen[rng.random(seen.shape[:2]) < 0.2] = np.nan
    return rng, points, seen


def angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    cosine = (np.einsum("vij,vij->v", a, b) - 1) / 2
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def pairs_of(points: np.ndarray) -> Distances:
    pairs = np.array([[0, 1], [2, 3], [4, 5]])
    return Distances(pairs, np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=-1))


def test_law_exact_without_noise():
    rng, points, seen = a_scene()
    start = points + rng.normal(0, 0.03, points.shape)
    found = bundle_adjust(seen, shaken(a_rig(), rng), start, distances=pairs_of(points))
    assert angle(found.cameras.R, a_rig().R).max() < 1e-3
    np.testing.assert_allclose(found.cameras.t, a_rig().t, atol=1e-4)
    solved = np.isfinite(seen).all(-1).sum(0) >= 2
    np.testing.assert_array_equal(np.isfinite(found.points).all(-1), solved)
    np.testing.assert_allclose(found.points[solved], points[solved], atol=1e-4)
    assert np.nanmax(found.errors) < 1e-2


def test_law_recovers_a_disturbed_rig_to_the_noise():
    rng, points, seen = a_scene()
    noise, start, known = rng.normal(0, 1, seen.shape), shaken(a_rig(), rng), pairs_of(points)
    guess = points + rng.normal(0, 0.03, points.shape)
    off = []
    for pixels in (0.1, 0.4):
        found = bundle_adjust(seen + pixels * noise, start, guess, distances=known)
        off.append(angle(found.cameras.R, a_rig().R).max())
        of_truth = np.linalg.norm(pixels * noise, axis=-1)[np.isfinite(found.errors)]
        assert np.nanmean(found.errors**2) < np.mean(of_truth**2)  # explains the noise better than the truth
    assert off[0] < 0.05
    assert off[1] / off[0] == pytest.approx(4, rel=0.1)  # and errs in proportion to it


def test_law_scale_follows_known_distances():
    rng, points, seen = a_scene()
    known = pairs_of(points)
    doubled = Distances(known.pairs, 2 * known.lengths)
    rig = a_rig()
    origin = replace(rig, t=rig.t + np.einsum("vij,j->vi", rig.R, CENTRES[0]))  # first camera at the origin
    found = bundle_adjust(seen, origin, points - CENTRES[0], distances=doubled)
    solved = np.isfinite(found.points).all(-1)
    np.testing.assert_allclose(found.points[solved], 2 * (points - CENTRES[0])[solved], atol=1e-3)
    assert np.nanmax(found.errors) < 0.02


def test_law_without_distances_the_baseline_is_kept():
    rng, points, seen = a_scene()
    start = shaken(a_rig(), rng, metres=0)
    found = bundle_adjust(seen, start, points)
    moved = -np.einsum("vji,vj->vi", found.cameras.R, found.cameras.t)
    given = -np.einsum("vji,vj->vi", start.R, start.t)
    far = np.linalg.norm(given - given[0], axis=-1).argmax()
    assert np.linalg.norm(moved[far] - moved[0]) == pytest.approx(
        np.linalg.norm(given[far] - given[0]), abs=1e-5
    )
    np.testing.assert_array_equal(found.cameras.R[0], start.R[0])
    assert np.nanmax(found.errors) < 1e-2


def test_law_outliers_weigh_little():
    rng, points, seen = a_scene()
    wrong = seen.copy()
    wrong[1, ::9] += 80
    start, known = shaken(a_rig(), rng), pairs_of(points)
    off = [
        angle(bundle_adjust(wrong, start, points, distances=known, huber=h).cameras.R, a_rig().R).max()
        for h in (0.5, 1e6)
    ]
    assert off[0] < 0.1 < 1 < off[1], off


def test_points_seen_once_stay_missing():
    _, points, seen = a_scene()
    seen[1:, 7] = np.nan
    found = bundle_adjust(seen, a_rig(), points)
    assert np.isnan(found.points[7]).all()
    assert np.isnan(found.errors[:, 7]).all()


def test_nothing_shared_is_an_error():
    _, points, seen = a_scene()
    seen[1:] = np.nan
    with pytest.raises(ValueError, match="seen by two cameras"):
        bundle_adjust(seen, a_rig(), points)


def boards(rng):
    shape = np.stack([*np.meshgrid(np.arange(4) * 0.1, np.arange(6) * 0.1), np.zeros((6, 4))], -1)
    R = rotvec_to_matrix(torch.from_numpy(rng.normal(0, 0.5, (15, 3)))).numpy()
    R = R @ np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    return shape.reshape(-1, 3), R, rng.uniform([-0.8, -0.8, 0.5], [0.8, 0.8, 1.5], (15, 3))


def test_law_boards_fix_poses_scale_and_lenses():
    rng = np.random.default_rng(3)
    shape, R, t = boards(rng)
    corners = np.einsum("mij,cj->mci", R, shape) + t[:, None]
    rig = a_rig()
    seen = images(rig, corners.reshape(-1, 3)).reshape(4, 15, -1, 2)
    seen[rng.random(seen.shape[:2]) < 0.3] = np.nan
    start = shaken(rig, rng)
    start = replace(start, K=start.K * [[1.02, 1, 1], [1, 1.02, 1], [1, 1, 1]])
    start = replace(start, distortion=rig.distortion * [0.5, 0.5, 1, 1, 1])
    turn = rotvec_to_matrix(torch.from_numpy(rng.normal(0, 0.02, (15, 3)))).numpy()
    found = bundle_adjust_boards(
        seen, start, shape, turn @ R, t + rng.normal(0, 0.02, t.shape), refine_intrinsics=True
    )
    scale = found.cameras.K[:, 0, 0] / 900
    assert np.abs(scale - 1).max() < 1e-5
    assert angle(found.cameras.R, rig.R).max() < 1e-3
    assert np.abs(found.cameras.t - rig.t).max() < 1e-4
    assert np.nanmean(found.errors) < 1e-2
