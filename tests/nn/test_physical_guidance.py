"""Physical guidance: its gradients are derivatives, and it makes bones rigid and motion smooth."""

import pytest
import torch

from posewright.core.errors import InputError
from posewright.nn.physical_guidance import guidance_of, motion_gradient
from posewright.skeletons.joint_sets import H36M_17

PARENTS = [max(p, 0) for p in H36M_17.parents]


def poses(frames: int = 6) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return 0.4 * torch.randn(2, frames, 17, 3, generator=draw, dtype=torch.float64)


def lengths(x: torch.Tensor) -> torch.Tensor:
    return (x - x[:, :, PARENTS])[:, :, 1:].norm(dim=-1)


def test_law_the_gradient_of_motion_is_a_derivative():
    x = poses().requires_grad_(True)
    energy = (x[:, 2:] - 2 * x[:, 1:-1] + x[:, :-2]).square().sum() / 2
    (expected,) = torch.autograd.grad(energy, x)
    torch.testing.assert_close(motion_gradient(x.detach()), expected)
    assert not motion_gradient(poses(2)).any()


def test_law_the_gradient_of_bones_is_a_derivative():
    x = poses().requires_grad_(True)
    length = lengths(x)
    mean = length.mean(1, keepdim=True).detach()
    other = [m - 1 for m in H36M_17.mirror.tolist()[1:]]
    energy = (length - (mean + mean[:, :, other]) / 2).square().sum() / 2
    (expected,) = torch.autograd.grad(energy, x)
    found = guidance_of(H36M_17, 1, 0.2, 0.0).bone_gradient(x.detach())
    torch.testing.assert_close(found, expected)


def test_law_bones_become_rigid_and_symmetric():
    x = poses()
    out = guidance_of(H36M_17, 60, 0.2, 0.0)(x)
    assert (lengths(out).std(1) < 0.2 * lengths(x).std(1)).all()
    pairs = [(i - 1, m - 1) for i, m in enumerate(H36M_17.mirror.tolist()) if m > i]
    before, after = (
        torch.stack([(lengths(y)[..., a] - lengths(y)[..., b]).abs().mean() for a, b in pairs])
        for y in (x, out)
    )
    assert after.mean() < 0.3 * before.mean()


def test_law_motion_becomes_smooth_and_goes_on_from_what_was_before():
    still = torch.zeros(1, 3, 17, 3)
    jump = torch.ones(1, 3, 17, 3)
    out = guidance_of(H36M_17, 5, 0.0, 0.1)(jump, still)
    assert (out[:, 0] < 0.9).all()
    alone = guidance_of(H36M_17, 5, 0.0, 0.1)(jump)
    torch.testing.assert_close(alone, jump)


def test_law_steady_bodies_are_left_alone():
    """Rigid, symmetric bones in even motion have no energy."""
    pose = poses(1)[:, 0]
    mirrored = pose[:, H36M_17.mirror.tolist()] * torch.tensor([-1.0, 1, 1], dtype=pose.dtype)
    symmetric = (pose + mirrored) / 2
    time = torch.arange(5, dtype=pose.dtype)[None, :, None, None]
    walk = symmetric[:, None] + 0.03 * time
    torch.testing.assert_close(guidance_of(H36M_17, 3, 0.4, 0.1)(walk), walk)
    assert torch.equal(guidance_of(H36M_17, 0, 0.4, 0.1)(walk), walk)


def test_unstable_rates_are_refused():
    with pytest.raises(InputError, match=r"0 to 0\.5 .bones."):
        guidance_of(H36M_17, 2, 0.7, 0.0)
    with pytest.raises(InputError, match=r"0 to 0\.125"):
        guidance_of(H36M_17, 2, 0.1, 0.2)
