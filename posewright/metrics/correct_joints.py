"""Share of joints that are right: 3D PCK and the area under its curve (AUC).

Mehta et al., Monocular 3D Human Pose Estimation In The Wild Using Improved CNN Supervision, 3DV 2017, section 6: a
joint is correct when it lies less than 150 mm from the truth, poses relative to the root; AUC is the mean PCK over the
thresholds 0, 5, ..., 150 mm. Both ends count, 31 thresholds, as the authors' evaluation script has it: leaving out 0,
where PCK is always 0, raises the AUC by a thirtieth.

Convention: poses (..., J, 3) in metres; results (...,) in percent, one number per pose. Missing joints as in
`position`: NaN in the truth is not scored, NaN in the estimate alone makes the result NaN (to count it as wrong, put
the joint far away).
"""

import torch
from torch import Tensor

from posewright.metrics.arrays import MILLIMETRES, Array, as_tensors, check_poses, masked_mean, scored

PCK_THRESHOLD_MM = 150.0
AUC_THRESHOLDS_MM = tuple(float(t) for t in range(0, 151, 5))


def pck(predicted: Array, target: Array, threshold_mm: float = PCK_THRESHOLD_MM) -> Array:
    """Percentage of scored joints less than `threshold_mm` from the truth.

    Args:
        predicted: (..., J, 3) metres, root-relative where the protocol says so.
        target: the same shape.
        threshold_mm: millimetres; a joint exactly at the threshold is not correct.

    Returns:
        (...,) percent per pose; the mean over poses is the usual figure where all joints are scored in all of them.
    """
    (p, t), unwrap = as_tensors(predicted, target)
    check_poses(p, t)
    distance = _distances(p, t)
    right = (distance < threshold_mm).to(p.dtype).mean(-1)
    if torch.isnan(distance.sum()):
        nan_if_lost = torch.where(torch.isnan(distance), torch.nan, (distance < threshold_mm).to(p.dtype))
        right = masked_mean(nan_if_lost, scored(t))
    return unwrap(100 * right)


def auc(predicted: Array, target: Array, thresholds_mm: tuple[float, ...] = AUC_THRESHOLDS_MM) -> Array:
    """Mean of `pck` over thresholds, percent per pose.

    Args:
        predicted: (..., J, 3) metres, root-relative where the protocol says so.
        target: the same shape.
        thresholds_mm: millimetres; 0:5:150 for MPI-INF-3DHP.
    """
    (p, t), unwrap = as_tensors(predicted, target)
    check_poses(p, t)
    return unwrap(_share(_distances(p, t), t, torch.tensor(thresholds_mm)).mean(-1))


def pck_curve(predicted: Array, target: Array, thresholds_mm: tuple[float, ...] = AUC_THRESHOLDS_MM) -> Array:
    """`pck` at each threshold, (..., thresholds) percent: the curve whose mean is `auc`."""
    (p, t), unwrap = as_tensors(predicted, target)
    check_poses(p, t)
    return unwrap(_share(_distances(p, t), t, torch.tensor(thresholds_mm)))


def joint_pck(predicted: Array, target: Array, threshold_mm: float = PCK_THRESHOLD_MM) -> Array:
    """Percentage of poses in which each joint is correct, (J,): over all poses that score it; NaN where none does."""
    (p, t), unwrap = as_tensors(predicted, target)
    check_poses(p, t)
    distance, J = _distances(p, t).reshape(-1, p.shape[-2]), p.shape[-2]
    seen = scored(t).reshape(-1, J)
    right = torch.where(torch.isnan(distance), torch.nan, (distance < threshold_mm).to(p.dtype))
    return unwrap(100 * masked_mean(right.mT, seen.mT))


def _distances(p: Tensor, t: Tensor) -> Tensor:
    """(..., J) millimetres."""
    return MILLIMETRES * torch.linalg.vector_norm(p - t, dim=-1)


def _share(distance: Tensor, t: Tensor, thresholds: Tensor) -> Tensor:
    """(..., thresholds) percent of the scored joints nearer than each threshold.

    Sorting the thresholds' intervals is cheaper than comparing each joint with each threshold: a joint at distance d is
    correct for all thresholds above d.
    """
    if not len(thresholds):
        raise ValueError("no thresholds given, expected at least one in millimetres")
    seen = scored(t)
    order = torch.argsort(thresholds)
    edges = thresholds[order].to(distance)
    first = torch.searchsorted(edges, distance.nan_to_num(nan=torch.inf).contiguous(), right=True)
    first = torch.where(seen, first, len(edges))
    counts = distance.new_zeros((*distance.shape[:-1], len(edges) + 1))
    counts.scatter_add_(-1, first, torch.ones_like(distance))
    total = seen.sum(-1, keepdim=True)
    share = (
        100 * counts[..., :-1].cumsum(-1)[..., torch.argsort(order).to(distance.device)] / total.clamp(min=1)
    )
    lost = (seen & torch.isnan(distance)).any(-1, keepdim=True) | (total == 0)
    return torch.where(lost, torch.nan, share)
