"""`posewright train` and `posewright benchmark`: the recipes and measurements of a checkout, by name.

They are short programs in `runs/` and `benchmarks/`, not part of the installed package; these verbs find and start
them.
"""

import ast
import runpy
import sys
from pathlib import Path
from typing import Annotated

import typer

CHECKOUT = Path(__file__).resolve().parents[2]
Name = Annotated[str | None, typer.Argument(help="Which one; without a name they are listed.")]
ALIASES = {"lifting": "lifting_zoo"}
"""Shorter names."""
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def train(context: typer.Context, name: Name = None) -> None:
    """Train a method by one of the recipes in runs/; what follows the name goes to the recipe.

    Example:  posewright train train_raylift --minutes 5 --out out/raylift
    """
    _run("runs", name, context.args)


def benchmark(context: typer.Context, name: Name = None) -> None:
    """Run one of the measurements in benchmarks/; what follows the name goes to it.

    Example:  posewright benchmark speed --runs 3
    """
    _run("benchmarks", name, context.args)


def scripts(folder: str) -> dict[str, Path]:
    """Name -> program, of those that can be started by themselves.

    Raises:
        LookupError: this is not a checkout.
    """
    place = CHECKOUT / folder
    if not place.is_dir():
        raise LookupError(
            f"{folder}/ is not part of the installed package: clone the repository and install it with pip install -e ."
        )
    found = {p.stem: p for p in sorted(place.glob("*.py"))}
    return {name: path for name, path in found.items() if "__main__" in path.read_text(encoding="utf-8")}


def _run(folder: str, name: str | None, arguments: list[str]) -> None:
    known = scripts(folder)
    if name is None:
        for title, path in known.items():
            doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            typer.echo(f"{title:24} {doc.splitlines()[0] if doc else ''}")
        return
    name = ALIASES.get(name, name) if ALIASES.get(name) in known else name
    if name not in known:
        raise LookupError(f"{folder}/ has no {name!r}; it has: {', '.join(known)}")
    sys.argv = [str(known[name]), *arguments]
    sys.path.insert(0, str(known[name].parent))
    runpy.run_path(str(known[name]), run_name="__main__")
