"""From a clip to 3D motion: people in 2D, lifting, one world.

    find_people          pictures -> Keypoints2D          (pipelines.people)
    keypoints_to_motion  Keypoints2D -> Motion             (pipelines.lift, motion.clean, pipelines.body)
    estimate             both, in one call

Nothing here writes a file; `batch.job.run_clip` does.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from posewright.core.errors import InputError
from posewright.io.video import Clip, open_clip
from posewright.pipelines.journal import Journal
from posewright.pipelines.timing import to_constant_rate
from posewright.skeletons.joint_sets import BODY_24
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D
from posewright.structures.motion import Motion

Report = Callable[[str, int, int | None], None]
BODIES = ("none", "anny")
"""Bodies that a run can fit."""


@dataclass(frozen=True)
class RunOptions:
    """What a user can choose; every default works for a phone video of people on a floor."""

    start: float | None = None
    """Seconds."""
    end: float | None = None
    """Seconds."""
    fps: float | None = None
    """Rate of a folder of pictures or of 2D keypoints that do not say theirs."""
    image_size: tuple[int, int] | None = None
    """(width, height) behind 2D keypoints that do not say it."""
    people: int | None = None
    """How many to follow; None: all."""
    person_order: str = "largest"
    """Who is person 1: `largest`, `left-to-right` or `first-seen`."""
    mode: str = "balanced"
    """`fast`, `balanced` or `accurate`: how hard to look for people."""
    detector: str = "detection/blazepose"
    """Method that finds people in 2D."""
    detector_model: str | None = None
    """The user's own model file, for the backends that need one."""
    detector_boxes: str | None = None
    """The user's own person detector, for the top-down backends."""
    lifter: str | None = None
    """2D-to-3D method; None: the default."""
    lifter_weights: str | None = None
    """File of the lifter's weights; the default one has its own."""
    lifter_variant: str | None = None
    """Published size of an authors' checkpoint."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of another lifter's hidden layers: `float32` or `bfloat16`; see `pw.lift`."""
    subject_height: float | None = None
    """Body height of person 1, metres."""
    fov: float | None = None
    """Horizontal field of view, degrees."""
    focal: float | None = None
    """Focal length, pixels."""
    camera: str = "static"
    """`static` or `moving`."""
    smoothing: str = "butterworth"
    """`one-euro`, `butterworth`, `savgol`, `kalman` or `none`."""
    foot_lock: str = "auto"
    """`auto`, `always`, `never` or `grounding`."""
    max_gap_s: float = 0.5
    """Gaps up to so many seconds are filled."""
    body: str = "none"
    """Parametric body fitted to the cleaned joints: `none` or `anny`."""
    samples: int | None = None
    """How many motions to draw from what the lifter does not know, beside covariances; None: the estimate alone."""
    seed: int = 0
    """Of the samples."""
    refine: bool | int = False
    """Test-time optimisation of the pose against the keypoints: True, or a number of steps; see `pw.lift`."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `mps`."""

    def __post_init__(self):
        if self.fov is not None and self.focal is not None:
            raise InputError("--fov and --focal both say how wide the camera sees: give one of them")
        if self.fov is not None and not 5 <= self.fov <= 175:
            raise InputError(f"--fov is {self.fov:g}, expected degrees between 5 and 175")
        if self.focal is not None and not self.focal > 0:
            raise InputError(f"--focal is {self.focal:g}, expected pixels, more than 0")
        if self.subject_height is not None and not 0.3 <= self.subject_height <= 2.8:
            raise InputError(
                f"--subject-height is {self.subject_height:g}, expected metres between 0.3 and 2.8"
            )
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise InputError(f"--fps is {self.fps:g}, expected frames per second between 0 and 1000")
        if self.samples is not None:
            if isinstance(self.samples, bool) or not isinstance(self.samples, int) or self.samples < 1:
                raise InputError(
                    f"--samples is {self.samples!r}, expected a whole number, 1 or more; leave it out for the estimate "
                    "alone"
                )
            if self.lifter not in (None, "lifting/raylift"):
                raise InputError(
                    f"--samples with --lifter {self.lifter}: only the default lifter has a model of its own error, "
                    "expected one of the two options"
                )
        self._check_refine()
        self._check_precision()
        if self.body not in BODIES:
            raise InputError(f"--body is {self.body!r}, expected one of {', '.join(BODIES)}")

    def _check_precision(self) -> None:
        if self.precision not in ("float32", "bfloat16"):
            raise InputError(f"--precision is {self.precision!r}, expected float32 or bfloat16")
        if self.precision != "float32" and self.lifter in (None, "lifting/raylift"):
            raise InputError(
                f"--precision {self.precision} is for published lifters, the default one lifts thousands of frames a "
                "second as it is: name one with --lifter, or leave it out"
            )

    def _check_refine(self) -> None:
        if not isinstance(self.refine, int) or self.refine < 0:
            raise InputError(f"--refine-steps is {self.refine!r}, expected a whole number, 0 or more")
        if self.refine and self.samples is not None:
            raise InputError(
                "--refine with --samples: samples say how far off the lifter's own answer may be, which was not "
                "measured for a refined one: expected one of the two options"
            )
        if self.refine and self.lifter is not None:
            from posewright.pipelines.lift_zoo_refined import check_refinable

            check_refinable(self.lifter)


