"""MotionAGFormer: attention and graph convolution streams side by side, fused per token.

Mehraban, Adeli, Taati, "MotionAGFormer: Enhancing 3D Human Pose Estimation with a Transformer-GCNFormer
Network", WACV 2024, https://arxiv.org/abs/2310.16288. Official code:
https://github.com/TaatiTeam/MotionAGFormer (Apache-2.0). Left out: the options no published variant uses
(hierarchical, multi-scale convolutions over time, graph-only stream, fixed temporal graph).

Convention: keypoints (B, T, 17, 3) = x, y, confidence, screen units (x / w * 2 - 1, y / w * 2 - h / w), T the
number of frames the model was made for; joints (B, T, 17, 3) in image units: x and y as the keypoints, z over
half the image width, relative to the root, true up to one factor per frame (`joint_units="image"`). The
Human3.6M variants use Human3.6M's order. The MPI-INF-3DHP variants use the order of `mpi_17` with confidence
1, and keep Human3.6M's joint graph on it, as published.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor, nn

from posewright.core.weights import Paper, Weights
from posewright.nn.agformer import OFFICIAL_KEYS as LAYER_KEYS
from posewright.nn.agformer import AGFormer, published_adjacency
from posewright.nn.checkpoints import KeyTable, load_strictly
from posewright.nn.spatiotemporal import check_window, position
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="MotionAGFormer: Enhancing 3D Human Pose Estimation with a Transformer-GCNFormer Network",
    venue="WACV 2024",
    url="https://arxiv.org/abs/2310.16288",
    code="https://github.com/TaatiTeam/MotionAGFormer",
    code_licence="Apache-2.0",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=3, output_frames="all", joint_units="image")


@dataclass(frozen=True)
class Config:
    """Sizes as in section 3 and table 1."""

    n_layers: int = 16
    """N."""
    dim_in: int = 3
    dim_feat: int = 128
    """d, the width of a token."""
    dim_rep: int = 512
    """d', the width of the motion representation."""
    dim_out: int = 3
    mlp_ratio: float = 4
    num_heads: int = 8
    qkv_bias: bool = False
    qkv_scale: float | None = None
    neighbour_num: int = 2
    """K, the nearest frames a frame gathers from in the temporal graph."""
    n_frames: int = 243
    """T; fixed by the weights, since the batch norms of the temporal graphs count frames."""
    num_joints: int = 17
    """J."""
    use_layer_scale: bool = True
    layer_scale_init_value: float = 1e-5
    use_adaptive_fusion: bool = True
    """Weigh the streams per token (equation 10); otherwise half and half."""
    drop: float = 0.0
    attn_drop: float = 0.0
    drop_path: float = 0.0

    @property
    def frames(self) -> int:
        """Frames of a window."""
        return self.n_frames


