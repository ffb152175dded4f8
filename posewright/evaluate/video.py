"""How good a motion made from video is, when the truth of the video is known exactly.

People are matched by their keypoints in the picture (`metrics.people`), then scored:

* in the picture: keypoints of COCO-17 that the picture shows, against the exact projections;
* in camera axes: the 12 limb joints. MPJPE is relative to the middle of the hips and nothing is aligned or scaled; MRPE
  is how far that middle is from its true place before the camera, so that it contains the guess of the person's size;
* in the world: W-MPJPE and WA-MPJPE (segments of 100 frames, no scale), and how fast feet that truly stand slide.

Scored are frames in which at least half of the person is to be seen and the person was found: the detection rate says
how many those are. Deployable, not oracle, unless the options of the run say otherwise.

Convention: metres, millimetres in the scores, pixels, frames per second; people of the truth P, estimates Q.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from posewright.metrics.feet import foot_skating
from posewright.metrics.motion import acceleration_error, mpjve
from posewright.metrics.people import PeopleMatch, match_people
from posewright.metrics.position import mpjpe, n_mpjpe, pa_mpjpe
from posewright.metrics.world import w_mpjpe, wa_mpjpe
from posewright.skeletons.joint_sets import COCO_17, RIG_26
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D
from posewright.structures.motion import Motion

LIMBS = tuple(
    f"{side}_{joint}"
    for side in ("left", "right")
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
)
HIPS = (LIMBS.index("left_hip"), LIMBS.index("right_hip"))
SOLES = ("heel", "toe")
SEEN = 0.5
"""Share of a person that the picture must show, for the person to be required and scored."""
NEAR = 0.25
"""Estimates further off than this part of the person's size in the picture are of somebody else."""


@dataclass(frozen=True)
class ViewTruth:
    """What is true of one camera's picture of a clip."""

    fps: float
    joints: np.ndarray
    """(T, P, 26, 3) metres, world, `RIG_26`."""
    contacts: np.ndarray
    """(T, P, 2) bool, left and right foot on the floor."""
    camera: Camera
    """Still, or with a pose for each frame."""
    keypoints: np.ndarray
    """(T, P, 17, 2) pixels, COCO-17; NaN behind the camera."""
    visible: np.ndarray
    """(T, P, 17) bool: the picture shows the keypoint, or only the person's own body hides it."""
    visible_share: np.ndarray
    """(T, P) share of the person that the picture shows."""


def score_keypoints(truth: ViewTruth, keypoints: Keypoints2D) -> tuple[PeopleMatch, dict[str, float]]:
    """Match the people found in the picture, and score the finding.

    Args:
        truth: of the same frames.
        keypoints: any joint set that holds COCO-17's names.

    Returns:
        The match, and `detection_percent` (of the frames of people who are to be seen), `phantoms_per_100_frames`,
        `identity_switches`, `error_px`, `error_percent` (of the person's size in the picture; over visible keypoints).
    """
    found = keypoints.positions[:, :, keypoints.skeleton.indices(*COCO_17.joint_names)].astype(np.float64)
    sure = keypoints.confidence[:, :, keypoints.skeleton.indices(*COCO_17.joint_names)] > 0
    found[~sure] = np.nan
    _check_frames(truth, len(found), "keypoints")
    size = _size(truth.keypoints)
    target = np.where(truth.visible[..., None], truth.keypoints, np.nan)
    error = np.linalg.norm(target[:, :, None] - found[:, None], axis=-1)
    distances = _mean(error, -1) / size[..., None]
    required = (truth.visible_share >= SEEN) & np.isfinite(target).all(-1).any(-1)
    match = match_people(distances, NEAR, required, np.asarray(np.isfinite(found).all(-1).any(-1)))
    own = np.linalg.norm(target - _of_match(found, match), axis=-1)
    hits = required & match.found()
    return match, {
        "required": int(required.sum()),
        "detection_percent": 100 * (1 - match.misses.sum() / max(required.sum(), 1)),
        "phantoms_per_100_frames": 100 * float(match.phantoms.mean()),
        "identity_switches": match.switches,
        "error_px": _finite_mean(own[hits]),
        "error_percent": 100 * _finite_mean(own[hits] / size[hits][:, None]),
    }


def score_motion(truth: ViewTruth, motion: Motion, match: PeopleMatch) -> dict[str, float]:
    """Score a motion made from that picture.

    Args:
        truth: of the same frames.
        motion: on a joint set that holds the limb joints, with its camera (without: no figure in camera axes).
        match: from `score_keypoints` of `motion.keypoints`, same people.

    Returns:
        Millimetres: `mpjpe_mm`, `pa_mpjpe_mm`, `n_mpjpe_mm`, `mrpe_mm`, `w_mpjpe_mm`, `wa_mpjpe_mm`; per second:
        `mpjve_mm_s`, `accel_m_s2`, `skating_mm_s`.
    """
    _check_frames(truth, motion.num_frames, "motion")
    scored = match.found() & (truth.visible_share >= SEEN)
    world = _of_match(motion.joints[:, :, motion.skeleton.indices(*LIMBS)].astype(np.float64), match)
    world = np.where(scored[..., None, None], world, np.nan)
    true_world = truth.joints[:, :, RIG_26.indices(*LIMBS)].astype(np.float64)
    true_world = np.where(np.isfinite(world), true_world, np.nan)
    scores = {
        "frames": int(np.isfinite(world).all((-1, -2)).sum()),
        "w_mpjpe_mm": _finite_mean(_each(w_mpjpe, world, true_world)),
        "wa_mpjpe_mm": _finite_mean(_each(wa_mpjpe, world, true_world)),
        "skating_mm_s": _skating(truth, motion, match),
    }
    if motion.camera is None:
        return scores
    return scores | camera_scores(
        in_camera(world, motion.camera), in_camera(true_world, truth.camera), truth.fps
    )


