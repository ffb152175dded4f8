"""Pose and shape of a parametric body over a clip, from 3D joints of any joint set.

Shape first, from bone lengths (`shape`); then the pose of every frame (`pose`), started by aligning bones from the root
down; then once more near the smoothed motion of the first solution, so that noise and short gaps do not show.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from posewright.bodies.model import BodyModel
from posewright.fitting.anatomy import likely_start, standing_terms, unrolled_start
from posewright.fitting.floor import FloorOptions, standing, touching, with_soles
from posewright.fitting.hinges import HingeLimits
from posewright.fitting.over_time import bridged, carried, smoothed, told_joints
from posewright.fitting.points import BodyPoints, body_points
from posewright.fitting.pose import PoseOptions, Target, pose_terms, solve_pose, start_pose
from posewright.fitting.shape import ShapeOptions, fit_shape
from posewright.fitting.terms import Near, SeenPoints, Term
from posewright.geometry.signals import fill_gaps
from posewright.skeletons.joint_sets import get
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.bodies import BodyParams

BRIDGED = 0.3
"""Confidence of a bridged joint, relative to its neighbours'."""


@dataclass(frozen=True)
class FitOptions:
    """How a body is fitted to a clip."""

    shape: ShapeOptions = field(default_factory=ShapeOptions)
    pose: PoseOptions = field(default_factory=PoseOptions)
    cutoff_hz: float = 6.0
    """Movement of joints faster than this is taken for noise; 0: every frame by itself."""
    floor: FloorOptions | None = None
    """Feet stand on the floor z = 0 and do not slide; None: there is no floor."""
    max_gap_s: float = 0.5
    """Frames without anyone: gaps up to so many seconds are bridged."""
    unreachable_m: float = 0.05
    """A joint that is further off than this in half of its frames is said not to be reachable."""


@dataclass(frozen=True)
class BodyFit:
    """A body fitted to one person."""

    params: BodyParams
    """`betas` (S,); `global_orient` (T, 3, 3), `body_pose` (T, K, 3, 3) and `transl` (T, 3), NaN where the person is
    missing."""
    distance: np.ndarray
    """(T, J) metres between each joint and the body's; NaN where either is missing."""
    remarks: tuple[str, ...]
    """Plain sentences for a person to read."""

    def present(self) -> np.ndarray:
        """(T,) bool."""
        return torch.isfinite(self.params.transl).all(-1).numpy()


def fit_body(
    body: BodyModel,
    joints: Float[np.ndarray, "T J 3"],
    confidence: Float[np.ndarray, "T J"],
    skeleton: str | Skeleton,
    fps: float,
    options: FitOptions = FitOptions(),
    betas: Float[Tensor, " S"] | None = None,
    contacts: Bool[np.ndarray, "T 2"] | None = None,
) -> BodyFit:
    """Fit one person over a clip.

    Args:
        body: any body with named points.
        joints: metres, world (Z up for Anny; the axes of the body otherwise); NaN is missing.
        confidence: in [0, 1], 0 is missing.
        skeleton: joint set, one that the body has (`body.defined_joints`).
        fps: frames per second.
        options: see `FitOptions`.
        betas: shape, if it is known.
        contacts: when the left and the right foot touch the floor, for `options.floor`; None: found from the fit.

    Raises:
        ValueError: shapes do not agree, or the joint set has fewer than four joints that the body has.
        InputError: `options.floor` for a body without feet.
    """
    skeleton = get(skeleton) if isinstance(skeleton, str) else skeleton
    joints, confidence = _checked(joints, confidence, skeleton, body)
    _check_contacts(contacts, len(joints))
    if betas is None:
        betas = fit_shape(body, joints, confidence, skeleton, options.shape)
    points = body_points(body, betas.detach(), skeleton.name)
    filled, sure = _filled(joints, confidence, fps, options)
    target = Target(torch.from_numpy(filled), torch.from_numpy(sure) * points.defined)
    known = standing_terms(body, points, options.pose)
    T = len(joints)
    seen = np.flatnonzero((target.weights.numpy() > 0).sum(-1) >= 3)
    if not len(seen):
        return _missing(body, betas, T, len(skeleton))
    rows = torch.from_numpy(seen)
    part = target.rows(rows)
    local, transl = _first(body, points, part, known, options.pose)
    local = carried(local, points, part.weights)
    local, transl, frames = bridged(
        local, transl, seen, T, fps, options.max_gap_s if options.cutoff_hz else 0.0
    )
    if options.cutoff_hz and len(frames) > 3:
        near = smoothed(local, transl, frames, fps, options.cutoff_hz)
        part = replace(target.rows(torch.from_numpy(frames)), near=near)
        noise = replace(options.pose, point_sigma=_noise(points, local, transl, target, frames, options))
        local, transl = solve_pose(points, pose_terms(part, known, noise), near, noise)
    if options.floor is not None:
        placed, floor = points(local, transl), options.floor
        stay = SeenPoints(placed, points.defined.double().expand(placed.shape[:2]), floor.move_sigma, 3.0)
        limits = (term for term in known if isinstance(term, HingeLimits))  # habits had their say
        terms = (stay, Near(local, transl, floor.stay_sigma), *limits)
        local, transl = _stood(body, betas, points, terms, local, transl, frames, T, fps, options, contacts)
    return _result(body, betas, points, local, transl, frames, joints, confidence, skeleton, options)


