"""FBX and .blend go through another process, which may be absent. What they hold is tested by `make clients`
too."""

import importlib.util
import os
import shutil
import stat

import numpy as np
import pytest

from posewright.core.errors import InputError, MissingExtraError
from posewright.io import blender, formats
from tests.io.sample_motion import sample_motion

HERE = bool(os.environ.get(blender.VARIABLE) or importlib.util.find_spec("bpy") or shutil.which("blender"))


@pytest.fixture
def no_blender(monkeypatch, tmp_path):
    monkeypatch.delenv(blender.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


@pytest.mark.parametrize("suffix", [".fbx", ".blend"])
def test_without_blender_the_error_says_how_to_get_it(suffix, no_blender, tmp_path):
    with pytest.raises(MissingExtraError, match=r"posewright\[blender\]"):
        formats.save(sample_motion(1, 3), tmp_path / f"a{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_variable_that_names_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv(blender.VARIABLE, str(tmp_path / "absent"))
    with pytest.raises(InputError, match="absent"):
        blender.find_blender()


def fake(path, lines):
    path.write_text("#!/bin/sh\n" + lines)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_blender_program_runs_without_scripts_of_the_file(monkeypatch, tmp_path):
    monkeypatch.setenv(blender.VARIABLE, str(fake(tmp_path / "blender", "exit 0\n")))
    command = blender.find_blender()
    assert "--background" in command
    assert "--disable-autoexec" in command
    assert command[-1] == "--python"


def test_failure_of_the_process_is_one_clear_error(monkeypatch, tmp_path):
    monkeypatch.setenv(blender.VARIABLE, str(fake(tmp_path / "python", "echo out of memory >&2\nexit 3\n")))
    with pytest.raises(InputError, match="out of memory"):
        formats.save(sample_motion(1, 3), tmp_path / "a.fbx")
    assert not (tmp_path / "a.fbx").exists()


def test_process_that_writes_nothing_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv(blender.VARIABLE, str(fake(tmp_path / "python", "exit 0\n")))
    with pytest.raises(InputError, match="without writing"):
        formats.save(sample_motion(1, 3), tmp_path / "a.fbx")


@pytest.mark.skipif(not HERE, reason="no Blender: set POSEWRIGHT_BLENDER_PYTHON to a Python that has bpy")
@pytest.mark.parametrize(("suffix", "fps"), [(".fbx", 29.97), (".blend", 29.97), (".fbx", 24.0)])
def test_round_trip_through_blender(suffix, fps, tmp_path):
    motion = sample_motion(2, 12, fps)
    (file,) = formats.save(motion, tmp_path / f"a{suffix}")
    again = formats.load(file)
    assert again.skeleton == motion.skeleton
    assert again.fps == pytest.approx(fps, rel=1e-4)
    assert again.joints.shape == motion.joints.shape
    assert 1000 * np.linalg.norm(again.joints - motion.joints, axis=-1).max() < 0.01
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(InputError):
        formats.load(file)
