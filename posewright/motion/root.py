"""Where people stand before the camera: the path of the root, from relative joints and their picture.

Each frame by itself says where the root is: well across the picture, badly in depth (a person 1 % larger or 1
% nearer looks the same). So the per-frame solution (`geometry.resection`) is split into the ray of the root,
which is kept, and the logarithm of its depth, which is smoothed over time with the weights of its own
uncertainty, robustly.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch

from posewright.geometry.resection import root_translation
from posewright.motion.blocks import in_blocks
from posewright.motion.bones import weighted_median
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D, Keypoints3D

_WEAK = {
    "nose": 0.5,
    "left_ear": 0.5,
    "right_ear": 0.5,
    "left_heel": 0.5,
    "right_heel": 0.5,
    "left_toe": 0.5,
    "right_toe": 0.5,
}
"""Joints whose place relative to the root is less certain count less."""


@dataclass(frozen=True)
class RootOptions:
    """How the path of the root is solved and smoothed."""

    depth_cutoff_hz: float | None = None
    """Depth moves slower than this (half power); 0: no smoothing; None: as the noise of the clip asks."""
    huber: float = 0.02
    """Reprojection error, as a fraction of the picture's height, beyond which a keypoint counts less."""
    min_confidence: float = 0.1
    """Keypoints below this do not take part."""
    min_keypoints: int = 4
    """Fewer keypoints in a frame: the root is not solved there."""


@dataclass(frozen=True)
class RootPath:
    """Root positions in camera axes."""

    positions: np.ndarray
    """(T, P, 3) metres, smooth in depth; NaN where not solved."""
    raw: np.ndarray
    """(T, P, 3) metres, each frame by itself."""
    residual: np.ndarray
    """(T, P) weighted root mean square reprojection error, pixels."""
    depth_sigma: np.ndarray
    """(T, P) metres: standard deviation of the raw depth, from the reprojection error."""


def root_path(
    relative: Keypoints3D,
    keypoints: Keypoints2D,
    camera: Camera,
    options: RootOptions = RootOptions(),
) -> RootPath:
    """Solve the root of every person in every frame and make its depth consistent over time.

    Args:
        relative: (T, P, J, 3) root-relative joints, metres, camera axes.
        keypoints: (T, P, K, 2) of the same frames and people; joints of the same name are matched.
        camera: intrinsics and distortion; its place in the world does not matter.
        options: smoothing and robustness.

    Raises:
        ValueError: frames or people differ, or fewer than four joint names are common to both.
    """
    joint, point, importance = _common_joints(relative, keypoints)
    huber = options.huber * camera.image_size[1]

    def solve(x: np.ndarray, u: np.ndarray, sure: np.ndarray, sure_2d: np.ndarray) -> tuple[np.ndarray, ...]:
        weight = np.minimum(sure, sure_2d)
        seen = np.isfinite(x).all(-1) & np.isfinite(u).all(-1) & (weight >= options.min_confidence)
        solvable = seen.sum(-1, keepdims=True) >= options.min_keypoints
        weight = np.where(seen & solvable, weight * importance, 0.0)
        return _solve(x, u, weight, camera, huber, solvable)

    raw, residual, sigma = in_blocks(
        solve,
        (
            relative.positions[:, :, joint],
            keypoints.positions[:, :, point],
            relative.confidence[:, :, joint],
            keypoints.confidence[:, :, point],
        ),
        margin=0,
    )
    positions = smooth_depth(raw, sigma, keypoints.fps, options.depth_cutoff_hz)
    return RootPath(positions, raw, residual, sigma)


