"""Which length unit and which up axis a rig file uses, where the format does not say (BVH).

Convention: a person stands between 1 and 2.4 m tall (or wide, in a T-pose), so the size of the rest pose in
file units tells metres, millimetres, centimetres, inches and the CMU database's own unit (0.45 inch^-1)
apart: the ranges below do not overlap. The longer of the two extents along Y and Z is up.
"""

import numpy as np

UNITS = {
    "m": (1.0, (1.0, 2.4)),
    "cmu": (0.0254 / 0.45, (17.0, 44.0)),
    "inch": (0.0254, (50.0, 84.0)),
    "cm": (0.01, (84.0, 260.0)),
    "mm": (0.001, (900.0, 2600.0)),
}
"""Unit -> its length in metres, and sizes of a person's rest pose that mean this unit."""


def guess_unit(rest: np.ndarray) -> tuple[str, bool]:
    """Guess the unit of (J, 3) rest positions.

    Returns:
        Its name, and whether the size was that of a person; if not, centimetres are assumed.
    """
    size = float(np.ptp(rest, axis=0).max())
    for name, (_, (low, high)) in UNITS.items():
        if low <= size <= high:
            return name, True
    return "cm", False


def guess_up(rest: np.ndarray) -> str:
    """Return `y` or `z`: along which of them (J, 3) rest positions reach further (`y` where equal)."""
    extent = np.ptp(rest, axis=0)
    return "z" if extent[2] > extent[1] else "y"
