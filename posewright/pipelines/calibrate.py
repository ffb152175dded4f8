"""Calibrate a rig of cameras from a board shown to them.

    find the board -> intrinsics of each camera -> poses chained over what pairs see -> bundle adjustment -> world

The clips are taken as synchronised: pictures of one time, counted from the start of each clip, belong together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

from posewright.core.errors import InputError
from posewright.geometry.bundle import BoardBundle, BundleCameras, bundle_adjust_boards
from posewright.io.video import Clip, open_clip
from posewright.pipelines.boards import Board, find_board, parse_board, sharpness
from posewright.structures.cameras import Camera, CameraRig

LOOKS = 240
"""Pictures of a clip in which the board is looked for."""
INTRINSIC_VIEWS = 30
PAIR_VIEWS = 30
LEAST_VIEWS = 4
FEW_VIEWS = 10
LARGE_ERROR = 1.0
"""Reprojection error of a camera, pixels, from which the result is doubtful."""
WRONG_BOARD_ERROR = 5.0
"""Reprojection error, pixels, that only a wrong board description explains."""
DOUBTFUL_CORNER = 0.3
"""Error of a corner, pixels, beyond which it counts linearly: corners are found to 0.1 pixels."""
SIMULTANEOUS = 0.5
"""Seconds around the chosen time in which the board must lie on the floor."""

Report = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class CameraReport:
    """How well one camera is calibrated."""

    name: str
    views: int
    """Pictures used."""
    found: int
    """Pictures in which the board was found."""
    looked: int
    error_px: float
    """Root mean square reprojection error, pixels."""


@dataclass(frozen=True)
class Calibration:
    """A rig, how well it explains the pictures, and what to be careful about."""

    rig: CameraRig
    cameras: tuple[CameraReport, ...]
    world: str
    """What the world is: `board on the floor`, `first camera` or `none` (intrinsics only)."""
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Sightings:
    """The board in the pictures of one camera."""

    name: str
    source: str
    size: tuple[int, int]
    corners: dict[int, np.ndarray]
    """Pixels (C, 2) by moment; NaN where not seen."""
    sharp: dict[int, float]
    looked: int


def calibrate_rig(
    sources: Sequence[str | Path],
    board: Board | str,
    *,
    floor: float | None = None,
    intrinsics_only: bool = False,
    fps: float | None = None,
    on_progress: Report | None = None,
) -> Calibration:
    """Find lenses and poses of cameras that filmed one board.

    Args:
        sources: per camera a video, or a folder of photos (the n-th ones of all folders belong together).
        board: `Board`, or its description (`parse_board`).
        floor: seconds at which the board lies on the floor, face up: it becomes the world (Z up, origin at its first
            corner). None: the world stands at the first camera, taken as level.
        intrinsics_only: only lenses; clips need neither overlap nor be synchronised.
        fps: rate of folders of photos (default 30); only says what `floor` means there.
        on_progress: called with (stage, done, total).

    Raises:
        InputError: a source cannot be read, no board is found, it is not the one described, or the cameras cannot be
            linked because they never see it together.
    """
    board = parse_board(board) if isinstance(board, str) else board
    if not sources:
        raise InputError("no clips to calibrate: give one per camera")
    report = on_progress or (lambda stage, done, total: None)
    clips = [open_clip(source, fps=fps) for source in sources]
    rate = clips[0].info.fps
    if not intrinsics_only:
        _check_clips(clips, board)
    sightings = _look(sources, clips, board, rate, report)
    lenses = []
    for n, seen in enumerate(sightings):
        report("lenses", n, len(sightings))
        lenses.append(_calibrate_lens(seen, board))
    report("lenses", len(sightings), len(sightings))
    if intrinsics_only:
        return _lenses_only(sightings, lenses)
    return _calibrate_poses(sightings, lenses, board, rate, floor, report)


def _check_clips(clips: list[Clip], board: Board) -> None:
    if any(abs(clip.info.fps / clips[0].info.fps - 1) > 0.01 for clip in clips):
        said = ", ".join(f"{clip.info.name} {clip.info.fps:g}" for clip in clips)
        raise InputError(f"the clips must have one frame rate to belong together; frames/s: {said}")
    if board.turns_unseen and len(clips) > 1:
        raise InputError(
            f"{board} looks the same upside down, so cameras cannot agree on it: use one with an odd and an even "
            "number of inner corners, or a ChArUco board"
        )


# ----------------------------------------------------------------------------------------------------- looking


def _look(sources, clips: list[Clip], board: Board, rate: float, report: Report) -> list[_Sightings]:
    """Find the board in every clip at the same moments."""
    names = _names(clips)
    longest = max(clip.info.num_frames or 0 for clip in clips)
    step = max(1, -(-longest // LOOKS))
    found = [
        _sightings(clip, str(source), name, board, rate, step, report)
        for clip, source, name in zip(clips, sources, names, strict=True)
    ]
    empty = [s for s in found if len(s.corners) < LEAST_VIEWS]
    if empty:
        said = "; ".join(f"{s.source} ({len(s.corners)} of {s.looked} pictures)" for s in empty)
        hint = "squares" if board.kind == "charuco" else "inner corners, one less than squares"
        raise InputError(
            f"looked for {board} and found it in fewer than {LEAST_VIEWS} pictures of {said}: is the description "
            f"right (counts are {hint}, columns first), the board whole and sharp in the picture?"
        )
    return found


def _names(clips: list[Clip]) -> list[str]:
    stems = [Path(clip.info.name).stem for clip in clips]
    return [s if stems.count(s) == 1 else f"cam{n}_{s}" for n, s in enumerate(stems, 1)]


def _sightings(
    clip: Clip, source: str, name: str, board: Board, rate: float, step: int, report: Report
) -> _Sightings:
    """Look at every `step`-th moment of a clip."""
    corners, sharp, looked = {}, {}, 0
    for frame in clip:
        report(f"board in {name}", frame.index + 1, clip.info.num_frames)
        moment = round(frame.time * rate)
        if moment % step or moment in corners:
            continue
        looked += 1
        gray = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        found = find_board(gray, board)
        if found is not None:
            corners[moment], sharp[moment] = found, sharpness(gray, found)
    return _Sightings(name, source, clip.info.size, corners, sharp, looked)


def _varied(seen: _Sightings, count: int) -> list[int]:
    """Up to `count` moments that differ most in where and how the board lies, blurred ones left out if there are many.

    Farthest points, begun at the sharpest, in the space of the board's centre, spread and slant in the picture.
    """
    moments = sorted(seen.corners, key=lambda m: -seen.sharp[m])
    moments = moments[: max(count, len(moments) * 3 // 4)]
    features = []
    for moment in moments:
        xy = seen.corners[moment][np.isfinite(seen.corners[moment]).all(-1)] / max(seen.size)
        spread = np.linalg.cholesky(np.cov(xy.T) + 1e-8 * np.eye(2))
        features.append([*xy.mean(0), *(3 * spread[np.tril_indices(2)])])
    features = np.array(features)
    chosen, far = [0], np.full(len(moments), np.inf)
    while len(chosen) < min(count, len(moments)):
        far = np.minimum(far, np.linalg.norm(features - features[chosen[-1]], axis=-1))
        chosen.append(int(far.argmax()))
    return sorted(moments[n] for n in chosen)


# ------------------------------------------------------------------------------------------------------ lenses


@dataclass(frozen=True)
class _Lens:
    K: np.ndarray
    distortion: np.ndarray
    moments: list[int]
    error: float


def _calibrate_lens(seen: _Sightings, board: Board) -> _Lens:
    """Intrinsics, k1 and k2 from varied views (Zhang 2000, as OpenCV has it); bad views are left out."""
    moments = _varied(seen, INTRINSIC_VIEWS)
    error, K, distortion, each = _zhang(seen, moments, board)
    good = [m for m, e in zip(moments, each, strict=True) if e <= max(3 * float(np.median(each)), 0.3)]
    if LEAST_VIEWS <= len(good) < len(moments):
        moments = good
        error, K, distortion, each = _zhang(seen, moments, board)
    if not np.isfinite(error) or error > WRONG_BOARD_ERROR:
        raise InputError(
            f"{seen.source}: corners were found, but they do not lie as on {board} (error {error:.1f} pixels): "
            "are rows, columns and marker size the right ones?"
        )
    return _Lens(K, distortion, moments, error)


def _zhang(seen: _Sightings, moments: list[int], board: Board):
    ok = [np.isfinite(seen.corners[m]).all(-1) for m in moments]
    space = [board.corners[o].astype(np.float32) for o in ok]
    image = [seen.corners[m][o].astype(np.float32) for m, o in zip(moments, ok, strict=True)]
    flags = (
        cv2.CALIB_FIX_K3 | cv2.CALIB_ZERO_TANGENT_DIST
    )  # p1 p2 pull the principal point, and the camera turns
    if len(moments) < FEW_VIEWS:  # too few views to tell the principal point from a slant
        flags |= cv2.CALIB_FIX_PRINCIPAL_POINT | cv2.CALIB_FIX_ASPECT_RATIO
    K, distortion = _first_lens(space, image, seen.size), np.zeros(5)
    try:
        error, K, distortion, _, _, _, _, each = cv2.calibrateCameraExtended(
            space, image, seen.size, K, distortion, flags=flags | cv2.CALIB_USE_INTRINSIC_GUESS
        )
    except cv2.error as problem:
        raise InputError(
            f"{seen.source}: the views of {board} fix no lens: show it larger and slanted in several ways "
            f"({problem.err if hasattr(problem, 'err') else 'OpenCV failed'})"
        ) from problem
    return float(error), np.asarray(K), np.ravel(distortion)[:5], np.ravel(each)


def _first_lens(space, image, size) -> np.ndarray:
    """K with square pixels and the principal point in the middle."""
    K = cv2.initCameraMatrix2D(space, image, size, 1.0)
    plausible = np.isfinite(K).all() and 0.2 < K[0, 0] / max(size) < 20
    focal = float(K[0, 0]) if plausible else float(max(size))
    return np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1.0]])


def _lenses_only(sightings: list[_Sightings], lenses: list[_Lens]) -> Calibration:
    cameras = [
        Camera(lens.K, seen.size, distortion=lens.distortion, name=seen.name, focal_source="calibrated")
        for seen, lens in zip(sightings, lenses, strict=True)
    ]
    reports = tuple(
        CameraReport(s.name, len(lens.moments), len(s.corners), s.looked, lens.error)
        for s, lens in zip(sightings, lenses, strict=True)
    )
    note = "only lenses were calibrated: every camera has the pose of the origin, so multiview cannot use this file"
    return Calibration(CameraRig(tuple(cameras)), reports, "none", (note, *_remarks(reports)))


# ------------------------------------------------------------------------------------------------------- poses

Pose = np.ndarray
"""(4, 4), maps coordinates of one frame to another."""


def _calibrate_poses(sightings, lenses, board: Board, rate, floor, report: Report) -> Calibration:
    local = [_board_poses(seen, lens, board) for seen, lens in zip(sightings, lenses, strict=True)]
    at_floor = None if floor is None else _floor_moment(local, floor, rate)
    poses = _chain([s.name for s in sightings], local)
    moments = _chosen_moments(lenses, local, at_floor)
    report("bundle adjustment", 0, 1)
    fit = _adjust(sightings, lenses, local, poses, moments, board)
    report("bundle adjustment", 1, 1)
    worst = np.sqrt(np.nanmean(fit.errors**2, axis=(1, 2)))
    if worst.max() > WRONG_BOARD_ERROR:
        said = ", ".join(f"{s.name} {e:.1f}" for s, e in zip(sightings, worst, strict=True))
        raise InputError(
            f"no arrangement of the cameras explains what they saw together (error in pixels: {said}): are the clips "
            "synchronised, the cameras standing still, and was there one board only?"
        )
    reports = tuple(
        CameraReport(s.name, int(np.isfinite(e).any(-1).sum()), len(s.corners), s.looked, float(w))
        for s, e, w in zip(sightings, fit.errors, worst, strict=True)
    )
    world, name, notes = _world(fit, moments, at_floor)
    cameras = [
        Camera(K, s.size, R @ world[:3, :3], R @ world[:3, 3] + t, d, name=s.name, focal_source="calibrated")
        for s, R, t, K, d in zip(
            sightings, fit.cameras.R, fit.cameras.t, fit.cameras.K, fit.cameras.distortion, strict=True
        )
    ]
    warnings = (*notes, *_remarks(reports), *_links(sightings))
    return Calibration(CameraRig(tuple(cameras)), reports, name, warnings)


def _floor_moment(local: list[dict[int, Pose]], floor: float, rate: float) -> int:
    """The moment nearest to `floor` at which most cameras saw the board."""
    times = sorted({m for poses in local for m in poses})
    near = [m for m in times if abs(m / rate - floor) <= SIMULTANEOUS]
    if not near:
        closest = min(times, key=lambda m: abs(m / rate - floor))
        raise InputError(
            f"no camera sees the board within {SIMULTANEOUS:g} s of --floor {floor:g}; nearest: {closest / rate:.2f} s"
        )
    return max(near, key=lambda m: (sum(m in poses for poses in local), -abs(m / rate - floor)))


def _board_poses(seen: _Sightings, lens: _Lens, board: Board) -> dict[int, Pose]:
    """Board to camera at each moment it was seen; moments with misplaced corners (steep views) are left out."""
    poses, errors = {}, {}
    for moment, corners in seen.corners.items():
        ok = np.isfinite(corners).all(-1)
        solved, turn, t = cv2.solvePnP(
            board.corners[ok], corners[ok], lens.K, lens.distortion, flags=cv2.SOLVEPNP_IPPE
        )
        if solved and np.ravel(t)[2] > 0:
            poses[moment] = _pose(cv2.Rodrigues(turn)[0], np.ravel(t))
            image = cv2.projectPoints(board.corners[ok], turn, t, lens.K, lens.distortion)[0].reshape(-1, 2)
            errors[moment] = float(np.linalg.norm(image - corners[ok], axis=-1).mean())
    bound = max(3 * float(np.median([*errors.values()])), LARGE_ERROR) if errors else 0.0
    return {moment: pose for moment, pose in poses.items() if errors[moment] <= bound}


def _pose(R: np.ndarray, t: np.ndarray) -> Pose:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = R, t
    return pose


def _chain(names: list[str], local: list[dict[int, Pose]]) -> list[Pose]:
    """First camera to each camera, along the tree of pairs that see the board together most often."""
    V = len(names)
    shared = np.zeros((V, V))
    for a, b in combinations(range(V), 2):
        shared[a, b] = len(local[a].keys() & local[b].keys())
    groups, group = connected_components(csr_matrix(shared), directed=False)
    if groups > 1:
        said = " and ".join(
            ", ".join(n for n, g in zip(names, group, strict=True) if g == k) for k in range(groups)
        )
        raise InputError(
            f"the board is never seen by {said} at the same time: show it where their views overlap, or check that "
            "the clips begin together"
        )
    tree = minimum_spanning_tree(csr_matrix(np.where(shared > 0, -shared, 0)))
    order, parent = breadth_first_order(tree, 0, directed=False)
    poses = [np.eye(4)] * V
    for camera in order[1:]:
        before = parent[camera]
        poses[camera] = _between(local[before], local[camera]) @ poses[before]
    return poses


def _between(a: dict[int, Pose], b: dict[int, Pose]) -> Pose:
    """Camera a to camera b: of the proposals of all shared moments the one nearest to the others (medoid)."""
    proposals = np.stack([b[m] @ np.linalg.inv(a[m]) for m in sorted(a.keys() & b.keys())])
    depth = np.median([np.linalg.norm(a[m][:3, 3]) for m in a.keys() & b.keys()])
    flat = np.concatenate([proposals[:, :3, :3].reshape(-1, 9), proposals[:, :3, 3] / depth], -1)
    apart = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
    return proposals[np.median(apart, axis=1).argmin()]


def _chosen_moments(lenses: list[_Lens], local: list[dict[int, Pose]], at_floor: int | None) -> list[int]:
    """Moments for the adjustment: those that fix the lenses, and some of every pair."""
    chosen = {m for lens in lenses for m in lens.moments}
    for a, b in combinations(local, 2):
        both = sorted(a.keys() & b.keys())
        chosen |= {both[n] for n in np.linspace(0, len(both) - 1, min(len(both), PAIR_VIEWS)).astype(int)}
    if at_floor is not None:
        chosen.add(at_floor)
    return sorted(m for m in chosen if any(m in poses for poses in local))


def _adjust(sightings, lenses, local, poses, moments: list[int], board: Board) -> BoardBundle:
    """Bundle adjustment over the chosen moments, in the axes of the first camera."""
    missing = np.full((len(board.corners), 2), np.nan)
    seen = np.stack(
        [
            np.stack([s.corners[m] if m in at else missing for m in moments])
            for s, at in zip(sightings, local, strict=True)
        ]
    )
    boards = []
    for moment in moments:
        proposals = [
            np.linalg.inv(p) @ at[moment] for p, at in zip(poses, local, strict=True) if moment in at
        ]
        boards.append(_nearest_to_all(proposals))
    rig, boards = np.stack(poses), np.stack(boards)
    cameras = BundleCameras(
        rig[:, :3, :3],
        rig[:, :3, 3],
        np.stack([lens.K for lens in lenses]),
        np.stack([lens.distortion for lens in lenses]),
    )
    return bundle_adjust_boards(
        seen,
        cameras,
        board.corners,
        boards[:, :3, :3],
        boards[:, :3, 3],
        refine_intrinsics=True,
        huber=DOUBTFUL_CORNER,
    )


def _nearest_to_all(proposals: list[Pose]) -> Pose:
    """The proposal with the smallest sum of distances to the others."""
    stack = np.stack(proposals)
    apart = np.linalg.norm(stack[:, None] - stack[None], axis=(-2, -1))
    return stack[apart.sum(1).argmin()]


def _world(fit: BoardBundle, moments: list[int], at_floor: int | None) -> tuple[Pose, str, tuple[str, ...]]:
    """World to first camera, what the world is, and what to say about it."""
    if at_floor is not None:
        n = moments.index(at_floor)
        return _pose(fit.R[n], fit.t[n]), "board on the floor", ()
    level = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    note = (
        "the world stands at the first camera, taken as level, so Z is up only if that camera is: lay the board on the "
        "floor for a moment and say when with --floor SECONDS"
    )
    return _pose(level, np.zeros(3)), "first camera", (note,)


# ----------------------------------------------------------------------------------------------------- remarks


def _remarks(reports: tuple[CameraReport, ...]) -> list[str]:
    """Plain warnings about single cameras."""
    notes = []
    for camera in reports:
        if camera.views < FEW_VIEWS:
            notes.append(
                f"{camera.name}: only {camera.views} pictures of the board; {FEW_VIEWS} or more, slanted in several "
                "ways, fix the lens better"
            )
        if camera.error_px > LARGE_ERROR:
            notes.append(
                f"{camera.name}: reprojection error {camera.error_px:.2f} pixels, expected under {LARGE_ERROR:g}: "
                "blurred, bent board, or clips not synchronised?"
            )
    return notes


def _links(sightings: list[_Sightings]) -> list[str]:
    """Warn of cameras that share few moments with all others together."""
    notes = []
    for n, seen in enumerate(sightings):
        others = {m for k, s in enumerate(sightings) if k != n for m in s.corners}
        shared = len(others & seen.corners.keys())
        if len(sightings) > 1 and shared < FEW_VIEWS:
            notes.append(
                f"{seen.name}: sees the board together with another camera in only {shared} pictures"
            )
    return notes
