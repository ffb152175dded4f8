"""Does test-time optimisation help the default lifter, and what does it cost?

    posewright benchmark refine --clips FOLDER    # val: results/refine.csv
    posewright benchmark refine --tune            # train: results/refine_tuning.csv

`val` is seen by the test cameras of `posewright/evaluate/lifting.py`; every 33rd view is scored, 200 frames of it.
Settings were chosen on `train` alone (`--tune`), seen by the same kind of cameras from another seed. Rows say how many
steps were taken, how far a keypoint goes in one, what holds the pose (`hold`, the weight of the distance from the first
pose), whether joints of which the lifter is less sure are held less (`uncertainty`), and where the pose stands while
it is projected: at the root estimated from the first pose (deployable), or at the true one (oracle), as published, also
brought to the lifter's body size, which it cannot know.

Scores: 15 joints relative to the pelvis; ACCEL, mean acceleration error; reprojection, the mean distance of the images
of these joints, the pelvis standing where they meet the keypoints best, from the keypoints that were given and from the
true ones. `cost` rows: milliseconds of one processor per frame of 50 per second, lifting included.

With `--clips`, the folder that `benchmarks/truth.py --keep FOLDER` filled: whole runs on its clips, with keypoints
found in the pictures, scored after cleaning as in results/truth.csv.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from row import write_rows
from truth import CASES, described, options_of, view_of

from posewright.datasets.mocap import load_mocap
from posewright.datasets.synth import read_truth
from posewright.evaluate.lifting import (
    SCORED,
    STATURE_PER_TRUNK_AND_LEG,
    Corruption,
    View,
    filmed,
    keypoints_of,
    pose_errors,
)
from posewright.fitting.refine import RefineOptions
from posewright.io.video import open_clip
from posewright.metrics.motion import acceleration_errors
from posewright.models.lifting import raylift
from posewright.pipelines.lift import keypoint_rays, root_before_camera
from posewright.pipelines.lift_refined import REFINED, log_expected_errors, mirrored, refined_track
from posewright.pipelines.lift_windows import run_windows
from posewright.pipelines.video_to_motion import find_people, keypoints_to_motion
from posewright.skeletons.joint_sets import BODY_26, COCO_FEET_21
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D

CONDITIONS = {
    "noise 0.5 %": Corruption(noise=0.005),
    "noise 1 %": Corruption(noise=0.01),
    "noise 2 %": Corruption(noise=0.02),
    "noise 1 %, 10 % missing": Corruption(noise=0.01, missing=0.1),
    "noise 1 %, 30 % missing": Corruption(noise=0.01, missing=0.3),
}
TUNED_ON = ("noise 0.5 %", "noise 1 %", "noise 2 %", "noise 1 %, 30 % missing")
PARTS = {"train": (5151, 58, 0, 250), "val": (2026, 33, 100, 200)}
"""Seed of the cameras, every so-many-th view, its first frame and how many frames."""
STEPS = (2, 4, 8)
HOLD, EVEN_HOLD = 0.003, 0.1
"""Weights of the distance from the first pose: over the expected error, and per metre, the same for all joints."""
CLIP_STEPS = (0, 4)
REPEATS = 3
CLIP_SCORES = ("frames", "mpjpe_mm", "pa_mpjpe_mm", "accel_m_s2", "w_mpjpe_mm", "skating_mm_s")
SHOWN = (
    "test",
    "condition",
    "steps",
    "hold",
    "uncertainty",
    "flip",
    "root",
    "mpjpe_mm",
    "pa_mpjpe_mm",
    "accel_m_s2",
)
JOINTS = list(BODY_26.indices(*SCORED))


@dataclass(frozen=True)
class Seen:
    """A view and its noisy keypoints."""

    view: View
    keypoints: Keypoints2D
    camera: Camera
    rays: torch.Tensor
    """(T, 26, 3), rays and confidence."""


@dataclass(frozen=True)
class Setting:
    """A way to refine."""

    options: RefineOptions = REFINED
    uncertainty: bool = False
    root: str = "estimated"
    """Or `true`, or `true, scaled`: as far as a person of the lifter's body size would stand to look the same."""
    flip: bool = False

    def columns(self) -> dict:
        """As columns of a row."""
        return {
            "steps": self.options.iterations,
            "step_mm": 1000 * self.options.learning_rate,
            "hold": self.options.uncertainty_weight,
            "uncertainty": "yes" if self.uncertainty else "no",
            "flip": "yes" if self.flip else "no",
            "root": self.root,
            "setting": "deployable" if self.root == "estimated" else "oracle",
        }


