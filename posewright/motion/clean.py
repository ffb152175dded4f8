"""From poses to motion: everything between the lifter and the files.

`to_motion` chains the stages of this package; `fit_rig` gives rotations to motion that has positions only.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from posewright.motion.blocks import in_blocks
from posewright.motion.bones import add_clavicles, rest_offsets, standing_height
from posewright.motion.contacts import FOOT_LOCK_MODES, ContactOptions, foot_contacts, lock_feet, pose_joints
from posewright.motion.gaps import GapOptions, fill_joints, fill_path, remove_outliers
from posewright.motion.ik import IKOptions, Pose, inverse_kinematics
from posewright.motion.remarks import absence_remarks, hidden_remarks
from posewright.motion.root import RootOptions, RootPath, root_path
from posewright.motion.sight import speed_across
from posewright.motion.smooth import SmoothingOptions, smooth_joints
from posewright.motion.world import World, WorldOptions, estimate_world, local_world
from posewright.skeletons.convert import convert
from posewright.skeletons.joint_sets import BODY_24, RIG_26
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D, Keypoints3D
from posewright.structures.motion import Motion

_IMPORTANCE = {"heel": 0.7, "toe": 0.7, "clavicle": 0.0, "spine": 0.5, "nose": 0.5, "ear": 0.3, "head": 0.7}
"""Weight of joints in inverse kinematics, by the last word of their names; 1 for the others."""
_SMOOTHING_MEMORY_S = 4.0
"""Seconds after which the slowest filter has forgotten where it began."""
_NO_FEET = "the lifter gives no feet: heels and toes were placed by anatomy, the floor under them is guessed"
_QUICK = np.array([j.endswith(("wrist", "ankle", "heel", "toe", "elbow")) for j in BODY_24.joint_names])


@dataclass(frozen=True)
class MotionOptions:
    """What is done to poses on their way to motion."""

    smoothing: str = "butterworth"
    """`one-euro`, `butterworth`, `savgol`, `kalman` or `none`; default strengths, see `smooth`."""
    foot_lock: str = "auto"
    """`auto`, `always`, `never` or `grounding`, see `contacts`."""
    subject_height: float | tuple[float | None, ...] | None = None
    """Metres: standing height of the first person, or of each person (None: not known). None: the lifter's
    idea of everybody's size."""
    camera: str = "static"
    """`static` or `moving`."""
    max_gap_s: float = 0.5
    """Gaps up to so many seconds are filled."""
    feet_given: bool = True
    """False where the lifter gives no heels and toes (Human3.6M's joints), so that the feet were placed by anatomy."""
    root: RootOptions = RootOptions()
    world: WorldOptions = WorldOptions()
    contacts: ContactOptions = ContactOptions()
    ik: IKOptions = IKOptions()
    filter: SmoothingOptions = SmoothingOptions()
    """Strength of the filter; its method is overruled by `smoothing`."""

    def __post_init__(self):
        if self.camera not in ("static", "moving"):
            raise ValueError(f"camera {self.camera!r}: expected 'static' or 'moving'")
        if self.foot_lock not in FOOT_LOCK_MODES:
            raise ValueError(f"foot lock {self.foot_lock!r}: expected one of {', '.join(FOOT_LOCK_MODES)}")
        object.__setattr__(self, "filter", replace(self.filter, method=self.smoothing))


def to_motion(
    relative: np.ndarray,
    confidence: np.ndarray,
    keypoints: Keypoints2D,
    camera: Camera,
    options: MotionOptions = MotionOptions(),
) -> Motion:
    """Turn lifted poses into motion in one world, on a rig with constant bones.

    Size, root path, gaps, world and floor, smoothing, bone lengths, joint rotations, foot locking: in this
    order.

    Args:
        relative: (T, P, 24, 3) metres, root-relative `BODY_24` joints in camera axes; NaN where missing.
        confidence: (T, P, 24).
        keypoints: what they were lifted from, same frames and people.
        camera: intrinsics (and distortion) of the camera that saw it.
        options: see `MotionOptions`.
    """
    relative, confidence = _checked(relative, confidence, keypoints)
    fps = keypoints.fps
    if relative.size == 0:
        return _nobody(keypoints, camera)
    relative, history, known = _resized(relative, confidence, options)
    path = root_path(Keypoints3D(BODY_24, relative, confidence, fps), keypoints, camera, options.root)
    there = np.all(np.isfinite(path.positions), axis=-1)
    joints, sure, raw = _placed(relative, confidence, path, fps, options)
    world = _world(joints, sure, fps, known, options)
    joints, raw = _in_world(world, joints), _in_world(world, raw)
    motion = _on_rig(
        joints,
        sure,
        fps,
        options,
        contacts_trusted=world.floor_found,
        raw=raw,
        keypoints=keypoints,
        camera=replace(camera, R=world.R, t=world.t),
    )
    notes = (*absence_remarks(there, keypoints), *hidden_remarks(keypoints, motion.present()))
    history = (
        *keypoints.history,
        *history,
        *_world_history(world, path.residual, camera, options),
        *motion.history,
    )
    times = keypoints.frame_times()
    start = float(times[0]) if len(times) else 0.0
    return replace(motion, start_time=start, warnings=(*world.warnings, *notes), history=history)


