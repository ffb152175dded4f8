"""Blocks: the same answer as in one piece."""

import numpy as np
import pytest

from posewright.motion.blocks import frame_blocks, in_blocks
from posewright.motion.gaps import GapOptions, fill_joints, remove_outliers
from posewright.motion.smooth import SMOOTHING_METHODS, SmoothingOptions, smooth_joints

FPS = 30.0


def wandering(frames: int = 700) -> tuple[np.ndarray, np.ndarray]:
    """Joints (T, 2, 4, 3) that wander with noise, and confidences."""
    rng = np.random.default_rng(0)
    path = np.cumsum(rng.normal(0, 0.02, (frames, 2, 4, 3)), 0) + rng.normal(0, 0.01, (frames, 2, 4, 3))
    return path, rng.uniform(0.2, 1.0, (frames, 2, 4))


@pytest.mark.parametrize(
    ("frames", "margin", "block"), [(0, 3, 10), (1, 0, 10), (10, 2, 10), (103, 7, 10), (20, 50, 6)]
)
def test_law_blocks_cover_each_frame_once(frames, margin, block):
    clip = np.arange(frames)
    parts = list(frame_blocks(frames, margin, block))
    assert np.array_equal(np.concatenate([clip[part][keep] for part, keep in parts]), clip)
    assert all(part.stop - part.start <= block + 2 * margin for part, _ in parts)


@pytest.mark.parametrize("method", SMOOTHING_METHODS)
def test_law_smoothing_in_blocks_is_smoothing(method):
    joints, confidence = wandering()
    options = SmoothingOptions(method)
    whole = smooth_joints(joints, confidence, FPS, options)
    (parts,) = in_blocks(
        lambda x, c: (smooth_joints(x, c, FPS, options),), (joints, confidence), margin=120, block=150
    )
    assert np.allclose(parts, whole, atol=1e-5)


def test_law_gaps_across_the_ends_of_blocks_are_bridged_alike():
    joints, confidence = wandering()
    joints[145:158] = np.nan  # 13 frames: short, across the end of the first block
    joints[290:330] = np.nan  # long: stays
    joints[449, 0, 2] += 3.0  # an outlier at the very end of a block
    gaps = GapOptions(0.5)

    def fill(x, c):
        kept = remove_outliers(x, FPS, gaps)
        return fill_joints(kept, np.where(np.isfinite(kept).all(-1), c, 0), FPS, gaps)

    whole = fill(joints, confidence)
    parts = in_blocks(fill, (joints, confidence), margin=47, block=150)
    assert np.isfinite(parts[0][145:158]).all()
    assert np.isnan(parts[0][300:320]).all()
    for part, one in zip(parts, whole, strict=True):
        assert np.allclose(part, one, atol=1e-6, equal_nan=True)
