"""`posewright run`: a photo, a video, a folder of pictures, a webcam or 2D keypoints to 3D motion."""

from typing import Annotated

import typer

from posewright.cli import options as o


def run(
    source: Annotated[
        str, typer.Argument(help="Video, photo, folder, webcam index, or 2D keypoints (JSON, npz).")
    ],
    start: o.Start = None,
    end: o.End = None,
    fps: o.Fps = None,
    image_size: o.ImageSize = None,
    people: o.People = "all",
    person_order: o.Order = o.PersonOrder.largest,
    mode: o.ModeOption = o.Mode.balanced,
    detector: o.Detector = "detection/blazepose",
    detector_model: o.DetectorModel = None,
    detector_boxes: o.DetectorBoxes = None,
    lifter: o.Lifter = None,
    lifter_weights: o.LifterWeights = None,
    lifter_variant: o.LifterVariant = None,
    precision: o.LifterPrecision = o.Precision.float32,
    refine: o.Refine = False,
    refine_steps: o.RefineSteps = None,
    subject_height: o.SubjectHeight = None,
    fov: o.Fov = None,
    focal: o.Focal = None,
    camera: o.Camera = o.CameraMotion.static,
    smooth: o.Smooth = o.Smoothing.butterworth,
    foot_lock: o.Feet = o.FootLock.auto,
    max_gap: o.MaxGap = 0.5,
    body: o.BodyOption = o.Body.none,
    body_detail: o.Detail = o.BodyDetail.full,
    samples: o.Samples = None,
    out: o.Out = None,
    formats: o.Formats = o.DEFAULT_FORMATS,
    no_overlay: o.NoOverlay = False,
    no_report: o.NoReport = False,
    fresh: o.Fresh = False,
    device: o.Device = "auto",
    json: o.Json = False,
) -> None:
    """Turn a clip into 3D motion: files for Blender, OpenSim and the browser.

    Example:  posewright run clip.mp4 -o out/ --people 1 --subject-height 1.74
    """
    from posewright.batch.job import RunOptions, run_clip
    from posewright.cli.console import progress
    from posewright.cli.summary import show

    chosen = RunOptions(
        start=start,
        end=end,
        fps=fps,
        image_size=image_size,
        people=number_of_people(people),
        person_order=person_order.value,
        mode=mode.value,
        detector=detector,
        detector_model=detector_model,
        detector_boxes=detector_boxes,
        lifter=lifter,
        lifter_weights=lifter_weights,
        lifter_variant=lifter_variant,
        precision=precision.value,
        refine=refine if refine_steps is None else refine_steps,
        subject_height=subject_height,
        fov=fov,
        focal=focal,
        camera=camera.value,
        smoothing=smooth.value,
        foot_lock=foot_lock.value,
        max_gap_s=max_gap,
        body=body.value,
        samples=samples,
        device=device,
    )
    with progress(quiet=json) as report:
        result = run_clip(
            source,
            out,
            chosen,
            formats=o.suffixes(formats),
            overlay=not no_overlay,
            report_page=not no_report,
            body_detail=body_detail.value,
            fresh=fresh,
            on_progress=report,
        )
    show(result, as_json=json)


def number_of_people(text: str) -> int | None:
    """`all` to None, a number to itself."""
    if text == "all":
        return None
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise typer.BadParameter(f"{text!r}: expected a positive number or all", param_hint="--people")
