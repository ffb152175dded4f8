"""The command line as a user meets it: help, results, one-line errors, exit statuses."""

import json
import subprocess
import sys

import pytest

from posewright.cli import explain, run_command_line
from posewright.io import keypoints_npz
from tests.scenes import walking_keypoints

VERBS = (
    "run",
    "demo",
    "convert",
    "view",
    "batch",
    "doctor",
    "synth",
    "models",
    "datasets",
    "multiview",
    "evaluate",
    "train",
    "adapt",
    "benchmark",
    "serve",
)


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    import os

    code = "from posewright.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "100", **environment},
    )


@pytest.fixture
def walk_file(tmp_path):
    keypoints_npz.write(walking_keypoints(seconds=0.5), tmp_path / "walk.npz")
    return tmp_path / "walk.npz"


def test_help_does_not_load_torch():
    code = (
        "import sys\nfrom posewright.cli import run_command_line\n"
        "run_command_line(['--help'])\nassert 'torch' not in sys.modules and 'cv2' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "posewright run clip.mp4" in done.stdout


def test_python_m_posewright_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "posewright", "run", "nowhere.mp4"], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "nowhere.mp4" in done.stderr
    assert "Traceback" not in done.stderr


def test_import_does_not_load_torch():
    code = "import sys, posewright\nassert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("verb", [v for v in VERBS if v != "models"])
def test_contract_every_verb_has_help_with_an_example(verb, capsys):
    assert run_command_line([verb, "--help"]) == 0
    assert f"Example:  posewright {verb}" in capsys.readouterr().out


def test_version(capsys):
    from posewright import __version__

    assert run_command_line(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


def test_run_prints_json(walk_file, tmp_path, capsys):
    status = run_command_line(
        ["run", str(walk_file), "-o", str(tmp_path / "out"), "--json", "--no-report", "--formats", "bvh"]
    )
    assert status == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["people"] == 1
    assert summary["files"] == ["motion.npz", "walk.bvh"]


def test_run_says_where_things_are(walk_file, tmp_path, capsys):
    assert run_command_line(["run", str(walk_file), "-o", str(tmp_path / "out"), "--formats", "bvh"]) == 0
    out = capsys.readouterr().out
    assert "1 person, 15 frames" in out
    assert "walk.bvh" in out
    assert "report.html" in out.replace("\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "Missing argument"),
        (["rnu", "clip.mp4"], "No such command"),
        (["run", "clip.mp4", "--people", "none"], "positive number or all"),
        (["run", "clip.mp4", "--smooth", "sometimes"], "sometimes"),
        (["run", "clip.mp4", "--fps", "fast"], "--fps"),
    ],
)
def test_wrong_usage_is_2(arguments, said, capsys):
    assert run_command_line(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (None, "none.mp4", "does not exist"),
        (b"", "empty.mp4", "is empty"),
        (b"text\n" * 100, "text.mp4", "cannot be read as a video"),
        (b"{", "broken.json", "broken.json"),
        (b"PK\3\4 not really", "broken.npz", "broken.npz"),
    ],
)
def test_bad_input_is_one_line_and_1(content, name, said, tmp_path, capsys):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    status = run_command_line(["run", str(tmp_path / name), "-o", str(tmp_path / "out"), "--json"])
    lines = capsys.readouterr().err.strip().splitlines()
    assert status == 1
    assert len(lines) == 1, lines
    assert lines[0].startswith("posewright: ")
    assert said in lines[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--fov", "60", "--focal", "900"], "--fov and --focal"),
        (["--subject-height", "174"], "metres"),
        (["--start", "5", "--end", "2"], "end"),
        (["--formats", "bvh,xyz"], "xyz"),
        (["--lifter", "lifting/nobody"], "lifting/nobody"),
    ],
)
def test_impossible_options_are_one_line(options, said, walk_file, tmp_path, capsys):
    status = run_command_line(["run", str(walk_file), "-o", str(tmp_path / "out"), "--json", *options])
    error = capsys.readouterr().err
    assert status == 1
    assert len(error.strip().splitlines()) == 1
    assert said in error


