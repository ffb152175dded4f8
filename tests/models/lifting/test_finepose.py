"""FinePOSE: its prompts, with and without the action, its checkpoints, and that it learns."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import posewright as pw
from posewright.core.errors import InputError, MissingExtraError
from posewright.evaluate.lifters import as_lifter, read_weights, save_lifter
from posewright.evaluate.windows import run_clip, run_hypotheses
from posewright.metrics.hypotheses import p_agg
from posewright.models.lifting import finepose
from posewright.nn.checkpoints import official_key
from posewright.nn.clip_text import CONTEXT, KNOWN, WORDS
from posewright.nn.diffusion_checkpoints import official_buffers
from posewright.nn.mixste import ConditionedMixSTE
from tests.models.lifting.small import SMALL

PARTS, ACTION = SMALL["lifting/finepose"][0], SMALL["lifting/finepose:action"][0]


def small(config: finepose.Config = ACTION, **changes) -> finepose.Model:
    """With weights that were trained a little: fresh ones hear nothing of the prompt's tokens."""
    torch.manual_seed(0)
    model = finepose.Model(replace(config, **changes)).eval()
    torch.nn.init.normal_(model.denoiser.communication.out.weight, std=0.3)
    return model


def keypoints(clips: int = 2, frames: int = 9) -> torch.Tensor:
    return 0.5 * torch.randn(clips, frames, 17, 2, generator=torch.Generator().manual_seed(1))


# ------------------------------------------------------------------------------------------------ prompts


@pytest.mark.parametrize("prompts", finepose.SLOTS)
def test_convention_prompts_fill_clips_context(prompts):
    assert sum(finepose.SLOTS[prompts].values()) == CONTEXT
    known = {name.lower() for name in finepose.PART_TEXTS}
    assert known <= set(WORDS)


def test_law_what_the_person_does_changes_the_pose_and_none_is_no_word():
    model, x = small(), keypoints()
    unknown = model.hypotheses(x)
    torch.testing.assert_close(model.hypotheses(x, actions=[None, None]), unknown, atol=1e-5, rtol=1e-5)
    sitting = model.hypotheses(x, actions=["Sitting", "Sitting"])
    assert not torch.allclose(sitting, unknown, atol=1e-4)
    torch.testing.assert_close(small(action="Sitting").hypotheses(x), sitting, atol=1e-5, rtol=1e-5)


def test_law_windows_with_several_actions_do_not_mix():
    """The published code gives each other's prompts to the windows of a batch."""
    model, x = small(), keypoints()
    together = model.hypotheses(x, actions=["Walking", "Eating"])
    walking = model.hypotheses(x[:1], actions=["Walking"])
    eating = model.hypotheses(x[1:], actions=["Eating"])
    torch.testing.assert_close(together, torch.cat([walking, eating]), atol=1e-5, rtol=1e-5)


def test_law_fresh_weights_hear_nothing_of_the_prompts_tokens():
    """The last layer of the communication is zero at first: then it is D3DP's denoiser with the whole prompt added."""
    torch.manual_seed(0)
    model = finepose.Model(PARTS).eval()
    plain = ConditionedMixSTE(PARTS).eval()
    own = {k: v for k, v in model.denoiser.state_dict().items() if k in plain.state_dict()}
    plain.load_state_dict(own)
    x, noisy, steps = keypoints(), torch.randn(2, 3, 9, 17, 3), torch.tensor([3, 700])
    told = model.encoded(2)
    silent = {"whole": torch.zeros_like(told["whole"]), "prompt": told["prompt"]}
    torch.testing.assert_close(model.denoiser(x, noisy, steps, **silent), plain(x, noisy, steps))
    assert not torch.allclose(model.denoiser(x, noisy, steps, **told), plain(x, noisy, steps), atol=1e-4)


def test_law_clip_stays_frozen_and_the_learned_words_before_it_learn():
    torch.manual_seed(0)
    config = replace(ACTION, stand_in=False, text_layers=1, text_vocabulary=60)
    encoder = finepose.PromptEncoder(config)
    tokens = torch.randint(1, 60, (2, 7, CONTEXT))
    whole, _ = encoder(tokens[:, :6], tokens[:, 6])
    whole.square().sum().backward()
    assert all(p.grad is None for p in encoder.tower.parameters())
    assert all(p.grad is not None and bool(p.grad.any()) for p in encoder.learned.values())
    assert all(p.requires_grad for p in small().denoiser.prompts.tower.parameters()), (
        "the stand-in is trained"
    )
    assert len(small().denoiser.prompts.tower.embedding.weight) == len(KNOWN)


def test_law_the_seed_alone_decides_and_the_mean_is_the_answer():
    model, x = small(PARTS), keypoints()
    assert torch.equal(model(x), model.hypotheses(x).mean(2))
    assert torch.equal(small(PARTS).hypotheses(x), model.hypotheses(x))
    assert not torch.equal(small(PARTS, seed=1).hypotheses(x), model.hypotheses(x))


# --------------------------------------------------------------------------------------------- checkpoints


def official(model: finepose.Model) -> dict[str, torch.Tensor]:
    """As the official class would write it, with CLIP's image tower, under DataParallel."""
    named = {official_key(key, finepose.OFFICIAL_KEYS): value for key, value in model.state_dict().items()}
    images = {"visual.conv1.weight": torch.zeros(4), "logit_scale": torch.tensor(4.6)}
    images |= {"text_projection": torch.zeros(8, 8)}
    whole = official_buffers(model.schedule) | named
    whole |= {f"pose_estimator.clip_text.{key}": value for key, value in images.items()}
    return {f"module.{key}": value for key, value in whole.items()}


