"""`JointAngles`: named joint coordinates over time, as OpenSim and biomechanists use them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class JointAngles:
    """N generalised coordinates of P people over T frames, by their OpenSim names; missing = NaN.

    Convention: coordinates are relative to OpenSim's ground frame, Y up; our world maps to it by
    `(x, y, z) -> (x, z, -y)`, the same rotation that the TRC files carry, so that a MOT and a TRC file of one
    motion lie on each other. In OpenSim a pelvis at zero faces ground +X, so a person who faces our -Y has a
    `pelvis_rotation` of -90 degrees.
    """

    names: tuple[str, ...]
    """Coordinates such as `pelvis_tilt`, `pelvis_tx`, `hip_flexion_r`, `knee_angle_l`."""
    values: np.ndarray
    """(T, P, N) float: radians; metres where a name ends in `_tx`, `_ty` or `_tz`."""
    fps: float
    """Frames per second, constant."""
    person_ids: tuple[int, ...] = ()
    """One number per person; empty: 1 to P."""
    start_time: float = 0.0
    """Seconds of the first frame."""

    def __post_init__(self):
        if self.values.ndim != 3 or self.values.shape[2] != len(self.names):
            raise ValueError(
                f"JointAngles: values has shape {self.values.shape}, expected (T, P, {len(self.names)}) "
                f"for {len(self.names)} names"
            )
        if len(set(self.names)) != len(self.names):
            raise ValueError("JointAngles: a name occurs twice")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"JointAngles: fps is {self.fps}, expected a positive number")
        if not self.person_ids:
            object.__setattr__(self, "person_ids", tuple(range(1, self.values.shape[1] + 1)))
        if len(self.person_ids) != self.values.shape[1]:
            raise ValueError(
                f"JointAngles: {self.values.shape[1]} people in values but {len(self.person_ids)} person_ids"
            )

    @property
    def is_translation(self) -> np.ndarray:
        """(N,) bool: True where a coordinate is a length in metres."""
        return np.array([name.endswith(("_tx", "_ty", "_tz")) for name in self.names], bool)

    def of(self, name: str) -> np.ndarray:
        """(T, P) values of one coordinate; `LookupError` lists the known names."""
        if name not in self.names:
            raise LookupError(f"no coordinate {name!r}; there are: {', '.join(self.names)}")
        return self.values[..., self.names.index(name)]
