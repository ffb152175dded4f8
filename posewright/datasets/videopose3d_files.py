"""The two kinds of `.npz` file that VideoPose3D introduced and the lifting papers share: 3D positions, 2D keypoints.

`data_3d_<set>.npz`: `positions_3d`, a pickled dictionary subject -> action -> (T, J, 3) metres, world.
`data_2d_<set>_ <detector>.npz`: `positions_2d`, subject -> action -> one (T, K, 2) array per camera, pixels, and
`metadata` with `layout_name`. Layout: the data preparation scripts of
https://github.com/facebookresearch/VideoPose3D (Pavllo et al., CVPR 2019; CC BY-NC 4.0, none of it is here). Read
without executing pickles (`core.safe_pickle`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posewright.core.errors import InputError
from posewright.core.safe_pickle import read_object_npz
from posewright.datasets.camera_fit import fit_camera
from posewright.datasets.takes import View, keypoints_of, seen_by
from posewright.io.keypoints_videopose3d import LAYOUTS
from posewright.io.user_files import expect, reading
from posewright.skeletons import joint_sets
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.cameras import Camera
from posewright.structures.motion import Motion


@dataclass(frozen=True)
class Keypoints2DFile:
    """A `data_2d_*.npz` file."""

    skeleton: Skeleton
    clips: dict[str, dict[str, list[np.ndarray | None]]]
    """Subject -> action -> per camera (T, K, 2) pixels, None where that camera has none."""
    path: Path

    def clip(self, subject: str, action: str, camera: int, frames: int) -> np.ndarray | None:
        """(frames, K, 2) pixels of one camera, None where it has none; detections may run on after the motion.

        Raises:
            InputError: fewer frames than the motion has.
        """
        cameras = self.clips.get(subject, {}).get(action, [])
        clip = cameras[camera] if camera < len(cameras) else None
        if clip is not None and len(clip) < frames:
            raise InputError(
                f"{self.path.name}: {subject}/{action}, camera {camera} has {len(clip)} frames of 2D for {frames} "
                "of 3D: "
                "they do not belong together"
            )
        return None if clip is None else clip[:frames, :, :2]


def read_positions_3d(path: Path, joints: int) -> dict[str, dict[str, np.ndarray]]:
    """Subject -> action -> (T, joints, 3) metres, world.

    Raises:
        InputError: damaged, not this layout, another number of joints, or a pickle that is not data.
    """
    with reading(path, "VideoPose3D 3D positions (.npz)") as path:
        tree = _dictionary(read_object_npz(path), "positions_3d")
        for subject, actions in tree.items():
            expect(isinstance(actions, dict), f"{subject} is no dictionary of actions")
            for action, positions in actions.items():
                shape = np.shape(positions)
                expect(
                    len(shape) == 3 and shape[1:] == (joints, 3),
                    f"{subject}/{action} has shape {shape}, expected (frames, {joints}, 3)",
                )
        return tree


def read_positions_2d(path: Path) -> Keypoints2DFile:
    """Every clip of a keypoint file, cameras in the file's order.

    Raises:
        InputError: damaged, not this layout, or a pickle that is not data.
    """
    with reading(path, "VideoPose3D keypoints (.npz)") as path:
        arrays = read_object_npz(path)
        tree = _dictionary(arrays, "positions_2d")
        metadata = arrays["metadata"].item() if "metadata" in arrays else {}
        layout = str(metadata.get("layout_name", "coco"))
        expect(layout in LAYOUTS, f"its layout is {layout!r}, expected one of {', '.join(LAYOUTS)}")
        skeleton = joint_sets.get(LAYOUTS[layout])
        clips = {
            s: {a: _cameras(c, skeleton, f"{s}/{a}") for a, c in actions.items()}
            for s, actions in tree.items()
        }
        return Keypoints2DFile(skeleton, clips, path)


def keypoint_files(root: Path, dataset: str) -> list[str]:
    """Names of the detectors whose keypoints lie under `root`: `gt`, `cpn_ft_h36m_dbb`..."""
    start = f"data_2d_{dataset}_"
    return sorted(f.stem.removeprefix(start) for f in root.glob(f"{start}*.npz"))


def chosen_keypoints(root: Path, dataset: str, name: str | None) -> Keypoints2DFile | None:
    """The keypoints called `name`; None for None.

    Raises:
        InputError: lists those there are.
    """
    if name is None:
        return None
    there = keypoint_files(root, dataset)
    if name not in there:
        raise InputError(
            f"{root} has no data_2d_{dataset}_{name}.npz; keypoints there: {', '.join(there) or 'none'}"
        )
    return read_positions_2d(root / f"data_2d_{dataset}_{name}.npz")


def default_keypoints(root: Path, dataset: str, keypoints: str | None) -> str | None:
    """What `auto` means: the true keypoints, or the only ones there."""
    there = keypoint_files(root, dataset)
    if keypoints != "auto":
        return keypoints
    return "gt" if "gt" in there else there[0] if len(there) == 1 else None


def true_keypoints(root: Path, dataset: str) -> Keypoints2DFile | None:
    """The ground-truth keypoints, None where they are not there."""
    return chosen_keypoints(root, dataset, "gt") if "gt" in keypoint_files(root, dataset) else None


def find_cameras(
    motions: list[tuple[str, str, np.ndarray]],
    truth: Keypoints2DFile,
    sizes: dict[str, tuple[int, int]],
    frames: int | None = None,
) -> list[Camera | None]:
    """The cameras of one person, from 3D joints and their true keypoints.

    Args:
        motions: (subject, action, (T, K, 3) metres, world) with the joints that the keypoints have.
        truth: the ground-truth keypoints.
        sizes: camera -> (width, height), in the order of the file.
        frames: frames per sequence to use, spread evenly; None: all.

    Returns:
        One per camera, None where it has no keypoints.

    Raises:
        InputError: the keypoints are no projections of the joints.
    """
    found: list[Camera | None] = []
    for n, (name, size) in enumerate(sizes.items()):
        points, pixels = [], []
        for subject, action, joints in motions:
            clip = truth.clip(subject, action, n, len(joints))
            if clip is not None:
                chosen = np.linspace(0, len(joints) - 1, min(frames or len(joints), len(joints))).astype(int)
                points.append(joints[chosen])
                pixels.append(clip[chosen])
        found.append(
            fit_camera(np.concatenate(points), np.concatenate(pixels), size, name)[0] if points else None
        )
    return found


def views_of(
    motion: Motion,
    subject: str,
    action: str,
    cameras: list[Camera | None],
    sizes: dict[str, tuple[int, int]],
    detected: Keypoints2DFile | None,
) -> tuple[View, ...]:
    """What each camera saw: keypoints where there are some, joints in its axes where it is known."""
    views = []
    for n, (camera, size) in enumerate(zip(cameras, sizes.values(), strict=True)):
        clip = detected.clip(subject, action, n, motion.num_frames) if detected else None
        keypoints = None
        if clip is not None and detected:
            note = f"read from {detected.path.name}"
            keypoints = keypoints_of(clip, detected.skeleton, size, motion.fps, note=note)
        views.append(View(camera, keypoints, seen_by(motion, camera) if camera else None))
    return tuple(views)


def _dictionary(arrays: dict[str, np.ndarray], key: str) -> dict:
    expect(key in arrays, f"there is no {key}; it holds: {', '.join(arrays) or 'nothing'}")
    expect(arrays[key].dtype.hasobject and arrays[key].ndim == 0, f"{key} is no dictionary")
    tree = arrays[key].item()
    expect(isinstance(tree, dict) and bool(tree), f"{key} is no dictionary of subjects")
    return tree


def _cameras(clips, skeleton: Skeleton, name: str) -> list[np.ndarray | None]:
    out = []
    for clip in clips:
        shape = np.shape(clip) if clip is not None else (0, len(skeleton), 2)
        expect(
            len(shape) == 3 and shape[1] == len(skeleton) and shape[2] in (2, 3),
            f"{name} has shape {shape}, expected (frames, {len(skeleton)}, 2)",
        )
        out.append(None if clip is None else np.asarray(clip, np.float32))
    return out
