"""Cameras that see everybody all the time: placed by direction, moved like a hand, on an orbit or on rails.

The distance is the least at which every corner of every person's box, in every frame, lies inside the picture with the
margin; it is found by bisection, with the lens's own distortion.

Convention: `structures.cameras`; azimuth as `plan.CameraPlan`.
"""

import math

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from posewright.core.errors import InputError
from posewright.datasets.synth.performance import Performance
from posewright.datasets.synth.plan import CameraPlan
from posewright.geometry.cameras import look_at, project_world
from posewright.skeletons.joint_sets import RIG_26
from posewright.structures.cameras import Camera

NEAREST, FARTHEST = 1.0, 60.0
"""Metres from the middle of what is filmed."""
LOWEST = 0.15
"""Metres above the floor."""
SHAKE_METRES, SHAKE_RADIANS = 0.02, 0.006
"""Standard deviations of a hand's slow sway and turn."""
SHAKE_SECONDS = 0.25
"""Width of the kernel that smooths the hand's shake."""
WALK_METRES = 0.25
"""Standard deviation of the drift of somebody who films standing, over seconds."""


def place_camera(
    performance: Performance,
    plan: CameraPlan,
    image_size: tuple[int, int],
    name: str = "camera_01",
) -> Camera:
    """Place a camera as planned: still ones have R (3, 3), moving ones R (T, 3, 3) and t (T, 3).

    Raises:
        InputError: no distance up to `FARTHEST` shows everybody with that margin.
    """
    corners = _corners(performance)
    target = (corners.reshape(-1, 3).min(0) + corners.reshape(-1, 3).max(0)) / 2
    K = _intrinsics(plan, image_size)
    T = performance.num_frames
    share = np.linspace(-0.5, 0.5, T) if plan.move != "static" else np.zeros(1)
    heading = mean_heading(performance)
    direction = heading + plan.azimuth + (plan.travel * share if plan.move == "orbit" else 0 * share)
    stretch = 1 + (plan.travel * share if plan.move == "dolly" else 0 * share)
    shake = _shake(T, performance.fps, plan.seed) if plan.move != "static" else np.zeros((1, 6))

    def pose(distance: float) -> tuple[np.ndarray, np.ndarray]:
        eye = _eyes(target, direction, plan.pitch, distance * stretch) + shake[:, :3]
        turned = target + distance * shake[:, 3:]
        R, t = look_at(torch.from_numpy(eye), torch.from_numpy(turned))
        return R.numpy(), t.numpy()

    def shows(distance: float) -> bool:
        return _inside(corners, *pose(distance), K, plan, image_size)

    distance = _least(shows)
    if distance is None:
        raise InputError(
            f"no camera within {FARTHEST:g} m shows everybody with a margin of {plan.margin:g} of the picture: "
            "take fewer seconds, a shorter focal length, or a smaller margin"
        )
    R, t = pose(distance)
    if plan.move == "static":
        R, t = R[0], t[0]
    distortion = np.array(plan.distortion, float)
    return Camera(K, image_size, R, t, distortion, name=name, focal_source="given")


def mean_heading(performance: Performance, person: int = 0) -> float:
    """Radians about Z of the way a person faces on average: 0 is along -Y, as the rest pose does."""
    joints = performance.joints["rig_26"][:, person].astype(np.float64)
    left = joints[:, RIG_26.index("left_hip")] - joints[:, RIG_26.index("right_hip")]
    left += joints[:, RIG_26.index("left_shoulder")] - joints[:, RIG_26.index("right_shoulder")]
    x, y = np.nanmean(left[:, :2] / np.linalg.norm(left[:, :2], axis=-1, keepdims=True), axis=0)
    return math.atan2(y, x)


def _eyes(target: np.ndarray, direction: np.ndarray, pitch: float, distance: np.ndarray) -> np.ndarray:
    """Places (T, 3) before people (direction 0: on their -Y side), never under the floor."""
    flat = distance * math.cos(pitch)
    away = np.stack([np.sin(direction) * flat, -np.cos(direction) * flat, distance * math.sin(pitch)], -1)
    eye = target + away
    eye[:, 2] = np.maximum(eye[:, 2], LOWEST)
    return eye


def _corners(performance: Performance) -> np.ndarray:
    """(T, 8 P, 3) corners of everybody's boxes."""
    low, high = performance.extent[:, :, 0].astype(float), performance.extent[:, :, 1].astype(float)
    bits = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)], bool)
    boxes = np.where(bits, high[:, :, None], low[:, :, None])
    return boxes.reshape(len(low), -1, 3)


def _intrinsics(plan: CameraPlan, image_size: tuple[int, int]) -> np.ndarray:
    focal = plan.focal * math.hypot(*image_size)
    return np.array([[focal, 0, (image_size[0] - 1) / 2], [0, focal, (image_size[1] - 1) / 2], [0, 0, 1.0]])


def _inside(
    corners: np.ndarray,
    R: np.ndarray,
    t: np.ndarray,
    K: np.ndarray,
    plan: CameraPlan,
    image_size: tuple[int, int],
) -> bool:
    """Whether the picture shows all corners with the margin, in every frame."""
    arrays = (corners, R, t, K, np.array(plan.distortion, float))
    points, turn, shift, matrix, lens = (torch.from_numpy(a) for a in arrays)
    pixels = project_world(points, turn, shift, matrix, lens).numpy()
    free = plan.margin * np.array(image_size)
    return bool(((pixels > free - 0.5) & (pixels < image_size - free - 0.5)).all())


def _least(shows) -> float | None:
    """The least distance that shows everything, to a centimetre; None: there is none."""
    near, far = NEAREST, NEAREST
    while not shows(far):
        near, far = far, far * 1.3
        if far > FARTHEST:
            return None
    while far - near > 0.01:
        middle = (near + far) / 2
        near, far = (near, middle) if shows(middle) else (middle, far)
    return far


def _shake(T: int, fps: float, seed: int) -> np.ndarray:
    """A hand's movement (T, 6): place in metres, and where it points, as share of the distance."""
    rng = np.random.default_rng(seed)
    fast = gaussian_filter1d(rng.normal(size=(T + 8 * int(fps), 6)), SHAKE_SECONDS * fps, axis=0)[
        4 * int(fps) :
    ][:T]
    slow = gaussian_filter1d(rng.normal(size=(T + 16 * int(fps), 3)), 1.5 * fps, axis=0)[8 * int(fps) :][:T]
    fast *= math.sqrt(2 * math.sqrt(math.pi) * SHAKE_SECONDS * fps)  # unit variance again
    slow *= math.sqrt(2 * math.sqrt(math.pi) * 1.5 * fps)
    sway = SHAKE_METRES * fast[:, :3] + WALK_METRES * slow * [1, 1, 0.2]
    return np.concatenate([sway, SHAKE_RADIANS * fast[:, 3:]], -1)
