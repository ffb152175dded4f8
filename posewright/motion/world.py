"""Where is up and where is the floor: the world of a clip, from the people in it.

A static camera sees one floor. Three kinds of evidence are weighed in one robust least-squares fit: heels and
toes that are slow and low touch it; people who stand with straight legs are upright on average; cameras are
held about level (roll near 0, any moderate pitch). Poor evidence only widens the answer towards the camera's
own idea of up; it is said in a warning.

The world: right-handed, metres, Z up, floor at z = 0. The origin is on the floor under the pelvis of the
first person in the first frame where that person is seen. The camera looks along +Y (its optical axis, laid
on the floor), so +X is to the right in the picture and a person who faces the camera faces -Y.
"""

from dataclasses import dataclass, field

import numpy as np

from posewright.motion.bones import weighted_median
from posewright.skeletons.joint_sets import RIG_26

_FEET = RIG_26.indices("left_heel", "left_toe", "right_heel", "right_toe")
_CAMERA_UP = np.array([0.0, -1.0, 0.0])


@dataclass(frozen=True)
class WorldOptions:
    """Standard deviations of the evidence, and what counts as evidence."""

    slow: float = 0.35
    """Metres per second: a foot point slower than this may stand."""
    floor_sigma: float = 0.04
    """Metres: scatter of standing feet about the floor."""
    contacts_per_second: float = 3.0
    """Independent contact observations per person and second; neighbouring frames repeat one another."""
    upright_sigma: float = np.radians(5.0)
    """Radians: forward lean of a standing person, as one observation (104 recorded takes: 3.6 degrees over
    takes)."""
    upright_sideways_sigma: float = np.radians(2.5)
    """Radians: the same for leaning to a side (the same takes: 2.4 degrees, 1.7 within)."""
    upright_per_second: float = 2.0
    upright_limit: float = 6.0
    """Independent upright observations per person and second, and at most: a habit of leaning does not
    average out."""
    roll_sigma: float = np.radians(4.0)
    pitch_mean: float = np.radians(5.0)
    """Radians, positive when the camera looks down."""
    pitch_sigma: float = np.radians(20.0)
    min_confidence: float = 0.3
    """Feet below this are not seen."""
    min_contact_frames: int = 3
    """Fewer frames with a standing foot (or all of a shorter clip): the floor is a guess."""
    scale_sigma: float = 0.08
    """Standard deviation of the logarithm of a person's size before the floor is known; 0 leaves sizes
    alone."""
    scale_limit: float = 0.18
    """A person whose floor differs by more (log of the ratio) stands on something else and is not resized."""


@dataclass(frozen=True)
class World:
    """A world and the camera's place in it: `x_camera = R @ x_world + t`."""

    R: np.ndarray
    """(3, 3) rotation, world to camera."""
    t: np.ndarray
    """(3,) metres: the world's origin in camera axes."""
    person_scale: np.ndarray
    """(P,) factor about the camera centre that puts each person on the common floor; it leaves the picture
    unchanged."""
    floor_found: bool
    """False where the floor is a guess."""
    warnings: tuple[str, ...] = field(default=())

    def from_camera(self, points: np.ndarray) -> np.ndarray:
        """Map points (T, P, ..., 3) of all people from camera axes to the world, resized by `person_scale`."""
        scale = self.person_scale.reshape(-1, *[1] * (points.ndim - 2))
        return (points * scale - self.t) @ self.R


def estimate_world(
    joints: np.ndarray,
    confidence: np.ndarray,
    fps: float,
    options: WorldOptions = WorldOptions(),
    size_known: np.ndarray | None = None,
) -> World:
    """Find up, floor and relative sizes of people seen by a camera that does not move.

    Args:
        joints: (T, P, 26, 3) metres, camera axes, root at its place; NaN where missing.
        confidence: (T, P, 26).
        fps: frames per second.
        options: weights of the evidence.
        size_known: (P,) bool, people whose size was given and is not changed.
    """
    T, P = joints.shape[:2]
    known = np.zeros(P, bool) if size_known is None else np.asarray(size_known, bool)
    evidence = _gather(joints, confidence, fps, options)
    up, heights = _fit(evidence, P, options)
    frames = np.bincount(evidence.frame_person, minlength=P) if len(evidence.points) else np.zeros(P)
    enough = frames >= min(options.min_contact_frames, T)
    if enough.any():
        height, scale = _common_floor(heights, frames * _roaming(evidence, P), enough, known, options)
        return World(*_place(up, height, joints, scale), scale, True, ())
    height = _guess_floor(up, joints)
    warning = "feet out of view: floor guessed"
    return World(*_place(up, height, joints, np.ones(P)), np.ones(P), False, (warning,))


