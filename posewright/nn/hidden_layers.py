"""Which layers of a network are hidden ones: neither its embedding nor its head.

What comes in and what goes out, keypoints and metres, is told from what the layers in between make of it: those can be
trained by another rule (`train.muon`) or run in half precision (`nn.half_precision`), whatever the network.
"""

from torch import nn

NARROWEST = 16
"""Rows and columns that a hidden layer's matrix has at least."""
TABLES = (nn.Embedding, nn.LayerNorm, nn.modules.batchnorm._BatchNorm)
"""Their weights are looked up or multiplied one by one."""


def weighted_layers(network: nn.Module) -> list[nn.Module]:
    """Return the modules that hold matrices, kernels or stacks of matrices called `weight`, in order of definition."""
    layers = [m for m in network.modules() if not isinstance(m, TABLES)]
    own = [dict(m.named_parameters(recurse=False)).get("weight") for m in layers]
    return [m for m, weight in zip(layers, own, strict=True) if weight is not None and weight.ndim > 1]


def hidden_layers(network: nn.Module, narrowest: int = NARROWEST) -> list[nn.Module]:
    """Return the weighted layers but the first, the last and the narrow ones."""
    return [m for m in weighted_layers(network)[1:-1] if min(matrix_shape(m)) >= narrowest]


def matrix_shape(layer: nn.Module) -> tuple[int, int]:
    """Rows and columns of a layer's weight.

    A kernel (out, in, *size) is one matrix, of a stack the last two dimensions are; they are told apart by the last
    dimension, which is small for kernels.
    """
    weight = layer.weight
    assert isinstance(weight, nn.Parameter)
    if weight.ndim > 2 and weight.shape[-1] < NARROWEST:
        return weight.shape[0], weight[0].numel()
    return weight.shape[-2], weight.shape[-1]