def fit_rig(motion: Motion, options: MotionOptions | None = None) -> Motion:
    """Give rotations on `RIG_26` to a motion of any joint set (TRC, C3D, CSV, another rig): positions only are used.

    Nothing is smoothed and no foot is locked unless options say so. The world stays as it is.

    Raises:
        ValueError: the joint set has too little in common with `BODY_24`.
    """
    options = options or MotionOptions(smoothing="none", foot_lock="never")
    if motion.skeleton.name == RIG_26.name:
        joints, confidence = motion.joints.astype(float), motion.confidence.astype(float)
    else:
        positions, sure, _ = convert(
            motion.joints.astype(float), motion.confidence.astype(float), motion.skeleton, BODY_24
        )
        joints, confidence = add_clavicles(positions, sure)
    confidence = np.where(np.isfinite(joints).all(-1), confidence, 0.0)
    fitted = _on_rig(
        joints, confidence, motion.fps, options, contacts_trusted=True, raw=joints, keypoints=motion.keypoints
    )
    return replace(
        fitted,
        camera=motion.camera,
        start_time=motion.start_time,
        source=motion.source,
        person_ids=motion.person_ids,
        warnings=motion.warnings,
        history=(*motion.history, f"rig fitted to the positions of {motion.skeleton.name}", *fitted.history),
    )


def _nobody(keypoints: Keypoints2D, camera: Camera) -> Motion:
    """Motion without people or without frames."""
    shape = (keypoints.num_frames, keypoints.num_people, len(RIG_26))
    return Motion(
        RIG_26,
        np.zeros((*shape, 3), np.float32),
        np.zeros(shape, np.float32),
        keypoints.fps,
        joints_raw=np.zeros((*shape, 3), np.float32),
        rotations_wxyz=np.zeros((*shape, 4), np.float32),
        rest_offsets=np.zeros((*shape[1:], 3), np.float32),
        contacts=np.zeros((*shape[:2], 2), bool),
        keypoints=keypoints,
        camera=camera,
        person_ids=keypoints.person_ids,
        warnings=("nobody is in the clip",),
        history=keypoints.history,
    )


def _checked(
    relative: np.ndarray, confidence: np.ndarray, keypoints: Keypoints2D
) -> tuple[np.ndarray, np.ndarray]:
    """Copies with NaN and 0 where anything is missing."""
    expected = (keypoints.num_frames, keypoints.num_people, len(BODY_24), 3)
    if relative.shape != expected or confidence.shape != expected[:3]:
        raise ValueError(
            f"to_motion: joints {relative.shape} and confidence {confidence.shape}, expected {expected} and "
            f"{expected[:3]}, as the keypoints have it"
        )
    seen = np.isfinite(relative).all(-1) & (np.nan_to_num(confidence) > 0)
    relative, confidence = np.where(seen[..., None], relative, np.nan), np.where(seen, confidence, 0.0)
    return relative.astype(np.float32, copy=False), confidence.astype(np.float32, copy=False)


