"""How good is `run` on video whose truth is known? Recorded motion on rendered bodies, filmed by virtual cameras.

    posewright benchmark truth [--clips NAME ...] [--keep FOLDER] [--views] [--picture FILE]

The recordings are `val`'s (CMU; nobody in them was in training), put on Anny bodies with clothes and hair
(`datasets.synth`), in rooms and in the open, filmed at 1280 x 720 and 30 frames a second with sensor noise: from the
front, the side, behind and above, one and two people, behind boxes, by moving cameras. `val` holds walking, running,
basketball (with jump shots) and gestures; no dance. Every clip then goes through `posewright run` as a user runs it:

  run              default options (`--camera moving` where it moves): the focal length is guessed
  run, focal       with the true focal length
  lifting alone    the exact keypoints of the clip instead of those found in the pictures, true focal length: what is
                   left when nothing is wrong in 2D

and, with `--views`, three clips are filmed by 8 cameras and triangulated from 2, 4 and 8 of them (`multiview`).
Beside them stand MediaPipe's own world landmarks (0.10.21, its defaults, one person), recorded on these clips by
`benchmarks/record_mediapipe.py` into `mediapipe_on_truth/`.

Scores as `posewright/evaluate/video.py` says (deployable: nothing is aligned or scaled unless a score's name says
so). Writes results/truth.csv, a row per clip and method, and results/truth_means.csv, a mean per condition.
"""

import argparse
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from row import write_rows

from posewright.core.errors import InputError
from posewright.datasets.mocap import MocapSequence, load_mocap
from posewright.datasets.synth import CameraPlan, ClipPlan, ClipTruth, Performer, make_clip, read_truth
from posewright.datasets.synth.truth import keypoints_of
from posewright.evaluate.video import (
    LIMBS,
    SEEN,
    ViewTruth,
    camera_scores,
    in_camera,
    mean_scores,
    score_keypoints,
    score_motion,
)
from posewright.io import keypoints_npz
from posewright.io.video import open_clip
from posewright.metrics.position import pa_mpjpe
from posewright.pipelines.multiview_to_motion import estimate_multiview
from posewright.pipelines.video_to_motion import RunOptions, find_people, keypoints_to_motion
from posewright.skeletons.joint_sets import COCO_17, MEDIAPIPE_33, RIG_26
from posewright.structures.cameras import CameraRig
from posewright.structures.keypoints import Keypoints2D
from posewright.structures.motion import Motion
from posewright.viewer.overlay import draw_keypoints

SECONDS = 3.5
VIEWS = {"front": 0.0, "front left": 0.7, "side": math.pi / 2, "back": math.pi, "back right": -2.3}
"""Azimuth of the camera, radians."""
HIGH = 0.75
"""Pitch of the high camera, radians (43 degrees)."""
SHAPES = (
    (0.05, 0.67, 0.55, 0.5, 0.40, 0.5),
    (0.92, 0.67, 0.45, 0.5, 0.38, 0.5),
    (0.10, 0.80, 0.45, 0.62, 0.36, 0.5),
    (0.85, 0.67, 0.50, 0.45, 0.34, 0.5),
    (0.00, 0.67, 0.60, 0.5, 0.46, 0.5),
)
"""Bodies of adults from 1.61 to 1.87 m: gender (0 a man), age, muscle, weight, height, proportions."""


@dataclass(frozen=True)
class Case:
    """A clip of the list."""

    name: str
    condition: str
    takes: tuple[tuple[str, float], ...]
    """Recording and second it starts at, of each person."""
    view: str = "front"
    pitch: float = 0.1
    move: str = "static"
    occluders: int = 0
    place: str = "room"
    focal: float = 0.785


