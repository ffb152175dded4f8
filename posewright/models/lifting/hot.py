"""HoT: an hourglass around a video transformer: prune to a few frames, then recover all frames (or the middle).

Li, Liu, Liu, Wang, Cai, Sebe, "Hourglass Tokenizer for Efficient Transformer-Based 3D Human Pose Estimation",
CVPR 2024, https://arxiv.org/abs/2311.12028. Official code: https://github.com/NationalGAILab/HoT (MIT). The
hosts are MixSTE, MHFormer, MotionBERT and MotionAGFormer. Differs: the frames are chosen deterministically
unless the official random draw is given (see `posewright.nn.token_pruning`).

Convention: keypoints (B, T, 17, 2 or 3), Human3.6M, screen units (x / w * 2 - 1, y / w * 2 - h / w), the
confidence as third channel where the host reads it, T the number of frames the model was made for.
`recover=True` (HoT): joints (B, T, 17, 3) of all frames. `recover=False` (TPC): joints (B, 1, 17, 3) of the
middle frame (T - 1) // 2; `Model.kept` gives all kept ones. Metres, camera axes, relative to the pelvis; with
MotionBERT and MotionAGFormer image units (see those files).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.core.weights import Paper, Weights
from posewright.nn import agformer, dual_stream, multi_hypothesis, spatiotemporal
from posewright.nn.agformer import AGFormer, published_adjacency
from posewright.nn.attention import CrossAttention, rising
from posewright.nn.checkpoints import KeyTable, holds, load_strictly, official_arguments
from posewright.nn.dual_stream import DualStreamTransformer
from posewright.nn.multi_hypothesis import HYPOTHESES, MultiHypothesisTransformer
from posewright.nn.spatiotemporal import AlternatingTransformer, BeforeLayer, check_window, position
from posewright.nn.token_pruning import density_peaks, take_frames
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="Hourglass Tokenizer for Efficient Transformer-Based 3D Human Pose Estimation",
    venue="CVPR 2024",
    url="https://arxiv.org/abs/2311.12028",
    code="https://github.com/NationalGAILab/HoT",
    code_licence="MIT",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=2, output_frames="all")
"""Of HoT with MixSTE, the default; `lifting(config)` for the others."""

HostName = Literal["mixste", "mhformer", "motionbert", "motionagformer"]


@dataclass(frozen=True)
class Config:
    """Sizes as in section 4.2; those of the host as in its own paper."""

    host: HostName = "mixste"
    recover: bool = True
    """Recover all frames (HoT) or give only the kept ones (TPC, which always keeps the middle frame)."""
    frames: int = 243
    """F."""
    token_num: int = 81
    """f, the frames that are kept."""
    layer_index: int = 3
    """n, the layer before which frames are pruned, counted from 0."""
    dim: int = 512
    """C, the width of a token (of one hypothesis for MHFormer)."""
    depth: int = 8
    """L, the layers of the host."""
    num_heads: int = 8
    hidden: int = 1024
    """Width inside the multi-layer perceptrons."""
    dim_rep: int = 512
    """Width of the motion representation of MotionBERT and MotionAGFormer."""
    neighbour_num: int = 4
    """Nearest frames in the temporal graph of MotionAGFormer."""
    num_joints: int = 17

    @property
    def channels(self) -> int:
        """Numbers per keypoint."""
        return 3 if self.host in ("motionbert", "motionagformer") else 2


def lifting(config: Config) -> Lifting:
    """Return the conventions of a configuration."""
    units = "image" if config.channels == 3 else "metres"
    frames = "all" if config.recover else "centre"
    return replace(LIFTING, channels=config.channels, output_frames=frames, joint_units=units)


class MixSTEHost(nn.Module):
    """MixSTE: alternating blocks; pruning before any layer but the first."""

    first_layer, qkv_bias = 1, True

    def __init__(self, config: Config):
        super().__init__()
        c = config
        self.embed = nn.Linear(2, c.dim)
        self.spatial_position, self.temporal_position = (
            position(1, c.num_joints, c.dim),
            position(1, c.frames, c.dim),
        )
        self.layers = AlternatingTransformer(c.depth, c.dim, c.num_heads, c.hidden, rising(0.1, c.depth))
        self.head = nn.Sequential(nn.LayerNorm(c.dim), nn.Linear(c.dim, 3))

    def encode(self, keypoints: Float[Tensor, "B T J 2"], prune: BeforeLayer) -> Float[Tensor, "B K J C"]:
        """Return the tokens of the kept frames."""
        return self.layers(self.embed(keypoints), self.spatial_position, self.temporal_position, prune)

    def decode(self, x: Float[Tensor, "B K J C"]) -> Float[Tensor, "B K J 3"]:
        """Return the joints of tokens."""
        return self.head(x)


class MotionBERTHost(nn.Module):
    """MotionBERT: two streams per layer."""

    first_layer, qkv_bias = 0, True

    def __init__(self, config: Config):
        super().__init__()
        c = config
        self.embed = nn.Linear(3, c.dim)
        self.joint_position, self.time_position = (
            position(1, c.num_joints, c.dim),
            position(1, c.frames, 1, c.dim),
        )
        self.layers = DualStreamTransformer(c.depth, c.dim, c.num_heads, c.hidden, [0.0] * c.depth)
        self.norm = nn.LayerNorm(c.dim, eps=1e-6)
        self.representation = nn.Sequential(nn.Linear(c.dim, c.dim_rep), nn.Tanh())
        self.head = nn.Linear(c.dim_rep, 3)

    def encode(self, keypoints: Float[Tensor, "B T J 3"], prune: BeforeLayer) -> Float[Tensor, "B K J C"]:
        """Return the tokens of the kept frames."""
        return self.norm(self.layers(self.embed(keypoints) + self.joint_position + self.time_position, prune))

    def decode(self, x: Float[Tensor, "B K J C"]) -> Float[Tensor, "B K J 3"]:
        """Return the joints of tokens."""
        return self.head(self.representation(x))


class MotionAGFormerHost(nn.Module):
    """MotionAGFormer: an attention and a graph stream per layer, whose batch norms count the kept frames."""

    first_layer, qkv_bias = 0, False

    def __init__(self, config: Config):
        super().__init__()
        c = config
        self.embed = nn.Linear(3, c.dim)
        self.joint_position = position(1, c.num_joints, c.dim)
        frames = [c.frames if i < c.layer_index else c.token_num for i in range(c.depth)]
        graph = published_adjacency(c.num_joints)
        self.layers = AGFormer(frames, graph, c.dim, c.hidden, c.num_heads, c.neighbour_num)
        self.norm = nn.LayerNorm(c.dim)
        self.representation = nn.Sequential(nn.Linear(c.dim, c.dim_rep), nn.Tanh())
        self.head = nn.Linear(c.dim_rep, 3)

    def encode(self, keypoints: Float[Tensor, "B T J 3"], prune: BeforeLayer) -> Float[Tensor, "B K J C"]:
        """Return the tokens of the kept frames."""
        return self.norm(self.layers(self.embed(keypoints) + self.joint_position, prune))

    def decode(self, x: Float[Tensor, "B K J C"]) -> Float[Tensor, "B K J 3"]:
        """Return the joints of tokens."""
        return self.head(self.representation(x))


class MHFormerHost(nn.Module):
    """MHFormer: a token is a frame, its channels the three hypotheses side by side."""

    first_layer, qkv_bias = 0, True

    def __init__(self, config: Config):
        super().__init__()
        c = config
        self.hypotheses = MultiHypothesisTransformer(
            c.frames, c.num_joints, c.dim, c.hidden, c.depth, c.num_heads
        )
        width = HYPOTHESES * c.dim
        self.regression = nn.Sequential(nn.BatchNorm1d(width), nn.Conv1d(width, 3 * c.num_joints, 1))

    def encode(self, keypoints: Float[Tensor, "B T J 2"], prune: BeforeLayer) -> Float[Tensor, "B K 1 C"]:
        """Return the tokens of the kept frames."""
        return self.hypotheses(keypoints, prune)[:, :, None]

    def decode(self, x: Float[Tensor, "B K 1 C"]) -> Float[Tensor, "B K J 3"]:
        """Return the joints of tokens."""
        return self.regression(x[:, :, 0].transpose(1, 2)).transpose(1, 2).unflatten(-1, (-1, 3))


HOSTS = {
    "mixste": MixSTEHost,
    "mhformer": MHFormerHost,
    "motionbert": MotionBERTHost,
    "motionagformer": MotionAGFormerHost,
}


class TokenRecoveringAttention(nn.Module):
    """Learned tokens of all frames that ask the kept ones (TRA, section 3.3), for each joint apart."""

    def __init__(self, frames: int, dim: int, num_heads: int, qkv_bias: bool):
        super().__init__()
        self.tokens = position(1, frames, dim)
        self.attention = CrossAttention(dim, num_heads, qkv_bias)

    def forward(self, x: Float[Tensor, "B K J C"]) -> Float[Tensor, "B T J C"]:
        kept = x.transpose(1, 2)
        tokens = self.tokens[:, None].expand(*kept.shape[:2], -1, -1)
        return (tokens + self.attention(tokens, kept, kept)).transpose(1, 2)


class Model(nn.Module):
    """Keypoints of a window to the joints of all its frames, or of the middle one (figure 3)."""

    def __init__(self, config: Config):
        super().__init__()
        c = config
        self.config = c
        self.host = HOSTS[c.host](c)
        check_pruning(c, self.host.first_layer)
        if c.recover:
            width = c.dim * (HYPOTHESES if c.host == "mhformer" else 1)
            self.token_position = position(1, c.token_num, width)
            self.recovery = TokenRecoveringAttention(c.frames, width, c.num_heads, self.host.qkv_bias)

    def prune(
        self,
        x: Float[Tensor, "B T *C"],
        noise: Float[Tensor, "B T"] | None,
        frames: Int[Tensor, "B K"] | None,
    ) -> tuple[Float[Tensor, "B K *C"], Int[Tensor, "B K"]]:
        """Choose frames, unless they are given, and return their tokens and them (TPC, section 3.2)."""
        c = self.config
        if frames is None:
            features = x.mean(2) if x.ndim == 4 else x
            frames = density_peaks(features, c.token_num, noise, None if c.recover else (c.frames - 1) // 2)
        x = take_frames(x, frames)
        if c.recover:
            x = x + (self.token_position[:, :, None] if x.ndim == 4 else self.token_position)
        return x, frames

    def encode(
        self,
        keypoints: Float[Tensor, "B T J C"],
        noise: Float[Tensor, "B T"] | None = None,
        frames: Int[Tensor, "B K"] | None = None,
    ) -> tuple[Float[Tensor, "B K J2 D"], Int[Tensor, "B K"]]:
        """Return the host's tokens of the kept frames, and which frames were kept (ascending).

        `noise` is the official random draw that breaks ties; `frames` replaces the choice, as the official
        test does for the mirrored run, which has to keep the frames of the plain one.
        """
        check_window(keypoints, self.config.frames, self.config.num_joints, self.config.channels)
        kept = frames

        def before_layer(layer: int, x: Tensor) -> Tensor:
            nonlocal kept
            if layer == self.config.layer_index:
                x, kept = self.prune(x, noise, kept)
            return x

        tokens = self.host.encode(keypoints, before_layer)
        assert kept is not None
        return tokens, kept

    def kept(
        self,
        keypoints: Float[Tensor, "B T J C"],
        noise: Float[Tensor, "B T"] | None = None,
        frames: Int[Tensor, "B K"] | None = None,
    ) -> tuple[Float[Tensor, "B K J 3"], Int[Tensor, "B K"]]:
        """Return the joints of the kept frames only, and which they are; arguments as for `encode`."""
        tokens, frames = self.encode(keypoints, noise, frames)
        return self.host.decode(tokens), frames

    def forward(
        self,
        keypoints: Float[Tensor, "B T J C"],
        noise: Float[Tensor, "B T"] | None = None,
        frames: Int[Tensor, "B K"] | None = None,
    ) -> Float[Tensor, "B T2 J 3"]:
        tokens, kept = self.encode(keypoints, noise, frames)
        if self.config.recover:
            return self.host.decode(self.recovery(tokens))
        middle = (kept == (self.config.frames - 1) // 2).int().argmax(-1, keepdim=True)
        return self.host.decode(take_frames(tokens, middle))


def check_pruning(config: Config, first: int) -> None:
    """Raise `ValueError` unless frames can be pruned as configured."""
    last = config.depth - (2 if config.host == "mhformer" else 1)
    if not first <= config.layer_index <= last or not 0 < config.token_num <= config.frames:
        raise ValueError(
            f"hot: layer_index is {config.layer_index} and token_num {config.token_num}, expected for {config.host} a "
            f"layer from {first} to {last} and at most {config.frames} frames"
        )


RECOVERY_KEYS: KeyTable = (
    (r"^token_position$", "pos_embed_token"),
    (r"^recovery\.tokens$", "x_token"),
    (r"^recovery\.attention\.proj\.", "cross_attention.proj."),
    (r"^recovery\.attention\.(q|k|v)\.", r"cross_attention.linear_\1."),
    (r"^host\.", ""),
)
OFFICIAL_KEYS: dict[str, KeyTable] = {
    "mixste": (
        (r"^spatial_position$", "Spatial_pos_embed"),
        (r"^temporal_position$", "Temporal_pos_embed"),
        (r"^embed\.", "Spatial_patch_to_embedding."),
        *spatiotemporal.OFFICIAL_KEYS,
    ),
    "mhformer": (
        (r"^hypotheses\.", ""),
        *multi_hypothesis.EMBEDDING_KEYS,
        *multi_hypothesis.OFFICIAL_KEYS,
    ),
    "motionbert": (
        (r"^joint_position$", "pos_embed"),
        (r"^time_position$", "temp_embed"),
        (r"^embed\.", "joints_embed."),
        (r"^representation\.0\.", "pre_logits.fc."),
        *dual_stream.OFFICIAL_KEYS,
    ),
    "motionagformer": (
        (r"^joint_position$", "pos_embed"),
        (r"^embed\.", "joints_embed."),
        (r"^representation\.0\.", "rep_logit.fc."),
        *agformer.OFFICIAL_KEYS,
    ),
}
MARKS = {
    "mixste": "STEblocks.",
    "mhformer": "Transformer_hypothesis.",
    "motionbert": "blocks_st.",
    "motionagformer": "layers.",
}
"""What the keys of each host begin with."""


def load_official(state_dict: Mapping, args: object = None, **kwargs) -> Model:
    """Load a checkpoint of an official HoT or TPC class; its keys tell the host, and whether frames are recovered.

    Args:
        state_dict: bare or wrapped.
        args: what the official constructors take, a dict or a namespace: `channel`, `d_hid`, `frames`, `n_joints`,
            `token_num`, `layer_index` for MixSTE and MHFormer, `maxlen` for the others.
        **kwargs: constants of the official MotionBERT and MotionAGFormer classes: `dim_feat`, `mlp_hidden_dim`,
            `dim_rep`, `depth` or `n_layers`, `num_heads`, `neighbour_num`, `maxlen`, `token_num`, `layer_index`.

    Raises:
        InputError: the checkpoint is of no host, or differs from what the arguments say.
    """
    host = next((name for name, mark in MARKS.items() if holds(state_dict, mark)), None)
    if host is None:
        raise InputError(
            f"hot: not a checkpoint of {', '.join(MARKS)}: no key begins with {', '.join(MARKS.values())}"
        )
    given = official_arguments(args, tuple(OFFICIAL_ARGUMENTS)) | kwargs
    if unknown := set(given) - set(OFFICIAL_ARGUMENTS):
        raise TypeError(
            f"hot: unknown argument {', '.join(sorted(unknown))}; known: {', '.join(OFFICIAL_ARGUMENTS)}"
        )
    sizes = {ours: given[theirs] for theirs, ours in OFFICIAL_ARGUMENTS.items() if theirs in given and ours}
    recover = holds(state_dict, "x_token")
    base = {
        "mixste": MIXSTE,
        "mhformer": MHFORMER,
        "motionbert": MOTIONBERT,
        "motionagformer": MOTIONAGFORMER,
    }[host]
    config = replace(base, **sizes, recover=recover)
    if host == "mixste" or (host == "motionagformer" and "hidden" not in sizes):
        config = replace(config, hidden=config.dim * (2 if host == "mixste" else 4))
    return load_strictly(Model(config), state_dict, (*RECOVERY_KEYS, *OFFICIAL_KEYS[host]))


OFFICIAL_ARGUMENTS = {
    "channel": "dim",
    "d_hid": "hidden",
    "frames": "frames",
    "n_joints": "num_joints",
    "out_joints": None,
    "token_num": "token_num",
    "layer_index": "layer_index",
    "dim_feat": "dim",
    "mlp_hidden_dim": "hidden",
    "dim_rep": "dim_rep",
    "depth": "depth",
    "n_layers": "depth",
    "num_heads": "num_heads",
    "neighbour_num": "neighbour_num",
    "maxlen": "frames",
    "layers": None,
}
"""Official argument -> our field, or None where it changes nothing. MixSTE's hidden width is always twice `channel`."""

