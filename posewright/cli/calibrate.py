"""`posewright calibrate`: a board shown to several cameras, to the calibration that `multiview` reads."""

from pathlib import Path
from typing import Annotated

import typer

from posewright.cli import options as o

DEFAULT_OUT = Path("calib.toml")


def calibrate(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="A video, or folder of photos, per camera: the board, seen by two or more at once."
        ),
    ] = None,
    board: Annotated[
        str | None,
        typer.Option(
            "--board",
            help="charuco:COLUMNSxROWS:SQUARE:MARKER (squares) or chessboard:COLUMNSxROWS:SQUARE "
            "(inner corners); sizes in metres.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write: .toml (Pose2Sim, aniposelib) or .json.")
    ] = DEFAULT_OUT,
    floor: Annotated[
        float | None,
        typer.Option("--floor", help="Second at which the board lies on the floor: the world, Z up."),
    ] = None,
    intrinsics_only: Annotated[
        bool, typer.Option("--intrinsics-only", help="Only the lenses; clips need not belong together.")
    ] = False,
    make_board: Annotated[
        Path | None, typer.Option("--make-board", help="Write the board as .png to print at 100 %, and stop.")
    ] = None,
    convert: Annotated[
        Path | None,
        typer.Option("--from", help="Convert this calibration (.qca.txt .toml .json) to --out, and stop."),
    ] = None,
    json: o.Json = False,
) -> None:
    """Calibrate cameras with a board, for `posewright multiview`.

    Example:  posewright calibrate cam1.mp4 cam2.mp4 --board charuco:5x7:0.04:0.03 --floor 2 -o calib.toml

    The board to print:  posewright calibrate --board charuco:5x7:0.04:0.03 --make-board board.png
    """
    if convert is not None:
        _convert(convert, out)
    elif board is None:
        raise typer.BadParameter("say which board: --board charuco:5x7:0.04:0.03 (see --help)")
    elif make_board is not None:
        _make(board, make_board)
    elif not sources:
        raise typer.BadParameter("give a video or a folder of photos per camera")
    else:
        _run(sources, board, out, floor, intrinsics_only, json)


def _convert(source: Path, target: Path) -> None:
    from posewright.io.calibration import load_rig, save_rig

    save_rig(load_rig(source), target)
    print(target)


def _make(board: str, path: Path) -> None:
    from posewright.pipelines.boards import parse_board, print_board

    described = parse_board(board)
    width, height = print_board(described, path)
    print(f"{path}: {described}, {1000 * width:.0f} x {1000 * height:.0f} mm with its margin.")
    print(
        f"Print at 100 % (no fitting to the page), glue it to something flat, and measure a square: "
        f"{1000 * described.square:g} mm."
    )


def _run(sources, board: str, out: Path, floor: float | None, intrinsics_only: bool, json: bool) -> None:
    from posewright.cli.console import progress
    from posewright.io.calibration import check_suffix, save_rig
    from posewright.pipelines.calibrate import calibrate_rig

    check_suffix(out)
    with progress(quiet=json) as report:
        found = calibrate_rig(
            sources, board, floor=floor, intrinsics_only=intrinsics_only, on_progress=report
        )
    save_rig(found.rig, out)
    _show(found, out, json)


def _show(found, out: Path, as_json: bool) -> None:
    import sys

    from posewright.cli.console import table

    if as_json:
        from dataclasses import asdict
        from json import dumps

        cameras = [asdict(camera) for camera in found.cameras]
        print(dumps({"file": str(out), "world": found.world, "cameras": cameras, "warnings": found.warnings}))
        return
    rows = [
        [c.name, f"{c.views} of {c.found}", f"{camera.K[0, 0]:.1f}", f"{c.error_px:.2f}"]
        for c, camera in zip(found.cameras, found.rig.cameras, strict=True)
    ]
    table(str(out), ["camera", "pictures used", "focal length, px", "error, px"], rows)
    for warning in found.warnings:
        print(f"note: {warning}", file=sys.stderr)