def local_world(joints: np.ndarray, confidence: np.ndarray, fps: float) -> World:
    """A stand-in world for a camera that moves: up is the camera's, corrected by upright people.

    Floor under lowest feet.

    The camera's own motion is not removed: paths over the floor are relative to the camera.
    """
    options = WorldOptions(contacts_per_second=0.0)
    evidence = _gather(joints, confidence, fps, options)
    up, _ = _fit(evidence, joints.shape[1], options)
    height = _guess_floor(up, joints)
    warning = "the camera moves: paths are relative to the camera, and the floor is where each person's feet are lowest"
    return World(
        *_place(up, height, joints, np.ones(joints.shape[1])), np.ones(joints.shape[1]), False, (warning,)
    )


@dataclass(frozen=True)
class _Evidence:
    """Foot points that may stand on the floor, and directions that may be upright, with their weights."""

    points: np.ndarray
    """(N, 3) metres, camera axes."""
    person: np.ndarray
    """(N,) index of each point's person."""
    weight: np.ndarray
    """(N,) independent observations each point is worth."""
    frame_person: np.ndarray
    """(M,) person index once per frame with a candidate."""
    bodies: np.ndarray
    """(M, 3) unit vectors from the ankles to the neck."""
    sideways: np.ndarray
    """(M, 3) unit vectors from the right to the left hip."""
    body_weight: np.ndarray
    """(M,)"""


def _gather(joints: np.ndarray, confidence: np.ndarray, fps: float, options: WorldOptions) -> _Evidence:
    """Collect foot points that are slow and the lowest of their person, and bodies with straight legs."""
    bodies, body_weight = _upright_bodies(joints, confidence, fps, options)
    left, right = RIG_26.indices("left_hip", "right_hip")
    sideways = _unit(joints[:, :, left].astype(float) - joints[:, :, right])
    rough = _mean_up(bodies, body_weight, options)
    feet = joints[:, :, _FEET].astype(float)
    seen = np.isfinite(feet).all(-1) & (confidence[:, :, _FEET] >= options.min_confidence)
    slow = seen & (_speed(feet, fps) < options.slow)
    level = np.where(seen, feet @ rough, np.inf)
    low = level < level.min(-1, keepdims=True) + 0.06
    frame, person, point = np.nonzero(slow & low)
    weight = min(1.0, options.contacts_per_second / fps) * confidence[frame, person, np.array(_FEET)[point]]
    touched = (slow & low).any(-1)
    return _Evidence(
        points=feet[frame, person, point],
        person=person,
        weight=weight,
        frame_person=np.nonzero(touched)[1],
        bodies=bodies.reshape(-1, 3),
        sideways=sideways.reshape(-1, 3),
        body_weight=body_weight.ravel(),
    )


def _unit(vector: np.ndarray) -> np.ndarray:
    """Normalise the last axis; missing and zero vectors become 0."""
    norm = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.nan_to_num(vector / np.where(norm > 0, norm, np.nan))


def _speed(points: np.ndarray, fps: float) -> np.ndarray:
    """Speed (T, P, N) in metres per second over about 0.1 s; 0 where neighbours are missing (a single frame)."""
    T = len(points)
    reach = max(1, round(0.05 * fps))
    before, after = np.clip(np.arange(T) - reach, 0, None), np.clip(np.arange(T) + reach, None, T - 1)
    span = np.maximum(after - before, 1)[:, None, None] / fps
    return np.nan_to_num(np.linalg.norm(points[after] - points[before], axis=-1) / span)


