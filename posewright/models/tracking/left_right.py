"""Find and undo exchanges of left and right over time.

A detector sometimes calls a limb, or a whole body seen from behind, by the other side's name for some frames. The
right names make the limb move smoothly: over each limb group the labels (as they are, or exchanged) that need the least
acceleration are found exactly by dynamic programming (Viterbi 1967) over pairs of neighbouring frames. Using
acceleration and not distance keeps the legs of somebody walking past apart: they pass each other at speed. Each
exchanged frame and each change costs a little, so that the detector is believed where motion says nothing; head and
legs are believed to be exchanged where the arms are, because a body seen from behind is exchanged as a whole.

Between two sides' names a detector often passes through a frame in which both fall on the middle; the exchange looks
smooth. Such frames are left out and get the label of their neighbours, and acceleration is taken over wider steps too.

What this cannot see: a clip in which the sides are exchanged from the first frame to the last.
"""

import numpy as np

from posewright.skeletons.skeleton import Skeleton

GROUPS = {
    "head": ("eye", "ear", "mouth"),
    "arms": ("shoulder", "elbow", "wrist", "pinky", "index", "thumb"),
    "legs": ("hip", "knee", "ankle", "heel", "toe"),
}
ARMS = tuple(GROUPS).index("arms")
FRAME_COST = 0.012
"""Cost of one exchanged frame at 30 frames per second, in sizes of the person per keypoint. On 46 rendered views of
`val` 0.01 to 0.02 are equally good; a third of it exchanged a whole clip of somebody seen from behind. Frames that are
named as a back deserve no more trust than others: rendered backs are taken for fronts, but real video (`test_real_`)
shows a front that is taken for a back for most of a second."""
CHANGE_COST = 0.02
MAX_ACCELERATION = 0.25
"""Sizes of the person per frame squared; more counts as this much."""
LEAST_WEIGHT = 0.15
"""Where keypoints are trusted less than this on average, their motion counts for less."""
TOGETHER = 0.4
"""Sides closer together than this part of the frames around are on their way past each other, or fallen together."""
STEPS = {1: (1.0, None), 2: (0.5, 1), 4: (0.5, 1)}
"""Frames from one to the next of the three whose acceleration counts, how much it counts, and of how many pairs of the
group: over wide steps limbs swing, so only the first pair counts, shoulders or hips."""


