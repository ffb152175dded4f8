"""Mirrored keypoints and poses: what a network is shown beside the clip itself, and what its answer is turned back by.

Convention: the picture's x axis is negated, and left and right are exchanged; `order` is `Skeleton.mirror`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from posewright.core.errors import InputError


def mirrored(points: Float[Tensor, "*B J C"], order: Sequence[int]) -> Float[Tensor, "*B J C"]:
    """Mirror points: x negated, left and right exchanged; the other channels only change sides.

    Args:
        points: keypoints about the picture's centre, with or without confidence, or joints in camera axes.
        order: (J,) for each joint, the one on the other side, or itself.
    """
    swapped = points[..., list(order), :]
    return torch.cat([-swapped[..., :1], swapped[..., 1:]], -1)


def check_sides(
    method: str, order: Sequence[int], left: Sequence[int] | None, right: Sequence[int] | None
) -> None:
    """Refuse sides that a checkpoint's arguments name unless they are those of the joint set.

    Args:
        method: whose checkpoint it is.
        order: `Skeleton.mirror` of the joint set.
        left: joints on the left; None: not named.
        right: their counterparts, in the same order.

    Raises:
        InputError: another joint set's sides.
    """
    lefts, rights = list(left or []), list(right or [])
    fits = len(lefts) == len(rights) and all(0 <= a < len(order) for a in lefts)
    if not fits or any(int(order[a]) != b for a, b in zip(lefts, rights, strict=True)):
        raise InputError(
            f"{method}: left joints {left} and right joints {right} are not sides of its joint set: name the joint set "
            "of the poses"
        )
