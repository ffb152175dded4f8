"""What a skeleton (joint set) is: names, parents, and what follows from them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Skeleton:
    """A named joint set with a tree; left and right are the person's own.

    Convention: parents come before children wherever the joint set is a rig (`is_ordered`); detection sets such as
    COCO list limbs in any order. A joint with parent -1 is a root; sets made only of surface points may have several.
    """

    name: str
    """Source and size, e.g. `h36m_17`."""
    joint_names: tuple[str, ...]
    """Lower case, full words: `left_hip`."""
    parents: tuple[int, ...]
    """Index of each joint's parent, -1 for a root."""

    def __post_init__(self):
        if len(self.joint_names) != len(self.parents):
            raise ValueError(
                f"skeleton {self.name}: {len(self.joint_names)} joint names but {len(self.parents)} parents"
            )
        if len(set(self.joint_names)) != len(self.joint_names):
            raise ValueError(f"skeleton {self.name}: a joint name occurs twice")

    def __len__(self) -> int:
        return len(self.joint_names)

    def index(self, joint: str) -> int:
        """Position of a joint by name; `LookupError` lists the known names."""
        try:
            return self.joint_names.index(joint)
        except ValueError:
            raise LookupError(
                f"skeleton {self.name} has no joint {joint!r}; it has: {', '.join(self.joint_names)}"
            ) from None

    def indices(self, *joints: str) -> list[int]:
        """Positions of several joints by name."""
        return [self.index(j) for j in joints]

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """Pairs (parent, child)."""
        return tuple((p, j) for j, p in enumerate(self.parents) if p >= 0)

    @cached_property
    def mirror(self) -> np.ndarray:
        """Permutation (J,) that swaps left_* and right_*; `x[..., mirror, :]` with negated x is the mirrored pose."""
        swap = {"left": "right", "right": "left"}
        position = {n: i for i, n in enumerate(self.joint_names)}
        out = []
        for i, name in enumerate(self.joint_names):
            side, _, rest = name.partition("_")
            out.append(position.get(f"{swap[side]}_{rest}", i) if side in swap else i)
        return np.array(out, dtype=np.int64)

    @cached_property
    def is_ordered(self) -> bool:
        """True where every parent stands before its children."""
        return all(p < j for j, p in enumerate(self.parents))