def _solve(
    x: np.ndarray, u: np.ndarray, weight: np.ndarray, camera: Camera, huber: float, solvable: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Root (T, P, 3) of each frame by itself, NaN where not `solvable` or absurd; residual and depth sigma (T, P)."""
    distortion = np.asarray(camera.distortion, float)
    fit = root_translation(
        torch.from_numpy(x),
        torch.from_numpy(u),
        torch.from_numpy(np.asarray(camera.K, float)),
        torch.from_numpy(weight),
        torch.from_numpy(distortion) if np.any(distortion) else None,
        camera.model,
        huber=huber,
    )
    raw, residual = np.where(solvable, fit.translation.numpy(), np.nan), fit.residual.numpy()
    raw = np.where((raw[..., 2:] > 0.1) & (raw[..., 2:] < 500), raw, np.nan)
    return raw, residual, np.sqrt(fit.covariance[..., 2, 2].numpy()) * np.maximum(residual, 0.5)


def _common_joints(relative: Keypoints3D, keypoints: Keypoints2D) -> tuple[list[int], list[int], np.ndarray]:
    """Indices of joints of the same name in both, and how much each counts."""
    if relative.positions.shape[:2] != keypoints.positions.shape[:2]:
        raise ValueError(
            f"root_path: joints of {relative.positions.shape[:2]} frames and people, keypoints of "
            f"{keypoints.positions.shape[:2]}; expected the same"
        )
    names = [n for n in relative.skeleton.joint_names if n in keypoints.skeleton.joint_names]
    if len(names) < 4:
        raise ValueError(
            f"root_path: {relative.skeleton.name} and {keypoints.skeleton.name} share {len(names)} joint names, "
            "expected at least 4"
        )
    importance = np.array([_WEAK.get(n, 1.0) for n in names])
    return relative.skeleton.indices(*names), keypoints.skeleton.indices(*names), importance


def smooth_depth(
    raw: np.ndarray, sigma: np.ndarray, fps: float, cutoff_hz: float | None = None
) -> np.ndarray:
    """Smooth the depth of root positions along their rays; where the root projects to does not change.

    Args:
        raw: (T, P, 3) metres, camera axes; NaN where missing stays NaN.
        sigma: (T, P) metres, standard deviation of each depth (its relative size over time matters).
        fps: frames per second.
        cutoff_hz: half-power frequency; 0: return `raw`; None: chosen per person (`depth_cutoff`).
    """
    known = np.isfinite(raw).all(-1)
    if cutoff_hz == 0 or not known.any() or len(raw) < 3:
        return raw
    cutoff = depth_cutoff(raw[..., 2], fps) if cutoff_hz is None else np.full(raw.shape[1], cutoff_hz)
    depth = np.where(known, raw[..., 2], 1.0)
    log = np.log(depth)
    relative = np.where(known & np.isfinite(sigma), sigma / depth, np.nan)
    typical = np.nanmedian(np.where(known, relative, np.nan)) if np.isfinite(relative).any() else 1.0
    weight = 1 / (np.nan_to_num(relative, nan=typical) ** 2 + (0.5 * typical + 1e-6) ** 2)
    weight = np.where(known, weight / np.median(weight[known]), 0.0)
    smooth = robust_whittaker(log, weight, fps, cutoff)
    return raw * np.where(known, np.exp(smooth) / depth, 1.0)[..., None]


def depth_cutoff(depth: np.ndarray, fps: float, slowest: float = 0.8, fastest: float = 6.0) -> np.ndarray:
    """Cutoff (P,) in Hz that best separates a person's motion in depth from noise, per person.

    The optimal smoother for white noise of standard deviation s on a position whose acceleration is white
    with density q has its half power at `(q fps / s^2)^(1/4) / (2 pi)`; s is measured robustly from second
    differences over 0.1 s, which also see noise that lasts a few frames, and q = 0.3 m^2/s^3 is a walking
    person's.

    Args:
        depth: (T, P) metres, NaN where missing.
        fps: frames per second.
        slowest: lower bound, Hz.
        fastest: upper bound, Hz.
    """
    lag = max(1, round(0.1 * fps))
    if len(depth) <= 2 * lag:
        return np.full(depth.shape[1], 0.5 * (slowest + fastest))
    second = np.abs(depth[2 * lag :] - 2 * depth[lag:-lag] + depth[: -2 * lag])
    spread = weighted_median(second, np.ones_like(second))
    noise = np.nan_to_num(1.4826 * spread / np.sqrt(6), nan=0.05)
    return np.clip((0.3 * fps / (noise**2 + 1e-8)) ** 0.25 / (2 * np.pi), slowest, fastest)


def robust_whittaker(
    values: np.ndarray,
    weights: np.ndarray,
    fps: float,
    cutoff_hz: np.ndarray,
    rounds: int = 4,
    least_spread: float = 0.003,
) -> np.ndarray:
    """Smooth (T, ...) series by penalised least squares on the second difference (Whittaker 1923, Eilers 2003).

    Steady motion is not held back. Values far off (Tukey's biweight at 4.7 robust standard deviations) are
    ignored after the first round. Weight 0: bridged.

    Args:
        values: (T, ...), finite.
        weights: (T, ...), about 1 where a value is as good as usual.
        fps: frames per second.
        cutoff_hz: half-power frequency at weight 1, one number or one per series.
        rounds: rounds of reweighting.
        least_spread: standard deviation below which errors are never called outliers.
    """
    T = len(values)
    y, base = values.reshape(T, -1), weights.reshape(T, -1)
    stiffness = (2 * np.sin(np.pi * np.minimum(cutoff_hz / fps, 0.5))) ** -4.0 * np.ones(y.shape[1])
    w = base
    smooth = y
    for _ in range(rounds):
        smooth = _whittaker(y, w, stiffness)
        error = np.abs(y - smooth) * np.sqrt(base)
        spread = 1.4826 * np.nanmedian(np.where(base > 0, error, np.nan), axis=0) if (base > 0).any() else 1.0
        ratio = error / (4.685 * np.maximum(np.nan_to_num(spread, nan=1.0), least_spread))
        w = base * np.clip(1 - ratio**2, 0, None) ** 2
        w = np.maximum(w, 1e-3 * base)
    return smooth.reshape(values.shape)


def _whittaker(y: np.ndarray, w: np.ndarray, stiffness: np.ndarray) -> np.ndarray:
    """One weighted solve for all columns (T, N), laid end to end into one pentadiagonal system."""
    T, N = y.shape
    bands = np.zeros((3, N, T))
    curve = np.array([1.0, -2.0, 1.0])
    if T > 2:
        for a in range(3):
            for b in range(a + 1):
                bands[a - b, :, b : b + T - 2] += stiffness[:, None] * curve[a] * curve[b]
    bands[0] += w.T + 1e-9
    right = (w * y).T.ravel()
    return scipy.linalg.solveh_banded(bands.reshape(3, -1), right, lower=True).reshape(N, T).T
