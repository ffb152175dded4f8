"""Forward kinematics over a tree of joints, and the bones of a pose.

Convention: a joint's local rotation is relative to its parent (of a root: to the world), its offset is its
position in the parent's axes at rest; `position = parent_position + parent_global_rotation @ offset`. A root
stands at `root_position + offset`. Metres or any one unit; a matrix acts on columns. Joints may come in any
order.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor


@lru_cache(maxsize=256)
def depth_levels(parents: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Group joints by their distance from the root: every joint's parent is in the level before its own.

    Args:
        parents: index of each joint's parent, -1 for a root; several roots are allowed.

    Raises:
        ValueError: a parent does not exist, or joints form a circle.
    """
    if any(not -1 <= p < len(parents) for p in parents):
        raise ValueError(f"parents {parents}: expected -1 for a root or an index below {len(parents)}")
    level = tuple(j for j, p in enumerate(parents) if p < 0)
    levels = []
    while level:
        levels.append(level)
        level = tuple(j for j, p in enumerate(parents) if p in level)
    if sum(map(len, levels)) != len(parents):
        raise ValueError(f"parents {parents}: some joints are their own ancestors; expected a tree")
    return tuple(levels)


def forward_kinematics(
    local_rotations: Float[Tensor, "*B J 3 3"],
    offsets: Float[Tensor, "*#B J 3"],
    root_position: Float[Tensor, "*#B 3"],
    parents: Sequence[int],
) -> tuple[Float[Tensor, "*B J 3"], Float[Tensor, "*B J 3 3"]]:
    """Pose a skeleton: positions and global rotations of all joints, one step per level of the tree.

    Args:
        local_rotations: of each joint relative to its parent.
        offsets: of each joint from its parent at rest; of a root, from `root_position`. Batches broadcast.
        root_position: where the root's offset is counted from.
        parents: index of each joint's parent, -1 for a root.

    Returns:
        Positions and global rotations. NaN in a joint's rotation reaches its descendants only.
    """
    levels = depth_levels(tuple(int(p) for p in parents))
    order = [j for level in levels for j in level]
    local = local_rotations
    shift = offsets.expand(*local.shape[:-3], *offsets.shape[-2:])
    rotations, positions = (
        [local[..., levels[0], :, :]],
        [shift[..., levels[0], :] + root_position[..., None, :]],
    )
    for above, level in pairwise(levels):
        place = [above.index(int(parents[j])) for j in level]
        parent = rotations[-1][..., place, :, :]
        rotations.append(parent @ local[..., level, :, :])
        positions.append(positions[-1][..., place, :] + (parent @ shift[..., level, :, None])[..., 0])
    back = torch.as_tensor(order, device=local.device).argsort()
    return torch.cat(positions, -2)[..., back, :], torch.cat(rotations, -3)[..., back, :, :]


def global_to_local(
    global_rotations: Float[Tensor, "*B J 3 3"], parents: Sequence[int]
) -> Float[Tensor, "*B J 3 3"]:
    """Express each joint's global rotation relative to its parent's; a root's stays."""
    joints = [j for j, p in enumerate(parents) if p >= 0]
    local = global_rotations.clone()
    above = global_rotations[..., [parents[j] for j in joints], :, :]
    local[..., joints, :, :] = above.mT @ global_rotations[..., joints, :, :]
    return local


def local_to_global(
    local_rotations: Float[Tensor, "*B J 3 3"], parents: Sequence[int]
) -> Float[Tensor, "*B J 3 3"]:
    """Chain local rotations from the root down, without positions."""
    zeros = local_rotations.new_zeros(*local_rotations.shape[:-3], len(parents), 3)
    return forward_kinematics(local_rotations, zeros, zeros[..., 0, :], parents)[1]


def bone_vectors(positions: Float[Tensor, "*B J 3"], parents: Sequence[int]) -> Float[Tensor, "*B J 3"]:
    """Vector from each joint's parent to the joint, world axes; 0 for a root."""
    above = [j if p < 0 else int(p) for j, p in enumerate(parents)]
    return positions - positions[..., above, :]


def bone_lengths(positions: Float[Tensor, "*B J 3"], parents: Sequence[int]) -> Float[Tensor, "*B J"]:
    """Distance of each joint from its parent; 0 for a root, where the gradient is 0 too."""
    return torch.linalg.norm(bone_vectors(positions, parents), dim=-1)
