"""ConvFormer: transformers over joints and over frames whose queries, keys and values come from convolutions.

Diaz-Arias, Shin, "ConvFormer: Parameter Reduction in Transformer Models for 3D Human Pose Estimation by Leveraging
Dynamic Multi-Headed Convolutional Attention", 2023, https://arxiv.org/abs/2304.02147. No code was published, and this
file was written from the abstract, and from abstract and claims of the authors' patent on the mechanism (US 11,482,048:
mind it in a product), not from the method section. What these say: a spatial and a temporal convolutional transformer;
dynamic multi-headed convolutional self-attention in both; the spatial one looks at sections of limbs; convolutions of
several filter sizes, averaged; the temporal one attends between profiles which fuse all frames at once for a local
neighbourhood of joint features.

Everything else is an assumption of this file:

* The frame of the network is that of PoseFormer (Zheng et al., ICCV 2021): joint embeddings of width c, spatial blocks,
  the J c features of a frame as one temporal token, temporal blocks, a learned average over frames, a linear head for
  the middle frame. `output="all"` leaves the average out and answers for every frame, `attention="usual"` leaves the
  convolutions out, for comparison.
* *Dynamic*: the kernel widths are averaged with learned weights (softmax), one set each for queries, keys and values;
  the weights do not depend on the input.
* *Spatial*: depthwise kernels slide along the joints in the order of the joint set, where limbs are neighbours; the
  heads are joined by a linear layer.
* *Temporal joints profile*: kernels slide along the J c features and have the frames as channels; the heads, parts of
  the features as usual, are joined by one more such convolution.
* Depth 4, 8 heads, c = 32, hidden width 2 J c, kernel widths 1, 3, 5 (1, 3 for 243 frames, where wider ones would cost
  more weights than they save): chosen here. Of the sizes only T = 243 is known, from public tables of results.

Measured (a test): the attention of a temporal block has 80 % fewer weights than multi-head self-attention of its width
at 81 frames, 98 % at 27, and 20 % at 243; that of a spatial one 52 % (64 % with kernels 1 and 3). The whole network,
whose linear layers stay, has 5.80 million weights at 81 frames where the same with multi-head self-attention has 9.60
(40 % fewer; 49 % at 27 frames, 10 % at 243).

Convention: keypoints (B, T, 17, 2), Human3.6M, screen units (x / w * 2 - 1, y / w * 2 - h / w), T the number of frames
the model was made for; joints (B, 1, 17, 3) of the middle frame, or (B, T, 17, 3), in metres, camera axes, relative to
the pelvis.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posewright.core.weights import Paper, Weights
from posewright.nn.attention import TransformerBlock, rising
from posewright.nn.checkpoints import load_strictly
from posewright.nn.convolutional_attention import Axis, ConvolutionalBlock
from posewright.nn.spatiotemporal import check_window, position
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="ConvFormer: Parameter Reduction in Transformer Models for 3D Human Pose Estimation by Leveraging Dynamic "
    "Multi-Headed Convolutional Attention",
    venue="arXiv 2023",
    url="https://arxiv.org/abs/2304.02147",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=2, output_frames="centre")
OUTPUTS = ("centre", "all")
ATTENTIONS = ("convolutional", "usual")


@dataclass(frozen=True)
class Config:
    """Sizes; see the top of the file for what is known of the published ones."""

    num_frame: int = 81
    """T."""
    num_joints: int = 17
    """J."""
    in_chans: int = 2
    embed_dim_ratio: int = 32
    """c, the width of a joint."""
    depth: int = 4
    """Blocks of each kind."""
    num_heads: int = 8
    mlp_ratio: float = 2.0
    kernel_sizes: tuple[int, ...] = (1, 3, 5)
    """Odd widths, averaged."""
    output: Literal["centre", "all"] = "centre"
    """Joints of the middle frame, or of all."""
    attention: Literal["convolutional", "usual"] = "convolutional"
    """That of the paper, or multi-head self-attention in the same places."""
    drop_rate: float = 0.0
    drop_path_rate: float = 0.1

    @property
    def frames(self) -> int:
        """Frames of a window."""
        return self.num_frame

    @property
    def width(self) -> int:
        """J c, the width of a frame."""
        return self.num_joints * self.embed_dim_ratio


def lifting(config: Config) -> Lifting:
    """Return the conventions of one configuration."""
    return replace(LIFTING, output_frames=config.output)


class Model(nn.Module):
    """Keypoints of a window to the joints of its middle frame, or of all."""

    def __init__(self, config: Config):
        super().__init__()
        c, dim, width = config, config.embed_dim_ratio, config.width
        if c.output not in OUTPUTS:
            raise ValueError(f"convformer: output is {c.output!r}, expected one of {', '.join(OUTPUTS)}")
        if c.attention not in ATTENTIONS:
            known = ", ".join(ATTENTIONS)
            raise ValueError(f"convformer: attention is {c.attention!r}, expected one of {known}")
        self.config = c
        self.embed = nn.Linear(c.in_chans, dim)
        self.spatial_position, self.temporal_position = (
            position(1, c.num_joints, dim),
            position(1, c.num_frame, width),
        )
        self.dropout = nn.Dropout(c.drop_rate)

        def block(tokens: int, size: int, axis: Axis, drop_path: float) -> nn.Module:
            hidden, drop = round(size * c.mlp_ratio), c.drop_rate
            if c.attention == "usual":
                return TransformerBlock(size, c.num_heads, hidden, dropout=drop, drop_path=drop_path)
            return ConvolutionalBlock(
                tokens, size, c.num_heads, hidden, c.kernel_sizes, axis, drop, drop_path
            )

        def blocks(tokens: int, size: int, axis: Axis) -> nn.Sequential:
            drop_paths = rising(c.drop_path_rate, c.depth)
            return nn.Sequential(
                *(block(tokens, size, axis, drop_path) for drop_path in drop_paths),
                nn.LayerNorm(size, eps=1e-6),
            )

        self.spatial = blocks(c.num_joints, dim, "tokens")
        self.temporal = blocks(c.num_frame, width, "channels")
        self.frame_weights = (
            nn.Parameter(torch.full((c.num_frame,), 1 / c.num_frame)) if c.output == "centre" else None
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3 * c.num_joints))

    def forward(self, keypoints: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T2 J 3"]:
        check_window(keypoints, self.config.num_frame, self.config.num_joints, self.config.in_chans)
        x = self.spatial(self.dropout(self.embed(keypoints) + self.spatial_position))
        x = self.temporal(self.dropout(x.flatten(2) + self.temporal_position))
        if self.frame_weights is not None:
            x = (self.frame_weights @ x)[:, None]
        return self.head(x).unflatten(-1, (-1, 3))


def load_official(state_dict: Mapping, **kwargs) -> Model:
    """Load weights made by this file, bare or wrapped, strictly: the authors published neither code nor weights.

    Args:
        state_dict: of `Model`, bare or wrapped.
        **kwargs: fields of `Config`.
    """
    return load_strictly(Model(Config(**kwargs)), state_dict)


VARIANTS = {
    "243": Config(num_frame=243, kernel_sizes=(1, 3)),
    "81": Config(),
    "27": Config(num_frame=27),
    "usual": Config(num_frame=27, attention="usual"),
}
PARAMETERS: dict[str, int] = {}
"""None were published where we could read them."""

WEIGHTS: dict[str, Weights] = {}
"""None were published. Public tables of results name 43.2 mm (CPN keypoints) and 29.8 mm (ground-truth keypoints) at
243 frames, Human3.6M, protocol 1."""
