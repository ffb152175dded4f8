"""posewright's own motion file, `.npz`: everything a `Motion` holds, as plain numpy arrays.

Layout (version 1), described in docs/formats.md: a zip of `.npy` arrays without any pickled object. `format`
and `version` say what it is; each array field of `Motion` is an array of the same name, absent where it is
None; text lists are JSON strings; `skeleton_*` describe the joint set, `camera_*` the camera, `keypoints_*`
the 2D evidence, `bodies_*` the fitted bodies.

Convention: as `Motion`: metres, seconds, radians, Z up, quaternions wxyz, missing = NaN.
"""

import json
import zipfile
from pathlib import Path

import numpy as np

from posewright.core.files import atomic_path
from posewright.io.people import named_skeleton, select_person
from posewright.io.user_files import expect, is_npz_of, reading
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D
from posewright.structures.motion import Motion
from posewright.structures.motion_bodies import MotionBodies

SUFFIXES = (".npz",)
FORMAT = "posewright-motion"
VERSION = 1
ARRAYS = (
    "joints_raw",
    "rotations_wxyz",
    "rest_offsets",
    "contacts",
    "joint_covariance",
    "pose_covariance",
    "deviations",
)
"""Fields of `Motion` that may be None."""
MAX_BYTES = 32 * 2**30
"""Refuse archives that claim to unpack to more than this."""


def write(motion: Motion, path: str | Path, *, person: int | None = None) -> None:
    """Write a motion, all people or one, with everything it holds."""
    motion = select_person(motion, person)
    arrays = {
        "format": np.array(FORMAT),
        "version": np.array(VERSION),
        "joints": motion.joints,
        "confidence": motion.confidence,
        "fps": np.array(float(motion.fps)),
        "start_time": np.array(float(motion.start_time)),
        "person_ids": np.array(motion.person_ids, np.int64),
        "source": np.array(motion.source),
        "warnings": np.array(json.dumps(motion.warnings)),
        "history": np.array(json.dumps(motion.history)),
        **_skeleton_arrays("skeleton", motion.skeleton),
        **{name: getattr(motion, name) for name in ARRAYS if getattr(motion, name) is not None},
        **(_camera_arrays(motion.camera) if motion.camera else {}),
        **(_keypoint_arrays(motion.keypoints) if motion.keypoints else {}),
        **(_body_arrays(motion.bodies) if motion.bodies else {}),
    }
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def read(path: str | Path) -> Motion:
    """Read a motion; object arrays (pickles) are refused, never executed.

    Raises:
        InputError: absent, damaged, not a posewright motion, or written by a later version.
    """
    with reading(path, "posewright motion (.npz)") as path:
        a = read_arrays(path)
        expect(
            str(a.get("format", "")) == FORMAT,
            f"holds {', '.join(sorted(a)[:8]) or 'nothing'}; a posewright motion has format = {FORMAT!r}",
        )
        version = int(a["version"])
        expect(
            version <= VERSION, f"written in version {version} of the format; this posewright reads {VERSION}"
        )
        return _motion(a)


