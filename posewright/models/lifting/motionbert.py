"""MotionBERT: a dual-stream spatio-temporal transformer, pre-trained to recover motion from corrupted 2D.

Zhu, Ma, Liu, Liu, Wu, Wang, "MotionBERT: A Unified Perspective on Learning Human Motion Representations",
ICCV 2023, https://arxiv.org/abs/2210.06551. Official code: https://github.com/Walter0807/MotionBERT
(Apache-2.0). Here: the DSTformer with its 3D pose head and motion representation. Left out: action
recognition and mesh heads, the pre-training corruption.

Convention: keypoints (B, T, 17, 3) = x, y, confidence, Human3.6M, x and y in screen units (x / w * 2 - 1,
y / w * 2 - h / w), T at most `maxlen`; joints (B, T, 17, 3) in image units: x and y as the keypoints, z over half
the image width, relative to the pelvis, true up to one factor per frame (`joint_units="image"`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from re import search

from jaxtyping import Float
from torch import Tensor, nn

from posewright.core.weights import Paper, Weights
from posewright.nn.attention import rising
from posewright.nn.checkpoints import KeyTable, load_strictly
from posewright.nn.dual_stream import OFFICIAL_KEYS as LAYER_KEYS
from posewright.nn.dual_stream import DualStreamTransformer
from posewright.nn.spatiotemporal import check_window, position
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="MotionBERT: A Unified Perspective on Learning Human Motion Representations",
    venue="ICCV 2023",
    url="https://arxiv.org/abs/2210.06551",
    code="https://github.com/Walter0807/MotionBERT",
    code_licence="Apache-2.0",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=3, output_frames="all", joint_units="image", short_clips=True)


@dataclass(frozen=True)
class Config:
    """Sizes as in section 4.1."""

    dim_in: int = 3
    dim_out: int = 3
    dim_feat: int = 512
    """C_f, the width of a token."""
    dim_rep: int = 512
    """C_e, the width of the motion representation; 0: the tokens themselves."""
    depth: int = 5
    """N."""
    num_heads: int = 8
    """h."""
    mlp_ratio: float = 2.0
    num_joints: int = 17
    """J."""
    maxlen: int = 243
    """T, the longest clip."""
    qkv_bias: bool = True
    qk_scale: float | None = None
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    drop_path_rate: float = 0.0
    att_fuse: bool = True
    """Weigh the streams by attention (equation 6); otherwise half and half."""
    eps: float = 1e-6
    """Of all layer norms."""

    @property
    def frames(self) -> int:
        """Frames of the longest window."""
        return self.maxlen


class Model(nn.Module):
    """Keypoints of a clip to the joints of all its frames (figure 3)."""

    def __init__(self, config: Config):
        super().__init__()
        c, dim = config, config.dim_feat
        self.config = c
        self.embed = nn.Linear(c.dim_in, dim)
        self.joint_position, self.time_position = (
            position(1, c.num_joints, dim),
            position(1, c.maxlen, 1, dim),
        )
        nn.init.trunc_normal_(self.joint_position, std=0.02)
        nn.init.trunc_normal_(self.time_position, std=0.02)
        self.dropout = nn.Dropout(c.drop_rate)
        self.layers = DualStreamTransformer(
            c.depth,
            dim,
            c.num_heads,
            int(dim * c.mlp_ratio),
            rising(c.drop_path_rate, c.depth),
            c.att_fuse,
            qkv_bias=c.qkv_bias,
            scale=c.qk_scale,
            dropout=c.drop_rate,
            attention_dropout=c.attn_drop_rate,
            eps=c.eps,
        )
        self.norm = nn.LayerNorm(dim, eps=c.eps)
        self.representation = (
            nn.Sequential(nn.Linear(dim, c.dim_rep), nn.Tanh()) if c.dim_rep else nn.Identity()
        )
        self.head = nn.Linear(c.dim_rep or dim, c.dim_out) if c.dim_out > 0 else nn.Identity()

    def represent(self, keypoints: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T J R"]:
        """Return the motion representation E (section 3.3)."""
        check_window(keypoints, self.config.maxlen, self.config.num_joints, self.config.dim_in, shorter=True)
        x = self.embed(keypoints) + self.joint_position + self.time_position[:, : keypoints.shape[1]]
        return self.representation(self.norm(self.layers(self.dropout(x))))

    def forward(self, keypoints: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T J 3"]:
        return self.head(self.represent(keypoints))


def loss(
    joints: Float[Tensor, "B T J 3"], target: Float[Tensor, "B T J 3"], velocity_weight: float = 20.0
) -> Float[Tensor, ""]:
    """Sum the position error, half the error after the best scale per frame, and the weighted velocity error.

    The 3D loss of section 4.3 with the weights of the official recipe.
    """

    def error(a: Tensor, b: Tensor) -> Tensor:
        return (a - b).norm(dim=-1).mean()

    scale = (joints * target).sum((-2, -1), keepdim=True) / joints.square().sum(
        (-2, -1), keepdim=True
    ).clamp_min(1e-12)
    total = error(joints, target) + 0.5 * error(scale * joints, target)
    if joints.shape[1] > 1:
        total = total + velocity_weight * error(joints.diff(dim=1), target.diff(dim=1))
    return total


OFFICIAL_KEYS: KeyTable = (
    (r"^joint_position$", "pos_embed"),
    (r"^time_position$", "temp_embed"),
    (r"^embed\.", "joints_embed."),
    (r"^representation\.0\.", "pre_logits.fc."),
    *LAYER_KEYS,
)


def load_official(state_dict: Mapping, norm_layer: Callable | str | None = None, **kwargs) -> Model:
    """Load a checkpoint of the official `DSTformer`; `kwargs` are the fields of `Config`.

    `norm_layer` is a layer norm, bare or with its epsilon bound, or words that name the epsilon (`eps=1e-6`).
    None is 1e-6: every published checkpoint was made with it.
    """
    return load_strictly(Model(Config(**kwargs, eps=epsilon(norm_layer))), state_dict, OFFICIAL_KEYS)


def epsilon(norm_layer: Callable | str | None) -> float:
    """Return the epsilon that a norm layer, given as for the official constructor, has."""
    if norm_layer is None:
        return 1e-6
    if isinstance(norm_layer, str):
        found = search(r"eps\s*=\s*([0-9.eE+-]+\d)", norm_layer)
        return float(found[1]) if found else 1e-5
    if isinstance(norm_layer, partial):
        return norm_layer.keywords.get("eps", 1e-5)
    if norm_layer is nn.LayerNorm:
        return 1e-5
    raise ValueError(f"motionbert: norm_layer is {norm_layer!r}, expected LayerNorm, bare or with eps bound")


BASE = Config()
VARIANTS = {"base": BASE, "lite": replace(BASE, dim_feat=256, mlp_ratio=4)}
PARAMETERS = {"base": 42_466_317, "lite": 16_001_549}
"""Measured on the official class."""

WEIGHTS = {
    "h36m_finetuned": Weights(
        url="https://1drv.ms/f/s!AvAdh0LSjEOlgSoTqtyR5Zsgi8_Z",
        licence="none stated",
        trained_on=("Human3.6M and AMASS, pre-training", "Human3.6M, stacked-hourglass keypoints"),
        reported={"h36m_p1_mpjpe_mm": 37.2},
    ),
    "h36m_scratch": Weights(
        url="https://1drv.ms/f/s!AvAdh0LSjEOlgSvNejMQ0OHxMGZC",
        licence="none stated",
        trained_on=("Human3.6M, stacked-hourglass keypoints",),
        reported={"h36m_p1_mpjpe_mm": 39.2},
    ),
    "pretrained": Weights(
        url="https://1drv.ms/f/s!AvAdh0LSjEOlgS425shtVi9e5reN",
        licence="none stated",
        trained_on=("Human3.6M and AMASS, pre-training",),
    ),
    "pretrained_lite": Weights(
        url="https://1drv.ms/f/s!AvAdh0LSjEOlgS27Ydcbpxlkl0ng",
        licence="none stated",
        trained_on=("Human3.6M and AMASS, pre-training",),
    ),
}