def _resized(
    relative: np.ndarray, confidence: np.ndarray, options: MotionOptions
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """Scale people of known height; return joints, history and which sizes are known (P,)."""
    P = relative.shape[1]
    given = options.subject_height
    heights = list(given) if isinstance(given, tuple) else [given]
    heights = (heights + [None] * P)[:P]
    known = np.array([h is not None for h in heights], bool)
    if not known.any():
        return relative, ("size from the learned prior",), known
    estimated = standing_height(rest_offsets(*add_clavicles(relative, confidence)))
    factor = np.array([1.0 if h is None else h / e for h, e in zip(heights, estimated, strict=True)])
    said = ", ".join(f"{h:.2f} m" for h in heights if h is not None)
    resized = (relative * factor[:, None, None]).astype(np.float32)
    return resized, (f"size from the given height ({said})",), known


def _placed(
    relative: np.ndarray, confidence: np.ndarray, path: RootPath, fps: float, options: MotionOptions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bridge gaps and put everybody at their place before the camera.

    Returns:
        Joints (T, P, 26, 3) in camera axes, their confidence, and the joints as they were, each frame by itself.
    """
    gaps = GapOptions(options.max_gap_s)

    def place(relative, confidence, root, raw_root):
        kept = remove_outliers(relative, fps, gaps, _QUICK)
        filled, sure = fill_joints(kept, np.where(np.isfinite(kept).all(-1), confidence, 0.0), fps, gaps)
        joints = filled + root[:, :, None]
        sure = np.where(np.isfinite(joints).all(-1), sure, 0.0)
        raw, _ = add_clavicles(relative + raw_root[:, :, None], confidence)
        return (*add_clavicles(joints, sure), raw)

    roots = fill_path(path.positions, fps, gaps), path.raw
    margin = round((options.max_gap_s + 1.0) * fps) + 2
    joints, sure, raw = in_blocks(place, (relative, confidence, *roots), margin)
    return joints, sure, raw


def _in_world(world: World, joints: np.ndarray) -> np.ndarray:
    """Joints (T, P, 26, 3) in world axes."""
    return in_blocks(lambda part: (world.from_camera(part),), (joints,), margin=0)[0]


def _world(
    joints: np.ndarray, sure: np.ndarray, fps: float, known: np.ndarray, options: MotionOptions
) -> World:
    """World of a static or a moving camera."""
    if options.camera == "moving":
        return local_world(joints, sure, fps)
    world = estimate_world(joints, sure, fps, options.world, known)
    return world if world.floor_found or options.feet_given else replace(world, warnings=(_NO_FEET,))


def _on_rig(
    joints: np.ndarray,
    confidence: np.ndarray,
    fps: float,
    options: MotionOptions,
    *,
    contacts_trusted: bool,
    raw: np.ndarray,
    keypoints: Keypoints2D | None = None,
    camera: Camera | None = None,
) -> Motion:
    """Smooth world joints (T, P, 26, 3), measure bones, solve rotations, lock feet.

    And state the result as `Motion`.
    """
    (smooth,) = in_blocks(
        lambda part, sure: (smooth_joints(part, sure, fps, options.filter),),
        (joints, confidence),
        margin=round(_SMOOTHING_MEMORY_S * fps),
    )
    offsets = rest_offsets(smooth, confidence)
    importance = np.array([_IMPORTANCE.get(j.split("_")[-1], 1.0) for j in RIG_26.joint_names])
    pose = inverse_kinematics(
        torch.from_numpy(smooth),
        torch.from_numpy((confidence * importance).astype(np.float32)),
        torch.from_numpy(offsets),
        fps,
        options.ik,
    )
    mode = options.foot_lock if contacts_trusted or options.foot_lock != "auto" else "never"
    across = (
        speed_across(smooth, keypoints, camera)
        if keypoints and camera and options.camera == "static"
        else None
    )
    pose = lock_feet(pose, confidence, offsets, fps, mode, options.contacts, options.ik, across)
    pose = Pose(pose.rotations_wxyz.float(), pose.root.float())
    offsets = offsets.astype(np.float32)
    final = pose_joints(pose, offsets)
    present = np.all(np.isfinite(final), axis=(-1, -2))
    sure = np.where(present[..., None], np.clip(confidence, 0, 1), 0.0)
    locked = options.foot_lock if mode == options.foot_lock else f"{mode} (the floor was not found)"
    return Motion(
        skeleton=RIG_26,
        joints=final.astype(np.float32, copy=False),
        confidence=sure.astype(np.float32),
        fps=fps,
        joints_raw=raw.astype(np.float32, copy=False),
        rotations_wxyz=pose.rotations_wxyz.numpy(),
        rest_offsets=offsets,
        contacts=foot_contacts(final, confidence, fps, options.contacts, across),
        keypoints=keypoints,
        camera=camera,
        person_ids=keypoints.person_ids if keypoints is not None else (),
        history=(
            f"smoothing {options.filter.describe()}",
            "constant bone lengths, left and right equal",
            "joint rotations by inverse kinematics",
            f"foot lock {locked}",
        ),
    )


def _world_history(
    world: World, residual: np.ndarray, camera: Camera, options: MotionOptions
) -> tuple[str, ...]:
    """What was found out about space, one line each."""
    pitch = np.degrees(np.arcsin(np.clip(-world.R[2, 2], -1, 1)))
    roll = np.degrees(np.arcsin(np.clip(world.R[0, 2], -1, 1)))
    height = float(-(world.R.T @ world.t)[2])
    error = float(np.nanmedian(residual)) if np.isfinite(residual).any() else float("nan")
    lines = [
        f"root by resection, focal length {camera.K[0, 0]:.0f} px ({camera.focal_source}), "
        f"median reprojection error {error:.1f} px",
        f"gaps up to {options.max_gap_s:g} s filled",
        f"camera {options.camera}, {height:.2f} m above the {'floor' if world.floor_found else 'guessed floor'}, "
        f"looking down by {pitch:.1f} degrees, rolled by {roll:.1f} degrees",
    ]
    if np.any(world.person_scale != 1):
        lines.append("people resized to one floor: " + ", ".join(f"{s:.3f}" for s in world.person_scale))
    return tuple(lines)
