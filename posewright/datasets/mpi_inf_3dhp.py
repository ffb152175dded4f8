"""MPI-INF-3DHP (Mehta et al., 3DV 2017), in P-STMO's files: 17 joints and 2D, camera axes.

`data_train_3dhp.npz`: `data`, a pickled dictionary `S1 Seq1` -> [camera -> {data_2d (T, 17, 2), data_3d (T, 17,
3)}, frames per second]; eight of the fourteen cameras. `data_test_3dhp.npz`: `TS1` -> {data_2d, data_3d, valid}.
The 3D is the universal skeleton's (`univ_annot3`: people scaled to one knee-to-neck height), millimetres, camera
axes; some works rebuild the files with the true sizes (`annot3`), which look the same.

Convention: order of `MPI_17`, root at 14; metres, camera axes, at their place before the camera; pictures 2048 x
2048, TS5 and TS6 1920 x 1080. The cameras' intrinsics follow from the pairs of 3D and 2D where `cameras=True`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from posewright.core.safe_pickle import read_object_npz
from posewright.datasets.camera_fit import fit_camera
from posewright.datasets.takes import (
    DatasetCard,
    Take,
    View,
    camera_joints_of,
    check_split,
    keypoints_of,
    missing_files,
    require_layout,
)
from posewright.io.user_files import expect, reading
from posewright.skeletons.joint_sets import MPI_17
from posewright.structures.cameras import Camera

FILES = {"train": "data_train_3dhp.npz", "test": "data_test_3dhp.npz"}
OUTDOORS = ("TS5", "TS6")
TEST_FPS = 25.0
"""The file does not say; the test videos are published at 25 frames per second."""

CARD = DatasetCard(
    title="MPI-INF-3DHP in P-STMO's files",
    licence="MPI-INF-3DHP: non-commercial research; no redistribution",
    obtain="Download from https://vcai.mpi-inf.mpg.de/3dhp-dataset, then run data_to_npz_3dhp.py and "
    "data_to_npz_3dhp_test.py of https://github.com/paTRICK-swk/P-STMO (also in TaatiTeam/MotionAGFormer).",
    layout="root/\n  data_train_3dhp.npz\n  data_test_3dhp.npz",
    rests_on="The scripts that write the files (data_to_npz_3dhp*.py in TaatiTeam/MotionAGFormer) and P-STMO's "
    "loader; not "
    "verified against the real files. The frame rate of the test set is assumed.",
    splits=tuple(FILES),
    gives="camera-space joints (universal skeleton) and 2D keypoints per camera; valid frames of the test set",
)


def missing(root: str | Path) -> list[str]:
    """Files that `root` lacks: one of the two is enough to read its split."""
    lacking = missing_files(root, *FILES.values())
    return [] if len(lacking) == 1 and Path(root).is_dir() else lacking


def read(root: str | Path, split: str | None = None, *, cameras: bool = False) -> Iterator[Take]:
    """Read sequences; all cameras of a training sequence are views of one take.

    Args:
        root: folder of the `.npz` files.
        split: `train`, `test` or None: what is there.
        cameras: find each view's camera from its 3D and 2D (a fifth of a second each), with a pose near the identity,
            since the joints are in camera axes. Where the joints do not project onto the 2D (a scaled skeleton that was
            not placed anew), this is refused.

    Raises:
        InputError: files missing, damaged, hostile, or not this layout.
    """
    check_split(CARD, split)
    root = require_layout(CARD, root, missing(root) if split is None else missing_files(root, FILES[split]))
    for part, name in FILES.items():
        if split in (None, part) and (root / name).exists():
            with reading(root / name, "P-STMO's MPI-INF-3DHP (.npz)") as path:
                arrays = read_object_npz(path)
                expect("data" in arrays, f"there is no data; it holds: {', '.join(arrays) or 'nothing'}")
                sequences = arrays["data"].item()
                expect(isinstance(sequences, dict), "its data is no dictionary of sequences")
                takes = [_take(part, key, value, name, cameras) for key, value in sequences.items()]
            yield from takes


def _take(part: str, key: str, value, file: str, cameras: bool) -> Take:
    if part == "test":
        view = _view(value, key, TEST_FPS, file, cameras)
        return Take(key, key, "", TEST_FPS, None, (view,), np.asarray(value["valid"]).astype(bool).ravel())
    expect(
        len(value) == 2 and isinstance(value[0], dict), f"{key} is no pair of cameras and frames per second"
    )
    fps = float(value[1])
    views = tuple(_view(data, f"{key} camera {name}", fps, file, cameras) for name, data in value[0].items())
    subject, _, sequence = key.partition(" ")
    return Take(f"{subject}/{sequence}", subject, sequence, fps, None, views)


def _view(data: dict, name: str, fps: float, file: str, cameras: bool) -> View:
    joints, pixels = np.asarray(data["data_3d"], np.float64), np.asarray(data["data_2d"], np.float64)
    expect(joints.shape[1:] == (17, 3), f"{name}: data_3d has shape {joints.shape}, expected (frames, 17, 3)")
    expect(pixels.shape == (*joints.shape[:2], 2), f"{name}: data_2d has shape {pixels.shape}")
    joints = joints / 1000
    size = (1920, 1080) if name in OUTDOORS else (2048, 2048)
    note = f"read from {file}, {name}"
    camera: Camera | None = fit_camera(joints, pixels, size, name)[0] if cameras else None
    return View(
        camera,
        keypoints_of(pixels, MPI_17, size, fps, None, note),
        camera_joints_of(joints, MPI_17, fps, note),
    )