def test_debug_shows_the_traceback(tmp_path):
    quiet, loud = command("run", "none.mp4"), command("run", "none.mp4", "--debug")
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in loud.stderr
    assert quiet.returncode == loud.returncode == 1


def test_full_disk_is_one_line():
    assert (
        explain(OSError(28, "No space left on device", "out/clip.bvh"))
        == "out/clip.bvh: No space left on device"
    )


def test_the_unforeseen_says_how_to_see_more():
    assert "--debug" in explain(RuntimeError("boom"))


def test_convert_and_view(walk_file, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        run_command_line(
            ["run", str(walk_file), "-o", str(out), "--json", "--no-report", "--formats", "bvh,trc"]
        )
        == 0
    )
    assert run_command_line(["convert", str(out / "walk.bvh"), str(tmp_path / "walk.glb")]) == 0
    assert (tmp_path / "walk.glb").read_bytes()[:4] == b"glTF"
    assert run_command_line(["convert", str(out / "walk.trc"), str(tmp_path / "again.bvh")]) == 1
    assert "--fit-rig" in capsys.readouterr().err
    assert run_command_line(["convert", str(out / "walk.trc"), str(tmp_path / "again.bvh"), "--fit-rig"]) == 0
    assert (tmp_path / "again.bvh").read_text().startswith("HIERARCHY")
    moved, character = tmp_path / "moved.glb", tmp_path / "walk.glb"
    assert run_command_line(["convert", str(out / "motion.npz"), str(moved), "--onto", str(character)]) == 0
    assert moved.stat().st_size > character.stat().st_size
    assert (
        run_command_line(["convert", str(out / "motion.npz"), str(moved), "--onto", str(out / "walk.bvh")])
        == 1
    )
    assert "same suffix" in capsys.readouterr().err
    assert run_command_line(["view", str(tmp_path / "walk.glb"), "--no-open"]) == 0
    assert "<html" in (tmp_path / "walk.html").read_text()


def test_batch_goes_on_after_a_failure_and_skips_what_is_done(walk_file, tmp_path, capsys, monkeypatch):
    from posewright.batch import job, many

    clips = tmp_path / "clips"
    clips.mkdir()
    import numpy as np

    from posewright.io.video import write_video
    from tests.batch.test_job import walking_keypoints as found

    with write_video(clips / "good.mp4", (320, 180), 30) as write:
        for _ in range(10):
            write(np.zeros((180, 320, 3), np.uint8))
    (clips / "bad.mp4").write_text("no video")
    monkeypatch.setattr(job, "find_people", lambda *a, **k: (found(seconds=10 / 30), ()))
    arguments = [
        "batch",
        str(clips),
        "-o",
        str(tmp_path / "out"),
        "--formats",
        "bvh",
        "--no-report",
        "--no-overlay",
        "--json",
    ]
    assert run_command_line(arguments) == 1
    first = {x["source"].split("/")[-1]: x["state"] for x in json.loads(capsys.readouterr().out)}
    assert first == {"bad.mp4": "failed", "good.mp4": "done"}
    assert run_command_line(arguments) == 1
    second = {x["source"].split("/")[-1]: x["state"] for x in json.loads(capsys.readouterr().out)}
    assert second == {"bad.mp4": "failed", "good.mp4": "skipped"}
    assert many.find_clips([clips / "good.mp4"]) == [clips / "good.mp4"]


def test_models_list_and_show(capsys):
    assert run_command_line(["models", "list", "--json"]) == 0
    names = {x["name"] for x in json.loads(capsys.readouterr().out)}
    assert "detection/blazepose" in names
    assert any(n.startswith("lifting/") for n in names)
    assert run_command_line(["models", "show", "detection/blazepose"]) == 0
    assert "Apache-2.0" in capsys.readouterr().out
    assert run_command_line(["models", "show", "detection/blazepoze"]) == 1
    assert "detection/blazepose" in capsys.readouterr().err


