"""D3DP: hypotheses of the 3D poses of a clip by diffusion, and JPMA, which makes one pose of them.

Shan, Liu, Zhang, Wang, Han, Wang, Ma, Gao, "Diffusion-Based 3D Human Pose Estimation with Multi-Hypothesis
Aggregation", ICCV 2023, https://arxiv.org/abs/2303.11579. Official code: https://github.com/paTRICK-swk/D3DP
(MIT). The denoiser is MixSTE (Zhang et al., CVPR 2022), told the noisy poses and the diffusion step; it predicts the
clean poses, and DDIM with eta 1 goes from noise to them. JPMA is `metrics.hypotheses.jpma`: the paper gives it the
true root (an oracle), `pw.lift` the root estimated from the mean hypothesis (deployable).

What differs: noise is drawn once, from `Config.seed`, and every window gets the same, so that a clip has one answer;
the official code draws anew each time. The official code runs without mirroring for one step only; here for any.

Convention: keypoints (B, T, 17, 2), screen units (x / w * 2 - 1, y / w * 2 - h / w), T the number of frames the model
was made for; joints (B, T, 17, 3), the mean of the hypotheses, in metres, camera axes, relative to the pelvis;
`hypotheses` gives all, (B, T, H, 17, 3).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from posewright.core.weights import Paper, Weights
from posewright.nn.checkpoints import KeyTable, load_strictly, official_arguments, unwrap
from posewright.nn.diffusion_checkpoints import official_buffers, without_schedule
from posewright.nn.mirror import check_sides
from posewright.nn.mixste import OFFICIAL_KEYS as MIXSTE_KEYS
from posewright.nn.mixste import ConditionedMixSTE
from posewright.nn.pose_diffusion import OFFICIAL_ARGUMENTS, PoseDiffusion, PoseDiffusionConfig
from posewright.skeletons.joint_sets import H36M_17, get
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="Diffusion-Based 3D Human Pose Estimation with Multi-Hypothesis Aggregation",
    venue="ICCV 2023",
    url="https://arxiv.org/abs/2303.11579",
    code="https://github.com/paTRICK-swk/D3DP",
    code_licence="MIT",
)
LIFTING = Lifting(H36M_17, H36M_17, channels=2, output_frames="all")


@dataclass(frozen=True)
class Config(PoseDiffusionConfig):
    """Sizes as in section 4.2, and how the sampler is run."""


def lifting(config: Config) -> Lifting:
    """Conventions of one configuration."""
    return Lifting(
        get(config.keypoint_skeleton), get(config.joint_skeleton), config.in_chans, output_frames="all"
    )


class Model(PoseDiffusion):
    """Keypoints of a window to hypotheses of the poses of all its frames (figure 2), with the denoiser of figure 3."""

    def __init__(self, config: Config):
        super().__init__(config, ConditionedMixSTE(config))


# --------------------------------------------------------------------------------------------- checkpoints

DENOISER_KEYS: KeyTable = ((r"^denoiser\.", ""), *MIXSTE_KEYS)
"""Ours to those of the official denoiser, `MixSTE2`, by itself."""
OFFICIAL_KEYS: KeyTable = (*DENOISER_KEYS, (r"^", "pose_estimator."))


def load_official(
    state_dict: Mapping,
    args: object = None,
    joints_left: list[int] | None = None,
    joints_right: list[int] | None = None,
    is_train: bool | None = None,
    **kwargs,
) -> Model:
    """Load a checkpoint of the official `D3DP`, or of its denoiser `MixSTE2` alone.

    Args:
        state_dict: bare or wrapped. One of `D3DP` holds the noise schedule too, which must be that of `timestep`.
        args: what `D3DP` takes, a dict or a namespace: `number_of_frames`, `cs`, `dep`, `timestep`, `scale`,
            `test_time_augmentation`.
        joints_left: of the poses; they must be those of `joint_skeleton`.
        joints_right: their counterparts, in the same order.
        is_train: no matter here.
        **kwargs: fields of `Config`, among them `num_proposals` and `sampling_timesteps`.

    Raises:
        InputError: keys, sizes, schedule or joints are not those of the arguments.
    """
    given = official_arguments(args, tuple(OFFICIAL_ARGUMENTS))
    config = Config(**({OFFICIAL_ARGUMENTS[name]: value for name, value in given.items()} | kwargs))
    check_sides("d3dp", get(config.joint_skeleton).mirror.tolist(), joints_left, joints_right)
    state, model = unwrap(state_dict), Model(config)
    if not any(key.startswith("pose_estimator.") for key in state):
        return load_strictly(model, state, DENOISER_KEYS)
    weights = without_schedule(state, official_buffers(model.schedule), "d3dp")
    return load_strictly(model, weights, OFFICIAL_KEYS)


VARIANTS = {
    "243": Config(),
    "243_coco": Config(keypoint_skeleton="coco_17"),
    "243_3dhp": Config(keypoint_skeleton="mpi_17", joint_skeleton="mpi_17"),
}
PARAMETERS = {"243": 34_835_459, "243_coco": 34_835_459, "243_3dhp": 34_835_459}
"""Measured on the official class, which is the same for all three."""

WEIGHTS = {
    "h36m_cpn_243": Weights(
        url="https://drive.google.com/file/d/1c48a2SxIkRxxqP5F1l3kpUSRWwHknYVK/view",
        licence="none stated",
        trained_on=("Human3.6M, CPN keypoints",),
        reported={
            "h36m_p1_j_agg_true_root_mpjpe_mm": 39.5,
            "h36m_p2_j_agg_true_root_pa_mpjpe_mm": 31.6,
            "h36m_p1_j_best_mpjpe_mm": 35.4,
        },
    ),
    "3dhp_gt_243": Weights(
        url="https://drive.google.com/file/d/1x78KEmAXJINPzJJbp7KP9RRjVZI5k-mt/view",
        licence="none stated",
        trained_on=("MPI-INF-3DHP, ground-truth keypoints",),
    ),
    "h36m_coco_243": Weights(
        url="https://drive.google.com/file/d/1S_mu5slB8_CHqkhB6t-NgFpiiWe6viiy/view",
        licence="none stated",
        trained_on=("Human3.6M, keypoints of COCO's joint set",),
    ),
}
