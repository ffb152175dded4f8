"""Human3.6M (Ionescu et al., PAMI 2014), in VideoPose3D's files: 3D in the world, 2D of four cameras, 50 Hz.

The cameras are not in these files. They are found from them: the ground-truth keypoints are exact projections of
the 3D joints, so that each subject's four cameras follow from the pairs (`camera_fit`), to a few hundredths of a
pixel. Without `data_2d_h36m_gt.npz` there are no cameras and no joints in camera axes.

Convention: 17 joints in the order of `H36M_17`, taken from the file's 32; world Z up, metres; pictures 1000 wide
and 1002 (first and last camera) or 1000 high.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from posewright.datasets.takes import DatasetCard, Take, check_split, missing_files, motion_of, require_layout
from posewright.datasets.videopose3d_files import (
    Keypoints2DFile,
    chosen_keypoints,
    default_keypoints,
    find_cameras,
    read_positions_3d,
    true_keypoints,
    views_of,
)
from posewright.metrics.averaging import action_name
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.cameras import Camera

FPS = 50.0
SUBJECTS = {"train": ("S1", "S5", "S6", "S7", "S8"), "test": ("S9", "S11")}
KEPT = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""The 17 joints that move, among the 32 of Human3.6M's own skeleton, in the order of `H36M_17`."""
CAMERAS = {
    "54138969": (1000, 1002),
    "55011271": (1000, 1000),
    "58860488": (1000, 1000),
    "60457274": (1000, 1002),
}
"""Camera -> (width, height), in the order of the files."""
FRAMES_FOR_CAMERAS = 24
"""Frames per sequence, spread evenly, that the cameras are found from."""

CARD = DatasetCard(
    title="Human3.6M in VideoPose3D's files",
    licence="Human3.6M: academic use only, registration; no redistribution",
    obtain="Register at http://vision.imar.ro/human3.6m, download 'Poses > D3 Positions', then run "
    "prepare_data_h36m.py of https://github.com/facebookresearch/VideoPose3D (see its DATASETS.md, also for the CPN "
    "keypoints).",
    layout="root/\n  data_3d_h36m.npz\n  data_2d_h36m_gt.npz               (for the cameras)\n"
    "  data_2d_h36m_cpn_ft_h36m_dbb.npz  (or other detections)",
    rests_on="VideoPose3D's DATASETS.md, prepare_data_h36m.py and h36m_dataset.py; not verified against the real "
    "files.",
    splits=tuple(SUBJECTS),
    gives="world motion of 17 joints at 50 Hz; four views with camera, 2D keypoints (true or detected) and "
    "camera-space "
    "joints",
)


def missing(root: str | Path) -> list[str]:
    """Files that `root` lacks; the 2D files are optional."""
    return missing_files(root, "data_3d_h36m.npz")


def read(root: str | Path, split: str | None = None, *, keypoints: str | None = "auto") -> Iterator[Take]:
    """Read takes, subject by subject.

    Args:
        root: folder of the `.npz` files.
        split: `train` (S1, S5, S6, S7, S8), `test` (S9, S11) or None: every subject there is.
        keypoints: whose 2D: the file's ending, such as `gt` or `cpn_ft_h36m_dbb`; `auto`: `gt`, or the only one;
            None: no 2D.

    Raises:
        InputError: files missing, damaged, hostile, or 2D and 3D that do not belong together.
    """
    check_split(CARD, split)
    root = require_layout(CARD, root, missing(root))
    name = default_keypoints(root, "h36m", keypoints)
    truth = true_keypoints(root, "h36m")
    detected = truth if name == "gt" else chosen_keypoints(root, "h36m", name)
    for subject, actions in read_positions_3d(root / "data_3d_h36m.npz", 32).items():
        if split is None or subject in SUBJECTS[split]:
            yield from _subject(subject, {a: p[:, KEPT] for a, p in actions.items()}, truth, detected)


def _subject(
    subject: str,
    actions: dict[str, np.ndarray],
    truth: Keypoints2DFile | None,
    detected: Keypoints2DFile | None,
) -> Iterator[Take]:
    cameras: list[Camera | None] = [None] * len(CAMERAS)
    if truth:
        motions = [(subject, action, joints) for action, joints in actions.items()]
        cameras = find_cameras(motions, truth, CAMERAS, FRAMES_FOR_CAMERAS)
    for action, joints in actions.items():
        motion = motion_of(joints, H36M_17, FPS, f"data_3d_h36m.npz, {subject}/{action}")
        views = views_of(motion, subject, action, cameras, CAMERAS, detected)
        yield Take(f"{subject}/{action}", subject, action_name(action), FPS, motion, views)
