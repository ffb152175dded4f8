"""Human3.6M as MotionBERT preprocessed it: 2D with confidence and 3D in image units, one pickle for all cameras.

`h36m_cpn_cam_source.pkl`, or `h36m_sh_conf_cam_source_final.pkl` with fine-tuned Stacked Hourglass keypoints
(MotionBERT, Zhu et al., ICCV 2023; MotionAGFormer and others use the same file). A dictionary `train`, `test`, of
arrays over all frames: `joint_2d` (N, 17, 2) pixels, `confidence` (N, 17) where there is one, `joint3d_image` (N,
17, 3), `camera_name`, `source` (one name per sequence and camera), and for the test set `action`, `2.5d_factor`,
`joints_2.5d_image` (millimetres).

Convention: `joints_image` are pixels, depth relative to the root in the same unit; times the frame's factor they
are in metres, root-relative, but x and y as the picture has them: perspective is not undone. MotionBERT scores in
these; against true camera-space joints the difference is some millimetres. Frames are 50 Hz.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from posewright.core.errors import InputError
from posewright.core.safe_pickle import read_pickle
from posewright.datasets.human36m import CAMERAS, FPS
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
from posewright.skeletons.joint_sets import H36M_17

PATTERN = "h36m_*cam_source*.pkl"
NEEDED = ("joint_2d", "joint3d_image", "camera_name", "source")

CARD = DatasetCard(
    title="Human3.6M preprocessed by MotionBERT",
    licence="Human3.6M: academic use only, registration; no redistribution",
    obtain="Follow 'docs/pose3d.md' of https://github.com/Walter0807/MotionBERT (Apache-2.0 code), for those with a "
    "Human3.6M licence.",
    layout="root/\n  h36m_sh_conf_cam_source_final.pkl   (or h36m_cpn_cam_source.pkl)",
    rests_on="The reading code of MotionBERT (lib/data/datareader_h36m.py, train.py); not verified against the "
    "real file.",
    splits=("train", "test"),
    gives="per camera: 2D keypoints with confidence, joints in image units with their factor, and, where the "
    "factor is "
    "there, root-relative joints in metres",
)


def missing(root: str | Path) -> list[str]:
    """Files that `root` lacks."""
    return missing_files(root, PATTERN)


def read(root: str | Path, split: str | None = None, *, file: str | None = None) -> Iterator[Take]:
    """Read sequences, one view each, in the file's order.

    Args:
        root: folder of the pickle.
        split: `train`, `test` or None: both.
        file: name of the pickle, where there are several.

    Raises:
        InputError: missing, damaged, hostile, or several files and none chosen.
    """
    check_split(CARD, split)
    root = require_layout(CARD, root, missing(root))
    with reading(_choose(root, file), "MotionBERT's Human3.6M (.pkl)") as path:
        data = read_pickle(path)
        expect(
            isinstance(data, dict), f"holds {type(data).__name__}, expected a dictionary with train and test"
        )
        assert isinstance(data, dict)
        parts = [s for s in CARD.splits if split in (None, s)]
        expect(
            all(p in data for p in parts),
            f"there is no {' or '.join(parts)}; it holds: {', '.join(map(str, data))}",
        )
        checked = {part: _checked(data[part], part) for part in parts}
    for part, arrays in checked.items():
        source = np.asarray(arrays["source"]).astype(str)
        starts = np.flatnonzero(np.concatenate([[True], source[1:] != source[:-1]]))
        for start, stop in zip(starts, [*starts[1:], len(source)], strict=True):
            yield _take(arrays, slice(start, stop), str(source[start]), part, path.name)


def _choose(root: Path, file: str | None) -> Path:
    there = sorted(root.glob(PATTERN))
    if file is None and len(there) > 1:
        raise InputError(f"{root} has {', '.join(f.name for f in there)}: choose one with file=")
    return root / file if file else there[0]


def _checked(arrays, part: str) -> dict[str, np.ndarray]:
    expect(isinstance(arrays, dict), f"{part} is no dictionary of arrays")
    lacking = [key for key in NEEDED if key not in arrays]
    expect(not lacking, f"{part} has no {', '.join(lacking)}; it holds: {', '.join(arrays)}")
    out = {key: np.asarray(value) for key, value in arrays.items()}
    N = len(out["source"])
    for key in (*NEEDED, "confidence", "action", "2.5d_factor", "joints_2.5d_image"):
        expect(
            key not in out or len(out[key]) == N, f"{part}: {key} has {len(out.get(key, ()))} frames of {N}"
        )
    for key, last in (("joint_2d", 2), ("joint3d_image", 3)):
        shape = out[key].shape
        expect(len(shape) == 3 and shape[1] == 17 and shape[2] >= last, f"{part}: {key} has shape {shape}")
    return out


def _take(arrays: dict[str, np.ndarray], frames: slice, source: str, part: str, file: str) -> Take:
    camera = str(arrays["camera_name"][frames][0])
    expect(camera in CAMERAS, f"camera {camera!r} is none of Human3.6M's ({', '.join(CAMERAS)})")
    confidence = arrays["confidence"][frames] if "confidence" in arrays else None
    confidence = confidence[..., 0] if confidence is not None and confidence.ndim == 3 else confidence
    note = f"read from {file}, {part}, {source}"
    pixels = arrays["joint_2d"][frames][..., :2]
    image = arrays["joint3d_image"][frames][..., :3].astype(np.float32)
    factor = arrays["2.5d_factor"][frames].astype(np.float64) if "2.5d_factor" in arrays else None
    joints = None
    if factor is not None:
        metric = (
            arrays["joints_2.5d_image"][frames]
            if "joints_2.5d_image" in arrays
            else image * factor[:, None, None]
        )
        metric = (metric - metric[:, :1]) / 1000
        joints = camera_joints_of(
            metric, H36M_17, FPS, f"{note}: relative to the root, perspective not undone"
        )
    view = View(
        keypoints=keypoints_of(pixels, H36M_17, CAMERAS[camera], FPS, confidence, note),
        joints=joints,
        joints_image=image[:, None],
        metres_per_pixel=None if factor is None else (factor / 1000).astype(np.float32),
    )
    words = source.split("_")
    subject = f"S{int(words[1])}" if words[0] == "s" and len(words) > 1 and words[1].isdigit() else source
    action = str(arrays["action"][frames][0]) if "action" in arrays else "_".join(words[2:4])
    return Take(source, subject, action, FPS, None, (view,))
