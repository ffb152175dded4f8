"""VideoPose3D: dilated temporal convolutions lift the keypoints of a window to the pose of its middle frame.

Pavllo, Feichtenhofer, Grangier, Auli, "3D human pose estimation in video with temporal convolutions and
semi-supervised training", CVPR 2019, https://arxiv.org/abs/1811.11742. Official code:
https://github.com/facebookresearch/VideoPose3D (CC BY-NC 4.0); none of it is used here. Left out:
the trajectory model, the semi-supervised losses.

Convention: keypoints (B, T, K, 2) in screen units (x / w * 2 - 1, y / w * 2 - h / w), any joint set; joints
(B, T - receptive_field + 1, J, 3) in metres, camera axes, relative to the root, one per place of the window.
Pad a clip with repeated edge frames, (receptive_field - 1) / 2 on each side, or all on the left for a causal
model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from posewright.core.weights import Paper, Weights
from posewright.nn.checkpoints import KeyTable, load_strictly
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="3D human pose estimation in video with temporal convolutions and semi-supervised training",
    venue="CVPR 2019",
    url="https://arxiv.org/abs/1811.11742",
    code="https://github.com/facebookresearch/VideoPose3D",
    code_licence="CC-BY-NC-4.0",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=2, output_frames="valid")


@dataclass(frozen=True)
class Config:
    """Sizes as in section 3."""

    num_joints_in: int = 17
    in_features: int = 2
    num_joints_out: int = 17
    filter_widths: tuple[int, ...] = (3, 3, 3, 3, 3)
    """W: kernel width of the first layer and of each block; the receptive field is their product."""
    causal: bool = False
    """Look only at the past (figure 5)."""
    dropout: float = 0.25
    channels: int = 1024
    """C."""
    dense: bool = False
    """Kernels without holes of the same reach, instead of dilated ones (the ablation of section 5)."""

    @property
    def frames(self) -> int:
        """Frames the pose depends on."""
        return prod(self.filter_widths)


class Block(nn.Module):
    """A dilated and a 1x1 convolution, each with batch norm, ReLU and dropout, and a cut shortcut (figure 2)."""

    def __init__(self, channels: int, width: int, dilation: int, causal: bool, dropout: float, dense: bool):
        super().__init__()
        self.width, self.causal, self.reach = width, causal, (width - 1) * dilation
        kernel, dilation = (self.reach + 1, 1) if dense else (width, dilation)
        self.conv = nn.Conv1d(channels, channels, kernel, dilation=dilation, bias=False)
        self.conv_norm = nn.BatchNorm1d(channels)
        self.mix = nn.Conv1d(channels, channels, 1, bias=False)
        self.mix_norm = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "B C T"], strided: bool = False) -> Float[Tensor, "B C T2"]:
        if strided:
            shortcut = x[:, :, self.width - 1 if self.causal else self.width // 2 :: self.width]
            x = F.conv1d(x, self.conv.weight, stride=self.width)
        else:
            start = self.reach if self.causal else self.reach // 2
            shortcut = x[:, :, start : start + x.shape[-1] - self.reach]
            x = self.conv(x)
        x = self.dropout(F.relu(self.conv_norm(x)))
        return shortcut + self.dropout(F.relu(self.mix_norm(self.mix(x))))


class Model(nn.Module):
    """Keypoints of a clip to the joints of every frame that has a full window."""

    def __init__(self, config: Config):
        super().__init__()
        check_widths(config)
        c, widths = config, config.filter_widths
        self.config = c
        self.expand = nn.Conv1d(c.num_joints_in * c.in_features, c.channels, widths[0], bias=False)
        self.expand_norm = nn.BatchNorm1d(c.channels)
        self.dropout = nn.Dropout(c.dropout)
        self.blocks = nn.ModuleList(
            Block(c.channels, width, prod(widths[: i + 1]), c.causal, c.dropout, c.dense)
            for i, width in enumerate(widths[1:])
        )
        self.shrink = nn.Conv1d(c.channels, c.num_joints_out * 3, 1)

    def forward(
        self, keypoints: Float[Tensor, "B T K C"], strided: bool = False
    ) -> Float[Tensor, "B T2 J 3"]:
        """Lift. With `strided`, compute only every `receptive_field`-th pose: what training on single windows needs."""
        if strided and self.config.dense:
            raise ValueError("videopose3d: dense kernels cannot be strided; call it with strided=False")
        x = keypoints.flatten(2).transpose(1, 2)
        x = (
            F.conv1d(x, self.expand.weight, stride=self.config.filter_widths[0])
            if strided
            else self.expand(x)
        )
        x = self.dropout(F.relu(self.expand_norm(x)))
        for block in self.blocks:
            x = block(x, strided)
        return self.shrink(x).transpose(1, 2).unflatten(-1, (self.config.num_joints_out, 3))


def check_widths(config: Config) -> None:
    """Raise `ValueError` unless every kernel has a middle."""
    if not config.filter_widths or any(width < 1 or width % 2 == 0 for width in config.filter_widths):
        raise ValueError(
            f"videopose3d: filter_widths are {config.filter_widths}, expected odd positive numbers"
        )


OFFICIAL_KEYS: KeyTable = (
    (r"^expand\.", "expand_conv."),
    (r"^expand_norm\.", "expand_bn."),
)


def official_keys(config: Config) -> KeyTable:
    """Return the key table: the official class keeps both convolutions of all blocks in one list, and both norms."""
    blocks = [
        (rf"^blocks\.{i}\.{ours}\.", f"layers_{kind}.{2 * i + j}.")
        for i in range(len(config.filter_widths) - 1)
        for ours, kind, j in (
            ("conv", "conv", 0),
            ("mix", "conv", 1),
            ("conv_norm", "bn", 0),
            ("mix_norm", "bn", 1),
        )
    ]
    return (*OFFICIAL_KEYS, *blocks)


def load_official(
    state_dict: Mapping,
    num_joints_in: int,
    in_features: int,
    num_joints_out: int,
    filter_widths: Sequence[int],
    causal: bool = False,
    dropout: float = 0.25,
    channels: int = 1024,
    dense: bool = False,
) -> Model:
    """Load a checkpoint of the official `TemporalModel` (or of its strided twin, which has the same weights)."""
    config = Config(
        num_joints_in, in_features, num_joints_out, tuple(filter_widths), causal, dropout, channels, dense
    )
    return load_strictly(Model(config), state_dict, official_keys(config))


VARIANTS = {
    "243": Config(),
    "81": Config(filter_widths=(3, 3, 3, 3)),
    "27": Config(filter_widths=(3, 3, 3)),
    "243_causal": Config(causal=True),
    "81_causal": Config(filter_widths=(3, 3, 3, 3), causal=True),
    "27_causal": Config(filter_widths=(3, 3, 3), causal=True),
    "humaneva_27": Config(15, 2, 15, (3, 3, 3)),
}
PARAMETERS = {"243": 16_952_371, "81": 12_753_971, "27": 8_555_571, "243_causal": 16_952_371}
"""Measured on the official classes."""

WEIGHTS = {
    "h36m_cpn_243": Weights(
        url="https://dl.fbaipublicfiles.com/video-pose-3d/pretrained_h36m_cpn.bin",
        licence="CC-BY-NC-4.0",
        trained_on=("Human3.6M, CPN keypoints",),
        reported={"h36m_p1_mpjpe_mm": 46.8, "h36m_p2_pa_mpjpe_mm": 36.5},
    ),
    "humaneva15_27": Weights(
        url="https://dl.fbaipublicfiles.com/video-pose-3d/pretrained_humaneva15_detectron.bin",
        licence="CC-BY-NC-4.0",
        trained_on=("HumanEva-I, Mask R-CNN keypoints",),
        reported={"humaneva_p1_mpjpe_mm": 33.0},
    ),
    "h36m_detectron_coco_243": Weights(
        url="https://dl.fbaipublicfiles.com/video-pose-3d/pretrained_h36m_detectron_coco.bin",
        licence="CC-BY-NC-4.0",
        trained_on=("Human3.6M, Mask R-CNN keypoints in COCO-17 order",),
    ),
}
