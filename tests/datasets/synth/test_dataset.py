"""Data sets of synthetic clips: drawn by seed, resumed after an interrupt."""

import json

import numpy as np
import pytest

from posewright.bodies import anny
from posewright.cli.synth import picture_size
from posewright.core.assets import cache_folder
from posewright.core.errors import InputError
from posewright.datasets.procedural import walk
from posewright.datasets.synth import SynthOptions, draw_plan, read_truth, write_dataset
from posewright.datasets.synth.draw import APART, _path
from posewright.datasets.synth.recordings import find_recordings
from posewright.io.formats import save

needs_anny = pytest.mark.skipif(
    not (cache_folder() / anny.FILE).is_file(),
    reason="the Anny body is not in the cache; load it once to make it",
)


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "walk.npz"
    save(walk(1.0, 10.0), path)
    return str(path)


def options(recording: str, **changes) -> SynthOptions:
    given = {
        "clips": 2,
        "seconds": 0.4,
        "fps": 10.0,
        "image_size": (96, 64),
        "sources": (recording,),
        "topology": "low_1229",
        "supersample": 1,
    }
    return SynthOptions(**(given | changes))


@needs_anny
def test_an_interrupted_run_goes_on_at_the_next_clip(recording, tmp_path):
    class Interrupt(Exception):
        pass

    def stop_in_second(clip, of, done, total):
        assert done <= total
        if clip == 2:
            raise Interrupt

    out = tmp_path / "out"
    with pytest.raises(Interrupt):
        list(write_dataset(options(recording), out, stop_in_second))
    first = out / "clip_0001" / "truth.npz"
    stamp = first.stat().st_mtime_ns
    assert json.loads((out / "dataset.json").read_text())["clips"] == ["clip_0001"]
    assert not (out / "clip_0002" / "truth.npz").exists()
    assert not list(out.glob("**/.*.mp4"))
    seen = []
    folders = list(write_dataset(options(recording), out, lambda clip, *rest: seen.append(clip)))
    assert set(seen) == {2}
    assert [f.name for f in folders] == ["clip_0001", "clip_0002"]
    assert first.stat().st_mtime_ns == stamp
    assert json.loads((out / "dataset.json").read_text())["clips"] == ["clip_0001", "clip_0002"]
    one, two = (read_truth(f / "truth.npz") for f in folders)
    assert not np.array_equal(one.betas, two.betas)
    with pytest.raises(InputError, match="begun with seed 0"):
        list(write_dataset(options(recording, seed=4), out))


def test_law_plans_follow_from_seed_and_number(recording):
    found = find_recordings(sources=(recording,))
    chosen = options(recording, people=3, cameras=4, camera="moving")
    plans = [draw_plan(chosen, n, found) for n in (1, 2, 1)]
    assert [p.offset for p in plans[0].performers] == [p.offset for p in plans[2].performers]
    assert plans[0].cameras == plans[2].cameras
    assert plans[0].cameras != plans[1].cameras
    assert plans[0].scene_seed == plans[2].scene_seed
    assert all(c.move != "static" for c in plans[0].cameras)


def test_law_people_keep_apart(recording):
    found = find_recordings(sources=(recording,))
    for n in range(1, 6):
        cast = draw_plan(options(recording, people=3), n, found).performers
        paths = [_path(p) + p.offset for p in cast]
        gaps = [np.linalg.norm(a - b, axis=-1).min() for i, a in enumerate(paths) for b in paths[:i]]
        assert min(gaps) > APART


def test_actions_that_are_not_there_are_listed(shared_data, monkeypatch):
    monkeypatch.setenv("POSEWRIGHT_DATA", str(shared_data))
    with pytest.raises(InputError, match="walk"):
        find_recordings("val", "skydiving")
    assert all("walk" in r.description for r in find_recordings("val", "Walk"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"clips": 0}, "clips is 0"),
        ({"people": 99}, "people is 99"),
        ({"camera": "flying"}, "flying"),
        ({"maps": ("flow",)}, "flow"),
        ({"seconds": 0.0}, "seconds"),
        ({"fps": float("nan")}, "fps"),
        ({"image_size": (97, 64)}, "97x64"),
        ({"split": "test"}, "test"),
    ],
)
def test_wrong_options_say_so(change, said):
    with pytest.raises(InputError, match=said):
        options("walk.npz", **change)


def test_picture_size():
    assert picture_size("1280x720") == (1280, 720)
    with pytest.raises(InputError, match="width x height"):
        picture_size("720p")
