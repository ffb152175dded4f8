"""Motion as strict JSON, for programs and web pages: `.json`.

Schema (version 1), described in docs/formats.md: one object with `format`, `version`, `units`, `up_axis`,
`fps`, `start_time`, `skeleton`, `people` (a list: `id`, `joints` [T][J][3], `confidence` [T][J], and where
the motion has them `rotations_wxyz` [T][J][4], `rest_offsets` [J][3], `contacts` [T][2], and of a motion with
uncertainty `expected_error` [T][J], `joint_covariance` and `pose_covariance` [T][J][6] (xx xy xz yy yz zz, square
metres) and `deviations` [S][T][J][3]), `camera`, `source`, `warnings`, `history`. Missing = null; there is never a
NaN. Not written: raw joints and 2D keypoints (`.npz` keeps them).

Convention: metres, seconds, Z up, quaternions wxyz. Positions are rounded to 1e-6 m, rotations to 1e-7, deviations to
1e-4 m, covariances to 1e-8 square metres.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from posewright.core.files import atomic_path
from posewright.io.covariances import matrix_of, six_of
from posewright.io.people import named_skeleton, select_person
from posewright.io.user_files import expect, read_json, reading
from posewright.structures.cameras import Camera
from posewright.structures.motion import Motion

SUFFIXES = (".json",)
FORMAT = "posewright-motion"
VERSION = 1
_FRAMES = 512
_COVARIANCES = ("joint_covariance", "pose_covariance")


def write(motion: Motion, path: str | Path, *, person: int | None = None) -> None:
    """Write a motion, all people or one."""
    motion = select_person(motion, person)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "units": {"length": "metre", "time": "second"},
        "up_axis": "z",
        "fps": float(motion.fps),
        "start_time": float(motion.start_time),
        "num_frames": motion.num_frames,
        "skeleton": {
            "name": motion.skeleton.name,
            "joint_names": list(motion.skeleton.joint_names),
            "parents": list(motion.skeleton.parents),
        },
        "camera": _camera(motion.camera) if motion.camera else None,
        "source": motion.source,
        "warnings": list(motion.warnings),
        "history": list(motion.history),
    }
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(_dumps(document)[:-1] + ',"people":[')
        for p in range(motion.num_people):
            file.write("," if p else "")
            file.writelines(_person(motion, p))
        file.write("]}")


def _person(motion: Motion, p: int) -> Iterator[str]:
    """Text of one person, piece by piece: a long motion's numbers are never all Python objects at once."""
    yield f'{{"id":{int(motion.person_ids[p])},"joints":'
    yield from _over_time(motion.joints[:, p], 6)
    yield ',"confidence":'
    yield from _over_time(motion.confidence[:, p], 4)
    if motion.rotations_wxyz is not None:
        yield ',"rotations_wxyz":'
        yield from _over_time(motion.rotations_wxyz[:, p], 7)
    if motion.rest_offsets is not None:
        yield f',"rest_offsets":{_dumps(_nested(motion.rest_offsets[p], 6))}'
    if motion.contacts is not None:
        yield f',"contacts":{_dumps(motion.contacts[:, p].tolist())}'
    yield from _uncertainty(motion, p)
    yield "}"


def _uncertainty(motion: Motion, p: int) -> Iterator[str]:
    """Text of one person's covariances and samples, where there are any."""
    expected = motion.expected_error()
    if expected is not None:
        yield ',"expected_error":'
        yield from _over_time(expected[:, p], 5)
    for name in _COVARIANCES:
        covariance = getattr(motion, name)
        if covariance is not None:
            yield f',"{name}":'
            yield from _over_time(six_of(covariance[:, p]), 8)
    if motion.deviations is not None:
        yield ',"deviations":['
        for s, sample in enumerate(motion.deviations[:, :, p]):
            yield "," if s else ""
            yield from _over_time(sample, 4)
        yield "]"


def _over_time(array: np.ndarray, decimals: int) -> Iterator[str]:
    """Text of an array (T, ...), some frames at a time."""
    yield "["
    for start in range(0, len(array), _FRAMES):
        yield ("," if start else "") + _dumps(_nested(array[start : start + _FRAMES], decimals))[1:-1]
    yield "]"


