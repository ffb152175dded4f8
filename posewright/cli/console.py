"""What the command line shows: progress on stderr, results on stdout.

For another program that starts posewright and wants to follow it, `POSEWRIGHT_PROGRESS=json` in the environment turns
the bars of every verb into lines on stderr, about five a second: `{"stage": "people", "done": 42, "total": 300}`.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[str, int, int | None], None]
"""Called with (stage, frames done, frames to expect or None)."""


@contextmanager
def progress(quiet: bool = False) -> Iterator[Report]:
    """Show one bar per stage with frames per second and time left; nothing at all when `quiet`."""
    if os.environ.get("POSEWRIGHT_PROGRESS") == "json":
        yield _json_lines()
        return
    if quiet:
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[count]:>13}"),
        TextColumn("{task.fields[rate]:>12}", style="dim"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                _finish(bars, tasks)
                tasks[stage] = bars.add_task(stage, total=total, count="", rate="")
            task = bars.tasks[bars.task_ids.index(tasks[stage])]
            count, rate = _words(stage, done, total, task.finished_speed or task.speed or 0)
            bars.update(tasks[stage], completed=done, total=total, count=count, rate=rate)

        yield report
        _finish(bars, tasks)


def _json_lines() -> Report:
    """Report to a program: the begin and end of every stage, and five lines a second between them."""
    said: tuple[str, float] = ("", 0.0)

    def report(stage: str, done: int, total: int | None) -> None:
        nonlocal said
        now = time.monotonic()
        if stage == said[0] and done != total and now - said[1] < 0.2:
            return
        said = (stage, now)
        print(json.dumps({"stage": stage, "done": done, "total": total}), file=sys.stderr, flush=True)

    return report


def _words(stage: str, done: int, total: int | None, speed: float) -> tuple[str, str]:
    """How much is done and how fast, in frames; of a download, in megabytes."""
    if stage.startswith("fetching"):
        return f"{done / 1e6:.1f}/{(total or done) / 1e6:.1f} MB", ""
    many = (total or 0) > 1
    count = f"{done}/{total}" if many else (str(done) if total is None else "")
    return count, f"{speed:.0f} frames/s" if many else ""


def _finish(bars, tasks: dict) -> None:
    """Fill the bars of stages whose frame count was only an estimate."""
    for task in tasks.values():
        done = bars.tasks[bars.task_ids.index(task)].completed
        bars.update(task, total=max(done, 1), completed=max(done, 1))


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table to stdout."""
    from rich.console import Console
    from rich.table import Table

    out = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        out.add_column(column, overflow="fold")
    for row in rows:
        out.add_row(*row)
    Console().print(out)
