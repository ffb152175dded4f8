"""Lifting accuracy on recorded motion seen through test cameras: the views, the protocol, the scores.

Views: every take is filmed by `CAMERAS` still cameras around it, drawn from a fixed seed and from other distributions
than the training cameras (`datasets.synthetic`): there cameras aim anywhere near one person at random
distance and the picture cuts people off; here each camera frames the whole take, as a person who films would,
from 0.5 to 3.0 m above the floor, with one of four lenses, in a 1280 x 720 picture, level within 2 degrees.

Keypoints: joint centres of the recording, with heels and face placed by anatomy (head straight on the chest), plus
independent Gaussian noise on each coordinate of each keypoint in each frame, its standard deviation given in
parts of the person's height, measured in pixels at the person's distance; keypoints dropped independently at
the given rate.

Scores: the 13 limb and head joints `SCORED` with pelvis and thorax, all frames of all views that the
recording marks as valid, each counting once. MPJPE is relative to the pelvis, in metres as estimated: nothing
is aligned or scaled, the body's true size is not given to anybody. Deployable, not oracle.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from posewright.datasets.anatomy import with_anatomy
from posewright.datasets.mocap import MOCAP_19, MocapSequence
from posewright.geometry.cameras import default_focal
from posewright.metrics.motion import MILLIMETRES
from posewright.metrics.position import mpjpe, n_mpjpe, pa_mpjpe
from posewright.skeletons.joint_sets import BODY_26
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D

SCORED = (
    "pelvis",
    "thorax",
    "head",
    *(f"{side}_{joint}" for side in ("left", "right") for joint in ("shoulder", "elbow", "wrist")),
    *(f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle")),
)
"""15 joints: 12 of the limbs and the head, the pelvis and the thorax."""
CAMERAS = 4
IMAGE = (1280, 720)
FIELDS_OF_VIEW = (38.0, 53.0, 66.0, 84.0)
"""Horizontal, degrees."""
STATURE_PER_TRUNK_AND_LEG = 1.75 / 1.60
"""Standing height over the sum of thigh, shin, spine, chest, neck and head bones."""

Predictor = Callable[[Keypoints2D, Camera], np.ndarray]
"""Keypoints of one person and the camera to joints (T, 26, 3) of `BODY_26`, camera axes, metres."""


@dataclass(frozen=True)
class View:
    """One take seen by one camera."""

    sequence: MocapSequence
    camera: Camera
    points: np.ndarray
    """(T, 26, 3) float64, metres, camera axes: the truth."""
    stature: float
    """The person's height, metres."""


@dataclass(frozen=True)
class Corruption:
    """What stands between the truth and the lifter."""

    noise: float = 0.01
    """Standard deviation in parts of the person's height."""
    missing: float = 0.0
    """Share of keypoints dropped."""
    focal_known: bool = True
    seed: int = 0


def filmed(sequences: list[MocapSequence], seed: int = 2026) -> list[View]:
    """Film every sequence with `CAMERAS` cameras; the same seed gives the same views."""
    rng = np.random.default_rng(seed)
    return [film(sequence, rng, k) for sequence in sequences for k in range(CAMERAS)]


def film(sequence: MocapSequence, rng: np.random.Generator, index: int) -> View:
    """Frame the whole take with one camera."""
    joints = torch.from_numpy(sequence.joints.astype(np.float64))
    still = torch.zeros(len(joints), dtype=torch.float64)
    world = with_anatomy(joints, still, still).numpy()
    low, high = world.min((0, 1)), world.max((0, 1))
    middle = (low + high) / 2
    azimuth = 2 * np.pi * (index + rng.uniform()) / CAMERAS
    height = low[2] + rng.uniform(0.5, 3.0)
    focal = 0.5 * IMAGE[0] / np.tan(np.radians(FIELDS_OF_VIEW[rng.integers(4)]) / 2)
    roll, margin = np.radians(rng.normal(0, 2)), rng.uniform(0.05, 0.25)
    outward = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    distance = 2.2
    while True:
        position = np.array([*middle[:2], height]) + distance * outward
        R = _looking(middle - position, roll)
        points = (world - position) @ R.T
        reach = np.abs(focal * points[..., :2] / np.maximum(points[..., 2:], 0.5)).max((0, 1))
        if points[..., 2].min() > 0.7 and (reach < (0.5 - margin / 2) * np.array(IMAGE)).all():
            break
        distance *= 1.05
    K = np.array([[focal, 0, (IMAGE[0] - 1) / 2], [0, focal, (IMAGE[1] - 1) / 2], [0, 0, 1]])
    camera = Camera(K=K, image_size=IMAGE, R=R, t=-R @ position, focal_source="given")
    return View(sequence, camera, points, _stature(sequence.joints))


