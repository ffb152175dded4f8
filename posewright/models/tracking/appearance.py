"""What people look like: a small colour histogram of the torso, to tell them apart after they crossed or left."""

import numpy as np

from posewright.skeletons.skeleton import Skeleton

HUE_BINS, VALUE_BINS = 12, 6
SIZE = HUE_BINS + VALUE_BINS
SAMPLES = 12
GREY = 40
"""Saturation (of 255) below which a pixel counts by its brightness and not by its hue."""


def torso_histogram(image: np.ndarray, keypoints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Return the (18,) colour histogram of the torso, summing to 1; zeros if the torso is out of the picture.

    Colours are read on a grid spanned by shoulders and hips: hue of coloured pixels in 12 bins, brightness of grey
    ones in 6.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (K, 2) pixels.
        skeleton: names the four corners.
    """
    corners = keypoints[skeleton.indices("left_shoulder", "right_shoulder", "left_hip", "right_hip")]
    if not np.isfinite(corners).all():
        return np.zeros(SIZE, np.float16)
    points = _grid(_widened(corners)).round().astype(int)
    inside = ((points >= 0) & (points < [image.shape[1], image.shape[0]])).all(-1)
    if inside.sum() < len(points) / 4:
        return np.zeros(SIZE, np.float16)
    pixels = image[points[inside, 1], points[inside, 0]].astype(np.float32)
    return _histogram(pixels).astype(np.float16)


def appearance_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the Hellinger distance (...) in [0, 1] of histograms (..., 18); 0.5 where either is empty (unknown)."""
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    known = (a.sum(-1) > 0) & (b.sum(-1) > 0)
    overlap = np.sqrt(np.maximum(a * b, 0)).sum(-1)
    return np.where(known, np.sqrt(np.clip(1 - overlap, 0, 1)), 0.5)


def _widened(corners: np.ndarray) -> np.ndarray:
    """Give a torso seen from the side at least a quarter of its length as width."""
    left, right = corners[[0, 2]], corners[[1, 3]]
    axis = corners[2:].mean(0) - corners[:2].mean(0)
    across = np.array([-axis[1], axis[0]]) / 8
    if np.linalg.norm(left - right, axis=-1).mean() >= np.linalg.norm(axis) / 4:
        return corners
    middle = (left + right) / 2
    return np.concatenate(
        [(middle - across)[:1], (middle + across)[:1], (middle - across)[1:], (middle + across)[1:]]
    )


def _grid(corners: np.ndarray) -> np.ndarray:
    """Return (SAMPLES^2, 2) points between four corners: left and right of the top, left and right of the bottom."""
    u, v = np.meshgrid(np.linspace(0.15, 0.85, SAMPLES), np.linspace(0.1, 0.9, SAMPLES))
    u, v = u.reshape(-1, 1), v.reshape(-1, 1)
    top = corners[0] * (1 - u) + corners[1] * u
    bottom = corners[2] * (1 - u) + corners[3] * u
    return top * (1 - v) + bottom * v


def _histogram(pixels: np.ndarray) -> np.ndarray:
    """Return the (18,) histogram of (N, 3) RGB values."""
    high, low = pixels.max(-1), pixels.min(-1)
    spread = np.maximum(high - low, 1e-6)
    red, green, blue = pixels.T
    sector = np.where(high == red, (green - blue) / spread % 6, (blue - red) / spread + 2)
    sector = np.where((high == blue) & (high != red), (red - green) / spread + 4, sector)
    hue = (sector / 6 * HUE_BINS).astype(int) % HUE_BINS
    value = np.minimum(high / 256 * VALUE_BINS, VALUE_BINS - 1).astype(int)
    coloured = 255 * spread > GREY * np.maximum(high, 1)
    index = np.where(coloured & (high > 30), hue, HUE_BINS + value)
    counts = np.bincount(index, minlength=SIZE).astype(np.float32)
    return counts / counts.sum()
