"""What was found in a clip, kept on disk while the clip is being looked at, so that an interrupt loses seconds only.

A journal is a folder of numbered npz files, each with the people of some frames in turn; a file is whole or absent.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from posewright.core.errors import InputError
from posewright.core.files import atomic_path
from posewright.io.user_files import BROKEN

FRAMES_PER_FILE = 150
_FIELDS = ("hints", "keypoints", "confidence", "scores", "colours", "world")


@dataclass(frozen=True)
class Observation:
    """The people of one frame, before they are told apart over time."""

    seconds: float
    hints: np.ndarray
    """(N,) number of the region each was followed in, -1 where the detector does not follow."""
    keypoints: np.ndarray
    """(N, K, 2) float32, pixels."""
    confidence: np.ndarray
    """(N, K) float32."""
    scores: np.ndarray
    """(N,) float32."""
    colours: np.ndarray
    """(N, C) float16, histogram of the torso."""
    world: np.ndarray
    """(N, K, 3) float32, the detector's guess in space, NaN where it has none."""


class Journal:
    """Observations of a clip's first frames, in a folder.

    Args:
        folder: made when the first file is written.
        mark: what the observations belong to (clip and options); files with another mark are removed.
    """

    def __init__(self, folder: Path, mark: str):
        self.folder, self.mark = folder, mark

    def read(self) -> list[Observation]:
        """Return what an earlier, interrupted look kept; files that do not fit are removed."""
        kept: list[Observation] = []
        files = self._files()
        for number, file in enumerate(files):
            part = self._read_file(file) if file == self._path(number) else None
            if part is None:
                for stale in files[number:]:
                    stale.unlink(missing_ok=True)
                break
            kept += part
        return kept

    def keep(self, observations: Iterable[Observation]) -> Iterator[Observation]:
        """Pass observations on and write them, a file at a time; what is left is written when the iteration ends."""
        waiting: list[Observation] = []
        try:
            for observation in observations:
                waiting.append(observation)
                if len(waiting) == FRAMES_PER_FILE:
                    self._write(waiting)
                    waiting = []
                yield observation
        finally:
            if waiting:
                self._write(waiting)

    def remove(self) -> None:
        """Delete the journal: the keypoints have been kept."""
        for file in self._files():
            file.unlink()
        if self.folder.is_dir():
            self.folder.rmdir()

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.npz")) if self.folder.is_dir() else []

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.npz"

    def _write(self, observations: list[Observation]) -> None:
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(o, name) for o in observations]) for name in _FIELDS
        }
        counts = np.array([len(o.hints) for o in observations])
        seconds = np.array([o.seconds for o in observations])
        with atomic_path(self._path(len(self._files()))) as temporary, temporary.open("wb") as stream:
            np.savez(stream, mark=self.mark, counts=counts, seconds=seconds, **columns)

    def _read_file(self, file: Path) -> list[Observation] | None:
        try:
            with np.load(file, allow_pickle=False) as data:
                if str(data["mark"]) != self.mark:
                    return None
                ends = np.cumsum(data["counts"])
                columns = [np.split(data[name], ends[:-1]) for name in _FIELDS]
                return [
                    Observation(float(s), *row) for s, *row in zip(data["seconds"], *columns, strict=True)
                ]
        except (*BROKEN, OSError, InputError):
            return None
