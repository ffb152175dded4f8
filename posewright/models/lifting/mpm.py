"""MPM: one transformer for 2D and 3D poses, pre-trained to fill in what is masked, fine-tuned to lift.

Zhang, Chai, Jiang, Ye, Song, Hwang, Wang, "MPM: A Unified 2D-3D Human Pose Representation via Masked Pose
Modeling", 2023, https://arxiv.org/abs/2306.17201. Official code: https://github.com/vvirgooo2/MPM (no licence
stated); none of it is used here. Three networks share their encoder: `MaskedPoseModel`
(pre-training; completion of 3D poses; lifting of occluded 2D poses), `Model` (the fine-tuned lifter),
`Refine` (blends x and y with the back-projected keypoints; it needs the root depth and the camera, so that
the published numbers with it are `oracle`). Left out: pose augmentation by a GAN.

Convention: keypoints (B, T, 17, 2), Human3.6M, screen units (x / w * 2 - 1, y / w * 2 - h / w), T the number
of frames the model was made for, on Human3.6M every second frame of the clip; joints in metres, camera axes,
relative to the pelvis: (B, 1, 17, 3) of the middle frame from `Model`, (B, T, 17, 3) from `MaskedPoseModel`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from posewright.core.weights import Paper, Weights
from posewright.nn.attention import CrossAttention
from posewright.nn.checkpoints import KeyTable, holds, load_strictly, official_arguments, unwrap
from posewright.nn.graph import NodeNorm
from posewright.nn.spatiotemporal import check_window
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="MPM: A Unified 2D-3D Human Pose Representation via Masked Pose Modeling",
    venue="arXiv 2023",
    url="https://arxiv.org/abs/2306.17201",
    code="https://github.com/vvirgooo2/MPM",
    code_licence="none stated",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=2, output_frames="centre")
NUM_HEADS = 8
SLOPE = 0.2
"""Of the leaky ReLUs."""
DROPOUT = 0.1
"""In the transformers."""


@dataclass(frozen=True)
class Config:
    """Sizes as in section 4.1."""

    layers: int = 4
    """Of the shared temporal encoder."""
    channel: int = 256
    """Width of a frame's token."""
    d_hid: int = 512
    """Width inside the feed-forward layers."""
    frames: int = 243
    """T."""
    stride_num: tuple[int, ...] = (3, 3, 3, 3, 3)
    """Strides of the lifter's last layers; they bring T frames to one."""
    n_joints: int = 17
    decoder_layers: int = 1
    """Of `MaskedPoseModel`: 1 for pre-training, 2 for completion."""
    dropout: float = 0.2
    """In the spatial perceptrons: 0.2 for lifting, 0.1 for pre-training."""

    @property
    def num_joints(self) -> int:
        """Joints of the keypoints."""
        return self.n_joints


