"""The same person in another body: pose and shape carried over by the points that both bodies have.

Bodies of one kind (Anny on any mesh, two files of SMPL) mean the same by a rotation: their poses are copied, and their
shapes too where the parameters are the same. Other bodies are fitted to the common points of the joint set of which
they share most (`fit_body`, frame by frame): what these points do not tell, the twist of forearms, hands, toes and
face, stays at zero, and the surfaces differ by what the bodies differ.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from posewright.bodies.model import BodyModel
from posewright.core.errors import InputError
from posewright.fitting.body import FitOptions, fit_body
from posewright.fitting.shape import ShapeOptions
from posewright.structures.bodies import BodyParams

JOINT_SETS = ("mediapipe_33", "halpe_26", "body_26", "smpl_24", "h36m_17", "coco_17")
"""Joint sets that are looked at; of equals the first."""
FEWEST = 6
"""Points that both bodies must have."""


@dataclass(frozen=True)
class TransferOptions:
    """How points are fitted."""

    fit: FitOptions = FitOptions(cutoff_hz=0.0, shape=ShapeOptions(shape_sigma=1.0))


@dataclass(frozen=True)
class Transfer:
    """A body in the pose and shape of another one."""

    params: BodyParams
    """Of the target: `betas` (S,), the rest (T, ...); NaN where the source has NaN."""
    distance: Float[np.ndarray, "T P"]
    """Metres between the common points of both bodies; NaN for points that one of them lacks."""
    joint_set: str
    """Whose points these are."""
    remarks: tuple[str, ...]
    """Plain sentences for a person to read."""


def transfer(
    source_body: BodyModel,
    params: BodyParams,
    target_body: BodyModel,
    betas: Float[Tensor, " S"] | None = None,
    options: TransferOptions = TransferOptions(),
) -> Transfer:
    """Put one body into the pose and shape of another.

    Args:
        source_body: the body that has the pose.
        params: its parameters: one shape (S,) and T poses.
        target_body: the body that shall have it.
        betas: shape of the target, if it is to keep its own; None: as like the source as it can be.
        options: of the fit, between bodies of different kinds.

    Raises:
        InputError: the parameters are not one shape and T poses, or the bodies share too few points.
    """
    if params.betas.ndim != 1 or params.transl.ndim != 2:
        raise InputError(
            f"transfer: betas {tuple(params.betas.shape)} and transl {tuple(params.transl.shape)}, expected one shape "
            "(S,) and T poses (T, 3); transfer people one by one"
        )
    joint_set = _common_set(source_body, target_body)
    with torch.no_grad():
        points = source_body.joints(source_body(params), joint_set)
    if same_kind(source_body, target_body):
        found, remarks = _copied(params, points, target_body, betas, joint_set), ()
    else:
        known = torch.isfinite(points).all(-1).double().numpy()
        fit = fit_body(
            target_body, points.double().numpy(), known, joint_set, 30.0, options.fit, betas
        )  # frames by themselves: the rate does not count
        found, remarks = fit.params, fit.remarks
    with torch.no_grad():
        gap = target_body.joints(target_body(found), joint_set) - points.to(target_body.template)
    return Transfer(found, gap.norm(dim=-1).numpy(), joint_set, remarks)


def same_kind(a: BodyModel, b: BodyModel) -> bool:
    """Tell whether a pose means the same in both bodies."""
    alike = a.name == b.name and a.joint_names == b.joint_names and a.parents == b.parents
    return alike and a.has_orientation and b.has_orientation or (alike and a.name != "anny")


def _common_set(a: BodyModel, b: BodyModel) -> str:
    """The joint set of which both bodies have most joints."""
    counts = {}
    for name in JOINT_SETS:
        try:
            known = np.logical_and(a.defined_joints(name), b.defined_joints(name))
        except LookupError:
            continue
        counts[name] = int(known.sum())
    best = max(counts, key=lambda name: counts[name])
    if counts[best] < FEWEST:
        raise InputError(
            f"transfer: bodies {a.name} and {b.name} share {counts[best]} points, expected at least {FEWEST}; "
            "whole bodies can be transferred, hands and heads cannot"
        )
    return best


def _copied(
    params: BodyParams, points: Tensor, body: BodyModel, betas: Tensor | None, joint_set: str
) -> BodyParams:
    """The same rotations; where the shape is another one, as near to the points as a translation brings it."""
    like = body.template
    same = len(params.betas) == len(body.shape_names)
    shape = betas if betas is not None else params.betas if same else body.rest_params().betas
    found = replace(params.map(lambda x: x.to(like)), betas=shape.to(like), expression=None)
    if betas is None and same:
        return found
    with torch.no_grad():
        gap = points.to(like) - body.joints(body(found), joint_set)
    known = torch.isfinite(gap).all(-1, keepdim=True)
    shift = torch.where(known, gap, 0.0).sum(1) / known.sum(1).clamp(min=1)
    return replace(found, transl=found.transl + shift)
