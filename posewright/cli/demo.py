"""`posewright demo`: the whole way, on a clip that is fetched for you."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("out/demo"),
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the report in the browser.")
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")] = False,
) -> None:
    """Fetch the demo clip (Sports2D, BSD-3-Clause; two people) and run everything on it.

    Example:  posewright demo -o out/demo
    """
    from posewright.batch.job import RunOptions, run_clip
    from posewright.cli.console import progress
    from posewright.cli.summary import open_in_browser, show
    from posewright.pipelines.demo_clip import obtain_demo_clip

    with progress(quiet=json) as report:
        clip = obtain_demo_clip(lambda done, total: report("fetching the clip", done, total))
        result = run_clip(clip, out, RunOptions(), on_progress=report)
    show(result, as_json=json)
    if open_page and not json and result.report is not None:
        open_in_browser(result.report)
