"""Does the repair of exchanged sides help? On rendered video, where it is known which side is which.

    python benchmarks/exchanged_sides.py CLIPS

CLIPS is the folder that `posewright benchmark truth --views --keep CLIPS` fills (the `val` people; 22 clips, and 24
views by eight cameras). In every frame, a person's head, arms and legs count as exchanged where their keypoints lie
nearer to those of the other side, by more than `CLEAR` of the sides' distance; frames in which the sides lie together
do not count.
Writes results/exchanged_sides.csv: as the detector names them, and after the repair that `run` makes.
"""

import argparse
from pathlib import Path

import numpy as np
from row import write_rows

import posewright.pipelines.people as people_stage
from posewright.datasets.synth import read_truth
from posewright.io.video import open_clip
from posewright.models.tracking.left_right import repair_swaps
from posewright.pipelines.video_to_motion import RunOptions, find_people
from posewright.skeletons.joint_sets import COCO_17

GROUPS = {
    "head": ("eye", "ear"),
    "arms": ("shoulder", "elbow", "wrist"),
    "legs": ("hip", "knee", "ankle"),
}
CLEAR = 0.3


def main() -> None:
    """Look at every view of every clip."""
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__
    )
    parser.add_argument("clips", type=Path)
    rows = []
    for folder in sorted(p.parent for p in parser.parse_args().clips.glob("*/truth.npz")):
        truth = read_truth(folder / "truth.npz")
        for camera, video in enumerate(sorted(folder.glob("*.mp4"))):
            rows += compared(folder.name, video, truth.keypoints[camera]["coco_17"])
            print(rows[-3:], flush=True)
    keys = ("cases", "as_named", "repaired")
    sums = [
        {"clip": "all", "view": "", "group": group}
        | {key: sum(r[key] for r in rows if group in (r["group"], "all")) for key in keys}
        for group in (*GROUPS, "all")
    ]
    print(sums)
    print(write_rows("exchanged_sides", [*sums, *rows]))


def compared(clip: str, video: Path, truth: np.ndarray) -> list[dict]:
    """A row per group of keypoints: exchanged frames before and after."""
    named: list[np.ndarray] = []

    def recorder(positions, confidence, skeleton, fps):
        named.append(positions.copy())
        return repair_swaps(positions, confidence, skeleton, fps)

    people_stage.repair_swaps = recorder
    found, _ = find_people(open_clip(video), RunOptions())
    before = exchanged(named[-1], truth, found.skeleton)
    after = exchanged(found.positions, truth, found.skeleton)
    return [
        {"clip": clip, "view": video.stem, "group": g, "cases": after[g][1], "as_named": before[g][0]}
        | {"repaired": after[g][0]}
        for g in GROUPS
    ]


def exchanged(positions: np.ndarray, truth: np.ndarray, skeleton) -> dict[str, tuple[int, int]]:
    """Exchanged frames and all clear frames of each group, positions (T, P, K, 2), truth (T, Q, 17, 2), pixels.

    A found person is, frame by frame, the true one whose middle is nearest.
    """
    found = positions[:, :, skeleton.indices(*COCO_17.joint_names)].astype(float)
    middle, true_middle = np.nanmean(found, 2), np.nanmean(truth, 2)
    gap = np.linalg.norm(middle[:, :, None] - true_middle[:, None], axis=-1)
    there = np.isfinite(gap).any(-1)
    who = np.nan_to_num(gap, nan=np.inf).argmin(-1)
    true = np.take_along_axis(truth[:, None], who[..., None, None, None], 2)[:, :, 0]
    out = {}
    for group, names in GROUPS.items():
        left, right = (list(COCO_17.indices(*(f"{s}_{n}" for n in names))) for s in ("left", "right"))
        same = _distance(found[:, :, left + right], true[:, :, left + right])
        other = _distance(found[:, :, left + right], true[:, :, right + left])
        clear = there & (np.abs(same - other) > CLEAR * _distance(true[:, :, left], true[:, :, right]))
        out[group] = int((clear & (other < same)).sum()), int(clear.sum())
    return out


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sum of distances (T, P) over keypoints; missing ones count nothing."""
    return np.nansum(np.linalg.norm(a - b, axis=-1), axis=-1)


if __name__ == "__main__":
    main()
