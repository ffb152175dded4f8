"""What a finished run says."""

import json
import os
import sys
import webbrowser
from pathlib import Path


def show(result, as_json: bool = False) -> None:
    """Print what was made of a clip: people, warnings, files; or the same as JSON."""
    if as_json:
        print(json.dumps(result.summary(), indent=2))
        return
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    people = f"{result.num_people} {'person' if result.num_people == 1 else 'people'}"
    console.print(
        f"\n[bold]{escape(result.source)}[/]: {people}, {_frames(result)}, in {result.seconds:.1f} s"
    )
    for warning in result.warnings:
        console.print(f"  [yellow]![/] {escape(warning)}")
    folder = result.folder
    console.print(f"\n  [bold]{escape(str(folder))}/[/]")
    for file in result.files:
        console.print(f"    {escape(str(file.relative_to(folder)))}  [dim]{_size(file)}[/]")
    if result.report is not None:
        console.print(f"\n  Open [bold]{escape(result.report.resolve().as_uri())}[/] in a browser.")


def _frames(result) -> str:
    if result.num_frames == 1:
        return "1 frame"
    return f"{result.num_frames} frames at {result.fps:g} frames/s"


def open_in_browser(page: Path) -> None:
    """Open a page where there is a screen to show it; a server without one stays quiet."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return
    webbrowser.open(page.resolve().as_uri())


def _size(file: Path) -> str:
    size = float(file.stat().st_size)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
