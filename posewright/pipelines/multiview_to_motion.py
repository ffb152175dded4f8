"""From several synchronised, calibrated cameras to 3D motion: no depth is guessed, every point is triangulated.

    find people in each view -> match them between views -> triangulate (robust, weighted) -> rig, cleaning

People are matched by geometry alone: two tracks belong together if their keypoints, triangulated, fall back onto what
both cameras saw.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from posewright.core.errors import InputError
from posewright.geometry.cameras import undistort_pixels
from posewright.geometry.triangulation import reprojection_error, triangulate
from posewright.io.video import open_clip
from posewright.motion.clean import MotionOptions, fit_rig
from posewright.pipelines.video_to_motion import (
    Report,
    RunOptions,
    embodied,
    find_people,
    is_keypoints_source,
    read_keypoints_source,
)
from posewright.structures.cameras import CameraRig
from posewright.structures.keypoints import Keypoints2D
from posewright.structures.motion import Motion

MATCH_ERROR = 0.06
"""Median reprojection error, in heights of the person in the picture, up to which two tracks are one person."""
AGREE_ERROR = 0.03
"""Reprojection error, in widths of the picture, up to which a view has a say in a point."""
MATCH_FRAMES = 60
LEAST_SHARED_FRAMES = 3


def estimate_multiview(
    sources: Sequence[str | Path],
    rig: CameraRig,
    options: RunOptions | None = None,
    on_progress: Report | None = None,
    **changes,
) -> Motion:
    """Estimate the motion of everybody whom at least two cameras of a rig see.

    Args:
        sources: a clip or 2D keypoints per camera, in the order of `rig.cameras`, filmed at one rate.
        rig: calibrated cameras; its world (metres, Z up) is the world of the result.
        options: see `RunOptions`; `fov`, `focal`, `camera` and `subject_height` have no meaning here.
        on_progress: called with (stage, done, total).
        **changes: replace single fields of the options.

    Raises:
        InputError: as many sources as cameras are needed, of one rate; nobody was seen by two cameras.
    """
    options = replace(options or RunOptions(), **changes)
    if len(sources) != len(rig) or len(rig) < 2:
        raise InputError(
            f"{len(sources)} clips and {len(rig)} cameras: give one clip per camera, two or more"
        )
    if options.samples is not None:
        raise InputError(
            "samples are of the lifter's error, and several cameras need no lifter: leave them out"
        )
    report = on_progress or (lambda stage, done, total: None)
    views, warnings = [], []
    for camera, source in zip(rig.cameras, sources, strict=True):
        view, notes = _find(source, options, report, camera.name)
        views.append(view)
        warnings += [f"{camera.name}: {note}" for note in notes]
    report("triangulation", 0, 1)
    points = triangulate_people(synchronised(views, rig), rig, options.people)
    report("triangulation", 1, 1)
    cleaning = MotionOptions(
        smoothing=options.smoothing, foot_lock=options.foot_lock, max_gap_s=options.max_gap_s
    )
    motion = fit_rig(points, cleaning)
    return embodied(replace(motion, warnings=(*warnings, *motion.warnings)), options, report)


def _find(source, options: RunOptions, report: Report, name: str) -> tuple[Keypoints2D, tuple[str, ...]]:
    if is_keypoints_source(source):
        return read_keypoints_source(source, options), ()
    clip = open_clip(source, options.start, options.end, options.fps)
    everybody = replace(options, people=None)
    return find_people(clip, everybody, lambda stage, done, total: report(f"{stage} in {name}", done, total))


def synchronised(views: Sequence[Keypoints2D], rig: CameraRig) -> list[Keypoints2D]:
    """Cut the views to the frames that all have, shifted by the rig's clock offsets (to whole frames).

    Raises:
        InputError: the rates differ, or the clips do not overlap.
    """
    fps = views[0].fps
    if any(abs(v.fps / fps - 1) > 0.01 for v in views) or len({v.skeleton.name for v in views}) > 1:
        said = ", ".join(f"{v.fps:g} frames/s ({v.skeleton.name})" for v in views)
        raise InputError(f"the views must have one frame rate and one joint set; they have: {said}")
    offsets = np.array(rig.offsets or [0.0] * len(views))
    first = np.round(offsets * fps).astype(int)
    begin = int(first.max())
    end = int(min(f + v.num_frames for f, v in zip(first, views, strict=True)))
    if end <= begin:
        raise InputError("the clips do not overlap in time: are the rig's clock offsets right?")
    cuts = [slice(begin - f, end - f) for f in first]
    return [
        replace(v, positions=v.positions[c], confidence=v.confidence[c], times=v.frame_times()[c])
        for v, c in zip(views, cuts, strict=True)
    ]


def triangulate_people(views: Sequence[Keypoints2D], rig: CameraRig, people: int | None = None) -> Motion:
    """Match people between synchronised views and triangulate them.

    Args:
        views: keypoints of each camera, the same frames and joint set.
        rig: the cameras, fixed.
        people: at most so many, those seen most; None: all.

    Returns:
        Positions only, on the views' joint set, in the rig's world; a keypoint that fewer than two views agree on is
        NaN. The confidence is the mean confidence of the views that agree, times the share of all views they are.

    Raises:
        InputError: nobody was seen by two cameras.
    """
    flat = [normalised(view, camera) for view, camera in zip(views, rig.cameras, strict=True)]
    groups = match_tracks(views, flat, rig)[:people]
    if not groups:
        raise InputError(
            "nobody was seen by two cameras at once: are clips, cameras and their order the right ones?"
        )
    T, K = views[0].num_frames, len(views[0].skeleton)
    points = np.full((T, len(groups), K, 3), np.nan, np.float32)
    confidence = np.zeros((T, len(groups), K), np.float32)
    for person, group in enumerate(groups):
        points[:, person], confidence[:, person] = _triangulate_person(views, flat, rig, group)
    return Motion(
        skeleton=views[0].skeleton,
        joints=points,
        confidence=confidence,
        fps=views[0].fps,
        start_time=float(views[0].frame_times()[0]),
        history=(*views[0].history, f"triangulated from {len(rig)} views"),
    )


def normalised(view: Keypoints2D, camera) -> np.ndarray:
    """Undistorted image points (T, P, K, 2) at unit focal length."""
    K, distortion = (torch.from_numpy(np.asarray(a, np.float64)) for a in (camera.K, camera.distortion))
    pixels = torch.from_numpy(view.positions.astype(np.float64)).flatten(0, 2)
    return undistort_pixels(pixels, K, distortion, camera.model).reshape(view.positions.shape).numpy()


# ------------------------------------------------------------------------------------------------ matching

Track = tuple[int, int]
"""(view, person in that view)."""


def match_tracks(
    views: Sequence[Keypoints2D], flat: Sequence[np.ndarray], rig: CameraRig
) -> list[list[Track]]:
    """Group tracks of different views that show one person, those seen most first; tracks of one view alone are left.

    Pairs are joined best first; a group never holds two tracks of one view that overlap in time.
    """
    tracks = [(v, p) for v, view in enumerate(views) for p in range(view.num_people)]
    present = {(v, p): (views[v].confidence[:, p] > 0).any(-1) for v, p in tracks}
    cost = {}
    for a, b in combinations(tracks, 2):
        if a[0] != b[0]:
            error = pair_error(views, flat, rig, a, b)
            if error < MATCH_ERROR:
                cost[a, b] = error
    group_of = {track: [track] for track in tracks}
    for a, b in sorted(cost, key=lambda pair: cost[pair]):
        one, other = group_of[a], group_of[b]
        if one is not other and not any(
            x[0] == y[0] and (present[x] & present[y]).any() for x in one for y in other
        ):
            one.extend(other)
            for track in other:
                group_of[track] = one
    groups = list({id(g): g for g in group_of.values() if len({v for v, _ in g}) > 1}.values())
    return sorted(groups, key=lambda g: -sum(int(present[t].sum()) for t in g))


def pair_error(views, flat, rig: CameraRig, a: Track, b: Track) -> float:
    """Median reprojection error of two tracks triangulated together, in heights of the person; inf if apart."""
    seen = [np.where(np.isfinite(flat[v][:, p]).all(-1), views[v].confidence[:, p], 0) for v, p in (a, b)]
    both = np.flatnonzero(((seen[0] > 0.3) & (seen[1] > 0.3)).sum(-1) >= 5)
    if len(both) < LEAST_SHARED_FRAMES:
        return np.inf
    frames = both[np.linspace(0, len(both) - 1, min(len(both), MATCH_FRAMES)).astype(int)]
    points = torch.from_numpy(np.stack([flat[v][frames, p] for v, p in (a, b)], 1))
    weights = torch.from_numpy(np.stack([s[frames] for s in seen], 1).astype(np.float64))
    R, t, _ = _poses(rig, [a[0], b[0]])
    found = triangulate(points, R, t, weights)
    error = reprojection_error(found.points, points, R, t)
    tall = _height(points)
    relative = (error / tall[..., None])[torch.isfinite(error) & (weights > 0.3)]
    return float(relative.median()) if len(relative) else np.inf


def _height(points: torch.Tensor) -> torch.Tensor:
    """Extent of a person in each frame and view (T, V), in the unit of the points (T, V, K, 2)."""
    finite = torch.isfinite(points)
    high = torch.where(finite, points, -torch.inf).amax(-2)
    low = torch.where(finite, points, torch.inf).amin(-2)
    return (high - low).norm(dim=-1).clamp_min(1e-6)


def _poses(rig: CameraRig, which: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rotations (V, 3, 3), translations (V, 3) and focal lengths in widths of the picture (V,)."""
    cameras = [rig.cameras[i] for i in which]
    R = torch.from_numpy(np.stack([c.R for c in cameras]).astype(np.float64))
    t = torch.from_numpy(np.stack([c.t for c in cameras]).astype(np.float64))
    return R, t, torch.tensor([c.K[0, 0] / max(c.image_size) for c in cameras], dtype=torch.float64)


def _triangulate_person(views, flat, rig: CameraRig, group: list[Track]) -> tuple[np.ndarray, np.ndarray]:
    """Points (T, K, 3) and confidence (T, K) of one person from all their tracks."""
    V, (T, _, K, _) = len(views), flat[0].shape
    points = np.full((T, V, K, 2), np.nan)
    weights = np.zeros((T, V, K))
    for v, p in group:
        rows = (views[v].confidence[:, p] > 0).any(-1)
        points[rows, v] = flat[v][rows, p]
        weights[rows, v] = views[v].confidence[rows, p]
    weights = np.where(np.isfinite(points).all(-1), weights, 0)
    R, t, focal = _poses(rig, range(V))
    found = triangulate(
        torch.from_numpy(points), R, t, torch.from_numpy(weights**2), focal, max_error=AGREE_ERROR
    )
    solved = np.asarray(np.isfinite(found.points.numpy()).all(-1))
    used = found.used.numpy() & solved[:, None]
    mean = (weights * used).sum(1) / np.maximum(used.sum(1), 1)
    return found.points.numpy().astype(np.float32), (mean * used.mean(1)).astype(np.float32)
