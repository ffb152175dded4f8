"""Test-time optimisation of a lifter's input: what holds whatever the lifter is."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from posewright.core.errors import InputError
from posewright.fitting.refine import RefineOptions, refine_latents
from posewright.geometry.cameras import project
from posewright.models.lifting import mixste, semgcn
from posewright.nn.mirror import mirrored
from posewright.skeletons.joint_sets import H36M_17

K = torch.diag(torch.tensor([2.0, 2.0, 1.0], dtype=torch.float64))
ROOT = torch.tensor([0.2, -0.1, 4.0], dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Toy:
    """Joints are a fixed linear map of the latents, and the expected error is one of them too."""

    def __init__(self, sure: bool = True):
        self.map, self.spread, self.sure = normal(2, 3, seed=5), normal(2, seed=6), sure

    def __call__(self, latents):
        return latents @ self.map, (latents @ self.spread if self.sure else None)


def picture(joints: torch.Tensor) -> torch.Tensor:
    return project(joints + ROOT, K)


@pytest.fixture
def scene():
    """Two views, six frames, five joints; keypoints that the first pose misses."""
    toy, latents = Toy(), 0.3 * normal(2, 6, 5, 2)
    return toy, latents, picture(toy(latents)[0]).mean(0) + 0.05 * normal(6, 5, 2, seed=1)


def test_law_without_iterations_nothing_moves(scene):
    toy, latents, keypoints = scene
    done = refine_latents(toy, picture, latents, keypoints, options=RefineOptions(0))
    assert torch.equal(done.latents, latents)
    assert torch.equal(done.joints, toy(latents)[0])
    assert done.projection.shape == done.uncertainty.shape == (0, 2)


def test_law_poses_that_meet_the_picture_stay(scene):
    toy, latents, _ = scene
    one = latents[:1]
    done = refine_latents(toy, picture, one, picture(toy(one)[0])[0], options=RefineOptions(8))
    torch.testing.assert_close(done.joints, toy(one)[0], atol=1e-10, rtol=0)
    assert float(done.projection.max()) < 1e-12


@pytest.mark.parametrize("sure", [True, False])
def test_law_the_image_comes_nearer_with_every_step(scene, sure):
    _, latents, keypoints = scene
    options = RefineOptions(40, 2e-3, uncertainty_weight=0.0)
    done = refine_latents(Toy(sure), picture, latents, keypoints, options=options)
    assert done.projection.shape == (40, 2)
    assert (done.projection.diff(dim=0) < 0).all()
    missed = (picture(done.joints) - keypoints).norm(dim=-1).mean()
    assert missed < 0.8 * done.projection[0].mean()


def test_law_the_uncertainty_term_holds_the_pose_back(scene):
    toy, latents, keypoints = scene
    first = toy(latents)[0]
    moved = [
        (refine_latents(toy, picture, latents, keypoints, options=options).joints - first).norm()
        for options in (RefineOptions(30, uncertainty_weight=w) for w in (0.0, 0.3, 10.0))
    ]
    assert moved[2] < 0.5 * moved[0]
    assert moved[1] < moved[0]


def test_law_joints_that_are_less_sure_go_farther():
    """The same pull and the same lifter; half of the joints say that they may be ten times as far off."""
    latents = torch.zeros(1, 40, 2, 2, dtype=torch.float64)
    log_error = torch.tensor([0.0, 2.3], dtype=torch.float64).expand(1, 40, 2)
    lift = normal(2, 3, seed=5)
    keypoints = picture(torch.zeros(1, 40, 2, 3).double())[0] + 0.05

    def decode(z):
        return z @ lift, log_error

    options = RefineOptions(60, uncertainty_weight=1.0)
    done = refine_latents(decode, picture, latents, keypoints, options=options)
    certain, uncertain = done.joints.norm(dim=-1).mean((0, 1))
    assert uncertain > 2 * certain


def test_law_frames_do_not_influence_one_another(scene):
    toy, latents, keypoints = scene
    together = refine_latents(toy, picture, latents, keypoints)
    for t in range(6):
        alone = refine_latents(toy, picture, latents[:, t : t + 1], keypoints[t : t + 1])
        torch.testing.assert_close(together.latents[:, t : t + 1], alone.latents, atol=1e-12, rtol=0)


def test_law_missing_keypoints_and_zero_weights_pull_nowhere(scene):
    toy, latents, keypoints = scene
    gone, zero = keypoints.clone(), torch.ones(6, 5, dtype=torch.float64)
    gone[2, 3] = torch.nan
    zero[2, 3] = 0
    a, b = (refine_latents(toy, picture, latents, x, w) for x, w in ((gone, None), (keypoints, zero)))
    assert torch.equal(a.latents, b.latents)
    assert torch.equal(a.latents[:, 2, 3], latents[:, 2, 3])
    assert (a.latents[:, 2, 2] != latents[:, 2, 2]).all()


def test_law_what_is_behind_the_camera_pulls_nowhere(scene):
    toy, latents, keypoints = scene

    def odd(joints):
        behind = torch.zeros_like(joints)
        behind[..., 1, 2] = -10
        return picture(joints + behind)

    assert odd(toy(latents)[0])[..., 1, :].isnan().all()
    done = refine_latents(toy, odd, latents, keypoints)
    assert done.latents.isfinite().all()
    assert torch.equal(done.latents[..., 1, :], latents[..., 1, :])
    assert (done.latents[..., 2, :] != latents[..., 2, :]).all()


def test_law_losses_are_those_of_the_paper(scene):
    toy, latents, keypoints = scene
    done = refine_latents(toy, picture, latents, keypoints)
    joints, s = toy(latents)
    first = (picture(joints) - keypoints).norm(dim=-1).mean((1, 2))
    torch.testing.assert_close(done.projection[0], first)
    torch.testing.assert_close(done.uncertainty[0], s.mean((1, 2)), msg="at first the distance is zero")


def lifters() -> list[tuple[Any, int]]:
    torch.manual_seed(0)
    return [
        (mixste.Model(mixste.Config(9, embed_dim_ratio=16, depth=2, num_heads=4)).eval(), 17),
        (semgcn.Model(semgcn.Config(16, 2)).eval(), 16),
    ]


@pytest.mark.parametrize(("network", "joints"), lifters(), ids=["mixste", "semgcn"])
def test_law_other_lifters_can_be_refined_and_keep_their_weights(network, joints):
    """Windows of a temporal lifter and its mirrored windows; a lifter of single frames; under inference mode."""
    x = 0.3 * torch.randn(2, 9, joints, 2, generator=torch.Generator().manual_seed(1))
    mirror = H36M_17.mirror.tolist()

    def decode(latents):
        poses = network(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])
        return (poses if joints == 16 else torch.stack([poses[0], mirrored(poses[1], mirror)])), None

    views = x[None] if joints == 16 else torch.stack([x, mirrored(x, mirror)])
    before = {k: v.clone() for k, v in network.state_dict().items()}
    options = RefineOptions(6, 1e-2)
    with torch.inference_mode():
        done = refine_latents(
            decode, lambda j: project(j + ROOT.float(), K.float()), views, x, options=options
        )
    assert (done.projection[-1] < done.projection[0]).all()
    assert all(torch.equal(network.state_dict()[k], v) for k, v in before.items())
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"iterations": -1}, "0 or more"),
        ({"learning_rate": 0.0}, "positive"),
        ({"projection_weight": -1.0}, "0 or more"),
        ({"uncertainty_weight": float("nan")}, "0 or more"),
    ],
)
def test_wrong_settings_say_what_was_expected(change, said):
    with pytest.raises(InputError, match=said):
        replace(RefineOptions(), **change)
