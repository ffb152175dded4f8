"""`posewright multiview`: several calibrated cameras to 3D motion."""

from pathlib import Path
from typing import Annotated

import typer

from posewright.cli import options as o


def multiview(
    sources: Annotated[
        list[str], typer.Argument(help="A clip (or 2D keypoints) per camera, in the calibration's order.")
    ],
    calib: Annotated[
        Path,
        typer.Option("--calib", help="Calibration: .toml (Pose2Sim, aniposelib), .json, Qualisys .qca.txt."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("out"),
    start: o.Start = None,
    end: o.End = None,
    people: o.People = "all",
    mode: o.ModeOption = o.Mode.balanced,
    detector: o.Detector = "detection/blazepose",
    smooth: o.Smooth = o.Smoothing.butterworth,
    foot_lock: o.Feet = o.FootLock.never,
    body: o.BodyOption = o.Body.none,
    body_detail: o.Detail = o.BodyDetail.full,
    formats: o.Formats = o.DEFAULT_FORMATS,
    json: o.Json = False,
) -> None:
    """Triangulate people filmed by several synchronised, calibrated cameras.

    Example:  posewright multiview cam1.mp4 cam2.mp4 cam3.mp4 --calib calib.toml -o out/
    """
    from posewright.batch.job import RunOptions, run_multiview
    from posewright.cli.console import progress
    from posewright.cli.run import number_of_people
    from posewright.cli.summary import show

    chosen = RunOptions(
        start=start,
        end=end,
        people=number_of_people(people),
        mode=mode.value,
        detector=detector,
        smoothing=smooth.value,
        foot_lock=foot_lock.value,
        body=body.value,
    )
    with progress(quiet=json) as report:
        result = run_multiview(
            sources,
            calib,
            out,
            chosen,
            formats=o.suffixes(formats),
            body_detail=body_detail.value,
            on_progress=report,
        )
    show(result, as_json=json)