def estimate(source: str | Path, options: RunOptions | None = None, **changes) -> Motion:
    """Estimate the 3D motion of everybody in a clip.

    Args:
        source: video, photo, folder of pictures, webcam index ("0"), or 2D keypoints (file or folder).
        options: see `RunOptions`.
        **changes: replace single fields of the options: `estimate("clip.mp4", people=1)`.

    Raises:
        InputError: the source cannot be read, or nobody is in it.
    """
    known = {f.name for f in fields(RunOptions)}
    if unknown := set(changes) - known:
        raise TypeError(
            f"estimate has no option {', '.join(sorted(unknown))}; it has: {', '.join(sorted(known))}"
        )
    options = replace(options or RunOptions(), **changes)
    name = Path(source).name
    if is_keypoints_source(source):
        return keypoints_to_motion(read_keypoints_source(source, options), options, source=name)
    keypoints, warnings = find_people(open_clip(source, options.start, options.end, options.fps), options)
    motion = keypoints_to_motion(keypoints, options, source=name)
    return replace(motion, warnings=(*warnings, *motion.warnings))


# ---------------------------------------------------------------------------------------------- people


def find_people(
    clip: Clip, options: RunOptions, on_progress: Report | None = None, journal: Journal | None = None
) -> tuple[Keypoints2D, tuple[str, ...]]:
    """Find and follow everybody in a clip; also return warnings in plain words.

    With a `journal`, what is found is kept on disk as it is found, and a look that was interrupted goes on from there.

    Raises:
        InputError: nobody was found.
    """
    from posewright.pipelines.people import track_people

    report = on_progress or (lambda stage, done, total: None)
    total = clip.info.num_frames
    known = journal.read() if journal else []
    found = track_people(
        clip.after(known[-1].seconds if known else None),
        image_size=clip.info.size,
        fps=clip.info.fps,
        detector=load_detector(options, report),
        people="all" if options.people is None else options.people,
        person_order=options.person_order,
        mode=options.mode,
        known=known,
        keep=journal.keep if journal else None,
        on_progress=lambda done: report("people", done, total),
    )
    keypoints = found.keypoints
    if keypoints.num_people == 0:
        frames = f"{keypoints.num_frames} frame{'s' if keypoints.num_frames > 1 else ''}"
        raise InputError(
            f"nobody was found in {clip.info.name} ({frames}): is a person in the picture, at "
            "least 60 pixels tall? Try --mode accurate"
        )
    return to_constant_rate(keypoints), (*clip.warnings, *found.warnings)


def load_detector(options: RunOptions, report: Report | None = None):
    """Load the chosen 2D backend; `report` hears of model files that are fetched the first time."""
    from posewright.models import find

    method = find(options.detector)
    files: dict[str, Any] = {
        name: Path(path)
        for name, path in (("pose_model", options.detector_model), ("box_model", options.detector_boxes))
        if path is not None
    }
    if report and "progress" in inspect.signature(method.load).parameters:
        files["progress"] = lambda done, total, _: report("fetching the model", done, total)
    return method.load(device=options.device, **files)


# ------------------------------------------------------------------------------------------ 2D sources


def is_keypoints_source(source: str | Path) -> bool:
    """True for 2D keypoints made elsewhere: a `.json` or `.npz` file, or a folder of `.json` files."""
    path = Path(source)
    if path.is_dir():
        names = [p.suffix.lower() for p in path.iterdir()]
        return ".json" in names and not any(n in (".jpg", ".jpeg", ".png") for n in names)
    return path.is_file() and path.suffix.lower() in (".json", ".npz")


