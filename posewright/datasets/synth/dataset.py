"""Many clips in one folder, written one after another; an interrupted run goes on at the next clip.

    out/dataset.json          what was asked for, and the clips that are complete
    out/clip_0001/...         see `clip`

A clip is complete when its truth is there (it is written last); one that is not is made again.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from posewright.core.errors import InputError
from posewright.core.files import atomic_path
from posewright.datasets.synth.clip import TRUTH_FILE, Progress, make_clip
from posewright.datasets.synth.draw import SynthOptions, draw_plan
from posewright.datasets.synth.recordings import find_recordings
from posewright.io.user_files import expect, read_json, reading

DATASET_FILE = "dataset.json"
ATTEMPTS = 5
"""Draws for one clip, where a recording cannot be put on a body or a camera finds no place."""

Report = Callable[[int, int, int, int], None]
"""Called with (clip, clips, pictures done in all, pictures to expect in all)."""


def write_dataset(options: SynthOptions, out: str | Path, report: Report | None = None) -> Iterator[Path]:
    """Make the clips that are not there yet; yields the folder of each when it is complete.

    Args:
        options: what to make. A folder begun with others can only be asked for more clips.
        out: the folder.
        report: told after each picture.

    Raises:
        InputError: no recordings, other options than the folder was begun with, or a clip that cannot be made.
    """
    out = Path(out)
    _check_same(options, out)
    recordings = find_recordings(options.split, options.action, options.sources)
    _write_index(options, out)
    tally = _Tally(options, out, report)
    for number in range(1, options.clips + 1):
        folder = clip_folder(out, number)
        if not (folder / TRUTH_FILE).is_file():
            tally.begin(number)
            _make(options, number, recordings, folder, tally.told)
            _write_index(options, out)
        yield folder


class _Tally:
    """Pictures done, and to expect: clips to come are taken to be as long as those made, before that as asked for."""

    def __init__(self, options: SynthOptions, out: Path, report: Report | None):
        self.report, self.clips = report, options.clips
        self.left = sum(not (clip_folder(out, n) / TRUTH_FILE).is_file() for n in range(1, options.clips + 1))
        self.made, self.before, self.done = 0, 0, 0
        self.each = float(round(options.seconds * options.fps) * options.cameras)
        self.number = 0

    def begin(self, number: int) -> None:
        """Clip `number` is next."""
        if self.made:
            self.each = self.done / self.made
        self.number, self.before = number, self.done
        self.made, self.left = self.made + 1, self.left - 1

    def told(self, n: int, total: int) -> None:
        """So many of the clip's pictures are done."""
        self.done = self.before + n
        if self.report is not None:
            expected = self.before + total + round(self.left * self.each)
            self.report(self.number, self.clips, self.done, expected)


def clip_folder(out: str | Path, number: int) -> Path:
    """Folder of a clip, numbered from 1."""
    return Path(out) / f"clip_{number:04d}"


def _make(options: SynthOptions, number: int, recordings: list, folder: Path, told: Progress) -> None:
    """Make one clip; where it cannot be made, draw another in its place."""
    for attempt in range(ATTEMPTS):
        try:
            make_clip(
                draw_plan(options, number, recordings, attempt), folder, options.maps, told, options.renderer
            )
            return
        except InputError:
            if attempt == ATTEMPTS - 1:
                raise


def _as_asked(options: SynthOptions) -> dict:
    """The options as JSON has them."""
    return json.loads(json.dumps(asdict(options)))


def _check_same(options: SynthOptions, out: Path) -> None:
    """Refuse to mix clips of different options in one folder."""
    path = out / DATASET_FILE
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; expected a folder for the clips")
    if not path.exists():
        return
    with reading(path, "synthetic data set (dataset.json)"):
        index: Any = read_json(path)
        expect(
            isinstance(index, dict) and "options" in index,
            "has no `options`: it is not an index of synthetic clips",
        )
        begun = index["options"]
        differ = {
            k: begun.get(k) for k, v in _as_asked(options).items() if k != "clips" and begun.get(k) != v
        }
    if differ:
        was = ", ".join(f"{k} {v!r}" for k, v in differ.items())
        raise InputError(f"{out} was begun with {was}; use the same options to go on, or another folder")


def _write_index(options: SynthOptions, out: Path) -> None:
    """Say what was asked for and which clips are complete."""
    complete = [
        folder.name
        for n in range(1, options.clips + 1)
        if ((folder := clip_folder(out, n)) / TRUTH_FILE).is_file()
    ]
    index = {
        "made_by": f"posewright {version('posewright')} synth",
        "options": _as_asked(options),
        "clips": complete,
    }
    with atomic_path(out / DATASET_FILE) as temporary:
        temporary.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
