"""How to run each official lifter's recording: which method loads it, what goes in, what comes out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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
        method = import_module(f"posewright.models.{self.method.replace('/', '.')}")
        return method.load_official(state_dict, **kwargs, **extra)


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
}
"""(repository, class) of the official code -> how to run it."""


def tensors(file: Mapping[str, np.ndarray], prefix: str = "") -> dict[str, Tensor]:
    """Return the arrays whose names start with `prefix`, without it."""
    return {
        k.removeprefix(prefix): torch.from_numpy(file[k])
        for k in file
        if k.startswith(prefix) and k != "meta"
    }