MIXSTE = Config()
MHFORMER = Config("mhformer", False, 351, 117, 1, 512, 3, 8, 1024)
MOTIONBERT = Config("motionbert", True, 243, 81, 1, 256, 5, 8, 1024)
MOTIONAGFORMER = Config("motionagformer", True, 243, 81, 7, 128, 16, 4, 512)
VARIANTS = {
    "hot_mixste": MIXSTE,
    "tpc_mixste": replace(MIXSTE, recover=False, token_num=61, layer_index=7),
    "tpc_mhformer": MHFORMER,
    "hot_motionbert": MOTIONBERT,
    "hot_motionagformer": MOTIONAGFORMER,
}
PARAMETERS = {
    "hot_mixste": 35_000_323,
    "tpc_mixste": 33_783_811,
    "tpc_mhformer": 31_516_125,
    "hot_motionbert": 16_347_661,
    "hot_motionagformer": 11_828_031,
}
"""Measured on the official classes."""

_FOLDER = "https://drive.google.com/drive/folders/1Mr00vyPXMnAX2lA4r1r2L3nR1bR4wvoN"
WEIGHTS = {
    name: Weights(_FOLDER, "none stated", ("Human3.6M, CPN keypoints",))
    for name in ("hot_mixste", "tpc_mixste", "tpc_mhformer")
}
