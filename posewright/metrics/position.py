"""Errors of joint positions, in millimetres: MPJPE and its aligned forms.

MPJPE is the mean over joints of the distance between estimate and truth (protocol 1 when both are relative to the
root); PA-MPJPE first aligns each pose by the best rotation, translation and scale (protocol 2, Human3.6M; Gower 1975);
N-MPJPE first scales each pose (Rhodin et al., CVPR 2018, Unsupervised Geometry-Aware Representation, section 4).

Convention: poses are (..., J, 3) in metres; results are (...,) in millimetres, one number per pose, to be averaged by
the caller over what the protocol says (frames, actions, subjects). A joint that is NaN in the truth is not scored; an
estimate that is NaN where the truth is finite makes the result NaN, so that it cannot go unnoticed.
"""

import numpy as np

MILLIMETRES = 1000.0


def mpjpe(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Mean per-joint position error in millimetres, as given: subtract the root before, if the protocol does."""
    _check(predicted, target)
    distance = np.linalg.norm(predicted - target, axis=-1)
    return MILLIMETRES * _mean(distance, _scored(target))


def pa_mpjpe(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """MPJPE in millimetres after aligning each pose by rotation, translation and scale (no reflection)."""
    _check(predicted, target)
    return mpjpe(procrustes_aligned(predicted, target), target)


def n_mpjpe(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """MPJPE in millimetres after scaling each root-relative pose by the factor with the least squared error."""
    _check(predicted, target)
    weight = _scored(target)[..., None]
    p, t = np.where(weight, predicted, 0), np.where(weight, target, 0)
    scale = (p * t).sum((-1, -2)) / np.maximum((p * p).sum((-1, -2)), 1e-12)
    return mpjpe(scale[..., None, None] * predicted, target)


def procrustes_aligned(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Poses moved, turned and scaled onto the truth in the least squares sense (Umeyama 1991, eqs. 38-43)."""
    weight = _scored(target)[..., None].astype(np.float64)
    count = np.maximum(weight.sum(-2, keepdims=True), 1)
    p, t = np.where(weight > 0, predicted, 0).astype(np.float64), np.where(weight > 0, target, 0)
    p_mean, t_mean = p.sum(-2, keepdims=True) / count, t.sum(-2, keepdims=True) / count
    p_centred, t_centred = weight * (p - p_mean), weight * (t - t_mean)
    missing = ~np.isfinite(p_centred).all((-1, -2))
    u, s, vt = np.linalg.svd(np.where(missing[..., None, None], 0, p_centred.swapaxes(-1, -2) @ t_centred))
    sign = np.ones_like(s)
    sign[..., -1] = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    rotation = (u * sign[..., None, :]) @ vt
    scale = (s * sign).sum(-1) / np.maximum((p_centred**2).sum((-1, -2)), 1e-12)
    return scale[..., None, None] * ((predicted - p_mean) @ rotation) + t_mean


def _scored(target: np.ndarray) -> np.ndarray:
    return np.asarray(np.isfinite(target).all(-1))


def _mean(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean over the last axis of the values with weight; NaN where there are none."""
    count = weight.sum(-1)
    total = np.where(weight, values, 0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _check(predicted: np.ndarray, target: np.ndarray) -> None:
    if np.shape(predicted) != np.shape(target) or np.shape(target)[-1:] != (3,):
        raise ValueError(
            f"poses have shapes {np.shape(predicted)} (estimate) and {np.shape(target)} (truth), "
            "expected the same (..., J, 3) for both"
        )
