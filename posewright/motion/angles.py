"""Joint angles as OpenSim and biomechanists name them, from the rig's rotations.

Coordinates and signs are those of the full-body models of Rajagopal et al. (IEEE TBME 2016) and Lai et al.
(2017):

* `pelvis_tilt`, `pelvis_list`, `pelvis_rotation`: intrinsic rotations about Z, X, Y of the pelvis against the
  ground; positive tilt leans back, positive list lowers the right side, positive rotation turns left.
  `pelvis_tx`, `pelvis_ty`, `pelvis_tz`: metres, of the middle of the hip joints.
* `hip_flexion`, `hip_adduction`, `hip_rotation`: Z, X, Y of the thigh against the pelvis; flexion, adduction
and internal
  rotation are positive on both sides.
* `knee_angle`: flexion positive (gait2392 has it negative). `ankle_angle`: dorsiflexion positive.
`subtalar_angle`:
  inversion positive.
* `lumbar_extension`, `lumbar_bending`, `lumbar_rotation`: Z, X, Y of the chest against the pelvis; extension,
bending to
  the right and turning to the left are positive.
* `arm_flex`, `arm_add`, `arm_rot`: Z, X, Y of the upper arm against the chest; flexion, adduction and
internal rotation
  are positive; all are 0 when the arm hangs and the elbow bends forward. `elbow_flex`: flexion positive.
  `pro_sup`: pronation positive; keypoints of body joints do not show it, so it stays near 0 unless the motion
  came with rotations.

Differences from the models, by choice: hinges turn about the plain axes of the segments, not about the
models' slightly oblique ones (knee, ankle, elbow; the subtalar axis is the foot's long axis); the origin of
the pelvis is the middle of the hips, not of the front iliac spines; the back and arms of our rig stand
straight in its T-pose, so constant offsets of some degrees against a model scaled from a static trial are
expected. `mtp_angle` and wrist angles are not measured and not given.

Ground is Y up: world `(x, y, z)` is ground `(x, z, -y)`, as `JointAngles` says.
"""

from dataclasses import dataclass

import numpy as np
import torch

from posewright.geometry.kinematics import local_to_global
from posewright.geometry.rotations import quat_wxyz_to_matrix
from posewright.motion.blocks import frame_blocks
from posewright.motion.initial_rotations import solve_chain
from posewright.skeletons.joint_sets import RIG_26
from posewright.structures.joint_angles import JointAngles
from posewright.structures.motion import Motion

_SEGMENT = np.array([[0.0, -1, 0], [0, 0, 1], [-1, 0, 0]])
"""OpenSim segment axes (X forward, Y up, Z right) from the rig's T-pose axes (faces -Y, Z up, left +X)."""
_GROUND = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""OpenSim ground axes from the world's."""
_HANG = {
    "left": np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]),
    "right": np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]),
}
"""Rotation of an upper arm from the T-pose to hanging, elbow bending forward, rig axes."""

_NAMES = (
    "pelvis_tilt",
    "pelvis_list",
    "pelvis_rotation",
    "pelvis_tx",
    "pelvis_ty",
    "pelvis_tz",
    *(
        f"{angle}_{s}"
        for s in "rl"
        for angle in ("hip_flexion", "hip_adduction", "hip_rotation", "knee_angle")
    ),
    *(f"{angle}_{s}" for s in "rl" for angle in ("ankle_angle", "subtalar_angle")),
    "lumbar_extension",
    "lumbar_bending",
    "lumbar_rotation",
    *(f"{angle}_{s}" for s in "rl" for angle in ("arm_flex", "arm_add", "arm_rot", "elbow_flex", "pro_sup")),
)


@dataclass(frozen=True)
class AngleOptions:
    """How angles are kept continuous where two of them act about the same axis."""

    carry_seconds: float = 0.03
    """Reach of the carrying of the first angle near gimbal lock (arms straight sideways)."""


def joint_angles(motion: Motion, options: AngleOptions = AngleOptions()) -> JointAngles:
    """Compute OpenSim coordinates of a motion on `RIG_26`.

    Angles are continuous over time: whole turns are unwrapped, and near gimbal lock (an arm straight to the
    side) the first angle follows its neighbours. NaN where the person is missing.

    Args:
        motion: with rotations; joints alone are first fitted by `clean.fit_rig`.
        options: continuity.

    Raises:
        ValueError: the motion has no rotations, or another skeleton.
    """
    if motion.rotations_wxyz is None or motion.skeleton.name != RIG_26.name:
        raise ValueError(
            f"joint_angles: motion on {motion.skeleton.name} "
            f"{'without' if motion.rotations_wxyz is None else 'with'} rotations; expected rig_26 with rotations: "
            "call posewright.motion.clean.fit_rig first"
        )
    table = [_of_person(motion, p, options) for p in range(motion.num_people)]
    values = np.stack(table, 1) if table else np.empty((motion.num_frames, 0, len(_NAMES)), np.float32)
    return JointAngles(_NAMES, values, motion.fps, motion.person_ids, motion.start_time)