def _dumps(value: object) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _nested(array: np.ndarray, decimals: int) -> list:
    """Nested lists with null for what is not finite."""
    array = np.round(np.asarray(array, np.float64), decimals)
    if np.isfinite(array).all():
        return array.tolist()
    return np.where(np.isfinite(array), array.astype(object), np.array(None, object)).tolist()


def _camera(camera: Camera) -> dict:
    return {
        "K": np.asarray(camera.K, float).tolist(),
        "image_size": [int(n) for n in camera.image_size],
        "R": np.asarray(camera.R, float).tolist(),
        "t": np.asarray(camera.t, float).tolist(),
        "distortion": np.asarray(camera.distortion, float).tolist(),
        "model": camera.model,
        "name": camera.name,
        "focal_source": camera.focal_source,
    }


def read(path: str | Path) -> Motion:
    """Read a motion.

    Raises:
        InputError: absent, damaged, not a posewright motion, or written by a later version.
    """
    with reading(path, "posewright motion (.json)") as path:
        document = read_json(path)
        expect(
            isinstance(document, dict) and document.get("format") == FORMAT,
            f'a posewright motion is an object with "format": "{FORMAT}"; for 2D keypoints made by another '
            "program use read_keypoints",
        )
        assert isinstance(document, dict)
        version = int(document["version"])
        expect(
            version <= VERSION, f"written in version {version} of the format; this posewright reads {VERSION}"
        )
        return _motion(document)


def _motion(d: dict) -> Motion:
    people, skeleton = d["people"], d["skeleton"]
    frames = int(d.get("num_frames", 0))
    joint_names = [str(name) for name in skeleton["joint_names"]]
    camera = d.get("camera")
    return Motion(
        skeleton=named_skeleton(joint_names, [int(p) for p in skeleton["parents"]], str(skeleton["name"])),
        joints=_stack(people, "joints", (frames, 0, len(joint_names), 3)),
        confidence=_stack(people, "confidence", (frames, 0, len(joint_names))),
        fps=float(d["fps"]),
        rotations_wxyz=_optional(people, "rotations_wxyz", 1),
        rest_offsets=_optional(people, "rest_offsets", 0),
        contacts=_contacts(people),
        joint_covariance=_covariance(people, "joint_covariance"),
        pose_covariance=_covariance(people, "pose_covariance"),
        deviations=_deviations(people),
        camera=_read_camera(camera) if camera else None,
        person_ids=tuple(int(person["id"]) for person in people),
        start_time=float(d.get("start_time", 0.0)),
        source=str(d.get("source", "")),
        warnings=tuple(str(text) for text in d.get("warnings", ())),
        history=tuple(str(text) for text in d.get("history", ())),
    )


def _stack(people: list[dict], key: str, empty: tuple, axis: int = 1) -> np.ndarray:
    if not people:
        return np.zeros(empty, np.float32)
    return np.stack([np.array(person[key], np.float32) for person in people], axis)


def _optional(people: list[dict], key: str, axis: int) -> np.ndarray | None:
    if not people or any(person.get(key) is None for person in people):
        return None
    return _stack(people, key, (), axis)


def _contacts(people: list[dict]) -> np.ndarray | None:
    contacts = _optional(people, "contacts", 1)
    return None if contacts is None else contacts.astype(bool)


def _covariance(people: list[dict], key: str) -> np.ndarray | None:
    six = _optional(people, key, 1)
    return None if six is None else matrix_of(six)


def _deviations(people: list[dict]) -> np.ndarray | None:
    deviations = _optional(people, "deviations", 2)
    return None if deviations is None else deviations.astype(np.float16)


def _read_camera(c: dict) -> Camera:
    width, height = (int(n) for n in c["image_size"])
    return Camera(
        K=np.array(c["K"], float),
        image_size=(width, height),
        R=np.array(c["R"], float),
        t=np.array(c["t"], float),
        distortion=np.array(c["distortion"], float),
        model=str(c["model"]),
        name=str(c["name"]),
        focal_source=str(c["focal_source"]),
    )
