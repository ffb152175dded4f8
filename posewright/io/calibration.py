"""Calibrations of camera rigs: Qualisys, OpenCV matrices as JSON, TOML of aniposelib and Pose2Sim.

Convention: a rig of `Camera`s: OpenCV axes, `x_camera = R @ x_world + t`, metres, world Z up as the
calibration has it; distortion k1 k2 p1 p2 k3. Pixels count from the centre of the top-left pixel in all
three.

* `.txt`, `.xml` (Qualisys `*.qca.txt`): millimetres; K is in 1/64 pixel; the file's rotation columns are the
camera's
  axes with y up and z backwards, so `R = diag(1, -1, -1) @ [r11..r33]` and `t = -R @ centre`.
* `.json`: `cameras` -> name -> `size`, `K`, `dist`, `R`, `t`, metres.
* `.toml`: one table per camera: `name`, `size`, `matrix`, `distortions`, `rotation` (rotation vector),
`translation`
  (metres; `unit="mm"` for files of aniposelib made with a board in millimetres), `fisheye`.
"""

import json
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import torch

from posewright.core.errors import InputError
from posewright.core.files import atomic_path
from posewright.geometry.rotations import matrix_to_rotvec, rotvec_to_matrix
from posewright.io.user_files import expect, read_json, reading
from posewright.structures.cameras import Camera, CameraRig

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}


def load_rig(path: str | Path, *, unit: str = "m") -> CameraRig:
    """Read a calibration by its suffix.

    Args:
        path: `.toml`, `.json`, or Qualisys' `.qca.txt` / `.xml`.
        unit: of the translations in a `.toml`, which does not say.

    Raises:
        InputError: unknown suffix, absent, damaged, or no cameras.
    """
    readers = {".toml": read_toml, ".json": read_opencv_json, ".txt": read_qualisys, ".xml": read_qualisys}
    suffix = Path(path).suffix.lower()
    if suffix not in readers:
        raise InputError(f"{path}: no calibration; expected {', '.join(readers)}")
    return read_toml(path, unit=unit) if suffix == ".toml" else readers[suffix](path)


def save_rig(rig: CameraRig, path: str | Path) -> None:
    """Write a calibration as `.toml` (aniposelib, Pose2Sim) or `.json` (OpenCV matrices), metres."""
    suffix = check_suffix(path)
    writers = {".toml": _toml_text, ".json": _json_text}
    moving = [camera.name for camera in rig.cameras if np.ndim(camera.R) != 2]
    expect(not moving, f"camera {moving[0] if moving else ''} moves; these files hold fixed cameras")
    with atomic_path(path) as temporary:
        temporary.write_text(writers[suffix](rig), encoding="utf-8")


def check_suffix(path: str | Path) -> str:
    """Suffix of a calibration to write, so that a long computation need not fail at its end.

    Raises:
        InputError: not one that `save_rig` writes.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".toml", ".json"):
        raise InputError(f"{path}: calibrations are written as .toml or .json")
    return suffix


def read_qualisys(path: str | Path) -> CameraRig:
    """Read Qualisys Track Manager's calibration."""
    with reading(path, "Qualisys calibration") as path:
        try:
            root = ElementTree.fromstring(_without_entities(path.read_bytes()))
        except ElementTree.ParseError as error:
            raise ValueError(f"malformed XML: {error}") from error
        found = list(root.iter("camera"))
        expect(bool(found), "there is no camera in it")
        return _rig([_qualisys_camera(camera, n) for n, camera in enumerate(found, 1)])


def _without_entities(data: bytes) -> bytes:
    """Refuse entity definitions: none are needed, and they can expand without end."""
    expect(b"<!ENTITY" not in data.upper(), "it defines XML entities, which a calibration does not need")
    return data


