"""Several hypotheses of one pose: their errors, and one pose made of them.

Shan et al., "Diffusion-Based 3D Human Pose Estimation with Multi-Hypothesis Aggregation", ICCV 2023,
https://arxiv.org/abs/2303.11579, section 3.4 (JPMA) and 4.1 (the four errors):

    P-Best  the best hypothesis                    oracle: the truth chooses
    J-Best  the best hypothesis of each joint      oracle: the truth chooses; flattering, it may mix bodies
    P-Agg   the mean of the hypotheses             deployable
    J-Agg   one hypothesis per joint, chosen       as its choice: JPMA with the true root (as published) is an oracle,
                                                   with an estimated root it is deployable
    RPEA    weighted mean of the hypotheses whose  as JPMA
            images are nearest, joint by joint

RPEA (reprojection-based posterior expectation aggregation) is that of Wang, Yu, Mathis, "FMPose3D", CVPR 2026,
https://arxiv.org/abs/2602.05755.

Say with each number how many hypotheses there were: the oracles fall with it, whatever the method is worth.

Convention: hypotheses are (..., H, J, 3) and the truth (..., J, 3) in metres, tensors or numpy arrays; errors are
(...,) millimetres, one number per pose. A joint that is NaN in the truth is not scored; one that is NaN in a hypothesis
makes the error NaN. For the errors after alignment, align first: `procrustes_aligned` of `position`, with the
truth repeated for each hypothesis (P-Agg: the mean is aligned, not averaged after).
"""

from collections.abc import Callable, Sequence
from math import comb

import torch
from jaxtyping import Float
from torch import Tensor

from posewright.core.errors import InputError
from posewright.geometry.resection import root_translation
from posewright.metrics.arrays import MILLIMETRES, Array, as_tensors, masked_mean, scored
from posewright.metrics.position import mpjpe

Project = Callable[[Tensor], Tensor]
"""Points (*B, N, 3) in camera axes, metres, to the picture (*B, N, 2), in the keypoints' units."""


def p_best(hypotheses: Array, target: Array, one_for_all: bool = False) -> Array:
    """Error of the best hypothesis. Oracle.

    Args:
        hypotheses: (..., H, J, 3) metres.
        target: (..., J, 3) metres.
        one_for_all: choose one hypothesis number for all poses together, by the mean error over them, as the official
            code does for each batch (its result depends on the batch size); otherwise one for each pose.

    Returns:
        (...,) millimetres, or () with `one_for_all`.

    Raises:
        ValueError: shapes that do not fit.
    """
    (h, t), unwrap = checked_pair(hypotheses, target)
    errors = masked_mean(_distances(h, t), scored(t)[..., None, :])
    if one_for_all:
        errors = errors.reshape(-1, errors.shape[-1]).mean(0)
    return unwrap(errors.amin(-1))


def p_best_of(hypotheses: Array, target: Array, numbers: Sequence[int]) -> Array:
    """Error of the best of S hypotheses, for several S, expected over all choices of S from those given. Oracle.

    Every method's falls with S; the curves of two methods compare at equal S only.

    Args:
        hypotheses: (..., H, J, 3) metres.
        target: (..., J, 3) metres.
        numbers: each from 1 to H: 1 gives the mean error, H is `p_best`.

    Returns:
        (..., len(numbers)) millimetres.

    Raises:
        InputError: more than there are, or fewer than one.
    """
    (h, t), unwrap = checked_pair(hypotheses, target)
    H = h.shape[-3]
    if wrong := [n for n in numbers if not 1 <= n <= H]:
        raise InputError(
            f"hypotheses: the best of {wrong[0]}, expected a number from 1 to {H}, those there are"
        )
    errors = masked_mean(_distances(h, t), scored(t)[..., None, :]).sort(-1).values
    shares = [[comb(H - 1 - i, n - 1) / comb(H, n) for i in range(H)] for n in numbers]
    return unwrap(errors @ errors.new_tensor(shares).T)


def j_best(hypotheses: Array, target: Array) -> Array:
    """Error when each joint is taken from the hypothesis that has it best, (...,) millimetres. Oracle."""
    (h, t), unwrap = checked_pair(hypotheses, target)
    return unwrap(masked_mean(_distances(h, t).amin(-2), scored(t)))


