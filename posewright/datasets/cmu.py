"""CMU Graphics Lab Motion Capture Database: Acclaim (ASF/AMC) as recorded, or BVH conversions, 120 Hz.

`subjects/05/05.asf` and `05_13.amc`, as mocap.cs.cmu.edu offers them; or `.bvh` files named alike, such as B.
Hahne's. The subject and trial are in the file name.

Convention: each recording's own skeleton, with rotations; metres, Z up. AMC files do not say their rate: 120 Hz
(subjects 60 and 61 were recorded at 60). BVH conversions begin with a T-pose, which is left out.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from posewright.datasets.takes import DatasetCard, Take, check_split, missing_files, require_layout
from posewright.io import amc, bvh

FPS = 120.0
SLOW_SUBJECTS = {"60": 60.0, "61": 60.0}
"""Recorded at 60 Hz, whatever their BVH headers say."""

CARD = DatasetCard(
    title="CMU Graphics Lab Motion Capture Database",
    licence="free for research and commercial use, not to be resold (mocap.cs.cmu.edu); created with funding from NSF "
    "EIA-0196217",
    obtain="Download all subjects as ASF/AMC from http://mocap.cs.cmu.edu, or a BVH conversion.",
    layout="root/\n  **/05.asf and **/05_13.amc   (the skeleton beside its motions)\n  or **/05_13.bvh",
    rests_on="Files of the database in both forms, read and compared (subjects 5, 10, 131).",
    splits=("all",),
    gives="world motion with rotations and rest pose, the recording's own skeleton",
)


def missing(root: str | Path) -> list[str]:
    """Files that `root` lacks: motions in either form."""
    found = [missing_files(root, pattern) for pattern in ("**/*.amc", "**/*.bvh")]
    return [] if not all(found) else [*found[0], *found[1]] if Path(root).is_dir() else found[0]


def read(root: str | Path, split: str | None = None, *, t_pose_frames: int = 1) -> Iterator[Take]:
    """Read motions, file by file, in order of name.

    Args:
        root: folder of the database, at any depth.
        split: `all` or None.
        t_pose_frames: frames at the start of BVH files that are a T-pose and not motion.

    Raises:
        InputError: files missing or damaged, or a skeleton that is not beside its motion.
    """
    check_split(CARD, split)
    root = require_layout(CARD, root, missing(root))
    for path in sorted([*root.glob("**/*.amc"), *root.glob("**/*.bvh")]):
        subject, trial = _subject_and_trial(path)
        rate = SLOW_SUBJECTS.get(subject, FPS)
        if path.suffix == ".amc":
            motion = amc.read(path, fps=rate)
        else:
            motion = bvh.read(path, skip_frames=t_pose_frames)
            if subject in SLOW_SUBJECTS and motion.fps != rate:
                motion = motion.noted(f"{rate:g} Hz instead of the header's {motion.fps:g}", fps=rate)
        yield Take(path.relative_to(root).as_posix(), subject, trial, motion.fps, motion)


def _subject_and_trial(path: Path) -> tuple[str, str]:
    """`05_13` -> ("5", "13"), whatever stands around it (`cmu_05_13_daz`); else the folder's and the file's name."""
    match = re.search(r"(?<!\d)(\d{1,3})_(\d{1,3})(?!\d)", path.stem)
    return (str(int(match[1])), match[2]) if match else (path.parent.name, path.stem)
