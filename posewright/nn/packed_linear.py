"""Linear layers with weights laid out for the processor by oneDNN: the same result, faster, for inference only.

PyTorch's own linear layer calls MKL with the weights as they lie. oneDNN, which comes with PyTorch, may lay them out
once for the processor at hand; on an AMD EPYC with AVX-512 its products took about four fifths of MKL's time
(`benchmarks/zoo_speed.py` measures whole networks). It also applies a GELU while the sums are still in the cache: by
itself that took a fifth of the time of MotionAGFormer. Its operators are those that `torch.compile` uses where weights
are frozen.
"""

import copy
from typing import Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)

ROWS = 2048
"""Rows of the input for which the layout is chosen; any other number works."""


class PackedLinear(nn.Module):
    """A linear layer in oneDNN's layout: no gradients, on the processor only; parameters are the original's.

    What it takes is brought to its precision, and what it gives is in it. The GELU is the exact one.
    """

    def __init__(
        self,
        linear: nn.Linear,
        dtype: torch.dtype = torch.float32,
        activation: Literal["none", "gelu"] = "none",
    ):
        super().__init__()
        self.weight, self.dtype, self.activation = linear.weight, dtype, activation
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().to(dtype), ROWS)
        self.bias = linear.bias
        self.added = None if linear.bias is None else linear.bias.detach().to(dtype)

    def forward(self, x: Float[Tensor, "*B C"]) -> Float[Tensor, "*B D"]:
        kind = self.activation, [], "none" if self.activation == "gelu" else ""
        return torch.ops.mkldnn._linear_pointwise(x.to(self.dtype), self.packed, self.added, *kind)


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
    for path, module in network.named_modules(remove_duplicate=False):
        if type(module) is nn.Linear:
            put_packed(twin, path)
    return twin.eval()


def put_packed(network: nn.Module, path: str, dtype: torch.dtype = torch.float32) -> None:
    """Put a packed layer in the place of a linear one, and of the exact GELU that follows it in a sequence."""
    parent, _, name = path.rpartition(".")
    place, linear = network.get_submodule(parent), network.get_submodule(path)
    assert isinstance(linear, nn.Linear)
    after = next_in_sequence(place, name)
    gelu = None if after is None else place.get_submodule(after)
    if after is None or not isinstance(gelu, nn.GELU) or gelu.approximate != "none":
        setattr(place, name, PackedLinear(linear, dtype))
        return
    setattr(place, name, PackedLinear(linear, dtype, "gelu"))
    setattr(place, after, nn.Identity())


def next_in_sequence(module: nn.Module, name: str) -> str | None:
    """Name of the child that takes what another gives; None where it is the last or the module is no sequence."""
    if type(module).forward is not nn.Sequential.forward:
        return None
    names = list(module._modules)
    return next(iter(names[names.index(name) + 1 :]), None)