def _of_person(motion: Motion, p: int, options: AngleOptions) -> np.ndarray:
    """Coordinates (T, N) of one person: in turn, so that memory does not grow with their number."""
    assert motion.rotations_wxyz is not None
    turns, missing = _turns(motion.rotations_wxyz[:, p])
    values = _coordinates(turns, motion.joints[:, p, 0], options.carry_seconds * motion.fps)
    table = np.stack([values[n].astype(np.float32) for n in _NAMES], -1)
    table[missing] = np.nan
    return table


def _turns(rotations_wxyz: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Rotations (T, 3, 3) of the segments that angles are made of, by name, and (T,) where the person is missing.

    `pelvis`, `chest` and the upper arms (`left_shoulder`) in the world, the other joints relative to their parent.
    """
    parts: dict[str, list[np.ndarray]] = {}
    missing = []
    for block, _ in frame_blocks(len(rotations_wxyz)):
        local = quat_wxyz_to_matrix(torch.from_numpy(rotations_wxyz[block].astype(float)))
        there = torch.isfinite(local).all(-1).all(-1)
        local = torch.where(there[..., None, None], local, torch.eye(3, dtype=torch.float64))
        world = local_to_global(local, RIG_26.parents).numpy()
        missing.append(~there.all(-1).numpy())
        parts.setdefault("pelvis", []).append(world[:, 0])
        parts.setdefault("chest", []).append(_chest(world))
        for side in ("left", "right"):
            name = f"{side}_shoulder"
            parts.setdefault(name, []).append(world[:, RIG_26.index(name)])
            for joint in ("hip", "knee", "ankle", "elbow"):
                name = f"{side}_{joint}"
                parts.setdefault(name, []).append(local[:, RIG_26.index(name)].numpy())
    return {name: np.concatenate(blocks) for name, blocks in parts.items()}, np.concatenate(missing)


def _coordinates(turns: dict[str, np.ndarray], root: np.ndarray, reach: float) -> dict[str, np.ndarray]:
    """All coordinates (T,) of one person by name."""
    pelvis, chest = turns["pelvis"], turns["chest"]
    values = dict(zip(_NAMES[:3], _zxy(_GROUND @ pelvis @ _SEGMENT.T, reach), strict=True))
    place = root @ _GROUND.T
    values |= {f"pelvis_t{axis}": place[..., k] for k, axis in enumerate("xyz")}
    lumbar = _zxy(_relative(pelvis, chest), reach)
    values |= dict(zip(("lumbar_extension", "lumbar_bending", "lumbar_rotation"), lumbar, strict=True))
    for side in ("right", "left"):
        values |= _leg(turns, side, reach)
        values |= _arm(turns, side, reach)
    return values


def _relative(parent: np.ndarray, child: np.ndarray) -> np.ndarray:
    """Rotation of child against parent in OpenSim segment axes."""
    return _SEGMENT @ np.swapaxes(parent, -1, -2) @ child @ _SEGMENT.T


def _chest(world: np.ndarray) -> np.ndarray:
    """Chest (T, 3, 3): along the spine bone as the rig's `spine`, turned as the shoulders (the rig's `thorax`)."""
    up = world[:, RIG_26.index("spine"), :, 2]
    left = world[:, RIG_26.index("thorax"), :, 0]
    left = left - (left * up).sum(-1, keepdims=True) * up
    left = left / np.maximum(np.linalg.norm(left, axis=-1, keepdims=True), 1e-9)
    return np.stack([left, np.cross(up, left), up], -1)


def _leg(turns: dict[str, np.ndarray], side: str, reach: float) -> dict[str, np.ndarray]:
    """Hip, knee and ankle of one side."""
    s, mirror = side[0], 1.0 if side == "right" else -1.0
    hip, knee, ankle = (_SEGMENT @ turns[f"{side}_{j}"] @ _SEGMENT.T for j in ("hip", "knee", "ankle"))
    flexion, adduction, rotation = _zxy(hip, reach)
    dorsiflexion, inversion, _ = _zxy(ankle, reach)
    return {
        f"hip_flexion_{s}": flexion,
        f"hip_adduction_{s}": mirror * adduction,
        f"hip_rotation_{s}": mirror * rotation,
        f"knee_angle_{s}": -_turn_about(knee, 2),
        f"ankle_angle_{s}": dorsiflexion,
        f"subtalar_angle_{s}": mirror * inversion,
    }


def _arm(turns: dict[str, np.ndarray], side: str, reach: float) -> dict[str, np.ndarray]:
    """Shoulder and elbow of one side."""
    s, mirror = side[0], 1.0 if side == "right" else -1.0
    hang = _HANG[side]
    upper = _relative(turns["chest"], turns[f"{side}_shoulder"] @ hang.T)
    elbow = _SEGMENT @ hang @ turns[f"{side}_elbow"] @ hang.T @ _SEGMENT.T
    flexion, adduction, rotation = _zxy(upper, reach)
    flexed = _turn_about(elbow, 2)
    forearm = _about(2, -flexed) @ elbow
    return {
        f"arm_flex_{s}": flexion,
        f"arm_add_{s}": mirror * adduction,
        f"arm_rot_{s}": mirror * rotation,
        f"elbow_flex_{s}": flexed,
        f"pro_sup_{s}": mirror * _turn_about(forearm, 1),
    }


def _turn_about(matrix: np.ndarray, axis: int) -> np.ndarray:
    """Angle (T,) of the twist about a coordinate axis, unwrapped over time."""
    j, k = (axis + 1) % 3, (axis + 2) % 3
    sine = matrix[..., k, j] - matrix[..., j, k]
    return _unwrap(np.arctan2(sine, matrix[..., j, j] + matrix[..., k, k]))


def _about(axis: int, angle: np.ndarray) -> np.ndarray:
    """Rotation (T, 3, 3) about a coordinate axis."""
    j, k = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((*angle.shape, 3, 3))
    matrix[..., axis, axis] = 1
    matrix[..., j, j] = matrix[..., k, k] = np.cos(angle)
    matrix[..., k, j], matrix[..., j, k] = np.sin(angle), -np.sin(angle)
    return matrix


def _zxy(matrix: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split `Rz(a) Rx(b) Ry(c)` into continuous angles (T,).

    Of the two triples of a rotation, (a, b, c) and (a + pi, pi - b, c + pi), each frame takes the one near its
    neighbours, and the clip the one with b within 90 degrees most of the time. Near b = +-90 degrees a and c turn about
    one axis; there a follows its neighbours, and b and c are what is left.
    """
    a = _first_angle(matrix[..., 1, 1] - 1j * matrix[..., 0, 1], reach)
    rest = _about(2, -a) @ matrix
    b = np.arctan2(rest[..., 2, 1], rest[..., 1, 1])
    c = np.arctan2(rest[..., 0, 2], rest[..., 0, 0])
    return _near_zero(a), _near_zero(_unwrap(b)), _near_zero(_unwrap(c))


