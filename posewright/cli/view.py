"""`posewright view`: look at a motion file in the browser."""

from pathlib import Path
from typing import Annotated

import typer


def view(
    source: Annotated[
        Path, typer.Argument(help="Any motion file posewright reads: .bvh .glb .trc .c3d .npz …")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Page to write (default: NAME.html beside it).")
    ] = None,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
) -> None:
    """Make a page that shows a motion file in 3D, and open it.

    Example:  posewright view walk.bvh
    """
    from posewright.cli.summary import open_in_browser
    from posewright.io.formats import load
    from posewright.motion.angles import joint_angles
    from posewright.skeletons.joint_sets import RIG_26
    from posewright.viewer.report import write_report

    motion, page = load(source), out or source.with_suffix(".html")
    ours = motion.skeleton.name == RIG_26.name and motion.rotations_wxyz is not None
    angles = joint_angles(motion) if ours else None
    rigs = _rigs(motion)
    write_report(motion, page, title=source.name, exports=[source], angles=angles, body_rigs=rigs)
    print(page)
    if open_page:
        open_in_browser(page)


def _rigs(motion):
    """Meshes of the motion's bodies; none, with a word on stderr, where the body's file cannot be had."""
    import sys

    from posewright.core.errors import MissingAssetError
    from posewright.pipelines.body_files import body_rigs

    try:
        return body_rigs(motion, "low") if motion.bodies is not None else ()
    except MissingAssetError as error:
        print(f"posewright: the fitted bodies are not shown: {error}", file=sys.stderr)
        return ()
