"""MixSTE: transformer blocks that alternate between the joints of a frame and the frames of a joint.

Zhang, Tu, Yang, Chen, Yuan, "MixSTE: Seq2seq Mixed Spatio-Temporal Encoder for 3D Human Pose Estimation in
Video", CVPR 2022, https://arxiv.org/abs/2203.00859. Official code: https://github.com/JinluZhang1126/MixSTE
(no licence stated); none of it is used here. Left out: the weighted and temporal-consistency
losses (section 3.4). Added: with `prior`, KTPFormer's prior attention embeds the keypoints.

Convention: keypoints (B, T, 17, 2), Human3.6M, screen units (x / w * 2 - 1, y / w * 2 - h / w), T the number
of frames the model was made for; joints (B, T, 17, 3) in metres, camera axes, relative to the pelvis.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from posewright.core.weights import Paper, Weights
from posewright.nn.checkpoints import load_strictly, official_arguments
from posewright.nn.mixste import OFFICIAL_KEYS, MixSTE, MixSTEConfig
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="MixSTE: Seq2seq Mixed Spatio-Temporal Encoder for 3D Human Pose Estimation in Video",
    venue="CVPR 2022",
    url="https://arxiv.org/abs/2203.00859",
    code="https://github.com/JinluZhang1126/MixSTE",
    code_licence="none stated",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=2, output_frames="all")


@dataclass(frozen=True)
class Config(MixSTEConfig):
    """Sizes as in section 4.2."""


class Model(MixSTE):
    """Keypoints of a window to the joints of all its frames (figure 2)."""

    def __init__(self, config: Config):
        super().__init__(config)


def load_official(state_dict: Mapping, args: object = None, norm_layer: object = None, **kwargs) -> Model:
    """Load a checkpoint of the official `MixSTE2`, or of the same network in the official HoT repository.

    Args:
        state_dict: bare or wrapped.
        args: what HoT's `Model(args)` takes, a dict or a namespace: `channel`, `d_hid`, `frames`, `n_joints`.
        norm_layer: None or the layer norm with epsilon 1e-6, the only one that was published.
        **kwargs: the constructor's arguments: fields of `Config`.
    """
    given = official_arguments(args, ("channel", "d_hid", "frames", "n_joints"))
    names = {"channel": "embed_dim_ratio", "frames": "num_frame", "n_joints": "num_joints"}
    sizes = {names[key]: value for key, value in given.items() if key in names}
    if "d_hid" in given:
        sizes["mlp_ratio"] = given["d_hid"] / sizes.get("embed_dim_ratio", Config.embed_dim_ratio)
    return load_strictly(Model(Config(**(sizes | kwargs))), state_dict, OFFICIAL_KEYS)


VARIANTS = {
    "243": Config(),
    "81": Config(num_frame=81),
    "27": Config(num_frame=27),
    "243_prior": Config(prior=True),
    "27_prior": Config(num_frame=27, prior=True),
}
PARAMETERS = {"243": 33_783_811, "81": 33_700_867, "27": 33_673_219}
"""Measured on the official class; there is none with KTPFormer's prior attention."""

WEIGHTS = {
    "h36m_cpn_243": Weights(
        url="https://github.com/JinluZhang1126/MixSTE (Google Drive folder in the README)",
        licence="none stated",
        trained_on=("Human3.6M, CPN keypoints",),
        reported={"h36m_p1_mpjpe_mm": 40.9, "h36m_p2_pa_mpjpe_mm": 32.6},
    ),
    "h36m_gt_243": Weights(
        url="https://github.com/JinluZhang1126/MixSTE (Google Drive folder in the README)",
        licence="none stated",
        trained_on=("Human3.6M, ground-truth keypoints",),
        reported={"h36m_p1_mpjpe_mm": 21.6},
    ),
}
