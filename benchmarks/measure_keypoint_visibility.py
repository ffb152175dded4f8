"""Measure how far BlazePose's keypoints are off at each visibility that it states, as numbers for lifting.

    posewright synth -o CLIPS --split train --clips 12 --seconds 3 --occluders 1 --seed 11
    posewright synth -o CLIPS2 --split train --clips 4 --seconds 3 --people 2 --occluders 1 --seed 12
    python benchmarks/measure_keypoint_visibility.py CLIPS CLIPS2  ->  posewright/pipelines/blazepose_visibility.json

BlazePose gives a limb behind the body, or behind a box, a low visibility, and still says where it is. How well differs:
an elbow behind the back is a few percent of the person's size off, an ankle behind a box may be anywhere. Rendered
people (recordings of `train` only) show it, because there the truth of hidden joints is known.

Per kind of keypoint (left and right together), for each of `VISIBILITY`'s bins: the mean distance from the truth, in
parts of the person's size (longer side of the box of its keypoints), errors over 20 % counting as 20 %; made to fall
with visibility; bins with fewer than 30 cases take their neighbour's. Keypoints out of the picture do not count.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from posewright.core.errors import InputError
from posewright.datasets.synth import read_truth
from posewright.evaluate.video import ViewTruth, score_keypoints
from posewright.io.video import open_clip
from posewright.pipelines.video_to_motion import RunOptions, find_people
from posewright.skeletons.joint_sets import MEDIAPIPE_33

OUTPUT = Path(__file__).resolve().parent.parent / "posewright" / "pipelines" / "blazepose_visibility.json"
VISIBILITY = (0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0)
WORST = 0.2
LEAST_CASES = 30


def main() -> None:
    """Measure every clip and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, help="data sets made by `posewright synth`")
    arguments = parser.parse_args()
    clips = [clip for folder in arguments.folders for clip in sorted(folder.glob("clip_*"))]
    if not clips:
        raise InputError(
            f"no clips in {', '.join(map(str, arguments.folders))}: make some with posewright synth"
        )
    cases = np.concatenate([measure(clip) for clip in clips])
    kinds = [name.removeprefix("left_").removeprefix("right_") for name in MEDIAPIPE_33.joint_names]
    table = {
        kind: [round(float(e), 4) for e in error_by_visibility(cases[cases[:, 0] == kinds.index(kind)])]
        for kind in dict.fromkeys(kinds)
    }
    middles = [round((a + b) / 2, 4) for a, b in zip(VISIBILITY[:-1], VISIBILITY[1:], strict=True)]
    found = {
        "about": __doc__,
        "clips": len(clips),
        "cases": len(cases),
        "visibility": middles,
        "error": table,
    }
    OUTPUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(table, indent=1))


def measure(clip: Path) -> np.ndarray:
    """Return (N, 3): kind of keypoint, its visibility, its error, of everybody found in a clip's first camera."""
    truth = read_truth(clip / "truth.npz")
    points = truth.keypoints[0]
    view = ViewTruth(
        truth.fps,
        truth.joints["rig_26"],
        truth.contacts,
        truth.cameras[0],
        points["coco_17"].astype(np.float64),
        truth.visible[0]["coco_17"],
        truth.visible_share[0],
    )
    try:
        found, _ = find_people(open_clip(clip / "camera_01.mp4"), RunOptions())
    except InputError:
        return np.zeros((0, 3))
    match, _ = score_keypoints(view, found)
    size = np.ptp(points["coco_17"], axis=2).max(-1)
    names = MEDIAPIPE_33.joint_names
    first = [names.index(f"left_{n[6:]}") if n.startswith("right_") else i for i, n in enumerate(names)]
    pixels = points["mediapipe_33"]
    inside = np.asarray(((pixels >= 0) & (pixels < truth.cameras[0].image_size)).all(-1))
    out = []
    for p in range(truth.num_people):
        frames = np.flatnonzero(match.found()[:, p])
        who = match.estimate[frames, p]
        error = np.linalg.norm(found.positions[frames, who] - points["mediapipe_33"][frames, p], axis=-1)
        rows = np.stack(
            [
                np.broadcast_to(first, error.shape),
                found.confidence[frames, who],
                error / size[frames, p, None],
            ],
            -1,
        )
        out.append(rows[inside[frames, p] & np.isfinite(rows).all(-1)])
    return np.concatenate(out)


def error_by_visibility(cases: np.ndarray) -> np.ndarray:
    """Mean error in each bin of visibility, falling."""
    bins = np.clip(np.digitize(cases[:, 1], VISIBILITY) - 1, 0, len(VISIBILITY) - 2)
    count = np.bincount(bins, minlength=len(VISIBILITY) - 1)
    total = np.bincount(bins, np.minimum(cases[:, 2], WORST), minlength=len(VISIBILITY) - 1)
    known = np.flatnonzero(count >= LEAST_CASES)
    if not len(known):
        raise InputError("too few keypoints were found to measure anything: make more clips")
    mean = np.interp(np.arange(len(count)), known, total[known] / count[known])
    return np.maximum.accumulate(mean[::-1])[::-1]


if __name__ == "__main__":
    main()