def _upright_bodies(
    joints: np.ndarray, confidence: np.ndarray, fps: float, options: WorldOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (T, P, 3) from the middle of the ankles to the neck, and weights (T, P): straight legs count."""
    names = ("left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle", "neck")
    index = RIG_26.indices(*names)
    x = joints[:, :, index].astype(float)
    straight = np.minimum(_straightness(x[:, :, 0], x[:, :, 1], x[:, :, 2]), _straightness(*_last_leg(x)))
    body = x[:, :, 6] - 0.5 * (x[:, :, 2] + x[:, :, 5])
    body = _unit(body)
    sure = np.nan_to_num(confidence[:, :, index]).min(-1)
    weight = np.nan_to_num(straight) * np.where(sure >= options.min_confidence, 1.0, 0.0) * sure
    total = weight.sum(0)
    worth = np.minimum(options.upright_per_second * total / fps, options.upright_limit)
    if len(joints) == 1:
        worth = np.minimum(total, 0.5)
    return body, weight * np.divide(worth, total, out=np.zeros_like(total), where=total > 0)


def _last_leg(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hip, knee and ankle of the right leg from the seven joints of `_upright_bodies`."""
    return x[:, :, 3], x[:, :, 4], x[:, :, 5]


def _straightness(hip: np.ndarray, knee: np.ndarray, ankle: np.ndarray) -> np.ndarray:
    """1 for a straight leg, 0 from 35 degrees of knee flexion on."""
    thigh, shin = knee - hip, ankle - knee
    cosine = (thigh * shin).sum(-1) / (np.linalg.norm(thigh, axis=-1) * np.linalg.norm(shin, axis=-1) + 1e-9)
    return np.clip((cosine - np.cos(np.radians(35))) / (1 - np.cos(np.radians(35))), 0, 1)


def _prior_up(options: WorldOptions) -> np.ndarray:
    """Up in the axes of a camera that looks slightly down."""
    return np.array([0.0, -np.cos(options.pitch_mean), -np.sin(options.pitch_mean)])


def _mean_up(bodies: np.ndarray, weight: np.ndarray, options: WorldOptions) -> np.ndarray:
    """First idea of up: the camera's, moved by bodies within 45 degrees of it."""
    prior = _prior_up(options)
    agree = weight * (bodies @ prior > np.cos(np.radians(45)))
    total = prior + (agree[..., None] * bodies).sum((0, 1))
    return total / np.linalg.norm(total)


def _fit(evidence: _Evidence, P: int, options: WorldOptions) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Newton on up (2 unknowns) and the camera's height above each person's floor (P), robustly reweighted.

    Feet above the floor are soon ignored (steps, boxes, lifted feet), feet below it are not (Huber): the
    lowest level that carries people is the floor.
    """
    up = _mean_up(evidence.bodies[None], evidence.body_weight[None], options)
    heights = _lowest_levels(evidence, up, P)
    for width in (0.5, 0.3, 0.2, 0.12, 0.08, 0.08, 0.08, 0.08, 0.08):
        tangent = _tangent(up)
        H, g = _prior_terms(up, tangent, options, P)
        for add_H, add_g in (
            _upright_terms(evidence, up, tangent, options, P),
            _floor_terms(evidence, up, tangent, heights, width, options, P),
        ):
            H, g = H + add_H, g + add_g
        step = -np.linalg.solve(H, g)
        size = np.linalg.norm(step[:2])
        step *= min(1.0, 0.3 / size) if size > 0 else 1.0
        up = up + tangent.T @ step[:2]
        up /= np.linalg.norm(up)
        heights = heights + step[2:]
    return up, heights


def _lowest_levels(evidence: _Evidence, up: np.ndarray, P: int) -> np.ndarray:
    """Height (P,) of the camera above the lowest tenth of each person's foot points; 0 without points."""
    level = -(evidence.points @ up)
    return np.array(
        [
            np.quantile(level[evidence.person == p], 0.9) if (evidence.person == p).any() else 0
            for p in range(P)
        ]
    )


def _tangent(up: np.ndarray) -> np.ndarray:
    """Two unit vectors (2, 3) perpendicular to up: about the camera's x axis and about its z axis."""
    first = np.array([1.0, 0, 0]) - up[0] * up
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(up, first)])


