"""Bodies fitted to keypoints: one camera, several, with and without a start; cameras that cannot be."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from posewright.core.errors import InputError
from posewright.fitting.body2d import fit_body_2d
from posewright.fitting.pixels import seen_pixels
from posewright.fitting.points import body_points
from posewright.geometry.cameras import look_at, project_world
from posewright.metrics.position import pa_mpjpe
from posewright.structures.cameras import Camera, CameraRig
from tests.fitting.conftest import FPS
from tests.fitting.derivatives import check_derivative

FRAMES = slice(0, 12)


def camera_at(yaw: float, joints: np.ndarray) -> Camera:
    """4 m away at chest height, with a bent lens."""
    middle = torch.from_numpy(joints.mean((0, 1)).astype(float))
    eye = middle + torch.tensor([4 * np.cos(yaw), 4 * np.sin(yaw), 0.5])
    R, t = look_at(eye, middle)
    K = np.array([[1100.0, 0, 640], [0, 1100, 360], [0, 0, 1]])
    lens = np.array([-0.1, 0.02, 0.001, -0.001, 0.0])
    return Camera(K, (1280, 720), R.numpy(), t.numpy(), lens, name="side")


def seen(camera: Camera, joints: np.ndarray, noise: float = 2.0) -> np.ndarray:
    numbers = (
        torch.from_numpy(np.asarray(x, float)) for x in (camera.R, camera.t, camera.K, camera.distortion)
    )
    pixels = project_world(torch.from_numpy(joints.astype(float)), *numbers).numpy()
    return pixels + np.random.default_rng(0).normal(0, noise, pixels.shape)


def test_law_derivative_is_that_of_the_cost(clip):
    joints = clip.joints[:2]
    cameras = tuple(camera_at(yaw, joints) for yaw in (0.3, 1.9))
    keypoints = np.stack([seen(c, joints, 20.0) for c in cameras])
    term = seen_pixels(cameras, keypoints, np.ones(keypoints.shape[:3]), 0.02, 3.0)
    points = body_points(clip.body, clip.params.betas, "body_24")
    every = torch.cat([clip.params.global_orient[:2, None], clip.params.body_pose[:2]], 1).double()
    local, transl = every[:, list(points.active)], clip.params.transl[:2].double()
    check_derivative(term, points, local, transl, every=3)


def test_one_camera_and_nothing_else(clip):
    joints = clip.joints[FRAMES]
    camera = camera_at(0.7, joints)
    keypoints = seen(camera, joints)
    ones = np.ones(keypoints.shape[:2])
    fit = fit_body_2d(clip.body, keypoints, ones, camera, "body_24", FPS, betas=clip.params.betas)
    found = clip.body.joints(clip.body(fit.params), "body_24").numpy()
    assert np.linalg.norm(found[:, 0] - joints[:, 0], axis=-1).mean() < 0.2, (
        "depth follows from the body's size"
    )
    assert float(pa_mpjpe(found, joints).mean()) < 60
    assert np.nanmean(fit.error) < 0.02
    assert not fit.remarks


def test_a_start_is_refined(clip):
    joints = clip.joints[FRAMES]
    camera = camera_at(2.4, joints)
    keypoints = seen(camera, joints, 1.0)
    start = joints + np.random.default_rng(1).normal(0, 0.02, (1, *joints.shape[1:]))
    keypoints[3, 5] = np.nan
    ones = np.ones(keypoints.shape[:2])
    fit = fit_body_2d(
        clip.body, keypoints, ones, camera, "body_24", FPS, betas=clip.params.betas, initial=start
    )
    found = clip.body.joints(clip.body(fit.params), "body_24").numpy()
    assert np.linalg.norm(found - joints, axis=-1).mean() < 0.06
    assert np.isnan(fit.error[0, 3, 5])


def test_two_cameras_give_pose_and_shape(clip):
    joints = clip.joints[FRAMES]
    cameras = tuple(camera_at(yaw, joints) for yaw in (0.3, 1.9))
    keypoints = np.stack([seen(c, joints, 1.0) for c in cameras])
    fit = fit_body_2d(clip.body, keypoints, np.ones(keypoints.shape[:3]), CameraRig(cameras), "body_24", FPS)
    found = clip.body.joints(clip.body(fit.params), "body_24").numpy()
    assert np.linalg.norm(found - joints, axis=-1).mean() < 0.02


def test_nobody_is_said(clip):
    joints = clip.joints[FRAMES]
    camera = camera_at(0.0, joints)
    lost = np.full((12, 24, 2), np.nan)
    fit = fit_body_2d(clip.body, lost, np.ones((12, 24)), camera, "body_24", FPS)
    assert not fit.present().any()
    assert "nobody" in fit.remarks[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"K": np.diag([0.0, 1000.0, 1.0])}, "focal length 0"),
        ({"K": np.diag([np.nan, 1000.0, 1.0])}, "NaN"),
        ({"t": np.array([0.0, np.inf, 0.0])}, "infinite"),
        ({"R": 2 * np.eye(3)}, "no rotation"),
        ({"R": np.broadcast_to(np.eye(3), (5, 3, 3))}, "5 frames, expected 12"),
    ],
)
def test_cameras_that_cannot_be_are_refused_in_one_line(clip, change, said):
    camera = replace(camera_at(0.0, clip.joints), **change)
    with pytest.raises(InputError, match=said) as error:
        fit_body_2d(clip.body, np.zeros((12, 24, 2)), np.ones((12, 24)), camera, "body_24", FPS)
    assert "side" in str(error.value)
    assert "\n" not in str(error.value)


def test_keypoints_of_another_joint_set_or_number_of_views_are_refused(clip):
    camera = camera_at(0.0, clip.joints)
    with pytest.raises(ValueError, match=r"expected \(T, 24, 2\)"):
        fit_body_2d(clip.body, np.zeros((12, 17, 2)), np.ones((12, 17)), camera, "body_24", FPS)
    rig = CameraRig((camera, camera))
    with pytest.raises(InputError, match="3 views for 2 cameras"):
        fit_body_2d(clip.body, np.zeros((3, 12, 24, 2)), np.ones((3, 12, 24)), rig, "body_24", FPS)
