"""`posewright adapt` as a user meets it: footage in, weights and a report out, one-line errors."""

import json

import pytest

from posewright.cli import run_command_line
from posewright.evaluate.lifters import load_lifter, save_lifter
from posewright.io import keypoints_npz
from tests.adapt.domains import h36m_footage, student
from tests.datasets.trees import mocap


@pytest.fixture
def footage(tmp_path):
    (tmp_path / "footage").mkdir()
    keypoints_npz.write(h36m_footage(1.0), tmp_path / "footage" / "a.npz")
    (tmp_path / "data" / "mocap").mkdir(parents=True)
    mocap.write(tmp_path / "data" / "mocap")
    save_lifter(student().model, tmp_path / "lifter.safetensors")  # type: ignore[arg-type]
    return tmp_path


def command(footage, *more: str) -> list[str]:
    to, data, weights = (str(footage / name) for name in ("footage", "data", "lifter.safetensors"))
    named = ["--lifter", "lifting/mixste", "--weights", weights]
    return ["adapt", "--to", to, "--out", str(footage / "out"), "--data", data, *named, *more]


def test_writes_weights_that_run_takes_and_says_what_changed(footage, capsys):
    assert run_command_line(command(footage, "--steps", "2", "--batch", "2")) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "joints from their keypoints:" in said
    assert "--lifter-weights" in said
    weights = footage / "out" / "weights.safetensors"
    assert load_lifter("lifting/mixste", weights).window == 9
    run = ["run", str(footage / "footage" / "a.npz"), "-o", str(footage / "run"), "--json", "--no-report"]
    named = ["--lifter", "lifting/mixste", "--lifter-weights", str(weights), "--formats", "bvh"]
    assert run_command_line([*run, *named]) == 0
    assert json.loads(capsys.readouterr().out)["people"] == 1


def test_prints_json(footage, capsys):
    arguments = command(footage, "--steps", "2", "--batch", "2", "--rank", "2", "--method", "gpa", "--json")
    assert run_command_line(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["settings"]["method"] == "gpa"
    assert [f.rpartition("/")[2] for f in report["files"]][:2] == [
        "weights.safetensors",
        "adapter.safetensors",
    ]


def test_errors_are_one_line(footage, capsys):
    (footage / "empty").mkdir()
    arguments = command(footage)
    arguments[2] = str(footage / "empty")
    assert run_command_line(arguments) == 1
    assert "no footage to adapt to" in capsys.readouterr().err
    assert run_command_line(command(footage, "--adapter", str(footage / "lifter.safetensors"))) == 1
    assert "not a low-rank adapter" in capsys.readouterr().err
    assert run_command_line(command(footage, "--method", "magic")) == 1
    assert "expected one of gpa, poseda, posynda" in capsys.readouterr().err
    assert run_command_line(["adapt", "--out", str(footage / "out")]) == 2
    assert not (footage / "out" / "weights.safetensors").exists()
