"""From one number per pose to the number in the table: over frames, or over actions.

Human3.6M's tables average within each action over all its frames, subjects and cameras, and then over the 15 actions,
each counting the same (Martinez et al., ICCV 2017, table 1); others average over all frames. Actions are not equally
long, so the two differ by some tenths of a millimetre: a result has to say which it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Average:
    """The mean of a metric, by group and overall."""

    per_frame: float
    """Every value counts the same; NaN values (nothing scored) do not count."""
    per_group: float
    """Mean of the groups' means: every action counts the same."""
    groups: dict[str, float]
    """Mean of each group, in the order of first appearance."""
    counts: dict[str, int]
    """Values that counted, per group."""

    @property
    def count(self) -> int:
        """Values that counted."""
        return sum(self.counts.values())


def average(values: np.ndarray | Tensor, groups: Sequence[str] | np.ndarray | None = None) -> Average:
    """Average one number per pose over all poses and over groups.

    Args:
        values: (N,) or any shape (flattened), NaN where nothing is scored.
        groups: one name per value, such as its action; None: all of one group, `all`.

    Raises:
        ValueError: not one group per value.
    """
    flat = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    flat = np.ravel(flat).astype(np.float64)
    names = np.full(len(flat), "all") if groups is None else np.asarray(groups).astype(str)
    if names.shape != flat.shape:
        raise ValueError(
            f"{len(flat)} values but groups of shape {names.shape}: expected one group name per value "
            "(np.repeat an action's name by its number of frames)"
        )
    unique, first, index = np.unique(names, return_index=True, return_inverse=True)
    known = np.isfinite(flat)
    counts = np.bincount(index[known], minlength=len(unique))
    sums = np.bincount(index[known], weights=flat[known], minlength=len(unique))
    means = np.divide(sums, counts, out=np.full(len(unique), np.nan), where=counts > 0)
    order = np.argsort(first)
    return Average(
        per_frame=float(sums.sum() / counts.sum()) if counts.sum() else float("nan"),
        per_group=float(means[counts > 0].mean()) if counts.any() else float("nan"),
        groups={str(unique[i]): float(means[i]) for i in order},
        counts={str(unique[i]): int(counts[i]) for i in order},
    )


def action_name(sequence: str) -> str:
    """Action of a sequence's name: `Walking 1` and `Walking` are both `Walking`, `WalkTogether` is another."""
    return sequence.split(" ")[0]
