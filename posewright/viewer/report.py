"""`report.html`: clip, 2D overlay, 3D view, plots, warnings and downloads in one file that works offline.

The page is assembled from `page/` (HTML, CSS, JavaScript without any library) and the motion's data. Nothing is ever
loaded from a network: a content security policy in the page forbids it, and lets only this page's own script and
style run (by their hash). Names and texts from outside reach the page as JSON and are shown as text, never as HTML.
"""

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from posewright.core.errors import InputError
from posewright.core.files import atomic_path
from posewright.structures.joint_angles import JointAngles
from posewright.structures.motion import Motion
from posewright.structures.motion_bodies import BodyRig
from posewright.viewer.packing import pack_bytes
from posewright.viewer.report_data import report_data

EMBED_LIMIT = 20_000_000
"""Bytes: exports that together are smaller travel inside the page; larger ones are linked beside it."""
_PIECE = 3 << 18
"""Bytes of a file encoded at a time; a multiple of 3, so that the pieces of base64 join."""

SCRIPTS = (
    "elements.js",
    "time_axis.js",
    "linear_algebra.js",
    "arrays.js",
    "clip.js",
    "mannequin.js",
    "body.js",
    "shaders.js",
    "renderer.js",
    "viewpoint.js",
    "scene.js",
    "overlay.js",
    "player.js",
    "timeline.js",
    "plots.js",
    "panels.js",
    "main.js",
)
"""Parts of the page's script in the order in which they are joined: each uses only those before it."""

_MEDIA_TYPES = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG", "image/png"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
)


@dataclass(frozen=True)
class _Block:
    """Data written into the page as an element that browsers keep but never run."""

    name: str
    text: str | Path
    """The text itself, or a file to be written as base64."""

    def pieces(self) -> Iterator[str]:
        """The element, piece by piece, so that no clip is ever whole in memory."""
        yield f'<script type="application/octet-stream" id="{self.name}">'
        if isinstance(self.text, str):
            yield self.text
        else:
            yield from _base64_pieces(self.text)
        yield "</script>\n"


def write_report(
    motion: Motion,
    path: str | Path,
    *,
    video: str | Path | None = None,
    exports: Sequence[str | Path] = (),
    angles: JointAngles | None = None,
    body_rigs: Sequence[BodyRig] = (),
    title: str | None = None,
    embed_limit: int = EMBED_LIMIT,
) -> Path:
    """Write a motion as one self-contained page.

    Args:
        motion: what to show; `keypoints` (overlay), `camera`, `joints_raw` and `contacts` are shown where present.
        path: file to write, usually `report.html`.
        video: clip (H.264 .mp4 or .webm) of the same time range as the motion, or the photo it was made from
            (.jpg, .png, .webp, .gif); embedded whole. None: the 3D view takes the space.
        exports: files to offer as downloads. Together under `embed_limit` they travel inside the page; otherwise
            they are links relative to the page, so page and files must stay together.
        angles: joint angles to plot, same frames and people.
        body_rigs: meshes of the motion's bodies, one per person, of few vertices; none: the mannequin alone.
        title: heading; default: the motion's source.
        embed_limit: bytes.

    Returns:
        The path written.

    Raises:
        InputError: the video, photo or an export cannot be read or is not what a browser shows.
        ValueError: keypoints, angles or rigs are of other frames or people than the joints.
    """
    path = Path(path)
    data, arrays = report_data(motion, angles, title or motion.source or "Motion", body_rigs)
    blocks = [_Block(f"array-{name}", packed.text) for name, packed in arrays.items()]
    data["media"] = _media(video, blocks)
    data["exports"] = _exports([Path(export) for export in exports], path, embed_limit, blocks)
    with atomic_path(path) as temporary, temporary.open("wb") as page:
        for piece in _pieces(data, blocks):
            page.write(piece.encode("utf-8", "replace"))
    return path


def _media(video: str | Path | None, blocks: list[_Block]) -> dict | None:
    """Embed the clip or photo; its kind is read from its first bytes, not from its name."""
    if video is None:
        return None
    first = _first_bytes(Path(video), "clip or photo")
    kinds = [kind for start, magic, kind in _MEDIA_TYPES if first[start : start + len(magic)] == magic]
    if not kinds:
        raise InputError(
            f"{video} is not a clip or photo that browsers show: expected MP4 (H.264), WebM, JPEG, PNG, WebP or GIF"
        )
    blocks.append(_Block("media", Path(video)))
    return {"type": kinds[0], "kind": kinds[0].partition("/")[0]}


def _exports(exports: Sequence[Path], page: Path, limit: int, blocks: list[_Block]) -> list[dict]:
    """Describe the downloads, and embed them all where they are small enough together."""
    try:
        sizes = [export.stat().st_size for export in exports]
    except OSError as error:
        raise InputError(f"an export cannot be offered in the report: {error}") from error
    embed = sum(sizes) <= limit
    entries = []
    for number, (export, size) in enumerate(zip(exports, sizes, strict=True)):
        if embed:
            _first_bytes(export, "export")
            blocks.append(_Block(f"export-{number}", export))
        entries.append({"name": export.name, "size": size, "href": _link(export, page), "embedded": embed})
    return entries


def _link(export: Path, page: Path) -> str:
    """Link from the page to a file beside it, escaped; absolute where no relative one exists (another drive)."""
    try:
        relative = os.path.relpath(export.resolve(), page.resolve().parent)
    except ValueError:
        return export.resolve().as_uri()
    return "./" + quote(os.fsencode(Path(relative).as_posix()))


def _first_bytes(path: Path, what: str) -> bytes:
    """Begin to read a file, so that one that cannot be read is found before anything is written."""
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise InputError(f"{what} for the report cannot be read: {error}") from error


def _base64_pieces(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield pack_bytes(piece)


def _pieces(data: Mapping, blocks: Sequence[_Block]) -> Iterator[str]:
    """Fill the page's template in one pass, so that no value is ever taken for a placeholder."""
    style = _part("report.css")
    script = _joined_script()
    values = {
        "policy": html.escape(_policy(style, script)),
        "title": html.escape(str(data["title"])),
        "style": style,
        "script": script,
        "data": _json_in_html(data),
    }
    for number, part in enumerate(re.split(r"\{\{(\w+)\}\}", _part("report.html"))):
        if number % 2 == 0:
            yield part
        elif part == "blocks":
            for block in blocks:
                yield from block.pieces()
        else:
            yield values[part]


def _part(name: str) -> str:
    return resources.files("posewright.viewer").joinpath("page", name).read_text(encoding="utf-8")


def _joined_script() -> str:
    body = "\n".join(_part(name) for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{body}\n}})();'


def _json_in_html(data: Mapping) -> str:
    """JSON that no HTML parser can take for markup: `<`, `>` and `&` are written as escapes."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _policy(style: str, script: str) -> str:
    """Content security policy: no network at all; only this script and this style, named by hash."""
    return (
        f"default-src 'none'; script-src 'sha256-{_sha256(script)}'; style-src 'sha256-{_sha256(style)}'; "
        "img-src data: blob:; media-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
