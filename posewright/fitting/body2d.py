"""Pose and shape of a parametric body over a clip, from 2D keypoints in one or several calibrated cameras.

Several cameras: their keypoints are triangulated, the body is fitted to the points, and then to all pictures at once.
One camera: the start is a lifted skeleton, where the caller has one, or found from the picture (`facing`); how far away
the person is then follows from the size of the body, which one picture cannot tell: a person of another size stands
nearer or farther. As with 3D joints, a second solution stays near the smoothed motion of the first.

After F. Bogo et al., "Keep it SMPL" (ECCV 2016), with Levenberg-Marquardt, a clip at a time, and Anny.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from posewright.bodies.model import BodyModel
from posewright.core.errors import InputError
from posewright.fitting.anatomy import standing_terms
from posewright.fitting.body import FitOptions, fit_body
from posewright.fitting.facing import pose_from_picture
from posewright.fitting.over_time import bridged, carried, smoothed
from posewright.fitting.pixels import SeenPixels, check_camera, seen_pixels
from posewright.fitting.points import BodyPoints, body_points
from posewright.fitting.pose import PoseOptions, near_terms, solve_pose
from posewright.fitting.terms import SeenPoints
from posewright.geometry.triangulation import triangulate
from posewright.skeletons.joint_sets import get
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.bodies import BodyParams
from posewright.structures.cameras import Camera, CameraRig

LEAST = 4
"""Keypoints, over all views, without which a frame is missing."""


@dataclass(frozen=True)
class Fit2DOptions:
    """How a body is fitted to pictures."""

    fit: FitOptions = field(default_factory=lambda: FitOptions(pose=PoseOptions(prior=1.0)))
    """Shape, prior, limits and smoothing, as in three dimensions; `floor` is not used."""
    keypoint_share: float = 0.01
    """Expected error of a keypoint of confidence 1, as a share of the person's size in the picture."""
    initial_sigma: float = 0.1
    """Metres by which lifted joints may be off: they tell what one picture cannot."""
    unmet: float = 0.06
    """A keypoint that is missed by more than this share in half of its frames is said not to be met."""


@dataclass(frozen=True)
class Body2DFit:
    """A body fitted to one person in pictures."""

    params: BodyParams
    """As in `BodyFit`: world axes of the cameras."""
    error: np.ndarray
    """(V, T, J) distance between keypoint and body on the ideal image plane, as a share of the person's size; NaN where
    either is missing."""
    remarks: tuple[str, ...]
    """Plain sentences for a person to read."""

    def present(self) -> np.ndarray:
        """(T,) bool."""
        return torch.isfinite(self.params.transl).all(-1).numpy()


def fit_body_2d(
    body: BodyModel,
    keypoints: Float[np.ndarray, "*V T J 2"],
    confidence: Float[np.ndarray, "*V T J"],
    camera: Camera | CameraRig,
    skeleton: str | Skeleton,
    fps: float,
    options: Fit2DOptions = Fit2DOptions(),
    betas: Float[Tensor, " S"] | None = None,
    initial: Float[np.ndarray, "T J 3"] | None = None,
) -> Body2DFit:
    """Fit one person over a clip seen by one camera or by a rig.

    Args:
        body: any body with named points.
        keypoints: pixels, distorted as the camera does it, (T, J, 2) or one such row per camera of the rig; NaN is
            missing. Frames are synchronous.
        confidence: in [0, 1], 0 is missing.
        camera: calibrated; its world is where the body will be.
        skeleton: joint set, one that the body has.
        fps: frames per second.
        options: see `Fit2DOptions`.
        betas: shape, if it is known; otherwise from `initial` or from triangulated points, or the mean body.
        initial: the same joints in the world, metres, from a lifter; NaN is missing.

    Raises:
        InputError: a camera that no picture can come from, or as many rows of keypoints as there are cameras are not
            there.
        ValueError: shapes do not agree with the joint set.
    """
    skeleton = get(skeleton) if isinstance(skeleton, str) else skeleton
    cameras = (camera,) if isinstance(camera, Camera) else camera.cameras
    points2d, sure = _checked(keypoints, confidence, cameras, skeleton)
    known = torch.tensor(body.defined_joints(skeleton.name)).numpy()
    pixels = seen_pixels(cameras, points2d, sure * known, options.keypoint_share, options.fit.pose.huber)
    T = points2d.shape[1]
    if initial is None and len(cameras) > 1:
        initial = _triangulated(pixels)
    first = None if initial is None else _started(body, initial, skeleton, fps, options, betas)
    if betas is None:
        betas = body.rest_params().betas if first is None else first.betas
    points = body_points(body, betas.detach(), skeleton.name)
    lifted = _lifted(initial, len(cameras), points, options)
    there = ((pixels.weights > 0).sum((1, 2)) >= LEAST).numpy()
    if first is not None:
        there &= torch.isfinite(first.transl).all(-1).numpy()
    if not there.any():
        return _missing(body, betas, pixels)
    local, transl, frames = _solved(
        body, points, pixels, first, lifted, np.flatnonzero(there), skeleton, fps, options
    )
    return _result(body, betas, points, pixels, local, transl, frames, T, skeleton, options)