def p_agg(hypotheses: Array, target: Array) -> Array:
    """Error of the mean of the hypotheses, (...,) millimetres. Deployable."""
    (h, t), unwrap = checked_pair(hypotheses, target)
    return unwrap(mpjpe(h.mean(-3), t))


def j_agg(hypotheses: Array, target: Array, choice: Array) -> Array:
    """Error of the pose whose joints were chosen, (...,) millimetres; oracle or deployable as the choice is.

    Args:
        hypotheses: (..., H, J, 3) metres.
        target: (..., J, 3) metres.
        choice: (..., J) whole numbers: for each joint, the hypothesis it comes from.
    """
    (h, t), unwrap = checked_pair(hypotheses, target)
    return unwrap(mpjpe(chosen_joints(h, torch.as_tensor(choice)), t))


# ------------------------------------------------------------------------------------------- aggregation


def chosen_joints(hypotheses: Float[Tensor, "*B H J 3"], choice: Tensor) -> Float[Tensor, "*B J 3"]:
    """Pose whose joint j comes from hypothesis `choice` (*B, J).

    Raises:
        ValueError: the choice does not fit the hypotheses.
    """
    expected = (*hypotheses.shape[:-3], hypotheses.shape[-2])
    if choice.shape != expected or choice.is_floating_point():
        raise ValueError(
            f"choice has shape {tuple(choice.shape)} and type {choice.dtype}, expected whole numbers {expected}: one "
            "hypothesis for each joint"
        )
    index = choice.long()[..., None, :, None].expand(*choice.shape[:-1], 1, -1, 3)
    return hypotheses.gather(-3, index)[..., 0, :, :]


def nearest_in_picture(projected: Float[Tensor, "*B H J 2"], keypoints: Float[Tensor, "*B J 2"]) -> Tensor:
    """For each joint, the hypothesis whose image is nearest to the keypoint: (*B, J) (equation 7).

    A joint without keypoint (NaN) takes the hypothesis nearest over the pose's other joints; a pose without any takes
    the first. What does not project (NaN: behind the camera) is farthest.
    """
    distance = torch.linalg.vector_norm(projected - keypoints[..., None, :, :], dim=-1).nan_to_num(torch.inf)
    seen = torch.isfinite(keypoints).all(-1)
    whole = torch.where(seen[..., None, :], distance, 0.0).sum(-1).argmin(-1)
    return torch.where(seen, distance.argmin(-2), whole[..., None])


def jpma(
    hypotheses: Float[Tensor, "*B H J 3"],
    keypoints: Float[Tensor, "*B J 2"],
    project: Project,
    root: Float[Tensor, "*B 3"],
) -> Float[Tensor, "*B J 3"]:
    """Joint-wise reprojection-based multi-hypothesis aggregation (section 3.4).

    Every joint comes from the hypothesis whose image is nearest to the joint's keypoint.

    Args:
        hypotheses: relative to the root, camera axes, metres.
        keypoints: of the same joints; NaN is missing.
        project: the camera, into the keypoints' units.
        root: where the root stands, camera axes, metres: the true place as in the paper (oracle), or that of
            `estimated_root` (deployable).

    Returns:
        One pose, relative to the root, metres; one hypothesis is returned as it is.
    """
    projected = images_of(hypotheses, project, root)
    return chosen_joints(hypotheses, nearest_in_picture(projected, keypoints))


CLIPPED_AT = 20
"""RPEA: distances in the picture count no more than this many temperatures."""


def rpea_weights(
    projected: Float[Tensor, "*B H J 2"],
    keypoints: Float[Tensor, "*B J 2"],
    topk: int | None = None,
    temperature: float = 0.005,
) -> Float[Tensor, "*B H J"]:
    """How much each hypothesis counts for each joint: exp(-distance / temperature) of the nearest `topk`, summing to 1.

    A joint without keypoint (NaN) goes by the mean distance of the pose's other joints; without any, all hypotheses
    count the same. What does not project (NaN: behind the camera) is as far as anything counts.

    Args:
        projected: images of the joints.
        keypoints: in the same units.
        topk: hypotheses that count; None, or more than there are: all.
        temperature: in the keypoints' units; half the picture's width is 1 in the published setting, 0.005.

    Raises:
        InputError: `topk` or `temperature` is not positive.
    """
    if (topk is not None and topk < 1) or not temperature > 0:
        raise InputError(
            f"rpea: topk {topk} and temperature {temperature:g}, expected at least 1 (or None) and above 0"
        )
    distance = torch.linalg.vector_norm(projected - keypoints[..., None, :, :], dim=-1).nan_to_num(torch.inf)
    seen = torch.isfinite(keypoints).all(-1)[..., None, :]
    whole = torch.where(seen, distance, 0.0).sum(-1, keepdim=True) / seen.sum(-1, keepdim=True).clamp(min=1)
    distance = torch.where(seen, distance, whole)
    kept = distance.shape[-2] if topk is None else min(topk, distance.shape[-2])
    nearest, which = distance.topk(kept, dim=-2, largest=False)
    nearest = nearest.clamp(max=CLIPPED_AT * temperature)
    return torch.zeros_like(distance).scatter(-2, which, (-nearest / temperature).softmax(-2))


