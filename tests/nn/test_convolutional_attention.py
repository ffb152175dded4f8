"""Self-attention made of convolutions: what its kernels see, and how many weights it has."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from posewright.nn.attention import SelfAttention
from posewright.nn.convolutional_attention import ConvolutionalSelfAttention, DynamicConvolution


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def mixed(axis, tokens=5, dim=8, sizes=(1, 3, 5), copies=3) -> DynamicConvolution:
    layer = DynamicConvolution(tokens, dim, sizes, axis, copies).double()
    nn.init.normal_(layer.mixture)
    nn.init.normal_(layer.bias)
    return layer


def test_law_it_is_the_weighted_mean_of_convolutions_along_the_channels():
    layer, x = mixed("channels"), torch.randn(2, 3, 5, 8, dtype=torch.float64)
    share = layer.mixture.softmax(-1)
    for copy, out in enumerate(layer(x)):
        rows = slice(5 * copy, 5 * copy + 5)
        each = [
            F.conv1d(x.flatten(0, 1), k[rows], padding=k.shape[-1] // 2).view_as(x) for k in layer.kernels
        ]
        expected = sum(share[copy, i] * y for i, y in enumerate(each)) + layer.bias[rows, None]
        torch.testing.assert_close(out, expected)


def test_law_it_is_the_weighted_mean_of_depthwise_convolutions_along_the_tokens():
    layer, x = mixed("tokens"), torch.randn(2, 5, 8, dtype=torch.float64)
    share = layer.mixture.softmax(-1)
    for copy, out in enumerate(layer(x)):
        rows = slice(8 * copy, 8 * copy + 8)
        each = [
            F.conv1d(x.transpose(1, 2), k[rows], padding=k.shape[-1] // 2, groups=8) for k in layer.kernels
        ]
        expected = sum(share[copy, i] * y for i, y in enumerate(each)) + layer.bias[rows, None]
        torch.testing.assert_close(out, expected.transpose(1, 2))


def seen(layer, token: int, channel: int) -> torch.Tensor:
    """Which inputs (N, C) change one output."""
    x = torch.randn(5, 8, dtype=torch.float64, requires_grad=True)
    layer(x)[0][token, channel].backward()
    return x.grad != 0


def test_convention_a_profile_sees_all_tokens_in_a_neighbourhood_of_channels():
    expected = torch.zeros(5, 8, dtype=torch.bool)
    expected[:, 1:6] = True
    assert torch.equal(seen(mixed("channels"), 2, 3), expected)


def test_convention_along_the_tokens_it_sees_neighbours_in_one_channel():
    expected = torch.zeros(5, 8, dtype=torch.bool)
    expected[0:4, 3] = True
    assert torch.equal(seen(mixed("tokens"), 1, 3), expected)


def weights(layer: nn.Module) -> int:
    return sum(p.numel() for n, p in layer.named_parameters() if p.ndim > 1 and not n.endswith("mixture"))


@pytest.mark.parametrize(
    ("tokens", "dim", "sizes"), [(27, 544, (1, 3, 5)), (81, 544, (1, 3, 5)), (17, 32, (3,))]
)
def test_law_number_of_weights(tokens, dim, sizes):
    usual = weights(SelfAttention(dim, 8))
    along_channels = weights(ConvolutionalSelfAttention(tokens, dim, 8, sizes, "channels"))
    along_tokens = weights(ConvolutionalSelfAttention(tokens, dim, 8, sizes, "tokens"))
    assert usual == 4 * dim**2
    assert along_channels == 4 * tokens**2 * sum(sizes) < usual
    assert along_tokens == 3 * dim * sum(sizes) + dim**2 < usual


@pytest.mark.parametrize("sizes", [(), (2,), (1, -3)])
def test_kernels_without_a_middle_are_refused(sizes):
    with pytest.raises(ValueError, match="expected odd positive"):
        DynamicConvolution(5, 8, sizes, "tokens")