CASES = (
    Case("walk front", "front", (("35_01", 0.0),)),
    Case("walk side", "side", (("35_05", 0.0),), "side", place="open_air"),
    Case("walk back", "back", (("29_01", 3.0),), "back"),
    Case("walk high", "high", (("35_08", 0.0),), "front left", HIGH, place="open_air"),
    Case("run front", "front", (("35_17", 0.0),), "front left", place="open_air"),
    Case("run side", "side", (("35_22", 0.0),), "side", place="open_air"),
    Case("basketball front", "front", (("06_13", 4.0),)),
    Case("basketball side", "side", (("06_13", 20.0),), "side"),
    Case("basketball back", "back", (("06_12", 2.0),), "back right", place="open_air"),
    Case("basketball high", "high", (("06_10", 3.0),), "front", HIGH),
    Case("jump shot front", "front", (("06_15", 1.0),), focal=1.1),
    Case("jump shot side", "side", (("06_14", 0.5),), "side", focal=1.1),
    Case("laugh front", "front", (("14_19", 4.0),), focal=1.1),
    Case("laugh back", "back", (("14_19", 12.0),), "back right", focal=1.1),
    Case("walk behind boxes", "occluders", (("29_01", 1.0),), occluders=2),
    Case("basketball behind boxes", "occluders", (("06_13", 12.0),), "front left", occluders=2),
    Case("two walk", "two people", (("35_02", 0.0), ("29_01", 2.0)), "side"),
    Case("two play", "two people", (("06_13", 8.0), ("06_13", 28.0)), "front left"),
    Case("walk and laugh", "two people", (("35_10", 0.0), ("14_19", 8.0)), "front", place="open_air"),
    Case("walk, hand-held", "moving camera", (("29_01", 4.0),), "front left", move="handheld"),
    Case("basketball, orbit", "moving camera", (("06_13", 16.0),), "front", move="orbit"),
    Case("walk, dolly", "moving camera", (("35_28", 0.0),), "side", move="dolly", place="open_air"),
)
RECORDED = Path(__file__).resolve().parent / "mediapipe_on_truth"
WORST_SHOWN = 4
CEILING = ("basketball front", "jump shot front", "two play")
"""Clips that eight cameras film."""


