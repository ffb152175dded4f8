"""Measure how BlazePose's keypoints err, as numbers for training: jitter, wander, constant offset, outliers.

    python benchmarks/measure_keypoint_noise.py [../shared/data]  ->  posewright/datasets/blazepose_noise.json

Reference: a 100-frame recording by four calibrated cameras at 60 Hz. Each keypoint is triangulated from the four
views (linear, unweighted) and projected back; the residuals are divided by sqrt(5/8), since 3 of every 8 coordinates
are used up by the fit. So an error that is the same point in space for all cameras (a hip landmark that lies off the
hip's centre) is not seen, and errors of the calibration are counted in. One man, one scene, balancing: treat the
numbers as an order of magnitude. Per axis; fractions of the person's height, which is the length of the chain
nose-hip-knee-ankle-heel of the triangulated pose plus 0.12 m, times focal length over depth.

jitter_std: white from frame to frame (third differences). wander_std: slow error beside it, correlated over
wander_seconds (1/e). constant_std: constant over the clip, another one in each view, after removing the view's median
over keypoints (the calibration's part). outlier_rate: frames in which the error leaves its median by more than 4
standard deviations. missing_rate: confidence under 0.3. swap_rate: frames in which left and right of the whole body
are exchanged (found against the other views, undone before the rest is measured); swap_seconds: how long that lasts.
"""

import json
import sys
from pathlib import Path

import av
import cv2
import numpy as np

from posewright.models.detection.blazepose import Model
from posewright.models.detection.following import PeopleFollower
from posewright.skeletons.joint_sets import MEDIAPIPE_33

REPOSITORY = Path(__file__).resolve().parent.parent
OUTPUT = REPOSITORY / "posewright" / "datasets" / "blazepose_noise.json"
ABOUT = __doc__
NOSE_TO_TOP = 0.12


