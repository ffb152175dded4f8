"""Self-attention whose queries, keys and values come from convolutions of several widths (ConvFormer).

Convention: tokens are (*B, N, C), N tokens of C channels; every leading dimension is a batch dimension.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from posewright.nn.attention import Mlp, StochasticDepth, attend, check_heads

Axis = Literal["tokens", "channels"]
"""What the kernels slide along. `tokens`: each channel by itself, over neighbouring tokens (joints of one limb).
`channels`: every output token gathers all tokens, over neighbouring channels (the temporal joints profile)."""


class DynamicConvolution(nn.Module):
    """Convolutions of several widths side by side, averaged with learned weights that sum to one.

    Without padding effects this is one convolution, and it is computed as one: the kernels are centred in the
    widest, averaged, and applied together for all `copies`. What lies beyond the ends counts as zero.
    """

    def __init__(self, tokens: int, dim: int, kernel_sizes: Sequence[int], axis: Axis, copies: int = 1):
        """Build.

        Args:
            tokens: N.
            dim: C.
            kernel_sizes: odd widths.
            axis: see `Axis`.
            copies: how many independent outputs, for instance 3 for queries, keys and values.
        """
        super().__init__()
        if not kernel_sizes or any(k < 1 or k % 2 == 0 for k in kernel_sizes):
            raise ValueError(
                f"dynamic convolution: kernel_sizes are {tuple(kernel_sizes)}, expected odd positive numbers"
            )
        self.axis, self.copies = axis, copies
        rows = dim if axis == "tokens" else tokens
        gathered = 1 if axis == "tokens" else tokens
        self.kernels = nn.ParameterList(fresh_kernel(copies * rows, gathered, k) for k in kernel_sizes)
        self.bias = nn.Parameter(torch.zeros(copies * rows))
        self.mixture = nn.Parameter(torch.zeros(copies, len(kernel_sizes)))

    def kernel(self) -> Float[Tensor, "copies*R G K"]:
        """Return the averaged kernel, as wide as the widest."""
        widest = max(k.shape[-1] for k in self.kernels)
        share = self.mixture.softmax(-1)
        padded = [F.pad(k, ((widest - k.shape[-1]) // 2,) * 2) for k in self.kernels]
        weighted = [
            share[:, i, None, None, None] * k.unflatten(0, (self.copies, -1)) for i, k in enumerate(padded)
        ]
        return torch.stack(weighted).sum(0).flatten(0, 1)

    def forward(self, x: Float[Tensor, "*B N C"]) -> tuple[Float[Tensor, "*B N C"], ...]:
        kernel, flat = self.kernel(), x.reshape(-1, *x.shape[-2:])
        padding = kernel.shape[-1] // 2
        if self.axis == "channels":
            out = F.conv1d(flat, kernel, self.bias, padding=padding)
            return tuple(part.reshape(x.shape) for part in out.chunk(self.copies, 1))
        grouped, bias = (
            w.unflatten(0, (self.copies, -1)).transpose(0, 1).flatten(0, 1) for w in (kernel, self.bias)
        )
        out = F.conv1d(flat.transpose(1, 2), grouped, bias, padding=padding, groups=x.shape[-1])
        parts = out.unflatten(1, (-1, self.copies)).permute(2, 0, 3, 1)
        return tuple(part.reshape(x.shape) for part in parts.unbind(0))


def fresh_kernel(rows: int, gathered: int, size: int) -> nn.Parameter:
    """Return a random kernel that keeps the variance."""
    bound = (3 / (gathered * size)) ** 0.5
    return nn.Parameter(torch.empty(rows, gathered, size).uniform_(-bound, bound))


class ConvolutionalSelfAttention(nn.Module):
    """Multi-head self-attention with dynamic convolutions in place of the linear maps to q, k and v.

    The heads' outputs are joined by a linear layer where the kernels slide along the tokens, and by one more dynamic
    convolution where they slide along the channels. Weights: 4 C^2 + 4 C in the usual attention; here 3 C sum(k) +
    C^2 along the tokens, and 4 N^2 sum(k) along the channels, which no longer grows with C (biases left out).
    """

    def __init__(
        self,
        tokens: int,
        dim: int,
        num_heads: int,
        kernel_sizes: Sequence[int],
        axis: Axis,
        dropout: float = 0.0,
    ):
        super().__init__()
        check_heads(dim, num_heads)
        self.num_heads = num_heads
        self.qkv = DynamicConvolution(tokens, dim, kernel_sizes, axis, copies=3)
        self.proj = (
            nn.Linear(dim, dim) if axis == "tokens" else DynamicConvolution(tokens, dim, kernel_sizes, axis)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "*B N C"]) -> Float[Tensor, "*B N C"]:
        q, k, v = self.qkv(x)
        mixed = self.proj(attend(q, k, v, self.num_heads))
        return self.dropout(mixed[0] if isinstance(mixed, tuple) else mixed)


class ConvolutionalBlock(nn.Module):
    """Pre-norm transformer block with convolutional self-attention."""

    def __init__(
        self,
        tokens: int,
        dim: int,
        num_heads: int,
        hidden: int,
        kernel_sizes: Sequence[int],
        axis: Axis,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attention = ConvolutionalSelfAttention(tokens, dim, num_heads, kernel_sizes, axis, dropout)
        self.mlp = Mlp(dim, hidden, dropout)
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, x: Float[Tensor, "*B N C"]) -> Float[Tensor, "*B N C"]:
        x = x + self.drop_path(self.attention(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))
