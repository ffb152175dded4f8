"""`posewright adapt`: a lifter goes on training on somebody's own footage, without labels."""

from pathlib import Path
from typing import Annotated

import typer

from posewright.cli import options as o

_HOW = "How to adapt"


def adapt(
    to: Annotated[
        Path, typer.Option("--to", help="Your footage: a folder of videos, or of 2D keypoints (JSON, npz).")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the adapted weights and the report.")],
    lifter: Annotated[
        str, typer.Option("--lifter", help="2D-to-3D method: see `posewright models list`.")
    ] = "lifting/raylift",
    weights: Annotated[
        Path | None, typer.Option("--weights", help="File of its weights; the default lifter has its own.")
    ] = None,
    variant: Annotated[
        str | None, typer.Option("--variant", help="Published size of an authors' checkpoint.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="gpa (any lifter), poseda (gpa, and more various poses), posynda (D3DP).",
            rich_help_panel=_HOW,
        ),
    ] = "gpa",
    steps: Annotated[int, typer.Option("--steps", help="Training steps.", rich_help_panel=_HOW)] = 300,
    batch: Annotated[int, typer.Option("--batch", help="Windows per step.", rich_help_panel=_HOW)] = 16,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", help="Highest learning rate.", rich_help_panel=_HOW)
    ] = 2e-4,
    rank: Annotated[
        int | None,
        typer.Option("--rank", help="Train a low-rank adapter of this rank alone.", rich_help_panel=_HOW),
    ] = None,
    adapter: Annotated[
        Path | None,
        typer.Option("--adapter", help="Go on from an earlier adapter.safetensors.", rich_help_panel=_HOW),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Of everything that is drawn.", rich_help_panel=_HOW)
    ] = 0,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Folder that holds mocap/train (default: POSEWRIGHT_DATA).", rich_help_panel=_HOW
        ),
    ] = None,
    start: o.Start = None,
    end: o.End = None,
    fps: o.Fps = None,
    image_size: o.ImageSize = None,
    people: o.People = "all",
    mode: o.ModeOption = o.Mode.balanced,
    detector: o.Detector = "detection/blazepose",
    fov: o.Fov = None,
    focal: o.Focal = None,
    device: o.Device = "auto",
    json: o.Json = False,
) -> None:
    """Adapt a lifter to your own footage, without labels: to its camera, its people's places and sizes, their poses.

    Example:  posewright adapt --to my_videos/ --out out/mine
    then      posewright run clip.mp4 --lifter lifting/raylift --lifter-weights out/mine/weights.safetensors
    """
    from posewright.adapt.recipe import adapt_lifter
    from posewright.adapt.sources import read_footage
    from posewright.adapt.training import AdaptationOptions
    from posewright.cli.console import progress
    from posewright.cli.run import number_of_people
    from posewright.pipelines.lift import choose_lifter
    from posewright.pipelines.video_to_motion import RunOptions

    chosen = AdaptationOptions(steps, batch, learning_rate, seed, rank, adapter=adapter)
    looking = RunOptions(
        start=start,
        end=end,
        fps=fps,
        image_size=image_size,
        people=number_of_people(people),
        mode=mode.value,
        detector=detector,
        fov=fov,
        focal=focal,
        device=device,
    )
    model = choose_lifter(lifter, variant, weights, device)
    source = _source(model, data)
    with progress(quiet=json) as report:
        footage = read_footage(to, looking, out / "keypoints", report)
        done = adapt_lifter(model, footage.clips, footage.cameras, method, chosen, source, report)
    files = done.save(out)
    _show(done, (*footage.warnings, *done.warnings), files, lifter, json)


def _source(model, data: Path | None):
    """Motion with truth, before any picture is looked at: without it nothing can be adapted."""
    from posewright.adapt.recipe import default_source, source_of

    return default_source(model) if data is None else source_of(model, data / "mocap")


def _show(done, warnings: tuple[str, ...], files: list[Path], lifter: str, as_json: bool) -> None:
    if as_json:
        import json as to_json

        print(
            to_json.dumps(
                {**done.report, "warnings": list(warnings), "files": [str(f) for f in files]}, indent=2
            )
        )
        return
    from rich.console import Console
    from rich.markup import escape

    from posewright.adapt.report import in_words

    console = Console(highlight=False)
    console.print(f"\n[bold]{escape(lifter)}[/], before -> after, on the last fifth of your clips:")
    for line in in_words(done.report):
        console.print(f"  {escape(line)}")
    for warning in warnings:
        console.print(f"  [yellow]![/] {escape(warning)}")
    for file in files:
        console.print(f"    {escape(str(file))}")
    console.print(f"\n  posewright run CLIP --lifter {lifter} --lifter-weights {escape(str(files[0]))}")
