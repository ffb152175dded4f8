"""3DPW (von Marcard et al., ECCV 2018): people outdoors, SMPL joints in the world, a moving phone camera, 30 Hz.

`sequenceFiles/<split>/<sequence>.pkl`: pickles of Python 2, read without executing them. Used here:
`jointPositions` (per person (T, 72): 24 SMPL joints, metres, world), `cam_poses` (T, 4, 4, world to camera),
`cam_intrinsics`, `campose_valid` (per person (T,)), `poses2d` (per person (T, 3, 18): x, y, confidence of
OpenPose's COCO-18). The SMPL parameters (`poses`, `trans`, `betas`, `genders`) are in the same files; a body model
is needed for them.

Convention: the file's world is Y up (as the viewers of the data set take it) and is turned to Z up, cameras with
it; the median pose is checked, and a sequence whose people do not stand upright gets a warning. Keypoints as
`COCO_17`: the neck that OpenPose derives is left out. Frames whose camera was not aligned to the picture are not
valid.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from posewright.core.safe_pickle import read_pickle
from posewright.datasets.takes import (
    DatasetCard,
    Take,
    View,
    check_split,
    keypoints_of,
    missing_files,
    motion_of,
    require_layout,
    seen_by,
)
from posewright.io.axes import y_up_to_z_up
from posewright.io.user_files import expect, reading
from posewright.skeletons.joint_sets import COCO_17, SMPL_24
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D
from posewright.structures.motion import Motion

FPS = 30.0
NEEDED = ("jointPositions", "cam_poses", "cam_intrinsics")
_FROM_18 = (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)
"""Index in OpenPose's COCO-18 (nose, neck, right arm, left arm, right leg, left leg, eyes, ears, right first) of each
keypoint of `COCO_17`."""

CARD = DatasetCard(
    title="3DPW",
    licence="3DPW: non-commercial research; no redistribution",
    obtain="Download sequenceFiles.zip from https://virtualhumans.mpi-inf.mpg.de/3DPW.",
    layout="root/\n  sequenceFiles/            (or root itself)\n    train/*.pkl\n    validation/*.pkl\n    "
    "test/*.pkl",
    rests_on="The data set's own readme (fields and shapes) and the loaders of eth-ait/aitviewer (folders, "
    "Latin-1, Y up); not "
    "verified against the real files.",
    splits=("train", "validation", "test"),
    gives="world motion of 24 SMPL joints of one or two people at 30 Hz; one view with its moving camera, detected "
    "COCO "
    "keypoints and camera-space joints; valid frames",
)


def missing(root: str | Path) -> list[str]:
    """Files that `root` lacks: one split is enough."""
    lacking = missing_files(_sequences(root), *(f"{split}/*.pkl" for split in CARD.splits))
    return lacking if len(lacking) == len(CARD.splits) or not Path(root).is_dir() else []


def read(root: str | Path, split: str | None = None) -> Iterator[Take]:
    """Read sequences, all people of one together.

    Args:
        root: the folder that holds `sequenceFiles`, or that folder.
        split: `train`, `validation`, `test` or None: what is there.

    Raises:
        InputError: files missing, damaged or hostile, or fields lacking.
    """
    check_split(CARD, split)
    folder = _sequences(root)
    require_layout(CARD, root, missing(root) if split is None else missing_files(folder, f"{split}/*.pkl"))
    for part in CARD.splits:
        for path in sorted((folder / part).glob("*.pkl")) if split in (None, part) else ():
            with reading(path, "3DPW sequence (.pkl)"):
                take = _take(read_pickle(path), path, part)
            yield take


def _sequences(root: str | Path) -> Path:
    inner = Path(root) / "sequenceFiles"
    return inner if inner.is_dir() else Path(root)


def _take(data, path: Path, part: str) -> Take:
    expect(isinstance(data, dict), f"holds {type(data).__name__}, expected a dictionary")
    lacking = [key for key in NEEDED if key not in data]
    expect(not lacking, f"has no {', '.join(lacking)}; it holds: {', '.join(map(str, data))}")
    poses = np.asarray(data["cam_poses"], np.float64)
    T = len(poses)
    people = [np.asarray(p, np.float64) for p in data["jointPositions"]]
    expect(poses.shape == (T, 4, 4), f"cam_poses has shape {poses.shape}, expected (frames, 4, 4)")
    for p in people:
        expect(p.shape == (T, 72), f"jointPositions has shape {p.shape}, expected ({T}, 72)")
    joints = y_up_to_z_up(np.stack([p.reshape(T, 24, 3) for p in people], 1))
    motion = _with_check(motion_of(joints, SMPL_24, FPS, path.name, "y up"))
    camera = _camera(poses, np.asarray(data["cam_intrinsics"], np.float64), path.stem)
    valid = np.stack(
        [np.asarray(v).astype(bool) for v in data.get("campose_valid", [np.ones(T)] * len(people))], 1
    )
    view = View(camera, _keypoints(data.get("poses2d"), T, camera, path.name), seen_by(motion, camera))
    return Take(f"{part}/{path.stem}", path.stem, path.stem.rsplit("_", 1)[0], FPS, motion, (view,), valid)


def _camera(poses: np.ndarray, K: np.ndarray, name: str) -> Camera:
    """The moving camera, its poses turned from the file's Y-up world to ours."""
    expect(K.shape == (3, 3), f"cam_intrinsics has shape {K.shape}, expected (3, 3)")
    size = (round(2 * K[0, 2]), round(2 * K[1, 2]))
    z_up_to_file = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    return Camera(
        K=K,
        image_size=size,
        R=poses[:, :3, :3] @ z_up_to_file,
        t=poses[:, :3, 3],
        name=name,
        focal_source="given",
    )


def _keypoints(people, T: int, camera: Camera, file: str) -> Keypoints2D | None:
    """Detections (per person (T, 3, 18)) as `COCO_17`; 0 confidence is missing."""
    if people is None:
        return None
    stacked = np.stack([np.asarray(p, np.float32) for p in people], 1)
    expect(
        stacked.shape[0] == T and stacked.shape[2:] == (3, 18),
        f"poses2d has shape {stacked.shape[::2]} per person",
    )
    x = stacked.swapaxes(-1, -2)[:, :, _FROM_18]
    return keypoints_of(
        x[..., :2], COCO_17, camera.image_size, FPS, x[..., 2].clip(0, 1), f"read from {file}"
    )


def _with_check(motion: Motion) -> Motion:
    """Warn where people do not stand upright for most of the time."""
    feet = motion.joints[:, :, SMPL_24.indices("left_ankle", "right_ankle")].mean(2)
    upward = np.nanmedian((motion.joints[:, :, SMPL_24.index("neck")] - feet).reshape(-1, 3), axis=0)
    if upward[2] > 0.5 * np.linalg.norm(upward):
        return motion
    warning = "People of this sequence do not stand upright: its world may not be Y up in the file."
    return motion.noted(warning, warnings=(*motion.warnings, warning))