def test_doctor_reports_as_json(capsys):
    status = run_command_line(["doctor", "--json"])
    checks = {c["name"]: c for c in json.loads(capsys.readouterr().out)}
    assert checks["one OpenCV"]["state"] == "ok"
    assert status == int(any(c["state"] == "missing" for c in checks.values()))
    assert all(c["mend"] for c in checks.values() if c["state"] == "missing")


@pytest.mark.parametrize(("verb", "known"), [("train", "train_raylift"), ("benchmark", "speed")])
def test_recipes_and_measurements_are_listed_by_name(verb, known, capsys):
    assert run_command_line([verb]) == 0
    assert known in capsys.readouterr().out
    assert run_command_line([verb, "nothing"]) == 1
    assert known in capsys.readouterr().err


def test_what_follows_the_name_goes_to_the_recipe(capsys):
    assert run_command_line(["benchmark", "report_screenshot", "--", "--help"]) == 0
    assert "--phone" in capsys.readouterr().out


def test_evaluate_without_recordings_says_where_to_put_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("POSEWRIGHT_DATA", str(tmp_path))
    assert run_command_line(["evaluate", "--json"]) == 1
    assert "POSEWRIGHT_DATA" in capsys.readouterr().err


@pytest.mark.parametrize(("size", "frames"), [((16, 16), 5), ((320, 180), 12), ((320, 180), 1)])
def test_a_clip_without_people_is_one_line(size, frames, tmp_path, capsys):
    """With the real detector, which fetches its models the first time."""
    import numpy as np

    from posewright.io.video import write_video

    with write_video(tmp_path / "grey.mp4", size, 30) as write:
        for shade in range(frames):
            write(np.full((size[1], size[0], 3), 90 + shade, np.uint8))
    assert run_command_line(["run", str(tmp_path / "grey.mp4"), "-o", str(tmp_path / "out"), "--json"]) == 1
    error = capsys.readouterr().err
    assert "nobody was found in grey.mp4" in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_real_clip_goes_all_the_way(shared_data, tmp_path, capsys):
    """A person on film, the real detector and lifter, every file; then again without looking at the pictures."""
    clip = shared_data / "media" / "videos" / "squats_5fps.mp4"
    arguments = [
        "run",
        str(clip),
        "-o",
        str(tmp_path / "out"),
        "--end",
        "3",
        "--json",
        "--subject-height",
        "1.7",
    ]
    assert run_command_line(arguments) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["people"] == 1
    assert summary["frames"] == 15
    assert {"squats_5fps.bvh", "squats_5fps.glb", "overlay.mp4", "report.html"} <= set(summary["files"])
    assert run_command_line([*arguments, "--smooth", "none"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert "people (from before)" in again["stage_seconds"]
    import posewright as pw

    motion = pw.load(tmp_path / "out" / "motion.npz")
    knee = motion.joints[:, 0, motion.skeleton.index("left_knee"), 2]
    hip = motion.joints[:, 0, motion.skeleton.index("left_hip"), 2]
    assert hip.max() - hip.min() > 0.15, "squatting lowers the hips"
    assert 0.25 < knee.mean() < 0.65


def test_a_backend_without_its_model_file_says_which_option(tmp_path, capsys):
    import numpy as np

    from posewright.io.video import write_video

    with write_video(tmp_path / "grey.mp4", (64, 64), 30) as write:
        write(np.zeros((64, 64, 3), np.uint8))
    clip = [str(tmp_path / "grey.mp4"), "-o", str(tmp_path / "out"), "--json"]
    assert run_command_line(["run", *clip, "--detector", "detection/rtmpose_onnx"]) == 1
    assert "--detector-model" in capsys.readouterr().err
    (tmp_path / "broken.onnx").write_bytes(b"not a network")
    options = ["--detector", "detection/rtmpose_onnx", "--detector-model", str(tmp_path / "broken.onnx")]
    assert run_command_line(["run", *clip, *options]) == 1
    assert "broken.onnx" in capsys.readouterr().err
