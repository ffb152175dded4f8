"""The energy of reprojection: its gradient, its descent, and where the root stands."""

import pytest
import torch

from posewright.core.errors import InputError
from posewright.nn.reprojection_guidance import (
    Cameras,
    Target,
    energy_and_gradient,
    guided,
    one_camera,
    root_for,
)

DOUBLE = torch.float64


def rig(views: int) -> Cameras:
    """Cameras around the origin, 4 m away, that look at it."""
    angle = 2 * torch.pi * torch.arange(views, dtype=DOUBLE) / (views + 0.5)
    z = torch.stack([-angle.cos(), -angle.sin(), 0 * angle], -1)
    down = torch.tensor([0, 0, -1.0], dtype=DOUBLE).expand(views, 3)
    R = torch.stack([torch.linalg.cross(down, z), down, z], 1)
    centre = torch.stack([0.02 * torch.ones_like(angle), -0.03 * torch.ones_like(angle)], -1)
    return Cameras(R, (R @ (4 * z)[..., None])[..., 0], 2.2 + 0.1 * centre, centre)


def scene(views: int, root=(0.2, -0.3, 0.1)) -> tuple[torch.Tensor, torch.Tensor, Target]:
    """Poses (2, 3, 4, 9, 3), the true root, and a target made of the first sample."""
    draw = torch.Generator().manual_seed(0)
    poses = 0.4 * torch.randn(2, 3, 4, 9, 3, generator=draw, dtype=DOUBLE)
    poses[..., 0, :] = 0
    place = torch.tensor(root, dtype=DOUBLE).expand(2, 1, 4, 3)
    cameras = rig(views)
    seen = torch.einsum("vxy,bhtjy->vbhtjx", cameras.R, poses[:, :1] + place[..., None, :])
    seen = seen + cameras.t[:, None, None, None, None]
    focal, centre = (x[:, None, None, None, None] for x in (cameras.focal, cameras.centre))
    keypoints = focal * seen[..., :2] / seen[..., 2:] + centre
    return poses, place, Target(keypoints, torch.ones_like(keypoints), cameras, place)


@pytest.mark.parametrize("views", [1, 3])
def test_law_the_gradient_is_the_derivative_of_the_energy(views):
    poses, _, target = scene(views)
    weights = torch.rand(target.keypoints.shape, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    target = Target(target.keypoints, weights, target.cameras, target.root)
    poses.requires_grad_(True)
    energy, gradient = energy_and_gradient(poses, target)
    (expected,) = torch.autograd.grad(energy.sum(), poses)
    torch.testing.assert_close(gradient, expected, atol=1e-10, rtol=1e-8)
    assert energy.shape == (2, 3)


def test_convention_the_energy_is_a_mean_over_joints_and_a_sum_over_frames_and_cameras():
    poses, _, target = scene(2)
    energy, gradient = energy_and_gradient(poses[:, :1], target)
    torch.testing.assert_close(energy, torch.zeros_like(energy))
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))
    shifted = Target(target.keypoints + 0.1, target.weights, target.cameras, target.root)
    energy, _ = energy_and_gradient(poses[:, :1], shifted)
    torch.testing.assert_close(energy, torch.full_like(energy, 2 * 4 * 0.01))


@pytest.mark.parametrize("views", [1, 2, 4])
def test_law_the_root_of_a_true_pose_is_found(views):
    poses, place, target = scene(views)
    free = Target(target.keypoints, target.weights, target.cameras)
    torch.testing.assert_close(root_for(poses[:, :1], free), place, atol=1e-9, rtol=1e-9)
    holey = target.weights.clone()
    holey[..., 3, :] = 0
    wrong = torch.where(holey > 0, target.keypoints, 7.0)
    free = Target(wrong, holey, target.cameras)
    torch.testing.assert_close(root_for(poses[:, :1], free), place, atol=1e-9, rtol=1e-9)


def test_law_the_root_is_before_the_camera_whatever_the_pose():
    poses, _, target = scene(1)
    upside_down = -poses
    root = root_for(upside_down, Target(target.keypoints, target.weights, target.cameras))
    c = target.cameras
    depth = (upside_down + root[..., None, :]) @ c.R[0, 2] + c.t[0, 2]
    assert (depth >= 0.5 - 1e-9).all()
    nothing = Target(target.keypoints, torch.zeros_like(target.weights), c)
    assert root_for(poses, nothing).isfinite().all()


@pytest.mark.parametrize("views", [1, 3])
@pytest.mark.parametrize("known", [True, False])
def test_law_descent_brings_poses_to_their_keypoints(views, known):
    poses, _, target = scene(views)
    target = target if known else Target(target.keypoints, target.weights, target.cameras)
    before, _ = energy_and_gradient(poses, target)
    after, _ = energy_and_gradient(guided(poses, target, 10.0, 60), target)
    assert (after[:, 1:] < 0.1 * before[:, 1:]).all()
    assert torch.equal(guided(poses, target, 30.0, 0), poses)


def test_law_near_people_do_not_run_away():
    poses, _, target = scene(1)
    c = target.cameras
    near = Cameras(c.R, c.t * 0.4, c.focal, c.centre)
    target = Target(target.keypoints, target.weights, near)
    before, _ = energy_and_gradient(poses, target)
    after, _ = energy_and_gradient(guided(poses, target, 300.0, 20), target)
    assert (after <= before + 1e-9).all()


def test_law_clips_do_not_share_their_step():
    poses, _, target = scene(1)
    both = guided(poses, target, 60.0, 6)
    second = Target(target.keypoints[:, 1:], target.weights[:, 1:], target.cameras, target.root[1:])
    torch.testing.assert_close(both[1:], guided(poses[1:], second, 60.0, 6))


def test_cameras_that_do_not_fit_are_refused():
    camera = one_camera(2.3, torch.eye(3))
    assert len(camera) == 1
    with pytest.raises(InputError, match=r"focal \(2,\), expected R"):
        Cameras(camera.R, camera.t, camera.focal[0], camera.centre)
    with pytest.raises(InputError, match="none"):
        Cameras(camera.R[:0], camera.t[:0], camera.focal[:0], camera.centre[:0])