class Model(nn.Module):
    """Keypoints of a window to the joints of all its frames (figure 2)."""

    def __init__(self, config: Config, adjacency: Float[Tensor, "J J"] | None = None):
        """Build. `adjacency` replaces the published joint graph."""
        super().__init__()
        c = config
        self.config = c
        self.embed = nn.Linear(c.dim_in, c.dim_feat)
        self.joint_position = position(1, c.num_joints, c.dim_feat)
        self.layers = AGFormer(
            [c.n_frames] * c.n_layers,
            published_adjacency(c.num_joints) if adjacency is None else adjacency,
            c.dim_feat,
            int(c.dim_feat * c.mlp_ratio),
            c.num_heads,
            c.neighbour_num,
            c.qkv_bias,
            c.qkv_scale,
            c.layer_scale_init_value if c.use_layer_scale else None,
            c.use_adaptive_fusion,
            c.drop,
            c.attn_drop,
            c.drop_path,
        )
        self.norm = nn.LayerNorm(c.dim_feat)
        self.representation = nn.Sequential(nn.Linear(c.dim_feat, c.dim_rep), nn.Tanh())
        self.head = nn.Linear(c.dim_rep, c.dim_out)

    def represent(self, keypoints: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T J R"]:
        """Return the motion semantics that the head reads."""
        check_window(keypoints, self.config.n_frames, self.config.num_joints, self.config.dim_in)
        x = self.layers(self.embed(keypoints) + self.joint_position)
        return self.representation(self.norm(x))

    def forward(self, keypoints: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T J 3"]:
        return self.head(self.represent(keypoints))


OFFICIAL_KEYS: KeyTable = (
    (r"^joint_position$", "pos_embed"),
    (r"^embed\.", "joints_embed."),
    (r"^representation\.0\.", "rep_logit.fc."),
    *LAYER_KEYS,
)
UNPUBLISHED = {"hierarchical": False, "use_tcn": False, "graph_only": False, "use_temporal_similarity": True}
"""Options of the official constructor that no published variant changes."""


def load_official(state_dict: Mapping, **kwargs) -> Model:
    """Load a checkpoint of the official `MotionAGFormer`; `kwargs` are the fields of `Config`.

    The options in `UNPUBLISHED` may be given with the values that all published variants have.
    """
    for name, value in UNPUBLISHED.items():
        if kwargs.pop(name, value) != value:
            raise ValueError(f"motionagformer: {name} must be {value}: no published variant has it otherwise")
    kwargs.pop("temporal_connection_len", None)
    return load_strictly(Model(Config(**kwargs)), state_dict, OFFICIAL_KEYS)


B = Config()
VARIANTS = {
    "xs": replace(B, n_layers=12, dim_feat=64, n_frames=27),
    "s": replace(B, n_layers=26, dim_feat=64, n_frames=81),
    "b": B,
    "l": replace(B, n_layers=26),
    "xs_3dhp": replace(B, n_layers=12, dim_feat=64, n_frames=27),
    "s_3dhp": replace(B, n_layers=26, dim_feat=64, n_frames=81),
    "b_3dhp": replace(B, n_frames=81),
    "l_3dhp": replace(B, n_layers=26, n_frames=81),
}
PARAMETERS = {
    "xs": 2_241_531,
    "s": 4_817_119,
    "b": 11_723_811,
    "l": 19_007_111,
    "xs_3dhp": 2_241_531,
    "s_3dhp": 4_817_119,
    "b_3dhp": 11_718_627,
    "l_3dhp": 18_998_687,
}
"""Measured on the official class."""


def _card(file: str, data: str, **reported: float) -> Weights:
    """Describe one published checkpoint."""
    return Weights(f"https://drive.google.com/file/d/{file}/view", "none stated", (data,), reported)


_H36M = "Human3.6M, stacked-hourglass keypoints"
_3DHP = "MPI-INF-3DHP, ground-truth keypoints"
WEIGHTS = {
    "xs_h36m": _card(
        "1Pab7cPvnWG8NOVd0nnL1iqAfYCUY4hDH", _H36M, h36m_p1_mpjpe_mm=45.1, h36m_p2_pa_mpjpe_mm=36.9
    ),
    "s_h36m": _card("1DrF7WZdDvRPsH12gQm5DPXbviZ4waYFf", _H36M),
    "b_h36m": _card(
        "1Iii5EwsFFm9_9lKBUPfN8bV5LmfkNUMP", _H36M, h36m_p1_mpjpe_mm=38.4, h36m_p2_pa_mpjpe_mm=32.6
    ),
    "l_h36m": _card(
        "1WI8QSsD84wlXIdK1dLp6hPZq4FPozmVZ", _H36M, h36m_p1_mpjpe_mm=38.4, h36m_p2_pa_mpjpe_mm=32.5
    ),
    "xs_3dhp": _card("1FebsaA-DGqB0Pba_dVXCQDedfG13Zu5O", _3DHP),
    "s_3dhp": _card("1RzTGl_9d_wm34ZnBqkQWqy22kOOq0Dx5", _3DHP),
    "b_3dhp": _card("18Pz0qQp7DvrrvDNqFtem5O5cBHBBAGg-", _3DHP, mpi_inf_3dhp_mpjpe_mm=16.2),
    "l_3dhp": _card("10am2CelOV5Nt2NDhcEEMgFpdcuKN3J3G", _3DHP),
}
