"""Low-rank adapters: on any lifter, neutral at first, the same when merged, refused where they do not belong."""

import copy

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from posewright.core.errors import InputError
from posewright.models import find
from posewright.nn.lora import (
    add_low_rank,
    base_digest,
    load_adapter,
    low_rank_layers,
    low_rank_parameters,
    merge_low_rank,
    read_adapter,
    save_adapter,
)
from tests.models.lifting.small import SMALL


def lifter(special: str) -> tuple[nn.Module, torch.Tensor]:
    config, shape = SMALL[special]
    torch.manual_seed(0)
    return find(special.partition(":")[0]).Model(config).eval(), torch.randn(shape)


def disturb(network: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    for parameter in low_rank_parameters(network):
        nn.init.normal_(parameter, std=0.2)
    return network


WITH_LINEAR = [s for s in SMALL if any(type(m) is nn.Linear for m in lifter(s)[0].modules())]


@pytest.mark.parametrize("special", WITH_LINEAR)
def test_law_a_new_adapter_changes_nothing_and_merging_equals_not_merging(special):
    network, x = lifter(special)
    before = network(x)
    names = add_low_rank(network, rank=2)
    assert names
    torch.testing.assert_close(network(x), before, atol=1e-6, rtol=1e-6)
    disturb(network)
    adapted = network(x)
    assert not torch.equal(adapted, before)
    plain = merge_low_rank(copy.deepcopy(network))
    assert not list(low_rank_layers(plain))
    torch.testing.assert_close(plain(x), adapted, atol=2e-4, rtol=2e-4)
    assert set(plain.state_dict()) == set(lifter(special)[0].state_dict())


def test_law_only_the_adapter_is_trained():
    network, x = lifter("lifting/mixste")
    names = add_low_rank(network, r"temporal_blocks\.\d\.attn", rank=2)
    assert len(names) == 4
    assert sum(p.requires_grad for p in network.parameters()) == 8
    frozen = base_digest(network)
    step = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 1e-2)
    losses = []
    for _ in range(15):
        step.zero_grad()
        losses.append((network(x) - 0.3).square().mean())
        losses[-1].backward()
        step.step()
    assert losses[-1] < 0.8 * losses[0]
    assert base_digest(network) == frozen
    assert all(p.requires_grad for p in merge_low_rank(network).parameters())


def test_contract_an_adapter_comes_back_from_its_file_alone(tmp_path):
    network, x = lifter("lifting/mixste")
    plain = copy.deepcopy(network)
    add_low_rank(network, "attn", rank=3, scale=0.5)
    disturb(network)
    save_adapter(network, tmp_path / "a.safetensors", lifter="lifting/mixste")
    tensors, metadata = read_adapter(tmp_path / "a.safetensors")
    assert len(tensors) == 2 * 8
    assert metadata["lifter"] == "lifting/mixste"
    again = load_adapter(plain, tmp_path / "a.safetensors")
    torch.testing.assert_close(again(x), network(x), atol=1e-6, rtol=1e-6)
    assert {layer.scale for _, layer in low_rank_layers(again)} == {0.5}


def test_an_adapter_of_another_method_size_or_weights_is_refused(tmp_path):
    network, _ = lifter("lifting/mixste")
    file = tmp_path / "a.safetensors"
    plain = copy.deepcopy(network)
    add_low_rank(network, "attn")
    save_adapter(network, file)
    with pytest.raises(InputError, match=r"adapter of mixste\.Model.*expected one of ktpformer\.Model"):
        load_adapter(lifter("lifting/ktpformer")[0], file)
    config, _ = SMALL["lifting/mixste"]
    method = find("lifting/mixste")
    with pytest.raises(InputError, match="another size"):
        load_adapter(method.Model(method.Config(9, embed_dim_ratio=32, depth=2, num_heads=4)), file)
    torch.manual_seed(5)
    with pytest.raises(InputError, match="other weights"):
        load_adapter(method.Model(config), file)
    load_adapter(plain, file)
    with pytest.raises(InputError, match="merge it first"):
        add_low_rank(plain, "attn")


def test_bad_input_says_what_was_expected(tmp_path):
    network, _ = lifter("lifting/mixste")
    with pytest.raises(InputError, match="named like 'conv'; it has"):
        add_low_rank(network, "conv")
    with pytest.raises(InputError, match="rank 0, expected at least 1"):
        add_low_rank(network, "attn", rank=0)
    assert not list(low_rank_layers(network))
    with pytest.raises(InputError, match="it has none"):
        add_low_rank(lifter("lifting/videopose3d")[0])
    with pytest.raises(InputError, match="no adapter to save"):
        save_adapter(network, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="no such file"):
        load_adapter(network, tmp_path / "b.safetensors")
    save_file({"x.down": torch.zeros(2, 2)}, tmp_path / "c.safetensors")
    with pytest.raises(InputError, match="not a low-rank adapter"):
        load_adapter(network, tmp_path / "c.safetensors")
    (tmp_path / "d.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a safetensors file"):
        load_adapter(network, tmp_path / "d.safetensors")