CLIP_SIZE: dict[str, Any] = {"stand_in": False, "text_layers": 2, "text_vocabulary": 49_408}


@pytest.mark.parametrize("config", [PARTS, ACTION])
def test_contract_a_checkpoint_as_the_authors_write_it_is_read(config, tmp_path):
    model = small(config, **CLIP_SIZE)
    state = official(model)
    assert "module.pose_estimator.clip_text.transformer.resblocks.1.attn.in_proj_weight" in state
    assert "module.pose_estimator.textTransEncoder.layers.0.self_attn.in_proj_weight" in state
    assert "module.pose_estimator.STEblocks.0.attn.qkv.weight" in state
    assert "module.pose_estimator.ctx_subject" in state
    outer = {"epoch": 80, "lr": 1e-5, "random_state": np.random.RandomState(0), "model_pos": state}
    torch.save(outer, tmp_path / "best_epoch_20_10.bin")
    read, _ = read_weights(tmp_path / "best_epoch_20_10.bin")
    args: Any = {"number_of_frames": 9, "cs": 16, "dep": 2, "timestep": 1000, "scale": 1.0}
    others = ("num_heads", "num_proposals", "sampling_timesteps", "prompts", "text_width", "text_heads")
    kwargs: Any = {name: getattr(config, name) for name in (*others, "prompt_layers", "prompt_hidden")}
    kwargs |= CLIP_SIZE | {"is_train": False}
    again: Any = pw.load_official("lifting/finepose", read, args=args, **kwargs)
    assert torch.equal(again(keypoints()), model(keypoints()))
    assert torch.equal(again.hypotheses(keypoints()), model.hypotheses(keypoints()))
    with pytest.raises(InputError, match="another noise schedule"):
        pw.load_official("lifting/finepose", read, args=args | {"timestep": 500}, **kwargs)
    kwargs |= {"prompts": "action" if config is PARTS else "parts"}
    with pytest.raises(InputError, match="ctx_verb"):
        finepose.load_official(read, args=args, **kwargs)


@pytest.mark.parametrize(
    ("config", "changes", "said"),
    [
        (PARTS, {"prompts": "words"}, "action or parts"),
        (PARTS, {"action": "Walking"}, "no place for one"),
        (PARTS, {"remain_len": 9}, "1 to 8"),
        (ACTION, {"remain_len": 0}, "1 to 6"),
        (ACTION, {"action": "Juggling"}, "not known to the small text tower"),
        (PARTS, {"num_proposals": 0}, "finepose: 0 hypotheses"),
        (PARTS, {"sampling_timesteps": 1001}, "1 to 1000"),
    ],
)
def test_wrong_settings_say_what_was_expected(config, changes, said):
    with pytest.raises(InputError, match=said):
        small(config, **changes)


def test_wrong_actions_say_what_was_expected(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    x = keypoints()
    with pytest.raises(InputError, match="1 actions for 2 windows"):
        small().hypotheses(x, actions=["Walking"])
    with pytest.raises(InputError, match="prompts parts"):
        small(PARTS).hypotheses(x, actions=["Walking", "Walking"])
    with pytest.raises(MissingExtraError, match=r"posewright\[hf\]"):
        small(stand_in=False, text_layers=1, action="juggling")
    with pytest.raises(InputError, match="64 words"):
        small(stand_in=False, text_layers=1, text_vocabulary=64)(x)
    model, tokens = small(), torch.ones(1, 7, CONTEXT, dtype=torch.long)
    with pytest.raises(InputError, match="no action, but prompts is action"):
        model.denoiser.prompts(tokens[:, :6])


# --------------------------------------------------------------------------------------------------- clips


def test_law_the_mean_of_a_clips_hypotheses_is_its_answer():
    lifter = as_lifter(small(PARTS))
    x = keypoints(1, 30)[0]
    torch.testing.assert_close(run_hypotheses(lifter, x).mean(1), run_clip(lifter, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "config", [PARTS, replace(ACTION, action="Walking"), replace(PARTS, aggregation="mean")]
)
def test_lift_gives_the_same_each_time_and_from_a_file(config, tmp_path):
    lifter = as_lifter(small(config))
    save_lifter(lifter, tmp_path / "w.safetensors")
    pixels = 640 * keypoints(1, 12)[0].numpy() + 640

    def lift(**model):
        return pw.lift(pixels, None, "h36m_17", (1280, 720), 50.0, **model).positions

    first = lift(model="lifting/finepose", weights=tmp_path / "w.safetensors")
    assert np.array_equal(first, lift(model="lifting/finepose", weights=tmp_path / "w.safetensors"))
    np.testing.assert_allclose(first, lift(model=lifter), atol=1e-6)


def test_learns_a_few_poses():
    torch.manual_seed(0)
    config = replace(PARTS, num_frame=3, embed_dim_ratio=32, drop_path_rate=0.0, test_time_augmentation=False)
    model = finepose.Model(config)
    x, joints = torch.randn(4, 3, 17, 2), 0.3 * torch.randn(4, 3, 17, 3)
    before = p_agg(model.eval().hypotheses(x), joints).mean()
    step = torch.optim.AdamW(model.train().parameters(), 5e-3)
    for _ in range(200):
        step.zero_grad()
        (model.denoised(x, joints) - joints).norm(dim=-1).mean().backward()
        step.step()
    with torch.no_grad():
        after = p_agg(model.eval().hypotheses(x), joints).mean()
    assert after < 0.4 * before
