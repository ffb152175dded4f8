"""Errors of motion over time: velocity, acceleration, jitter, and bones that change length.

Convention: motions are (T, ..., J, 3) in metres with time first; rates in frames per second. A joint that is NaN in
any frame that a difference needs is left out of it.
"""

import numpy as np

MILLIMETRES = 1000.0


def mpjve(predicted: np.ndarray, target: np.ndarray, fps: float | None = None) -> float:
    """Mean per-joint velocity error.

    Args:
        predicted: (T, ..., J, 3) metres.
        target: the same shape.
        fps: frames per second for millimetres per second; None: millimetres per frame, as Pavllo et al. (VideoPose3D,
            2019, section 5) report it.
    """
    return MILLIMETRES * (fps or 1.0) * _difference_error(predicted, target, 1)


def acceleration_error(predicted: np.ndarray, target: np.ndarray, fps: float) -> float:
    """Mean per-joint acceleration error, metres per second squared (Kanazawa et al., HMMR, 2019, appendix)."""
    return fps**2 * _difference_error(predicted, target, 2)


def jitter(motion: np.ndarray, fps: float) -> float:
    """Mean size of the third time derivative of the joints, metres per second cubed: no truth needed.

    Yi et al. (TransPose, 2021, section 5) and later work call this jitter and give it in units of 100 m/s^3.
    """
    return fps**3 * _mean_norm(np.diff(np.asarray(motion, np.float64), n=3, axis=0))


def bone_length_deviation(motion: np.ndarray, parents: tuple[int, ...]) -> float:
    """Standard deviation over time of each bone's length, averaged over bones, in millimetres."""
    children = [j for j, p in enumerate(parents) if p >= 0]
    bones = motion[..., children, :] - motion[..., [parents[j] for j in children], :]
    lengths = np.linalg.norm(bones, axis=-1)
    seen = np.isfinite(lengths)
    count = seen.sum(0)
    mean = np.where(seen, lengths, 0).sum(0) / np.maximum(count, 1)
    variance = np.where(seen, (lengths - mean) ** 2, 0).sum(0) / np.maximum(count, 1)
    return float(MILLIMETRES * np.sqrt(variance)[count > 0].mean()) if (count > 0).any() else float("nan")


def _difference_error(predicted: np.ndarray, target: np.ndarray, order: int) -> float:
    if np.shape(predicted) != np.shape(target) or np.ndim(target) < 3:
        raise ValueError(
            f"motions have shapes {np.shape(predicted)} (estimate) and {np.shape(target)} (truth), "
            "expected the same (T, ..., J, 3) for both"
        )
    error = np.asarray(predicted, np.float64) - np.asarray(target, np.float64)
    return _mean_norm(np.diff(error, n=order, axis=0))


def _mean_norm(vectors: np.ndarray) -> float:
    """Mean length of the finite vectors; NaN where there are none."""
    length = np.linalg.norm(vectors, axis=-1)
    length = length[np.isfinite(length)]
    return float(length.mean()) if length.size else float("nan")
