import numpy as np
import pytest

from posewright.core.errors import InputError
from posewright.datasets.camera_fit import fit_camera
from tests.datasets.trees.figures import camera, picture

LENS = (-0.2, 0.24, -0.0014, 0.001, -0.003)


def _points(n=400):
    return np.random.default_rng(0).uniform([-1.5, -1.2, 0.0], [1.5, 1.2, 1.9], (n, 3))


@pytest.mark.parametrize("azimuth", [0.2, 1.7, 3.0, 4.6])
@pytest.mark.parametrize("lens", [(0.0,) * 5, LENS])
def test_law_the_camera_that_took_the_picture_is_found(azimuth, lens):
    points = _points()
    K, R, t = camera(azimuth, (1000, 1002), 1145.0)
    found, rms = fit_camera(points, picture(points, K, R, t, lens), (1000, 1002), "one")
    assert rms < 1e-6
    np.testing.assert_allclose(found.K, K, atol=1e-3)
    np.testing.assert_allclose(found.distortion, lens, atol=1e-4)
    np.testing.assert_allclose(found.R, R, atol=1e-7)
    np.testing.assert_allclose(found.t, t, atol=1e-6)
    assert (found.name, found.image_size, found.focal_source) == ("one", (1000, 1002), "calibrated")


def test_law_single_precision_files_give_the_camera_to_a_tenth_of_a_millimetre():
    points = _points().astype(np.float32)
    K, R, t = camera(1.0, (1000, 1000), 1145.0)
    found, rms = fit_camera(points, picture(points, K, R, t, LENS).astype(np.float32), (1000, 1000))
    assert rms < 1e-3
    np.testing.assert_allclose(-found.R.T @ found.t, -R.T @ t, atol=1e-4)


def test_law_human36ms_own_lens_equation_is_matched_to_a_tenth_of_a_pixel():
    """Its tangential terms lack OpenCV's factor 2: x (p1 y + p2 x) + p2 r^2."""
    points = _points()
    K, R, t = camera(1.0, (1000, 1002), 1145.0)
    seen = points @ R.T + t
    x = seen[:, :2] / seen[:, 2:]
    r2 = np.square(x).sum(1, keepdims=True)
    k1, k2, p1, p2, k3 = LENS
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    tangential = (x * [p2, p1]).sum(1, keepdims=True)
    bent = x * (radial + tangential) + np.array([p2, p1]) * r2
    found, rms = fit_camera(points, bent @ K[:2, :2].T + K[:2, 2], (1000, 1002))
    assert rms < 0.1
    np.testing.assert_allclose(-found.R.T @ found.t, -R.T @ t, atol=2e-3)


def test_missing_points_are_left_out():
    points = _points()
    K, R, t = camera(0.5, (640, 480), 700.0)
    pixels = picture(points, K, R, t)
    pixels[::3], points[1::7] = np.nan, np.nan
    assert fit_camera(points, pixels, (640, 480))[1] < 1e-6


def test_what_determines_no_camera_is_refused():
    points = _points()
    K, R, t = camera(0.5, (640, 480), 700.0)
    pixels = picture(points, K, R, t)
    with pytest.raises(InputError, match="10 pairs"):
        fit_camera(points[:10], pixels[:10], (640, 480))
    flat = points * [1.0, 1.0, 0.0]
    with pytest.raises(InputError, match="one plane"):
        fit_camera(flat, picture(flat, K, R, t), (640, 480))
    detected = pixels + np.random.default_rng(1).normal(0, 5, pixels.shape)
    with pytest.raises(InputError, match="detections"):
        fit_camera(points, detected, (640, 480))
