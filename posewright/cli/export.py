"""`posewright export`: a lifter as an ONNX file."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    name: Annotated[str, typer.Argument(help="Method, e.g. lifting/raylift.")],
    path: Annotated[Path, typer.Argument(help="File to write, model.onnx.")],
    weights: Annotated[
        Path | None, typer.Option("--weights", help="File of its weights; the default lifter has its own.")
    ] = None,
    variant: Annotated[
        str | None, typer.Option("--variant", help="Published size of an authors' checkpoint.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option("--frames", help="Frames of a clip, for methods that take any number.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """Write a lifter as ONNX, and check with ONNX Runtime that it gives what PyTorch gives.

    Example:  posewright export lifting/raylift raylift.onnx --frames 128
    """
    from dataclasses import asdict

    from posewright.pipelines.export_onnx import export_lifter

    done = export_lifter(name, path, variant, weights, frames)
    if json:
        import json as to_json

        print(to_json.dumps(asdict(done) | {"path": str(done.path)}, indent=2))
        return
    clips = "any number of clips" if done.any_batch else "one clip at a time"
    print(
        f"{done.path}: keypoints {done.input_shape} to joints {done.output_shape}, {clips}; "
        f"ONNX Runtime differs from PyTorch by at most {done.difference:.1e}"
    )
