"""Who is who: estimated people matched to true ones over a clip, and how often identities change.

After the CLEAR MOT measures (Bernardin and Stiefelhagen 2008): in each frame a true person keeps the estimate it had
before if that is still near enough; the rest are matched with least total distance; an identity switch is a true person
whose estimate is another than the last one it had.

Convention: distances of any unit, (T, P, Q): of P true people to Q estimates in each frame; NaN where one is missing.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True)
class PeopleMatch:
    """Estimates of true people over a clip."""

    estimate: np.ndarray
    """(T, P) int: which estimate each true person has in each frame; -1 none."""
    switches: int
    """Identity switches."""
    misses: np.ndarray
    """(T, P) bool: the person had to be found and was not."""
    phantoms: np.ndarray
    """(T,) int: estimates that are nobody in that frame."""

    def found(self) -> np.ndarray:
        """(T, P) bool."""
        return self.estimate >= 0


def match_people(
    distances: np.ndarray, limit: float, required: np.ndarray, present: np.ndarray
) -> PeopleMatch:
    """Match estimates to true people.

    Args:
        distances: (T, P, Q).
        limit: no match where the distance is larger.
        required: (T, P) bool: frames in which a person must be found (is well visible). In others a match is
            allowed and not a phantom, but its lack is no miss.
        present: (T, Q) bool: the estimate is there.
    """
    T, P, Q = distances.shape
    if required.shape != (T, P) or present.shape != (T, Q):
        raise ValueError(
            f"match_people: distances {distances.shape}, required {required.shape}, present {present.shape}; "
            "expected (T, P, Q), (T, P), (T, Q)"
        )
    allowed = np.isfinite(distances) & (distances <= limit) & present[:, None, :]
    estimate = np.full((T, P), -1)
    last = np.full(P, -1)
    switches = 0
    for t in range(T):
        estimate[t] = _frame(distances[t], allowed[t], last)
        has = estimate[t] >= 0
        switches += int((has & (last >= 0) & (estimate[t] != last)).sum())
        last = np.where(has, estimate[t], last)
    taken = (estimate[..., None] == np.arange(Q)).any(1)
    return PeopleMatch(estimate, switches, required & (estimate < 0), (present & ~taken).sum(-1))


def _frame(distances: np.ndarray, allowed: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Match one frame: (P,) estimates, -1 none."""
    out = np.full(len(distances), -1)
    if not allowed.size:
        return out
    kept = np.flatnonzero((last >= 0) & allowed[np.arange(len(last)), last])
    kept = kept[np.argsort(distances[kept, last[kept]], kind="stable")]
    kept = kept[
        np.unique(last[kept], return_index=True)[1]
    ]  # two may have had one estimate: the nearer keeps it
    out[kept] = last[kept]
    open_rows = np.setdiff1d(np.arange(len(distances)), kept)
    columns = np.setdiff1d(np.arange(distances.shape[1]), out[kept])
    if not len(open_rows) or not len(columns):
        return out
    free = allowed[np.ix_(open_rows, columns)]
    cost = np.where(free, np.nan_to_num(distances[np.ix_(open_rows, columns)]), 1e9)
    for row, column in zip(*linear_sum_assignment(cost), strict=True):
        if free[row, column]:
            out[open_rows[row]] = columns[column]
    return out
