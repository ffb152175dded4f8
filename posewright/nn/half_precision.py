"""Run a network's hidden layers in bfloat16, for inference: less time, and an error that is small for a pose.

Matrix products of hidden layers and attention take bfloat16 numbers, whose mantissa has 8 bits; sums inside a product,
shortcuts, norms, embedding and head stay float32, so that what is rounded are the branches that a layer adds, and not
the pose. On the processor linear layers lie in oneDNN's layout (`nn.packed_linear`).

    twin = half_precision(network)
    with bfloat16(device):
        joints = twin(keypoints)  # float32
"""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.nn.hidden_layers import hidden_layers, weighted_layers
from posewright.nn.packed_linear import can_pack, put_packed

M = TypeVar("M", bound=nn.Module)

NARROWEST = 64
"""Rows and columns that a layer in half precision has at least: heads of 17 joints have 51, and little is gained."""


class InFloat32(nn.Module):
    """A layer that takes and gives float32, whatever is around it."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, *inputs: Tensor) -> Tensor:
        with torch.autocast(inputs[0].device.type, enabled=False):
            return self.layer(*(x.float() if x.is_floating_point() else x for x in inputs))


def bfloat16(device: str) -> torch.autocast:
    """Return the context in which a twin of `half_precision` runs.

    Raises:
        InputError: the processor has no products of bfloat16 numbers.
    """
    if device == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise InputError(
            "precision bfloat16: this processor multiplies no bfloat16 numbers (AVX-512 is needed): use float32"
        )
    return torch.autocast(device, torch.bfloat16)


def half_precision(network: M, narrowest: int = NARROWEST) -> M:
    """Return a twin in evaluation mode, to be run within `bfloat16`; it shares the parameters of the original."""
    hidden, shared = (
        set(hidden_layers(network, narrowest)),
        {id(p): p for p in (*network.parameters(), *network.buffers())},
    )
    whole = [m for m in weighted_layers(network) if m not in hidden]
    pack = can_pack(network)
    places = dict(network.named_modules(remove_duplicate=False))
    twin = copy.deepcopy(network, shared)
    for path, module in places.items():
        if module in whole:
            _put(twin, path, InFloat32(twin.get_submodule(path)))
        elif pack and module in hidden and type(module) is nn.Linear:
            put_packed(twin, path, torch.bfloat16)
    return twin.eval()


def _put(network: nn.Module, path: str, layer: nn.Module) -> None:
    """Put a layer in the place of another."""
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, layer)
