"""Simple baseline: a residual multi-layer perceptron lifts each frame by itself.

Martinez, Hossain, Romero, Little, "A simple yet effective baseline for 3d human pose estimation", ICCV 2017,
https://arxiv.org/abs/1705.03098. Official code: https://github.com/una-dinosauria/3d-pose-baseline
(TensorFlow, MIT); parity is with the PyTorch port https://github.com/weigq/3d_pose_baseline_pytorch (MIT).
Left out: the max-norm constraint on the weights.

Convention: keypoints (B, T, 16, 2), Human3.6M without the neck/nose joint; joints (B, T, 16, 3), Human3.6M
without the pelvis, relative to it. Both are standardised per coordinate with the mean and deviation of the
training set, which a checkpoint does not carry. Frames do not see one another.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from posewright.core.weights import Paper, Weights
from posewright.nn.checkpoints import KeyTable, load_strictly
from posewright.skeletons.joint_sets import H36M_16, H36M_17
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="A simple yet effective baseline for 3d human pose estimation",
    venue="ICCV 2017",
    url="https://arxiv.org/abs/1705.03098",
    code="https://github.com/una-dinosauria/3d-pose-baseline",
    code_licence="none stated",
)

WITHOUT_PELVIS = Skeleton(
    "h36m_16_without_pelvis", H36M_17.joint_names[1:], tuple(max(p - 1, -1) for p in H36M_17.parents[1:])
)
"""The joints it predicts; the pelvis is their origin."""
LIFTING = Lifting(
    H36M_16,
    WITHOUT_PELVIS,
    channels=2,
    output_frames="all",
    keypoint_units="standardised",
    joint_units="standardised",
    short_clips=True,
)


@dataclass(frozen=True)
class Config:
    """Sizes as in section 3.2."""

    linear_size: int = 1024
    num_stage: int = 2
    """Residual blocks."""
    p_dropout: float = 0.5
    num_joints: int = 16

    @property
    def frames(self) -> int:
        """Frames the pose depends on."""
        return 1


class Block(nn.Sequential):
    """Two linear layers, each with batch norm, ReLU and dropout; the shortcut is in `Model` (figure 1)."""

    def __init__(self, width: int, dropout: float):
        layers = [
            (nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout)) for _ in range(2)
        ]
        super().__init__(*(layer for four in layers for layer in four))

    def forward(self, x: Float[Tensor, "N C"]) -> Float[Tensor, "N C"]:
        return x + super().forward(x)


class Model(nn.Module):
    """Keypoints of a clip to the joints of the same clip, frame by frame."""

    def __init__(self, config: Config):
        super().__init__()
        c = config
        self.config = c
        self.embed = nn.Sequential(
            nn.Linear(2 * c.num_joints, c.linear_size),
            nn.BatchNorm1d(c.linear_size),
            nn.ReLU(),
            nn.Dropout(c.p_dropout),
        )
        self.blocks = nn.Sequential(*(Block(c.linear_size, c.p_dropout) for _ in range(c.num_stage)))
        self.head = nn.Linear(c.linear_size, 3 * c.num_joints)

    def forward(self, keypoints: Float[Tensor, "B T J 2"]) -> Float[Tensor, "B T J 3"]:
        x = self.embed(keypoints.flatten(0, 1).flatten(1))
        return self.head(self.blocks(x)).unflatten(-1, (-1, 3)).unflatten(0, keypoints.shape[:2])


OFFICIAL_KEYS: KeyTable = (
    (r"^embed\.0\.", "w1."),
    (r"^embed\.1\.", "batch_norm1."),
    (r"^head\.", "w2."),
    (r"^blocks\.(\d+)\.0\.", r"linear_stages.\1.w1."),
    (r"^blocks\.(\d+)\.1\.", r"linear_stages.\1.batch_norm1."),
    (r"^blocks\.(\d+)\.4\.", r"linear_stages.\1.w2."),
    (r"^blocks\.(\d+)\.5\.", r"linear_stages.\1.batch_norm2."),
)


def load_official(
    state_dict: Mapping, linear_size: int = 1024, num_stage: int = 2, p_dropout: float = 0.5
) -> Model:
    """Load a checkpoint of the PyTorch port's `LinearModel`."""
    return load_strictly(Model(Config(linear_size, num_stage, p_dropout)), state_dict, OFFICIAL_KEYS)


VARIANTS = {"base": Config()}
PARAMETERS = {"base": 4_291_632}
"""Measured on the port's class."""

WEIGHTS = {
    "h36m_gt": Weights(
        url="https://drive.google.com/file/d/1NUY8oZoLKY9DP63Jg_ZE96_DEJKiVvRp/view",
        licence="none stated",
        trained_on=("Human3.6M, ground-truth keypoints",),
        reported={"h36m_p1_mpjpe_mm": 43.5},
    ),
}
