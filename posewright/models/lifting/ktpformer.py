"""KTPFormer: MixSTE whose first layers know the skeleton and the trajectories of the joints.

Peng, Zhou, Mok, "KTPFormer: Kinematics and Trajectory Prior Knowledge-Enhanced Transformer for 3D Human Pose
Estimation", CVPR 2024, https://arxiv.org/abs/2404.00658. Official code:
https://github.com/JihuaPeng/KTPFormer (no licence stated); none of it is used here. The two prior
blocks are in `posewright.nn.prior_attention`, to be put into other transformers too. Left out: the diffusion
variant, which was not released.

Convention: keypoints (B, T, 17, 2), Human3.6M, screen units (x / w * 2 - 1, y / w * 2 - h / w), T the number
of frames the model was made for; joints (B, T, 17, 3) in metres, camera axes, relative to the pelvis.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from posewright.core.weights import Paper, Weights
from posewright.nn.attention import rising
from posewright.nn.checkpoints import KeyTable, load_strictly
from posewright.nn.graph import bone_adjacency, chain_adjacency
from posewright.nn.prior_attention import KinematicsPriorBlock, TrajectoryPriorBlock, prior_adjacency
from posewright.nn.spatiotemporal import OFFICIAL_KEYS as LAYER_KEYS
from posewright.nn.spatiotemporal import AlternatingTransformer, check_window, over_time
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="KTPFormer: Kinematics and Trajectory Prior Knowledge-Enhanced Transformer for 3D Human Pose Estimation",
    venue="CVPR 2024",
    url="https://arxiv.org/abs/2404.00658",
    code="https://github.com/JihuaPeng/KTPFormer",
    code_licence="none stated",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=2, output_frames="all")


@dataclass(frozen=True)
class Config:
    """Sizes as in section 4.2."""

    num_frame: int = 243
    """F."""
    num_joints: int = 17
    """N."""
    in_chans: int = 2
    embed_dim_ratio: int = 512
    """d, the width of a token."""
    depth: int = 7
    """L, pairs of a spatial and a temporal block after the two prior blocks."""
    num_heads: int = 8
    mlp_ratio: float = 2.0
    qkv_bias: bool = True
    qk_scale: float | None = None
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    drop_path_rate: float = 0.1
    parents: tuple[int, ...] = H36M_17.parents
    """The skeleton."""

    @property
    def frames(self) -> int:
        """Frames of a window."""
        return self.num_frame


class Model(nn.Module):
    """Keypoints of a window to the joints of all its frames (figure 2)."""

    def __init__(
        self,
        config: Config,
        adjacency: Float[Tensor, "J J"] | None = None,
        temporal_adjacency: Float[Tensor, "T T"] | None = None,
    ):
        """Build. The adjacencies, as `prior_adjacency` makes them, replace the skeleton and the chain of frames."""
        super().__init__()
        c, dim = config, config.embed_dim_ratio
        self.config = c
        if adjacency is None:
            adjacency = prior_adjacency(bone_adjacency(c.parents))
        if temporal_adjacency is None:
            temporal_adjacency = prior_adjacency(chain_adjacency(c.num_frame))
        check_topologies(c, adjacency, temporal_adjacency)
        block = {
            "qkv_bias": c.qkv_bias,
            "scale": c.qk_scale,
            "dropout": c.drop_rate,
            "attention_dropout": c.attn_drop_rate,
        }
        hidden = int(dim * c.mlp_ratio)
        self.kinematics = KinematicsPriorBlock(adjacency, c.in_chans, dim, c.num_heads, hidden, **block)
        self.trajectory = TrajectoryPriorBlock(temporal_adjacency, dim, c.num_heads, hidden, **block)
        drop_paths = rising(c.drop_path_rate, c.depth + 1)[1:]
        self.layers = AlternatingTransformer(c.depth, dim, c.num_heads, hidden, drop_paths, **block)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 3))

    def forward(self, keypoints: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T J 3"]:
        check_window(keypoints, self.config.num_frame, self.config.num_joints, self.config.in_chans)
        x = self.layers.spatial_norm(self.kinematics(keypoints))
        x = self.layers.temporal_norm(over_time(self.trajectory, x))
        return self.head(self.layers(x))


def check_topologies(config: Config, adjacency: Tensor, temporal_adjacency: Tensor) -> None:
    """Raise `ValueError` unless the adjacencies have the sizes of the config."""
    found = (tuple(adjacency.shape), tuple(temporal_adjacency.shape))
    expected = ((config.num_joints,) * 2, (config.num_frame,) * 2)
    if found != expected:
        raise ValueError(
            f"ktpformer: the adjacencies of joints and frames have shapes {found}, expected {expected}"
        )


OFFICIAL_KEYS: KeyTable = (
    (r"^(kinematics|trajectory)\.(norm2|mlp)\.", r"\1.\2."),
    (r"^(kinematics|trajectory)\.attention\.", r"\1.attn."),
    (r"^(kinematics|trajectory)\.(prior|position|norm1)\b", r"\1.attn.\2"),
    (r"^kinematics\.attn\.position$", "kinematics.attn.Spatial_pos_embed"),
    (r"^trajectory\.attn\.position$", "trajectory.attn.Temporal_pos_embed"),
    (r"^kinematics\.attn\.prior\.", "kinematics.attn.kpa."),
    (r"^trajectory\.attn\.prior\.", "trajectory.attn.tpa."),
    (r"\.gconv\.weight$", ".gconv.W"),
    (r"\.gconv\.modulation$", ".gconv.M"),
    (r"\.gconv\.learned_adjacency$", ".gconv.adj2"),
    (r"^kinematics\.", "kpattention."),
    (r"^trajectory\.", "tpattention."),
    *LAYER_KEYS,
)


def load_official(
    state_dict: Mapping,
    adj: Float[Tensor, "J J"] | None = None,
    adj_temporal: Float[Tensor, "T T"] | None = None,
    norm_layer: object = None,
    **kwargs,
) -> Model:
    """Load a checkpoint of the official `KTPFormer`; `kwargs` are the fields of `Config`.

    `adj` and `adj_temporal` are the two fixed adjacencies, which a checkpoint does not hold; None: those of
    Human3.6M's skeleton and of the chain of frames, as published. `norm_layer` must be None or the published
    layer norm.
    """
    return load_strictly(Model(Config(**kwargs), adj, adj_temporal), state_dict, OFFICIAL_KEYS)


VARIANTS = {"243": Config(), "81": Config(num_frame=81), "27": Config(num_frame=27)}
PARAMETERS = {"243": 35_213_430, "81": 34_859_622, "27": 34_765_014}
"""Measured on the official class."""

_FOLDER = "https://drive.google.com/drive/u/0/folders/1Dpaj3IGxFR90ubrN4TMQ8vijQ7RCReeq"
WEIGHTS = {
    "h36m_cpn_243": Weights(
        url=f"{_FOLDER} (model_243_CPN_best_epoch.bin)",
        licence="none stated",
        trained_on=("Human3.6M, CPN keypoints",),
        reported={"h36m_p1_mpjpe_mm": 40.1, "h36m_p2_pa_mpjpe_mm": 31.9},
    ),
    "h36m_gt_243": Weights(
        url=f"{_FOLDER} (model_243_GT_best_epoch.bin)",
        licence="none stated",
        trained_on=("Human3.6M, ground-truth keypoints",),
    ),
}
