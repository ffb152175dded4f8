"""D3DP: its sampler, its checkpoints, what becomes of the hypotheses, and that it learns."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import posewright as pw
from posewright.core.errors import InputError
from posewright.evaluate.lifters import as_lifter, load_lifter, read_weights, save_lifter
from posewright.evaluate.windows import run_clip, run_hypotheses
from posewright.metrics.hypotheses import p_agg, p_best
from posewright.models.lifting import d3dp
from posewright.nn.checkpoints import official_key
from posewright.nn.diffusion_checkpoints import official_buffers
from posewright.nn.mirror import mirrored
from posewright.pipelines.lift_zoo import clip_joints
from posewright.skeletons.joint_sets import COCO_17, H36M_17
from tests.models.lifting.small import SMALL

CONFIG = SMALL["lifting/d3dp"][0]


def small(**changes) -> d3dp.Model:
    torch.manual_seed(0)
    return d3dp.Model(replace(CONFIG, **changes)).eval()


def official_checkpoint(model: d3dp.Model) -> dict[str, torch.Tensor]:
    """State dict as the official class would write it."""
    named = {official_key(key, d3dp.OFFICIAL_KEYS): value for key, value in model.state_dict().items()}
    return official_buffers(model.schedule) | named


def keypoints(clips: int = 2, frames: int = 9) -> torch.Tensor:
    return 0.5 * torch.randn(clips, frames, 17, 2, generator=torch.Generator().manual_seed(1))


def test_convention_shapes_of_hypotheses_and_iterations():
    model = small(num_proposals=4, sampling_timesteps=3)
    with torch.no_grad():
        every, last, mean = (f(keypoints()) for f in (model.sample, model.hypotheses, model))
    assert every.shape == (2, 3, 4, 9, 17, 3)
    assert torch.equal(last, every[:, -1].transpose(1, 2))
    assert torch.equal(mean, last.mean(2))
    assert model.sequences_per_window == 8


def test_law_the_seed_alone_decides():
    x = keypoints()
    assert torch.equal(small(seed=3).sample(x), small(seed=3).sample(x))
    assert not torch.equal(small(seed=3).sample(x), small(seed=4).sample(x))


def test_law_without_randomness_the_step_noise_does_not_matter():
    model, x = small(eta=0.0, sampling_timesteps=4), keypoints()
    other = torch.randn_like(model.step_noise)
    assert torch.equal(model.sample(x), model.sample(x, step_noise=other))
    random = small(sampling_timesteps=4)
    assert not torch.equal(random.sample(x), random.sample(x, step_noise=other))


def test_law_mirrored_keypoints_and_noise_give_mirrored_hypotheses():
    model, x = small(), keypoints()

    def mirror(points):
        return mirrored(points, H36M_17.mirror.tolist())

    there = model.sample(mirror(x), mirror(model.start_noise), mirror(model.step_noise))
    torch.testing.assert_close(mirror(there), model.sample(x), atol=1e-5, rtol=1e-5)
    plain = small(test_time_augmentation=False)
    there = plain.sample(mirror(x), mirror(model.start_noise), mirror(model.step_noise))
    assert not torch.allclose(mirror(there), plain.sample(x), atol=1e-3)


def test_law_the_scale_changes_the_noise_not_the_unit():
    """A denoiser that always answers the same pose is not moved by the scale."""
    for scale in (0.5, 2.0):
        model = small(scale=scale)
        denoiser: Any = model.denoiser
        last = denoiser.head[1]
        torch.nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias.copy_(torch.tensor([0.0, 0.4, -0.3]))
        out = model.sample(keypoints())
        torch.testing.assert_close(out, torch.tensor([0.0, 0.4, -0.3]).expand_as(out))


# --------------------------------------------------------------------------------------------- checkpoints


def test_contract_a_checkpoint_as_the_authors_write_it_is_read(tmp_path):
    model = small()
    wrapped = {f"module.{key}": value for key, value in official_checkpoint(model).items()}
    state = {"epoch": 80, "lr": 1e-5, "random_state": np.random.RandomState(0), "model_pos": wrapped}
    torch.save(state, tmp_path / "h36m_best_epoch.bin")
    args: Any = {"number_of_frames": 9, "cs": 16, "dep": 2, "timestep": 1000, "scale": 1.0}
    kwargs: Any = {"num_heads": 4, "num_proposals": 3, "sampling_timesteps": 2, "is_train": False}
    read, _ = read_weights(tmp_path / "h36m_best_epoch.bin")
    again = pw.load_official("lifting/d3dp", read, args=args, **kwargs)
    assert torch.equal(again(keypoints()), model(keypoints()))


def test_contract_another_schedule_is_refused():
    state = official_checkpoint(small())
    given: Any = {"num_frame": 9, "embed_dim_ratio": 16, "depth": 2, "num_heads": 4}
    with pytest.raises(InputError, match="1000 steps.*expected the cosine schedule of 500"):
        d3dp.load_official(state, timestep=500, **given)
    with pytest.raises(InputError, match="posterior_variance differ"):
        d3dp.load_official(state | {"posterior_variance": 2 * state["posterior_variance"]}, **given)
    with pytest.raises(InputError, match=r"keys missing \(betas\)"):
        d3dp.load_official({k: v for k, v in state.items() if k != "betas"}, **given)


def test_contract_other_sides_are_refused():
    sides: Any = {"joints_left": [1, 2, 3], "joints_right": [4, 5, 6]}
    given: Any = {"num_frame": 9, "embed_dim_ratio": 16, "depth": 2, "num_heads": 4}
    assert d3dp.load_official(official_checkpoint(small()), **sides, **given)
    sides["joints_right"] = [4, 6, 5]
    with pytest.raises(InputError, match="not sides of its joint set"):
        d3dp.load_official(official_checkpoint(small()), **sides, **given)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_proposals": 0}, "at least 1"),
        ({"sampling_timesteps": 1001}, "1 to 1000"),
        ({"sampling_timesteps": 0}, "1 to 1000"),
        ({"scale": 0.0}, "positive"),
        ({"eta": 1.5}, "0 to 1"),
        ({"aggregation": "median"}, "jpma or mean"),
    ],
)
def test_wrong_settings_say_what_was_expected(change, said):
    with pytest.raises(InputError, match=said):
        small(**change)


# --------------------------------------------------------------------------------------------------- clips


@pytest.mark.parametrize("frames", [5, 9, 30])
def test_law_the_mean_of_a_clips_hypotheses_is_its_answer(frames):
    lifter = as_lifter(small())
    x = keypoints(1, frames)[0]
    hypotheses = run_hypotheses(lifter, x)
    assert hypotheses.shape == (frames, 3, 17, 3)
    torch.testing.assert_close(hypotheses.mean(1), run_clip(lifter, x), atol=1e-5, rtol=1e-5)
    both = run_hypotheses(lifter, x, flip=True)
    assert both.shape == (frames, 6, 17, 3)
    torch.testing.assert_close(both.mean(1), run_clip(lifter, x, flip=True), atol=1e-5, rtol=1e-5)


def test_law_jpma_takes_joints_of_hypotheses_and_the_mean_is_an_option():
    x, sure = keypoints(1, 20)[0], torch.ones(20, 17)
    sure[4] = 0
    lifter = as_lifter(small())
    joints = clip_joints(lifter, x, sure, 2.0, flip=False)
    hypotheses = run_hypotheses(lifter, x)
    taken = (joints[:, None] == hypotheses).all(-1).any(1)
    seen = sure.bool().all(-1)
    assert taken[seen].all()
    torch.testing.assert_close(joints[4], hypotheses[4].mean(0))
    mean = as_lifter(small(aggregation="mean"))
    assert torch.equal(clip_joints(mean, x, sure, 2.0, flip=False), run_clip(mean, x))
    coco = as_lifter(small(keypoint_skeleton="coco_17"))
    assert coco.facts.skeleton == COCO_17
    assert torch.equal(clip_joints(coco, x, sure, 2.0, flip=False), run_clip(coco, x))


def test_lift_gives_the_same_each_time_and_from_a_file(tmp_path):
    lifter = as_lifter(small(seed=7))
    save_lifter(lifter, tmp_path / "w.safetensors")
    assert load_lifter("lifting/d3dp", tmp_path / "w.safetensors").network.config == lifter.network.config
    pixels = 640 * keypoints(1, 12)[0].numpy() + 640

    def lift(**model):
        return pw.lift(pixels, None, "h36m_17", (1280, 720), 50.0, **model).positions

    first = lift(model="lifting/d3dp", weights=tmp_path / "w.safetensors")
    assert np.array_equal(first, lift(model="lifting/d3dp", weights=tmp_path / "w.safetensors"))
    np.testing.assert_allclose(first, lift(model=lifter), atol=1e-6)
    assert not np.allclose(first, lift(model=as_lifter(small(seed=8))))


def test_law_windows_run_together_are_fewer_where_each_holds_many_sequences(monkeypatch):
    lifter, seen = as_lifter(small()), []
    lifter.network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    monkeypatch.setattr("posewright.evaluate.windows.FRAMES_AT_ONCE", 9 * 12)
    run_clip(lifter, keypoints(1, 40)[0])
    assert max(seen) == 2, "12 sequences at once, 6 for each window"


def test_learns_a_few_poses():
    """Trained to denoise, the sampler finds the poses from noise; mirrored clips were not shown, so none are asked."""
    torch.manual_seed(0)
    config = replace(
        CONFIG, num_frame=3, embed_dim_ratio=32, drop_path_rate=0.0, test_time_augmentation=False
    )
    model = d3dp.Model(config)
    x, joints = torch.randn(4, 3, 17, 2), 0.3 * torch.randn(4, 3, 17, 3)
    before = p_agg(model.eval().hypotheses(x), joints).mean()
    step = torch.optim.AdamW(model.train().parameters(), 5e-3)
    for _ in range(320):
        step.zero_grad()
        (model.denoised(x, joints) - joints).norm(dim=-1).mean().backward()
        step.step()
    with torch.no_grad():
        hypotheses = model.eval().hypotheses(x)
    assert p_agg(hypotheses, joints).mean() < 0.3 * before
    assert p_best(hypotheses, joints).mean() < 0.3 * before
