"""How good is one camera on real video? Four calibrated cameras say: `python benchmarks/multiview_reference.py`.

Clip: multiview/pose2sim_single (Pose2Sim demo, BSD-3-Clause): a man balancing on one leg, 4 cameras, 100 frames, 60 Hz.
Reference: our 2D keypoints of the four views, matched and triangulated (robust, weighted), then smoothed (Butterworth
6 Hz) so that its own jitter does not count. It has BlazePose's idea of where hips and shoulders are, which is also
MediaPipe's and not our lifter's: a handicap for us, left in.
Compared, per camera, over the 12 limb joints:
  posewright            the default `run` of that clip alone: people 1, focal length assumed
  posewright, focal     the same with the calibrated focal length
  posewright, raw       the lifter alone, before smoothing, bones and inverse kinematics
  MediaPipe             world landmarks of MediaPipe Pose 0.10.21 with its default smoothing, recorded
  MediaPipe, raw        the same without smoothing
PA-MPJPE: per frame, similarity alignment. Bone lengths: standard deviation over time, mm, mean over
8 limb bones. Jitter: mean norm of the third difference x fps^3, m/s^3, of the joints relative to the mid hip.
Writes results/multiview_reference.csv.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from row import write_rows

from posewright.geometry.signals import butterworth
from posewright.io.calibration import load_rig
from posewright.io.video import open_clip
from posewright.metrics.motion import bone_length_deviation, jitter
from posewright.metrics.position import pa_mpjpe
from posewright.pipelines.multiview_to_motion import triangulate_people
from posewright.pipelines.video_to_motion import RunOptions, find_people, keypoints_to_motion
from posewright.skeletons.joint_sets import MEDIAPIPE_33, RIG_26

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("POSEWRIGHT_DATA", ROOT.parent / "shared" / "data"))
CLIP = DATA / "media/multiview/pose2sim_single"
RECORDED = ROOT / "tests/models/detection/mediapipe_0.10.21"
LIMBS = tuple(
    f"{s}_{j}" for s in ("left", "right") for j in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
)
PARENTS = (-1, 0, 1, -1, 3, 4, -1, 6, 7, -1, 9, 10)
FPS = 60.0


def main() -> None:
    """Make the reference, run each camera alone, compare."""
    rig = load_rig(CLIP / "cameras_opencv.json")
    rig = replace(rig, cameras=tuple(decoded_size(c) for c in rig.cameras))
    views = [find_people(open_clip(CLIP / f"{c.name}.mp4"), RunOptions())[0] for c in rig.cameras]
    points = triangulate_people(views, rig, people=1)
    reference = limbs(points.joints[:, 0], MEDIAPIPE_33)
    rows = [describe("reference", "four views", reference, reference)]
    smooth = butterworth(reference, FPS, cutoff_hz=6.0)
    for camera in rig.cameras:
        clip = open_clip(CLIP / f"{camera.name}.mp4")
        keypoints, _ = find_people(clip, RunOptions(people=1))
        for name, options in (
            ("posewright", RunOptions(people=1)),
            ("posewright, focal", RunOptions(people=1, focal=float(camera.K[0, 0]))),
        ):
            motion = keypoints_to_motion(keypoints, options)
            rows.append(describe(name, camera.name, limbs(motion.joints[:, 0], RIG_26), smooth))
            if name == "posewright":
                raw = limbs(motion.joints_raw[:, 0], RIG_26)
                rows.append(describe("posewright, raw", camera.name, raw, smooth))
        for name, setting in (("MediaPipe", "smooth"), ("MediaPipe, raw", "tracking")):
            rows.append(describe(name, camera.name, recorded(camera.name, setting), smooth))
    rows += [mean_row(rows, name) for name in dict.fromkeys(r["method"] for r in rows) if name != "reference"]
    for row in rows:
        print(row)
    print(write_rows("multiview_reference", rows))


def decoded_size(camera):
    """The calibration says 1088 for all cameras; what the files decode to is the picture we have."""
    return replace(camera, image_size=open_clip(CLIP / f"{camera.name}.mp4").info.size)


def limbs(joints: np.ndarray, skeleton) -> np.ndarray:
    """(T, 12, 3) limb joints."""
    return joints[:, skeleton.indices(*LIMBS)].astype(np.float64)


def recorded(camera: str, setting: str) -> np.ndarray:
    """MediaPipe's world landmarks of a camera's clip."""
    with np.load(RECORDED / f"{camera}.{setting}.npz", allow_pickle=False) as data:
        world = np.where(data["found"][:, None, None], data["world"].astype(np.float64), np.nan)
    return limbs(world, MEDIAPIPE_33)


def describe(method: str, camera: str, joints: np.ndarray, reference: np.ndarray) -> dict:
    """One row of figures."""
    frames = min(len(joints), len(reference))
    joints, reference = joints[:frames], reference[:frames]
    seen = np.isfinite(joints).all((1, 2)) & np.isfinite(reference).all((1, 2))
    hips = joints[:, [LIMBS.index("left_hip"), LIMBS.index("right_hip")]].mean(1, keepdims=True)
    return {
        "method": method,
        "camera": camera,
        "frames": int(seen.sum()),
        "pa_mpjpe_mm": round(float(pa_mpjpe(joints[seen], reference[seen]).mean()), 1),
        "bone_length_deviation_mm": round(bone_length_deviation(joints, PARENTS), 2),
        "jitter_m_s3": round(jitter(joints - hips, FPS), 1),
    }


def mean_row(rows: list[dict], method: str) -> dict:
    """The mean over the four cameras."""
    own = [r for r in rows if r["method"] == method]
    figures = ("pa_mpjpe_mm", "bone_length_deviation_mm", "jitter_m_s3")
    return {
        "method": method,
        "camera": "mean of 4",
        "frames": sum(r["frames"] for r in own),
        **{k: round(float(np.mean([r[k] for r in own])), 2) for k in figures},
    }


if __name__ == "__main__":
    main()
