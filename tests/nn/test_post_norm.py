"""The post-norm transformer block against PyTorch's own."""

import pytest
import torch
from torch import nn

from posewright.core.errors import InputError
from posewright.nn.checkpoints import official_key
from posewright.nn.post_norm import OFFICIAL_KEYS, PostNormBlock, sinusoidal_positions


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("causal", [False, True])
def test_parity_with_pytorchs_encoder_layer(activation, causal):
    torch.manual_seed(0)
    block = PostNormBlock(16, 4, 24, activation=activation).eval()
    official = nn.TransformerEncoderLayer(16, 4, 24, activation=activation, batch_first=True).eval()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    official.load_state_dict(
        {official_key(f"b.{k}", OFFICIAL_KEYS)[2:]: v for k, v in block.state_dict().items()}
    )
    x = torch.randn(3, 7, 16)
    mask = nn.Transformer.generate_square_subsequent_mask(7) if causal else None
    torch.testing.assert_close(block(x, causal), official(x, mask), atol=1e-5, rtol=1e-5)


def test_law_causal_tokens_do_not_see_what_follows():
    block = PostNormBlock(8, 2, 8).eval()
    x = torch.randn(1, 5, 8)
    changed = x.clone()
    changed[:, 3:] += 1
    assert torch.equal(block(x, causal=True)[:, :3], block(changed, causal=True)[:, :3])
    assert not torch.equal(block(x)[:, :3], block(changed)[:, :3])


def test_convention_positions_interleave_sines_and_cosines():
    table = sinusoidal_positions(50, 6)
    assert table.shape == (50, 6)
    assert torch.equal(table[0], torch.tensor([0.0, 1.0] * 3))
    angle = torch.tensor(7.0)
    torch.testing.assert_close(table[7, :2], torch.stack([angle.sin(), angle.cos()]))
    with pytest.raises(InputError, match="even"):
        sinusoidal_positions(3, 5)


def test_an_unknown_activation_is_refused():
    with pytest.raises(InputError, match="gelu, relu"):
        PostNormBlock(8, 2, 8, activation="swish")  # type: ignore[arg-type]