def main() -> None:
    """Make the clips, run them, write the tables."""
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__
    )
    parser.add_argument("--clips", nargs="*", help="only these, by the beginning of their name")
    parser.add_argument("--keep", type=Path, help="folder in which the clips are kept and found again")
    parser.add_argument("--views", action="store_true", help="also triangulate from 2, 4 and 8 cameras")
    parser.add_argument(
        "--picture", type=Path, help="also draw the worst frames of the worst clips into this file"
    )
    arguments = parser.parse_args()
    cases = [c for c in CASES if not arguments.clips or c.name.startswith(tuple(arguments.clips))]
    if not cases:
        raise InputError(f"no clip begins so; there are: {', '.join(c.name for c in CASES)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        rows = [row for case in cases for row in score_case(case, folder, RECORDED)]
        if arguments.views:
            rows += [row for case in cases if case.name in CEILING for row in ceiling(case, folder)]
        if arguments.picture:
            draw_worst(rows, cases, folder, arguments.picture)
    print(write_rows("truth", rows))
    print(write_rows("truth_means", means(rows)))


def score_case(case: Case, folder: Path, recorded: Path) -> Iterator[dict]:
    """One row per method."""
    clip = obtain(case, folder, (planned_camera(case),))
    truth = read_truth(clip / "truth.npz")
    view = view_of(truth, 0)
    focal = float(truth.cameras[0].K[0, 0])
    options = options_of(case)
    try:
        found, _ = find_people(open_clip(clip / "camera_01.mp4"), options)
    except InputError:
        found = nobody(truth)
    exact = exact_keypoints(truth, 0)
    methods = {
        "run": (found, options),
        "run, focal": (found, replace(options, focal=focal)),
        "lifting alone": (exact, replace(options, focal=focal)),
    }
    for method, (keypoints, chosen) in methods.items():
        motion = keypoints_to_motion(keypoints, chosen)
        yield described(case, method, view, motion)
    if (recorded / f"{clip.name}.npz").exists():
        yield mediapipe_row(case, view, recorded / f"{clip.name}.npz")


def options_of(case: Case) -> RunOptions:
    """Options of `run` as a user would give them."""
    return RunOptions(camera="static" if case.move == "static" else "moving")


def described(case: Case, method: str, view: ViewTruth, motion: Motion) -> dict:
    """Scores of a motion as a row."""
    assert motion.keypoints is not None
    match, finding = score_keypoints(view, motion.keypoints)
    row = {"clip": case.name, "condition": case.condition, "method": method}
    row |= rounded(finding | score_motion(view, motion, match))
    print(
        {
            k: row[k]
            for k in ("clip", "method", "detection_percent", "error_percent", "mpjpe_mm", "pa_mpjpe_mm")
        }
    )
    return row


def ceiling(case: Case, folder: Path) -> Iterator[dict]:
    """Triangulation from 2, 4 and 8 cameras around the clip."""
    around = tuple(
        replace(planned_camera(case), azimuth=planned_camera(case).azimuth + k * 2 * math.pi / 8)
        for k in range(8)
    )
    clip = obtain(replace(case, name=f"{case.name} by 8"), folder, around)
    truth = read_truth(clip / "truth.npz")
    views = [find_people(open_clip(clip / f"camera_{c + 1:02d}.mp4"), RunOptions())[0] for c in range(8)]
    for chosen in ((0, 2), (0, 2, 4, 6), tuple(range(8))):
        rig = CameraRig(tuple(truth.cameras[c] for c in chosen))
        with tempfile.TemporaryDirectory() as temporary:
            sources = [Path(temporary) / f"{c}.npz" for c in chosen]
            for source, c in zip(sources, chosen, strict=True):
                keypoints_npz.write(views[c], source)
            motion = estimate_multiview(sources, rig, RunOptions(people=truth.num_people))
        yield described_in_world(case, f"{len(chosen)} views", truth, motion)


def described_in_world(case: Case, method: str, truth: ClipTruth, motion: Motion) -> dict:
    """Scores of a motion that is in the truth's own world: people are matched in the first camera."""
    view = view_of(truth, 0)
    camera = truth.cameras[0]
    joints = np.full((*motion.joints.shape[:2], len(COCO_17), 3), np.nan, np.float32)
    for j, name in enumerate(COCO_17.joint_names):
        if name in motion.skeleton.joint_names:
            joints[:, :, j] = motion.joints[:, :, motion.skeleton.index(name)]
    projected = keypoints_of({"coco_17": joints}, camera)["coco_17"]
    keypoints = Keypoints2D(
        COCO_17,
        projected,
        np.asarray(np.isfinite(projected).all(-1), np.float32),
        camera.image_size,
        truth.fps,
    )
    return described(case, method, view, replace(motion, keypoints=keypoints, camera=camera))


def obtain(case: Case, folder: Path, cameras: tuple[CameraPlan, ...]) -> Path:
    """Folder of a clip, made if it is not there yet."""
    clip = folder / case.name.replace(" ", "_").replace(",", "")
    if not (clip / "truth.npz").exists():
        clip.mkdir(parents=True, exist_ok=True)
        make_clip(plan_of(case, cameras), clip, renderer="auto")
    return clip


def plan_of(case: Case, cameras: tuple[CameraPlan, ...]) -> ClipPlan:
    """Everything that a clip shows."""
    number = next(i for i, c in enumerate(CASES) if case.name.startswith(c.name))
    takes = {sequence.name: sequence for sequence in load_mocap("val")}
    apart = (0.0, 0.0) if len(case.takes) == 1 else (-0.7, 0.0)
    performers = tuple(
        Performer(
            takes[name],
            start,
            min(start + SECONDS, duration(takes[name])),
            offset=(apart[0] + 1.4 * place, 0.5 * place),
            turn=0.0,
            betas=SHAPES[(number + place) % len(SHAPES)],
            look_seed=10 * number + place,
        )
        for place, (name, start) in enumerate(case.takes)
    )
    return ClipPlan(
        performers, cameras, place=case.place, scene_seed=number, occluders=case.occluders, sensor_seed=number,
        action=case.name,
    )  # fmt: skip


def duration(sequence: MocapSequence) -> float:
    """Seconds of a recording."""
    return len(sequence.joints) / sequence.fps


def planned_camera(case: Case) -> CameraPlan:
    """The camera of a case, far enough to show everything all the time."""
    return CameraPlan(VIEWS[case.view], case.pitch, case.focal, move=case.move, seed=7)


def view_of(truth: ClipTruth, camera: int) -> ViewTruth:
    """One camera's truth, as the scores want it."""
    return ViewTruth(
        truth.fps,
        truth.joints["rig_26"],
        truth.contacts,
        truth.cameras[camera],
        truth.keypoints[camera]["coco_17"].astype(np.float64),
        truth.visible[camera]["coco_17"],
        truth.visible_share[camera],
    )


def exact_keypoints(truth: ClipTruth, camera: int) -> Keypoints2D:
    """The 33 keypoints of the detector, where they truly are; those hidden by others are missing."""
    points = truth.keypoints[camera]["mediapipe_33"]
    sure = truth.visible[camera]["mediapipe_33"] & np.isfinite(points).all(-1)
    positions = np.where(sure[..., None], points, np.nan).astype(np.float32)
    size = truth.cameras[camera].image_size
    return Keypoints2D(MEDIAPIPE_33, positions, sure.astype(np.float32), size, truth.fps)


def nobody(truth: ClipTruth) -> Keypoints2D:
    """Keypoints of no people."""
    T = truth.num_frames
    return Keypoints2D(
        MEDIAPIPE_33, np.zeros((T, 0, 33, 2), np.float32), np.zeros((T, 0, 33), np.float32),
        truth.cameras[0].image_size, truth.fps,
    )  # fmt: skip


def mediapipe_row(case: Case, view: ViewTruth, recorded: Path) -> dict:
    """MediaPipe's world landmarks: relative to the hips, so that only poses can be scored."""
    with np.load(recorded, allow_pickle=False) as data:
        found = data["found"]
        world = np.where(found[:, None, None], data["world"].astype(np.float64), np.nan)
        pixels = np.where(
            found[:, None, None], data["landmarks"] * data["image_size"].astype(np.float64), np.nan
        )
    keypoints = Keypoints2D(
        MEDIAPIPE_33, pixels[:, None, :, :2].astype(np.float32), np.tile(found[:, None, None], (1, 1, 33)).astype(
            np.float32
        ), view.camera.image_size, view.fps,
    )  # fmt: skip
    match, finding = score_keypoints(view, keypoints)
    scored = match.found() & (view.visible_share >= SEEN)
    limbs = np.where(scored[..., None, None], world[:, None, MEDIAPIPE_33.indices(*LIMBS)], np.nan)
    truth = np.where(
        np.isfinite(limbs), in_camera(view.joints[:, :, RIG_26.indices(*LIMBS)], view.camera), np.nan
    )
    scores = camera_scores(limbs, truth, view.fps)
    del scores["mrpe_mm"]  # it does not say where a person is
    counted = {"frames": int(np.isfinite(limbs).all((-1, -2)).sum())}
    row = {"clip": case.name, "condition": case.condition, "method": "MediaPipe 0.10.21"}
    return row | rounded(finding | counted | scores)


def rounded(scores: dict[str, float]) -> dict[str, float | int]:
    """Three figures after the point are plenty."""
    return {k: v if isinstance(v, int) else round(float(v), 3) for k, v in scores.items()}


def draw_worst(rows: list[dict], cases: list[Case], folder: Path, path: Path) -> None:
    """Draw what `run` found in the worst frame of each of the worst clips, the person in the middle."""
    of_run = sorted((r for r in rows if r["method"] == "run"), key=lambda r: -r["pa_mpjpe_mm"])
    pictures = []
    for row in of_run[:WORST_SHOWN]:
        case = next(c for c in cases if c.name == row["clip"])
        clip = obtain(case, folder, (planned_camera(case),))
        truth = read_truth(clip / "truth.npz")
        view = view_of(truth, 0)
        found, _ = find_people(open_clip(clip / "camera_01.mp4"), options_of(case))
        motion = keypoints_to_motion(found, options_of(case))
        frame, middle, half = worst_frame(view, motion)
        image = next(f.image for f in open_clip(clip / "camera_01.mp4") if f.index == frame)
        drawn = draw_keypoints(np.ascontiguousarray(image), found, frame)
        padded = cv2.copyMakeBorder(drawn, half, half, half, half, cv2.BORDER_REPLICATE)
        x, y = middle.astype(int).tolist()
        part = cv2.resize(
            padded[y : y + 2 * half, x : x + 2 * half], (400, 400), interpolation=cv2.INTER_AREA
        )
        label = f"{case.name}: {row['pa_mpjpe_mm']:.0f} mm"
        pictures.append(cv2.putText(part, label, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2))
    cv2.imwrite(str(path), np.hstack(pictures)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])


