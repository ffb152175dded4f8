"""Recorded motion: joint positions of the CMU Graphics Lab database, as npz files of one subject each.

Each file holds `positions` (N, J, 3) and `h36m17` (N, 17, 3) in metres, Z up, all sequences one after another;
`seq_start` says where each begins. The data used in this project was obtained from mocap.cs.cmu.edu. The database was
created with funding from NSF EIA-0196217.

Convention: left and right are the person's own; the floor is about z = 0; 50 frames per second.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posewright.core.errors import InputError
from posewright.datasets.takes import DatasetCard, Take, check_split, missing_files, motion_of, require_layout
from posewright.io.user_files import reading
from posewright.skeletons.joint_sets import H36M_17
from posewright.skeletons.skeleton import Skeleton

MOCAP_19 = Skeleton("mocap_19", (*H36M_17.joint_names, "left_toe", "right_toe"), (*H36M_17.parents, 6, 3))
"""What the recordings measure: H36M-17 and the tips of the big toes."""

_TOE_TIPS = (
    ("ltoes", "rtoes"),
    ("LeftToeBase_end", "RightToeBase_end"),
    ("LeftToe_end", "RightToe_end"),
    ("lFoot_end", "rFoot_end"),
)
_BALL_TO_TIP = 1.5
"""The Daz figure's foot bone ends at the ball of the foot, at about two thirds of the way from ankle to toe tip."""
CARD = DatasetCard(
    title="CMU recordings as joint positions (our own files)",
    licence="free for research and commercial use, not to be resold (mocap.cs.cmu.edu); created with funding from NSF "
    "EIA-0196217",
    obtain="The files are made from the CMU database, 50 Hz, one per subject; set POSEWRIGHT_DATA to the folder above.",
    layout="root/\n  train/cmu_*.npz\n  val/cmu_*.npz",
    rests_on="The files themselves.",
    splits=("train", "val"),
    gives="world motion of 19 joints at 50 Hz; valid frames",
)


@dataclass(frozen=True)
class MocapSequence:
    """One recorded take."""

    name: str
    """CMU subject_trial."""
    subject: str
    description: str
    """CMU's words for the action; may be empty."""
    skeleton_style: str
    """`asf`, `mb`, `max`: the subject's own bones; `daz`: one fixed figure."""
    fps: float
    joints: np.ndarray
    """(T, 19, 3) float32 metres, Z up, in the order of `MOCAP_19`."""
    valid: np.ndarray
    """(T,) bool: False next to a capture glitch."""


def mocap_folder() -> Path:
    """Folder of the recordings: `$POSEWRIGHT_DATA/mocap`, else `../shared/data/mocap` beside the repository."""
    default = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("POSEWRIGHT_DATA", default)) / "mocap"
    if not folder.is_dir():
        raise InputError(
            f"no motion recordings at {folder}: expected folders `train` and `val` of npz files; "
            "set POSEWRIGHT_DATA to the folder that holds `mocap`"
        )
    return folder


def load_mocap(split: str, folder: Path | None = None) -> list[MocapSequence]:
    """Read every sequence of a split (`train` or `val`), in the order of file names."""
    files = sorted(((folder or mocap_folder()) / split).glob("*.npz"))
    if not files:
        raise InputError(f"no npz files in {(folder or mocap_folder()) / split}: expected CMU recordings")
    return [sequence for file in files for sequence in read_mocap_file(file)]


def missing(root: str | Path) -> list[str]:
    """Files that `root` lacks: one split is enough."""
    lacking = missing_files(root, *(f"{split}/*.npz" for split in CARD.splits))
    return lacking if len(lacking) == len(CARD.splits) or not Path(root).is_dir() else []


def read(root: str | Path, split: str | None = None) -> Iterator[Take]:
    """Read the recordings as takes, as every other data set.

    Args:
        root: folder of the splits.
        split: `train`, `val` or None: what is there.
    """
    check_split(CARD, split)
    root = require_layout(
        CARD, root, missing(root) if split is None else missing_files(root, f"{split}/*.npz")
    )
    for part in CARD.splits:
        for path in sorted((root / part).glob("*.npz")) if split in (None, part) else ():
            with reading(path, "joint positions (.npz)"):
                sequences = read_mocap_file(path)
            for s in sequences:
                motion = motion_of(s.joints, MOCAP_19, s.fps, f"{path.name}, {s.name}")
                yield Take(f"{path.stem}/{s.name}", s.subject, s.description, s.fps, motion, valid=s.valid)


def read_mocap_file(path: Path) -> list[MocapSequence]:
    """Read the sequences of one subject's file."""
    with np.load(path, allow_pickle=False) as data:
        joints = np.concatenate([data["h36m17"], _toe_tips(data, path)], axis=1).astype(np.float32)
        starts, valid = data["seq_start"], data["valid"]
        return [
            MocapSequence(
                name=str(data["seq_names"][i]),
                subject=str(data["subject"]),
                description=str(data["seq_description"][i]),
                skeleton_style=str(data["skeleton"]),
                fps=float(data["fps"]),
                joints=joints[starts[i] : starts[i + 1]],
                valid=valid[starts[i] : starts[i + 1]],
            )
            for i in range(len(starts) - 1)
        ]


def _toe_tips(data, path: Path) -> np.ndarray:
    """Tips of the left and right big toe (N, 2, 3)."""
    names = [str(n) for n in data["joint_names"]]
    for left, right in _TOE_TIPS:
        if left in names:
            tips = data["positions"][:, [names.index(left), names.index(right)]]
            if str(data["skeleton"]) == "daz":
                ankles = data["h36m17"][:, [6, 3]]
                tips = ankles + _BALL_TO_TIP * (tips - ankles)
            return tips
    raise InputError(f"{path}: no toe joints known to this reader among {', '.join(names)}")