NOTHING = Setting(replace(REFINED, iterations=0))


def some_views(split: str) -> list[View]:
    """Some views of the split, and some frames of each."""
    seed, every, start, frames = PARTS[split]
    return [_part(view, start, frames) for view in filmed(load_mocap(split), seed)[::every]]


def _part(view: View, start: int, frames: int) -> View:
    take = view.sequence
    start = max(0, min(start, len(take.joints) - frames))
    kept = slice(start, start + frames)
    take = replace(take, joints=take.joints[kept], valid=take.valid[kept])
    return replace(view, sequence=take, points=view.points[kept])


def look(view: View, corruption: Corruption) -> Seen:
    """A view's noisy keypoints, as rays."""
    keypoints, camera = keypoints_of(view, COCO_FEET_21, corruption)
    rays, sure = keypoint_rays(keypoints, camera)
    x = torch.from_numpy(np.concatenate([rays[:, 0], sure[:, 0, :, None]], axis=-1))
    return Seen(view, keypoints, camera, x)


def refined(seen: Seen, setting: Setting, lifter: raylift.Model) -> np.ndarray:
    """Joints (T, 26, 3)."""
    first = lifted(seen, lifter, setting.flip)
    if setting.options.iterations == 0:
        return first.numpy()
    root = None if setting.root == "estimated" else true_root(seen.view, scaled=setting.root != "true")
    errors = log_expected_errors(lifter, seen.rays, first, True) if setting.uncertainty else None
    return refined_track(lifter, seen.rays, first, True, setting.options, setting.flip, errors, root).numpy()


def true_root(view: View, scaled: bool) -> torch.Tensor:
    """Where the pelvis stands (T, 3); `scaled` along its ray, for a person of the lifter's body size."""
    size = raylift.TRUNK_AND_LEG_METRES * STATURE_PER_TRUNK_AND_LEG / view.stature if scaled else 1.0
    return torch.from_numpy((size * view.points[:, 0]).astype(np.float32))


def lifted(seen: Seen, lifter: raylift.Model, flip: bool) -> torch.Tensor:
    """The lifter's answer (T, 26, 3), the mean with the mirrored clip if asked for."""
    first = run_windows(lifter, seen.rays, True)
    if not flip:
        return first
    return (first + mirrored(run_windows(lifter, flipped(seen.rays), True))) / 2


def flipped(rays: torch.Tensor) -> torch.Tensor:
    """Rays and confidence of the mirrored picture."""
    return torch.cat([mirrored(rays[..., :2]), mirrored(rays[..., 2:])], -1)


def scores(found: list[Seen], setting: Setting, lifter: raylift.Model) -> dict[str, float]:
    """Means over the valid frames of all views."""
    errors: dict[str, list[np.ndarray]] = {}
    for seen in found:
        joints = refined(seen, setting, lifter)
        for name, values in {**pose_errors(joints, seen.view), **other_errors(seen, joints)}.items():
            errors.setdefault(name, []).append(values)
    names = ("mpjpe_mm", "pa_mpjpe_mm", "accel_m_s2", "reprojection_px", "reprojection_true_px")
    means = {name: round(float(np.nanmean(np.concatenate(errors[name]))), 3) for name in names}
    return {"frames": len(np.concatenate(errors["mpjpe_mm"])), **means}


def other_errors(seen: Seen, joints: np.ndarray) -> dict[str, np.ndarray]:
    """Acceleration error and misses in the picture, in valid frames."""
    view, valid = seen.view, seen.view.sequence.valid
    told, true = (x[:, JOINTS] - x[:, :1] for x in (joints.astype(np.float64), view.points))
    whole = valid[2:] & valid[1:-1] & valid[:-2]
    root = root_before_camera(joints[:, None], seen.keypoints, seen.camera)[:, 0]
    K = np.asarray(seen.camera.K)
    images, exact = (
        x[..., :2] / x[..., 2:] * K[0, 0] + K[:2, 2] for x in (told + root[:, None], view.points[:, JOINTS])
    )
    given = np.full_like(images, np.nan)
    for place, name in enumerate(SCORED):
        if name in COCO_FEET_21.joint_names:
            given[:, place] = seen.keypoints.positions[:, 0, COCO_FEET_21.index(name)]
    return {
        "accel_m_s2": acceleration_errors(told, true, view.sequence.fps)[whole],
        "reprojection_px": np.linalg.norm(images - given, axis=-1)[valid].ravel(),
        "reprojection_true_px": np.linalg.norm(images - exact, axis=-1)[valid].ravel(),
    }


