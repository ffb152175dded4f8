"""Transformers that alternate between the joints of a frame and the frames of a joint (MixSTE).

Convention: tokens are (B, T, J, C).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posewright.nn.attention import TransformerBlock

BeforeLayer = Callable[[int, Tensor], Tensor]
"""Called as f(layer, tokens) before each layer but the first; what it returns goes on. Token pruning uses it."""

OFFICIAL_KEYS = (
    (r"^(.*\.)?layers\.spatial_blocks\.", r"\1STEblocks."),
    (r"^(.*\.)?layers\.temporal_blocks\.", r"\1TTEblocks."),
    (r"^(.*\.)?layers\.spatial_norm\.", r"\1Spatial_norm."),
    (r"^(.*\.)?layers\.temporal_norm\.", r"\1Temporal_norm."),
)
"""What MixSTE, KTPFormer, D3DP and HoT call an `AlternatingTransformer` that is our attribute `layers`."""


class AlternatingTransformer(nn.Module):
    """Alternating spatial and temporal transformer blocks, one shared norm after all of a kind (MixSTE, figure 2)."""

    def __init__(self, depth: int, dim: int, num_heads: int, hidden: int, drop_paths: list[float], **block):
        super().__init__()

        def blocks() -> nn.ModuleList:
            return nn.ModuleList(
                TransformerBlock(dim, num_heads, hidden, drop_path=drop_paths[i], **block)
                for i in range(depth)
            )

        self.spatial_blocks, self.temporal_blocks = blocks(), blocks()
        self.spatial_norm, self.temporal_norm = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)

    def forward(
        self,
        x: Float[Tensor, "B T J C"],
        spatial_position: Float[Tensor, "1 J C"] | None = None,
        temporal_position: Float[Tensor, "1 T C"] | None = None,
        before_layer: BeforeLayer | None = None,
        told: Callable[[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "B T2 J C"]:
        """Add each position embedding once, before the first block of its kind, and run all layers.

        `told` is called with the tokens between the first spatial and the first temporal block, and what it returns
        goes on; FinePOSE tells them its prompts there.
        """
        if spatial_position is not None:
            x = x + spatial_position
        for i, (spatial, temporal) in enumerate(zip(self.spatial_blocks, self.temporal_blocks, strict=True)):
            if i > 0 and before_layer is not None:
                x = before_layer(i, x)
            x = self.spatial_norm(spatial(x))
            if i == 0 and told is not None:
                x = told(x)
            if i == 0 and temporal_position is not None:
                x = x + temporal_position[:, :, None]
            x = self.temporal_norm(over_time(temporal, x))
        return x


def over_time(layer: Callable[[Tensor], Tensor], x: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T J C"]:
    """Apply a layer for (*B, T, C) to each joint's sequence."""
    return layer(x.transpose(1, 2).contiguous()).transpose(1, 2).contiguous()


def position(*shape: int) -> nn.Parameter:
    """Return a learned position embedding, zero at first."""
    return nn.Parameter(torch.zeros(shape))


def check_window(
    x: Float[Tensor, "B T J C"], frames: int, joints: int, channels: int, shorter: bool = False
) -> None:
    """Raise `ValueError` unless `x` is (B, frames, joints, channels); `shorter` allows fewer frames."""
    fits = x.ndim == 4 and (x.shape[1] == frames or (shorter and 0 < x.shape[1] < frames))
    if not fits or x.shape[2:] != (joints, channels):
        raise ValueError(
            f"keypoints have shape {tuple(x.shape)}, expected (B, {'1..' if shorter else ''}{frames}, {joints}, "
            f"{channels}): cut or pad the clip to the window, convert the joint set, give the channels it was made for"
        )