def rpea(
    hypotheses: Float[Tensor, "*B H J 3"],
    keypoints: Float[Tensor, "*B J 2"],
    project: Project,
    root: Float[Tensor, "*B 3"],
    topk: int | None = None,
    temperature: float = 0.005,
) -> Float[Tensor, "*B J 3"]:
    """Reprojection-based posterior expectation aggregation: each joint is a weighted mean of the hypotheses'.

    Args:
        hypotheses: relative to the root, camera axes, metres.
        keypoints: of the same joints; NaN is missing.
        project: the camera, into the keypoints' units.
        root: the true place as published (oracle), or that of `estimated_root` (deployable); metres, camera axes.
        topk: see `rpea_weights`.
        temperature: see `rpea_weights`.

    Returns:
        One pose, relative to the root, metres; one hypothesis is returned as it is.
    """
    weights = rpea_weights(images_of(hypotheses, project, root), keypoints, topk, temperature)
    return (weights[..., None] * hypotheses).sum(-3)


def images_of(
    hypotheses: Float[Tensor, "*B H J 3"], project: Project, root: Float[Tensor, "*B 3"]
) -> Float[Tensor, "*B H J 2"]:
    """Images of hypotheses whose root stands at `root`, in the units of `project`."""
    placed = hypotheses + root[..., None, None, :]
    return project(placed.flatten(-3, -2)).unflatten(-2, hypotheses.shape[-3:-1])


def estimated_root(
    hypotheses: Float[Tensor, "*B H J 3"],
    keypoints: Float[Tensor, "*B J 2"],
    K: Float[Tensor, "*#B 3 3"],
    weights: Float[Tensor, "*B J"] | None = None,
    distortion: Float[Tensor, "*#B D"] | None = None,
) -> Float[Tensor, "*B 3"]:
    """Where the root stands so that the mean hypothesis images to the keypoints: what JPMA needs, without the truth.

    Args:
        hypotheses: relative to the root, camera axes, metres.
        keypoints: of the same joints, in the units of `K`; NaN is missing.
        K: intrinsics.
        weights: of each joint, such as the keypoints' confidence.
        distortion: OpenCV's coefficients, or None.

    Returns:
        Metres, camera axes; NaN where fewer than two keypoints say it.
    """
    return root_translation(hypotheses.mean(-3), keypoints, K, weights, distortion).translation


def checked_pair(hypotheses: Array, target: Array) -> tuple[tuple[Tensor, Tensor], Callable[[Tensor], Array]]:
    """Hypotheses (..., H, J, 3) and the truth (..., J, 3) as tensors, and the function that unwraps a result.

    Raises:
        ValueError: shapes that do not fit, or no hypotheses.
    """
    (h, t), unwrap = as_tensors(hypotheses, target)
    fits = h.ndim == t.ndim + 1 and t.ndim >= 2 and h.shape[:-3] + h.shape[-2:] == t.shape
    if not fits or t.shape[-1] != 3 or h.shape[-3] == 0:
        raise ValueError(
            f"hypotheses have shape {tuple(h.shape)} and the truth {tuple(t.shape)}, expected (..., H, J, 3) with H > "
            "0 and (..., J, 3)"
        )
    return (h, t), unwrap


# ------------------------------------------------------------------------------------------------ inside


def _distances(h: Tensor, t: Tensor) -> Tensor:
    """(..., H, J) millimetres; NaN where the truth is."""
    return MILLIMETRES * torch.linalg.vector_norm(h - t[..., None, :, :], dim=-1)