def _solved(
    body: BodyModel,
    points: BodyPoints,
    pixels: SeenPixels,
    first: BodyParams | None,
    lifted: tuple[SeenPoints, ...],
    seen: np.ndarray,
    skeleton: Skeleton,
    fps: float,
    options: Fit2DOptions,
) -> tuple[Tensor, Tensor, np.ndarray]:
    """Rotations and translations in the frames that are there, and these frames."""
    known, pose, fit = standing_terms(body, points, options.fit.pose), options.fit.pose, options.fit
    rows = torch.from_numpy(seen)
    part = pixels.rows(rows)
    if first is None:
        start = pose_from_picture(body, points, part, known, skeleton, fps, pose)
    else:
        every = torch.cat([first.global_orient[rows, None], first.body_pose[rows]], 1).double()
        start = every[:, list(points.active)], first.transl[rows].double()
    also = [term.rows(rows) for term in lifted]
    local, transl = solve_pose(points, (part, *also, *known), start, pose)
    local = carried(local, points, part.weights.amax(1))
    gap = fit.max_gap_s if fit.cutoff_hz else 0.0
    local, transl, frames = bridged(local, transl, seen, len(pixels.flat), fps, gap)
    if fit.cutoff_hz and len(frames) > 3:
        near = smoothed(local, transl, frames, fps, fit.cutoff_hz)
        rows = torch.from_numpy(frames)
        part, also = pixels.rows(rows), [term.rows(rows) for term in lifted]
        local, transl = solve_pose(points, (part, *also, *known, *near_terms(near, pose)), near, pose)
    return local, transl, frames


