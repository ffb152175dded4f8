"""Calibrated cameras as data; the mathematics is in `geometry.cameras`."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Camera:
    """One camera, OpenCV axes (x right, y down, z forward): `x_camera = R @ x_world + t`."""

    K: np.ndarray
    """(3, 3) intrinsics, pixels; centre of the top-left pixel is (0, 0)."""
    image_size: tuple[int, int]
    """(width, height), pixels."""
    R: np.ndarray = field(default_factory=lambda: np.eye(3))
    """(3, 3) rotation world -> camera, or (T, 3, 3) for a moving camera."""
    t: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """(3,) metres, or (T, 3)."""
    distortion: np.ndarray = field(default_factory=lambda: np.zeros(5))
    """`pinhole`: k1 k2 p1 p2 k3 (Brown-Conrady); `fisheye`: k1 k2 k3 k4 (Kannala-Brandt)."""
    model: str = "pinhole"
    """`pinhole` or `fisheye`."""
    name: str = "camera"
    focal_source: str = "assumed"
    """Where the focal length comes from: `assumed`, `given`, `estimated` or `calibrated`."""

    def __post_init__(self):
        if np.shape(self.K) != (3, 3):
            raise ValueError(f"Camera {self.name}: K has shape {np.shape(self.K)}, expected (3, 3)")
        if np.shape(self.R)[-2:] != (3, 3) or np.shape(self.t)[-1:] != (3,):
            raise ValueError(
                f"Camera {self.name}: R has shape {np.shape(self.R)} and t {np.shape(self.t)}, "
                "expected (3, 3) and (3,), or (T, 3, 3) and (T, 3)"
            )
        if self.model not in ("pinhole", "fisheye"):
            raise ValueError(f"Camera {self.name}: model {self.model!r}, expected 'pinhole' or 'fisheye'")


@dataclass(frozen=True)
class CameraRig:
    """Several synchronised cameras of one world (metres, Z up)."""

    cameras: tuple[Camera, ...]
    offsets: tuple[float, ...] = ()
    """Seconds to add to each camera's clock to get the rig's; empty: all zero."""

    def __post_init__(self):
        if self.offsets and len(self.offsets) != len(self.cameras):
            raise ValueError(f"CameraRig: {len(self.cameras)} cameras but {len(self.offsets)} offsets")

    def __len__(self) -> int:
        return len(self.cameras)

    def __getitem__(self, name: str) -> Camera:
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise LookupError(f"no camera {name!r} in the rig; it has: {', '.join(c.name for c in self.cameras)}")
