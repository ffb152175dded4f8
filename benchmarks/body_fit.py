"""Accuracy and time of fitting bodies to joints and keypoints of recorded motion.

`python benchmarks/body_fit.py [--clips 6] [--frames 300] [--threads 1]` writes `results/body_fit.csv`. Recorded poses
of `val`, on Anny shapes drawn at random, give exact joints (`body_24`) and, through a random camera, exact keypoints;
these are spoilt, and a body is fitted to them. Errors against the exact joints, mean over the clips; seconds are those
of the whole fit of one person, shape included, at 30 frames per second.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from row import write_rows

import posewright as pw
from posewright.bodies.model import BodyModel
from posewright.datasets.anatomy import with_anatomy
from posewright.datasets.mocap import load_mocap
from posewright.fitting.body import FitOptions, fit_body
from posewright.fitting.body2d import Fit2DOptions, fit_body_2d
from posewright.fitting.pose import PoseOptions
from posewright.geometry.cameras import look_at, project_world
from posewright.metrics.position import pa_mpjpe
from posewright.skeletons.joint_sets import get
from posewright.structures.bodies import BodyParams
from posewright.structures.cameras import Camera

FPS = 30.0
NAMES = get("body_24").joint_names
KEPT_13 = [i for i, n in enumerate(NAMES) if n == "nose" or n.split("_")[-1] in
           ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")]  # fmt: skip
ARM = [NAMES.index("left_elbow"), NAMES.index("left_wrist")]
Clip = tuple[BodyParams, np.ndarray]


def clips(body: BodyModel, count: int, frames: int) -> list[Clip]:
    """Poses of `val` on random shapes: parameters and joints (T, 24, 3), resampled to 30 frames per second."""
    takes = sorted(load_mocap("val"), key=lambda t: -len(t.joints))[:count]
    rng, made = np.random.default_rng(0), []
    for take in takes:
        rows = np.arange(0, len(take.joints), take.fps / FPS).round().astype(int)[:frames]
        joints = torch.from_numpy(take.joints[rows.clip(max=len(take.joints) - 1)].astype(float))
        still = torch.zeros(len(joints), dtype=torch.float64)
        points = with_anatomy(joints, still, still).numpy()[:, :24]
        posed = fit_body(body, points, np.ones(points.shape[:2]), "body_24", FPS).params
        params = replace(posed, betas=torch.from_numpy(rng.uniform(0.25, 0.75, 6)).float())
        made.append((params, body.joints(body(params), "body_24").numpy()))
    return made


def spoilt(joints: np.ndarray, case: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Joints and confidence of a case."""
    rng = np.random.default_rng(seed)
    noise = {"clean": 0.0, "arm unseen": 0.0, "13 joints, 30 mm": 0.03}.get(case, 0.01)
    confidence = np.ones(joints.shape[:2])
    if "missing" in case:
        confidence[rng.random(confidence.shape) < float(case.split()[2]) / 100] = 0
    if case == "arm unseen":
        confidence[:, ARM] = 0
    if case.startswith("13"):
        confidence[:] = 0
        confidence[:, KEPT_13] = 1
    return joints + rng.normal(0, 1, joints.shape) * noise, confidence


def scored(body: BodyModel, made: list[Clip], fit: Callable[[Clip, int], BodyParams]) -> dict[str, str]:
    """Mean errors and seconds over the clips."""
    errors, aligned, seconds, frames = [], [], [], []
    for seed, clip in enumerate(made):
        began = time.perf_counter()
        params = fit(clip, seed)
        seconds.append(time.perf_counter() - began)
        found = body.joints(body(params), "body_24").numpy()
        errors.append(1000 * np.linalg.norm(found - clip[1], axis=-1).mean())
        aligned.append(float(np.nanmean(np.asarray(pa_mpjpe(found, clip[1])))))
        frames.append(len(found))
    return {
        "mpjpe_mm": f"{np.mean(errors):.2f}",
        "pa_mpjpe_mm": f"{np.mean(aligned):.2f}",
        "seconds": f"{np.mean(seconds):.2f}",
        "seconds_worst": f"{np.max(seconds):.2f}",
        "frames": f"{np.mean(frames):.0f}",
        "clips": str(len(made)),
    }


def joint_rows(body: BodyModel, made: list[Clip]) -> list[dict]:
    """Fits to 3D joints: clean, noisy, missing, with and without the prior."""
    cases = ("clean", "10 mm, 20 % missing", "10 mm, 40 % missing", "arm unseen", "13 joints, 30 mm")
    kinds = {
        "no prior": FitOptions(pose=PoseOptions(prior=0.0)),
        "default": FitOptions(),
        "prior 0.3": FitOptions(pose=PoseOptions(prior=0.3)),
    }
    rows = []
    for case in cases:
        for kind, options in kinds.items():

            def fit(clip: Clip, seed: int, case: str = case, options: FitOptions = options) -> BodyParams:
                points, confidence = spoilt(clip[1], case, seed)
                return fit_body(body, points, confidence, "body_24", FPS, options).params

            rows.append({"seen": "joints", "case": case, "fit": kind, **scored(body, made, fit)})
            print(rows[-1])
    return rows


def camera_of(joints: np.ndarray, seed: int) -> Camera:
    """4.5 m away, anywhere around, chest height."""
    yaw = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    middle = torch.from_numpy(joints.mean((0, 1)).astype(float))
    R, t = look_at(middle + torch.tensor([4.5 * np.cos(yaw), 4.5 * np.sin(yaw), 0.3]), middle)
    K = np.array([[1100.0, 0, 640], [0, 1100, 360], [0, 0, 1]])
    return Camera(K, (1280, 720), R.numpy(), t.numpy())


def keypoint_rows(body: BodyModel, made: list[Clip]) -> list[dict]:
    """Fits to keypoints with 3 px of noise in one camera, the shape known."""
    rows = []
    for kind, prior in (("no prior", 0.0), ("prior 1", 1.0)):
        options = Fit2DOptions(fit=FitOptions(pose=PoseOptions(prior=prior)))

        def fit(clip: Clip, seed: int, options: Fit2DOptions = options) -> BodyParams:
            camera = camera_of(clip[1], seed)
            R, t, K = (torch.from_numpy(np.asarray(x, float)) for x in (camera.R, camera.t, camera.K))
            pixels = project_world(torch.from_numpy(clip[1].astype(float)), R, t, K).numpy()
            pixels += np.random.default_rng(seed).normal(0, 3, pixels.shape)
            confidence = np.ones(pixels.shape[:2])
            betas = clip[0].betas
            return fit_body_2d(body, pixels, confidence, camera, "body_24", FPS, options, betas).params

        rows.append(
            {"seen": "keypoints", "case": "3 px, shape known", "fit": kind, **scored(body, made, fit)}
        )
        print(rows[-1])
    return rows


def main() -> None:
    """Measure and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=6, help="of the longest takes of val")
    parser.add_argument("--frames", type=int, default=300, help="at 30 frames per second, at most")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    body = pw.load_body("anny", topology="low_1229")
    made = clips(body, options.clips, options.frames)
    rows = [{**row, "threads": options.threads} for row in joint_rows(body, made) + keypoint_rows(body, made)]
    if not options.dry:
        print(write_rows("body_fit", rows))


if __name__ == "__main__":
    main()
