"""`MotionBodies`, the bodies of a whole motion, and `BodyRig`, one of them as a mesh for files and pages.

Arrays only: whoever reads a `Motion` need not load torch.
"""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class MotionBodies:
    """The bodies of P people over T frames: one shape each, and the rotations of the joints that turn.

    Convention: the world of the `Motion` that holds them: metres, Z up; missing = NaN. A rotation is that of
    `BodyParams`: relative to the parent joint, in axes parallel to the body's own at rest, identity is the zero pose.
    The joints that are not named keep their zero pose. Mesh topology is no part of it: any may be posed.
    """

    model: str
    """Name of the body model, as `bodies.load.load_body` takes it: `anny`."""
    shape_names: tuple[str, ...]
    """(S,) what the entries of `betas` mean."""
    joint_names: tuple[str, ...]
    """(A,) joints of the model that turn, the root first."""
    betas: np.ndarray
    """(P, S) float32, shape."""
    rotations_wxyz: np.ndarray
    """(T, P, A, 4) float32, unit quaternions."""
    transl: np.ndarray
    """(T, P, 3) float32, metres: `BodyParams.transl`."""

    def __post_init__(self):
        (T, P), S, A = self.transl.shape[:2], len(self.shape_names), len(self.joint_names)
        expected = {"betas": (P, S), "rotations_wxyz": (T, P, A, 4), "transl": (T, P, 3)}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"MotionBodies: {name} has shape {getattr(self, name).shape}, expected {shape}"
                )

    def present(self) -> np.ndarray:
        """(T, P) bool: the body's place and every rotation are known."""
        placed = np.isfinite(self.transl).all(-1)
        return np.asarray(placed & np.isfinite(self.rotations_wxyz).all((-1, -2)))

    def person(self, p: int) -> "MotionBodies":
        """The same with the person in place `p` alone."""
        one = slice(p, p + 1)
        turns, places = self.rotations_wxyz[:, one], self.transl[:, one]
        return replace(self, betas=self.betas[one], rotations_wxyz=turns, transl=places)


@dataclass(frozen=True)
class BodyRig:
    """One shape of a body as a skinned mesh with at most four joints per vertex: what glTF and browsers take.

    Convention: as `BodyParams`. With every local rotation the identity (the zero pose) and `transl` 0, joint j stands
    at `joints[j]`; posed, it has the world rotation `R_j` and place `p_j`, and a vertex is
    `sum_k w_k (R_k @ (bind_k @ vertex) + p_k)` over its joints k (linear blend skinning).
    """

    model: str
    shape: tuple[tuple[str, float], ...]
    """Shape parameters by name."""
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    """(J,) -1 for the root, which is joint 0; parents come first."""
    joints: np.ndarray
    """(J, 3) float32, metres, zero pose."""
    vertices: np.ndarray
    """(V, 3) float32, metres: the shape before it is posed."""
    faces: np.ndarray
    """(F, 3) int32, counterclockwise seen from outside."""
    skin_joints: np.ndarray
    """(V, 4) uint8, joints of each vertex, the strongest first."""
    skin_weights: np.ndarray
    """(V, 4) float32, each row adds up to 1."""
    bind: np.ndarray
    """(J, 4, 4) float32: takes the mesh into each joint's frame (glTF: inverse bind matrices)."""

    @property
    def offsets(self) -> np.ndarray:
        """(J, 3) float64, metres: of each joint from its parent in the zero pose; 0 for the root."""
        joints = self.joints.astype(np.float64)
        return joints - joints[[0, *self.parents[1:]]]