def _first_angle(direction: np.ndarray, reach: float) -> np.ndarray:
    """Angle a (T,) of complex numbers `cos(b) exp(i a)` of unknown sign, continuous, carried where they are short.

    The square does not know the sign either: its angle, 2 a, is smooth even while b passes 90 degrees.
    """
    size = np.abs(direction)
    weight = size**2 + 1e-6
    double = direction**2 / np.maximum(size, 1e-9) ** 2
    coupling = torch.full((max(len(size) - 1, 0), *size.shape[1:]), (0.3 * reach) ** 2, dtype=torch.float64)
    carried = np.angle(
        solve_chain(torch.from_numpy(weight * double), torch.from_numpy(weight), coupling).numpy()
    )
    own = np.clip(size / 0.5, 0, 1) * _wrap(np.angle(double) - carried)
    a = 0.5 * _unwrap(carried + own)
    backward = (np.real(direction * np.exp(-1j * a)) * size).sum(0) < 0
    return a + np.pi * backward


def _near_zero(angle: np.ndarray) -> np.ndarray:
    """Take off the whole turns that bring the first frame within 180 degrees of zero."""
    return angle - 2 * np.pi * np.round(angle[:1] / (2 * np.pi))


def _wrap(angle: np.ndarray) -> np.ndarray:
    """Bring angle differences into [-pi, pi]."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _unwrap(angle: np.ndarray) -> np.ndarray:
    """Remove whole turns over time."""
    return np.unwrap(angle, axis=0)
