"""Is the default lifter's uncertainty true? Coverage and scores on people and cameras that nothing was fitted to.

    posewright benchmark uncertainty [--samples 50] [--every 25] [--clips FOLDER]

Views: `val`'s subjects 14 and 35 (gestures; walking, running), each take seen by four test cameras; the error model was
calibrated on subjects 06 and 29. In `swapped` rows it is calibrated anew on 14 and 35 and tested on 06 and 29
(basketball, walking): how much the choice of the half matters. The truth is brought to the lifter's body size, because
one camera does not see size; `true size` rows leave it. All 25 joints but the pelvis; `recorded joints` leaves out
those placed by anatomy.

With `--clips`, the folder in which `benchmarks/truth.py --keep` left its rendered clips: coverage of a whole `run
--samples`, keypoints found in the pictures, against the truth of the rendered people of `val`, in the body size of the
run; errors of the frames that are to be trusted and of the others, all joints, and how the error expected of a frame
goes with its error. Their factors were measured on rendered people of `train` (`benchmarks/measure_uncertainty.py`).

Writes results/uncertainty.csv: coverage of the 50, 80 and 95 % regions (a share), calibration error (percent, over all
levels), sharpness (mean standard deviation of one coordinate, relative to the pelvis, mm), energy score, MPJPE of the
estimate, of the best of 1, 5, 20 and all samples, expected over all choices from those there are (oracle), and of the
mean of the samples (deployable); accelerations of truth, estimate, samples, and of samples drawn for each frame by
itself. Older rows have a calibration error that is a share, over 19 levels (`calibration_error`), and the best of the
first S samples (`best_of_5_mm`) in place of the expected best.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from row import write_rows
from truth import CASES, options_of, view_of

from posewright.core.errors import InputError
from posewright.datasets.mocap import load_mocap
from posewright.datasets.synth import read_truth
from posewright.evaluate.lifting import Corruption, View, filmed
from posewright.evaluate.uncertainty import (
    CALIBRATED_AT,
    GROUPS,
    RECORDED,
    acceleration,
)
from posewright.evaluate.uncertainty_in_video import Seen, frame_errors, motion_seen, motion_squares
from posewright.io import keypoints_npz
from posewright.io.video import open_clip
from posewright.metrics.calibration import (
    LEVELS,
    calibration_error,
    conformal_factor,
    coverage,
    energy_score,
    levels_of,
)
from posewright.metrics.hypotheses import p_best_of
from posewright.metrics.position import mpjpe
from posewright.models.lifting import raylift, raylift_errors
from posewright.motion.trust import DISTRUST_FRAME, frame_error
from posewright.pipelines.errors_on_views import ErrorsOnView, errors_on_view
from posewright.pipelines.lift_errors import ROOT
from posewright.pipelines.video_to_motion import RunOptions, find_people, keypoints_to_motion
from posewright.skeletons.joint_sets import BODY_26, COCO_17, COCO_FEET_21, H36M_17, RIG_26
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.keypoints import Keypoints2D

CALIBRATED, TESTED = ("cmu_06", "cmu_29"), ("cmu_14_daz", "cmu_35")
MILLIMETRES = 1000.0
ON_CLIPS = ("poses of 12 limb joints", "places of 12 limb joints")
LIMBS = tuple(
    RIG_26.index(f"{side}_{joint}")
    for side in ("left", "right")
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
)


@dataclass(frozen=True)
class Condition:
    """What keypoints the lifter gets."""

    name: str
    corruption: Corruption
    skeleton: Skeleton = COCO_FEET_21
    hidden: tuple[str, ...] = ()
    true_size: bool = False


CONDITIONS = (
    Condition("exact", Corruption(noise=0.0)),
    Condition("noise 0.5 %", Corruption(noise=0.005)),
    Condition("noise 1 %", Corruption(noise=0.01)),
    Condition("noise 2 %", Corruption(noise=0.02)),
    Condition("noise 1 %, 20 % missing", Corruption(noise=0.01, missing=0.2)),
    Condition("noise 1 %, 40 % missing", Corruption(noise=0.01, missing=0.4)),
    Condition("noise 1 %, focal length unknown", Corruption(noise=0.01, focal_known=False)),
    Condition("noise 1 %, COCO without feet", Corruption(noise=0.01), COCO_17),
    Condition("noise 1 %, Human3.6M's 17", Corruption(noise=0.01), H36M_17),
    Condition("noise 1 %, left wrist hidden", Corruption(noise=0.01), hidden=("left_wrist",)),
    Condition("noise 1 %, left arm hidden", Corruption(noise=0.01), hidden=("left_elbow", "left_wrist")),
    Condition(
        "noise 1 %, right leg hidden",
        Corruption(noise=0.01),
        hidden=("right_knee", "right_ankle", "right_heel", "right_toe"),
    ),
    Condition("noise 1 %, true size", Corruption(noise=0.01), true_size=True),
)


def seen_so(condition: Condition, views: list[View], model: raylift_errors.Model) -> list[ErrorsOnView]:
    """Errors on every view under a condition."""
    lifter = raylift.load()
    return [
        errors_on_view(
            v, condition.corruption, lifter, model, condition.skeleton, condition.true_size, condition.hidden
        )
        for v in views
    ]


def coverage_row(square: np.ndarray) -> dict[str, float]:
    """Coverage at the three levels and the calibration error."""
    levels = levels_of(square.ravel())
    shares = coverage(levels) / 100
    row = {f"coverage_{int(100 * p)}": round(float(c), 4) for p, c in zip(LEVELS, shares, strict=True)}
    return row | {"calibration_error_percent": round(float(calibration_error(levels)), 2)}


def scores(found: list[ErrorsOnView], samples: int, every: int) -> dict[str, float]:
    """All figures of a condition; samples are scored at every so-many-th frame, whole for accelerations."""
    covariance = np.concatenate([v.covariance[:, 1:].reshape(-1, 3, 3) for v in found])
    sharpness = float(np.sqrt(np.trace(covariance, axis1=-2, axis2=-1) / 3).mean())
    told = np.concatenate([v.points for v in found])
    true = np.concatenate([v.truth for v in found])
    expected = np.concatenate([_expected(v) for v in found])
    wrong = MILLIMETRES * np.linalg.norm(told - true, axis=-1)[:, 1:].mean(-1)
    row = {"frames": len(told), "sharpness_mm": round(MILLIMETRES * sharpness, 2)}
    return row | trust_row(frame_error(expected), wrong) | sample_scores(found, samples, every)


def trust_row(expected: np.ndarray, wrong: np.ndarray) -> dict[str, float | str]:
    """Errors (mm) of the frames that are to be trusted by their expected errors (metres), and of the others."""
    doubt = expected > DISTRUST_FRAME
    return {
        "mpjpe_mm": round(float(wrong.mean()), 2),
        "distrusted_percent": round(100 * float(doubt.mean()), 2),
        "mpjpe_trusted_mm": round(float(wrong[~doubt].mean()), 2) if (~doubt).any() else "",
        "mpjpe_distrusted_mm": round(float(wrong[doubt].mean()), 2) if doubt.any() else "",
    }


def _expected(view: ErrorsOnView) -> np.ndarray:
    return np.sqrt(np.trace(view.covariance, axis1=-2, axis2=-1))


def sample_scores(found: list[ErrorsOnView], samples: int, every: int) -> dict[str, float]:
    """Energy score, best of S, mean of S, and how samples move."""
    matrix = np.concatenate([np.eye(len(BODY_26)), np.zeros((len(BODY_26), 1))], axis=1)
    drawn, truth, moves = [], [], []
    for n, view in enumerate(found):
        deviation = view.errors.samples(matrix, seed=n, person=0, count=samples).astype(np.float32)
        whole = view.points + deviation[:, view.valid]
        drawn.append(whole[:, ::every, 1:])
        truth.append(view.truth[::every, 1:])
        if view.valid.all():
            moves.append(_accelerations(view, whole[:4], view.errors.fps))
    x, y = np.concatenate(drawn, axis=1).swapaxes(0, 1), np.concatenate(truth)
    numbers = [s for s in dict.fromkeys((1, 5, 20, samples)) if s <= samples]
    best = p_best_of(x, y, numbers).mean(0)
    energy = energy_score(x[:, :20], y, whole_pose=True)
    names = ("truth", "estimate", "samples", "independent")
    return {
        "samples": samples,
        "energy_score_mm": round(float(energy.mean()) / len(y[0]) ** 0.5, 2),  # per joint: root mean square
        **{f"expected_best_of_{s}_mm": round(float(mm), 2) for s, mm in zip(numbers, best, strict=True)},
        "mean_of_samples_mm": round(float(mpjpe(x.mean(1), y).mean()), 2),
        **{
            f"acceleration_{n}_m_s2": round(float(v), 2)
            for n, v in zip(names, np.mean(moves, axis=0), strict=True)
        },
    }


def _accelerations(view: ErrorsOnView, whole: np.ndarray, fps: float) -> list[float]:
    """Root mean square accelerations of truth, estimate, samples, and independent draws."""
    gaussians = view.errors.gaussians(slice(None))
    normal = np.random.default_rng(0).standard_normal(
        (len(gaussians.own), gaussians.factor.shape[-1] + 3 * (ROOT + 1))
    )
    alone = view.points + gaussians.draw(normal.astype(np.float32))[view.valid, :ROOT]
    return [acceleration(j[..., 1:, :], fps) for j in (view.truth, view.points, whole, alone)]


def rows_on_views(samples: int, every: int) -> Iterator[dict]:
    """A row per condition, per group of joints in the third, and for the halves exchanged."""
    model = raylift_errors.load()
    views = filmed(load_mocap("val"))
    halves = {name: [v for v in views if v.sequence.subject in name] for name in (CALIBRATED, TESTED)}
    for condition in CONDITIONS:
        found = seen_so(condition, halves[TESTED], model)
        square = np.concatenate([v.square for v in found])
        row = {"test": "views", "condition": condition.name, "joints": "all"}
        yield row | coverage_row(square[:, 1:]) | scores(found, samples, every)
        recorded = [BODY_26.index(n) for n in RECORDED]
        yield row | {"joints": "recorded joints"} | coverage_row(square[:, recorded])
        if condition.hidden:
            own = [BODY_26.index(n) for n in condition.hidden]
            yield row | {"joints": "hidden joints"} | coverage_row(square[:, own])
        if condition.name == "noise 1 %":
            for group, names in GROUPS.items():
                yield row | {"joints": group} | coverage_row(square[:, [BODY_26.index(n) for n in names]])
            yield from swapped(condition, model, halves)


def swapped(condition: Condition, model: raylift_errors.Model, halves: dict) -> Iterator[dict]:
    """Coverage on the calibration half itself, and with the halves exchanged."""
    squares = {
        half: np.concatenate([v.square for v in seen_so(condition, halves[half], model)]) for half in halves
    }
    row = {"condition": condition.name, "joints": "recorded joints"}
    recorded = [BODY_26.index(n) for n in RECORDED]
    yield {"test": "calibration half", **row} | coverage_row(squares[CALIBRATED][:, recorded])
    exchanged = squares[CALIBRATED].copy()
    for names in GROUPS.values():
        own = [BODY_26.index(n) for n in names if n in RECORDED]
        exchanged[:, own] /= conformal_factor(squares[TESTED][:, own], CALIBRATED_AT) ** 2
    yield {"test": "swapped", **row} | coverage_row(exchanged[:, recorded])


# ------------------------------------------------------------------------------------------ rendered clips


def rows_on_clips(folder: Path, samples: int, kept: Path | None) -> Iterator[dict]:
    """Coverage of `run --samples` on rendered clips, for each and for all together; frames to be trusted or not."""
    squares: dict[tuple[str, bool, str], list[np.ndarray]] = {}
    errors: dict[str, list[np.ndarray]] = {}
    for case in CASES:
        clip = folder / case.name.replace(" ", "_").replace(",", "")
        if not (clip / "truth.npz").exists():
            continue
        for focal in (False, True):
            method = "run, focal" if focal else "run"
            seen = clip_seen(clip, options_of(case), samples, focal, kept)
            errors.setdefault(method, []).append(np.stack(frame_errors(seen)))
            for joints, every in zip(ON_CLIPS, motion_squares(seen), strict=True):
                square = every[:, list(LIMBS)]
                row = {"test": method, "condition": case.name, "joints": joints}
                yield row | {"frames": len(square)} | coverage_row(square)
                squares.setdefault((method, case.move != "static", joints), []).append(square)
    for (method, moving, joints), found in squares.items():
        square = np.concatenate(found)
        row = {"test": method, "condition": "all, moving camera" if moving else "all, still camera"}
        yield row | {"joints": joints, "frames": len(square)} | coverage_row(square)
    for method, found in errors.items():
        expected, wrong = np.concatenate(found, 1)
        row = {"test": method, "condition": "all", "joints": "all", "frames": len(wrong)}
        correlation = {"correlation_with_expected": round(float(np.corrcoef(expected, wrong)[0, 1]), 3)}
        yield row | trust_row(expected, MILLIMETRES * wrong) | correlation


def clip_seen(clip: Path, options: RunOptions, samples: int, focal: bool, kept: Path | None) -> Seen:
    """A clip's motion beside its truth, in the frames that are scored."""
    truth = read_truth(clip / "truth.npz")
    focal_px = float(truth.cameras[0].K[0, 0]) if focal else None
    options = replace(options, samples=samples, focal=focal_px)
    return motion_seen(view_of(truth, 0), keypoints_to_motion(found_in(clip, options, kept), options))


