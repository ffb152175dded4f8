"""`posewright evaluate`: how accurate a lifter is on recorded motion it was not trained on."""

from pathlib import Path
from typing import Annotated

import typer

from posewright.cli.options import Precision


def evaluate(
    lifter: Annotated[str, typer.Argument(help="Method, e.g. lifting/raylift.")] = "lifting/raylift",
    weights: Annotated[
        Path | None, typer.Option("--weights", help="File of its weights; the default lifter has its own.")
    ] = None,
    variant: Annotated[
        str | None, typer.Option("--variant", help="Published size of an authors' checkpoint.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder that holds mocap/val (default: POSEWRIGHT_DATA).")
    ] = None,
    noise: Annotated[
        float,
        typer.Option("--noise", help="Keypoint noise: standard deviation in percent of the body height."),
    ] = 1.0,
    missing: Annotated[float, typer.Option("--missing", help="Percent of keypoints dropped.")] = 0.0,
    unknown_focal: Annotated[
        bool, typer.Option("--unknown-focal", help="Do not tell the lifter the focal length.")
    ] = False,
    precision: Annotated[
        Precision, typer.Option("--precision", help="Of a published lifter's hidden layers.")
    ] = Precision.float32,
    flip: Annotated[bool, typer.Option("--flip", help="Average with the mirrored clip.")] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """Score a lifter on the recorded motion of people and through cameras that it was not trained on.

    Example:  posewright evaluate lifting/raylift --noise 1 --data ../shared/data
    """
    from posewright.cli.console import progress, table
    from posewright.datasets.mocap import load_mocap
    from posewright.evaluate.lifting import Corruption, evaluate_lifter, filmed
    from posewright.pipelines.lift import choose_lifter, lift_points
    from posewright.skeletons.joint_sets import COCO_FEET_21

    model = choose_lifter(lifter, variant, weights, precision=precision.value)
    views = filmed(load_mocap("val", data / "mocap" if data else None))
    done = 0

    with progress(quiet=json) as report:

        def predict(keypoints, camera):
            nonlocal done
            done += 1
            report("views", done, len(views))
            return lift_points(keypoints, camera, model=model, flip=flip)[0][:, 0]

        corruption = Corruption(noise / 100, missing / 100, focal_known=not unknown_focal)
        groups = evaluate_lifter(predict, views, COCO_FEET_21, corruption)
    if json:
        import json as to_json

        print(to_json.dumps(groups, indent=2))
        return
    columns = list(next(iter(groups.values())))
    rows = [
        [action, *(f"{scores[c]:.0f}" if c == "frames" else f"{scores[c]:.1f}" for c in columns)]
        for action, scores in groups.items()
    ]
    table(f"{lifter}, {noise:g} % noise, {missing:g} % missing", ["action", *columns], rows)
