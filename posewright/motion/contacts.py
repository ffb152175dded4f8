"""Feet on the floor: when they are there, and keeping them there.

A heel or a toe is planted while it is slow and near the floor (hysteresis: it must be clearly slow and low to
start, and may be a little faster and higher before it ends; short blips and short holes are removed). Planted
points are pinned where they stood on average, the pin eases in and out, and the legs are solved again.

How fast a foot is, a still camera sees much better across its line of sight than along it: what stands on the floor
stands in the picture too, whatever the estimated depth does. Where the picture shows the foot, its speed there counts
(`sight.speed_across`), and the estimated speed must only not be far too large.

The modes are named as in DeepMotion's Animate 3D:

* `auto`: feet are pinned while they are planted, and free otherwise. A jump stays a jump.
* `always`: as `auto`, and besides the whole body is lowered or raised so that the lowest foot is always on
the floor:
  for clips where nobody jumps, sits with raised feet or stands on something.
* `grounding`: only the height: the lowest foot is always on the floor, feet may slide.
* `never`: feet are left as they were seen.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from posewright.geometry.kinematics import forward_kinematics
from posewright.geometry.rotations import quat_wxyz_to_matrix
from posewright.motion.blocks import frame_blocks
from posewright.motion.ik import IKOptions, Pose, inverse_kinematics
from posewright.motion.initial_rotations import solve_chain
from posewright.skeletons.joint_sets import RIG_26

FOOT_LOCK_MODES = ("auto", "always", "never", "grounding")

TURNING = 0.12
"""Metres by which a foot's direction changes, root mean square, in contacts in which it turns."""
_POINTS = RIG_26.indices("left_heel", "left_toe", "right_heel", "right_toe")
_CLAVICLES = RIG_26.indices("left_clavicle", "right_clavicle")


@dataclass(frozen=True)
class ContactOptions:
    """What counts as planted, and how pins ease in and out."""

    start_speed: float = 0.25
    """Metres per second: slower starts a contact."""
    end_speed: float = 0.50
    """Metres per second: faster ends it."""
    along: float = 3.0
    """Where the speed across the line of sight is known, the estimated speed may be so many times the limits."""
    start_height: float = 0.06
    """Metres above the floor: lower starts a contact."""
    end_height: float = 0.10
    shortest: float = 0.10
    """Seconds: shorter contacts are blips."""
    hole: float = 0.08
    """Seconds: shorter interruptions are closed."""
    ease: float = 0.08
    """Seconds over which a pin lets go."""
    rest: float = 0.04
    """Seconds at the beginning and end of a contact over which the foot comes to rest and leaves."""
    at_once: float = 0.05
    """Metres: a foot that is moved less than this needs no time for it."""
    let_go: float = 0.6
    """How strongly a free foot keeps to where it was seen, next to 1 for one that comes to rest."""
    ground_smoothing: float = 0.06
    """Seconds over which height corrections of the whole body are smoothed."""
    min_confidence: float = 0.2
    """Feet below this are guesses and do not touch."""


def foot_points(joints: np.ndarray) -> np.ndarray:
    """Heel and toe of both feet (T, P, 2 feet, 2 points, 3): left then right, heel then toe."""
    return joints[:, :, _POINTS].reshape(*joints.shape[:2], 2, 2, joints.shape[-1])


