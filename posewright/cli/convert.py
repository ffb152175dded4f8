"""`posewright convert`: any motion file to any other that can hold it."""

from pathlib import Path
from typing import Annotated

import typer

from posewright.cli import options as o


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
    body: Annotated[
        o.Body,
        typer.Option(
            "--body", help="Write the fitted body (.glb, .bvh, .npz); it is fitted if it is not there."
        ),
    ] = o.Body.none,
    body_detail: Annotated[
        o.BodyDetail, typer.Option("--body-detail", help="Mesh of a body's .glb: 13,718 or 1,229 vertices.")
    ] = o.BodyDetail.full,
    onto: Annotated[
        Path | None,
        typer.Option("--onto", help="Your character (.glb or .bvh): it is written again, moving like this."),
    ] = None,
    bones: Annotated[
        Path | None,
        typer.Option("--bones", help='JSON file: which bone is which, e.g. {"left_thigh": "Bone.012"}.'),
    ] = None,
) -> None:
    """Convert a motion file, or put its motion on a character of your own.

    Example:  posewright convert walk.bvh walk.glb

    Example:  posewright convert out/motion.npz moving.glb --onto character.glb

    Example:  posewright convert out/motion.npz body.glb --body anny

    Example:  posewright convert data_2d_h36m_gt.npz plain.npz   (a data set's pickled arrays, without the pickles)

    Example:  posewright convert mhr_model.pt mhr.npz   (the MHR body's arrays, without the program in the file)
    """
    from posewright.core.errors import InputError
    from posewright.io.formats import load, save
    from posewright.io.people import select_person

    if target.suffix.lower() == ".npz" and _plain_copy(source, target):
        print(target)
        return
    if bones is not None and onto is None:
        raise InputError("--bones says which bone of a character is which: give the character with --onto")
    motion = load(source)
    if onto is not None:
        for path in _onto(select_person(motion, person), target, onto, bones):
            print(path)
        return
    if fit_rig:
        from posewright.motion.clean import fit_rig as fit

        motion = fit(motion)
    motion = select_person(motion, person)
    if body is not o.Body.none:
        for path in _body(motion, target, body.value, body_detail.value):
            print(path)
        return
    if target.suffix.lower() == ".mot":
        from posewright.motion.angles import joint_angles

        written = save(motion, target, angles=joint_angles(motion))
    else:
        written = save(motion, target)
    for path in written:
        print(path)


def _plain_copy(source: Path, target: Path) -> bool:
    """Write the arrays of a file that holds pickles or a program again without them; False of any other file.

    Data sets' pickled arrays and the MHR body; nothing in them is executed.
    """
    from posewright.bodies.mhr_file import write_npz
    from posewright.core.errors import InputError
    from posewright.core.safe_pickle import has_pickles, write_plain_copy

    if source.suffix.lower() == ".pt":
        write_npz(source, target)
        return True
    if not has_pickles(source):
        return False
    try:
        write_plain_copy(source, target)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    return True


def _body(motion, target: Path, body: str, detail: str) -> list[Path]:
    """Write the motion's bodies, fitting them first where there are none."""
    from posewright.cli.console import progress
    from posewright.pipelines.body import with_bodies
    from posewright.pipelines.body_files import save_body

    if motion.bodies is None or motion.bodies.model != body:
        with progress() as report:
            motion = with_bodies(motion, body, report)
    return save_body(motion, target, detail=detail)


def _onto(motion, target: Path, onto: Path, bones: Path | None) -> list[Path]:
    """Retarget each person to the character; write its file again, once per person."""
    from posewright.core.errors import InputError
    from posewright.io.formats import load, save
    from posewright.io.user_files import read_json
    from posewright.motion.retarget import retarget

    suffix = onto.suffix.lower()
    if suffix not in (".glb", ".bvh") or target.suffix.lower() != suffix:
        raise InputError(
            f"--onto {onto}: a character is a .glb or .bvh file, and what is written ({target}) has the same suffix; "
            "export others as .glb, from Blender for instance"
        )
    rig = load(onto, stretch="mean") if suffix == ".bvh" else load(onto)
    mapping = None if bones is None else read_json(bones)
    if mapping is not None and not isinstance(mapping, dict):
        raise InputError(f'{bones}: expected a JSON object such as {{"left_thigh": "Bone.012"}}')
    written = []
    for number in motion.person_ids:
        path = target
        if motion.num_people > 1:
            path = target.with_name(f"{target.stem}_person{number}{target.suffix}")
        written += save(retarget(motion, rig, mapping, number), path, onto=onto)
    return written