def read_keypoints_source(source: str | Path, options: RunOptions) -> Keypoints2D:
    """Read 2D keypoints, cut to `start` and `end`, keep `people` of them."""
    keypoints = to_constant_rate(_read_keypoints(source, options))
    times = keypoints.frame_times()
    keep = (times >= (options.start or 0.0)) & (times < (np.inf if options.end is None else options.end))
    if not keep.any():
        raise InputError(
            f"{source}: no frame lies between --start and --end (it lasts {times[-1] - times[0]:.1f} s)"
        )
    seen = (keypoints.confidence[keep] > 0).any((0, 2))
    people = np.nonzero(seen)[0][: options.people]
    if len(people) == 0:
        raise InputError(f"{source}: nobody has a keypoint in these {int(keep.sum())} frames")
    return replace(
        keypoints,
        positions=keypoints.positions[keep][:, people],
        confidence=keypoints.confidence[keep][:, people],
        times=times[keep],
        person_ids=tuple(keypoints.person_ids[p] for p in people),
    )


def _read_keypoints(source: str | Path, options: RunOptions) -> Keypoints2D:
    from posewright.io import keypoints_npz

    if keypoints_npz.is_keypoints_file(source):
        return keypoints_npz.read(source)[0]
    from posewright.io.keypoints import read_keypoints

    return read_keypoints(source, image_size=options.image_size, fps=options.fps)


# ---------------------------------------------------------------------------------------------- motion


def keypoints_to_motion(
    keypoints: Keypoints2D, options: RunOptions, *, source: str = "", on_progress: Report | None = None
) -> Motion:
    """Lift 2D keypoints to 3D and put everybody into one world."""
    from posewright.motion.clean import MotionOptions, to_motion
    from posewright.pipelines.lift import choose_lifter, gives_feet, lift_points
    from posewright.pipelines.lift_errors import require_errors
    from posewright.pipelines.motion_errors import check_memory

    report = on_progress or (lambda stage, done, total: None)
    report("lifting to 3D", 0, 1)
    camera = make_camera(keypoints.image_size, options)
    lifter = choose_lifter(
        options.lifter, options.lifter_variant, options.lifter_weights, options.device, options.precision
    )
    sampled = None if options.samples is None else require_errors(lifter)
    if options.samples is not None:
        check_memory(options.samples, keypoints.num_frames, keypoints.num_people)
    flip = options.mode != "fast"
    points, confidence = lift_points(keypoints, camera, lifter, options.device, flip, refine=options.refine)
    relative, confidence = points[:, :, : len(BODY_24)], confidence[:, :, : len(BODY_24)]
    if options.lifter is not None:
        keypoints = keypoints.noted(f"lifted by {options.lifter}")
    if options.refine:
        keypoints = keypoints.noted("refined at test time")
    report("lifting to 3D", 1, 1)
    report("motion", 0, 1)
    motion = to_motion(
        relative,
        confidence,
        keypoints,
        camera,
        MotionOptions(
            smoothing=options.smoothing,
            foot_lock=options.foot_lock,
            subject_height=options.subject_height,
            camera=options.camera,
            max_gap_s=options.max_gap_s,
            feet_given=gives_feet(lifter),
        ),
    )
    report("motion", 1, 1)
    if sampled is not None:
        motion = _with_samples(motion, keypoints, camera, points, sampled, options, report)
    motion = replace(motion, source=source, start_time=float(keypoints.frame_times()[0]))
    return embodied(motion, options, report)


def _with_samples(
    motion: Motion,
    keypoints: Keypoints2D,
    camera: Camera,
    points: np.ndarray,
    lifter,
    options: RunOptions,
    report: Report,
) -> Motion:
    """Add covariances and samples of the lifter's error to the motion."""
    from posewright.pipelines.lift import lift_errors
    from posewright.pipelines.motion_errors import with_motion_errors

    report("uncertainty", 0, 1)
    errors = lift_errors(keypoints, camera, points, lifter)
    motion = with_motion_errors(
        motion, points[:, :, : len(BODY_24)], errors, options.samples or 1, options.seed
    )
    report("uncertainty", 1, 1)
    return motion


def embodied(motion: Motion, options: RunOptions, on_progress: Report | None = None) -> Motion:
    """Fit the body that the options ask for, if any."""
    if options.body == "none":
        return motion
    from posewright.pipelines.body import with_bodies

    return with_bodies(motion, options.body, on_progress)


def make_camera(image_size: tuple[int, int], options: RunOptions) -> Camera:
    """Return the filming camera from --focal, --fov (horizontal) or an assumed field of view."""
    from posewright.geometry.cameras import default_focal, focal_from_fov, intrinsics

    if options.focal is not None:
        focal, origin = options.focal, "given"
    elif options.fov is not None:
        focal, origin = focal_from_fov(math.radians(options.fov), image_size), "given"
    else:
        focal, origin = default_focal(image_size), "assumed"
    K = intrinsics(focal, image_size).double().numpy()
    return Camera(K=K, image_size=image_size, focal_source=origin)
