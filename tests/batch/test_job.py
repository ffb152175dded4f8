"""One clip to one folder: what is written, what is reused, what happens when things go wrong."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import posewright as pw
from posewright.batch import job
from posewright.batch.job import run_clip
from posewright.core.errors import InputError
from posewright.io import keypoints_npz
from posewright.io.video import write_video
from posewright.pipelines.video_to_motion import RunOptions
from tests.scenes import walking_keypoints


@pytest.fixture
def keypoints_file(tmp_path) -> Path:
    path = tmp_path / "walk.npz"
    keypoints_npz.write(walking_keypoints(), path)
    return path


@pytest.fixture
def clip(tmp_path) -> Path:
    """Ten grey frames: what is found in them is decided by the fake detector of each test."""
    path = tmp_path / "clip.mp4"
    with write_video(path, (320, 180), 30) as write:
        for shade in range(10):
            write(np.full((180, 320, 3), shade, np.uint8))
    return path


def test_every_file_is_written_and_can_be_read(keypoints_file, tmp_path):
    out = tmp_path / "out"
    result = run_clip(keypoints_file, out)
    names = {f.name for f in result.files}
    assert names == {
        "motion.npz",
        *(f"walk.{s}" for s in ("bvh", "glb", "trc", "c3d", "mot", "csv", "json")),
        "report.html",
    }
    assert {p.name for p in out.iterdir()} == names | {"summary.json"}
    assert result.num_people == 1
    assert result.num_frames == 60
    motion = pw.load(out / "motion.npz")
    for suffix in ("bvh", "glb", "csv", "json"):
        again = pw.load(out / f"walk.{suffix}")
        assert again.num_frames == 60
        assert abs(again.fps - 30) < 0.01
        shared = [n for n in motion.skeleton.joint_names if n in again.skeleton.joint_names]
        a = motion.joints[:, 0, motion.skeleton.indices(*shared)]
        b = again.joints[:, 0, again.skeleton.indices(*shared)]
        assert len(shared) >= 20
        assert np.abs(a - b).max() < 1e-3, suffix


def test_person_walks_on_the_floor_where_they_walked(keypoints_file, tmp_path):
    motion = run_clip(keypoints_file, tmp_path / "out", RunOptions(focal=1100), report_page=False).motion
    feet = motion.joints[:, 0, motion.skeleton.indices("left_heel", "left_toe", "right_heel", "right_toe"), 2]
    assert -0.05 < np.median(feet.min(1)) < 0.05
    pelvis = motion.joints[:, 0, 0]
    assert 0.7 < np.median(pelvis[:, 2]) < 1.15
    length = np.linalg.norm(pelvis[-1] - pelvis[0])
    assert 0.7 * 2.36 < length < 1.3 * 2.36


def test_summary_says_what_was_done(keypoints_file, tmp_path):
    result = run_clip(keypoints_file, tmp_path / "out", report_page=False, formats=("bvh",))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["people"] == 1
    assert summary["frames"] == 60
    assert summary["files"] == ["motion.npz", "walk.bvh"]
    assert "lifting to 3D" in summary["stage_seconds"]
    assert result.motion.history


def test_two_people_get_two_files_where_the_format_holds_one(tmp_path):
    one, other = walking_keypoints(heading=1.2), walking_keypoints(heading=-1.2)
    both = replace(
        one,
        positions=np.concatenate([one.positions, other.positions], 1),
        confidence=np.concatenate([one.confidence, other.confidence], 1),
        person_ids=(1, 2),
    )
    keypoints_npz.write(both, tmp_path / "two.npz")
    result = run_clip(tmp_path / "two.npz", tmp_path / "out", formats=("bvh", "glb"))
    assert {f.name for f in result.files} >= {"two_person1.bvh", "two_person2.bvh", "two.glb"}


def test_one_frame(tmp_path):
    keypoints_npz.write(walking_keypoints(seconds=0.01), tmp_path / "one.npz")
    result = run_clip(tmp_path / "one.npz", tmp_path / "out")
    assert result.num_frames == 1
    assert np.isfinite(result.motion.joints).all()


def test_person_in_three_frames_only(tmp_path):
    keypoints = walking_keypoints()
    hidden = np.ones(60, bool)
    hidden[20:23] = False
    positions, confidence = keypoints.positions.copy(), keypoints.confidence.copy()
    positions[hidden], confidence[hidden] = np.nan, 0
    keypoints_npz.write(
        replace(keypoints, positions=positions, confidence=confidence), tmp_path / "three.npz"
    )
    motion = run_clip(tmp_path / "three.npz", tmp_path / "out").motion
    assert np.isfinite(motion.joints[20:23]).all()
    assert np.isnan(motion.joints[:5]).all()
    assert np.isnan(motion.joints[-5:]).all()


def test_nan_keypoints_are_gaps(tmp_path):
    keypoints = walking_keypoints()
    positions = keypoints.positions.copy()
    positions[10:15, 0, 9] = np.nan
    positions[30] = np.inf
    keypoints_npz.write(replace(keypoints, positions=positions), tmp_path / "nan.npz")
    motion = run_clip(tmp_path / "nan.npz", tmp_path / "out", report_page=False).motion
    assert np.isfinite(motion.joints).all()


def test_only_nan_is_nobody(tmp_path):
    keypoints = walking_keypoints()
    empty = replace(
        keypoints, positions=np.full_like(keypoints.positions, np.nan), confidence=keypoints.confidence * 0
    )
    keypoints_npz.write(empty, tmp_path / "nobody.npz")
    with pytest.raises(InputError, match="nobody"):
        run_clip(tmp_path / "nobody.npz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_hostile_npz_is_refused_and_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'sprung'}",)

    np.savez(
        tmp_path / "trap.npz", positions=np.array([Trap()], dtype=object), format="posewright keypoints 1"
    )
    with pytest.raises(InputError):
        run_clip(tmp_path / "trap.npz", tmp_path / "out")
    assert not (tmp_path / "sprung").exists()


def test_second_run_reuses_what_was_found(clip, tmp_path, monkeypatch):
    looks = []

    def fake(opened, options, on_progress=None, journal=None):
        looks.append(options)
        return walking_keypoints(seconds=10 / 30), ("one warning",)

    monkeypatch.setattr(job, "find_people", fake)
    out = tmp_path / "out"
    run_clip(clip, out, formats=(), overlay=False, report_page=False)
    result = run_clip(clip, out, RunOptions(smoothing="none"), formats=(), overlay=False, report_page=False)
    assert len(looks) == 1
    assert "one warning" in result.warnings
    run_clip(clip, out, RunOptions(people=1), formats=(), overlay=False, report_page=False)
    assert len(looks) == 2
    run_clip(clip, out, RunOptions(people=1), formats=(), overlay=False, report_page=False, fresh=True)
    assert len(looks) == 3
    clip.write_bytes(clip.read_bytes() + b"\0")
    run_clip(clip, out, RunOptions(people=1), formats=(), overlay=False, report_page=False)
    assert len(looks) == 4


def test_overlay_and_report_come_with_a_clip(clip, tmp_path, monkeypatch):
    found = walking_keypoints(seconds=10 / 30)
    monkeypatch.setattr(job, "find_people", lambda *a, **k: (found, ()))
    result = run_clip(clip, tmp_path / "out", formats=("bvh",))
    assert {f.name for f in result.files} == {"motion.npz", "clip.bvh", "overlay.mp4", "report.html"}
    from posewright.io.video import open_clip

    assert len(list(open_clip(tmp_path / "out" / "overlay.mp4"))) == 10


def test_two_runs_into_one_folder(clip, tmp_path, monkeypatch):
    inside, go_on = threading.Event(), threading.Event()

    def slow(opened, options, on_progress=None, journal=None):
        inside.set()
        go_on.wait(20)
        return walking_keypoints(seconds=10 / 30), ()

    monkeypatch.setattr(job, "find_people", slow)
    out = tmp_path / "out"
    first = threading.Thread(
        target=run_clip, args=(clip, out), kwargs={"formats": (), "overlay": False, "report_page": False}
    )
    first.start()
    assert inside.wait(20)
    try:
        with pytest.raises(InputError, match="another run"):
            run_clip(clip, out, formats=())
    finally:
        go_on.set()
        first.join()
    assert (out / "summary.json").exists()


def test_folder_that_cannot_be_written(keypoints_file, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        run_clip(keypoints_file, tmp_path / "file" / "out")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write into read-only folders")
def test_read_only_folder(keypoints_file, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot be written"):
        run_clip(keypoints_file, tmp_path / "locked" / "out")


def test_unknown_format_is_refused_before_any_work(keypoints_file, tmp_path):
    with pytest.raises(InputError, match="xyz"):
        run_clip(keypoints_file, tmp_path / "out", formats=("bvh", "xyz"))
    assert not (tmp_path / "out").exists()


def test_interrupt_leaves_no_half_written_file_and_the_next_run_works(keypoints_file, tmp_path):
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-c",
        "from posewright.cli import main; main()",
        "run",
        str(keypoints_file),
        "-o",
        str(out),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    give_up = time.monotonic() + 60
    while not (out / "motion.npz").exists() and time.monotonic() < give_up:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    if process.returncode == 130:
        assert "run the same command again" in error
        assert "Traceback" not in error
        assert not (out / "summary.json").exists()
    assert not [p for p in out.iterdir() if p.name.startswith(".")]
    for path in out.glob("*.npz"):
        pw.load(path)
    assert run_clip(keypoints_file, out).num_frames == 60


def test_a_format_that_cannot_hold_the_motion_does_not_cost_the_others(keypoints_file, tmp_path, monkeypatch):
    from posewright.io import c3d

    def full(*arguments, **options):
        raise InputError("too many frames for this format")

    monkeypatch.setattr(c3d, "write", full)
    result = run_clip(keypoints_file, tmp_path / "out", formats=("c3d", "bvh"), report_page=False)
    assert [f.name for f in result.files] == ["motion.npz", "walk.bvh"]
    assert "no .c3d file: too many frames for this format" in result.warnings
