"""What a fit says about one frame by way of the others: rotations carried on, gaps bridged, motion smoothed."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from posewright.fitting.points import BodyPoints
from posewright.geometry.rotations import continuous_quat_wxyz, matrix_to_quat_wxyz, quat_wxyz_to_matrix
from posewright.geometry.signals import butterworth, fill_gaps


def told_joints(points: BodyPoints, weights: Float[Tensor, "N P"]) -> Bool[Tensor, "N A"]:
    """Tell of which active joints a seen point speaks: those that move one."""
    moved = torch.zeros(len(points.active), len(points.defined), dtype=torch.bool)
    for a, reach in enumerate(points.reach):
        moved[a, points.term_point[reach > 0]] = True
    return ((weights > 0)[:, None] & moved).any(-1)


def carried(local: Tensor, points: BodyPoints, weights: Tensor) -> Tensor:
    """Rotations of joints that nothing speaks for in a frame, from the frames before and after."""
    told = told_joints(points, weights).numpy()
    quats = continuous_quat_wxyz(matrix_to_quat_wxyz(local)).numpy()
    frames = np.arange(len(quats))
    for a in np.flatnonzero(told.any(0) & ~told.all(0)):
        known = told[:, a]
        for k in range(4):
            quats[~known, a, k] = np.interp(frames[~known], frames[known], quats[known, a, k])
    return _unit_matrices(quats)


def bridged(
    local: Tensor, transl: Tensor, seen: np.ndarray, T: int, fps: float, max_gap_s: float
) -> tuple[Tensor, Tensor, np.ndarray]:
    """Fill short gaps between seen frames; also return the frames that are there now."""
    quats = np.full((T, local.shape[1], 4), np.nan)
    place = np.full((T, 3), np.nan)
    quats[seen] = continuous_quat_wxyz(matrix_to_quat_wxyz(local)).numpy()
    place[seen] = transl.numpy()
    if max_gap_s > 0:
        quats, place = fill_gaps(quats, fps, max_gap_s), fill_gaps(place, fps, max_gap_s)
    frames = np.flatnonzero(np.isfinite(place).all(-1))
    return _unit_matrices(quats[frames]), torch.from_numpy(place[frames]), frames


def smoothed(
    local: Tensor, transl: Tensor, frames: np.ndarray, fps: float, cutoff_hz: float
) -> tuple[Tensor, Tensor]:
    """Low-pass the motion, run by run."""
    T = frames[-1] + 1
    quats = np.full((T, local.shape[1], 4), np.nan)
    place = np.full((T, 3), np.nan)
    quats[frames] = continuous_quat_wxyz(matrix_to_quat_wxyz(local)).numpy()
    place[frames] = transl.numpy()
    smooth = butterworth(quats, fps, cutoff_hz)[frames]
    return _unit_matrices(smooth), torch.from_numpy(butterworth(place, fps, cutoff_hz)[frames])


def _unit_matrices(quats: np.ndarray) -> Tensor:
    unit = quats / np.linalg.norm(quats, axis=-1, keepdims=True)
    return quat_wxyz_to_matrix(torch.from_numpy(unit))
