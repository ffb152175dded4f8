"""PoSynDA: adapt a lifter that samples hypotheses to unlabelled footage, by those that its pictures agree with.

Liu, He, Cheng, Xiang, Yang, Chai, Wang, Bao, Luo, Geng, Xie, "PoSynDA: Multi-Hypothesis Pose Synthesis Domain
Adaptation for Robust 3D Human Pose Estimation", ACM MM 2023, https://arxiv.org/abs/2308.09678. Official code:
https://github.com/hbing-l/PoSynDA (MIT). A diffusion lifter (D3DP) is frozen but for low-rank adapters of its
attention. On the footage, a teacher draws hypotheses, and each joint of the pseudo-pose comes from the one whose image
is nearest to the keypoint; the student's hypotheses are drawn to it (weight 1), and the nearest of them to the picture
(weight 1/2). On the source, poses put where the footage's people stand (`adapt.alignment`) are learned as they are.

What differs: the official training projects hypotheses with the *true* root of the target, which unlabelled footage
does not have (an oracle); here the root is estimated from the teacher's mean hypothesis. Its teacher is a copy made
once per epoch; here it is the moving average that the paper describes. Its "weight network" (`WeightNet`), a
transformer over the joints of each hypothesis after the lifter, is here to be loaded and compared, but not trained
with: what it adds to a pose depends on the pose's place in the batch, and joints see only those before them.

Convention: as D3DP's; the official code's poses are millimetres, ours metres.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posewright.adapt.alignment import aligned_clips
from posewright.adapt.footage import Footage
from posewright.adapt.student import Student
from posewright.adapt.training import AdaptationOptions, Adapted, clips_of, prepared, train_student
from posewright.core.errors import InputError
from posewright.core.weights import Paper
from posewright.datasets.synthetic import SyntheticClips
from posewright.geometry.cameras import project
from posewright.metrics.hypotheses import estimated_root, jpma
from posewright.models.lifting import d3dp
from posewright.nn.checkpoints import KeyTable, load_strictly, unwrap
from posewright.nn.diffusion_checkpoints import official_buffers, without_schedule
from posewright.nn.lora import add_low_rank
from posewright.nn.mirror import check_sides
from posewright.nn.pose_diffusion import REACH, PoseDiffusion
from posewright.nn.post_norm import OFFICIAL_KEYS as BLOCK_KEYS
from posewright.nn.post_norm import PostNormBlock, sinusoidal_positions
from posewright.skeletons.joint_sets import get
from posewright.train.loop import follow

PAPER = Paper(
    title="PoSynDA: Multi-Hypothesis Pose Synthesis Domain Adaptation for Robust 3D Human Pose Estimation",
    venue="ACM MM 2023",
    url="https://arxiv.org/abs/2308.09678",
    code="https://github.com/hbing-l/PoSynDA",
    code_licence="MIT",
)
RANK, LAYERS = 4, r"attn\."
"""Of the published adapters: every linear layer of the attention."""
TEACHER_DECAY = 0.98
PICTURE, PSEUDO, SOURCE = 0.5, 1.0, 1.0
"""Weights of the losses."""


def adapt(
    student: Student,
    clips: SyntheticClips,
    footage: Footage,
    options: AdaptationOptions,
    on_step: Callable[[int, int], None] | None = None,
) -> Adapted:
    """Adapt a student by its own hypotheses.

    Args:
        student: a lifter of the D3DP family, whose keypoints and joints are one joint set.
        clips: the source, with truth.
        footage: the target, without.
        options: a rank of None is `RANK`, of the layers `LAYERS`.
        on_step: called with (steps done, steps to do).

    Raises:
        InputError: the lifter samples no hypotheses by diffusion.
    """
    network = _checked(student)
    if options.rank is None and options.adapter is None:
        options = replace(options, rank=RANK, layers=options.layers or LAYERS)
    prepared(student, options)
    footage = footage.to(student.device)
    teacher = copy.deepcopy(network).eval().requires_grad_(False)
    random = torch.Generator().manual_seed(options.seed)

    def batch_of(step: int) -> dict[str, Any]:
        follow(teacher, network, TEACHER_DECAY if step else 0.0)
        target = footage.drawn(options.batch, random)
        source = student.batch(aligned_clips(clips_of(student, clips, options, step), target))
        return {"source": source} | pseudo_poses(teacher, target, random)

    def loss_of(model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        return SOURCE * student.loss(model, batch["source"]) + loss(model, batch)

    return train_student(student, batch_of, loss_of, options, on_step)


def _checked(student: Student) -> PoseDiffusion:
    network = student.network
    if not isinstance(network, PoseDiffusion):
        raise InputError(
            f"posynda: {student.name} does not sample hypotheses by D3DP's diffusion, expected lifting/d3dp or one of "
            "its family; poseda adapts any lifter"
        )
    if network.config.keypoint_skeleton != network.config.joint_skeleton:
        raise InputError(
            f"posynda: keypoints of {network.config.keypoint_skeleton} and joints of {network.config.joint_skeleton}, "
            "expected one joint set: hypotheses are compared with the keypoints"
        )
    return network


@torch.no_grad()
def pseudo_poses(teacher: PoseDiffusion, target: Footage, random: torch.Generator) -> dict[str, Tensor]:
    """What a teacher makes of windows of footage.

    Returns:
        `keypoints` (B, T, J, 2), screen units; `seen` (B, 1, J); `pseudo` (B, T, J, 3), metres, relative to the root:
        each joint from the hypothesis whose image is nearest; `root` (B, T, 3) and `K` (B, 3, 3) of the projection.
    """
    c = teacher.config
    shape = (c.sampling_timesteps, len(target), c.num_proposals, c.num_frame, c.num_joints, 3)
    noise = torch.randn(shape, generator=random).to(target.screen)
    keypoints = target.screen
    hypotheses = teacher.sample(keypoints, noise[0], noise[1:])[:, -1].transpose(1, 2)
    hypotheses = hypotheses.cpu().double()  # not every GPU has float64
    focal = target.focal.cpu().double()
    K = torch.diag_embed(torch.stack([focal, focal, torch.ones_like(focal)], -1))
    seen = target.used[:, None].expand(keypoints.shape[:-1]).cpu()
    points = torch.where(seen[..., None], keypoints.cpu().double(), torch.nan)
    root = estimated_root(hypotheses, points, K[:, None])
    pose = jpma(hypotheses, points, lambda x: project(x, K[:, None]), root)
    pose = torch.where(root.isfinite().all(-1)[..., None, None], pose, hypotheses.mean(2))
    parts = {"pseudo": pose, "root": root.nan_to_num(4.0), "K": K}
    parts = {name: value.to(keypoints) for name, value in parts.items()}
    return {"keypoints": keypoints, "seen": target.used[:, None], **parts}


def loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Float[Tensor, ""]:
    """Loss on the footage: the best image of the student's hypotheses, and their distance from the pseudo-pose.

    The hypotheses are those of one step from noise, as in the official training; that the pseudo-pose is also found
    from any other step of the diffusion, which a sampler of several steps needs, is asked of one more.
    """
    assert isinstance(model, PoseDiffusion)
    c = model.config
    B, T, J = batch["pseudo"].shape[:3]
    start = torch.randn(B, c.num_proposals, T, J, 3, device=batch["pseudo"].device)
    reach = REACH * c.scale
    hypotheses = model.denoise(batch["keypoints"], start.clamp(-reach, reach) / c.scale, c.timestep - 1)
    placed = hypotheses + batch["root"][:, None, :, None]
    images = project(placed.flatten(2, 3), batch["K"][:, None]).unflatten(2, (T, J))
    error = (images - batch["keypoints"][:, None]).norm(dim=-1)
    seen = (batch["seen"] & images.isfinite().all(-1).all(1)).to(error.dtype)
    nearest = error.nan_to_num(0.0).amin(1)
    picture = (seen * nearest).sum() / seen.sum().clamp_min(1)
    drawn = (hypotheses - batch["pseudo"][:, None]).norm(dim=-1).mean()
    again = (model.denoised(batch["keypoints"], batch["pseudo"]) - batch["pseudo"]).norm(dim=-1).mean()
    return PICTURE * picture + PSEUDO * (drawn + again) / 2


# ------------------------------------------------------------------------------------------ weight network


class WeightNet(nn.Module):
    """The published transformer over the joints of single poses, as it is: see the top of the file.

    Args:
        ntoken: numbers per joint.
        ninp: channels of a token.
        nhead: heads.
        nhid: channels inside the blocks.
        nlayers: blocks.
        dropout: while training.
    """

    def __init__(
        self,
        ntoken: int = 3,
        ninp: int = 512,
        nhead: int = 8,
        nhid: int = 512,
        nlayers: int = 8,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(ntoken, ninp), nn.Linear(ninp, ntoken)
        self.blocks = nn.ModuleList(
            PostNormBlock(ninp, nhead, nhid, dropout, activation="relu") for _ in range(nlayers)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, poses: Float[Tensor, "N J 3"]) -> Float[Tensor, "N J 3"]:
        """Poses, moved; the sine table is indexed by the place in the batch, and attention is causal over joints."""
        dim = self.encoder.out_features
        place = sinusoidal_positions(len(poses), dim).to(poses)[:, None]
        x = self.dropout(self.encoder(poses) * dim**0.5 + place)
        for block in self.blocks:
            x = block(x, causal=True)
        return self.decoder(x)


WEIGHT_KEYS: KeyTable = ((r"^blocks\.", "transformer_encoder.layers."), *BLOCK_KEYS)
WEIGHT_PARAMETERS = 12_627_459
"""Of the published size, measured on the official class."""
PARAMETERS = 35_032_067
"""Of the published denoiser (D3DP's) with its adapters, 196,608 of them the adapters'."""


def load_weight_net(state_dict: Mapping, **kwargs: Any) -> WeightNet:
    """Load the official `TransformerModel`: bare, or `model_weight` of a checkpoint; keywords as for `WeightNet`.

    Raises:
        InputError: keys or sizes are not those of the arguments.
    """
    inner = state_dict.get("model_weight", state_dict)
    state = {k: v for k, v in unwrap(inner).items() if k != "pos_encoder.pe"}
    return load_strictly(WeightNet(**kwargs), state, WEIGHT_KEYS)


# --------------------------------------------------------------------------------------------- checkpoints

ADAPTER_KEYS: KeyTable = (
    (r"\.down\.weight$", ".lora_down.weight"),
    (r"\.up\.weight$", ".lora_up.weight"),
    *d3dp.DENOISER_KEYS,
)
"""Ours to those of the official `MixSTE2` with adapters."""


def load_official(
    state_dict: Mapping,
    lora: Mapping[str, Any] | None = None,
    left: list[int] | None = None,
    right: list[int] | None = None,
    **kwargs: Any,
) -> d3dp.Model:
    """Load the official denoiser with its adapters, or the whole official `D3DP` around it.

    Args:
        state_dict: bare or wrapped (`model_pos`, `module.`).
        lora: `rank` and `scale` of the adapters; None: the published ones.
        left: joints of the person's left; they must be those of `joint_skeleton`.
        right: their counterparts.
        **kwargs: fields of D3DP's `Config`.

    Returns:
        D3DP with adapters beside its weights (`nn.lora`): `merge_low_rank` puts them in.

    Raises:
        InputError: keys, sizes, schedule or joints are not those of the arguments.
    """
    config = d3dp.Config(**kwargs)
    check_sides("posynda", get(config.joint_skeleton).mirror.tolist(), left, right)
    model, lora = d3dp.Model(config), lora or {}
    add_low_rank(model, LAYERS, int(lora.get("rank", RANK)), float(lora.get("scale", 1.0)), dropout=0.1)
    state = unwrap(state_dict)
    if not any(key.startswith("pose_estimator.") for key in state):
        return load_strictly(model, state, ADAPTER_KEYS)
    weights = without_schedule(state, official_buffers(model.schedule), "posynda")
    return load_strictly(model, weights, (*ADAPTER_KEYS, (r"^", "pose_estimator.")))
