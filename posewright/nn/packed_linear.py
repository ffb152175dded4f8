"""Linear layers with weights laid out for the processor by oneDNN: the same result, faster, for inference only.

PyTorch's own linear layer calls MKL with the weights as they lie. oneDNN, which comes with PyTorch, may lay them out
once for the processor at hand; on an AMD EPYC with AVX-512 its products took about four fifths of MKL's time
(`benchmarks/zoo_speed.py` measures whole networks). Its operators are those that `torch.compile` uses where weights
are frozen.
"""

import copy
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)

ROWS = 2048
"""Rows of the input for which the layout is chosen; any other number works."""


class PackedLinear(nn.Module):
    """A linear layer in oneDNN's layout: no gradients, on the processor only; parameters are the original's.

    What it takes is brought to its precision, and what it gives is in it.
    """

    def __init__(self, linear: nn.Linear, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.weight, self.dtype = linear.weight, dtype
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().to(dtype), ROWS)
        self.bias = linear.bias
        self.added = None if linear.bias is None else linear.bias.detach().to(dtype)

    def forward(self, x: Float[Tensor, "*B C"]) -> Float[Tensor, "*B D"]:
        return torch.ops.mkldnn._linear_pointwise(x.to(self.dtype), self.packed, self.added, "none", [], "")


def can_pack(network: nn.Module) -> bool:
    """Tell whether `packed` would change anything: oneDNN is there, and all weights are float32 on the processor."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        return False
    parameters = list(network.parameters())
    return bool(parameters) and all(p.device.type == "cpu" and p.dtype == torch.float32 for p in parameters)


def packed(network: M) -> M:
    """Return a twin in evaluation mode whose linear layers are packed, or the network itself where they cannot be.

    The twin shares its parameters with the original and holds each packed weight once more; changes of the weights do
    not reach it. Do not train, save or move it.
    """
    if not can_pack(network):
        return network
    shared = {id(p): p for p in (*network.parameters(), *network.buffers())}
    twin = copy.deepcopy(network, shared)
    for module in list(twin.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear:
                setattr(module, name, PackedLinear(child))
    return twin.eval()
