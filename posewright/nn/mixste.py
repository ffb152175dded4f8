"""The network of MixSTE, plain and told a noisy pose and a diffusion step.

Zhang et al., "MixSTE: Seq2seq Mixed Spatio-Temporal Encoder for 3D Human Pose Estimation in Video", CVPR 2022,
https://arxiv.org/abs/2203.00859, figure 2; told a noisy pose: Shan et al., "Diffusion-Based 3D Human Pose Estimation
with Multi-Hypothesis Aggregation", ICCV 2023, https://arxiv.org/abs/2303.11579, figure 3. The first is a method by
itself and the initialiser of DiffPose on video; the second is the denoiser of D3DP and of what was built on it.

Convention: keypoints (B, T, J, C), T the number of frames the network was made for; poses (B, T, J, 3), with hypotheses
(B, H, T, J, 3).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from posewright.nn.attention import rising
from posewright.nn.checkpoints import KeyTable
from posewright.nn.diffusion import SinusoidalEmbedding
from posewright.nn.prior_attention import PriorEmbedding
from posewright.nn.spatiotemporal import OFFICIAL_KEYS as LAYER_KEYS
from posewright.nn.spatiotemporal import AlternatingTransformer, check_window, position
from posewright.skeletons.joint_sets import H36M_17


@dataclass(frozen=True)
class MixSTEConfig:
    """Sizes of the network (MixSTE, section 4.2)."""

    num_frame: int = 243
    """T (MixSTE), N (D3DP): frames of a window."""
    num_joints: int = 17
    """N (MixSTE), J (D3DP)."""
    in_chans: int = 2
    """Of a keypoint."""
    embed_dim_ratio: int = 512
    """d_m, the width of a token."""
    depth: int = 8
    """d_l, pairs of a spatial and a temporal block."""
    num_heads: int = 8
    mlp_ratio: float = 2.0
    qkv_bias: bool = True
    qk_scale: float | None = None
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    drop_path_rate: float = 0.1
    prior: bool = False
    """KTPFormer's prior attention in place of the embedding and the position embeddings (its plug-in claim)."""
    parents: tuple[int, ...] = H36M_17.parents
    """The skeleton, for `prior`."""

    @property
    def frames(self) -> int:
        """Frames of a window."""
        return self.num_frame


class MixSTE(nn.Module):
    """Keypoints of a window to the joints of all its frames.

    Args:
        config: sizes.
        channels: of a joint that goes in; None: those of a keypoint.
    """

    def __init__(self, config: MixSTEConfig, channels: int | None = None):
        super().__init__()
        c, dim = config, config.embed_dim_ratio
        self.config = c
        channels = c.in_chans if channels is None else channels
        hidden = round(dim * c.mlp_ratio)
        block = {
            "qkv_bias": c.qkv_bias,
            "scale": c.qk_scale,
            "dropout": c.drop_rate,
            "attention_dropout": c.attn_drop_rate,
        }
        if c.prior:
            self.embed = PriorEmbedding(channels, dim, c.num_frame, c.parents, c.num_heads, hidden, **block)
            self.spatial_position = self.temporal_position = None
        else:
            self.embed = nn.Linear(channels, dim)
            self.spatial_position, self.temporal_position = (
                position(1, c.num_joints, dim),
                position(1, c.num_frame, dim),
            )
        drop_paths = rising(c.drop_path_rate, c.depth)
        self.layers = AlternatingTransformer(c.depth, dim, c.num_heads, hidden, drop_paths, **block)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 3))

    def forward(self, keypoints: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T J 3"]:
        check_window(keypoints, self.config.num_frame, self.config.num_joints, self.config.in_chans)
        x = self.layers(self.embed(keypoints), self.spatial_position, self.temporal_position)
        return self.head(x)


class ConditionedMixSTE(MixSTE):
    """Noisy poses, keypoints and diffusion step to clean poses: MixSTE with a step embedding."""

    def __init__(self, config: MixSTEConfig):
        super().__init__(config, config.in_chans + 3)
        dim = config.embed_dim_ratio
        self.step_embedding = nn.Sequential(
            SinusoidalEmbedding(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )

    def forward(
        self,
        keypoints: Float[Tensor, "B T J C"],
        noisy: Float[Tensor, "B H T J 3"],
        steps: Int[Tensor, " B"],
    ) -> Float[Tensor, "B H T J 3"]:
        tokens = self.tokens(keypoints, noisy) + self.told(steps, noisy.shape[1])[:, None, None]
        x = self.layers(tokens, self.spatial_position, self.temporal_position)
        return self.head(x).unflatten(0, noisy.shape[:2])

    def tokens(
        self, keypoints: Float[Tensor, "B T J C"], noisy: Float[Tensor, "B H T J 3"]
    ) -> Float[Tensor, "BH T J D"]:
        """Embed each joint's keypoint and noisy place, for all hypotheses."""
        conditioned = torch.cat([keypoints[:, None].expand(-1, noisy.shape[1], -1, -1, -1), noisy], -1)
        return self.embed(conditioned.flatten(0, 1))

    def told(self, steps: Int[Tensor, " B"], hypotheses: int) -> Float[Tensor, "BH D"]:
        """Embed the diffusion steps, for all hypotheses."""
        return self.step_embedding(steps)[:, None].expand(-1, hypotheses, -1).flatten(0, 1)


OFFICIAL_KEYS: KeyTable = (
    (r"^spatial_position$", "Spatial_pos_embed"),
    (r"^temporal_position$", "Temporal_pos_embed"),
    (r"^embed\.", "Spatial_patch_to_embedding."),
    (r"^step_embedding\.", "time_mlp."),
    *LAYER_KEYS,
)
"""Ours to those of the official `MixSTE2`, of MixSTE and of D3DP."""