def settings() -> Iterator[Setting]:
    """What is compared on `val`."""
    yield NOTHING
    for steps in STEPS:
        yield Setting(replace(REFINED, iterations=steps))
    for steps in STEPS[1:]:
        yield Setting(replace(REFINED, iterations=steps, uncertainty_weight=HOLD), uncertainty=True)
    yield Setting(replace(REFINED, uncertainty_weight=EVEN_HOLD))
    yield Setting(root="true")
    yield Setting(root="true, scaled")
    yield replace(NOTHING, flip=True)
    yield Setting(flip=True)


def tuning_settings() -> Iterator[Setting]:
    """What was tried on `train`."""
    yield NOTHING
    for steps in STEPS:
        for rate in (0.5e-3, 1e-3, 2e-3):
            for hold in (0.0, 0.003, 0.01):
                yield Setting(RefineOptions(steps, rate, 1.0, hold), uncertainty=hold > 0)
            yield Setting(RefineOptions(steps, rate, 1.0, EVEN_HOLD))


def rows_on_views(split: str) -> Iterator[dict]:
    """A row per condition and setting."""
    lifter = raylift.load()
    views = some_views(split)
    tune = split == "train"
    for name in TUNED_ON if tune else CONDITIONS:
        found = [look(view, CONDITIONS[name]) for view in views]
        for setting in tuning_settings() if tune else settings():
            row = {"test": f"{split} views", "condition": name, **setting.columns()}
            yield row | {"views": len(views)} | scores(found, setting, lifter)


def rows_of_cost() -> Iterator[dict]:
    """A row per setting: what it takes, on one view."""
    lifter = raylift.load()
    seen = look(some_views("val")[0], CONDITIONS["noise 1 %"])
    for setting in settings():
        if setting.root != "estimated":
            continue
        spent = []
        for _ in range(REPEATS):
            start = time.process_time()
            refined(seen, setting, lifter)
            spent.append(1000 * (time.process_time() - start) / len(seen.rays))
        row = {"test": "cost", "condition": "noise 1 %", **setting.columns(), "frames": len(seen.rays)}
        yield row | {"ms_per_frame": round(float(np.median(spent)), 3)}


def rows_on_clips(folder: Path) -> Iterator[dict]:
    """A row per clip, focal length and number of steps, of whole runs."""
    for case in CASES:
        clip = folder / case.name.replace(" ", "_").replace(",", "")
        if not (clip / "truth.npz").exists():
            continue
        truth = read_truth(clip / "truth.npz")
        view = view_of(truth, 0)
        found, _ = find_people(open_clip(clip / "camera_01.mp4"), options_of(case))
        for focal in (None, float(truth.cameras[0].K[0, 0])):
            test = "run" if focal is None else "run, focal"
            for steps in CLIP_STEPS:
                options = replace(options_of(case), focal=focal, refine=steps, device="cpu")
                made = described(case, test, view, keypoints_to_motion(found, options))
                own = {"steps": steps, "flip": "yes", "setting": "deployable"}
                yield {"test": test, "condition": case.name, **own} | {k: made[k] for k in CLIP_SCORES}


def main() -> None:
    """Score, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tune", action="store_true", help="score settings on train instead")
    parser.add_argument("--clips", type=Path, help="rendered clips of benchmarks/truth.py")
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = [rows_on_views("train")] if options.tune else [rows_of_cost(), rows_on_views("val")]
    if options.clips:
        parts.append(rows_on_clips(options.clips))
    rows = []
    for row in (row for part in parts for row in part):
        print({k: v for k, v in row.items() if k in SHOWN}, flush=True)
        rows.append(row)
    print(write_rows("refine_tuning" if options.tune else "refine", rows))


if __name__ == "__main__":
    main()
