"""Long clips in blocks of frames, so that working memory does not grow with the clip.

A stage that looks only a short time around each frame gives the same answer on a block that reaches over its
ends by that time.
"""

from collections.abc import Callable, Iterator

import numpy as np

BLOCK = 1024
"""Frames worked on at once."""


def frame_blocks(frames: int, margin: int = 0, block: int = BLOCK) -> Iterator[tuple[slice, slice]]:
    """Cut a clip into blocks.

    Args:
        frames: length of the clip; 0 gives one empty block.
        margin: frames by which a block reaches over its ends.
        block: frames per block, without margins.

    Yields:
        The block with its margins, as a slice of the clip, and what belongs to the block itself, as a slice of that.
    """
    for start in range(0, max(frames, 1), block):
        first, end = max(0, start - margin), min(frames, start + block)
        yield slice(first, min(frames, end + margin)), slice(start - first, end - first)


def in_blocks(
    stage: Callable[..., tuple[np.ndarray, ...]],
    arrays: tuple[np.ndarray, ...],
    margin: int,
    block: int = BLOCK,
) -> tuple[np.ndarray, ...]:
    """Apply a stage to arrays over time, block by block; the results are kept in float32.

    Args:
        stage: takes blocks of the arrays, gives a tuple of arrays over the same frames.
        arrays: each (T, ...); given to the stage in float64.
        margin: frames around a block that the stage also sees.
        block: frames per block.
    """
    T = len(arrays[0])
    results: tuple[np.ndarray, ...] = ()
    for part, keep in frame_blocks(T, margin, block):
        done = stage(*(a[part].astype(np.float64) for a in arrays))
        if not results:
            results = tuple(np.empty((T, *d.shape[1:]), np.float32) for d in done)
        start = part.start + keep.start
        for result, d in zip(results, done, strict=True):
            result[start : start + keep.stop - keep.start] = d[keep]
    return results