def follow_subject(path: Path, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Return keypoints (T, 33, 2) and confidence (T, 33) of the person who is tallest in the first frame."""
    positions, confidence, follower = [], [], None
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            image = frame.to_ndarray(format="rgb24")
            if follower is None:
                follower = PeopleFollower(model, (image.shape[1], image.shape[0]), 60.0)
            poses = [followed.pose for followed in follower(image)]
            if positions:
                pose = min(poses, key=lambda p: np.linalg.norm(p.keypoints - positions[-1]))
            else:
                pose = max(poses, key=lambda p: p.confidence.mean() * np.ptp(p.keypoints[:, 1]))
            positions.append(pose.keypoints)
            confidence.append(pose.confidence)
    return np.array(positions, float), np.array(confidence, float)


def triangulate(points: np.ndarray, weights: np.ndarray, projections: np.ndarray) -> np.ndarray:
    """Return (N, 3) from (V, N, 2) normalised points with (V, N) weights and (V, 3, 4) projections, by SVD."""
    rows = points[..., None] * projections[:, None, 2:3, :] - projections[:, None, :2, :]
    rows = rows * weights[..., None, None]
    stacked = rows.transpose(1, 0, 2, 3).reshape(points.shape[1], -1, 4)
    homogeneous = np.linalg.svd(stacked)[2][:, -1]
    return homogeneous[:, :3] / homogeneous[:, 3:]


def undistort(points: np.ndarray, camera: dict) -> np.ndarray:
    """Return (N, 2) normalised image points of (N, 2) pixels."""
    return cv2.undistortPoints(points[:, None], camera["K"], camera["distortion"])[:, 0]


def view_errors(views: list[tuple[np.ndarray, np.ndarray]], cameras: list[dict]) -> np.ndarray:
    """Return (V, T, 33, 2): detected minus reference, fractions of the person's height."""
    shape = views[0][0].shape[:2]
    normalised = np.array([undistort(v.reshape(-1, 2), c) for (v, _), c in zip(views, cameras, strict=True)])
    projections = np.array([np.concatenate([c["R"], c["t"][:, None]], 1) for c in cameras])
    world = triangulate(normalised, np.ones(normalised.shape[:2]), projections)
    stature = _stature(world.reshape(*shape, 3))
    errors = [_reprojection(v.reshape(-1, 2), world, c) for (v, _), c in zip(views, cameras, strict=True)]
    return np.array(errors).reshape(len(cameras), *shape, 2) / stature / np.sqrt(5 / 8)


def unswap(views: list[tuple], cameras: list[dict]) -> tuple[list[tuple], np.ndarray]:
    """Undo left/right swaps of the whole body: where the mirrored labels fit the other three views twice as well.

    Returns the corrected views and (V, T) bool, where a swap was undone.
    """
    mirror, swapped = MEDIAPIPE_33.mirror, np.zeros((len(views), len(views[0][0])), bool)
    positions = np.array([p for p, _ in views])
    for _ in range(2):
        for i, camera in enumerate(cameras):
            others = [j for j in range(len(cameras)) if j != i]
            points = np.array([undistort(positions[j].reshape(-1, 2), cameras[j]) for j in others])
            projections = np.array(
                [np.concatenate([cameras[j]["R"], cameras[j]["t"][:, None]], 1) for j in others]
            )
            world = triangulate(points, np.ones(points.shape[:2]), projections)
            as_is, turned = (
                np.median(np.abs(_reprojection(p.reshape(-1, 2), world, camera)).reshape(-1, 66), axis=1)
                for p in (positions[i], positions[i][:, mirror])
            )
            wrong = turned < as_is / 2
            positions[i, wrong] = positions[i, wrong][:, mirror]
            swapped[i] ^= wrong
    return [(p, c) for p, (_, c) in zip(positions, views, strict=True)], swapped


def _reprojection(pixels: np.ndarray, world: np.ndarray, camera: dict) -> np.ndarray:
    """Return (N, 2) metres at the person's depth: pixels minus the projected points."""
    turn = cv2.Rodrigues(camera["R"])[0]
    seen = cv2.projectPoints(world, turn, camera["t"], camera["K"], camera["distortion"])[0][:, 0]
    depth = world @ camera["R"][2] + camera["t"][2]
    return (pixels - seen) * (depth / camera["K"][0, 0])[:, None]


def _stature(joints: np.ndarray) -> float:
    """Return metres from (T, 33, 3), median over time of the mean of both sides."""
    chain = [
        [MEDIAPIPE_33.index(f"{s}_{j}") for j in ("hip", "knee", "ankle", "heel")] for s in ("left", "right")
    ]
    legs = np.mean([np.linalg.norm(np.diff(joints[:, c], axis=1), axis=-1).sum(1) for c in chain], 0)
    hips = joints[:, [chain[0][0], chain[1][0]]].mean(1)
    return float(np.median(legs + np.linalg.norm(joints[:, 0] - hips, axis=-1))) + NOSE_TO_TOP


def split_error(errors: np.ndarray, fps: float) -> dict:
    """Split (V, T, K, 2) errors into a constant per view, a slow wander and white jitter, per keypoint."""
    constant = np.median(errors, axis=1, keepdims=True)
    moving = errors - constant
    constant = constant - np.median(constant, axis=2, keepdims=True)
    jitter = _spread(np.diff(moving, n=3, axis=1), (0, 1, 3)) / np.sqrt(20)
    total = _spread(moving, (0, 1, 3))
    wander = np.sqrt(np.maximum(total**2 - jitter**2, 0))
    return {
        "jitter_std": jitter,
        "wander_std": wander,
        "constant_std": _spread(constant, (0, 1, 3)),
        "outlier_rate": (np.linalg.norm(moving, axis=-1) > 4 * np.maximum(total, 1e-4)).mean((0, 1)),
        "wander_seconds": _correlation_time(moving, fps),
    }


def _spread(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return the standard deviation of a normal distribution with the same median absolute value."""
    return np.median(np.abs(values), axis=axes) / 0.6745


def _correlation_time(moving: np.ndarray, fps: float) -> float:
    """Return the time after which the autocorrelation of the slow part falls to 1/e, seconds, median."""
    smooth = moving[:, 1:-1] / 2 + (moving[:, :-2] + moving[:, 2:]) / 4
    smooth = smooth - smooth.mean(1, keepdims=True)
    lags = np.arange(1, 40)
    power = np.square(smooth).mean(1)
    curve = np.array([(smooth[:, k:] * smooth[:, :-k]).mean(1) / np.maximum(power, 1e-12) for k in lags])
    below = curve < np.exp(-1)
    first = np.where(below.any(0), below.argmax(0), len(lags) - 1)
    return float(np.median(lags[first])) / fps


def _mean_run(flags: np.ndarray) -> float:
    """Return the mean length in frames of the runs of True along the last axis of (V, T)."""
    starts = np.diff(flags.astype(int), axis=1, prepend=0) == 1
    return float(flags.sum() / max(starts.sum(), 1))


def main() -> None:
    """Measure and write the file."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY.parent / "shared" / "data"
    folder = data / "media" / "multiview" / "pose2sim_single"
    described = json.loads((folder / "cameras_opencv.json").read_text())
    cameras = [read_camera(described["cameras"][f"cam{i:02d}"]) for i in (1, 2, 3, 4)]
    model = Model()
    views = [follow_subject(folder / f"cam{i:02d}.mp4", model) for i in (1, 2, 3, 4)]
    views, swapped = unswap(views, cameras)
    parts = split_error(view_errors(views, cameras), 60.0)
    confidence = np.array([c for _, c in views])
    report = {
        "about": ABOUT,
        "keypoints": list(MEDIAPIPE_33.joint_names),
        **{
            k: np.round(v, 5).tolist() if isinstance(v, np.ndarray) else round(v, 4) for k, v in parts.items()
        },
        "confidence_mean": np.round(confidence.mean((0, 1)), 3).tolist(),
        "swap_rate": round(float(swapped.mean()), 4),
        "swap_seconds": _mean_run(swapped) / 60.0,
        "missing_rate": np.round((confidence < 0.3).mean((0, 1)), 4).tolist(),
    }
    OUTPUT.write_text(json.dumps(report, indent=1) + "\n")
    for i, name in enumerate(report["keypoints"]):
        print(name, *(f"{k} {100 * parts[k][i]:.2f}%" for k in ("jitter_std", "wander_std", "constant_std")))
    print({k: v for k, v in report.items() if isinstance(v, float)})


def read_camera(camera: dict) -> dict:
    """Return K, R, t and distortion as arrays."""
    keys = {"K": "K", "R": "R", "t": "t", "distortion": "dist"}
    return {name: np.array(camera[key], float) for name, key in keys.items()}


if __name__ == "__main__":
    main()
