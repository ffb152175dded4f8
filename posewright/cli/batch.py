"""`posewright batch`: many clips, one folder each, resumable."""

from pathlib import Path
from typing import Annotated

import typer

from posewright.cli import options as o


def batch(
    sources: Annotated[list[str], typer.Argument(help="Videos, photos, or folders of videos.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder that gets one folder per clip.")] = Path(
        "out"
    ),
    people: o.People = "all",
    mode: o.ModeOption = o.Mode.balanced,
    subject_height: o.SubjectHeight = None,
    fov: o.Fov = None,
    body: o.BodyOption = o.Body.none,
    samples: o.Samples = None,
    formats: o.Formats = o.DEFAULT_FORMATS,
    no_overlay: o.NoOverlay = False,
    no_report: o.NoReport = False,
    json: o.Json = False,
) -> int:
    """Run many clips one after another; clips already done are skipped, one that fails does not stop the rest.

    Example:  posewright batch videos/ -o out/ --people 1
    """
    from posewright.batch.job import RunOptions
    from posewright.batch.many import run_many
    from posewright.cli.console import progress
    from posewright.cli.run import number_of_people

    chosen = RunOptions(
        people=number_of_people(people),
        mode=mode.value,
        subject_height=subject_height,
        fov=fov,
        body=body.value,
        samples=samples,
    )
    with progress(quiet=json) as report:
        outcomes = run_many(
            sources,
            out,
            chosen,
            formats=o.suffixes(formats),
            overlay=not no_overlay,
            report_page=not no_report,
            on_progress=report,
        )
    failed = [x for x in outcomes if x.error]
    if json:
        import json as to_json

        print(to_json.dumps([x.summary() for x in outcomes], indent=2))
    else:
        for outcome in outcomes:
            print(f"{outcome.state:8} {outcome.source}  {outcome.error or outcome.folder}")
    return 1 if failed else 0
