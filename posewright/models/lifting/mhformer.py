"""MHFormer: several hypotheses of the pose are generated, refined and combined.

Li, Liu, Tang, Wang, Van Gool, "MHFormer: Multi-Hypothesis Transformer for 3D Human Pose Estimation", CVPR
2022, https://arxiv.org/abs/2111.12707. Official code: https://github.com/Vegetebird/MHFormer (MIT); the class
recorded for parity is the one in https://github.com/NationalGAILab/HoT (MIT), with the same keys.

Convention: keypoints (B, T, 17, 2), Human3.6M, screen units (x / w * 2 - 1, y / w * 2 - h / w), T the number
of frames the model was made for, a multiple of 9; joints (B, T, 17, 3) in metres, camera axes, relative to
the pelvis. It is trained and scored on the middle frame (`output_frames="centre"`): take frame (T - 1) // 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from posewright.core.weights import Paper, Weights
from posewright.nn.checkpoints import KeyTable, load_strictly, official_arguments
from posewright.nn.multi_hypothesis import EMBEDDING_KEYS, HYPOTHESES, MultiHypothesisTransformer
from posewright.nn.multi_hypothesis import OFFICIAL_KEYS as PART_KEYS
from posewright.nn.spatiotemporal import check_window
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="MHFormer: Multi-Hypothesis Transformer for 3D Human Pose Estimation",
    venue="CVPR 2022",
    url="https://arxiv.org/abs/2111.12707",
    code="https://github.com/Vegetebird/MHFormer",
    code_licence="none stated",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=2, output_frames="centre")


@dataclass(frozen=True)
class Config:
    """Sizes as in section 4.2."""

    channel: int = 512
    """C."""
    d_hid: int = 1024
    """Width inside the hypothesis-mixing perceptron."""
    frames: int = 351
    """N."""
    n_joints: int = 17
    """J."""
    out_joints: int = 17
    depth: int = 3
    """L2 + L3: refinement layers and one interaction layer."""
    num_heads: int = 8
    generation_depth: int = 4
    """L1."""
    generation_heads: int = 9
    dropout: float = 0.1
    drop_path: float = 0.2

    @property
    def num_joints(self) -> int:
        """Joints of the keypoints."""
        return self.n_joints


class Model(nn.Module):
    """Keypoints of a window to the joints of all its frames, of which the middle one is meant (figure 2)."""

    def __init__(self, config: Config):
        super().__init__()
        c = config
        if c.frames % c.generation_heads:
            raise ValueError(
                f"mhformer: frames is {c.frames}, expected a multiple of {c.generation_heads} (the heads)"
            )
        self.config = c
        self.hypotheses = MultiHypothesisTransformer(
            c.frames,
            c.n_joints,
            c.channel,
            c.d_hid,
            c.depth,
            c.num_heads,
            c.generation_depth,
            c.generation_heads,
            c.dropout,
            c.drop_path,
        )
        width = HYPOTHESES * c.channel
        self.regression = nn.Sequential(nn.BatchNorm1d(width), nn.Conv1d(width, 3 * c.out_joints, 1))

    def forward(self, keypoints: Float[Tensor, "B T J 2"]) -> Float[Tensor, "B T J 3"]:
        check_window(keypoints, self.config.frames, self.config.n_joints, 2)
        x = self.hypotheses(keypoints).transpose(1, 2)
        return self.regression(x).transpose(1, 2).unflatten(-1, (-1, 3))


OFFICIAL_KEYS: KeyTable = ((r"^hypotheses\.", ""), *EMBEDDING_KEYS, *PART_KEYS)


def load_official(state_dict: Mapping, args: object = None, **kwargs) -> Model:
    """Load a checkpoint of the official `Model(args)`; `args` is a dict or namespace, of which sizes are read.

    Its fields `channel`, `d_hid`, `frames`, `n_joints`, `out_joints` may also be given as `kwargs`.
    """
    sizes = official_arguments(args, ("channel", "d_hid", "frames", "n_joints", "out_joints"))
    return load_strictly(Model(Config(**(sizes | kwargs))), state_dict, OFFICIAL_KEYS)


VARIANTS = {"351": Config(), "81": Config(frames=81), "27": Config(frames=27)}
PARAMETERS = {"351": 31_516_125, "81": 19_837_545, "27": 19_184_517}
"""Measured on the official class."""

WEIGHTS = {
    "h36m_cpn_351": Weights(
        url="https://drive.google.com/drive/folders/1UWuaJ_nE19x2aM-Th221UpdhRPSCFwZa",
        licence="none stated",
        trained_on=("Human3.6M, CPN keypoints",),
        reported={"h36m_p1_mpjpe_mm": 43.0, "h36m_p2_pa_mpjpe_mm": 34.3},
    ),
}
