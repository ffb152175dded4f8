"""One clip to one folder of results: everything `posewright run` writes, resumable.

The folder is locked while a run writes into it. What was found in the pictures is kept in `keypoints.npz` with a
fingerprint of the input and of the options that matter to it, so that a second run with other cleaning options does not
look at the pictures again; while they are being looked at, a journal is kept, so that after an interrupt the next run
goes on where this one was.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from posewright import __version__
from posewright.core.errors import InputError, MissingExtraError
from posewright.core.files import atomic_path
from posewright.io import formats as motion_files
from posewright.io import keypoints_npz
from posewright.io.calibration import load_rig
from posewright.io.video import PHOTO_SUFFIXES, Clip, open_clip
from posewright.motion.angles import joint_angles
from posewright.motion.trust import trust_summary
from posewright.pipelines.body import load_named_body
from posewright.pipelines.body_files import DETAILS, body_rigs, save_body
from posewright.pipelines.body_files import NAMES as BODY_FILES
from posewright.pipelines.journal import Journal
from posewright.pipelines.multiview_to_motion import estimate_multiview
from posewright.pipelines.video_to_motion import (
    RunOptions,
    find_people,
    is_keypoints_source,
    keypoints_to_motion,
)
from posewright.structures.keypoints import Keypoints2D
from posewright.structures.motion import Motion
from posewright.viewer.overlay import doubt_of
from posewright.viewer.rendering import write_preview_and_overlay
from posewright.viewer.report import write_report

Report = Callable[[str, int, int | None], None]
DEFAULT_FORMATS = ("bvh", "glb", "trc", "c3d", "mot", "csv", "json")
SUMMARY = "summary.json"
_KEYPOINTS = "keypoints.npz"
_JOURNAL = ".people"
_DETECTION_OPTIONS = (
    "start",
    "end",
    "fps",
    "people",
    "person_order",
    "mode",
    "detector",
    "detector_model",
    "detector_boxes",
)


@dataclass(frozen=True)
class RunResult:
    """What a run made."""

    source: str
    folder: Path
    motion: Motion
    files: tuple[Path, ...]
    report: Path | None
    warnings: tuple[str, ...]
    seconds: float
    stage_seconds: dict[str, float]
    """Where the time went."""

    @property
    def num_people(self) -> int:
        """People in the motion."""
        return self.motion.num_people

    @property
    def num_frames(self) -> int:
        """Frames of the motion."""
        return self.motion.num_frames

    @property
    def fps(self) -> float:
        """Frames per second of the motion."""
        return self.motion.fps

    def summary(self) -> dict:
        """The same as data for JSON."""
        trust = trust_summary(self.motion)
        return {
            "source": self.source,
            "folder": str(self.folder),
            "people": self.num_people,
            "frames": self.num_frames,
            "fps": self.fps,
            "seconds": round(self.seconds, 2),
            "stage_seconds": {k: round(v, 2) for k, v in self.stage_seconds.items()},
            "warnings": list(self.warnings),
            **({} if trust is None else {"uncertainty": trust}),
            "files": [f.name for f in self.files],
            "posewright": __version__,
        }


def run_clip(
    source: str | Path,
    out: str | Path | None = None,
    options: RunOptions | None = None,
    *,
    formats: tuple[str, ...] = DEFAULT_FORMATS,
    overlay: bool = True,
    report_page: bool = True,
    body_detail: str = "full",
    fresh: bool = False,
    on_progress: Report | None = None,
) -> RunResult:
    """Turn one clip (or 2D keypoints) into a folder of motion files, an overlay video and a report page.

    Args:
        source: video, photo, folder of pictures, webcam index, or a file or folder of 2D keypoints.
        out: folder to write; default NAME_motion in the current folder.
        options: see `RunOptions`.
        formats: suffixes to write beside `motion.npz`.
        overlay: write `overlay.mp4` (a photo: `overlay.jpg`).
        report_page: write `report.html`.
        body_detail: `full` or `low`: how fine the mesh of `body.glb` is, where `options.body` asks for one.
        fresh: look at the pictures again even if `keypoints.npz` fits.
        on_progress: called with (stage, done, total).

    Raises:
        InputError: the source cannot be used, nobody is in it, a format is unknown, the folder cannot be written or
            is being written by another run.
    """
    began = time.perf_counter()
    options = options or RunOptions()
    report = _Stopwatch(on_progress)
    _check_formats(formats)
    _ready_body(options, body_detail, report)
    folder = Path(out) if out is not None else Path(f"{_stem(source)}_motion")
    is_keypoints = is_keypoints_source(source)
    clip = None if is_keypoints else open_clip(source, options.start, options.end, options.fps)
    with _locked(folder):
        (folder / SUMMARY).unlink(missing_ok=True)
        keypoints, notes = _keypoints(source, clip, folder, options, fresh, report)
        motion = keypoints_to_motion(keypoints, options, source=_name(source), on_progress=report)
        motion = replace(motion, warnings=(*notes, *motion.warnings))
        motion, files = _write_motion(motion, folder, _stem(source), formats, body_detail, report)
        page, pictures = _write_pages(motion, clip, folder, files, overlay, report_page, report)
        result = RunResult(
            _name(source),
            folder,
            motion,
            (*files, *pictures, *([page] if page else [])),
            page,
            motion.warnings,
            time.perf_counter() - began,
            report.stage_seconds(),
        )
        _write_json(
            folder / SUMMARY,
            {**result.summary(), "fingerprint": fingerprint(source, options, everything=True)},
        )
    return result


def run_multiview(
    sources: Sequence[str | Path],
    calibration: str | Path,
    out: str | Path,
    options: RunOptions | None = None,
    *,
    formats: tuple[str, ...] = DEFAULT_FORMATS,
    body_detail: str = "full",
    on_progress: Report | None = None,
) -> RunResult:
    """Turn the clips of several calibrated cameras into a folder of motion files and a report page.

    Args:
        sources: a clip or 2D keypoints per camera, in the order of the calibration.
        calibration: see `io.calibration.load_rig`.
        out: folder to write.
        options: see `RunOptions` and `pipelines.multiview_to_motion`.
        formats: suffixes to write beside `motion.npz`.
        body_detail: see `run_clip`.
        on_progress: called with (stage, done, total).

    Raises:
        InputError: a source or the calibration cannot be used; nobody was seen by two cameras.
    """
    began = time.perf_counter()
    report = _Stopwatch(on_progress)
    _check_formats(formats)
    _ready_body(options or RunOptions(), body_detail, report)
    rig = load_rig(calibration)
    folder = Path(out)
    with _locked(folder):
        (folder / SUMMARY).unlink(missing_ok=True)
        motion = estimate_multiview(sources, rig, options, report)
        motion = replace(motion, source=", ".join(_name(s) for s in sources))
        motion, files = _write_motion(motion, folder, "motion", formats, body_detail, report)
        page, _ = _write_pages(motion, None, folder, files, overlay=False, report_page=True, report=report)
        seconds = time.perf_counter() - began
        made = (*files, page) if page else files
        result = RunResult(
            motion.source, folder, motion, made, page, motion.warnings, seconds, report.stage_seconds()
        )
        _write_json(folder / SUMMARY, result.summary())
    return result


def _check_formats(formats: tuple[str, ...]) -> None:
    """Refuse an unknown format before any work is done."""
    for suffix in formats:
        motion_files.format_of(f"clip.{suffix}")


def _ready_body(options: RunOptions, detail: str, report: Report) -> None:
    """Have the body's file at hand before any picture is looked at: making it may fail."""
    if detail not in DETAILS:
        raise InputError(f"--body-detail is {detail!r}, expected one of {', '.join(DETAILS)}")
    if options.body != "none":
        load_named_body(options.body, on_progress=report)


