"""CLIP's text tower: tokens, causality, and the layouts of its weights."""

import re

import pytest
import torch
from safetensors.torch import save_file

from posewright.core.errors import InputError
from posewright.nn.checkpoints import official_key
from posewright.nn.clip_text import (
    CONTEXT,
    END,
    KNOWN,
    OFFICIAL_KEYS,
    START,
    WORDS,
    TextTower,
    load_tower,
    read_tower,
    tokens_of,
)


def tower(seed: int = 0) -> TextTower:
    torch.manual_seed(seed)
    return TextTower(8, 2, 2, 50).eval()


def openai(network: TextTower) -> dict[str, torch.Tensor]:
    return {official_key(key, OFFICIAL_KEYS): value for key, value in network.state_dict().items()}


def transformers(network: TextTower) -> dict[str, torch.Tensor]:
    """Its text part as `CLIPModel` names it."""
    state = {"text_model.embeddings.position_ids": torch.arange(CONTEXT)[None]}
    for key, value in network.state_dict().items():
        key = re.sub(r"^embedding\.", "text_model.embeddings.token_embedding.", key)
        key = re.sub(r"^positions$", "text_model.embeddings.position_embedding.weight", key)
        key = re.sub(r"^norm\.", "text_model.final_layer_norm.", key)
        key = re.sub(r"^blocks\.(\d)\.norm(\d)", r"text_model.encoder.layers.\1.layer_norm\2", key)
        key = re.sub(r"^blocks\.(\d)\.fc(\d)", r"text_model.encoder.layers.\1.mlp.fc\2", key)
        key = re.sub(r"^blocks\.(\d)\.attn\.proj", r"text_model.encoder.layers.\1.self_attn.out_proj", key)
        if ".attn.qkv." in key:
            for name, part in zip("qkv", value.chunk(3), strict=True):
                there = re.sub(
                    r"^blocks\.(\d)\.attn\.qkv", rf"text_model.encoder.layers.\1.self_attn.{name}_proj", key
                )
                state[there] = part
        else:
            state[key] = value
    return state


def test_convention_tokens_stand_between_start_and_end():
    tokens = tokens_of("A  person")
    assert tokens[:5].tolist() == [START, 320, 2533, END, 0]
    assert len(tokens) == CONTEXT
    assert int(tokens.argmax()) == 3, "the end is the largest, as CLIP finds it"
    assert tokens_of("")[:3].tolist() == [START, END, 0]
    assert tokens_of("SittingDown")[:5].tolist() == [START, 42988, 653, 1136, END]


@pytest.mark.parametrize("text", WORDS)
def test_law_renumbered_tokens_are_the_same_words(text):
    plain, small = tokens_of(text), tokens_of(text, renumbered=True)
    assert torch.equal(torch.tensor(KNOWN)[small], plain)
    assert plain.argmax() == small.argmax()


def test_other_texts_need_a_tokenizer_and_a_tower_that_knows_words():
    with pytest.raises(InputError, match="not known to the small text tower"):
        tokens_of("juggling", renumbered=True)
    with pytest.raises(InputError, match="'juggling' is not known to us"):
        tokens_of("juggling")
    assert tokens_of("juggling", tokenize=lambda text: [len(text)])[:3].tolist() == [START, 8, END]
    long = tokens_of("on and on", tokenize=lambda text: range(1, 200))
    assert len(long) == CONTEXT
    assert int(long[-1]) == END


def test_law_a_token_sees_those_before_it_only():
    network, x = tower(), torch.randn(2, CONTEXT, 8)
    changed = x.clone()
    changed[:, 10:] = torch.randn(2, CONTEXT - 10, 8)
    torch.testing.assert_close(network(changed)[:, :10], network(x)[:, :10])
    assert not torch.allclose(network(changed)[:, 10:], network(x)[:, 10:], atol=1e-3)


@pytest.mark.parametrize("layout", [openai, transformers])
def test_law_both_layouts_are_read(layout, tmp_path):
    network, x = tower(), torch.randn(1, CONTEXT, 8)
    state = layout(network) | {"logit_scale": torch.tensor(1.0), "text_projection": torch.zeros(8, 8)}
    again = load_tower(tower(1), state | {"visual.conv1.weight": torch.zeros(2)})
    assert torch.equal(again(x), network(x))
    halves = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    torch.testing.assert_close(load_tower(tower(1), halves)(x), network(x), atol=5e-3, rtol=0.02)
    save_file({k: v.contiguous().clone() for k, v in state.items()}, tmp_path / "model.safetensors")
    assert torch.equal(read_tower(tower(1), tmp_path / "model.safetensors")(x), network(x))


def test_bad_files_say_what_was_expected(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_tower(tower(), tmp_path / "no.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match="not a safetensors file"):
        read_tower(tower(), tmp_path / "bad.safetensors")
    incomplete = {k: v for k, v in transformers(tower()).items() if ".layers.1." not in k}
    with pytest.raises(InputError, match="resblocks.1"):
        load_tower(tower(), incomplete)
    without_key = {k: v for k, v in transformers(tower()).items() if "1.self_attn.k_proj.weight" not in k}
    with pytest.raises(InputError, match=r"resblocks.1.attn.in_proj_weight"):
        load_tower(tower(), without_key)
