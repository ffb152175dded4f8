"""Attention and the pre-norm transformer block, as the lifting transformers use them.

Convention: tokens are (*B, N, C), N tokens of C channels; every leading dimension is a batch dimension.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

FEW_TOKENS, NARROW_HEAD = 32, 32
"""Up to which the fused kernel loses on two threads."""


class StochasticDepth(nn.Module):
    """Drop a residual branch for whole sequences while training (Huang et al. 2016), often called drop path."""

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability

    def forward(self, x: Float[Tensor, "*B N C"]) -> Float[Tensor, "*B N C"]:
        if not self.training or self.probability == 0:
            return x
        keep = 1 - self.probability
        return x * torch.empty(*x.shape[:-2], 1, 1, dtype=x.dtype, device=x.device).bernoulli_(keep) / keep


def attend(
    q: Float[Tensor, "*B N C"],
    k: Float[Tensor, "*B M C"],
    v: Float[Tensor, "*B M C"],
    num_heads: int,
    scale: float | None = None,
    dropout: float = 0.0,
    causal: bool = False,
) -> Float[Tensor, "*B N C"]:
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, section 3.2); the heads split C in order.

    `scale` multiplies the dot products; None is one over the square root of a head's width. With `causal`, a token sees
    itself and those before it.
    """
    heads = [
        x.reshape(-1, x.shape[-2], num_heads, x.shape[-1] // num_heads).transpose(1, 2) for x in (q, k, v)
    ]
    mixed = attend_heads(*heads, scale=scale, dropout=dropout, causal=causal)
    return mixed.transpose(1, 2).reshape(q.shape)


def attend_heads(
    q: Float[Tensor, "B H N D"],
    k: Float[Tensor, "B H M D"],
    v: Float[Tensor, "B H M D"],
    scale: float | None = None,
    dropout: float = 0.0,
    causal: bool = False,
    mask: Bool[Tensor, "N M"] | None = None,
) -> Float[Tensor, "B H N D"]:
    """Scaled dot-product attention of every head; with `mask`, a token sees those where its row is true.

    On the processor few tokens with narrow heads, such as the joints of a pose, go through plain matrix products: with
    two threads they take 0.4 to 0.7 of the fused kernel's time, with one thread 1.2 forwards and 0.9 with gradients
    (`benchmarks/few_tokens.py`). Scores are float32 in half precision too.
    """
    few = k.shape[-2] <= FEW_TOKENS and q.shape[-1] <= NARROW_HEAD
    if causal or not few or q.device.type != "cpu" or q.dtype == torch.float16:
        return F.scaled_dot_product_attention(q, k, v, mask, dropout, causal, scale=scale)
    if q.dtype == torch.bfloat16:
        with torch.autocast("cpu", enabled=False):
            heads = q.float(), k.float(), v.float()
            return attend_heads(*heads, scale, dropout, mask=mask).to(q.dtype)
    scores = q * (q.shape[-1] ** -0.5 if scale is None else scale) @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(q.dtype).min)
    return F.dropout(scores.softmax(-1), dropout, training=dropout > 0) @ v


class SelfAttention(nn.Module):
    """Multi-head self-attention with one projection to q, k and v."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        qkv_bias: bool = True,
        scale: float | None = None,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
    ):
        super().__init__()
        check_heads(dim, num_heads)
        self.num_heads, self.scale, self.attention_dropout = num_heads, scale, attention_dropout
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "*B N C"], causal: bool = False) -> Float[Tensor, "*B N C"]:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        dropout = self.attention_dropout if self.training else 0.0
        return self.dropout(self.proj(attend(q, k, v, self.num_heads, self.scale, dropout, causal)))


class CrossAttention(nn.Module):
    """Multi-head attention whose queries, keys and values come from three places."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        qkv_bias: bool = True,
        scale: float | None = None,
        dropout: float = 0.0,
    ):
        super().__init__()
        check_heads(dim, num_heads)
        self.num_heads, self.scale = num_heads, scale
        self.q, self.k, self.v = (nn.Linear(dim, dim, bias=qkv_bias) for _ in range(3))
        self.proj = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, q: Float[Tensor, "*B N C"], k: Float[Tensor, "*B M C"], v: Float[Tensor, "*B M C"]
    ) -> Float[Tensor, "*B N C"]:
        return self.dropout(self.proj(attend(self.q(q), self.k(k), self.v(v), self.num_heads, self.scale)))


class Mlp(nn.Sequential):
    """Two linear layers with the exact GELU between them and dropout after each."""

    def __init__(self, dim: int, hidden: int, dropout: float = 0.0):
        layers = {
            "fc1": nn.Linear(dim, hidden),
            "gelu": nn.GELU(),
            "dropout1": nn.Dropout(dropout),
            "fc2": nn.Linear(hidden, dim),
            "dropout2": nn.Dropout(dropout),
        }
        super().__init__(OrderedDict(layers))
        self.fc1: nn.Linear
        self.fc2: nn.Linear


def shortcut(
    x: Float[Tensor, "*B C"], branch: Float[Tensor, "*B C"], scale: Float[Tensor, " C"] | None = None
) -> Float[Tensor, "*B C"]:
    """Add a branch to its input, with layer scale if there is one, in one pass over the memory.

    Without gradients the sum may take the memory of the branch: nothing else may need that, nor be in it.
    """
    if scale is not None:
        return torch.addcmul(x, branch, scale)
    return x + branch if torch.is_grad_enabled() or x.dtype != branch.dtype else branch.add_(x)


class TransformerBlock(nn.Module):
    """Pre-norm transformer block: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        hidden: int,
        qkv_bias: bool = True,
        scale: float | None = None,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        drop_path: float = 0.0,
        eps: float = 1e-6,
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = SelfAttention(dim, num_heads, qkv_bias, scale, dropout, attention_dropout)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, hidden, dropout)
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, x: Float[Tensor, "*B N C"]) -> Float[Tensor, "*B N C"]:
        x = shortcut(x, self.drop_path(self.attn(self.norm1(x))))
        return shortcut(x, self.drop_path(self.mlp(self.norm2(x))))


def check_heads(dim: int, num_heads: int) -> None:
    """Raise `ValueError` unless the heads divide the width."""
    if num_heads < 1 or dim % num_heads:
        raise ValueError(f"attention: width {dim} cannot be split into {num_heads} heads of equal width")


def rising(last: float, count: int) -> list[float]:
    """Return `count` drop-path rates that rise evenly from 0 to `last` with the depth."""
    return [last * i / max(count - 1, 1) for i in range(count)]
