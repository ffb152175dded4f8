"""Between our world (Z up) and the axes of file formats (Y up, or Z up).

Convention: `(x, y, z)` with Z up is `(x, z, -y)` with Y up, a rotation by -90 degrees about X. A person who
faces -Y in our world therefore faces +Z in BVH, glTF and TRC files, and their left is +X in both.
"""

import numpy as np

from posewright.core.errors import InputError


def z_up_to_y_up(vectors: np.ndarray) -> np.ndarray:
    """(..., 3) vectors, `(x, y, z) -> (x, z, -y)`."""
    x, y, z = np.moveaxis(np.asarray(vectors), -1, 0)
    return np.stack([x, z, -y], -1)


def y_up_to_z_up(vectors: np.ndarray) -> np.ndarray:
    """(..., 3) vectors, `(x, y, z) -> (x, -z, y)`."""
    x, y, z = np.moveaxis(np.asarray(vectors), -1, 0)
    return np.stack([x, -z, y], -1)


def quat_wxyz_z_up_to_y_up(rotations: np.ndarray) -> np.ndarray:
    """(..., 4) rotations wxyz given in Z-up axes, in Y-up axes: the vector part turns like a vector."""
    return np.concatenate([rotations[..., :1], z_up_to_y_up(rotations[..., 1:])], -1)


def quat_wxyz_y_up_to_z_up(rotations: np.ndarray) -> np.ndarray:
    """(..., 4) rotations wxyz given in Y-up axes, in Z-up axes."""
    return np.concatenate([rotations[..., :1], y_up_to_z_up(rotations[..., 1:])], -1)


def to_z_up(vectors: np.ndarray, up: str) -> np.ndarray:
    """(..., 3) vectors of a file whose up axis is `up` (`y` or `z`), with Z up."""
    if up not in ("y", "z"):
        raise InputError(f"up axis {up!r}, expected 'y' or 'z'")
    return y_up_to_z_up(vectors) if up == "y" else np.asarray(vectors)


def from_z_up(vectors: np.ndarray, up: str) -> np.ndarray:
    """(..., 3) vectors with Z up, in the axes of a file whose up axis is `up` (`y` or `z`)."""
    if up not in ("y", "z"):
        raise InputError(f"up axis {up!r}, expected 'y' or 'z'")
    return z_up_to_y_up(vectors) if up == "y" else np.asarray(vectors)