def camera_scores(estimate: np.ndarray, target: np.ndarray, fps: float) -> dict[str, float]:
    """Score limb joints in camera axes: both (T, P, 12, 3) metres, in the order of `LIMBS`, NaN where not scored."""
    root, true_root = estimate[:, :, HIPS].mean(2), target[:, :, HIPS].mean(2)
    both = np.isfinite(estimate).all((-1, -2)) & np.isfinite(target).all((-1, -2))
    poses, true_poses = estimate - root[:, :, None], target - true_root[:, :, None]
    p, t = poses[both], true_poses[both]
    return {
        "mpjpe_mm": _finite_mean(mpjpe(p, t)),
        "pa_mpjpe_mm": _finite_mean(pa_mpjpe(p, t)),
        "n_mpjpe_mm": _finite_mean(n_mpjpe(p, t)),
        "mrpe_mm": 1000 * _finite_mean(np.linalg.norm(root - true_root, axis=-1)[both]),
        "mpjve_mm_s": mpjve(poses, true_poses, fps),
        "accel_m_s2": acceleration_error(poses, true_poses, fps),
    }


def in_camera(joints: np.ndarray, camera: Camera) -> np.ndarray:
    """World joints (T, P, J, 3) in the axes of a camera, still or with a pose per frame."""
    R, t = np.asarray(camera.R, float), np.asarray(camera.t, float)
    R = np.broadcast_to(R, (len(joints), 3, 3))
    t = np.broadcast_to(t, (len(joints), 3))
    return np.einsum("tij,tpkj->tpki", R, joints) + t[:, None, None]


def mean_scores(rows: Sequence[Mapping[str, float]], weight: str = "frames") -> dict[str, float]:
    """Mean of scores over clips, each clip counting by its number of frames; counts are summed."""
    counts = ("required", "frames", "identity_switches")
    weights = np.array([row[weight] for row in rows], float)
    out: dict[str, float] = {}
    for key in rows[0]:
        values = np.array([row[key] for row in rows], float)
        known = np.isfinite(values) & (weights > 0)
        if key in counts:
            out[key] = int(values.sum())
        else:
            out[key] = float(np.average(values[known], weights=weights[known])) if known.any() else np.nan
    return out


def _check_frames(truth: ViewTruth, frames: int, what: str) -> None:
    if frames != len(truth.joints):
        raise ValueError(f"{what} of {frames} frames, but the truth has {len(truth.joints)}")


def _size(keypoints: np.ndarray) -> np.ndarray:
    """(T, P) longer side of the box around the true keypoints, pixels, in or out of the picture."""
    known = np.isfinite(keypoints)
    span = np.where(known, keypoints, -np.inf).max(2) - np.where(known, keypoints, np.inf).min(2)
    return np.where(np.isfinite(span), span, np.nan).max(-1)


def _of_match(values: np.ndarray, match: PeopleMatch) -> np.ndarray:
    """Values of each estimate (T, Q, ...) as those of each true person (T, P, ...), NaN where nobody was found."""
    T, P = match.estimate.shape
    frames = np.arange(T)[:, None]
    if values.shape[1] == 0:
        return np.full((T, P, *values.shape[2:]), np.nan)
    taken = values[frames, np.maximum(match.estimate, 0)]
    return np.where(match.found().reshape(T, P, *[1] * (taken.ndim - 2)), taken, np.nan)


def _each(metric, estimate: np.ndarray, target: np.ndarray) -> np.ndarray:
    """A metric of one person's motion for each person: (T, P)."""
    people = range(estimate.shape[1])
    return np.stack([metric(estimate[:, p], target[:, p]) for p in people], -1)


def _skating(truth: ViewTruth, motion: Motion, match: PeopleMatch) -> float:
    """Speed of the estimate's heels and toes while the true foot stands."""
    names = [f"{side}_{point}" for side in ("left", "right") for point in SOLES]
    if not set(names) <= set(motion.skeleton.joint_names):
        return np.nan
    feet = _of_match(motion.joints[:, :, motion.skeleton.indices(*names)].astype(np.float64), match)
    planted = np.repeat(truth.contacts, len(SOLES), axis=-1)
    steady = np.zeros_like(match.estimate, bool)
    steady[1:] = match.estimate[1:] == match.estimate[:-1]
    planted = planted & np.isfinite(feet).all(-1) & (steady | np.roll(steady, -1, 0))[..., None]
    T, P, F, _ = feet.shape
    return foot_skating(feet.reshape(T, P * F, 3), planted.reshape(T, P * F), truth.fps)


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of the finite values along an axis, NaN where there are none."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis)
    return np.where(known.any(axis), total / np.maximum(known.sum(axis), 1), np.nan)


def _finite_mean(values: np.ndarray) -> float:
    known = np.isfinite(values)
    return float(values[known].mean()) if known.any() else np.nan
