"""`posewright synth`: synthetic videos with exact truth, many of them, resumable."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from posewright.cli.options import CameraMotion
from posewright.core.errors import InputError


class Split(StrEnum):
    """Whose recordings."""

    train = "train"
    val = "val"


class Topology(StrEnum):
    """Mesh of the body."""

    full = "full"
    low = "low_1229"


class Renderer(StrEnum):
    """What takes the pictures."""

    reference = "reference"
    opengl = "opengl"
    auto = "auto"


_CONTENT, _FILMING, _OUTPUT = "Content", "Cameras and pictures", "Output"


def synth(
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder that gets one folder per clip.", rich_help_panel=_OUTPUT),
    ],
    clips: Annotated[int, typer.Option("--clips", help="How many clips.", rich_help_panel=_CONTENT)] = 10,
    people: Annotated[
        int, typer.Option("--people", help="People in each clip.", rich_help_panel=_CONTENT)
    ] = 1,
    action: Annotated[
        str | None,
        typer.Option(
            "--action", help="Only recordings described so: walk, run, dance...", rich_help_panel=_CONTENT
        ),
    ] = None,
    split: Annotated[
        Split,
        typer.Option("--split", help="Whose recordings: no subject is in both.", rich_help_panel=_CONTENT),
    ] = Split.train,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            help="Your own recordings instead: .bvh, .amc, .glb, .c3d..., or a folder of AMASS files; repeatable.",
            rich_help_panel=_CONTENT,
        ),
    ] = None,
    occluders: Annotated[
        int, typer.Option("--occluders", help="Boxes to hide behind.", rich_help_panel=_CONTENT)
    ] = 0,
    topology: Annotated[
        Topology, typer.Option("--topology", help="Mesh of the bodies.", rich_help_panel=_CONTENT)
    ] = Topology.full,
    cameras: Annotated[
        int, typer.Option("--cameras", help="Cameras per clip.", rich_help_panel=_FILMING)
    ] = 1,
    camera: Annotated[
        CameraMotion, typer.Option("--camera", help="Do the cameras stand still?", rich_help_panel=_FILMING)
    ] = CameraMotion.static,
    seconds: Annotated[
        float, typer.Option("--seconds", help="Of each clip.", rich_help_panel=_FILMING)
    ] = 4.0,
    fps: Annotated[float, typer.Option("--fps", help="Frames per second.", rich_help_panel=_FILMING)] = 30.0,
    size: Annotated[
        str, typer.Option("--size", help="Of the pictures, WxH.", rich_help_panel=_FILMING)
    ] = "1280x720",
    clean: Annotated[
        bool, typer.Option("--clean", help="No sensor noise, no blur.", rich_help_panel=_FILMING)
    ] = False,
    renderer: Annotated[
        Renderer,
        typer.Option(
            "--renderer",
            help="What takes the pictures: opengl is several times as fast, auto takes it where it is there.",
            rich_help_panel=_FILMING,
        ),
    ] = Renderer.reference,
    maps: Annotated[
        str,
        typer.Option(
            "--maps", help="Further pictures, with commas: depth, masks, normals.", rich_help_panel=_OUTPUT
        ),
    ] = "",
    seed: Annotated[
        int, typer.Option("--seed", help="The same seed gives the same clips.", rich_help_panel=_OUTPUT)
    ] = 0,
    json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.", rich_help_panel=_OUTPUT)] = False,
) -> None:
    """Make videos of people whose true motion is known exactly: recorded motion on bodies, filmed by virtual cameras.

    Clips that are already in the folder are kept, so that an interrupted run goes on where it was.

    Example:  posewright synth -o synthetic/ --clips 20 --people 2 --cameras 4 --maps depth,masks
    """
    from posewright.cli.console import progress
    from posewright.datasets.synth.dataset import write_dataset
    from posewright.datasets.synth.draw import SynthOptions

    options = SynthOptions(
        clips=clips,
        people=people,
        cameras=cameras,
        camera=camera.value,
        seconds=seconds,
        fps=fps,
        image_size=picture_size(size),
        seed=seed,
        split=split.value,
        action=action,
        sources=tuple(source or ()),
        occluders=occluders,
        maps=tuple(m.strip() for m in maps.split(",") if m.strip()),
        topology=topology.value,
        sensor=not clean,
        renderer=renderer.value,
    )
    with progress(quiet=json) as report:
        folders = list(
            write_dataset(options, out, lambda clip, of, done, total: report("filming", done, total))
        )
    if json:
        import json as to_json

        print(to_json.dumps({"out": str(out), "clips": [str(f) for f in folders]}, indent=2))
    else:
        print(
            f"{len(folders)} clips in {out}: camera_01.mp4, calibration.toml, clip.json and truth.npz in each"
        )


def picture_size(text: str) -> tuple[int, int]:
    """`1280x720` to (1280, 720)."""
    match = re.fullmatch(r"(\d+)\s*[xX×]\s*(\d+)", text.strip())
    if not match:
        raise InputError(f"--size {text!r}, expected width x height such as 1280x720")
    return int(match[1]), int(match[2])
