"""AthletePose3D (Yeung et al., CVSports 2025): athletic motion, 17 joints in the world, several still cameras per take.

`data/<split>/<subject>/<name>.json` (picture size, rate, action, camera), `<name>_h36m.npy` (T, 17, 3) millimetres,
world, and `cam_param.json` with each camera's `affine_intrinsics_matrix`, `distortion`, `extrinsic_matrix` (its
second and third row turned round: y up and z backward) and `xyz`, its place in millimetres.

Convention: order of `H36M_17`; metres. Which axis of the file's world is up is not written: it is taken from the
people, most of whom stand most of the time, and noted. Pictures marked `rotation_ccw_90` were filmed upright: their
camera is as the sensor sees. The distortion is used as its first five numbers, k1 k2 k3 p1 p2 in the authors'
reading, which leave it unused.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from posewright.datasets.takes import (
    DatasetCard,
    Take,
    View,
    check_split,
    missing_files,
    motion_of,
    require_layout,
    seen_by,
)
from posewright.io.user_files import expect, read_json, reading
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.cameras import Camera

FOLDERS = {"train": "train_set", "validate": "valid_set", "test": "test_set"}
FROM_SENSOR = np.diag([1.0, -1.0, -1.0])
"""From the file's camera axes (y up, z backward) to OpenCV's."""
UP = {
    "x": np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]),
    "y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "z": np.eye(3),
}
"""Axis that is up in the file -> rotation of its world into ours."""

CARD = DatasetCard(
    title="AthletePose3D",
    licence="non-commercial scientific research; no redistribution",
    obtain="Accept the licence and follow the link at https://github.com/calvinyeungck/AthletePose3D "
    "(license/README.md).",
    layout="root/\n  cam_param.json\n  data/\n    train_set/<subject>/*.json and *_h36m.npy\n    valid_set/...\n"
    "    test_set/...",
    rests_on="The repository's README and pose_3d/gendb.py, which reads these files; not verified against the real "
    "files. "
    "Units and camera axes follow from that script.",
    splits=tuple(FOLDERS),
    gives="world motion of 17 joints; one view per take with its camera and camera-space joints (no 2D)",
)


def missing(root: str | Path) -> list[str]:
    """Files that `root` lacks: one split is enough."""
    lacking = missing_files(root, "cam_param.json")
    splits = missing_files(root, *(f"data/{folder}/*/*_h36m.npy" for folder in FOLDERS.values()))
    return lacking + (splits if len(splits) == len(FOLDERS) and not lacking else [])


def read(root: str | Path, split: str | None = None) -> Iterator[Take]:
    """Read takes, one camera each, in order of subject and name.

    Args:
        root: the folder `AthletePose3D`.
        split: `train`, `validate`, `test` or None: what is there.

    Raises:
        InputError: files missing or damaged, or a camera that is not in `cam_param.json`.
    """
    check_split(CARD, split)
    lacking = missing(root) if split is None else missing_files(root, f"data/{FOLDERS[split]}/*/*_h36m.npy")
    root = require_layout(CARD, root, lacking)
    with reading(root / "cam_param.json", "AthletePose3D cameras (.json)") as path:
        cameras = read_json(path)
        expect(isinstance(cameras, dict), "is no dictionary of cameras")
    for part, folder in FOLDERS.items():
        for path in sorted((root / "data" / folder).glob("*/*_h36m.npy")) if split in (None, part) else ():
            yield _take(path, cameras, part)


def _take(path: Path, cameras, part: str) -> Take:
    stem = path.stem.removesuffix("_h36m")
    with reading(path.with_name(f"{stem}.json"), "AthletePose3D take (.json)") as described:
        about = read_json(described)
        expect(
            isinstance(about, dict) and {"cam", "fps", "video_width", "video_height"} <= set(about),
            "lacks fields",
        )
        assert isinstance(about, dict)
        expect(about["cam"] in cameras, f"camera {about['cam']!r} is not in cam_param.json")
        size = (int(about["video_width"]), int(about["video_height"]))
        fps = float(about["fps"])
    with reading(path, "AthletePose3D joints (.npy)"):
        joints = np.load(path, allow_pickle=False).astype(np.float64) / 1000
        expect(
            joints.ndim == 3 and joints.shape[1:] == (17, 3),
            f"has shape {joints.shape}, expected (frames, 17, 3)",
        )
        up = upright_axis(joints)
        motion = motion_of(joints @ UP[up].T, H36M_17, fps, path.name, f"{up} up (from the people)")
        camera = _camera(cameras[about["cam"]], size, UP[up], str(about["cam"]))
    subject = path.parent.name
    view = View(camera=camera, joints=seen_by(motion, camera))
    return Take(f"{part}/{subject}/{stem}", subject, str(about.get("type", "")), fps, motion, (view,))


def _camera(data: dict, size: tuple[int, int], turn: np.ndarray, name: str) -> Camera:
    """A camera of the file, in our world."""
    K = np.array(data["affine_intrinsics_matrix"], np.float64)[:3, :3]
    R = FROM_SENSOR @ np.array(data["extrinsic_matrix"], np.float64)[:3, :3] @ turn.T
    place = turn @ np.array(data["xyz"], np.float64).ravel() / 1000
    k1, k2, k3, p1, p2 = (*np.ravel(data.get("distortion", ()))[:5], 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
    distortion = np.array([k1, k2, p1, p2, k3], np.float64)
    return Camera(K, size, R, -R @ place, distortion, name=name, focal_source="calibrated")


def upright_axis(joints: np.ndarray) -> str:
    """Axis (`x`, `y` or `z`) along which the head is above the ankles, in the median of (T, 17, 3) joints."""
    feet = joints[:, H36M_17.indices("left_ankle", "right_ankle")].mean(1)
    upward = np.nanmedian(joints[:, H36M_17.index("head")] - feet, axis=0)
    axis = int(np.nanargmax(np.abs(upward)))
    expect(
        bool(upward[axis] > 0), f"people hang head down along {'xyz'[axis]}: the world's axes are not known"
    )
    return "xyz"[axis]
