"""The transformer block as first published, with its norms after the residual sums, and its table of positions.

Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin, "Attention Is All You Need", NeurIPS 2017,
https://arxiv.org/abs/1706.03762, sections 3.1 to 3.5; PyTorch's `nn.TransformerEncoderLayer` by default. The lifting
transformers use the pre-norm block of `nn.attention`; diffusion models over motion (MDM and what follows it) use this.

Convention: tokens are (*B, N, C), N tokens of C channels; every leading dimension is a batch dimension.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.nn.attention import SelfAttention, check_heads
from posewright.nn.checkpoints import KeyTable

Activation = Literal["gelu", "relu"]
ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu}

OFFICIAL_KEYS: KeyTable = (
    (r"\.attn\.qkv\.weight$", ".self_attn.in_proj_weight"),
    (r"\.attn\.qkv\.bias$", ".self_attn.in_proj_bias"),
    (r"\.attn\.proj\.", ".self_attn.out_proj."),
)
"""Ours to those of `nn.TransformerEncoderLayer`; the other names are equal."""


class PostNormBlock(nn.Module):
    """norm(x + attention(x)), then norm(x + network(x)) of two linear layers."""

    def __init__(
        self, dim: int, num_heads: int, hidden: int, dropout: float = 0.1, activation: Activation = "gelu"
    ):
        super().__init__()
        check_heads(dim, num_heads)
        if activation not in ACTIVATIONS:
            raise InputError(
                f"transformer: activation {activation!r}, expected one of {', '.join(ACTIVATIONS)}"
            )
        self.activation = ACTIVATIONS[activation]
        self.attn = SelfAttention(dim, num_heads, dropout=dropout, attention_dropout=dropout)
        self.linear1, self.linear2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "*B N C"], causal: bool = False) -> Float[Tensor, "*B N C"]:
        """Mix the tokens; `causal`: each sees itself and those before it only."""
        x = self.norm1(x + self.attn(x, causal))
        inside = self.dropout(self.activation(self.linear1(x)))
        return self.norm2(x + self.dropout(self.linear2(inside)))


def sinusoidal_positions(count: int, dim: int) -> Float[Tensor, "count dim"]:
    """Table of positions (section 3.5): sines in the even channels, cosines in the odd ones.

    Raises:
        InputError: an odd width.
    """
    if dim % 2:
        raise InputError(f"transformer: positions of width {dim}, expected an even number")
    place = torch.arange(count, dtype=torch.float32, device="cpu")[:, None]
    rate = torch.exp(torch.arange(0, dim, 2, device="cpu").float() * (-math.log(10_000.0) / dim))
    return torch.stack([(place * rate).sin(), (place * rate).cos()], -1).flatten(1)
