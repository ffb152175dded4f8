"""`posewright doctor`: is everything here, and if not, which command mends it."""

from typing import Annotated

import typer


def doctor(
    json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> int:
    """Check versions, devices, model files and what optional parts need.

    Exit status 0 when `posewright run` can work offline from here, 1 when something it needs is missing.

    Example:  posewright doctor
    """
    from posewright.cli.checks import all_checks

    checks = all_checks()
    broken = [c for c in checks if c.state == "missing"]
    if json:
        import json as to_json

        print(to_json.dumps([vars(c) for c in checks], indent=2))
        return 1 if broken else 0
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    marks = {"ok": "[green]✓[/]", "note": "[yellow]•[/]", "missing": "[red]✗[/]"}
    for check in checks:
        console.print(f" {marks[check.state]} [bold]{escape(check.name):<27}[/] {escape(check.found)}")
        if check.mend:
            console.print(f"   {'':<27} [dim]→ {escape(check.mend)}[/]")
    console.print(
        "\n" + ("Everything needed is here." if not broken else "Some things that are needed are missing.")
    )
    return 1 if broken else 0
