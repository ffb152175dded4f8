"""`posewright datasets`: which data sets can be read, how to get them, and whether a folder holds one."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
Json = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]
Name = Annotated[str, typer.Argument(help="Name of the data set, e.g. human36m.")]


@app.callback(invoke_without_command=True)
def list_(context: typer.Context, json: Json = False) -> None:
    """List the data sets that can be read; say how to get them; check a folder.

    Example:  posewright datasets

    Example:  posewright datasets check human36m data/
    """
    if context.invoked_subcommand is not None:
        return
    from posewright.cli.console import table
    from posewright.datasets.catalogue import list_datasets, reader

    cards = {name: reader(name).CARD for name in list_datasets()}
    if json:
        import json as to_json
        from dataclasses import asdict

        print(to_json.dumps([{"name": name, **asdict(card)} for name, card in cards.items()], indent=2))
        return
    rows = [[name, card.title, card.licence, card.gives] for name, card in cards.items()]
    table("Data sets", ["name", "data set", "licence", "gives"], rows)


@app.command("show")
def show(name: Name, json: Json = False) -> None:
    """Say how to obtain a data set and how its files must lie.

    Example:  posewright datasets show human36m
    """
    from dataclasses import asdict

    from posewright.datasets.catalogue import reader

    card = reader(name).CARD
    if json:
        import json as to_json

        print(to_json.dumps({"name": name, **asdict(card)}, indent=2))
        return
    print(f"{card.title}\n{'=' * len(card.title)}\n")
    print(f"Gives:    {card.gives}")
    print(f"Licence:  {card.licence}")
    print(f"Splits:   {', '.join(card.splits)}\n")
    print(f"{card.obtain}\n\nLayout:\n\n{card.layout}\n\nRests on: {card.rests_on}")
    print(f"\nThen:  posewright datasets check {name} root/")


@app.command("check")
def check(
    name: Name,
    folder: Annotated[Path, typer.Argument(help="Where the data set lies.")],
    split: Annotated[
        str | None, typer.Option("--split", help="Only this one; without it every split of the data set.")
    ] = None,
    json: Json = False,
) -> int:
    """Read a folder of a data set: what is missing, or how many takes, frames and cameras each split has.

    Exit status 0 when everything asked for was read to its end, 1 otherwise.

    Example:  posewright datasets check human36m data/ --split test
    """
    from posewright.datasets.catalogue import reader
    from posewright.datasets.takes import check_split

    data = reader(name)
    check_split(data.CARD, split)
    missing = data.missing(folder)
    found = {} if missing else _counted(data, folder, (split,) if split else data.CARD.splits, json)
    if json:
        import json as to_json

        splits = {key: vars(value) for key, value in found.items()}
        print(to_json.dumps({"name": name, "folder": str(folder), "missing": missing, "splits": splits}))
    else:
        _print(name, folder, missing, found)
    return 1 if missing or any(counts.problem for counts in found.values()) else 0


def _counted(data, folder: Path, splits: tuple[str, ...], quiet: bool) -> dict:
    """Count every split, with a bar each."""
    from posewright.cli.console import progress
    from posewright.datasets.contents import contents

    with progress(quiet=quiet) as report:
        return {
            split: contents(data, folder, split, lambda n, split=split: report(f"{split}: takes", n, None))
            for split in splits
        }


def _print(name: str, folder: Path, missing: list[str], found: dict) -> None:
    """Print the counts, or what is missing and where it comes from."""
    from posewright.cli.console import table

    if missing:
        print(f"{folder} lacks: {', '.join(missing)}")
        print(f"How to get it and how the files must lie:  posewright datasets show {name}")
        return
    columns = ["split", "takes", "frames", "minutes", "subjects", "views", "cameras known"]
    rows = [
        [
            split,
            *map(str, (c.takes, c.frames, f"{c.seconds / 60:.1f}", len(c.subjects), c.views, c.calibrated)),
        ]
        for split, c in found.items()
    ]
    table(f"{name} in {folder}", columns, rows)
    for split, counts in found.items():
        if counts.problem:
            print(f"{split}: {counts.problem}")
