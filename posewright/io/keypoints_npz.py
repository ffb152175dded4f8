"""Our own file of 2D keypoints: `keypoints.npz`, what `posewright run` finds before it lifts.

Convention: numpy arrays only, nothing pickled. Entries: `format` ("posewright keypoints 1"), `positions` (T,
P, K, 2) float32 pixels with NaN where missing, `confidence` (T, P, K) float32, `times` (T,) float64 seconds,
`person_ids` (P,), `joint_names` (K,) text, `parents` (K,), and `meta`, JSON with skeleton, fps, image_size,
history and `extra`.
"""

import json
from pathlib import Path

import numpy as np

from posewright.core.errors import InputError
from posewright.core.files import atomic_path
from posewright.io.user_files import is_npz_of, reading
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.keypoints import Keypoints2D

FORMAT = "posewright keypoints 1"


def write(keypoints: Keypoints2D, path: str | Path, extra: dict | None = None) -> None:
    """Write keypoints, and anything JSON can hold as `extra`."""
    meta = {
        "skeleton": keypoints.skeleton.name,
        "fps": keypoints.fps,
        "image_size": list(keypoints.image_size),
        "history": list(keypoints.history),
        "extra": extra or {},
    }
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream,
            format=FORMAT,
            positions=keypoints.positions.astype(np.float32),
            confidence=keypoints.confidence.astype(np.float32),
            times=keypoints.frame_times(),
            person_ids=np.array(keypoints.person_ids, dtype=np.int64),
            joint_names=np.array(keypoints.skeleton.joint_names),
            parents=np.array(keypoints.skeleton.parents, dtype=np.int64),
            meta=json.dumps(meta),
        )


def read(path: str | Path) -> tuple[Keypoints2D, dict]:
    """Read keypoints and their `extra`.

    Raises:
        InputError: not such a file, or a damaged one.
    """
    with reading(path, "posewright keypoints npz") as path, np.load(path, allow_pickle=False) as data:
        if "format" not in data or str(data["format"]) != FORMAT:
            raise InputError(f"it lacks the mark {FORMAT!r}; it holds: {', '.join(data.files[:8])}")
        meta = json.loads(str(data["meta"]))
        names = tuple(str(n) for n in data["joint_names"])
        keypoints = Keypoints2D(
            skeleton=Skeleton(str(meta["skeleton"]), names, tuple(int(p) for p in data["parents"])),
            positions=data["positions"].astype(np.float32),
            confidence=data["confidence"].astype(np.float32),
            image_size=(int(meta["image_size"][0]), int(meta["image_size"][1])),
            fps=float(meta["fps"]),
            times=data["times"].astype(np.float64),
            person_ids=tuple(int(i) for i in data["person_ids"]),
            history=tuple(str(h) for h in meta["history"]),
        )
        return keypoints, dict(meta["extra"])


def is_keypoints_file(path: str | Path) -> bool:
    """True for a file that `read` can be expected to read."""
    return is_npz_of(path, FORMAT)