def _checked(
    keypoints: np.ndarray, confidence: np.ndarray, cameras: tuple[Camera, ...], skeleton: Skeleton
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (V, T, J, 2) and confidence (V, T, J), 0 wherever anything is missing."""
    points, sure = np.asarray(keypoints, float), np.asarray(confidence, float)
    if len(cameras) == 1 and points.ndim == 3:
        points, sure = points[None], sure[None]
    V, J = len(cameras), len(skeleton)
    if points.ndim != 4 or points.shape[2:] != (J, 2) or sure.shape != points.shape[:3]:
        raise ValueError(
            f"fit_body_2d: keypoints {keypoints.shape} and confidence {confidence.shape}, expected (T, {J}, 2) and "
            f"(T, {J}) for {skeleton.name}, behind a first dimension of {V} cameras where there are several"
        )
    if len(points) != V:
        raise InputError(
            f"fit_body_2d: keypoints of {len(points)} views for {V} cameras; give one row per camera"
        )
    for camera in cameras:
        check_camera(camera, points.shape[1])
    sure = np.where(np.isfinite(points).all(-1), np.nan_to_num(sure), 0.0)
    return points, np.clip(sure, 0.0, 1.0)


def _triangulated(pixels: SeenPixels) -> Float[np.ndarray, "T J 3"]:
    """Points that at least two views agree on."""
    worst = 5 * float(pixels.sigma.max())
    found = triangulate(pixels.flat, pixels.R, pixels.t, pixels.weights, max_error=worst)
    return found.points.numpy()


def _started(
    body: BodyModel,
    initial: np.ndarray,
    skeleton: Skeleton,
    fps: float,
    options: Fit2DOptions,
    betas: Tensor | None,
) -> BodyParams:
    """The body fitted to points in space."""
    if initial.ndim != 3 or initial.shape[1:] != (len(skeleton), 3):
        raise ValueError(f"fit_body_2d: initial is {initial.shape}, expected (T, {len(skeleton)}, 3)")
    sure = np.isfinite(initial).all(-1).astype(float)
    fit = fit_body(body, initial, sure, skeleton, fps, replace(options.fit, floor=None), betas)
    return fit.params


def _lifted(
    initial: np.ndarray | None, views: int, points: BodyPoints, options: Fit2DOptions
) -> tuple[SeenPoints, ...]:
    """Joints of a lifter as a loose term, beside one camera; several cameras need none."""
    if initial is None or views > 1:
        return ()
    sure = torch.from_numpy(np.isfinite(initial).all(-1).astype(float)) * points.defined
    place = torch.from_numpy(np.nan_to_num(initial.astype(float)))
    return (SeenPoints(place, sure, options.initial_sigma, options.fit.pose.huber),)


def _result(
    body: BodyModel,
    betas: Tensor,
    points: BodyPoints,
    pixels: SeenPixels,
    local: Tensor,
    transl: Tensor,
    frames: np.ndarray,
    T: int,
    skeleton: Skeleton,
    options: Fit2DOptions,
) -> Body2DFit:
    """State the solution in the body's parameters, and how far off the picture it is."""
    dtype = body.template.dtype
    pose = torch.full((T, len(body.parents), 3, 3), torch.nan, dtype=dtype)
    place = torch.full((T, 3), torch.nan, dtype=dtype)
    pose[frames], place[frames] = points.every(local).to(dtype), transl.to(dtype)
    rows = torch.from_numpy(frames)
    part = pixels.rows(rows)
    share = torch.where(part.weights > 0, part.errors(points(local, transl)), torch.nan)
    error = np.full((part.flat.shape[1], T, len(skeleton)), np.nan)
    error[:, frames] = options.keypoint_share * share.transpose(0, 1).numpy()
    params = BodyParams(betas.to(dtype), pose[:, 0], pose[:, 1:], place)
    return Body2DFit(params, error, _unmet(error, skeleton, options))


def _unmet(error: np.ndarray, skeleton: Skeleton, options: Fit2DOptions) -> tuple[str, ...]:
    """Say which keypoints the body could not meet."""
    flat = error.reshape(-1, len(skeleton))
    seen = np.isfinite(flat).any(0)
    middle = np.zeros(len(skeleton))
    middle[seen] = np.nanmedian(flat[:, seen], axis=0)
    far = [
        f"{name.replace('_', ' ')} ({100 * off:.0f} % of the person's size)"
        for name, off in zip(skeleton.joint_names, middle, strict=True)
        if off > options.unmet
    ]
    return (f"keypoints the body could not meet: {', '.join(far)}",) if far else ()


def _missing(body: BodyModel, betas: Tensor, pixels: SeenPixels) -> Body2DFit:
    """Nobody was seen."""
    T, V, J = pixels.weights.shape
    lost = body.rest_params(T).map(lambda x: x * torch.nan)
    lost = replace(lost, betas=betas.to(body.template.dtype))
    remark = f"nobody to fit: fewer than {LEAST} keypoints were seen in every frame"
    return Body2DFit(lost, np.full((V, T, J), np.nan), (remark,))
