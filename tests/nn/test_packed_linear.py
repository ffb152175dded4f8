"""Packed networks give what the network gives, and leave it alone."""

import pytest
import torch
from torch import nn

from posewright.models import find
from posewright.nn.packed_linear import PackedLinear, can_pack, packed
from tests.models.lifting.small import SMALL

needs_onednn = pytest.mark.skipif(not can_pack(nn.Linear(2, 2)), reason="PyTorch without oneDNN")


@needs_onednn
@pytest.mark.parametrize("name", SMALL)
def test_contract_packed_lifters_give_the_same(name):
    config, shape = SMALL[name]
    torch.manual_seed(0)
    network = find(name.partition(":")[0]).Model(config).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    linears = [m for m in network.modules() if type(m) is nn.Linear]
    with torch.inference_mode():
        keypoints = torch.randn(shape)
        twin = packed(network)
        torch.testing.assert_close(twin(keypoints), network(keypoints), atol=1e-5, rtol=1e-5)
    assert sum(isinstance(m, PackedLinear) for m in twin.modules()) == len(linears)
    assert [m for m in network.modules() if type(m) is nn.Linear] == linears
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@needs_onednn
def test_law_parameters_are_shared_and_any_number_of_rows_works():
    network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3, bias=False))
    twin = packed(network)
    assert {id(p) for p in twin.parameters()} == {id(p) for p in network.parameters()}
    with torch.inference_mode():
        for rows in (1, 5, 5000):
            x = torch.randn(2, rows, 8)
            torch.testing.assert_close(twin(x), network(x), atol=1e-5, rtol=1e-5)


def test_law_other_precisions_are_returned_as_they_are():
    network = nn.Sequential(nn.Linear(8, 8)).to(torch.bfloat16)
    assert packed(network) is network
    assert packed(nn.ReLU()).training is True


@needs_onednn
def test_law_the_exact_gelu_of_a_sequence_is_applied_by_the_layer_before_it():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 16), nn.GELU(approximate="tanh"), nn.ReLU(), nn.GELU()
    )
    twin, x = packed(network), 3 * torch.randn(5, 8)
    assert [type(m) for m in twin] == [PackedLinear, nn.Identity, PackedLinear, nn.GELU, nn.ReLU, nn.GELU]
    with torch.inference_mode():
        torch.testing.assert_close(twin(x), network(x), atol=1e-5, rtol=1e-5)


@needs_onednn
def test_law_a_gelu_beside_a_layer_is_left_alone():
    class Beside(nn.Sequential):
        def forward(self, x):
            return self[0](x) + self[1](x)

    torch.manual_seed(0)
    network, x = Beside(nn.Linear(8, 8), nn.GELU()), torch.randn(5, 8)
    with torch.inference_mode():
        torch.testing.assert_close(packed(network)(x), network(x), atol=1e-5, rtol=1e-5)
