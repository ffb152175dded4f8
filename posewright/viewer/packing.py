"""Arrays as text inside a page: quantised, differenced in time, deflated, base64.

Convention: an array (T, ...) becomes whole numbers `round((value - offset) / step)`; of these, frame 0 is kept and
every later frame is its difference from the one before, wrapping around in the integer type; then little-endian
bytes, zlib, base64. Missing (NaN) is the smallest whole number of the type, so it survives the differencing. The
page (`page/arrays.js`) undoes it: inflate, cumulative sum, `value = offset + step * whole`.
"""

import base64
import zlib
from dataclasses import dataclass

import numpy as np

JOINT_STEP = 0.001
"""Metres: one millimetre."""
KEYPOINT_STEP = 0.25
"""Pixels."""
ANGLE_STEP = 0.0005
"""Radians (0.03 degrees) or metres."""
CONFIDENCE_STEP = 1 / 255
_FRAMES = 2048
"""Frames rounded at a time."""


@dataclass(frozen=True)
class PackedArray:
    """One array, ready to be written into a page."""

    shape: tuple[int, ...]
    dtype: str
    """Of the whole numbers: `int16`, `int32` or `uint8`; or `float32`, kept as it is."""
    step: float
    offset: float
    missing: bool
    """True where the smallest whole number stands for NaN."""
    text: str
    """base64 of the zlib stream."""

    def header(self) -> dict:
        """What a reader needs besides the text."""
        return {
            "shape": list(self.shape),
            "dtype": self.dtype,
            "step": self.step,
            "offset": self.offset,
            "missing": self.missing,
        }


def pack_quantised(values: np.ndarray, step: float) -> PackedArray:
    """Pack reals with NaN for missing; the error of each finite value is at most half a step.

    Takes 16 bits where the range allows it (65 m at a step of 1 mm) and 32 otherwise. Infinite values, and values
    too far from the rest for 32 bits, count as missing: nothing can be drawn there.
    """
    values = np.asarray(values)
    ranges = [_finite_range(block, step) for block in _blocks(values)]
    low, high = min((r[0] for r in ranges), default=np.inf), max((r[1] for r in ranges), default=-np.inf)
    low, high = (low, high) if low <= high else (0.0, 0.0)
    offset = float(np.round((low + high) / 2 / step) * step)
    dtype = np.dtype("<i2" if (high - low) / 2 / step < 2**15 - 2 else "<i4")
    whole = np.full(values.shape, np.iinfo(dtype).min, dtype)
    for reals, target in zip(_blocks(values), _blocks(whole), strict=True):
        usable = _usable(reals, step)
        target[usable] = np.round((reals[usable].astype(np.float64) - offset) / step).astype(dtype)
    return PackedArray(values.shape, dtype.name, step, offset, True, _deflate(_differenced(whole)))


def _blocks(values: np.ndarray) -> list[np.ndarray]:
    """Views of some frames each, so that working memory does not grow with the clip."""
    return [values[start : start + _FRAMES] for start in range(0, len(values), _FRAMES)]


def _usable(values: np.ndarray, step: float) -> np.ndarray:
    return np.isfinite(values) & (np.abs(values) < step * 2.0**30)


def _finite_range(values: np.ndarray, step: float) -> tuple[float, float]:
    usable = values[_usable(values, step)]
    return (float(usable.min()), float(usable.max())) if usable.size else (np.inf, -np.inf)


def pack_confidence(confidence: np.ndarray) -> PackedArray:
    """Pack values in [0, 1] into 8 bits; NaN counts as 0."""
    clipped = np.clip(np.nan_to_num(np.asarray(confidence, np.float64)), 0.0, 1.0)
    whole = np.round(clipped / CONFIDENCE_STEP).astype(np.uint8)
    return PackedArray(whole.shape, "uint8", CONFIDENCE_STEP, 0.0, False, _deflate(_differenced(whole)))


def pack_flags(flags: np.ndarray) -> PackedArray:
    """Pack booleans as 0 and 1 in 8 bits."""
    whole = np.asarray(flags, bool).astype(np.uint8)
    return PackedArray(whole.shape, "uint8", 1.0, 0.0, False, _deflate(_differenced(whole)))


def pack_float32(values: np.ndarray) -> PackedArray:
    """Pack reals that must not be rounded (a camera's pose), undifferenced."""
    values = np.ascontiguousarray(values, "<f4")
    return PackedArray(values.shape, "float32", 1.0, 0.0, False, _deflate(values))


def pack_bytes(data: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(data).decode("ascii")


def _differenced(whole: np.ndarray) -> np.ndarray:
    """(T, ...) integers -> first frame and differences, wrapping around."""
    out = whole.copy()
    if len(whole) > 1:
        np.subtract(whole[1:], whole[:-1], out=out[1:])
    return out


def _deflate(array: np.ndarray) -> str:
    return pack_bytes(zlib.compress(np.ascontiguousarray(array).tobytes(), 6))