class StandardNorm(nn.Module):
    """Layer norm with the unbiased deviation, epsilon added to it and not to the variance."""

    def __init__(self, dim: int, eps: float = 1e-6):
        super().__init__()
        self.weight, self.bias, self.eps = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim)), eps

    def forward(self, x: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        deviation, mean = torch.std_mean(x, -1, keepdim=True)
        return self.weight * (x - mean) / (deviation + self.eps) + self.bias


class PoseEmbedding(nn.Module):
    """All coordinates of a frame to one vector: linear layer, batch norm, leaky ReLU (2D or 3D encoder, figure 2)."""

    def __init__(self, coordinates: int, width: int, dropout: float):
        super().__init__()
        self.linear, self.norm = nn.Linear(coordinates, width), NodeNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T C"]:
        return self.dropout(F.leaky_relu(self.norm(self.linear(x)), SLOPE))


class SpatialPerceptron(nn.Module):
    """The shared spatial layers: two linear layers with batch norm and a shortcut, then one to the token's width."""

    def __init__(self, width: int, dim: int, dropout: float):
        super().__init__()
        self.first, self.second = PoseEmbedding(width, width, dropout), PoseEmbedding(width, width, dropout)
        self.out = nn.Linear(width, dim)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T D"]:
        return self.out(x + self.second(self.first(x)))


class FeedForward(nn.Module):
    """Two layers with ReLU; with a `stride`, the second is a convolution over three frames with it."""

    def __init__(self, dim: int, hidden: int, stride: int | None = None):
        super().__init__()
        self.first, self.stride = nn.Linear(dim, hidden), stride
        self.second = nn.Linear(hidden, dim) if stride is None else nn.Conv1d(hidden, dim, 3, stride, 1)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T2 C"]:
        x = self.dropout(F.relu(self.first(x)))
        return self.second(x) if self.stride is None else self.second(x.transpose(1, 2)).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Pre-norm transformer layer; with a `stride`, it gives every `stride`-th frame."""

    def __init__(self, dim: int, hidden: int, stride: int | None = None):
        super().__init__()
        self.norm1, self.norm2 = StandardNorm(dim), StandardNorm(dim)
        self.attention = CrossAttention(dim, NUM_HEADS)
        self.feed_forward = FeedForward(dim, hidden, stride)
        self.stride, self.dropout = stride or 1, nn.Dropout(DROPOUT)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T2 C"]:
        y = self.norm1(x)
        x = x + self.dropout(self.attention(y, y, y))
        return x[:, :: self.stride] + self.dropout(self.feed_forward(self.norm2(x)))


class Transformer(nn.Module):
    """Encoder layers; `unused_norm` is in every published checkpoint and never applied."""

    def __init__(self, dim: int, hidden: int, strides: Sequence[int | None]):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(dim, hidden, stride) for stride in strides)
        self.unused_norm = StandardNorm(dim)

    def forward(self, x: Float[Tensor, "B T C"], positions: Sequence[Tensor] = ()) -> Float[Tensor, "B T2 C"]:
        for i, layer in enumerate(self.layers):
            x = layer(x + positions[i][:, : x.shape[1]] if i < len(positions) else x)
        return x


class Regression(nn.Sequential):
    """Batch norm and a linear layer: tokens to coordinates."""

    def __init__(self, dim: int, coordinates: int):
        super().__init__(NodeNorm(dim), nn.Linear(dim, coordinates))


class Encoder(nn.Module):
    """What pre-training and lifting share: pose embedding, spatial perceptron, temporal transformer (figure 2)."""

    def __init__(self, config: Config, dimensions: Sequence[int]):
        super().__init__()
        c, width = config, 2 * config.channel
        self.embeddings = nn.ModuleDict(
            {f"{d}d": PoseEmbedding(d * c.n_joints, width, c.dropout) for d in dimensions}
        )
        self.spatial = SpatialPerceptron(width, c.channel, c.dropout)
        self.position = nn.Parameter(torch.randn(1, c.frames, c.channel))
        self.temporal = Transformer(c.channel, c.d_hid, [None] * c.layers)

    def forward(
        self, poses: Float[Tensor, "B T J D"], visible: Bool[Tensor, " T"] | None = None
    ) -> Float[Tensor, "B T2 C"]:
        """Return the tokens of the frames, or of the visible ones only."""
        x = self.spatial(self.embeddings[f"{poses.shape[-1]}d"](poses.flatten(2))) + self.position
        return self.temporal(x if visible is None else x[:, visible])


class Model(nn.Module):
    """Keypoints of a window to the joints of its middle frame (the fine-tuned lifter, section 3.4)."""

    def __init__(self, config: Config):
        super().__init__()
        c = config
        left = c.frames
        for stride in c.stride_num:
            left = -(-left // stride)
        if left != 1:
            raise ValueError(
                f"mpm: the strides {c.stride_num} bring {c.frames} frames to {left}, expected to 1"
            )
        self.config = c
        self.encoder = Encoder(c, (2,))
        self.positions = nn.ParameterList(torch.randn(1, c.frames, c.channel) for _ in range(3))
        self.strided = Transformer(c.channel, c.d_hid, c.stride_num)
        self.head, self.head_of_all = (Regression(c.channel, 3 * c.n_joints) for _ in range(2))

    def both(
        self, keypoints: Float[Tensor, "B T J 2"]
    ) -> tuple[Float[Tensor, "B 1 J 3"], Float[Tensor, "B T J 3"]]:
        """Return the joints of the middle frame, and those of all frames from the auxiliary head, for training."""
        check_window(keypoints, self.config.frames, self.config.n_joints, 2)
        x = self.encoder(keypoints)
        middle = self.head(self.strided(x, list(self.positions)))
        return middle.unflatten(-1, (-1, 3)), self.head_of_all(x).unflatten(-1, (-1, 3))

    def forward(self, keypoints: Float[Tensor, "B T J 2"]) -> Float[Tensor, "B 1 J 3"]:
        return self.both(keypoints)[0]


class MaskedPoseModel(nn.Module):
    """Poses with masked joints and frames to whole ones, of the same kind or lifted (section 3.2)."""

    def __init__(self, config: Config):
        super().__init__()
        c = config
        self.config = c
        self.encoder = Encoder(c, (2, 3))
        self.joint_tokens = nn.ParameterDict({f"{d}d": nn.Parameter(torch.randn(1, 1, d)) for d in (2, 3)})
        self.frame_token = nn.Parameter(torch.randn(1, 1, c.channel))
        self.norm = StandardNorm(c.channel)
        self.position = nn.Parameter(torch.randn(1, c.frames, c.channel))
        strides = [None] * c.decoder_layers
        self.decoders = nn.ModuleDict({f"{d}d": Transformer(c.channel, c.d_hid, strides) for d in (2, 3)})
        self.heads = nn.ModuleDict({f"{d}d": Regression(c.channel, d * c.n_joints) for d in (2, 3)})

    def encode(
        self,
        poses: Float[Tensor, "B T J D"],
        masked_joints: Bool[Tensor, "B2 T2 J"] | None = None,
        hidden_frames: Bool[Tensor, " T"] | None = None,
    ) -> Float[Tensor, "B T C"]:
        """Return the tokens that the decoders read.

        `masked_joints` (each of its first two dimensions may be 1) are replaced by a learned point before the
        encoder; `hidden_frames` do not enter the encoder, and a learned token stands for them afterwards.
        """
        c = self.config
        check_window(poses, c.frames, c.n_joints, 3 if poses.shape[-1] == 3 else 2)
        if masked_joints is not None:
            poses = torch.where(masked_joints[..., None], self.joint_tokens[f"{poses.shape[-1]}d"], poses)
        if hidden_frames is None:
            return self.norm(self.encoder(poses)) + self.position
        seen = self.norm(self.encoder(poses, ~hidden_frames))
        tokens = self.frame_token.expand(len(poses), c.frames, -1).clone()
        tokens[:, ~hidden_frames] = seen
        return tokens + self.position

    def decode(self, tokens: Float[Tensor, "B T C"], dimensions: int) -> Float[Tensor, "B T J D"]:
        """Return poses of 2 or 3 dimensions."""
        kind = f"{dimensions}d"
        return self.heads[kind](self.decoders[kind](tokens)).unflatten(-1, (-1, dimensions))

    def forward(
        self,
        poses: Float[Tensor, "B T J D"],
        masked_joints: Bool[Tensor, "B2 T2 J"] | None = None,
        hidden_frames: Bool[Tensor, " T"] | None = None,
    ) -> Float[Tensor, "B T J 3"]:
        """Complete 3D poses, or lift 2D ones, occluded or not."""
        return self.decode(self.encode(poses, masked_joints, hidden_frames), 3)


class Refine(nn.Module):
    """Blend the predicted x and y with those back-projected from the keypoints at the predicted depth."""

    def __init__(self, n_joints: int = 17, hidden: int = 1024):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(6 * n_joints, hidden),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(hidden, 2 * n_joints),
            nn.Sigmoid(),
        )

    def forward(
        self, joints: Float[Tensor, "B 1 J 3"], back_projected: Float[Tensor, "B 1 J 3"]
    ) -> Float[Tensor, "B 1 J 3"]:
        score = self.layers(torch.cat([joints, back_projected], -1).flatten(1)).view(*joints.shape[:-1], 2)
        plane = score * joints[..., :2] + (1 - score) * back_projected[..., :2]
        return torch.cat([plane, joints[..., 2:]], -1)


def sample_masks(
    frames: int, joints: int, masked_joints: int, hidden_frames: int, generator: torch.Generator | None = None
) -> tuple[Bool[Tensor, "1 T J"], Bool[Tensor, " T"]]:
    """Draw the masks of pre-training: so many joints in every frame, so many frames (section 3.2)."""
    order = torch.rand(frames, joints, generator=generator).argsort(-1)
    hidden = torch.rand(frames, generator=generator).argsort() < hidden_frames
    return (order < masked_joints)[None], hidden


def loss(
    model: MaskedPoseModel,
    keypoints: Float[Tensor, "B T J 2"],
    joints: Float[Tensor, "B T J 3"],
    masked_joints: Bool[Tensor, "B2 T2 J"],
    hidden_frames: Bool[Tensor, " T"],
) -> Float[Tensor, ""]:
    """Sum the errors of masked 2D, masked 3D and masked lifting, weighted 5, 2 and 1 as in the official recipe."""
    from_2d = model.encode(keypoints, masked_joints, hidden_frames)
    from_3d = model.encode(joints, masked_joints, hidden_frames)
    errors = (
        (model.decode(from_2d, 2) - keypoints, 5),
        (model.decode(from_3d, 3) - joints, 2),
        (model.decode(from_2d, 3) - joints, 1),
    )
    return torch.stack([weight * error.norm(dim=-1).mean() for error, weight in errors]).sum()


def fine_tune(pretrained: MaskedPoseModel, config: Config) -> Model:
    """Return a lifter whose encoder starts from the pre-trained one; the rest is new."""
    model = Model(config)
    shared = {k: v for k, v in pretrained.encoder.state_dict().items() if not k.startswith("embeddings.3d.")}
    model.encoder.load_state_dict(shared)
    return model


OFFICIAL_KEYS: KeyTable = (
    (r"^encoder\.embeddings\.(\d)d\.linear\.", r"encoder\1d.fc_1."),
    (r"^encoder\.embeddings\.(\d)d\.norm\.", r"encoder\1d.bn_1."),
    (r"^encoder\.spatial\.first\.linear\.", "shared_layers_spatial.layers.0.w1."),
    (r"^encoder\.spatial\.first\.norm\.", "shared_layers_spatial.layers.0.batch_norm1."),
    (r"^encoder\.spatial\.second\.linear\.", "shared_layers_spatial.layers.0.w2."),
    (r"^encoder\.spatial\.second\.norm\.", "shared_layers_spatial.layers.0.batch_norm2."),
    (r"^encoder\.spatial\.out\.", "shared_layers_spatial.fc_2."),
    (r"^encoder\.position$", "shared_layers_temporal.pos_embedding"),
    (r"^encoder\.temporal\.", "shared_layers_temporal.model."),
    (r"^strided\.", "Transformer_reduce.model."),
    (r"^positions\.0$", "Transformer_reduce.model.pos_embedding_1"),
    (r"^positions\.1$", "Transformer_reduce.model.pos_embedding_2"),
    (r"^positions\.2$", "Transformer_reduce.model.pos_embedding_3"),
    (r"^head\.", "fcn."),
    (r"^head_of_all\.", "fcn_1."),
    (r"^decoders\.(\d)d\.", r"decoder\1d.model."),
    (r"^heads\.(\d)d\.", r"fcn_dec\1d."),
    (r"^joint_tokens\.(\d)d$", r"spatial_mask_token\1d"),
    (r"^frame_token$", "temporal_mask_token"),
    (r"^position$", "dec_pos_embedding"),
    (r"^norm\.", "encoder_LN."),
    (r"\.unused_norm\.", ".norm."),
    (r"\.norm1\.", ".sublayer.0.norm."),
    (r"\.norm2\.", ".sublayer.1.norm."),
    *(
        (rf"\.attention\.{name}\.", f".self_attn.linears.{i}.")
        for i, name in enumerate(("q", "k", "v", "proj"))
    ),
    (r"\.feed_forward\.first\.", ".feed_forward.w_1."),
    (r"\.feed_forward\.second\.", ".feed_forward.w_2."),
    (r"((?:^encoder_LN|\.norm)\.)weight$", r"\1a_2"),
    (r"((?:^encoder_LN|\.norm)\.)bias$", r"\1b_2"),
    (r"^layers\.(\d)\.", r"post_refine.\1."),
)
POINTWISE = (r"^encoder\d", r"^shared_layers_spatial\.", r"^fcn", r"\.w_1\.")
"""Official convolutions of width one."""
DEAD = (r"\.unused_norm\.",)
"""Our parameters that change nothing; they are kept because every published checkpoint has them."""


def load_official(
    state_dict: Mapping, args: object = None, opt: object = None, fc_unit: int = 1024, **kwargs
) -> Model | MaskedPoseModel | Refine:
    """Load a checkpoint of the official lifter, masked pose model or refine head; its keys tell which it is.

    Args:
        state_dict: bare or wrapped.
        args: what the official constructors take, a dict or a namespace: `layers`, `channel`, `d_hid`, `frames`,
            `n_joints`, `stride_num` (lifter). What says how the masked pose model is trained is not read.
        opt: what the official refine head takes: `n_joints`.
        fc_unit: hidden width of the refine head, a constant of the official module.
        **kwargs: the same names as in `args`.
    """
    names = ("layers", "channel", "d_hid", "frames", "stride_num", "n_joints")
    sizes = official_arguments(args, names) | official_arguments(opt, ("n_joints",)) | kwargs
    if holds(state_dict, "post_refine."):
        return load_strictly(Refine(sizes.get("n_joints", 17), fc_unit), state_dict, OFFICIAL_KEYS)
    if "stride_num" in sizes:
        sizes["stride_num"] = tuple(int(stride) for stride in sizes["stride_num"])
    config = Config(**sizes)
    if not holds(state_dict, "decoder2d."):
        return load_strictly(Model(config), state_dict, OFFICIAL_KEYS, POINTWISE)
    beginning = "decoder2d.model.layers."
    layers = {key.split(".")[3] for key in unwrap(state_dict) if key.startswith(beginning)}
    model = MaskedPoseModel(replace(config, decoder_layers=len(layers), dropout=0.1))
    return load_strictly(model, state_dict, OFFICIAL_KEYS, POINTWISE)


BASE = Config()
VARIANTS = {
    "243": BASE,
    "243_3layers": replace(BASE, layers=3),
    "81": replace(BASE, layers=3, frames=81, stride_num=(3, 3, 3, 3)),
    "27": replace(BASE, layers=3, frames=27, stride_num=(3, 3, 3)),
    "243_16joints": replace(BASE, layers=3, n_joints=16),
}
PARAMETERS = {
    "243": 7_009_382,
    "243_3layers": 6_482_278,
    "81": 5_527_142,
    "27": 4_682_598,
    "243_16joints": 6_479_712,
}
"""Of the lifter, measured on the official class."""
MASKED_VARIANTS = {
    "pretraining": replace(BASE, dropout=0.1),
    "completion": replace(BASE, layers=3, frames=27, decoder_layers=2, dropout=0.1, stride_num=(3, 3, 3)),
}
MASKED_PARAMETERS = {"pretraining": 4_017_498, "completion": 4_434_010}
"""Of the masked pose model, measured on the official classes."""

_FOLDER = "https://drive.google.com/drive/folders/1wALsIyyHnKzVDCYjUpuC7N_MFZHcRkA5"
WEIGHTS = {
    "h36m_cpn_243": Weights(_FOLDER, "none stated", ("Human3.6M, CPN keypoints",)),
    "h36m_gt_243": Weights(_FOLDER, "none stated", ("Human3.6M, ground-truth keypoints",)),
}