def planted_points(
    joints: np.ndarray,
    confidence: np.ndarray,
    fps: float,
    options: ContactOptions = ContactOptions(),
    across: np.ndarray | None = None,
) -> np.ndarray:
    """Find when each heel and toe stands on the floor.

    Args:
        joints: (T, P, 26, 3) metres, world, floor at z = 0; NaN where missing.
        confidence: (T, P, 26).
        fps: frames per second.
        options: thresholds.
        across: (T, P, 2 feet, 2 points) metres per second across the line of sight, NaN where not seen; or None.

    Returns:
        (T, P, 2 feet, 2 points) bool. A single frame has no speeds: height alone decides.
    """
    points = foot_points(joints).astype(float)
    height, speed = points[..., 2], point_speed(points, fps)
    if across is not None:
        speed = np.where(np.isfinite(across), np.maximum(across, speed / options.along), speed)
    sure = foot_points(confidence[..., None])[..., 0] >= options.min_confidence
    sure = sure & np.isfinite(height)
    start = sure & (height < options.start_height) & (speed < options.start_speed)
    hold = sure & (height < options.end_height) & (speed < options.end_speed)
    planted = hysteresis(start, hold)
    if len(points) > 2:
        planted = ~remove_short_runs(~planted, round(options.hole * fps)) & sure
        planted = remove_short_runs(planted, round(options.shortest * fps))
    return planted


def foot_contacts(
    joints: np.ndarray,
    confidence: np.ndarray,
    fps: float,
    options: ContactOptions = ContactOptions(),
    across: np.ndarray | None = None,
) -> np.ndarray:
    """Find when each foot touches the floor (T, P, 2) bool, left and right: heel or toe is planted."""
    return np.any(planted_points(joints, confidence, fps, options, across), axis=-1)


def point_speed(points: np.ndarray, fps: float) -> np.ndarray:
    """Speed in metres per second by central differences over about 0.1 s; infinite next to missing frames."""
    T = len(points)
    if T == 1:
        return np.zeros(points.shape[:-1])
    reach = max(1, round(0.04 * fps))
    frames = np.arange(T)
    before, after = np.clip(frames - reach, 0, None), np.clip(frames + reach, None, T - 1)
    span = ((after - before) / fps).reshape(-1, *[1] * (points.ndim - 2))
    speed = np.linalg.norm(points[after] - points[before], axis=-1) / span
    return np.where(np.isfinite(speed), speed, np.inf)


def hysteresis(start: np.ndarray, hold: np.ndarray) -> np.ndarray:
    """Keep the runs of `hold` along the first axis that contain at least one `start`."""
    run, N = _number_runs(hold)
    has_start = np.zeros(N + 1, bool)
    has_start[run[start & hold]] = True
    return hold & has_start[run]


def remove_short_runs(state: np.ndarray, shortest: int) -> np.ndarray:
    """Clear runs of True along the first axis that are shorter than `shortest` and touch neither end."""
    run, N = _number_runs(state)
    length = np.bincount(run.ravel(), minlength=N + 1)
    at_end = np.zeros(N + 1, bool)
    at_end[run[0]] = at_end[run[-1]] = True
    return state & ((length >= shortest) | at_end)[run]