def is_motion_file(path: str | Path) -> bool:
    """True for a file that `read` can be expected to read."""
    return is_npz_of(path, FORMAT)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file, without unpickling anything."""
    with zipfile.ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
        expect(size <= MAX_BYTES, f"claims to unpack to {size / 2**30:.0f} GiB")
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _motion(a: dict[str, np.ndarray]) -> Motion:
    return Motion(
        skeleton=_read_skeleton("skeleton", a),
        joints=_float32(a["joints"]),
        confidence=_float32(a["confidence"]),
        fps=float(a["fps"]),
        contacts=a["contacts"].astype(bool) if "contacts" in a else None,
        deviations=_float32(a["deviations"]).astype(np.float16) if "deviations" in a else None,
        keypoints=_read_keypoints(a) if "keypoints_positions" in a else None,
        camera=_read_camera(a) if "camera_K" in a else None,
        bodies=_read_bodies(a) if "bodies_model" in a else None,
        person_ids=tuple(int(i) for i in a["person_ids"]),
        start_time=float(a["start_time"]),
        source=str(a["source"]),
        warnings=_texts(a["warnings"]),
        history=_texts(a["history"]),
        **{
            name: _float32(a[name]) for name in ARRAYS if name in a and name not in ("contacts", "deviations")
        },
    )


def _float32(array: np.ndarray) -> np.ndarray:
    expect(array.dtype.kind in "fiu", f"an array of numbers is missing: found {array.dtype}")
    return array.astype(np.float32)


def _texts(array: np.ndarray) -> tuple[str, ...]:
    return tuple(str(text) for text in json.loads(str(array)))


def _skeleton_arrays(prefix: str, skeleton: Skeleton) -> dict[str, np.ndarray]:
    return {
        f"{prefix}_name": np.array(skeleton.name),
        f"{prefix}_joint_names": np.array(json.dumps(skeleton.joint_names)),
        f"{prefix}_parents": np.array(skeleton.parents, np.int64),
    }


def _read_skeleton(prefix: str, a: dict[str, np.ndarray]) -> Skeleton:
    names = list(_texts(a[f"{prefix}_joint_names"]))
    parents = [int(p) for p in a[f"{prefix}_parents"]]
    return named_skeleton(names, parents, str(a[f"{prefix}_name"]))


def _camera_arrays(camera: Camera) -> dict[str, np.ndarray]:
    return {
        "camera_K": np.asarray(camera.K, float),
        "camera_image_size": np.array(camera.image_size, np.int64),
        "camera_R": np.asarray(camera.R, float),
        "camera_t": np.asarray(camera.t, float),
        "camera_distortion": np.asarray(camera.distortion, float),
        "camera_model": np.array(camera.model),
        "camera_name": np.array(camera.name),
        "camera_focal_source": np.array(camera.focal_source),
    }


def _read_camera(a: dict[str, np.ndarray]) -> Camera:
    return Camera(
        K=a["camera_K"],
        image_size=_size(a["camera_image_size"]),
        R=a["camera_R"],
        t=a["camera_t"],
        distortion=a["camera_distortion"],
        model=str(a["camera_model"]),
        name=str(a["camera_name"]),
        focal_source=str(a["camera_focal_source"]),
    )


def _size(array: np.ndarray) -> tuple[int, int]:
    width, height = (int(n) for n in array)
    return width, height


def _keypoint_arrays(keypoints: Keypoints2D) -> dict[str, np.ndarray]:
    arrays = {
        "keypoints_positions": keypoints.positions,
        "keypoints_confidence": keypoints.confidence,
        "keypoints_image_size": np.array(keypoints.image_size, np.int64),
        "keypoints_fps": np.array(float(keypoints.fps)),
        "keypoints_person_ids": np.array(keypoints.person_ids, np.int64),
        "keypoints_history": np.array(json.dumps(keypoints.history)),
        **_skeleton_arrays("keypoints_skeleton", keypoints.skeleton),
    }
    if keypoints.times is not None:
        arrays["keypoints_times"] = np.asarray(keypoints.times, float)
    return arrays


def _read_keypoints(a: dict[str, np.ndarray]) -> Keypoints2D:
    return Keypoints2D(
        skeleton=_read_skeleton("keypoints_skeleton", a),
        positions=_float32(a["keypoints_positions"]),
        confidence=_float32(a["keypoints_confidence"]),
        image_size=_size(a["keypoints_image_size"]),
        fps=float(a["keypoints_fps"]),
        times=a.get("keypoints_times"),
        person_ids=tuple(int(i) for i in a["keypoints_person_ids"]),
        history=_texts(a["keypoints_history"]),
    )


def _body_arrays(bodies: MotionBodies) -> dict[str, np.ndarray]:
    return {
        "bodies_model": np.array(bodies.model),
        "bodies_shape_names": np.array(json.dumps(bodies.shape_names)),
        "bodies_joint_names": np.array(json.dumps(bodies.joint_names)),
        "bodies_betas": bodies.betas,
        "bodies_rotations_wxyz": bodies.rotations_wxyz,
        "bodies_transl": bodies.transl,
    }


def _read_bodies(a: dict[str, np.ndarray]) -> MotionBodies:
    return MotionBodies(
        model=str(a["bodies_model"]),
        shape_names=_texts(a["bodies_shape_names"]),
        joint_names=_texts(a["bodies_joint_names"]),
        betas=_float32(a["bodies_betas"]),
        rotations_wxyz=_float32(a["bodies_rotations_wxyz"]),
        transl=_float32(a["bodies_transl"]),
    )