class _Stopwatch:
    """Passes progress on and notes how long each stage took."""

    def __init__(self, on_progress: Report | None):
        self._pass_on = on_progress
        self._span: dict[str, list[float]] = {}
        self._last = time.perf_counter()

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        now = time.perf_counter()
        self._span.setdefault(stage, [self._last, now])[1] = now
        self._last = now
        if self._pass_on:
            self._pass_on(stage, done, total)

    def stage_seconds(self) -> dict[str, float]:
        """Seconds from the end of the stage before to the last word of each stage."""
        return {stage: end - begin for stage, (begin, end) in self._span.items()}


# ------------------------------------------------------------------------------------------- keypoints


def _keypoints(
    source, clip: Clip | None, folder: Path, options: RunOptions, fresh: bool, report: Report
) -> tuple[Keypoints2D, tuple[str, ...]]:
    """Find the people, or take them from an earlier run of the same input."""
    if clip is None:
        from posewright.pipelines.video_to_motion import read_keypoints_source

        return read_keypoints_source(source, options), ()
    kept, mark = folder / _KEYPOINTS, fingerprint(source, options)
    if not fresh and clip.info.kind != "webcam" and keypoints_npz.is_keypoints_file(kept):
        keypoints, extra = keypoints_npz.read(kept)
        if extra.get("fingerprint") == mark:
            report("people (from before)", keypoints.num_frames, keypoints.num_frames)
            return keypoints, tuple(extra.get("warnings", ()))
    journal = None if clip.info.kind == "webcam" else Journal(folder / _JOURNAL, mark)
    if journal and fresh:
        journal.remove()
    try:
        keypoints, notes = find_people(clip, options, report, journal)
    except InputError:  # nobody there: nothing to go on with
        if journal:
            journal.remove()
        raise
    keypoints_npz.write(keypoints, kept, {"fingerprint": mark, "warnings": list(notes)})
    if journal:
        journal.remove()
    return keypoints, notes


