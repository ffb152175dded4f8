"""What a synthetic clip is to show, in full: who moves how and where, what films it, and in which place.

Convention: metres, seconds, radians, pixels; world Z up, floor at z = 0; angles grow anticlockwise seen from above.
"""

from dataclasses import dataclass

import numpy as np

from posewright.core.errors import InputError
from posewright.datasets.mocap import MocapSequence
from posewright.structures.cameras import Camera
from posewright.structures.motion import Motion

MOVES = ("static", "handheld", "orbit", "dolly")
PLACES = ("room", "open_air")
TOPOLOGIES = ("full", "low_1229")
RENDERERS = ("reference", "opengl", "auto")
MAPS = ("depth", "masks", "normals")


@dataclass(frozen=True)
class Performer:
    """One person of a clip: a recording, and where it is put."""

    source: MocapSequence | Motion
    """What was recorded; of a `Motion`, the person at place `person`."""
    start: float = 0.0
    """Seconds into the recording."""
    stop: float | None = None
    """Seconds; None: to its end."""
    offset: tuple[float, float] = (0.0, 0.0)
    """World x, y, metres, of the middle of the path that the pelvis takes in those seconds."""
    turn: float = 0.0
    """Radians about Z, from the heading that the recording has."""
    betas: tuple[float, ...] | None = None
    """Shape of the body; the recording is scaled to its legs and trunk. None: fitted to the recording's bones."""
    look_seed: int = 0
    """Clothes, hair and skin: `render.look.random_look`."""
    person: int = 0

    def __post_init__(self):
        if not self.start >= 0 or (self.stop is not None and not self.stop > self.start):
            raise InputError(f"Performer: from {self.start} to {self.stop} s; expected 0 <= start < stop")

    @property
    def name(self) -> str:
        """The recording's name."""
        return self.source.name if isinstance(self.source, MocapSequence) else self.source.source


@dataclass(frozen=True)
class CameraPlan:
    """A camera that is placed so that it sees everybody all the time (`cameras.place_camera`)."""

    azimuth: float = 0.0
    """Radians: 0 looks people in the face, pi/2 sees their left side, pi their back (mean heading of person 1)."""
    pitch: float = 0.1
    """Radians that the camera looks down."""
    focal: float = 0.785
    """Focal length in diagonals of the picture; 0.785 is a view of 65 degrees."""
    margin: float = 0.08
    """Share of the picture kept free on each side."""
    move: str = "static"
    """`static`; `handheld`; `orbit`: around people; `dolly`: along its view."""
    travel: float = 0.6
    """How far an orbit (radians) or a dolly (share of the distance) goes during the clip."""
    distortion: tuple[float, ...] = (0.0,) * 5
    """k1 k2 p1 p2 k3."""
    seed: int = 0
    """Of the hand's shake."""

    def __post_init__(self):
        if self.move not in MOVES:
            raise InputError(f"camera move {self.move!r}, expected one of {', '.join(MOVES)}")
        if not 0 <= self.margin < 0.4:
            raise InputError(f"camera margin {self.margin}, expected a share of the picture from 0 to 0.4")
        if not 0.2 <= self.focal <= 20:
            raise InputError(f"camera focal {self.focal} picture diagonals, expected 0.2 to 20")
        if not -0.3 <= self.pitch <= 1.4:
            raise InputError(
                f"camera pitch {self.pitch} rad, expected -0.3 to 1.4 (looking down is positive)"
            )


@dataclass(frozen=True)
class ClipPlan:
    """Everything that a clip follows from: the same plan gives the same clip."""

    performers: tuple[Performer, ...]
    cameras: tuple[Camera | CameraPlan, ...]
    fps: float = 30.0
    image_size: tuple[int, int] = (1280, 720)
    """(width, height) pixels, of the cameras that are planned."""
    place: str = "room"
    """`room` or `open_air`."""
    scene_seed: int = 0
    occluders: int = 0
    """Boxes that stand between people and the first camera."""
    topology: str = "full"
    """Mesh of the body Anny: `full`, or `low_1229`, which looks cruder and is half as slow."""
    supersample: int = 2
    """Rays per pixel along each axis."""
    sensor_seed: int | None = None
    """Noise, blur and exposure of the pictures: `render.sensor.random_sensor`; None: ideal pictures."""
    action: str = ""
    """In words."""

    def __post_init__(self):
        if not self.performers or not self.cameras:
            raise InputError(
                f"ClipPlan: {len(self.performers)} performers and {len(self.cameras)} cameras; expected one or more"
            )
        if not (np.isfinite(self.fps) and 1 <= self.fps <= 240):
            raise InputError(f"fps {self.fps}, expected 1 to 240")
        if not all(16 <= side <= 8192 for side in self.image_size):
            raise InputError(f"picture size {self.image_size}, expected 16 to 8192 pixels each way")
        if any(side % 2 for side in self.image_size):
            raise InputError(f"picture size {self.image_size}: videos need even numbers")
        for value, known in ((self.place, PLACES), (self.topology, TOPOLOGIES)):
            if value not in known:
                raise InputError(f"{value!r} is not one of {', '.join(known)}")
        if not 0 <= self.occluders <= 8:
            raise InputError(f"{self.occluders} occluders, expected 0 to 8")
