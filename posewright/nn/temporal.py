"""Layers that mix a sequence over time: rotary self-attention, dilated convolution, Gaussian smoothing.

Convention: sequences are (B, T, C); a layer maps (B, T, C) to (B, T, C) for any T.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def rotary(x: Float[Tensor, "B H T D"], base: float = 1000.0) -> Float[Tensor, "B H T D"]:
    """Turn pairs of channels by angles that grow with the position (RoFormer, Su et al. 2021, eq. 34).

    Args:
        x: queries or keys at positions 0 .. T-1; D is even, channel i pairs with i + D/2.
        base: the slowest angle is about 1/base per position.
    """
    T, D = x.shape[-2:]
    frequency = base ** (-torch.arange(0, D, 2, device=x.device) / D)
    angle = torch.arange(T, device=x.device)[:, None] * frequency
    c, s = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * c - b * s, a * s + b * c], dim=-1)


class RotaryAttention(nn.Module):
    """Multi-head self-attention over time (Vaswani et al. 2017) that knows only time differences.

    Written out, not through torch's fused kernel, whose backward pass took five times as long on CPUs for the
    64 tokens of a training window.
    """

    def __init__(self, dim: int, heads: int):
        super().__init__()
        if dim % (2 * heads):
            raise ValueError(f"attention: {dim} channels do not split into {heads} heads of even width")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        B, T, C = x.shape
        D = C // self.heads
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, D).permute(2, 0, 3, 1, 4)
        weights = (rotary(q) * D**-0.5) @ rotary(k).transpose(-1, -2)
        mixed = weights.softmax(-1).to(v.dtype) @ v
        return self.out(mixed.transpose(1, 2).reshape(B, T, C))


class DilatedConvolution(nn.Module):
    """Convolution over time, kernel 3 with holes (VideoPose3D, 2019); edges are repeated, so T is kept."""

    def __init__(self, dim: int, dilation: int):
        super().__init__()
        self.dilation = dilation
        self.weight = nn.Linear(3 * dim, dim)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        T, d = x.shape[1], self.dilation
        time = torch.arange(T, device=x.device)
        before, after = x[:, (time - d).clamp_min(0)], x[:, (time + d).clamp_max(T - 1)]
        return self.weight(torch.cat([before, x, after], dim=-1))


class FeedForward(nn.Sequential):
    """Two linear layers with GELU between (Vaswani et al. 2017, section 3.3)."""

    def __init__(self, dim: int, hidden: int):
        super().__init__(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))


def smooth_over_time(x: Float[Tensor, "B T C"], sigma: float) -> Float[Tensor, "B T C"]:
    """Gaussian over time, cut at 3 sigma (in frames), zero outside: divide by the same of ones to get a mean."""
    radius = int(3 * sigma)
    offset = torch.arange(-radius, radius + 1, device=x.device)
    kernel = torch.exp(-0.5 * (offset / sigma) ** 2).to(x.dtype)
    B, T, C = x.shape
    flat = x.transpose(1, 2).reshape(B * C, 1, T)
    return F.conv1d(flat, kernel.view(1, 1, -1), padding=radius).view(B, C, T).transpose(1, 2)
