"""`posewright models`: which methods there are, and what each one's card says."""

from typing import Annotated

import typer

app = typer.Typer(help="List the methods and show their cards.", no_args_is_help=True)


@app.command("list")
def list_(
    task: Annotated[str | None, typer.Argument(help="Only one task: detection, tracking, lifting.")] = None,
    licence: Annotated[
        str | None,
        typer.Option("--license", "--licence", help="Only methods with weights under this licence (SPDX)."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """List the methods.

    Example:  posewright models list lifting --license Apache-2.0
    """
    from posewright.cli.console import table
    from posewright.models import find, list_models

    rows = []
    for name in list_models(task):
        method = find(name)
        licences = sorted({card.licence for card in method.WEIGHTS.values()})
        if licence is None or any(licence.lower() == x.lower() for x in licences):
            rows.append([name, method.PAPER.title, method.PAPER.venue, ", ".join(licences) or "no weights"])
    if json:
        import json as to_json

        keys = ("name", "title", "venue", "weights_licence")
        print(to_json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
        return
    table("Methods", ["name", "paper", "venue", "weights"], rows)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Path of the method, e.g. lifting/videopose3d.")],
) -> None:
    """Show one method: paper, sizes, licences, what was measured and what was not.

    Example:  posewright models show detection/blazepose
    """
    import dataclasses
    import inspect

    from posewright.models import find

    method = find(name)
    print(f"{name}\n{'=' * len(name)}\n\n{inspect.cleandoc(method.__doc__ or '')}\n")
    for field, value in dataclasses.asdict(method.PAPER).items():
        print(f"{field:>10}  {value}")
    for variant, config in getattr(method, "VARIANTS", {}).items():
        print(f"\nvariant {variant}: {config}")
    for weights, card in method.WEIGHTS.items():
        print(f"\nweights {weights}")
        for field, value in dataclasses.asdict(card).items():
            print(f"{field:>14}  {value}")