def found_in(clip: Path, options: RunOptions, kept: Path | None) -> Keypoints2D:
    """The keypoints of a clip; looked for once if there is a folder to keep them in."""
    file = None if kept is None else kept / f"{clip.name}.npz"
    if file is not None and file.exists():
        return keypoints_npz.read(file)[0]
    keypoints, _ = find_people(open_clip(clip / "camera_01.mp4"), options)
    if file is not None:
        keypoints_npz.write(keypoints, file)
    return keypoints


def main() -> None:
    """Score, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--every", type=int, default=25, help="frames between those whose samples are scored")
    parser.add_argument("--clips", type=Path, help="rendered clips of benchmarks/truth.py")
    parser.add_argument("--keypoints", type=Path, help="folder in which their keypoints are kept")
    options = parser.parse_args()
    if options.samples < 2:
        raise InputError(f"--samples is {options.samples}, expected 2 or more")
    torch.set_num_threads(1)
    rows = []
    parts = [rows_on_clips(options.clips, 2, options.keypoints)] if options.clips else []
    for part in (*parts, rows_on_views(options.samples, options.every)):
        for row in part:
            print(
                {
                    k: row.get(k)
                    for k in ("test", "condition", "joints", "coverage_50", "coverage_80", "coverage_95")
                }
            )
            rows.append(row)
    print(write_rows("uncertainty", rows))


if __name__ == "__main__":
    main()
