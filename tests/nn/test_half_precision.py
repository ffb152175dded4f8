"""Networks in half precision give nearly what the network gives, in float32, and leave it alone."""

from typing import Any

import pytest
import torch
from torch import nn

from posewright.evaluate.lifters import facts_of
from posewright.models import create
from posewright.nn import half_precision as module
from posewright.nn.half_precision import InFloat32, bfloat16, half_precision
from posewright.nn.hidden_layers import hidden_layers, weighted_layers
from posewright.nn.packed_linear import PackedLinear

HALF = torch.ops.mkldnn._is_mkldnn_bf16_supported()
needs_bfloat16 = pytest.mark.skipif(not HALF, reason="a processor without bfloat16 products")
WIDE = {
    "lifting/mixste": {"num_frame": 9, "embed_dim_ratio": 64, "depth": 2},
    "lifting/motionagformer": {"n_layers": 2, "n_frames": 9, "dim_feat": 64, "dim_rep": 128},
    "lifting/motionbert": {"maxlen": 9, "dim_feat": 64, "dim_rep": 128, "depth": 2},
    "lifting/mhformer": {"frames": 9, "channel": 64, "d_hid": 128},
    "lifting/videopose3d": {"filter_widths": (3, 3), "channels": 96},
    "lifting/simple_baseline": {"linear_size": 128},
    "lifting/semgcn": {"hid_dim": 64},
    "lifting/hopfir": {"dim": 64, "depth": 2},
    "lifting/gla_gcn": {"filter_widths": (3, 3), "channels": 64},
    "lifting/mpm": {"frames": 9, "stride_num": (3, 3), "layers": 2, "channel": 64, "d_hid": 128},
    "lifting/hot": {"frames": 9, "token_num": 3, "layer_index": 1, "dim": 64, "depth": 2, "hidden": 128},
}


@needs_bfloat16
@pytest.mark.parametrize("name", WIDE)
def test_contract_lifters_give_nearly_the_same_in_float32(name):
    torch.manual_seed(0)
    network = create(name, **WIDE[name]).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    config: Any = network.config
    facts = facts_of(name, config)
    keypoints = torch.randn(2, config.frames, len(facts.skeleton), facts.channels)
    twin = half_precision(network)
    with torch.inference_mode():
        exact = network(keypoints)
        with bfloat16("cpu"):
            half = twin(keypoints)
    assert half.dtype == torch.float32
    assert not torch.equal(half, half.bfloat16().float())
    assert 0 < (half - exact).norm(dim=-1).mean() < 0.02 * exact.norm(dim=-1).mean()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert {id(p) for p in twin.parameters()} == {id(p) for p in network.parameters()}


def test_convention_embedding_head_and_narrow_layers_stay_float32():
    network = nn.Sequential(nn.Linear(34, 64), nn.Linear(64, 96), nn.Linear(96, 51), nn.Linear(51, 51))
    twin = half_precision(network)
    assert [type(m) for m in twin] == [InFloat32, PackedLinear, InFloat32, InFloat32]
    assert weighted_layers(network) == list(network)
    assert hidden_layers(network, 64) == [network[1]]


def test_bad_input_says_that_the_processor_cannot(monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    with pytest.raises(module.InputError, match="use float32"):
        bfloat16("cpu")