def _first(
    body: BodyModel, points: BodyPoints, part: Target, known: tuple[Term, ...], options: PoseOptions
) -> tuple[Tensor, Tensor]:
    """The pose of every frame by itself."""
    local, transl = start_pose(points, part)
    start = unrolled_start(body, points, local, options), transl
    told = told_joints(points, part.weights)
    if options.prior > 0 and not told.all():  # by habits first: what is seen tells the prior's component
        usual = standing_terms(body, points, replace(options, prior=0.0))
        local, transl = solve_pose(points, pose_terms(part, usual, options), start, options)
        start = likely_start(body, points, local, told), transl
    return solve_pose(points, pose_terms(part, known, options), start, options)


def _checked(joints, confidence, skeleton: Skeleton, body: BodyModel) -> tuple[np.ndarray, np.ndarray]:
    """Float64, with confidence 0 wherever anything is missing."""
    expected = (len(skeleton), 3)
    if joints.ndim != 3 or joints.shape[1:] != expected or confidence.shape != joints.shape[:2]:
        raise ValueError(
            f"fit_body: joints {joints.shape} and confidence {confidence.shape}, expected (T, {expected[0]}, 3) and "
            f"(T, {expected[0]}) for {skeleton.name}"
        )
    if sum(body.defined_joints(skeleton.name)) < 4:
        raise ValueError(f"fit_body: body {body.name} has fewer than 4 joints of {skeleton.name}")
    sure = np.where(np.isfinite(joints).all(-1), np.nan_to_num(confidence), 0.0)
    return joints.astype(float), np.clip(sure, 0.0, 1.0)


def _check_contacts(contacts: np.ndarray | None, T: int) -> None:
    if contacts is not None and (contacts.shape != (T, 2) or contacts.dtype != bool):
        raise ValueError(
            f"fit_body: contacts are {contacts.shape} {contacts.dtype}, expected ({T}, 2) bool: left and right foot"
        )


def _stood(
    body: BodyModel,
    betas: Tensor,
    points: BodyPoints,
    terms: tuple[Term, ...],
    local: Tensor,
    transl: Tensor,
    frames: np.ndarray,
    T: int,
    fps: float,
    options: FitOptions,
    contacts: np.ndarray | None,
) -> tuple[Tensor, Tensor]:
    """Change the motion as little as brings the soles to the floor; what was seen has had its say."""
    assert options.floor is not None
    on_soles, sole = with_soles(body, betas, points)
    placed = np.full((T, len(sole.feet), 3), np.nan)
    placed[frames] = on_soles(local, transl)[:, -len(sole.feet) :].numpy()
    touch = touching(placed, sole.feet, fps, options.floor, contacts)
    stand = standing(placed, touch, sole.heights, fps, options.floor).rows(torch.from_numpy(frames))
    return solve_pose(on_soles, (*terms, stand), (local, transl), options.pose)


