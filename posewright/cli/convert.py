"""`posewright convert`: any motion file to any other that can hold it."""

from pathlib import Path
from typing import Annotated

import typer


def convert(
    source: Annotated[
        Path, typer.Argument(help="File to read: .bvh .glb .trc .c3d .npz .csv .json .amc .mot …")
    ],
    target: Annotated[Path, typer.Argument(help="File to write; its suffix says which format.")],
    fit_rig: Annotated[
        bool,
        typer.Option("--fit-rig", help="Fit our rig to positions first (TRC, C3D: they hold no rotations)."),
    ] = False,
    person: Annotated[int | None, typer.Option("--person", help="Only the person with this number.")] = None,
) -> None:
    """Convert a motion file.

    Example:  posewright convert walk.bvh walk.glb
    """
    from posewright.io.formats import load, save
    from posewright.io.people import select_person

    motion = load(source)
    if fit_rig:
        from posewright.motion.clean import fit_rig as fit

        motion = fit(motion)
    motion = select_person(motion, person)
    if target.suffix.lower() == ".mot":
        from posewright.motion.angles import joint_angles

        written = save(motion, target, angles=joint_angles(motion))
    else:
        written = save(motion, target)
    for path in written:
        print(path)
