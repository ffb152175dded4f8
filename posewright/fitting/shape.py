"""Shape of a body from the lengths of its bones, measured over a whole clip.

Lengths do not depend on the pose, so shape and pose come apart: first the shape whose bones are as long as those seen
(medians over the frames, weighted by confidence), held near the mean body by how much people vary; then the pose.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from posewright.bodies.model import BodyModel
from posewright.fitting.points import active_joints, body_points
from posewright.skeletons.skeleton import Skeleton

BONES = tuple(
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
) + (("left_hip", "right_hip"),)
"""Pairs of joints at fixed distances."""
LOOSE = (
    ("left_shoulder", "right_shoulder"),
    ("pelvis", "thorax"),
    ("left_ankle", "left_toe"),
    ("right_ankle", "right_toe"),
)
"""Pairs that bend a little: the upper quartile of their distance counts, loosely."""


@dataclass(frozen=True)
class ShapeOptions:
    """What a fit of the shape weighs."""

    bone_sigma: float = 0.005
    """Metres."""
    loose_sigma: float = 0.03
    """Metres, of `LOOSE` pairs."""
    shape_sigma: float = 0.5
    """Spread of shape parameters about their default, in units of Anny's phenotypes; 4 times that in SMPL's betas."""
    iterations: int = 15


def fit_shape(
    body: BodyModel,
    joints: np.ndarray,
    confidence: np.ndarray,
    skeleton: Skeleton,
    options: ShapeOptions = ShapeOptions(),
) -> Float[Tensor, " S"]:
    """Shape parameters from joints (T, J, 3) in metres and confidence (T, J), NaN and 0 where missing.

    Without any bone that is seen, the default shape.
    """
    defined = dict(zip(skeleton.joint_names, body.defined_joints(skeleton.name), strict=True))
    pairs, wanted, sigma = [], [], []
    for bones, spread, quantile in ((BONES, options.bone_sigma, 0.5), (LOOSE, options.loose_sigma, 0.75)):
        for a, b in bones:
            if not (defined.get(a) and defined.get(b)):
                continue
            length = _length(joints, confidence, skeleton.index(a), skeleton.index(b), quantile)
            if np.isfinite(length):
                pairs.append((skeleton.index(a), skeleton.index(b)))
                wanted.append(length)
                sigma.append(spread)
    start = body.rest_params().betas.double()
    if not pairs:
        return start
    spread = options.shape_sigma * (1.0 if body.name == "anny" else 4.0)
    return _gauss_newton(
        body, skeleton.name, torch.tensor(pairs), torch.tensor(wanted), torch.tensor(sigma), spread, options
    )


def _length(joints: np.ndarray, confidence: np.ndarray, a: int, b: int, quantile: float) -> float:
    """Weighted quantile of a distance over the frames; NaN if it is never seen."""
    distance = np.linalg.norm(joints[:, a].astype(float) - joints[:, b], axis=-1)
    weight = np.where(np.isfinite(distance), np.minimum(confidence[:, a], confidence[:, b]), 0.0)
    seen = weight > 0
    if not seen.any():
        return float("nan")
    order = np.argsort(distance[seen])
    total = np.cumsum(weight[seen][order])
    return float(distance[seen][order][np.searchsorted(total, quantile * total[-1])])


def _gauss_newton(
    body: BodyModel,
    joint_set: str,
    pairs: Tensor,
    wanted: Tensor,
    sigma: Tensor,
    spread: float,
    options: ShapeOptions,
) -> Float[Tensor, " S"]:
    """Least squares over the shape parameters, with damping; forward derivatives: few parameters, many bones."""
    rest = body.rest_params()
    start = rest.betas.double()
    still = torch.eye(3).double().expand(1, len(active_joints(body)), 3, 3)
    origin = torch.zeros(1, 3).double()

    def residuals(betas: Tensor) -> Tensor:
        shaped = body_points(body, betas, joint_set)
        points = shaped(still, origin)[0]
        lengths = (points[pairs[:, 0]] - points[pairs[:, 1]]).norm(dim=-1)
        return torch.cat([(lengths - wanted) / sigma, (betas - start) / spread])

    betas, damping = start.clone(), 1e-2
    r = residuals(betas)
    for _ in range(options.iterations):
        J = torch.func.jacfwd(residuals)(betas)
        H = J.mT @ J
        step = -torch.linalg.solve(H + damping * torch.diag(H.diagonal()), J.mT @ r)
        new = _bounded(body, betas + step)
        tried = residuals(new)
        if tried.square().sum() < r.square().sum():
            done = float((new - betas).abs().max()) < 1e-4
            betas, r, damping = new, tried.detach(), 0.3 * damping
            if done:
                break
        else:
            damping *= 10
    return betas.detach()


def _bounded(body: BodyModel, betas: Tensor) -> Tensor:
    """Anny's phenotypes end at 0 and 1; betas beyond 5 are no people."""
    return betas.clamp(0.02, 0.98) if body.name == "anny" else betas.clamp(-5, 5)
