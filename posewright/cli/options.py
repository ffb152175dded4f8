"""Options that several verbs share, declared once; names follow what users know from other tools."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Mode(StrEnum):
    """How hard to look for people."""

    fast = "fast"
    balanced = "balanced"
    accurate = "accurate"


class PersonOrder(StrEnum):
    """Who is person 1."""

    largest = "largest"
    left_to_right = "left-to-right"
    first_seen = "first-seen"


class CameraMotion(StrEnum):
    """Whether the camera stands still."""

    static = "static"
    moving = "moving"


class Smoothing(StrEnum):
    """Filter over time."""

    one_euro = "one-euro"
    butterworth = "butterworth"
    savgol = "savgol"
    kalman = "kalman"
    none = "none"


class Body(StrEnum):
    """Which parametric body to fit."""

    none = "none"
    anny = "anny"


class BodyDetail(StrEnum):
    """How fine the mesh of a body is."""

    full = "full"
    low = "low"


class Precision(StrEnum):
    """What numbers the hidden layers of a lifter multiply."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class FootLock(StrEnum):
    """What to do about feet on the floor."""

    auto = "auto"
    always = "always"
    never = "never"
    grounding = "grounding"


_INPUT, _PEOPLE, _CAMERA, _CLEANING, _OUTPUT = "Input", "People", "Camera and scale", "Cleaning", "Output"

Start = Annotated[float | None, typer.Option("--start", help="First second to use.", rich_help_panel=_INPUT)]
End = Annotated[
    float | None,
    typer.Option("--end", help="Stop before this second (a webcam: record so long).", rich_help_panel=_INPUT),
]
Fps = Annotated[
    float | None,
    typer.Option(
        "--fps",
        help="Rate of a folder of pictures or of 2D keypoints; videos know theirs.",
        rich_help_panel=_INPUT,
    ),
]
ImageSize = Annotated[
    tuple[int, int] | None,
    typer.Option(
        "--image-size",
        help="Width and height behind 2D keypoints that do not say it.",
        rich_help_panel=_INPUT,
    ),
]
People = Annotated[
    str, typer.Option("--people", help="How many people to follow: a number or all.", rich_help_panel=_PEOPLE)
]
Order = Annotated[
    PersonOrder, typer.Option("--person-order", help="Who is person 1.", rich_help_panel=_PEOPLE)
]
ModeOption = Annotated[
    Mode, typer.Option("--mode", help="How hard to look for people.", rich_help_panel=_PEOPLE)
]
Detector = Annotated[
    str, typer.Option("--detector", help="2D backend: see `posewright models list`.", rich_help_panel=_PEOPLE)
]
DetectorModel = Annotated[
    str | None,
    typer.Option(
        "--detector-model",
        help="Your own model file or folder, for the backends that need one.",
        rich_help_panel=_PEOPLE,
    ),
]
DetectorBoxes = Annotated[
    str | None,
    typer.Option(
        "--detector-boxes",
        help="Your own person detector, for the top-down backends.",
        rich_help_panel=_PEOPLE,
    ),
]
Lifter = Annotated[
    str | None,
    typer.Option("--lifter", help="2D-to-3D method: see `posewright models list`.", rich_help_panel=_PEOPLE),
]
LifterWeights = Annotated[
    str | None,
    typer.Option(
        "--lifter-weights",
        help="File of the lifter's weights: safetensors, or its authors' checkpoint.",
        rich_help_panel=_PEOPLE,
    ),
]
LifterVariant = Annotated[
    str | None,
    typer.Option(
        "--lifter-variant",
        help="Published size of an authors' checkpoint: see `posewright models show`.",
        rich_help_panel=_PEOPLE,
    ),
]
LifterPrecision = Annotated[
    Precision,
    typer.Option(
        "--precision",
        help="Of another lifter's hidden layers: bfloat16 takes about half the time, see docs/zoo_usage.md.",
        rich_help_panel=_PEOPLE,
    ),
]
Refine = Annotated[
    bool,
    typer.Option(
        "--refine",
        help="Move what the lifter reads until the pose meets the keypoints: slower, see docs/lifting.md.",
        rich_help_panel=_PEOPLE,
    ),
]
RefineSteps = Annotated[
    int | None,
    typer.Option(
        "--refine-steps",
        help="The same in so many steps (4 by default): more go farther.",
        rich_help_panel=_PEOPLE,
    ),
]
SubjectHeight = Annotated[
    float | None,
    typer.Option(
        "--subject-height", help="Body height of person 1 in metres; sets the scale.", rich_help_panel=_CAMERA
    ),
]
Fov = Annotated[
    float | None,
    typer.Option("--fov", help="Horizontal field of view of the camera, degrees.", rich_help_panel=_CAMERA),
]
Focal = Annotated[
    float | None, typer.Option("--focal", help="Focal length of the camera, pixels.", rich_help_panel=_CAMERA)
]
Camera = Annotated[
    CameraMotion, typer.Option("--camera", help="Does the camera stand still?", rich_help_panel=_CAMERA)
]
Smooth = Annotated[Smoothing, typer.Option("--smooth", help="Filter over time.", rich_help_panel=_CLEANING)]
Feet = Annotated[
    FootLock,
    typer.Option(
        "--foot-lock", help="Feet on the floor: hold them when they stand.", rich_help_panel=_CLEANING
    ),
]
MaxGap = Annotated[
    float, typer.Option("--max-gap", help="Fill gaps up to so many seconds.", rich_help_panel=_CLEANING)
]
BodyOption = Annotated[
    Body,
    typer.Option(
        "--body",
        help="Fit a body: writes body.glb (skinned mesh), body.bvh, body_amass.npz.",
        rich_help_panel=_OUTPUT,
    ),
]
Samples = Annotated[
    int | None,
    typer.Option(
        "--samples",
        help="Also say how sure each joint is, and draw so many likely motions.",
        rich_help_panel=_OUTPUT,
    ),
]
Detail = Annotated[
    BodyDetail,
    typer.Option(
        "--body-detail", help="Mesh of body.glb: 13,718 or 1,229 vertices.", rich_help_panel=_OUTPUT
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="Folder for the results (default: NAME_motion).", rich_help_panel=_OUTPUT
    ),
]
Formats = Annotated[
    str,
    typer.Option(
        "--formats",
        help="Which files to write, by suffix, with commas; also usda, fbx, blend.",
        rich_help_panel=_OUTPUT,
    ),
]
NoOverlay = Annotated[
    bool, typer.Option("--no-overlay", help="Do not write overlay.mp4.", rich_help_panel=_OUTPUT)
]
NoReport = Annotated[
    bool, typer.Option("--no-report", help="Do not write report.html.", rich_help_panel=_OUTPUT)
]
Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh", help="Do not reuse what an earlier run of the same input found.", rich_help_panel=_OUTPUT
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the summary as JSON on stdout.", rich_help_panel=_OUTPUT)
]
Device = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda or mps: where networks run.", rich_help_panel=_OUTPUT)
]

DEFAULT_FORMATS = "bvh,glb,trc,c3d,mot,csv,json"


def suffixes(text: str) -> tuple[str, ...]:
    """`"bvh, .glb"` to `("bvh", "glb")`."""
    return tuple(f.strip().lstrip(".") for f in text.split(",") if f.strip())
