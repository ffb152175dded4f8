"""UAO: what it says of its own errors, its test-time optimisation in clips, its checkpoints, and that it learns."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import posewright as pw
from posewright.core.errors import InputError
from posewright.evaluate.lifters import as_lifter, load_lifter, read_weights, save_lifter
from posewright.evaluate.windows import run_clip, run_hypotheses
from posewright.geometry.cameras import project
from posewright.models.lifting import uao
from posewright.nn.checkpoints import official_key
from posewright.nn.mirror import mirrored
from posewright.pipelines.lift_zoo import clip_joints
from posewright.skeletons.joint_sets import H36M_17
from tests.models.lifting.small import SMALL

CONFIG = SMALL["lifting/uao"][0]
K = torch.diag(torch.tensor([2.0, 2.0, 1.0]))
ROOT = torch.tensor([0.1, 0.0, 4.0])


def small(**changes) -> uao.Model:
    torch.manual_seed(0)
    return uao.Model(replace(CONFIG, **changes)).eval()


def keypoints(clips: int = 2, frames: int = 5) -> torch.Tensor:
    return 0.2 * torch.randn(clips, frames, 17, 2, generator=torch.Generator().manual_seed(1))


def picture(joints: torch.Tensor) -> torch.Tensor:
    return project(joints + ROOT, K)


def official_checkpoint(model: uao.Model) -> dict[str, torch.Tensor]:
    """State dict as the official class would write it: its graph is not among the weights."""
    named = {official_key(key, uao.OFFICIAL_KEYS): value for key, value in model.state_dict().items()}
    return {k: v[..., None] if k.endswith("conv1d.weight") else v for k, v in named.items()}


def test_convention_mean_scale_and_root():
    model, x = small(), keypoints()
    mean, log_error = model.gaussian(x)
    assert mean.shape == (2, 5, 17, 3)
    assert log_error.shape == (2, 5, 17)
    assert (model(x)[..., 0, :] == 0).all()
    assert torch.equal(model(x)[..., 1:, :], mean[..., 1:, :])
    torch.testing.assert_close(model.gaussian(x[:, 2:3])[0], mean[:, 2:3], atol=1e-6, rtol=1e-5)


def test_law_the_loss_is_least_at_the_truth_with_the_mean_distance_as_scale():
    """Of all scales, the loss likes exp(s) = mean distance best."""
    model, x = small(), keypoints(4, 50)
    joints = model.gaussian(x)[0].detach() + 0.1 * torch.randn(4, 50, 17, 3)
    distance = (model.gaussian(x)[0] - joints).norm(dim=-1).mean().detach()

    def loss(s: float) -> float:
        model.scale[1].weight.data.zero_()  # pyright: ignore[reportCallIssue]
        model.scale[1].bias.data.fill_(s)  # pyright: ignore[reportCallIssue]
        return float(model.training_loss(x, joints).detach())

    best = float(distance.log())
    assert loss(best) < min(loss(best - 0.1), loss(best + 0.1))
    assert loss(best) == pytest.approx(1 + best, abs=1e-3)


@torch.no_grad()
def test_law_the_gaussian_of_an_expected_error_has_that_expected_error():
    model, x = small(num_proposals=20_000), keypoints(1, 1)
    error = model.gaussian(x)[1].exp()
    drawn = model.hypotheses(x)
    assert drawn.shape == (1, 1, 20_000, 17, 3)
    away = (drawn - model(x)[:, :, None]).norm(dim=-1).mean(2)
    torch.testing.assert_close(away[..., 1:], error[..., 1:], rtol=0.02, atol=0)
    assert (away[..., 0] == 0).all()
    flat = (drawn - model(x)[:, :, None])[0, 0, :, 1:]
    measured = torch.einsum("hji,hjk->jik", flat, flat) / 20_000
    torch.testing.assert_close(
        measured, model.covariance(x)[0, 0, 1:], rtol=0.05, atol=2e-2 * float(measured.max())
    )


def test_law_hypotheses_depend_on_the_seed_alone():
    x = keypoints()
    assert torch.equal(small(seed=3).hypotheses(x), small(seed=3).hypotheses(x))
    assert not torch.equal(small(seed=3).hypotheses(x), small(seed=4).hypotheses(x))
    assert run_hypotheses(as_lifter(small()), keypoints(1, 20)[0]).shape == (20, 3, 17, 3)


def test_law_a_mirrored_frame_is_refined_to_the_mirrored_pose():
    model, x = small(), keypoints()
    there = mirrored(x, uao.MIRROR)
    central = torch.tensor([0.0, 0.0, 4.0])

    def image(joints: torch.Tensor) -> torch.Tensor:
        return project(joints + central, K)

    a, b = model.refined(x, image), mirrored(model.refined(there, image), uao.MIRROR)
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_law_refined_poses_image_nearer_to_the_keypoints():
    model, x = small(iterations=10, learning_rate=5e-3), keypoints()
    done = model.optimised(x, picture)
    assert done.latents.shape == (2, 2, 5, 17, 2)
    assert (done.projection[-1] < done.projection[0]).all()
    only = small(test_time_augmentation=False).optimised(x, picture)
    assert only.latents.shape == (1, 2, 5, 17, 2)


def test_law_no_iterations_is_flip_averaging():
    model, x = small(iterations=0), keypoints()
    averaged = (model(x) + mirrored(model(mirrored(x, uao.MIRROR)), uao.MIRROR)) / 2
    torch.testing.assert_close(model.refined(x, picture), averaged)


# --------------------------------------------------------------------------------------------- checkpoints


def test_contract_a_checkpoint_as_the_authors_write_it_is_read(tmp_path):
    model = small()
    torch.save(official_checkpoint(model), tmp_path / "Model_Gaussian_p1_4941.pth")
    args = {"channel": 16, "layers": 2, "d_hid": 1024, "opt_iter_num": 4, "lr_z": 1e-3, "weight_proj": 1}
    sizes: Any = {"embedding": 8, "channel_hidden": 12, "joint_factor": 2, "num_proposals": 3}
    read, _ = read_weights(tmp_path / "Model_Gaussian_p1_4941.pth")
    again = pw.load_official("lifting/uao", read, args=args, **sizes)
    assert again.config == model.config
    assert torch.equal(again(keypoints()), model(keypoints()))


def test_contract_other_joints_sides_and_graph_entries_are_refused():
    state = official_checkpoint(small())
    sizes: Any = {"channel": 16, "layers": 2, "embedding": 8, "channel_hidden": 12, "joint_factor": 2}
    assert uao.load_official(state, joints_left=[4, 5, 6], joints_right=[1, 2, 3], **sizes)
    with pytest.raises(InputError, match="16 joints, expected 17"):
        uao.load_official(state, n_joints=16, **sizes)
    with pytest.raises(InputError, match="not sides"):
        uao.load_official(state, joints_left=[4], joints_right=[2], **sizes)
    with pytest.raises(InputError, match="1 unknown.*A"):
        uao.load_official(state | {"A": torch.zeros(4, 17, 17)}, **sizes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_proposals": 0}, "at least 1"),
        ({"iterations": -1}, "0 or more"),
        ({"learning_rate": 0.0}, "positive"),
        ({"uncertainty_weight": -0.1}, "0 or more"),
    ],
)
def test_wrong_settings_say_what_was_expected(change, said):
    with pytest.raises(InputError, match=said):
        small(**change)


# --------------------------------------------------------------------------------------------------- clips


def test_law_clips_are_refined_at_the_estimated_root():
    """What cannot be placed stays as the network gives it; more frames than are optimised at once are no other."""
    x, sure = keypoints(1, 300)[0], torch.ones(300, 17)
    sure[4] = 0
    lifter = as_lifter(small(iterations=6, learning_rate=5e-3))
    joints = clip_joints(lifter, x, sure, 2.0, flip=False)
    plain = run_clip(lifter, x, flip=True)
    torch.testing.assert_close(joints[4], plain[4], atol=1e-5, rtol=1e-5)
    assert ((joints - plain).norm(dim=-1).mean(-1)[5:] > 1e-4).all()
    torch.testing.assert_close(joints[280:], clip_joints(lifter, x[280:], sure[280:], 2.0, flip=False))
    without = as_lifter(small(iterations=0))
    assert torch.equal(clip_joints(without, x, sure, 2.0, flip=True), run_clip(without, x, flip=True))


def test_lift_gives_the_same_each_time_and_from_a_file(tmp_path):
    lifter = as_lifter(small())
    save_lifter(lifter, tmp_path / "w.safetensors")
    assert load_lifter("lifting/uao", tmp_path / "w.safetensors").network.config == lifter.network.config
    pixels = 640 * keypoints(1, 12)[0].numpy() + 640

    def lift(**model):
        return pw.lift(pixels, None, "h36m_17", (1280, 720), 50.0, **model).positions

    first = lift(model="lifting/uao", weights=tmp_path / "w.safetensors")
    assert np.array_equal(first, lift(model="lifting/uao", weights=tmp_path / "w.safetensors"))
    assert not np.allclose(first, lift(model=as_lifter(small(iterations=0))))


def test_learns_poses_and_which_joints_are_uncertain():
    """Wrists move at random where the other joints do not: the scale says so."""
    torch.manual_seed(0)
    config = replace(
        CONFIG,
        channel=64,
        embedding=32,
        channel_hidden=32,
        drop_path_rate=0.0,
        channel_drop_rate=0.0,
        joint_drop_rate=0.0,
    )
    model = uao.Model(config)
    x = torch.randn(4, 8, 17, 2)
    truth = 0.3 * torch.randn(1, 8, 17, 3)
    wrists = H36M_17.indices("left_wrist", "right_wrist")
    step = torch.optim.AdamW(model.train().parameters(), 3e-3)
    for _ in range(200):
        joints = truth.expand(4, -1, -1, -1).clone()
        joints[..., wrists, :] += 0.2 * torch.randn(4, 8, 2, 3)
        step.zero_grad()
        model.training_loss(x, joints).backward()
        step.step()
    with torch.no_grad():
        mean, log_error = model.eval().gaussian(x)
    others = [j for j in range(17) if j not in wrists]
    assert (mean - truth)[..., others, :].norm(dim=-1).mean() < 0.1
    anew = truth[..., wrists, :] + 0.2 * torch.randn(256, 1, 8, 2, 3)
    error = (mean[..., wrists, :] - anew).norm(dim=-1).mean()
    assert float(log_error[..., wrists].exp().mean()) == pytest.approx(float(error), rel=0.35)
    assert log_error[..., wrists].exp().mean() > 3 * log_error[..., others].exp().mean()