def _qualisys_camera(element: ElementTree.Element, number: int) -> Camera:
    transform, intrinsic, picture = (element.find(n) for n in ("transform", "intrinsic", "fov_video"))
    if transform is None or intrinsic is None or picture is None:
        raise InputError(f"camera {number} lacks transform, intrinsic or fov_video")
    i = {key: float(value) for key, value in intrinsic.attrib.items() if _is_number(value)}
    axes = np.array([[float(transform.attrib[f"r{r}{c}"]) for c in "123"] for r in "123"])
    R = np.diag([1.0, -1.0, -1.0]) @ axes
    centre = np.array([float(transform.attrib[axis]) for axis in "xyz"]) / 1000
    left, top, right, bottom = (int(float(picture.attrib[s])) for s in ("left", "top", "right", "bottom"))
    return Camera(
        K=np.array(
            [
                [i["focalLengthU"] / 64, i.get("skew", 0.0) / 64, i["centerPointU"] / 64],
                [0, i["focalLengthV"] / 64, i["centerPointV"] / 64],
                [0, 0, 1],
            ]
        ),
        image_size=(right - left + 1, bottom - top + 1),
        R=R,
        t=-R @ centre,
        distortion=np.array(
            [
                i["radialDistortion1"],
                i["radialDistortion2"],
                i["tangentalDistortion1"],
                i["tangentalDistortion2"],
                i["radialDistortion3"],
            ]
        ),
        name=element.attrib.get("serial") or f"camera{number}",
        focal_source="calibrated",
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_opencv_json(path: str | Path) -> CameraRig:
    """Read OpenCV matrices by camera name."""
    with reading(path, "calibration (.json)") as path:
        document = read_json(path)
        cameras = document.get("cameras") if isinstance(document, dict) else None
        if not isinstance(cameras, dict) or not cameras:
            raise InputError('there is no object "cameras" with the cameras by name')
        return _rig([_opencv_camera(name, values) for name, values in cameras.items()])


def _opencv_camera(name: str, values: dict) -> Camera:
    width, height = (int(v) for v in values["size"])
    return _camera(
        name,
        (width, height),
        np.array(values["K"], float),
        np.array(values["R"], float),
        np.array(values["t"], float),
        values["dist"],
        str(values.get("model", "pinhole")),
    )


def read_toml(path: str | Path, *, unit: str = "m") -> CameraRig:
    """Read the TOML that aniposelib began and Pose2Sim, caliscope and FreeMoCap share."""
    if unit not in METRES:
        raise InputError(f"unit {unit!r}, expected one of {', '.join(METRES)}")
    with reading(path, "calibration (.toml)") as path:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        tables = {
            key: value for key, value in document.items() if isinstance(value, dict) and "matrix" in value
        }
        expect(bool(tables), "there is no table with a camera matrix")
        return _rig([_toml_camera(key, values, METRES[unit]) for key, values in tables.items()])


def _toml_camera(key: str, values: dict, metres: float) -> Camera:
    width, height = (int(float(v)) for v in values["size"])
    rotvec = torch.tensor(values["rotation"], dtype=torch.float64).reshape(3)
    return _camera(
        str(values.get("name", key)),
        (width, height),
        np.array(values["matrix"], float),
        rotvec_to_matrix(rotvec).numpy(),
        np.array(values["translation"], float).reshape(3) * metres,
        values.get("distortions", []),
        "fisheye" if values.get("fisheye") else "pinhole",
    )


def _camera(name, size, K, R, t, distortion, model) -> Camera:
    """Build a camera after looking at its numbers; missing distortion coefficients are 0."""
    length = 4 if model == "fisheye" else 5
    given = np.array(distortion, float).reshape(-1)
    expect(
        len(given) <= length,
        f"camera {name} has {len(given)} distortion coefficients, expected at most {length}",
    )
    expect(
        bool(np.isfinite(K).all() and np.isfinite(R).all() and np.isfinite(t).all()),
        f"camera {name} holds NaN",
    )
    expect(K.shape == (3, 3) and K[0, 0] > 0 and K[1, 1] > 0, f"camera {name} has no valid matrix")
    expect(
        R.shape == (3, 3) and np.allclose(R @ R.T, np.eye(3), atol=1e-3),
        f"camera {name} has no valid rotation",
    )
    return Camera(K, size, R, t, np.pad(given, (0, length - len(given))), model, name, "calibrated")


def _rig(cameras: list[Camera]) -> CameraRig:
    names = [camera.name for camera in cameras]
    twice = {name for name in names if names.count(name) > 1}
    expect(not twice, f"several cameras are called {', '.join(sorted(twice))}")
    return CameraRig(tuple(cameras))


def _toml_text(rig: CameraRig) -> str:
    """One table per camera, numbers in full."""
    lines = []
    for n, camera in enumerate(rig.cameras):
        rotvec = matrix_to_rotvec(torch.tensor(np.asarray(camera.R, float))).tolist()
        fields = {
            "name": camera.name,
            "size": [int(v) for v in camera.image_size],
            "matrix": np.asarray(camera.K, float).tolist(),
            "distortions": np.asarray(camera.distortion, float).tolist(),
            "rotation": rotvec,
            "translation": np.asarray(camera.t, float).tolist(),
            "fisheye": camera.model == "fisheye",
        }
        lines += [f"[cam_{n}]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items()), ""]
    return "\n".join(lines + ["[metadata]", 'units = "metres"', ""])


def _json_text(rig: CameraRig) -> str:
    cameras = {
        camera.name: {
            "size": [int(v) for v in camera.image_size],
            "K": np.asarray(camera.K, float).tolist(),
            "dist": np.asarray(camera.distortion, float).tolist(),
            "R": np.asarray(camera.R, float).tolist(),
            "t": np.asarray(camera.t, float).tolist(),
            "model": camera.model,
        }
        for camera in rig.cameras
    }
    note = "x_camera = R @ x_world + t; metres; OpenCV axes; dist k1 k2 p1 p2 k3"
    return json.dumps({"convention": note, "cameras": cameras}, indent=1)