def repair_swaps(
    positions: np.ndarray, confidence: np.ndarray, skeleton: Skeleton, fps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return repaired copies of positions and confidence, and (T, P, 3) bool: head, arms, legs exchanged back.

    Args:
        positions: (T, P, K, 2) pixels, NaN where missing.
        confidence: (T, P, K).
        skeleton: tells which keypoints are left and right of what.
        fps: frames per second.
    """
    T, P = positions.shape[:2]
    swapped = np.zeros((T, P, len(GROUPS)), bool)
    positions, confidence = positions.copy(), confidence.copy()
    size = person_size(positions)
    for group in ("arms", *(name for name in GROUPS if name != "arms")):
        g = tuple(GROUPS).index(group)
        left = [
            i
            for i, n in enumerate(skeleton.joint_names)
            if n.startswith("left_") and _is_about(n, GROUPS[group])
        ]
        if T < 3 or not P or not left:
            continue
        right = skeleton.mirror[left].tolist()
        clear = ~fallen_together(positions, confidence, left, right)
        for p in range(P):
            frames = np.flatnonzero(clear[:, p])
            own = FRAME_COST * 30 / fps * np.where(swapped[:, p, ARMS], -1.0, 1.0)
            costs = {
                step: weight
                * acceleration_costs(
                    positions[frames, p], confidence[frames, p], left[:n], right[:n], size[p], frames, step
                )
                for step, (weight, n) in STEPS.items()
            }
            labels = best_labels(costs, _sums(own, frames), CHANGE_COST)
            swapped[:, p, g] = labels[_nearest(frames, T)]
        for values in (positions, confidence):
            sides = values[:, :, left + right].copy()
            other = values[:, :, right + left]
            chosen = swapped[:, :, g].reshape(T, P, *(1,) * (values.ndim - 2))
            values[:, :, left + right] = np.where(chosen, other, sides)
    return positions, confidence, swapped


def person_size(positions: np.ndarray) -> np.ndarray:
    """Return (P,) the median over time of the diagonal of each person's box, pixels, at least 1."""
    low = np.where(np.isfinite(positions), positions, np.inf).min(2)
    high = np.where(np.isfinite(positions), positions, -np.inf).max(2)
    diagonal = np.linalg.norm(np.where(np.isfinite(high - low), high - low, np.nan), axis=-1)
    known = np.isfinite(diagonal).any(0)
    median = np.nanmedian(np.where(known, diagonal, 1.0), axis=0) if len(diagonal) else np.ones(len(known))
    return np.maximum(median, 1.0)


def fallen_together(
    positions: np.ndarray, confidence: np.ndarray, left: list[int], right: list[int]
) -> np.ndarray:
    """Return (T, P) bool: for a frame or two the sides are much closer together than just before and after."""
    gap = np.linalg.norm(positions[:, :, left] - positions[:, :, right], axis=-1)
    trust = np.where(np.isfinite(gap), np.minimum(confidence[:, :, left], confidence[:, :, right]), 0.0)
    apart = (np.nan_to_num(gap) * trust).sum(-1) / np.maximum(trust.sum(-1), 1e-9)
    around = np.pad(apart, ((2, 2), (0, 0)), constant_values=0.0)
    before, after = np.maximum(around[:-4], around[1:-3]), np.maximum(around[3:-1], around[4:])
    return apart < TOGETHER * np.minimum(before, after)


def acceleration_costs(
    positions: np.ndarray,
    confidence: np.ndarray,
    left: list[int],
    right: list[int],
    size: float,
    frames: np.ndarray,
    step: int,
) -> np.ndarray:
    """Return (N, 2, 2, 2): the mean acceleration at frames n - 2 step, n - step, n for each choice of labels.

    Keypoints count by their confidence. An index of 0 is the labels as they are, 1 exchanged; 0 where there is no such
    frame. Where frames were left out, it is the change of mean velocity.

    Args:
        positions: (N, K, 2) pixels of one person.
        confidence: (N, K).
        left: indices of the left keypoints.
        right: of their right partners.
        size: of the person, pixels.
        frames: (N,) numbers of the frames.
        step: frames from one to the next of the three.
    """
    N = len(frames)
    pair = positions[:, [left, right]] / size
    trust = confidence[:, [left, right]]
    sides, weights = np.stack([pair, pair[:, ::-1]], 1), np.stack([trust, trust[:, ::-1]], 1)
    out = np.zeros((N, 2, 2, 2))
    if 2 * step >= N:
        return out
    first, middle, last = (slice(k * step, N - (2 - k) * step) for k in range(3))
    before, after = (
        (frames[j] - frames[i])[:, None, None, None] for i, j in ((first, middle), (middle, last))
    )
    for a, b, c in np.ndindex(2, 2, 2):
        velocity = (sides[middle, b] - sides[first, a]) / before
        bend = step * ((sides[last, c] - sides[middle, b]) / after - velocity)
        amount = np.minimum(np.linalg.norm(bend, axis=-1), MAX_ACCELERATION)
        weight = weights[first, a] * weights[middle, b] * weights[last, c]
        weight = np.where(np.isfinite(amount), weight, 0.0)
        heard = np.maximum(weight.mean((-2, -1)), LEAST_WEIGHT)
        out[2 * step :, a, b, c] = (np.nan_to_num(amount) * weight).mean((-2, -1)) / heard
    return out


def best_labels(costs: dict[int, np.ndarray], frame_costs: np.ndarray, change_cost: float) -> np.ndarray:
    """Return the (N,) bool labels of least cost, True: exchanged.

    The state of the search is the labels of the last frames, as many as the widest step reaches back.

    Args:
        costs: step -> (N, 2, 2, 2), see `acceleration_costs`.
        frame_costs: (N,) of each frame, if it is exchanged.
        change_cost: of each change between neighbouring frames.
    """
    N, reach = len(frame_costs), 2 * max(costs)
    states = np.arange(1 << reach)
    label = {back: states >> (back - 1) & 1 for back in range(1, reach + 1)}
    total = np.full(len(states), np.inf)
    total[[0, -1]] = 0.0  # nothing came before the first frame: it is not a change either way
    came_from = np.zeros((N, 2, len(states) // 2), bool)
    for n in range(N):
        following = np.empty_like(total)
        for new in (0, 1):
            option = total + new * frame_costs[n] + change_cost * (label[1] != new)
            for step, cost in costs.items():
                option += cost[n][label[2 * step], label[step], new]
            older = option.reshape(2, -1)
            came_from[n, new] = older[1] < older[0]
            following[new::2] = older.min(0)
        total = following
    labels = np.zeros(N, bool)
    state = int(total.argmin())
    for n in range(N - 1, -1, -1):
        labels[n] = state & 1
        state = state >> 1 | int(came_from[n, state & 1, state >> 1]) << (reach - 1)
    return labels


def _sums(values: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return (N,) the sum of the values (T,) of those frames that each of `frames` stands for."""
    return np.bincount(_nearest(frames, len(values)), weights=values, minlength=len(frames))


def _nearest(frames: np.ndarray, T: int) -> np.ndarray:
    """Return (T,) the place in `frames` of the one nearest to each frame."""
    return np.searchsorted((frames[1:] + frames[:-1]) / 2, np.arange(T))


def _is_about(name: str, words: tuple[str, ...]) -> bool:
    return any(word in name.split("_") for word in words)