def _normal(J: np.ndarray, r: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted normal equations of residuals (N,) with Jacobian (N, 2 + P)."""
    return J.T @ (w[:, None] * J), J.T @ (w * r)


def _prior_terms(
    up: np.ndarray, tangent: np.ndarray, options: WorldOptions, P: int
) -> tuple[np.ndarray, np.ndarray]:
    """Roll near 0 and pitch near its mean; a faint hold on heights without evidence."""
    roll, pitch = np.arcsin(np.clip(up[0], -1, 1)), np.arctan2(-up[2], -up[1])
    to_roll = tangent[:, 0] / max(np.cos(roll), 0.1)
    flat = max(up[1] ** 2 + up[2] ** 2, 1e-3)
    to_pitch = (up[1] * tangent[:, 2] - up[2] * tangent[:, 1]) / flat
    J = np.zeros((2, 2 + P))
    J[0, :2], J[1, :2] = to_roll, to_pitch
    weight = np.array([options.roll_sigma, options.pitch_sigma]) ** -2.0
    H, g = _normal(J, np.array([roll, pitch - options.pitch_mean]), weight)
    H[2:, 2:] += 1e-3 * np.eye(P)
    return H, g


def _upright_terms(
    evidence: _Evidence, up: np.ndarray, tangent: np.ndarray, options: WorldOptions, P: int
) -> tuple[np.ndarray, np.ndarray]:
    """Bodies lean about up, forward more than sideways; those far from it (lying, bending) fade out."""
    lean = evidence.bodies @ tangent.T
    cosine = evidence.bodies @ up
    away = np.where(cosine > 0, np.linalg.norm(lean, axis=-1), 1.0 + np.abs(cosine)) / np.sin(np.radians(15))
    weight = evidence.body_weight / (1 + away**2) ** 2
    side = _unit(evidence.sideways @ tangent.T)
    extra = options.upright_sideways_sigma**-2.0 - options.upright_sigma**-2.0
    precision = weight[:, None, None] * (
        options.upright_sigma**-2.0 * np.eye(2) + extra * side[:, :, None] * side[:, None, :]
    )
    H, g = np.zeros((2 + P, 2 + P)), np.zeros(2 + P)
    H[:2, :2] = (np.clip(cosine, 0, None)[:, None, None] * precision).sum(0)
    g[:2] = -(precision @ lean[..., None])[..., 0].sum(0)
    return H, g


def _floor_terms(
    evidence: _Evidence,
    up: np.ndarray,
    tangent: np.ndarray,
    heights: np.ndarray,
    width: float,
    options: WorldOptions,
    P: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Standing feet are at height 0."""
    height = evidence.points @ up + heights[evidence.person]
    above = 1 / (1 + (np.clip(height, 0, None) / width) ** 2) ** 2
    below = 1 / np.maximum(1, np.clip(-height, 0, None) / width)
    weight = evidence.weight * above * below / options.floor_sigma**2
    slope = evidence.points @ tangent.T
    H, g = np.zeros((2 + P, 2 + P)), np.zeros(2 + P)
    H[:2, :2] = slope.T @ (weight[:, None] * slope)
    mixed = np.stack([np.bincount(evidence.person, weight * s, minlength=P) for s in slope.T])
    H[:2, 2:], H[2:, :2] = mixed, mixed.T
    H[2:, 2:] = np.diag(np.bincount(evidence.person, weight, minlength=P))
    g[:2] = slope.T @ (weight * height)
    g[2:] = np.bincount(evidence.person, weight * height, minlength=P)
    return H, g


def _roaming(evidence: _Evidence, P: int) -> np.ndarray:
    """How far each person's standing feet are spread (P,), metres, from 0.3 to 3.

    Who walks about walks on the floor; who stays in one place may stand on a box.
    """
    spread = [
        evidence.points[evidence.person == p].std(0) if (evidence.person == p).any() else 0.0
        for p in range(P)
    ]
    return np.clip([np.linalg.norm(s) for s in spread], 0.3, 3.0)


def _common_floor(
    heights: np.ndarray, frames: np.ndarray, enough: np.ndarray, known: np.ndarray, options: WorldOptions
) -> tuple[float, np.ndarray]:
    """Height of the camera above the one floor, and the factor (P,) by which each person is resized to stand on it.

    Scaling a person about the camera centre does not change the picture, so size and floor height are
    confused person by person; one floor for all settles it. A camera close to the floor's height says nothing
    about size, which the ratio of the two uncertainties accounts for.
    """
    usable = enough & (heights > 0.2)
    if not usable.any():
        return float(weighted_median(heights, enough.astype(float))), np.ones(len(heights))
    votes = np.where(usable, frames, 0) * np.where(known & usable, 1e6, 1.0)
    log = np.log(np.maximum(heights, 0.2))
    centre = float(weighted_median(log, votes))
    near = usable & (np.abs(log - centre) <= options.scale_limit)
    weight = np.where(near, np.minimum(votes, np.where(known, 1e9, 100)), 0.0)
    common = float((weight * log).sum() / weight.sum())
    floor_variance = (options.floor_sigma / np.exp(common)) ** 2
    trust = options.scale_sigma**2 / (options.scale_sigma**2 + floor_variance)
    scale = np.where(near & ~known, np.exp(trust * (common - log)), 1.0)
    return float(np.exp(common)), scale


def _guess_floor(up: np.ndarray, joints: np.ndarray) -> float:
    """Height of the camera above the lowest feet, seen or not; with no feet at all, above where the legs would end."""
    feet = -(joints[:, :, _FEET] @ up)
    if np.isfinite(feet).any():
        return float(np.nanquantile(feet, 0.95))
    pelvis = -(joints[:, :, 0] @ up)
    return float(np.nanmedian(pelvis)) + 0.9 if np.isfinite(pelvis).any() else 1.5


def _place(
    up: np.ndarray, height: float, joints: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """R and t, world to camera: axes from up and the optical axis, origin under the first person."""
    forward = np.array([0.0, 0, 1])
    if abs(up[2]) > 0.95:
        forward = _CAMERA_UP * -np.sign(up[2])
    forward = forward - (forward @ up) * up
    forward /= np.linalg.norm(forward)
    R = np.stack([np.cross(forward, up), forward, up], -1)
    pelvis = joints[:, :, 0].astype(float) * scale[:, None]
    finite = np.all(np.isfinite(pelvis), axis=-1)
    if not finite.any():
        return R, -height * up
    person = int(np.argmax(finite.any(0)))
    start = pelvis[int(np.argmax(finite[:, person])), person]
    return R, start - (start @ up + height) * up
