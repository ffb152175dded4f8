"""Bodies for the people of a motion: a parametric body fitted to the cleaned joints, person by person, in blocks.

    with_bodies    Motion -> the same Motion with `bodies`       (fitting.body)

The motion keeps its own rig; the bodies are a second description of the same people. Their joints are the body's own,
which lie one to four centimetres from those of the rig, and their soles stand where the rig has its heels and toes.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from posewright.bodies.load import load_body
from posewright.bodies.model import BodyModel
from posewright.core.errors import InputError
from posewright.fitting.body import FitOptions, fit_body, unreached
from posewright.fitting.floor import FloorOptions
from posewright.fitting.points import active_joints
from posewright.fitting.shape import ShapeOptions, fit_shape
from posewright.geometry.rotations import continuous_quat_wxyz, matrix_to_quat_wxyz
from posewright.motion.blocks import frame_blocks
from posewright.structures.motion import Motion
from posewright.structures.motion_bodies import MotionBodies

MODELS = ("anny",)
"""Bodies that motions can have."""
FIT = FitOptions(shape=ShapeOptions(bone_sigma=0.015, shape_sigma=0.15))
"""Bones of a lifted skeleton differ from a body's by a centimetre or two: trusted more, they drive the shape to the
ends of what people can be."""
TRUST = {"clavicle": 0.0, "spine": 0.3}
"""Confidence of joints, relative to the others, by the last word of their names: of those that the rig derives from
others, and of those that lie elsewhere in a body."""
MARGIN_S = 2.0
"""Seconds by which a block of frames reaches over its ends."""
SHAPE_FRAMES = 20_000
"""Frames from which bones are measured."""
ENOUGH_JOINTS = 8
"""Joints of a frame in which the soles may be looked at."""
SOLE_FRAMES = 200
"""Standing frames in which the soles are looked at."""
MAX_RISE = 0.08
"""Metres by which joints may be moved up or down for a body to stand on the floor."""

Report = Callable[[str, int, int | None], None]


def load_named_body(name: str, topology: str = "low_1229", on_progress: Report | None = None) -> BodyModel:
    """Load a body that motions can have, making its file on first use.

    Raises:
        InputError: unknown name.
        MissingAssetError: its file is absent and could not be made.
    """
    if name not in MODELS:
        raise InputError(f"body {name!r}, expected one of {', '.join(MODELS)}")
    report = on_progress or (lambda stage, done, total: None)
    return load_body(name, topology=topology, progress=lambda done, total, text: report(text, done, total))


def with_bodies(motion: Motion, body: str = "anny", on_progress: Report | None = None) -> Motion:
    """Fit a body to everybody in a motion.

    Args:
        motion: joints in a set that the body has, such as `rig_26`; NaN and confidence 0 are missing.
        body: name of the body.
        on_progress: called with (stage, done, total).

    Returns:
        The motion with `bodies`, warnings about joints that could not be reached, and a line of history that says how
        far body and joints are apart.

    Raises:
        InputError: unknown body, or a joint set that it does not have.
        MissingAssetError: the body's file is absent and could not be made.
    """
    report = on_progress or (lambda stage, done, total: None)
    model = load_named_body(body, on_progress=report)
    _check_joint_set(motion, model)
    T, P = motion.joints.shape[:2]
    names = tuple(model.joint_names[j] for j in active_joints(model))
    bodies = MotionBodies(
        body,
        model.shape_names,
        names,
        np.full((P, len(model.shape_names)), model.shape_default, np.float32),
        np.full((T, P, len(names), 4), np.nan, np.float32),
        np.full((T, P, 3), np.nan, np.float32),
    )
    warnings, notes = [], []
    for p in range(P):
        said = [
            f"person {motion.person_ids[p]}: {text}" for text in _fit_person(model, motion, bodies, p, report)
        ]
        notes.append(said[0])
        warnings += said[1:]
    return motion.noted(
        f"body {body} fitted: {'; '.join(notes)}", bodies=bodies, warnings=(*motion.warnings, *warnings)
    )


def _check_joint_set(motion: Motion, model: BodyModel) -> None:
    """Refuse joint sets that a body cannot be fitted to."""
    try:
        enough = sum(model.defined_joints(motion.skeleton.name)) >= 4
    except LookupError:
        enough = False
    if not enough:
        raise InputError(
            f"joint set {motion.skeleton.name} is not one that body {model.name} can be fitted to: fit our rig to it "
            "first, with `posewright convert --fit-rig` or posewright.motion.clean.fit_rig"
        )


def _fit_person(
    model: BodyModel, motion: Motion, bodies: MotionBodies, p: int, report: Report
) -> tuple[str, ...]:
    """Write one person's body into `bodies`; a line about its quality, then what could not be reached."""
    trust = [TRUST.get(name.rsplit("_", 1)[-1], 1.0) for name in motion.skeleton.joint_names]
    sure = motion.confidence[:, p] * np.array(trust, np.float32)
    sure = np.where(np.isfinite(motion.joints[:, p]).all(-1), sure, 0.0)
    if not (sure > 0).any():
        return ("nobody to fit",)
    step = -(-motion.num_frames // SHAPE_FRAMES)
    some = motion.joints[::step, p].astype(float)
    betas = fit_shape(model, some, sure[::step].astype(float), motion.skeleton, FIT.shape)
    bodies.betas[p] = betas.numpy()
    rise, options = _rise(model, motion, p, sure, betas)
    contacts = None if options.floor is None or motion.contacts is None else motion.contacts[:, p]
    distance = np.full(sure.shape, np.nan, np.float32)
    margin = round(MARGIN_S * motion.fps)
    for part, keep in frame_blocks(motion.num_frames, margin):
        report("body", p * motion.num_frames + part.start, motion.num_people * motion.num_frames)
        joints = motion.joints[part, p] + [0, 0, rise]
        stood = None if contacts is None else contacts[part]
        fit = fit_body(model, joints, sure[part], motion.skeleton, motion.fps, options, betas, stood)
        rows = slice(part.start + keep.start, part.start + keep.stop)
        local = torch.cat([fit.params.global_orient[:, None], fit.params.body_pose], 1)[keep]
        bodies.rotations_wxyz[rows, p] = matrix_to_quat_wxyz(local[:, list(active_joints(model))]).numpy()
        bodies.transl[rows, p] = fit.params.transl[keep].numpy()
        distance[rows] = fit.distance[keep]
    report("body", (p + 1) * motion.num_frames, motion.num_people * motion.num_frames)
    _sign(bodies, p)
    return _quality(distance, rise), *unreached(distance, motion.skeleton, FIT)


def _sign(bodies: MotionBodies, p: int) -> None:
    """Give the quaternions of each joint signs without jumps over time."""
    there = np.flatnonzero(bodies.present()[:, p])
    quats = torch.from_numpy(bodies.rotations_wxyz[there, p])
    bodies.rotations_wxyz[there, p] = continuous_quat_wxyz(quats).numpy()


def _rise(
    model: BodyModel, motion: Motion, p: int, sure: np.ndarray, betas: torch.Tensor
) -> tuple[float, FitOptions]:
    """Metres from a body's soles up to the lowest joint while a foot stands, and how to fit: with a floor, if ever.

    The rig has heels and toes on the floor, a body has skin below them.
    """
    if motion.contacts is None:
        return 0.0, FIT
    frames = np.flatnonzero(motion.contacts[:, p].any(-1) & ((sure > 0).sum(-1) >= ENOUGH_JOINTS))
    if not len(frames):
        return 0.0, FIT
    frames = frames[np.linspace(0, len(frames) - 1, min(len(frames), SOLE_FRAMES)).astype(int)]
    joints = motion.joints[frames, p]
    still = replace(FIT, cutoff_hz=0.0)
    fit = fit_body(model, joints, sure[frames], motion.skeleton, motion.fps, still, betas)
    soles = model(fit.params).vertices[..., 2].amin(-1).numpy()
    gap = np.nanmedian(np.nanmin(joints[..., 2], axis=-1) - soles)
    return float(np.clip(gap, -MAX_RISE, MAX_RISE)), replace(FIT, floor=FloorOptions())


def _quality(distance: np.ndarray, rise: float) -> str:
    """How far a body is from the joints it was fitted to."""
    if not np.isfinite(distance).any():
        return "nobody to fit"
    moved = (
        f", which were moved {'up' if rise > 0 else 'down'} by {1000 * abs(rise):.0f} mm for its soles to stand"
        if rise
        else ""
    )
    return f"{1000 * np.nanmean(distance):.0f} mm from the joints on average{moved}"