def _number_runs(state: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the runs of True along the first axis from 1, over all columns; 0 elsewhere; and their count."""
    first = state.copy()
    first[1:] &= ~state[:-1]
    flat = np.cumsum(first.reshape(len(state), -1).T.ravel()).reshape(-1, len(state)).T
    number = np.where(state, flat.reshape(state.shape), 0)
    return number, int(first.sum())


def lock_feet(
    pose: Pose,
    confidence: np.ndarray,
    offsets: np.ndarray,
    fps: float,
    mode: str = "auto",
    options: ContactOptions = ContactOptions(),
    ik: IKOptions = IKOptions(),  # noqa: B008 (frozen)
    across: np.ndarray | None = None,
) -> Pose:
    """Keep feet from sliding and floating, in one of the modes described above.

    Args:
        pose: rotations and root, world with the floor at z = 0.
        confidence: (T, P, 26).
        offsets: (P, 26, 3) T-pose, metres.
        fps: frames per second.
        mode: `auto`, `always`, `never` or `grounding`.
        options: thresholds and easing.
        ik: strengths for solving the legs again.
        across: see `planted_points`.
    """
    if mode not in FOOT_LOCK_MODES:
        raise ValueError(f"foot lock {mode!r}: expected one of {', '.join(FOOT_LOCK_MODES)}")
    if mode == "never":
        return pose
    if mode in ("always", "grounding"):
        pose = _ground(pose, offsets, fps, options)
    if mode == "grounding":
        return pose
    return _pin(pose, confidence, offsets, fps, options, ik, across)


def pose_joints(pose: Pose, offsets: np.ndarray) -> np.ndarray:
    """Joints (T, P, 26, 3) of a pose by forward kinematics, in the precision of the pose; NaN where missing."""
    rest = torch.as_tensor(np.asarray(offsets), dtype=torch.float64)
    blocks = [part for part, _ in frame_blocks(len(pose.root))]
    parts = (_posed(pose.rotations_wxyz[b].double(), pose.root[b].double(), rest) for b in blocks)
    return np.concatenate([joints.to(pose.root.dtype).numpy() for joints in parts])


def _posed(quat_wxyz: torch.Tensor, root: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
    """Joints of some frames."""
    missing = ~torch.isfinite(quat_wxyz).all(-1)[..., None, None]
    rotations = torch.where(missing, torch.nan, quat_wxyz_to_matrix(quat_wxyz))
    return forward_kinematics(rotations, rest, root, RIG_26.parents)[0]


def _ground(pose: Pose, offsets: np.ndarray, fps: float, options: ContactOptions) -> Pose:
    """Shift every frame vertically so that the lowest foot point is on the floor, up to a light smoothing."""
    lowest = foot_points(pose_joints(pose, offsets))[..., 2].min((-1, -2))
    seen = np.isfinite(lowest)
    shift = _smooth_values(-np.nan_to_num(lowest), seen.astype(float), options.ground_smoothing * fps)
    root = pose.root.clone()
    root[..., 2] += torch.from_numpy(np.where(seen, shift, 0.0))
    return replace(pose, root=root)


def _smooth_values(values: np.ndarray, weight: np.ndarray, reach: float) -> np.ndarray:
    """Smooth (T, ...) over about `reach` frames; values of weight 0 are bridged, and relax to 0 far from others."""
    strength = torch.from_numpy(weight + 1e-4)
    coupling = torch.full((max(len(values) - 1, 0), *values.shape[1:]), reach**2, dtype=torch.float64)
    return solve_chain(torch.from_numpy(values * weight), strength, coupling).numpy()


def _pin(
    pose: Pose,
    confidence: np.ndarray,
    offsets: np.ndarray,
    fps: float,
    options: ContactOptions,
    ik: IKOptions,
    across: np.ndarray | None,
) -> Pose:
    """Move planted heels and toes to their pins, let go smoothly, and solve the rotations again near the old ones."""
    joints = pose_joints(pose, offsets)
    planted = planted_points(joints, confidence, fps, options, across)
    if not planted.any():
        return pose
    points = foot_points(joints)
    shift = np.where(planted[..., None], _pins(points, planted) - np.nan_to_num(points), 0.0)
    body = _body_shift(shift[..., 2], planted, fps, options)
    shift = _ease(shift - body[:, :, None, None, None] * [0, 0, 1], planted, fps, options)
    targets = joints
    targets[..., 2] += body[..., None]
    targets[:, :, _POINTS] += shift.reshape(*shift.shape[:2], 4, 3)
    targets[:, :, RIG_26.indices("left_ankle", "right_ankle")] += shift.mean(3)
    weights = np.ones(joints.shape[:3], np.float32)
    weights[:, :, _CLAVICLES] = 0
    weights[:, :, RIG_26.indices("left_knee", "right_knee")] = 0.05
    weights[:, :, RIG_26.indices("left_ankle", "right_ankle")] = 0.2
    weights[:, :, _POINTS] = np.where(planted, 30.0, 3.0).reshape(*planted.shape[:2], 4)
    return inverse_kinematics(
        torch.from_numpy(targets),
        torch.from_numpy(weights),
        torch.as_tensor(np.asarray(offsets)),
        fps,
        ik,
        near=pose.rotations_wxyz,
    )


def _pins(points: np.ndarray, planted: np.ndarray) -> np.ndarray:
    """Where each planted point stands (T, P, 2, 2, 3): the mean over its contact, on the floor.

    Heel and toe of one contact of a foot stand a foot's length apart, at the least change of both means, so that a foot
    whose place drifts while it stands does not step from the heel's place to the toe's. Where the foot turns while it
    stands, each point has its own mean.
    """
    run, N = _number_runs(planted)
    own = _run_means(points[..., :2], run, N)
    feet = np.nan_to_num(points[..., :2])
    contact, M = _number_runs(np.asarray(planted.any(-1)))
    length = _run_means(feet[..., 1, :] - feet[..., 0, :], contact, M)
    turned = np.linalg.norm(feet[..., 1, :] - feet[..., 0, :] - length, axis=-1)
    turned = np.sqrt(_run_means(turned[..., None] ** 2, contact, M)[..., 0])
    heel = np.stack([feet[..., 0, :], feet[..., 1, :] - length], -2)
    counted = np.where(planted, contact[..., None], 0)
    heel = _run_means(heel.reshape(-1, 2), counted.ravel(), M, contact.ravel()).reshape(length.shape)
    joint = np.stack([heel, heel + length], -2)
    place = np.where((turned < TURNING)[..., None, None], joint, own)
    return np.concatenate([place, np.zeros_like(place[..., :1])], -1)


def _run_means(values: np.ndarray, run: np.ndarray, N: int, wanted: np.ndarray | None = None) -> np.ndarray:
    """Mean of values (..., C) over each run (numbers from 1 to N), given back where `wanted` (default: `run`) says."""
    flat = np.nan_to_num(values).reshape(-1, values.shape[-1])
    count = np.maximum(np.bincount(run.ravel(), minlength=N + 1), 1)
    mean = np.stack([np.bincount(run.ravel(), column, N + 1) / count for column in flat.T], -1)
    return mean[run if wanted is None else wanted]


def _body_shift(rise: np.ndarray, planted: np.ndarray, fps: float, options: ContactOptions) -> np.ndarray:
    """Vertical shift (T, P) of the whole body that the planted points ask for on average, smooth over time."""
    count = planted.sum((-1, -2))
    wanted = (rise * planted).sum((-1, -2)) / np.maximum(count, 1)
    return _smooth_values(wanted, np.minimum(count, 1.0), 2 * options.ground_smoothing * fps)


def _ease(shift: np.ndarray, planted: np.ndarray, fps: float, options: ContactOptions) -> np.ndarray:
    """Extend the shifts of planted points into the frames around, fading over `ease` seconds.

    A foot that is moved far comes to rest: the first and last moments of its contact belong to the fade.
    """
    reach = max(options.ease * fps, 0.5)
    near = np.linalg.norm(shift, axis=-1) < options.at_once
    firm = _inner(planted, round(options.rest * fps)) | (planted & near)
    held = np.where(firm, 1e3, np.where(planted, 1.0, options.let_go))[..., None] + np.zeros_like(shift)
    coupling = torch.full((max(len(shift) - 1, 0), *shift.shape[1:]), reach**2, dtype=torch.float64)
    eased = shift
    for _ in range(2):
        eased = solve_chain(torch.from_numpy(held * eased), torch.from_numpy(held), coupling).numpy()
        eased = np.where(firm[..., None], shift, eased)
    return eased


def _inner(state: np.ndarray, frames: int) -> np.ndarray:
    """Runs of True along the first axis without their first and last frames, unless they are the clip's."""
    inner = state.copy()
    for _ in range(frames):
        before, after = np.roll(inner, 1, 0), np.roll(inner, -1, 0)
        before[0], after[-1] = state[0], state[-1]
        inner = inner & before & after
    return inner
