"""What is written down while training: the history, a CSV, and TensorBoard events for who wants them."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from posewright.core.errors import MissingExtraError
from posewright.core.files import atomic_path


class Recorder:
    """Appends rows to the history of a run, and keeps the CSV and the TensorBoard events that were asked for.

    Args:
        report: called with the averaged model and the progress; what it returns becomes columns.
        log: CSV.
        tensorboard: folder of events.
    """

    def __init__(
        self, report: Callable[..., dict] | None, log: Path | None = None, tensorboard: Path | None = None
    ):
        self.report, self.log = report, log
        self.writer = event_writer(tensorboard) if tensorboard else None

    def __call__(self, averaged: nn.Module, progress: Any, learning_rate: float) -> None:
        """Record where the run stands (`train.loop.Progress`), once per step."""
        if progress.history and progress.history[-1].get("step") == progress.step:
            return
        row = {"step": progress.step, "seconds": progress.seconds, "loss": progress.loss}
        row |= {"learning_rate": learning_rate} | (self.report(averaged, progress) if self.report else {})
        progress.history.append(row)
        if self.writer:
            for name, value in row.items():
                if isinstance(value, int | float) and name != "step":
                    self.writer.add_scalar(name, value, progress.step)
            self.writer.flush()
        if self.log:
            write_csv(self.log, progress.history)


def write_csv(path: Path, history: list[dict]) -> None:
    """Write the whole log anew, so that rows of a run that was killed are not there twice."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    with atomic_path(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, columns, restval="")
        table.writeheader()
        table.writerows(history)


def event_writer(folder: Path) -> Any:
    """Return a TensorBoard writer.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError("tensorboard", "train", "writing TensorBoard events") from None
    return SummaryWriter(str(folder))
