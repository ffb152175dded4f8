"""How to run each official lifter's recording: which method loads it, what goes in, what comes out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from posewright.models import load_official

Arrays = Mapping[str, Tensor]


@dataclass(frozen=True)
class Case:
    """One official class."""

    method: str
    run: Callable[[nn.Module, Arrays], dict[str, Tensor]]
    """(our model, the file's arrays) -> what must equal the file's arrays of the same names."""
    from_file: Mapping[str, str] = field(default_factory=dict)
    """Constructor argument -> array of the file that holds it."""

    def load(self, state_dict: Mapping, kwargs: Mapping, arrays: Arrays) -> nn.Module:
        """Build our model with the recording's arguments and weights."""
        extra = {name: arrays[key] for name, key in self.from_file.items()}
        return load_official(self.method, state_dict, **kwargs, **extra)


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
    ("NationalGAILab/HoT", "model.mhformer.mhformer.Model"): Case("lifting/mhformer", plain),
    ("NationalGAILab/HoT", "model.mhformer.tpc_mhformer.Model"): Case("lifting/hot", pruned),
    ("NationalGAILab/HoT", "model.mixste.tpc_mixste.Model"): Case("lifting/hot", pruned),
    ("NationalGAILab/HoT", "model.mixste.hot_mixste.Model"): Case("lifting/hot", hourglass),
    ("NationalGAILab/HoT", "model.motionbert.hot_motionbert.Model"): Case("lifting/hot", hourglass),
    ("NationalGAILab/HoT", "model.motionagformer.hot_motionagformer.Model"): Case("lifting/hot", hourglass),
}
"""(repository, class) of the official code -> how to run it."""


def tensors(file: Mapping[str, np.ndarray], prefix: str = "") -> dict[str, Tensor]:
    """Return the arrays whose names start with `prefix`, without it."""
    return {
        k.removeprefix(prefix): torch.from_numpy(file[k])
        for k in file
        if k.startswith(prefix) and k != "meta"
    }