def _filled(
    joints: np.ndarray, confidence: np.ndarray, fps: float, options: FitOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Joints with short gaps bridged at `BRIDGED` of their neighbours' confidence: they keep a fit on its way."""
    seen = confidence > 0
    known = np.where(seen[..., None], joints, np.nan)
    if not options.cutoff_hz:
        return np.nan_to_num(known), confidence
    filled = fill_gaps(known, fps, options.max_gap_s)
    bridged = BRIDGED * fill_gaps(np.where(seen, confidence, np.nan), fps, options.max_gap_s)
    return np.nan_to_num(filled), np.where(seen, confidence, np.nan_to_num(bridged))


def _noise(
    points: BodyPoints, local: Tensor, transl: Tensor, target: Target, frames: np.ndarray, options: FitOptions
) -> float:
    """Standard deviation of the points as seen, metres: from how far the first solution stayed off, over time."""
    rows = torch.from_numpy(frames)
    gap = points(local, transl) - target.points[rows]
    gap = torch.where((target.weights[rows] > 0)[..., None], gap, torch.nan)
    off = (
        (gap - gap.nanmedian(0).values).abs().nanmedian()
    )  # constant gaps are not noise: the body has other joints
    sigma = 1.4826 * float(off) if torch.isfinite(off) else options.pose.point_sigma
    return float(np.clip(sigma, 0.05 * options.pose.point_sigma, 3 * options.pose.point_sigma))


def _result(
    body: BodyModel,
    betas: Tensor,
    points: BodyPoints,
    local: Tensor,
    transl: Tensor,
    frames: np.ndarray,
    joints: np.ndarray,
    confidence: np.ndarray,
    skeleton: Skeleton,
    options: FitOptions,
) -> BodyFit:
    """State the solution in the body's parameters, and how far off it is."""
    T, dtype = len(joints), body.template.dtype
    every = points.every(local)
    pose = torch.full((T, len(body.parents), 3, 3), torch.nan, dtype=dtype)
    place = torch.full((T, 3), torch.nan, dtype=dtype)
    pose[frames], place[frames] = every.to(dtype), transl.to(dtype)
    distance = np.full(joints.shape[:2], np.nan)
    gap = np.linalg.norm(points(local, transl).numpy() - joints[frames], axis=-1)
    distance[frames] = np.where((confidence[frames] > 0) & points.defined.numpy(), gap, np.nan)
    params = BodyParams(betas.to(dtype), pose[:, 0], pose[:, 1:], place)
    return BodyFit(params, distance, unreached(distance, skeleton, options))


def unreached(distance: np.ndarray, skeleton: Skeleton, options: FitOptions) -> tuple[str, ...]:
    """Say which joints the body could not reach, from distances (T, J) in metres; NaN is missing."""
    known: np.ndarray = np.isfinite(distance).any(axis=0)  # pyright: ignore[reportAssignmentType]
    far = [
        f"{name.replace('_', ' ')} ({100 * np.nanmedian(distance[:, j]):.0f} cm)"
        for j, name in enumerate(skeleton.joint_names)
        if known[j] and np.nanmedian(distance[:, j]) > options.unreachable_m
    ]
    return (f"joints the body could not reach: {', '.join(far)}",) if far else ()


def _missing(body: BodyModel, betas: Tensor, T: int, J: int) -> BodyFit:
    """Nobody was seen."""
    rest = body.rest_params(T)
    lost = replace(rest, betas=betas.to(body.template.dtype)).map(lambda x: x)
    lost = replace(
        lost,
        global_orient=lost.global_orient * torch.nan,
        body_pose=lost.body_pose * torch.nan,
        transl=lost.transl * torch.nan,
    )
    return BodyFit(
        lost, np.full((T, J), np.nan), ("nobody to fit: fewer than three joints were seen in every frame",)
    )
