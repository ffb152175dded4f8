"""How to run each official lifter's recording: which method loads it, what goes in, what comes out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from posewright.adapt import posynda
from posewright.geometry.cameras import project_human36m
from posewright.metrics.hypotheses import j_agg, j_best, jpma, nearest_in_picture, p_agg, p_best, rpea
from posewright.metrics.position import pa_mpjpe, procrustes_aligned
from posewright.models import load_official
from posewright.models.lifting import d3dp
from posewright.nn.diffusion import q_sample
from posewright.nn.mirror import mirrored
from posewright.nn.pose_diffusion import REACH
from tests.parity.adapted import (
    platypose_arguments,
    platypose_denoiser,
    platypose_sampler,
    poseda_gpa,
    posynda_denoiser,
    posynda_sampler,
    posynda_weight_net,
)
from tests.parity.diffused import (
    diffpose_denoiser,
    diffpose_lifter,
    diffpose_sampler,
    finepose_arguments,
    finepose_denoiser,
    finepose_jpma,
    finepose_sampler,
    multihyp_arguments,
    multihyp_condition,
    multihyp_denoiser,
    multihyp_sampler,
)
from tests.parity.refined import uao_lifter, uao_testtime

Arrays = Mapping[str, Tensor]


@dataclass(frozen=True)
class Case:
    """One official class."""

    method: str
    run: Callable[..., dict[str, Tensor]]
    """(our model, the file's arrays) -> what must equal the file's arrays of the same names."""
    from_file: Mapping[str, str] = field(default_factory=dict)
    """Constructor argument -> array of the file that holds it."""
    weights: bool = True
    """False where the recording is of functions, not of a network."""
    arguments: Callable[[Mapping], Mapping] = dict
    """The recording's arguments as those of `load_official`."""
    not_matched: tuple[str, ...] = ()
    """Recorded outputs that document a defect of the official code, which ours does not have."""
    loader: Callable[..., nn.Module] | None = None
    """What loads it, where that is not the `load_official` of a method in `models`."""

    def load(self, state_dict: Mapping, kwargs: Mapping, arrays: Arrays) -> nn.Module:
        """Build our model with the recording's arguments and weights."""
        if not self.weights:
            functions: Any = nn.Identity().eval()
            functions.arguments = self.arguments(kwargs)
            return functions
        extra = {name: arrays[key] for name, key in self.from_file.items()}
        if self.loader is not None:
            return self.loader(state_dict, **self.arguments(kwargs), **extra)
        return load_official(self.method, state_dict, **self.arguments(kwargs), **extra)


def plain(model: nn.Module, arrays: Arrays) -> dict[str, Tensor]:
    return {"output": model(arrays["input"])}


def simple_baseline(model: nn.Module, arrays: Arrays) -> dict[str, Tensor]:
    keypoints = arrays["input"].unflatten(-1, (-1, 2))
    return {"output": model(keypoints[:, None])[:, 0].flatten(1)}


def single_frame(model: nn.Module, arrays: Arrays) -> dict[str, Tensor]:
    return {"output": model(arrays["input"][:, None])[:, 0]}


def videopose3d(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    window = arrays["input"][:, : model.config.frames]
    return {"output": model(arrays["input"]), "output_single": model(window, strided=True)}


def represented(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    return plain(model, arrays) | {"output_rep": model.represent(arrays["input"])}


def motionbert(model: nn.Module, arrays: Arrays) -> dict[str, Tensor]:
    short = arrays["input"][:, : arrays["output_short"].shape[1]]
    return represented(model, arrays) | {"output_short": model(short)}


def hourglass(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    noise = arrays["input_density_noise"]
    _, frames = model.encode(arrays["input"], noise)
    return {"output": model(arrays["input"], noise), "aux_selected_frames": frames}


def pruned(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    joints, frames = model.kept(arrays["input"], arrays["input_density_noise"])
    middle = frames == (arrays["input"].shape[1] - 1) // 2
    again, _ = model.kept(arrays["input"], frames=frames)
    torch.testing.assert_close(model(arrays["input"], frames=frames)[:, 0], again[middle])
    return {"output": joints, "output_index": frames}


def mpm_lift(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    middle, all_frames = model.both(arrays["input"][..., 0].permute(0, 2, 3, 1))
    official = {"output": middle, "output_vte": all_frames}
    return {name: joints.permute(0, 3, 1, 2)[..., None] for name, joints in official.items()}


def mpm_refine(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    return {"output": model(arrays["input_pose"], arrays["input_backproj"])}


def mpm_masked(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    keypoints, masked = arrays["input_2d"], arrays["input_smask"]
    frames_first = masked.shape == keypoints.shape[1:3]
    masks = masked[None] if frames_first else masked[:, None], arrays["input_tmask"]
    tokens = model.encode(keypoints, *masks)
    return {
        "output_2d_from_2d": model.decode(tokens, 2),
        "output_3d_from_2d": model.decode(tokens, 3),
        "output_3d_from_3d": model(arrays["input_3d"], *masks),
    }


def d3dp_denoiser(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    keypoints, noisy, steps = (arrays[f"input_{name}"] for name in ("2d", "xt", "t"))
    single = model.denoiser(keypoints, noisy[:, :1], steps)[:, 0]
    return {"output": model.denoiser(keypoints, noisy, steps), "output_single": single}


def d3dp_sampler(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    """Also in the official units, which are metres times the scale."""
    keypoints, scale = arrays["input_2d"], model.config.scale
    noise = arrays["input_noise_init"], arrays["input_noise_steps"]
    torch.testing.assert_close(mirrored(keypoints, model.keypoint_mirror), arrays["input_2d_flip"])
    with_flip, without = (
        d3dp.Model(replace(model.config, test_time_augmentation=flip)).eval() for flip in (True, False)
    )
    with_flip.load_state_dict(model.state_dict())
    without.load_state_dict(model.state_dict())
    level = model.schedule.level(int(arrays["input_q_t"]))
    noisy = q_sample(scale * arrays["input_q_x0"], arrays["input_q_noise"], level)
    reach = REACH * scale
    return {
        "output": scale * with_flip.sample(keypoints, *noise),
        "output_noflip": scale * without.sample(keypoints, *noise),
        "output_q_sample": noisy.clamp(-reach, reach) / scale,
    }


def d3dp_metrics(_: nn.Module, arrays: Arrays) -> dict[str, Tensor]:
    """Official errors are in metres, one per iteration of the sampler; P-Best chooses one hypothesis per batch."""
    poses = arrays["input_pred"]
    root = arrays["input_root_trajectory"][:, None, None]
    flat = project_human36m((poses + root).flatten(0, -2), arrays["input_camera"][0])
    projected = flat.reshape(*poses.shape[:-1], 2)
    h, images = (x.transpose(0, 1).transpose(2, 3) for x in (poses, projected))
    target = arrays["input_target"].expand(len(h), *arrays["input_target"].shape)
    choice = nearest_in_picture(images, arrays["input_target_2d"].expand(len(h), -1, -1, -1, -1))
    errors: dict[str, Tensor] = {}
    aligned = procrustes_aligned(h, target[..., None, :, :].expand_as(h))
    for name, poses in (("output_", h), ("output_p2_", aligned)):
        errors[name + "j_best"] = j_best(poses, target)
        errors[name + "p_best"] = torch.stack(
            [p_best(one, t, one_for_all=True) for one, t in zip(poses, target, strict=True)]
        )
        errors[name + "j_agg"] = j_agg(poses, target, choice)
    errors["output_p_agg"] = p_agg(h, target)
    errors["output_p2_p_agg"] = pa_mpjpe(h.mean(-3), target)
    means = {name: error.reshape(len(h), -1).mean(1) / 1000 for name, error in errors.items()}
    return means | {"output_reprojection": projected}


def renamed(**names: str) -> Callable[[Mapping], Mapping]:
    """Official arguments by our names (official -> ours); remarks among them are left out."""
    return lambda kwargs: {names.get(k, k): v for k, v in kwargs.items() if k != "note"}


def fmpose3d_velocity(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    keypoints, state, times = (arrays[f"input_{name}"] for name in ("pose2d", "yt", "t"))
    return {"output": model.velocity(keypoints, state, times.flatten())}


def fmpose3d_sampler(model: Any, arrays: Arrays) -> dict[str, Tensor]:
    """Official hypotheses are listed with those of the mirrored frame first of each two, the raw poses second."""
    keypoints, flipped, noise = (arrays[f"input_{name}"] for name in ("pose2d", "pose2d_flip", "noise"))
    torch.testing.assert_close(mirrored(keypoints, model.mirror), flipped)
    start = noise.flatten(0, 1)
    raw = [
        model.integrate(x, z) for x, z in zip([keypoints, flipped] * len(noise), start.unbind(0), strict=True)
    ]
    together = model.sample(keypoints, start.transpose(0, 1)).transpose(0, 1)
    mirrored_first = together.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    return {"output_raw": torch.stack(raw), "output_hypotheses": mirrored_first}


def fmpose3d_rpea(functions: Any, arrays: Arrays) -> dict[str, Tensor]:
    hypotheses = arrays["input_hypotheses"].movedim(0, -3)
    keypoints, root = arrays["input_pose2d"], arrays["input_root"][..., 0, :]
    given = functions.arguments

    def project(points: Tensor) -> Tensor:
        cameras = zip(points, arrays["input_camera"], strict=True)
        return torch.stack([project_human36m(p, camera) for p, camera in cameras])

    def joined(topk: int) -> Tensor:
        return rpea(hypotheses, keypoints, project, root, topk, given["exp_temp"])

    return {
        "output": joined(given["topk"]),
        "output_topk_all": joined(given["topk_all"]),
        "output_single_best": jpma(hypotheses, keypoints, project, root),
        "output_mean": hypotheses.mean(-3),
    }


CASES: dict[tuple[str, str], Case] = {
    ("weigq/3d_pose_baseline_pytorch", "src.model.LinearModel"): Case(
        "lifting/simple_baseline", simple_baseline
    ),
    ("facebookresearch/VideoPose3D", "common.model.TemporalModel"): Case("lifting/videopose3d", videopose3d),
    ("garyzhao/SemGCN", "models.sem_gcn.SemGCN"): Case("lifting/semgcn", single_frame, {"adj": "aux_adj"}),
    ("JinluZhang1126/MixSTE", "common.model_cross.MixSTE2"): Case("lifting/mixste", plain),
    ("JihuaPeng/KTPFormer", "common.model_ktpformer.KTPFormer"): Case(
        "lifting/ktpformer", plain, {"adj": "aux_adj", "adj_temporal": "aux_adj_temporal"}
    ),
    ("Walter0807/MotionBERT", "lib.model.DSTformer.DSTformer"): Case("lifting/motionbert", motionbert),
    ("TaatiTeam/MotionAGFormer", "model.MotionAGFormer.MotionAGFormer"): Case(
        "lifting/motionagformer", represented
    ),
    ("bruceyo/GLA-GCN", "common.s_agcn.S_AGCN"): Case("lifting/gla_gcn", plain),
    ("vvirgooo2/MPM", "model.MPM.Model"): Case("lifting/mpm", mpm_lift),
    ("vvirgooo2/MPM", "model.component.refine.refine"): Case("lifting/mpm", mpm_refine),
    ("vvirgooo2/MPM", "model.MPMLift.MPMmask2"): Case("lifting/mpm", mpm_masked),
    ("vvirgooo2/MPM", "model.MPMLift.MPMmask"): Case("lifting/mpm", mpm_masked),
    ("paTRICK-swk/D3DP", "common.mixste.MixSTE2"): Case("lifting/d3dp", d3dp_denoiser),
    ("paTRICK-swk/D3DP", "common.diffusionpose.D3DP"): Case("lifting/d3dp", d3dp_sampler),
    ("paTRICK-swk/D3DP", "common.loss.* and common.camera.project_to_2d"): Case(
        "lifting/d3dp", d3dp_metrics, weights=False
    ),
    ("AdaptiveMotorControlLab/FMPose3D", "fmpose3d.models.fmpose3d.model_GAMLP.Model"): Case(
        "lifting/fmpose3d", fmpose3d_velocity, arguments=renamed()
    ),
    ("AdaptiveMotorControlLab/FMPose3D", "fmpose3d.animals.models.model_animal3d.Model"): Case(
        "lifting/fmpose3d", fmpose3d_velocity, arguments=renamed()
    ),
    (
        "AdaptiveMotorControlLab/FMPose3D",
        "sampling loop of scripts/FMPose3D_main.py (re-run step by step with the official network)",
    ): Case(
        "lifting/fmpose3d",
        fmpose3d_sampler,
        arguments=renamed(
            steps="sampling_timesteps",
            hypotheses="num_proposals",
            left="joints_left",
            right="joints_right",
        ),
    ),
    (
        "AdaptiveMotorControlLab/FMPose3D",
        "fmpose3d.aggregation_methods.aggregation_RPEA_joint_level (and the single-best and mean rules)",
    ): Case("lifting/fmpose3d", fmpose3d_rpea, weights=False),
    ("GONGJIA0208/Diffpose", "models.gcnpose.GCNpose"): Case(
        "lifting/diffpose", diffpose_lifter, {"adj": "input_adj"}
    ),
    ("GONGJIA0208/Diffpose", "models.gcndiff.GCNdiff"): Case(
        "lifting/diffpose", diffpose_denoiser, {"adj": "input_adj"}
    ),
    ("GONGJIA0208/Diffpose", "common.utils_diff.generalized_steps"): Case(
        "lifting/diffpose", diffpose_sampler, {"adj": "input_adj", "betas": "input_betas"}
    ),
    ("bastianwandt/DiffPose", "models.condition_embedding.HeatmapSamplingPoseformer"): Case(
        "lifting/diffpose_multihyp", multihyp_condition
    ),
    ("bastianwandt/DiffPose", "models.denoiser.Concat"): Case("lifting/diffpose_multihyp", multihyp_denoiser),
    ("bastianwandt/DiffPose", "models.diffusion.GaussianDiffusion.p_sample_loop"): Case(
        "lifting/diffpose_multihyp", multihyp_sampler, arguments=multihyp_arguments
    ),
    ("PKU-ICST-MIPL/FinePOSE_CVPR2024", "common.mixste_finepose.MixSTE2"): Case(
        "lifting/finepose",
        finepose_denoiser,
        arguments=finepose_arguments,
        not_matched=("output_mixed_text",),
    ),
    ("PKU-ICST-MIPL/FinePOSE_CVPR2024", "common.finepose.FinePOSE.ddim_sample_flip"): Case(
        "lifting/finepose", finepose_sampler, arguments=finepose_arguments
    ),
    (
        "PKU-ICST-MIPL/FinePOSE_CVPR2024",
        "common.loss.mpjpe_diffusion_reproj, mpjpe_diffusion_all_min, mpjpe_diffusion; common.camera.project_to_2d",
    ): Case("lifting/finepose", finepose_jpma, weights=False),
    ("sinzlab/platypose", "platypose.model.overcomplete.MDM"): Case(
        "lifting/platypose", platypose_denoiser, arguments=platypose_arguments
    ),
    (
        "sinzlab/platypose",
        "platypose.diffusion.respace.SpacedDiffusion.ddim_sample_loop_progressive + platypose.energies.multi_view",
    ): Case("lifting/platypose", platypose_sampler, arguments=platypose_arguments),
    ("xiu-cs/UAO-Pose3D", "model.model_Gaussian.Model"): Case("lifting/uao", uao_lifter, arguments=renamed()),
    (
        "xiu-cs/UAO-Pose3D",
        "loop of main.test_time_optimization_Gaussian, run step by step with the official network and losses "
        "(B,1,17,3 tensors)",
    ): Case(
        "lifting/uao",
        uao_testtime,
        arguments=renamed(
            lr="learning_rate",
            weight_proj="projection_weight",
            weight_gaussian="uncertainty_weight",
            left="joints_left",
            right="joints_right",
        ),
    ),
    ("rese1f/PoseDA", "function gpa printed in README.md (the only code there)"): Case(
        "adapt/poseda", poseda_gpa, weights=False
    ),
    ("hbing-l/PoSynDA", "common.mixste_transfer.MixSTE2 after common.lora.inject_trainable_lora"): Case(
        "adapt/posynda", posynda_denoiser, loader=posynda.load_official
    ),
    ("hbing-l/PoSynDA", "common.diffusionpose_3dhp_transfer.D3DP.ddim_sample_flip"): Case(
        "adapt/posynda", posynda_sampler, loader=posynda.load_official
    ),
    ("hbing-l/PoSynDA", "common.weight.TransformerModel"): Case(
        "adapt/posynda", posynda_weight_net, loader=posynda.load_weight_net
    ),
    ("NationalGAILab/HoT", "model.mhformer.mhformer.Model"): Case("lifting/mhformer", plain),
    ("NationalGAILab/HoT", "model.mhformer.tpc_mhformer.Model"): Case("lifting/hot", pruned),
    ("NationalGAILab/HoT", "model.mixste.tpc_mixste.Model"): Case("lifting/hot", pruned),
    ("NationalGAILab/HoT", "model.mixste.hot_mixste.Model"): Case("lifting/hot", hourglass),
    ("NationalGAILab/HoT", "model.motionbert.hot_motionbert.Model"): Case("lifting/hot", hourglass),
    ("NationalGAILab/HoT", "model.motionagformer.hot_motionagformer.Model"): Case("lifting/hot", hourglass),
}
"""(repository, class) of the official code -> how to run it."""
