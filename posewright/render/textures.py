"""Procedural textures, seeded: noise, tiles, planks, bricks. All repeat without a seam.

Convention: (size, size, 3) uint8 sRGB.
"""

from collections.abc import Callable

import cv2
import numpy as np

from posewright.core.errors import InputError


def noise(seed: int, size: int = 256, octaves: int = 5) -> np.ndarray:
    """Fractal value noise (size, size), float32, mean 0 and standard deviation 1 (K. Perlin, SIGGRAPH 1985)."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        cells = 4 * 2**octave
        grid = np.pad(rng.standard_normal((cells, cells)).astype(np.float32), 2, mode="wrap")
        fine = cv2.resize(grid, None, fx=size / cells, fy=size / cells, interpolation=cv2.INTER_CUBIC)
        edge = 2 * size // cells
        total += fine[edge : edge + size, edge : edge + size] * 0.6**octave
    return (total - total.mean()) / total.std()


def plaster(seed: int, color: np.ndarray, size: int = 256) -> np.ndarray:
    """Painted wall, concrete, grass or asphalt: one colour with stains."""
    return _finish(color + 0.05 * noise(seed, size)[..., None])


def tiles(seed: int, color: np.ndarray, size: int = 256, count: int = 4) -> np.ndarray:
    """Square tiles, each a little different, with joints."""
    rng = np.random.default_rng(seed)
    each = np.kron(rng.normal(0, 0.06, (count, count)), np.ones((size // count, size // count)))
    place = np.arange(size) % (size // count)
    joint = (place < max(size // 128, 1)).astype(float)
    joints = np.maximum(joint[None], joint[:, None])
    return _finish(color + (each + 0.02 * noise(seed + 1, size) - 0.22 * joints)[..., None])


def planks(seed: int, color: np.ndarray, size: int = 256, count: int = 8) -> np.ndarray:
    """Wooden boards along the texture's rows, with grain."""
    rng = np.random.default_rng(seed)
    each = np.repeat(rng.normal(0, 0.07, count), size // count)[:, None]
    grain = cv2.blur(np.tile(noise(seed + 1, size), 3), (size // 4, 1))[:, size : 2 * size]
    joints = (np.arange(size) % (size // count) < max(size // 128, 1))[:, None]
    return _finish(color + (each + 0.06 * grain / grain.std() - 0.25 * joints)[..., None])


def bricks(seed: int, color: np.ndarray, size: int = 256, count: int = 8) -> np.ndarray:
    """Courses of bricks, every other one shifted by half, with mortar."""
    rng = np.random.default_rng(seed)
    high, wide = size // count, 2 * size // count
    row, column = np.mgrid[:size, :size]
    shifted = (column + (row // high % 2) * (wide // 2)) % size
    each = rng.normal(0, 0.08, (count, count // 2))[row // high, shifted // wide]
    joint = (row % high < max(size // 64, 1)) | (shifted % wide < max(size // 64, 1))
    body = color + (each + 0.03 * noise(seed + 1, size))[..., None]
    return _finish(np.where(joint[..., None], 0.66 + 0.02 * noise(seed + 2, size)[..., None], body))


KINDS: dict[str, Callable[[int, np.ndarray], np.ndarray]] = {
    "plaster": plaster,
    "tiles": tiles,
    "planks": planks,
    "bricks": bricks,
}


def texture(kind: str, seed: int, color: tuple[float, float, float]) -> np.ndarray:
    """Make a texture by name: plaster, tiles, planks or bricks, of about this sRGB colour."""
    if kind not in KINDS:
        raise InputError(f"texture {kind!r}: expected one of {', '.join(KINDS)}")
    return KINDS[kind](seed, np.asarray(color, np.float32))


def _finish(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
