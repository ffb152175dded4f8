"""Calibration files of camera rigs."""

import numpy as np
import pytest

from posewright.core.errors import InputError
from posewright.io.calibration import load_rig, save_rig
from posewright.structures.cameras import Camera, CameraRig


def a_rig():
    def turned(angle):
        c, s = np.cos(angle), np.sin(angle)
        return np.array([[c, -s, 0], [0, 0, -1.0], [s, c, 0]])

    K = np.array([[1000.5, 0, 640.25], [0, 999.5, 360], [0, 0, 1]])
    distortion = np.array([0.1, -0.2, 0.001, 0.002, 0.03])
    fish = Camera(
        K, (1280, 720), turned(2), np.array([1, 2, 3.5]), distortion[:4], "fisheye", 'rück "2"', "calibrated"
    )
    return CameraRig(
        (Camera(K, (1280, 720), turned(0.3), np.array([0.1, 1, 4]), distortion, name="cam 1"), fish)
    )


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_contract_rig_round_trip(suffix, tmp_path):
    save_rig(a_rig(), tmp_path / f"rig{suffix}")
    read = load_rig(tmp_path / f"rig{suffix}")
    assert len(read) == 2
    for camera, original in zip(read.cameras, a_rig().cameras, strict=True):
        assert (camera.name, camera.model, camera.image_size) == (
            original.name,
            original.model,
            original.image_size,
        )
        for name in ("K", "R", "t", "distortion"):
            np.testing.assert_allclose(getattr(camera, name), getattr(original, name), atol=1e-12)


def test_qualisys_agrees_with_its_conversion(shared_data):
    """The same rig as Qualisys wrote it and as OpenCV matrices made from it by others."""
    folder = shared_data / "media" / "multiview" / "pose2sim_single"
    ours, theirs = load_rig(folder / "Calib.qca.txt"), load_rig(folder / "cameras_opencv.json")
    assert [c.name for c in ours.cameras] == ["cam01", "cam02", "cam03", "cam04"]
    for camera, other in zip(ours.cameras, theirs.cameras, strict=True):
        assert camera.image_size == other.image_size
        for name in ("K", "R", "t", "distortion"):
            np.testing.assert_allclose(getattr(camera, name), getattr(other, name), atol=1e-9)


def test_toml_of_aniposelib_in_millimetres(tmp_path):
    text = """[cam_0]
name = "A"
size = [ 100, 80,]
matrix = [ [ 90.0, 0.0, 50.0,], [ 0.0, 90.0, 40.0,], [ 0.0, 0.0, 1.0,],]
distortions = [ 0.1, 0.0, 0.0, 0.0,]
rotation = [ 0.0, 0.0, 0.0,]
translation = [ 1000.0, 0.0, 0.0,]

[metadata]
adjusted = false
"""
    (tmp_path / "c.toml").write_text(text)
    (camera,) = load_rig(tmp_path / "c.toml", unit="mm").cameras
    np.testing.assert_allclose(camera.t, [1, 0, 0])
    np.testing.assert_allclose(camera.distortion, [0.1, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.toml", ""),
        ("a.toml", "x ="),
        ("a.toml", "[metadata]\na = 1"),
        ("a.json", "{}"),
        ("a.json", '{"cameras": {"a": {"size": [1, 2], "K": [[1]]}}}'),
        ("a.txt", "<calibration><cameras></cameras></calibration>"),
        ("a.txt", "not xml"),
        ("a.txt", '<!DOCTYPE a [<!ENTITY b "c">]><calibration>&b;</calibration>'),
        ("a.csv", "1,2"),
    ],
)
def test_bad_calibration_is_one_clear_error(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        load_rig(tmp_path / name)


def test_absent_calibration(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_rig(tmp_path / "absent.toml")
