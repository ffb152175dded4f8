"""2D keypoints in VideoPose3D's `.npz`: `data_2d_*.npz`, from its detectors or its preparation scripts.

Layout: `positions_2d` is a pickled dictionary subject -> action -> cameras (or `custom` -> clips) of (T, 17,
2) pixels; `metadata` names the layout (`coco`, `h36m`) and, for own videos, their size. Read without
executing pickles (`safe_pickle`).

Convention: pixels as the file gives them; confidence 1, since there is none in the file.
"""

from pathlib import Path

import numpy as np

from posewright.core.errors import InputError
from posewright.core.safe_pickle import read_object_npz
from posewright.io.keypoint_people import Detection, assemble
from posewright.io.user_files import expect, reading
from posewright.skeletons import joint_sets
from posewright.structures.keypoints import Keypoints2D

LAYOUTS = {"coco": "coco_17", "h36m": "h36m_17", "humaneva15": "humaneva_15"}


def read(
    path: str | Path,
    *,
    clip: str | None = None,
    image_size: tuple[int, int] | None = None,
    fps: float | None = None,
) -> Keypoints2D:
    """Read one clip.

    Args:
        path: the `.npz` file.
        clip: `subject/action/camera`, as `S9/Walking/0`; None takes the only one.
        image_size: (width, height); None takes the file's, else guesses.
        fps: frames per second; None takes the file's, else 30.

    Raises:
        InputError: damaged, not VideoPose3D's, several clips and none chosen, or a pickle that is not data.
    """
    with reading(path, "VideoPose3D npz") as path:
        arrays = read_object_npz(path)
        expect(
            "positions_2d" in arrays, f"there is no positions_2d; it holds: {', '.join(arrays) or 'nothing'}"
        )
        clips = _clips(arrays["positions_2d"].item())
        name = _choose(clips, clip)
        metadata = arrays["metadata"].item() if "metadata" in arrays else {}
        video = (metadata.get("video_metadata") or {}).get(name.split("/")[0], {})
        if image_size is None and {"w", "h"} <= set(video):
            image_size = (int(video["w"]), int(video["h"]))
        layout = str(metadata.get("layout_name", "coco"))
        expect(layout in LAYOUTS, f"its layout is {layout!r}, expected one of {', '.join(LAYOUTS)}")
        values = np.asarray(clips[name], np.float64)
        skeleton = joint_sets.get(LAYOUTS[layout])
        expect(
            values.ndim == 3 and values.shape[1:] == (len(skeleton), 2), f"{name} has shape {values.shape}"
        )
        frames = [[Detection(p, np.isfinite(p).all(-1).astype(float), 1)] for p in values]
        return assemble(
            frames, skeleton, f"VideoPose3D, {path.name}, {name}", image_size, fps or video.get("fps")
        )


def _clips(tree: dict) -> dict[str, np.ndarray]:
    """`subject/action/camera` -> keypoints."""
    expect(isinstance(tree, dict), "positions_2d is no dictionary")
    out = {}
    for subject, actions in tree.items():
        for action, cameras in actions.items():
            for n, keypoints in enumerate(cameras):
                out[f"{subject}/{action}/{n}"] = keypoints
    expect(bool(out), "there are no clips")
    return out


def _choose(clips: dict[str, np.ndarray], clip: str | None) -> str:
    if clip is None and len(clips) == 1:
        return next(iter(clips))
    if clip not in clips:
        some = ", ".join(list(clips)[:6])
        raise InputError(f"it holds {len(clips)} clips ({some}...): choose one with clip= (got {clip!r})")
    return clip
