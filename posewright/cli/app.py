"""The verbs, in the order `posewright --help` shows them."""

from typing import Annotated

import typer

from posewright import __version__
from posewright.cli import (
    adapt,
    batch,
    calibrate,
    convert,
    datasets,
    demo,
    doctor,
    evaluate,
    export,
    models,
    multiview,
    run,
    scripts,
    serve,
    synth,
    view,
)

app = typer.Typer(
    name="posewright",
    help="Photos, videos and camera rigs to 3D human pose and motion.\n\n"
    "Start with:  posewright demo   or   posewright run clip.mp4 -o out/",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"posewright {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Photos, videos and camera rigs to 3D human pose and motion."""


app.command("run")(run.run)
app.command("demo")(demo.demo)
app.command("multiview")(multiview.multiview)
app.command("calibrate")(calibrate.calibrate)
app.command("convert")(convert.convert)
app.command("view")(view.view)
app.command("batch")(batch.batch)
app.command("serve")(serve.serve)
app.add_typer(models.app, name="models")
app.add_typer(datasets.app, name="datasets")
app.command("evaluate")(evaluate.evaluate)
app.command("adapt")(adapt.adapt)
app.command("train", context_settings=scripts.PASS_ON)(scripts.train)
app.command("benchmark", context_settings=scripts.PASS_ON)(scripts.benchmark)
app.command("synth")(synth.synth)
app.command("export")(export.export)
app.command("doctor")(doctor.doctor)