def fingerprint(source: str | Path, options: RunOptions, everything: bool = False) -> str:
    """Digest of the input and of the options that decide what is found in its pictures, or of all options."""
    stamp = None
    path = Path(source)
    if path.exists():
        files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.is_file())
        stamp = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    chosen = asdict(options) if everything else {n: getattr(options, n) for n in _DETECTION_OPTIONS}
    if options.samples is None:
        chosen = {n: v for n, v in chosen.items() if n not in ("samples", "seed")}
    if not options.refine:
        chosen = {n: v for n, v in chosen.items() if n != "refine"}
    if options.precision == "float32":
        chosen = {n: v for n, v in chosen.items() if n != "precision"}
    text = json.dumps([str(path.resolve()), stamp, chosen, __version__], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


# --------------------------------------------------------------------------------------------- writing


def _write_motion(
    motion: Motion, folder: Path, stem: str, formats, body_detail: str, report: Report
) -> tuple[Motion, tuple[Path, ...]]:
    """Write the files; a format that cannot hold this motion becomes a warning, so that the others are not lost."""
    files = list(motion_files.save(motion, folder / "motion.npz"))
    notes = []
    for done, suffix in enumerate(formats):
        report("motion files", done, len(formats))
        if suffix == "npz":
            continue
        extra = {"angles": joint_angles(motion)} if suffix == "mot" else {}
        try:
            files += motion_files.save(motion, folder / f"{stem}.{suffix}", **extra)
        except (InputError, MissingExtraError) as error:
            notes.append(f"no .{suffix} file: {error}")
    report("motion files", len(formats), len(formats))
    if motion.bodies is not None:
        files += _write_bodies(motion, folder, body_detail, notes, report)
    return replace(motion, warnings=(*motion.warnings, *notes)), tuple(files)


def _write_bodies(motion: Motion, folder: Path, detail: str, notes: list[str], report: Report) -> list[Path]:
    """Write the files of the bodies; one that cannot be made becomes a note."""
    files = []
    for done, name in enumerate(BODY_FILES):
        report("body files", done, len(BODY_FILES))
        try:
            files += save_body(motion, folder / name, detail=detail)
        except InputError as error:
            notes.append(f"no {name}: {error}")
    report("body files", len(BODY_FILES), len(BODY_FILES))
    return files


def _write_pages(
    motion: Motion, clip: Clip | None, folder: Path, files, overlay: bool, report_page: bool, report: Report
) -> tuple[Path | None, tuple[Path, ...]]:
    """Write the overlay and the report page; a webcam's pictures are gone by now, so it gets the page alone."""
    page = folder / "report.html"
    with tempfile.TemporaryDirectory(prefix=".posewright-", dir=folder) as temporary:
        preview, pictures = None, ()
        if clip is not None and motion.keypoints and clip.info.kind != "webcam" and (overlay or report_page):
            still = clip.info.kind == "photo"
            overlay_path = folder / ("overlay.jpg" if still else "overlay.mp4") if overlay else None
            preview_path = (
                Path(temporary) / ("preview.jpg" if still else "preview.mp4") if report_page else None
            )
            write_preview_and_overlay(
                clip,
                motion.keypoints,
                preview_path,
                overlay_path,
                lambda done, total: report("pictures", done, total),
                doubt_of(motion),
            )
            preview, pictures = preview_path, (overlay_path,) if overlay_path else ()
        if not report_page:
            return None, pictures
        report("report", 0, 1)
        write_report(
            motion,
            page,
            video=preview,
            exports=files,
            angles=joint_angles(motion),
            body_rigs=body_rigs(motion, "low") if motion.bodies is not None else (),
            title=motion.source,
        )
        report("report", 1, 1)
    return page, pictures


def _write_json(path: Path, data: dict) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


# ------------------------------------------------------------------------------------ names and folder


def _name(source: str | Path) -> str:
    text = str(source)
    return f"webcam {text}" if text.isdigit() and not Path(text).exists() else Path(text).name


def _stem(source: str | Path) -> str:
    path = Path(source)
    if str(source).isdigit() and not path.exists():
        return f"webcam{source}"
    known = path.is_file() or path.suffix.lower() in (
        *PHOTO_SUFFIXES,
        ".mp4",
        ".mov",
        ".avi",
        ".mkv",
        ".json",
        ".npz",
    )
    return (path.stem if known else path.resolve().name) or "clip"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder for one run; remove it again if the run failed before writing anything."""
    created = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except (PermissionError, FileExistsError, NotADirectoryError, OSError) as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}): choose another folder with --out, or make it writable"
        ) from error
    try:
        if not (_take(handle) and _is_still_there(handle, folder / ".lock")):
            raise InputError(
                f"{folder} is being written by another run: wait for it, or choose another folder with --out"
            )
        try:
            yield
        finally:
            (folder / ".lock").unlink(missing_ok=True)
    finally:
        os.close(handle)
        if created and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()


def _is_still_there(handle: int, path: Path) -> bool:
    """False if the run that held the lock has just ended and removed the file under us."""
    return path.exists() and os.fstat(handle).st_ino == path.stat().st_ino


def _take(handle: int) -> bool:
    """Take an exclusive lock that the system drops when the process ends, however it ends."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
