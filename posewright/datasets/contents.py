"""What a folder holds of a data set: takes, frames and cameras, counted by reading all of it."""

from dataclasses import dataclass
from pathlib import Path

from posewright.core.errors import InputError
from posewright.datasets.catalogue import Reader
from posewright.datasets.takes import Take


@dataclass(frozen=True)
class Contents:
    """Counts of one split."""

    takes: int = 0
    frames: int = 0
    """Of all takes, each counted once however many cameras filmed it."""
    seconds: float = 0.0
    subjects: tuple[str, ...] = ()
    views: int = 0
    """Most views of a take."""
    calibrated: int = 0
    """Most views of a take whose camera is known."""
    problem: str | None = None
    """Why the split could not be read to its end; the counts reach to there."""

    def with_take(self, take: Take) -> "Contents":
        """Return the counts with one take more."""
        known = sum(view.camera is not None for view in take.views)
        return Contents(
            self.takes + 1,
            self.frames + take.num_frames,
            self.seconds + take.num_frames / take.fps,
            tuple(sorted({*self.subjects, take.subject})),
            max(self.views, len(take.views)),
            max(self.calibrated, known),
        )

    def with_problem(self, problem: str) -> "Contents":
        """Return the counts with the reason why they end here."""
        return Contents(
            self.takes, self.frames, self.seconds, self.subjects, self.views, self.calibrated, problem
        )


def contents(reader: Reader, root: str | Path, split: str | None = None, on_take=None) -> Contents:
    """Read a split, one take after another, and count.

    Args:
        reader: see `catalogue.reader`.
        root: folder of the data set.
        split: one of the card's; None: all.
        on_take: called with the number of takes read so far.

    Returns:
        The counts; files that are missing or damaged, or a split without takes, are their `problem`.
    """
    found = Contents()
    try:
        for take in reader.read(root, split):
            found = found.with_take(take)
            if on_take is not None:
                on_take(found.takes)
    except InputError as error:
        return found.with_problem(str(error))
    return found if found.takes else found.with_problem("no takes found")
