"""Find and undo exchanges of left and right over time.

A detector sometimes calls a limb, or a whole body seen from behind, by the other side's name for some frames. The
right names make the limb move smoothly: over each limb group the labels (as they are, or exchanged) that need the least
acceleration are found exactly by dynamic programming (Viterbi 1967) over pairs of neighbouring frames. Using
acceleration and not distance keeps the legs of somebody walking past apart: they pass each other at speed. Each
exchanged frame and each change costs a little, so that the detector is believed where motion says nothing.

What this cannot see: a clip in which the sides are exchanged from the first frame to the last.
"""

import numpy as np

from posewright.skeletons.skeleton import Skeleton

GROUPS = {
    "head": ("eye", "ear", "mouth"),
    "arms": ("shoulder", "elbow", "wrist", "pinky", "index", "thumb"),
    "legs": ("hip", "knee", "ankle", "heel", "toe"),
}
FRAME_COST = 0.004
"""Cost of one exchanged frame at 30 frames per second, in sizes of the person per keypoint."""
CHANGE_COST = 0.02
MAX_ACCELERATION = 0.25
"""Sizes of the person per frame squared; more counts as this much."""


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
    for g, words in enumerate(GROUPS.values()):
        left = [
            i for i, n in enumerate(skeleton.joint_names) if n.startswith("left_") and _is_about(n, words)
        ]
        if T < 3 or not left:
            continue
        right = skeleton.mirror[left].tolist()
        cost = acceleration_costs(positions, confidence, left, right, size)
        swapped[:, :, g] = best_labels(cost, FRAME_COST * 30 / fps, CHANGE_COST)
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


def acceleration_costs(positions, confidence, left: list[int], right: list[int], size) -> np.ndarray:
    """Return (T - 2, P, 2, 2, 2): the mean acceleration at frames t, t + 1, t + 2 for each choice of labels.

    An index of 0 is the labels as they are, 1 exchanged.
    """
    pair = positions[:, :, [left, right]] / size[:, None, None, None]
    trust = confidence[:, :, [left, right]]
    sides = np.stack([pair, pair[:, :, ::-1]], 2)
    weights = np.stack([trust, trust[:, :, ::-1]], 2)
    T, P = positions.shape[:2]
    out = np.zeros((T - 2, P, 2, 2, 2))
    for a, b, c in np.ndindex(2, 2, 2):
        bend = sides[:-2, :, a] - 2 * sides[1:-1, :, b] + sides[2:, :, c]
        amount = np.minimum(np.linalg.norm(bend, axis=-1), MAX_ACCELERATION)
        weight = weights[:-2, :, a] * weights[1:-1, :, b] * weights[2:, :, c]
        weight = np.where(np.isfinite(amount), weight, 0.0)
        out[:, :, a, b, c] = (np.nan_to_num(amount) * weight).mean((-2, -1))
    return out


def best_labels(cost: np.ndarray, frame_cost: float, change_cost: float) -> np.ndarray:
    """Return the (T, P) bool labels of least cost, True: exchanged.

    Args:
        cost: (T - 2, P, 2, 2, 2), see `acceleration_costs`.
        frame_cost: of each exchanged frame.
        change_cost: of each change between neighbouring frames.
    """
    steps, people = cost.shape[:2]
    own = np.array([0.0, frame_cost])
    change = change_cost * (1 - np.eye(2))
    total = np.broadcast_to(own[:, None] + own[None] + change, (people, 2, 2)).copy()
    came_from = np.zeros((steps, people, 2, 2), np.int8)
    for t in range(steps):
        options = total[:, :, :, None] + cost[t] + own + change
        came_from[t] = options.argmin(1)
        total = options.min(1)
    labels = np.zeros((steps + 2, people), np.int64)
    last = total.reshape(people, 4).argmin(1)
    labels[-2], labels[-1] = last // 2, last % 2
    everyone = np.arange(people)
    for t in range(steps - 1, -1, -1):
        labels[t] = came_from[t, everyone, labels[t + 1], labels[t + 2]]
    return labels.astype(bool)


def _is_about(name: str, words: tuple[str, ...]) -> bool:
    return any(word in name.split("_") for word in words)
