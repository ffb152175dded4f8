"""How good is everything between the lifter and the files, on recorded people before known cameras.

    python benchmarks/motion_quality.py

Four questions, one row per case in results/motion_quality.csv:
  rotations   noise-free joints of real people to the rig with their own constant bones: millimetres left over the
              12 limb joints, and CPU seconds for a clip of 10 s at 30 frames/s
  world       exact relative joints before a tilted static camera: error of up in degrees, of the floor (median height
              of the lowest foot point, which the takes have at 0), of the length of the path over the floor
  feet        joints wandering by 1 cm and roots by 4 cm in depth: slip of planted heels and toes before and after
              locking, and how many airborne frames were locked
  motion      the whole way with errors like a lifter's (joints 20 mm, size 1.5 %, keypoints 3 px, each lasting about a
              tenth of a second), for each smoothing: mean joint error against the truth, root aligned; jitter as mean
              acceleration; the truth's own jitter beside it
"""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from known_scenes import film, look, placed, recorded
from row import write_rows

from posewright.motion.bones import add_clavicles, rest_offsets
from posewright.motion.clean import MotionOptions, to_motion
from posewright.motion.contacts import foot_contacts, foot_points, lock_feet, planted_points, pose_joints
from posewright.motion.ik import inverse_kinematics
from posewright.motion.smooth import SMOOTHING_METHODS
from posewright.motion.world import estimate_world
from posewright.skeletons.joint_sets import RIG_26

