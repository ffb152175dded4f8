"""Many clips, one folder each: skip what is done, go on after a failure."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from posewright.batch.job import DEFAULT_FORMATS, SUMMARY, fingerprint, run_clip
from posewright.core.errors import InputError
from posewright.io.video import PHOTO_SUFFIXES
from posewright.pipelines.video_to_motion import RunOptions

VIDEO_SUFFIXES = (
    ".mp4",
    ".mov",
    ".avi",
    ".mkv",
    ".webm",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".gif",
    ".mts",
    ".ts",
)


@dataclass(frozen=True)
class Outcome:
    """What became of one clip."""

    source: str
    folder: Path
    state: str
    """`done`, `skipped` (was done before) or `failed`."""
    error: str = ""

    def summary(self) -> dict:
        """The same as data for JSON."""
        return {"source": self.source, "folder": str(self.folder), "state": self.state, "error": self.error}


def run_many(
    sources: Sequence[str | Path],
    out: str | Path,
    options: RunOptions | None = None,
    *,
    formats: tuple[str, ...] = DEFAULT_FORMATS,
    overlay: bool = True,
    report_page: bool = True,
    on_progress: Callable[[str, int, int | None], None] | None = None,
) -> list[Outcome]:
    """Run each clip into `out/<name>`; a clip whose results are there from the same input and options is skipped.

    Raises:
        InputError: no clip was found.
    """
    options = options or RunOptions()
    clips = find_clips(sources)
    report = on_progress or (lambda stage, done, total: None)
    outcomes = []
    for number, (clip, folder) in enumerate(zip(clips, _folders(clips, Path(out)), strict=True)):
        report("clips", number, len(clips))
        outcomes.append(_one(clip, folder, options, formats, overlay, report_page, report))
    report("clips", len(clips), len(clips))
    return outcomes


def find_clips(sources: Sequence[str | Path]) -> list[Path]:
    """Expand folders to the videos and photos in them, sorted by name.

    Raises:
        InputError: a source does not exist, or nothing was found.
    """
    clips: list[Path] = []
    for source in map(Path, sources):
        if not source.exists():
            raise InputError(f"{source} does not exist: give videos, photos, or folders of them")
        if source.is_dir():
            known = (*VIDEO_SUFFIXES, *PHOTO_SUFFIXES)
            clips += sorted(p for p in source.iterdir() if p.is_file() and p.suffix.lower() in known)
        else:
            clips.append(source)
    if not clips:
        raise InputError(f"no videos or photos in {', '.join(map(str, sources))}")
    return clips


def _folders(clips: list[Path], out: Path) -> list[Path]:
    """Name a folder per clip after it; clips of one name in different places get numbers."""
    seen: dict[str, int] = {}
    folders = []
    for clip in clips:
        seen[clip.stem] = count = seen.get(clip.stem, 0) + 1
        folders.append(out / (clip.stem if count == 1 else f"{clip.stem}_{count}"))
    return folders


def _one(clip, folder, options, formats, overlay, report_page, report) -> Outcome:
    if _is_done(clip, folder, options):
        return Outcome(str(clip), folder, "skipped")

    def stage(name: str, done: int, total: int | None) -> None:
        report(f"{clip.stem}: {name}", done, total)

    try:
        run_clip(
            clip,
            folder,
            options,
            formats=formats,
            overlay=overlay,
            report_page=report_page,
            on_progress=stage,
        )
    except (ValueError, LookupError, OSError) as error:
        return Outcome(str(clip), folder, "failed", " ".join(str(error).split()))
    return Outcome(str(clip), folder, "done")


def _is_done(clip: Path, folder: Path, options: RunOptions) -> bool:
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return summary.get("fingerprint") == fingerprint(clip, options, everything=True)
