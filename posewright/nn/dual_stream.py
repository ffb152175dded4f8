"""The dual-stream spatio-temporal transformer (DSTformer) of MotionBERT.

Convention: tokens are (B, T, J, C).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posewright.nn.attention import TransformerBlock
from posewright.nn.spatiotemporal import BeforeLayer, over_time

OFFICIAL_KEYS = (
    (r"^layers\.(\d+)\.(st|ts)\.spatial\.(norm1|norm2|attn|mlp)\.", r"blocks_\2.\1.\3_s."),
    (r"^layers\.(\d+)\.(st|ts)\.temporal\.(norm1|norm2|attn|mlp)\.", r"blocks_\2.\1.\3_t."),
    (r"^layers\.(\d+)\.fusion\.weights\.", r"ts_attn.\1."),
)
"""What MotionBERT and HoT call a `DualStreamTransformer` that is our attribute `layers`."""


class AdaptiveFusion(nn.Module):
    """Weigh two streams by a softmax that each token computes from both; half and half at first."""

    def __init__(self, dim: int):
        super().__init__()
        self.weights = nn.Linear(2 * dim, 2)
        nn.init.zeros_(self.weights.weight)
        nn.init.constant_(self.weights.bias, 0.5)

    def forward(self, a: Float[Tensor, "*B C"], b: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        weights = self.weights(torch.cat([a, b], dim=-1)).softmax(-1)
        return weighted_sum(a, b, weights)


def weighted_sum(
    a: Float[Tensor, "*B C"], b: Float[Tensor, "*B C"], weights: Float[Tensor, "*B 2"]
) -> Float[Tensor, "*B C"]:
    """Weigh two streams with weights that sum to one, in one pass over the memory."""
    return torch.lerp(b, a, weights[..., :1])


class Mean(nn.Module):
    """Weigh two streams half and half."""

    def forward(self, a: Float[Tensor, "*B C"], b: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        return (a + b) / 2


class Stream(nn.Module):
    """A spatial and a temporal transformer block, in one order or the other (MotionBERT, figure 3)."""

    def __init__(self, spatial_first: bool, dim: int, num_heads: int, hidden: int, **block):
        super().__init__()
        self.spatial_first = spatial_first
        self.spatial = TransformerBlock(dim, num_heads, hidden, **block)
        self.temporal = TransformerBlock(dim, num_heads, hidden, **block)

    def forward(self, x: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T J C"]:
        if self.spatial_first:
            return over_time(self.temporal, self.spatial(x))
        return self.spatial(over_time(self.temporal, x))


class DualStreamLayer(nn.Module):
    """The two streams side by side, and their fusion."""

    def __init__(self, dim: int, num_heads: int, hidden: int, fuse: bool, **block):
        super().__init__()
        self.st = Stream(True, dim, num_heads, hidden, **block)
        self.ts = Stream(False, dim, num_heads, hidden, **block)
        self.fusion = AdaptiveFusion(dim) if fuse else Mean()

    def forward(self, x: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T J C"]:
        return self.fusion(self.st(x), self.ts(x))


class DualStreamTransformer(nn.ModuleList):
    """Dual-stream layers one after another."""

    def __init__(
        self,
        depth: int,
        dim: int,
        num_heads: int,
        hidden: int,
        drop_paths: list[float],
        fuse: bool = True,
        **block,
    ):
        super().__init__(
            DualStreamLayer(dim, num_heads, hidden, fuse, drop_path=drop_paths[i], **block)
            for i in range(depth)
        )

    def forward(
        self, x: Float[Tensor, "B T J C"], before_layer: BeforeLayer | None = None
    ) -> Float[Tensor, "B T2 J C"]:
        """Run all layers; `before_layer` is called before every one of them, the first too."""
        for i, layer in enumerate(self):
            if before_layer is not None:
                x = before_layer(i, x)
            x = layer(x)
        return x