def worst_frame(view: ViewTruth, motion: Motion) -> tuple[int, np.ndarray, int]:
    """Frame with the largest PA-MPJPE, the middle of that person in the picture, and half the side of a square."""
    assert motion.keypoints is not None
    assert motion.camera is not None
    match, _ = score_keypoints(view, motion.keypoints)
    limbs = RIG_26.indices(*LIMBS)
    truth = in_camera(view.joints[:, :, limbs].astype(float), view.camera)
    frames = np.arange(len(truth))[:, None]
    found = in_camera(motion.joints[:, :, limbs].astype(float), motion.camera)[
        frames, np.maximum(match.estimate, 0)
    ]
    error = np.where(match.found() & (view.visible_share >= SEEN), pa_mpjpe(np.nan_to_num(found), truth), -1)
    frame, person = np.unravel_index(np.nan_to_num(error, nan=-1).argmax(), error.shape)
    points = view.keypoints[frame, person]
    low, high = np.nanmin(points, 0), np.nanmax(points, 0)
    return int(frame), (low + high) / 2, int(0.65 * (high - low).max())


def means(rows: list[dict]) -> list[dict]:
    """Mean of every condition and method, each clip counting by its frames; `all` holds every clip once."""
    out = []
    for method in dict.fromkeys(r["method"] for r in rows):
        mine = [r for r in rows if r["method"] == method]
        groups = [("all", mine)] + [
            (condition, [r for r in mine if r["condition"] == condition])
            for condition in dict.fromkeys(r["condition"] for r in mine)
        ]
        for condition, group in groups:
            scores = [{k: v for k, v in r.items() if k not in ("clip", "condition", "method")} for r in group]
            keys = dict.fromkeys(k for r in scores for k in r)
            filled = [{k: r.get(k, np.nan) for k in keys} for r in scores]
            out.append(
                {
                    "method": method,
                    "condition": condition,
                    "clips": len(group),
                    **rounded(mean_scores(filled)),
                }
            )
    return out


if __name__ == "__main__":
    main()
