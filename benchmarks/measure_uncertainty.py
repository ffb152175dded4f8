"""Measure by how much the lifter's expected errors are too small for BlazePose's keypoints, on rendered people.

    posewright synth -o CLIPS --split train --clips 12 --seconds 3 --occluders 1 --seed 11
    posewright synth -o CLIPS2 --split train --clips 4 --seconds 3 --people 2 --occluders 1 --seed 12
    python benchmarks/measure_uncertainty.py CLIPS CLIPS2  ->  posewright/pipelines/blazepose_uncertainty.json

Every clip goes through the whole `run`, with its focal length and without. One factor for each group of joints
(split conformal, at 80 %), relative to the pelvis, both together; and one for the pelvis' place, with the focal length
given: without it, what is not known of the distance is the focal length. What is found multiplies the factors that are
in the file: begin with all 1 to see the coverage without them. The clips are those that
`measure_keypoint_visibility.py` was made with; `benchmarks/uncertainty.py --clips` tests on rendered people of `val`.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from truth import view_of

from posewright.core.errors import InputError
from posewright.datasets.synth import read_truth
from posewright.evaluate.uncertainty import CALIBRATED_AT, GROUPS
from posewright.evaluate.uncertainty_in_video import motion_seen, motion_squares
from posewright.io import keypoints_npz
from posewright.io.video import open_clip
from posewright.metrics.calibration import LEVELS, conformal_factor, coverage, levels_of
from posewright.pipelines import detector_errors
from posewright.pipelines.video_to_motion import RunOptions, find_people, keypoints_to_motion
from posewright.skeletons.joint_sets import RIG_26

OUTPUT = Path(detector_errors.__file__).with_name(detector_errors.FILE)


def main() -> None:
    """Measure every clip and write the factors."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, help="data sets made by `posewright synth`")
    parser.add_argument("--keypoints", type=Path, help="folder in which the clips' keypoints are kept")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clips = [clip for folder in arguments.folders for clip in sorted(folder.glob("clip_*"))]
    if not clips:
        raise InputError(
            f"no clips in {', '.join(map(str, arguments.folders))}: make some with posewright synth"
        )
    poses, places = measure(clips, arguments.keypoints)
    present = json.loads(OUTPUT.read_text("utf-8"))["factors"]
    names = {g: [n for n in joints if n in RIG_26.joint_names] for g, joints in GROUPS.items()}
    squares = {g: poses[:, RIG_26.indices(*joints)] for g, joints in names.items()}
    squares[detector_errors.PELVIS] = places[:, 0]
    more = {g: float(conformal_factor(square, CALIBRATED_AT)) for g, square in squares.items()}
    factors = {g: present[g] * factor for g, factor in more.items()}
    shares = coverage(levels_of(poses[:, 1:].ravel())) / 100
    found = {
        "about": __doc__,
        "clips": len(clips),
        "frames": len(places),
        "coverage_before": {str(p): round(float(c), 4) for p, c in zip(LEVELS, shares, strict=True)},
        "factors": {g: round(f, 4) for g, f in factors.items()},
    }
    OUTPUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in found.items() if k != "about"}, indent=1))


def measure(clips: list[Path], kept: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances (N, 26) of poses, with and without focal length, and (M, 26) of places, with it."""
    found = [squares(clip, focal, kept) for clip in clips for focal in (True, False)]
    return np.concatenate([pose for pose, _ in found]), np.concatenate([place for _, place in found[::2]])


def squares(clip: Path, focal: bool, kept: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances of a clip's poses and places; none where nobody is found."""
    truth = read_truth(clip / "truth.npz")
    options = RunOptions(samples=1)
    if focal:
        options = replace(options, focal=float(truth.cameras[0].K[0, 0]))
    file = None if kept is None else kept / f"{clip.parent.name}_{clip.name}.npz"
    if file is not None and file.exists():
        keypoints = keypoints_npz.read(file)[0]
    else:
        try:
            keypoints, _ = find_people(open_clip(clip / "camera_01.mp4"), options)
        except InputError:
            return np.zeros((0, 26)), np.zeros((0, 26))
        if file is not None:
            keypoints_npz.write(keypoints, file)
    return motion_squares(motion_seen(view_of(truth, 0), keypoints_to_motion(keypoints, options)))


if __name__ == "__main__":
    main()