def _looking(direction: np.ndarray, roll: float) -> np.ndarray:
    """Rotation world to camera of a camera that looks along `direction`, turned by `roll` about it."""
    z = direction / np.linalg.norm(direction)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    c, s = np.cos(roll), np.sin(roll)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.stack([x, np.cross(z, x), z])


def _stature(joints: np.ndarray) -> float:
    names = ("right_knee", "right_ankle", "spine", "thorax", "neck", "head")
    bones = [MOCAP_19.index(n) for n in names]
    parents = [MOCAP_19.parents[b] for b in bones]
    lengths = np.median(np.linalg.norm(joints[:, bones] - joints[:, parents], axis=-1), axis=0)
    return float(lengths.sum() * STATURE_PER_TRUNK_AND_LEG)


def keypoints_of(view: View, skeleton: Skeleton, corruption: Corruption) -> tuple[Keypoints2D, Camera]:
    """Return noisy keypoints of a view in a joint set, and the camera as the lifter may know it."""
    rng = np.random.default_rng((corruption.seed, len(view.points), int(1e6 * view.stature)))
    points = view.points[:, [BODY_26.index(n) for n in skeleton.joint_names]]
    focal = view.camera.K[0, 0]
    pixels = focal * points[..., :2] / points[..., 2:] + view.camera.K[:2, 2]
    height = focal * view.stature / view.points[:, :1, 2]
    pixels = pixels + corruption.noise * height[..., None] * rng.normal(size=pixels.shape)
    seen = rng.uniform(size=pixels.shape[:2]) >= corruption.missing
    pixels = np.where(seen[..., None], pixels, np.nan).astype(np.float32)[:, None]
    keypoints = Keypoints2D(
        skeleton, pixels, seen[:, None].astype(np.float32), view.camera.image_size, view.sequence.fps
    )
    if corruption.focal_known:
        return keypoints, Camera(K=view.camera.K, image_size=IMAGE, focal_source="given")
    K = view.camera.K.copy()
    K[0, 0] = K[1, 1] = default_focal(IMAGE)
    return keypoints, Camera(K=K, image_size=IMAGE, focal_source="assumed")


def evaluate_lifter(
    predict: Predictor, views: list[View], skeleton: Skeleton, corruption: Corruption
) -> dict[str, dict[str, float]]:
    """Score a lifter over views.

    Returns:
        For `all` and for each action (CMU's description): frames, `mpjpe_mm`, `pa_mpjpe_mm`, `n_mpjpe_mm`,
        `mpjve_mm_per_s` over `SCORED`, and `mpjpe_17_mm` over all of Human3.6M's 17 joints.
    """
    tables: dict[str, list[dict[str, np.ndarray]]] = {}
    for view in views:
        predicted = predict(*keypoints_of(view, skeleton, corruption))
        errors = pose_errors(predicted, view)
        for group in ("all", view.sequence.description or "unnamed"):
            tables.setdefault(group, []).append(errors)
    return {group: _means(rows) for group, rows in tables.items()}


def pose_errors(predicted: np.ndarray, view: View) -> dict[str, np.ndarray]:
    """Errors of one view, one number per valid frame (velocity: per pair of valid frames)."""
    valid = view.sequence.valid
    p, t = (x - x[:, :1] for x in (np.asarray(predicted, np.float64), view.points))
    joints = [BODY_26.index(n) for n in SCORED]
    seventeen = [BODY_26.index(n) for n in MOCAP_19.joint_names[:17]]
    pair = valid[1:] & valid[:-1]
    velocity = np.linalg.norm(np.diff(p[:, joints] - t[:, joints], axis=0), axis=-1).mean(-1)
    return {
        "mpjpe_mm": mpjpe(p[:, joints], t[:, joints])[valid],
        "pa_mpjpe_mm": pa_mpjpe(p[:, joints], t[:, joints])[valid],
        "n_mpjpe_mm": n_mpjpe(p[:, joints], t[:, joints])[valid],
        "mpjve_mm_per_s": MILLIMETRES * view.sequence.fps * velocity[pair],
        "mpjpe_17_mm": mpjpe(p[:, seventeen], t[:, seventeen])[valid],
    }


def _means(rows: list[dict[str, np.ndarray]]) -> dict[str, float]:
    means = {name: float(np.concatenate([r[name] for r in rows]).mean()) for name in rows[0]}
    return {"frames": sum(len(r["mpjpe_mm"]) for r in rows), **means}