DATA = Path(os.environ.get("POSEWRIGHT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
TAKES = {
    "walk": ("val/cmu_35.npz", 0),
    "run": ("val/cmu_35.npz", 20),
    "basketball": ("val/cmu_06.npz", 9),
    "dance": ("train/cmu_05.npz", 6),
    "salsa": ("train/cmu_60_daz.npz", 2),
    "hop": ("train/cmu_131.npz", 2),
    "jumps": ("train/cmu_01.npz", 0),
    "laugh": ("val/cmu_14_daz.npz", 0),
}
LIMBS = RIG_26.indices(
    *(f"{s}_{j}" for s in ("left", "right") for j in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"))
)
CLAVICLES = RIG_26.indices("left_clavicle", "right_clavicle")
SEEN = [j for j in range(26) if j not in CLAVICLES]


def main() -> None:
    """Answer the four questions and write the rows."""
    torch.set_num_threads(1)
    takes = {name: take(*where) for name, where in TAKES.items()}
    rows = [rotations(name, *t) for name, t in takes.items()]
    rows += [
        world(name, *takes[name], pitch, roll)
        for name in ("walk", "run", "basketball", "salsa", "laugh")
        for pitch, roll in ((0, 0), (12, 2), (25, -3))
    ]
    rows += [
        feet(name, *takes[name], mode)
        for name in ("walk", "basketball", "salsa", "hop", "jumps")
        for mode in ("never", "auto")
    ]
    rows += [
        motion(name, *takes[name], method)
        for name in ("walk", "run", "salsa")
        for method in SMOOTHING_METHODS
    ]
    for row in rows:
        print(row)
    print(write_rows("motion_quality", rows))


def take(file: str, sequence: int) -> tuple[np.ndarray, float]:
    """A recorded take (T, 24, 3), at most 500 frames, its feet standing on z = 0."""
    joints, fps = recorded(DATA, file, sequence)
    joints = joints[:500]
    return joints - [0, 0, np.median(joints[:, [4, 5, 9, 10], 2].min(-1))], fps


def solve(joints: np.ndarray, fps: float):
    """Rig joints (T, 1, 24, 3) to bones and pose."""
    joints, sure = add_clavicles(joints, np.ones(joints.shape[:3]))
    offsets = rest_offsets(joints, sure)
    weight = sure.copy()
    weight[..., CLAVICLES] = 0
    pose = inverse_kinematics(
        torch.from_numpy(joints), torch.from_numpy(weight), torch.from_numpy(offsets), fps
    )
    return joints, sure, offsets, pose


def rotations(name: str, joints: np.ndarray, fps: float) -> dict:
    """What inverse kinematics leaves."""
    start = time.process_time()
    target, _, offsets, pose = solve(joints[:, None], fps)
    seconds = time.process_time() - start
    error = 1000 * np.linalg.norm(pose_joints(pose, offsets) - target, axis=-1)
    return {
        "question": "rotations",
        "case": name,
        "frames": len(joints),
        "limb_error_mm": f"{error[..., LIMBS].mean():.2f}",
        "limb_error_p95_mm": f"{np.quantile(error[..., LIMBS], 0.95):.2f}",
        "cpu_seconds_per_300_frames": f"{300 * seconds / len(joints):.2f}",
    }


def world(name: str, joints: np.ndarray, fps: float, pitch: float, roll: float) -> dict:
    """Up, floor and path, exact relative joints."""
    scene = film(placed(joints, (0, 5.0))[:, None], look(pitch, roll), fps)
    seen, sure = add_clavicles(scene.camera_joints, np.ones(scene.camera_joints.shape[:3]))
    found = estimate_world(seen, sure, fps)
    up = found.R[:, 2] @ scene.true_camera.R[:, 2]
    level = foot_points(found.from_camera(seen))[..., 2].min((-1, -2))
    made = to_motion(scene.relative.positions, scene.relative.confidence, scene.keypoints, scene.camera)
    path = [
        np.linalg.norm(np.diff(x[:, 0, 0, :2], axis=0), axis=-1).sum() for x in (scene.world, made.joints)
    ]
    return {
        "question": "world",
        "case": f"{name}, camera down {pitch} rolled {roll} degrees",
        "frames": len(joints),
        "up_error_deg": f"{np.degrees(np.arccos(np.clip(up, -1, 1))):.2f}",
        "floor_error_mm": f"{1000 * np.median(level):.0f}",
        "path_error_percent": f"{100 * (path[1] / path[0] - 1):.1f}",
    }


def feet(name: str, joints: np.ndarray, fps: float, mode: str) -> dict:
    """Slip of planted feet, and jumps."""
    true = joints[:, None]
    sway = lasting_noise((len(true), 1, 1, 3), 12, 0) * [0.01, 0.04, 0.01]
    _, sure, offsets, pose = solve(true + 0.01 * lasting_noise(true.shape, 4, 1) + sway, fps)
    truth, _ = add_clavicles(true, np.ones(true.shape[:3]))
    planted, air = planted_points(truth, sure, fps), foot_points(truth)[..., 2].min((-1, -2)) > 0.12
    out = pose_joints(lock_feet(pose, sure, offsets, fps, mode), offsets)
    slip = 1000 * np.linalg.norm(np.diff(foot_points(out)[..., :2], axis=0), axis=-1)
    found = planted_points(pose_joints(pose, offsets), sure, fps)
    return {
        "question": "feet",
        "case": f"{name}, {mode}",
        "frames": len(true),
        "slip_at_detected_contacts_mm_per_frame": f"{slip[found[1:] & found[:-1]].mean():.2f}",
        "slip_at_true_contacts_mm_per_frame": f"{slip[planted[1:] & planted[:-1]].mean():.2f}",
        "airborne_frames": int(air.sum()),
        "airborne_frames_locked": int((foot_contacts(out, sure, fps).any(-1) & air).sum()),
    }


def motion(name: str, joints: np.ndarray, fps: float, smoothing: str) -> dict:
    """The whole way with a lifter's errors."""
    scene = film(placed(joints, (0, 5.0))[:, None], look(12, 2), fps, noise_px=3.0)
    relative = scene.relative.positions * (1 + 0.015 * lasting_noise((len(joints), 1, 1, 1), 3, 2))
    relative = relative + 0.02 * lasting_noise(relative.shape, 3, 3) / np.sqrt(3)
    start = time.process_time()
    made = to_motion(
        relative,
        scene.relative.confidence,
        scene.keypoints,
        scene.camera,
        replace(MotionOptions(), smoothing=smoothing),
    )
    seconds = time.process_time() - start
    true = add_clavicles(scene.camera_joints, np.ones(scene.camera_joints.shape[:3]))[0] @ made.camera.R
    error = np.linalg.norm((made.joints - made.joints[:, :, :1]) - (true - true[:, :, :1]), axis=-1)[
        ..., SEEN
    ]
    jitter = [
        fps**2 * np.linalg.norm(np.diff(x, 2, axis=0), axis=-1)[..., SEEN].mean() for x in (made.joints, true)
    ]
    up = made.camera.R[:, 2] @ scene.true_camera.R[:, 2]
    return {
        "question": "motion",
        "case": f"{name}, {smoothing}",
        "frames": len(joints),
        "joint_error_mm": f"{1000 * error.mean():.1f}",
        "acceleration_m_per_s2": f"{jitter[0]:.2f}",
        "true_acceleration_m_per_s2": f"{jitter[1]:.2f}",
        "up_error_deg": f"{np.degrees(np.arccos(np.clip(up, -1, 1))):.2f}",
        "cpu_seconds_per_300_frames": f"{300 * seconds / len(joints):.2f}",
    }


def lasting_noise(shape: tuple, width: float, seed: int) -> np.ndarray:
    """Noise of unit variance that lasts about `width` frames."""
    kernel = np.exp(-0.5 * (np.arange(-4 * width, 4 * width + 1) / width) ** 2)
    white = np.random.default_rng(seed).standard_normal(shape)
    out = np.apply_along_axis(lambda x: np.convolve(x, kernel, "same")[: len(x)], 0, white)
    return out / out.std()


if __name__ == "__main__":
    main()
