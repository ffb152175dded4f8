"""How much faster the batched metrics are than the loop over frames that evaluation scripts are usually written as.

    python benchmarks/metrics_speed.py [--poses 20000] [--runs 7]

The loop takes one pose at a time with numpy: `np.linalg.norm` for the distance, and for PA-MPJPE the usual Procrustes
alignment (centre, normalise, one SVD of the 3x3 covariance, correct the sign, apply). It is written with care: no
needless copies, nothing computed twice. Both give the same numbers, which is checked before anything is timed. Best of
`--runs`: processor time on one thread, and wall time on all cores for the batched ones (the loop cannot use them). A
batched numpy version (one call of `np.linalg.svd` for all poses) is timed as well,
so that it is seen how much of the gain is batching and how much the closed-form rotation.
Writes results/metrics_speed.csv.
"""

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
import torch
from row import write_rows

from posewright.metrics.correct_joints import AUC_THRESHOLDS_MM, auc, pck
from posewright.metrics.motion import velocity_errors
from posewright.metrics.position import mpjpe, n_mpjpe, pa_mpjpe

LOOP_POSES = 2000
"""The loop is timed on fewer poses: its time is proportional to their number."""


def main() -> None:
    """Check that loop and batch agree, time both, write the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--poses", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    target = rng.normal(scale=(0.15, 0.12, 0.4), size=(arguments.poses, 17, 3)).astype(np.float32)
    predicted = (target + rng.normal(scale=0.04, size=target.shape)).astype(np.float32)
    rows = []
    for name, (batched, loop) in METRICS.items():
        few = slice(0, LOOP_POSES)
        np.testing.assert_allclose(
            batched(predicted[few], target[few]), loop(predicted[few], target[few]), atol=1e-3
        )
        fast = 1e6 * best(batched, predicted, target, arguments.runs) / len(target)
        slow = 1e6 * best(loop, predicted[few], target[few], 3) / LOOP_POSES
        torch.set_num_threads(os.cpu_count() or 1)
        wall = 1e6 * best(batched, predicted, target, arguments.runs, time.perf_counter) / len(target)
        torch.set_num_threads(1)
        rows.append(row(name, fast, wall, slow))
    numpy_us = 1e6 * best(pa_mpjpe_numpy, predicted, target, 3) / len(target)
    rows.append(row("pa_mpjpe, batched numpy svd", numpy_us, numpy_us, float(rows[1]["loop_us_per_pose"])))
    print(write_rows("metrics_speed", rows))


def row(name: str, fast: float, wall: float, slow: float) -> dict[str, str]:
    """One line of the table, printed as well."""
    print(
        f"{name:28} {fast:6.2f} us ({wall:.2f} us on all cores), loop {slow:6.1f} us: {slow / fast:4.0f} times"
    )
    return {
        "metric": name,
        "batched_us_per_pose": f"{fast:.3f}",
        "loop_us_per_pose": f"{slow:.1f}",
        "times_faster": f"{slow / fast:.0f}",
        "batched_us_per_pose_all_cores": f"{wall:.3f}",
        "times_faster_all_cores": f"{slow / wall:.0f}",
    }


def best(
    function: Callable, predicted, target, runs: int, clock: Callable[[], float] = time.process_time
) -> float:
    """Least seconds of several runs."""
    seconds = []
    for _ in range(runs):
        start = clock()
        function(predicted, target)
        seconds.append(clock() - start)
    return min(seconds)


def each_frame(one: Callable) -> Callable:
    """The metric of one pose, looped over poses."""
    return lambda predicted, target: np.array([one(p, t) for p, t in zip(predicted, target, strict=True)])


def mpjpe_of_one(p: np.ndarray, t: np.ndarray) -> float:
    """Distance averaged over joints."""
    return 1000 * np.linalg.norm(p - t, axis=-1).mean()


def n_mpjpe_of_one(p: np.ndarray, t: np.ndarray) -> float:
    """Best scale, then distance."""
    return mpjpe_of_one((p * t).sum() / (p * p).sum() * p, t)


def pa_mpjpe_of_one(p: np.ndarray, t: np.ndarray) -> float:
    """Procrustes alignment by an SVD, then distance."""
    p_mean, t_mean = p.mean(0), t.mean(0)
    p, t0 = p - p_mean, t - t_mean
    p_size, t_size = np.linalg.norm(p), np.linalg.norm(t0)
    u, s, vt = np.linalg.svd((p / p_size).T @ (t0 / t_size))
    if np.linalg.det(u @ vt) < 0:
        u[:, -1] *= -1
        s[-1] *= -1
    return mpjpe_of_one(s.sum() * t_size / p_size * p @ (u @ vt) + t_mean, t)


def pck_of_one(p: np.ndarray, t: np.ndarray) -> float:
    """Percentage of joints nearer than 150 mm."""
    return 100 * (1000 * np.linalg.norm(p - t, axis=-1) < 150).mean()


def auc_of_one(p: np.ndarray, t: np.ndarray) -> float:
    """Mean percentage over the thresholds, one comparison for each."""
    distance = 1000 * np.linalg.norm(p - t, axis=-1)
    return 100 * np.mean([(distance < threshold).mean() for threshold in AUC_THRESHOLDS_MM])


def velocity_errors_looped(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Difference of neighbouring frames, frame by frame."""
    pairs = range(1, len(target))
    return np.array([mpjpe_of_one(predicted[i] - predicted[i - 1], target[i] - target[i - 1]) for i in pairs])


def pa_mpjpe_numpy(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """All poses at once, with numpy's stacked SVD."""
    p, t0 = p - p.mean(1, keepdims=True), t - t.mean(1, keepdims=True)
    u, s, vt = np.linalg.svd(p.swapaxes(1, 2) @ t0)
    sign = np.ones_like(s)
    sign[:, -1] = np.sign(np.linalg.det(u @ vt))
    scale = (s * sign).sum(-1) / (p * p).sum((1, 2))
    aligned = scale[:, None, None] * (p @ ((u * sign[:, None]) @ vt))
    return 1000 * np.linalg.norm(aligned - t0, axis=-1).mean(-1)


METRICS: dict[str, tuple[Callable, Callable]] = {
    "mpjpe": (mpjpe, each_frame(mpjpe_of_one)),
    "pa_mpjpe": (pa_mpjpe, each_frame(pa_mpjpe_of_one)),
    "n_mpjpe": (n_mpjpe, each_frame(n_mpjpe_of_one)),
    "pck": (pck, each_frame(pck_of_one)),
    "auc": (auc, each_frame(auc_of_one)),
    "mpjve": (velocity_errors, velocity_errors_looped),
}

if __name__ == "__main__":
    main()
