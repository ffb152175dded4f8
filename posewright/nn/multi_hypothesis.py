"""The three parts of MHFormer: hypotheses are generated, refined each by itself, and made to interact.

Convention: a hypothesis is (B, T, C), T frames of C channels.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posewright.nn.attention import (
    CrossAttention,
    Mlp,
    SelfAttention,
    StochasticDepth,
    TransformerBlock,
    rising,
)
from posewright.nn.spatiotemporal import BeforeLayer, position

HYPOTHESES = 3

OFFICIAL_KEYS = (
    (r"^generation\.norms\.0\.", "norm_1."),
    (r"^generation\.norms\.1\.", "norm_2."),
    (r"^generation\.norms\.2\.", "norm_3."),
    (r"^generation\.encoders\.0\.", "Transformer_encoder_1."),
    (r"^generation\.encoders\.1\.", "Transformer_encoder_2."),
    (r"^generation\.encoders\.2\.", "Transformer_encoder_3."),
    (r"^(Transformer_encoder_\d)\.position$", r"\1.pos_embed"),
    (r"^interaction\.positions\.0$", "Transformer_hypothesis.pos_embed_1"),
    (r"^interaction\.positions\.1$", "Transformer_hypothesis.pos_embed_2"),
    (r"^interaction\.positions\.2$", "Transformer_hypothesis.pos_embed_3"),
    (r"^interaction\.refinement\.", "Transformer_hypothesis.SHR_blocks."),
    (r"^interaction\.crossing\.", "Transformer_hypothesis.CHI_blocks.0."),
    (r"^interaction\.norm\.", "Transformer_hypothesis.norm."),
    *((rf"(SHR_blocks\.\d+)\.norms\.{i}\.", rf"\1.norm1_{i + 1}.") for i in range(HYPOTHESES)),
    *((rf"(_blocks\.\d+)\.attentions\.{i}\.", rf"\1.attn_{i + 1}.") for i in range(HYPOTHESES)),
    *(
        (rf"(CHI_blocks\.\d+)\.norms\.{i}\.{j}\.", rf"\1.norm3_{i + 1}{j + 1}.")
        for i in range(HYPOTHESES)
        for j in range(3)
    ),
    (r"(CHI_blocks\.\d+\.attn_\d)\.(q|k|v)\.", r"\1.linear_\2."),
)
"""What MHFormer and HoT call the parts that are our attributes `generation` and `interaction`."""


class CoordinateEncoder(nn.Module):
    """A transformer whose tokens are the coordinates of all joints and whose channels are the frames (figure 3)."""

    def __init__(
        self, coordinates: int, frames: int, depth: int, num_heads: int, dropout: float, drop_path: float
    ):
        super().__init__()
        self.position = position(1, coordinates, frames)
        self.dropout = nn.Dropout(dropout)
        rates = rising(drop_path, depth)
        self.blocks = nn.Sequential(
            *(
                TransformerBlock(frames, num_heads, 2 * frames, dropout=dropout, drop_path=rate)
                for rate in rates
            )
        )
        self.norm = nn.LayerNorm(frames, eps=1e-6)

    def forward(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B D T"]:
        return self.norm(self.blocks(self.dropout(x + self.position)))


class MultiHypothesisGeneration(nn.Module):
    """Three encoders in a row, each adding to what the one before gave: the hypotheses (MHG, section 3.2)."""

    def __init__(
        self, coordinates: int, frames: int, depth: int, num_heads: int, dropout: float, drop_path: float
    ):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(frames) for _ in range(HYPOTHESES))
        self.encoders = nn.ModuleList(
            CoordinateEncoder(coordinates, frames, depth, num_heads, dropout, drop_path)
            for _ in range(HYPOTHESES)
        )

    def forward(self, x: Float[Tensor, "B D T"]) -> list[Float[Tensor, "B D T"]]:
        hypotheses = []
        for norm, encoder in zip(self.norms, self.encoders, strict=True):
            x = x + encoder(norm(x))
            hypotheses.append(x)
        return hypotheses


class HypothesisMixing(nn.Module):
    """One multi-layer perceptron on all hypotheses side by side (HM-MLP, equation 9), with its residual."""

    def __init__(self, dim: int, hidden: int, dropout: float, drop_path: float):
        super().__init__()
        self.norm2 = nn.LayerNorm(HYPOTHESES * dim, eps=1e-6)
        self.mlp = Mlp(HYPOTHESES * dim, hidden, dropout)
        self.drop_path = StochasticDepth(drop_path)

    def mix(self, hypotheses: Sequence[Float[Tensor, "B T C"]]) -> list[Float[Tensor, "B T C"]]:
        """Mix the hypotheses."""
        x = torch.cat(list(hypotheses), dim=-1)
        return list((x + self.drop_path(self.mlp(self.norm2(x)))).chunk(HYPOTHESES, dim=-1))


class SelfHypothesisRefinement(HypothesisMixing):
    """Self-attention within each hypothesis, then mixing (SHR, section 3.3)."""

    def __init__(self, dim: int, num_heads: int, hidden: int, dropout: float, drop_path: float):
        super().__init__(dim, hidden, dropout, drop_path)
        self.norms = nn.ModuleList(nn.LayerNorm(dim, eps=1e-6) for _ in range(HYPOTHESES))
        self.attentions = nn.ModuleList(
            SelfAttention(dim, num_heads, dropout=dropout) for _ in range(HYPOTHESES)
        )

    def forward(self, hypotheses: Sequence[Float[Tensor, "B T C"]]) -> list[Float[Tensor, "B T C"]]:
        each = zip(hypotheses, self.norms, self.attentions, strict=True)
        return self.mix([x + self.drop_path(attention(norm(x))) for x, norm, attention in each])


class CrossHypothesisInteraction(HypothesisMixing):
    """Cross-attention between hypotheses, then mixing (CHI, section 3.4).

    Each hypothesis in turn takes itself as values and the two others as queries and keys; the first two are
    updated before the next ones read them.
    """

    def __init__(self, dim: int, num_heads: int, hidden: int, dropout: float, drop_path: float):
        super().__init__(dim, hidden, dropout, drop_path)
        self.norms = nn.ModuleList(
            nn.ModuleList(nn.LayerNorm(dim, eps=1e-6) for _ in range(3)) for _ in range(HYPOTHESES)
        )
        self.attentions = nn.ModuleList(
            CrossAttention(dim, num_heads, dropout=dropout) for _ in range(HYPOTHESES)
        )

    def forward(self, hypotheses: Sequence[Float[Tensor, "B T C"]]) -> list[Float[Tensor, "B T C"]]:
        x = list(hypotheses)
        for i, (norms, attention) in enumerate(zip(self.norms, self.attentions, strict=True)):
            others = [x[j] for j in range(HYPOTHESES) if j != i]
            sources = zip(norms, (*others, x[i]), strict=True)  # pyright: ignore[reportArgumentType]
            x[i] = x[i] + self.drop_path(attention(*(norm(source) for norm, source in sources)))
        return self.mix(x)


class HypothesisTransformer(nn.Module):
    """Refinement layers, one interaction layer, and a norm over all hypotheses side by side."""

    def __init__(
        self, depth: int, frames: int, dim: int, num_heads: int, hidden: int, dropout: float, drop_path: float
    ):
        super().__init__()
        self.positions = nn.ParameterList(position(1, frames, dim) for _ in range(HYPOTHESES))
        self.dropout = nn.Dropout(dropout)
        rates = rising(drop_path, depth)
        self.refinement = nn.ModuleList(
            SelfHypothesisRefinement(dim, num_heads, hidden, dropout, rate) for rate in rates[:-1]
        )
        self.crossing = CrossHypothesisInteraction(dim, num_heads, hidden, dropout, rates[-1])
        self.norm = nn.LayerNorm(HYPOTHESES * dim, eps=1e-6)

    def forward(
        self, hypotheses: Sequence[Float[Tensor, "B T C"]], before_layer: BeforeLayer | None = None
    ) -> Float[Tensor, "B T2 C3"]:
        """Run; `before_layer` is called before every refinement layer with the hypotheses side by side."""
        x = [self.dropout(h + p) for h, p in zip(hypotheses, self.positions, strict=True)]
        for i, layer in enumerate(self.refinement):
            if before_layer is not None:
                x = list(before_layer(i, torch.cat(x, dim=-1)).chunk(HYPOTHESES, dim=-1))
            x = layer(x)
        return self.norm(torch.cat(self.crossing(x), dim=-1))


class MultiHypothesisTransformer(nn.Module):
    """Keypoints of a window to the hypotheses of its frames, side by side: all of MHFormer but the regression head."""

    def __init__(
        self,
        frames: int,
        num_joints: int,
        channel: int,
        d_hid: int,
        depth: int = 3,
        num_heads: int = 8,
        generation_depth: int = 4,
        generation_heads: int = 9,
        dropout: float = 0.1,
        drop_path: float = 0.2,
    ):
        super().__init__()
        coordinates = 2 * num_joints
        self.generation = MultiHypothesisGeneration(
            coordinates, frames, generation_depth, generation_heads, dropout, drop_path
        )
        self.embeddings = nn.ModuleList(_embedding(coordinates, channel, frames) for _ in range(HYPOTHESES))
        self.interaction = HypothesisTransformer(depth, frames, channel, num_heads, d_hid, dropout, drop_path)

    def forward(
        self, keypoints: Float[Tensor, "B T J 2"], before_layer: BeforeLayer | None = None
    ) -> Float[Tensor, "B T2 C3"]:
        hypotheses = self.generation(keypoints.flatten(2).transpose(1, 2).contiguous())
        embedded = [f(h).transpose(1, 2) for f, h in zip(self.embeddings, hypotheses, strict=True)]
        return self.interaction(embedded, before_layer)


def _embedding(coordinates: int, channel: int, frames: int) -> nn.Module:
    """Return a hypothesis's embedding: as published, with batch norm, ReLU and dropout for windows up to 27 frames."""
    conv = nn.Conv1d(coordinates, channel, 1)
    if frames > 27:
        return conv
    return nn.Sequential(conv, nn.BatchNorm1d(channel), nn.ReLU(), nn.Dropout(0.25))


EMBEDDING_KEYS = tuple((rf"^embeddings\.{i}\.", f"embedding_{i + 1}.") for i in range(HYPOTHESES))
