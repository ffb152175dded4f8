"""HumanEva-I (Sigal et al., IJCV 2010), in VideoPose3D's files: 15 joints in the world, three colour cameras, 60 Hz.

Sequences are cut into chunks where the capture failed, and named `Walking 1 chunk0`. The cameras are found from 3D
and true 2D, as for `human36m`; chunks too short or too still for that share the subject's others.

Convention: order of `HUMANEVA_15`; world Z up, metres; pictures 640 x 480.
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
from posewright.skeletons.joint_sets import HUMANEVA_15
from posewright.structures.cameras import Camera

FPS = 60.0
CAMERAS: dict[str, tuple[int, int]] = dict.fromkeys(("C1", "C2", "C3"), (640, 480))
"""Camera -> (width, height), in the order of the files."""
PREFIX = {"train": "Train/", "validate": "Validate/"}

CARD = DatasetCard(
    title="HumanEva-I in VideoPose3D's files",
    licence="HumanEva: research use, registration; no redistribution",
    obtain="Download HumanEva-I from http://humaneva.is.tue.mpg.de, then run ConvertHumanEva.m and "
    "prepare_data_humaneva.py of https://github.com/facebookresearch/VideoPose3D (see its DATASETS.md).",
    layout="root/\n  data_3d_humaneva15.npz\n  data_2d_humaneva15_gt.npz                 (for the cameras)\n"
    "  data_2d_humaneva15_detectron_pt_coco.npz  (or other detections)",
    rests_on="VideoPose3D's DATASETS.md, prepare_data_humaneva.py and humaneva_dataset.py; not verified against "
    "the real "
    "files.",
    splits=tuple(PREFIX),
    gives="world motion of 15 joints at 60 Hz; three views with camera, 2D keypoints and camera-space joints",
)


def missing(root: str | Path) -> list[str]:
    """Files that `root` lacks; the 2D files are optional."""
    return missing_files(root, "data_3d_humaneva15.npz")


def read(root: str | Path, split: str | None = None, *, keypoints: str | None = "auto") -> Iterator[Take]:
    """Read chunks, subject by subject.

    Args:
        root: folder of the `.npz` files.
        split: `train`, `validate` or None: both.
        keypoints: whose 2D: the file's ending, such as `gt` or `detectron_pt_coco`; `auto`: `gt`, or the only one;
            None: no 2D.

    Raises:
        InputError: files missing, damaged, hostile, or 2D and 3D that do not belong together.
    """
    check_split(CARD, split)
    root = require_layout(CARD, root, missing(root))
    name = default_keypoints(root, "humaneva15", keypoints)
    truth = true_keypoints(root, "humaneva15")
    detected = truth if name == "gt" else chosen_keypoints(root, "humaneva15", name)
    tree = read_positions_3d(root / "data_3d_humaneva15.npz", 15)
    for subject, chunks in tree.items():
        if split is None or subject.startswith(PREFIX[split]):
            person = subject.split("/")[-1]
            yield from _chunks(subject, chunks, _cameras_of(person, tree, truth), detected)


def _chunks(
    subject: str,
    chunks: dict[str, np.ndarray],
    cameras: list[Camera | None],
    detected: Keypoints2DFile | None,
) -> Iterator[Take]:
    person = subject.split("/")[-1]
    for name, joints in chunks.items():
        motion = motion_of(joints, HUMANEVA_15, FPS, f"data_3d_humaneva15.npz, {subject}/{name}")
        views = views_of(motion, subject, name, cameras, CAMERAS, detected)
        yield Take(f"{subject}/{name}", person, action_name(name), FPS, motion, views)


def _cameras_of(
    person: str, tree: dict[str, dict[str, np.ndarray]], truth: Keypoints2DFile | None
) -> list[Camera | None]:
    """The cameras of a person, the same in both splits, from all chunks."""
    if truth is None:
        return [None] * len(CAMERAS)
    subjects = {s: chunks for s, chunks in tree.items() if s.split("/")[-1] == person}
    motions = [(s, name, joints) for s, chunks in subjects.items() for name, joints in chunks.items()]
    return find_cameras(motions, truth, CAMERAS)
