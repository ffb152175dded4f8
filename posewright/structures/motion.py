"""`Motion`: people moving through one world. The result of every pipeline and the input of every exporter."""

from dataclasses import dataclass, field, replace

import numpy as np

from posewright.skeletons.skeleton import Skeleton
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D
from posewright.structures.motion_bodies import MotionBodies


@dataclass(frozen=True)
class Motion:
    """3D motion of P people over T frames in one right-handed world: metres, Z up, floor at z = 0.

    Missing = NaN position and 0 confidence (a person before entering or after leaving). `joints` are the cleaned
    joints; where `rotations_wxyz` is there, `joints` equal its forward kinematics over `rest_offsets` exactly.
    """

    skeleton: Skeleton
    joints: np.ndarray
    """(T, P, J, 3) float32, metres, world."""
    confidence: np.ndarray
    """(T, P, J) float32 in [0, 1]."""
    fps: float
    """Frames per second, constant."""
    joints_raw: np.ndarray | None = None
    """(T, P, J, 3) float32, metres, world: before smoothing, bone lengths, foot locking and inverse kinematics."""
    rotations_wxyz: np.ndarray | None = None
    """(T, P, J, 4) float32, unit quaternions wxyz: rotation of each joint relative to its parent (of the root: to the
    world); identity everywhere is the T-pose `rest_offsets`. NaN where the person is missing."""
    rest_offsets: np.ndarray | None = None
    """(P, J, 3) float32, metres: offset of each joint from its parent in the T-pose, world axes, Z up, the person
    facing -Y, left along +X; 0 for the root."""
    contacts: np.ndarray | None = None
    """(T, P, 2) bool: left and right foot on the floor."""
    keypoints: Keypoints2D | None = None
    """The 2D evidence, same frames and people (any joint set), or None."""
    camera: Camera | None = None
    """The camera that saw it, in the same world, or None."""
    person_ids: tuple[int, ...] = ()
    """One number per person."""
    joint_covariance: np.ndarray | None = None
    """(T, P, J, 3, 3) float32, square metres, world, or None: of the place of each joint."""
    pose_covariance: np.ndarray | None = None
    """(T, P, J, 3, 3) float32, square metres, world axes, or None: of each joint relative to the pelvis."""
    deviations: np.ndarray | None = None
    """(S, T, P, J, 3) float16, metres, world axes, or None: `joints + deviations[s]` is the s-th of S motions as
    likely as the errors allow."""
    bodies: MotionBodies | None = None
    """Parametric bodies fitted to the same frames and people, or None. A second description beside the rig: bodies have
    joints of their own, some centimetres from `joints`."""
    start_time: float = 0.0
    """Seconds of the first frame in the source clip."""
    source: str = ""
    """Name of the file it was made from."""
    warnings: tuple[str, ...] = ()
    """Plain sentences for a person to read."""
    history: tuple[str, ...] = field(default=())
    """What was done with which options, oldest first."""

    def __post_init__(self):
        if self.joints.ndim != 4 or self.joints.shape[2:] != (len(self.skeleton), 3):
            raise ValueError(
                f"Motion: joints has shape {self.joints.shape}, expected (T, P, {len(self.skeleton)}, 3) "
                f"for skeleton {self.skeleton.name}"
            )
        T, P, J, _ = self.joints.shape
        expected = {
            "confidence": (T, P, J),
            "joints_raw": (T, P, J, 3),
            "rotations_wxyz": (T, P, J, 4),
            "rest_offsets": (P, J, 3),
            "contacts": (T, P, 2),
            "joint_covariance": (T, P, J, 3, 3),
            "pose_covariance": (T, P, J, 3, 3),
        }
        for name, shape in expected.items():
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise ValueError(f"Motion: {name} has shape {value.shape}, expected {shape}")
        if self.deviations is not None and self.deviations.shape[1:] != (T, P, J, 3):
            raise ValueError(
                f"Motion: deviations has shape {self.deviations.shape}, expected (S, {T}, {P}, {J}, 3)"
            )
        if self.bodies is not None and self.bodies.transl.shape[:2] != (T, P):
            raise ValueError(
                f"Motion: bodies are of {self.bodies.transl.shape[:2]} frames and people, expected {(T, P)}"
            )
        if not self.person_ids:
            object.__setattr__(self, "person_ids", tuple(range(1, P + 1)))
        if len(self.person_ids) != P:
            raise ValueError(f"Motion: {P} people in joints but {len(self.person_ids)} person_ids")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"Motion: fps is {self.fps}, expected a positive number")

    @property
    def num_frames(self) -> int:
        """T."""
        return self.joints.shape[0]

    @property
    def num_people(self) -> int:
        """P."""
        return self.joints.shape[1]

    def times(self) -> np.ndarray:
        """(T,) seconds in the source clip."""
        return self.start_time + np.arange(self.num_frames) / self.fps

    def present(self) -> np.ndarray:
        """(T, P) bool: the person has at least one finite joint."""
        return np.asarray(np.isfinite(self.joints).all(-1).any(-1))

    def expected_error(self) -> np.ndarray | None:
        """(T, P, J) float32 metres: root mean square error to be expected relative to the pelvis, or None."""
        if self.pose_covariance is None:
            return None
        return np.sqrt(np.trace(self.pose_covariance, axis1=-2, axis2=-1))

    def noted(self, note: str, **changes) -> "Motion":
        """Return a copy with `changes` and one more line of history."""
        return replace(self, history=(*self.history, note), **changes)
