"""Which data sets can be read: every file of this package that has a `CARD`."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from posewright.datasets.takes import DatasetCard, Take


class Reader(Protocol):
    """A file of this package that reads a data set."""

    CARD: DatasetCard

    def missing(self, root: str | Path) -> list[str]:
        """Files of the layout that `root` lacks; empty where it can be read."""
        ...

    def read(self, root: str | Path, split: str | None = None) -> Iterator[Take]:
        """Takes of a split (None: of all), one after another; further options are the reader's own."""
        ...


def list_datasets() -> list[str]:
    """Names of the data sets that can be read, such as `human36m`."""
    return sorted(_readers())


def reader(name: str) -> Reader:
    """Find the reader of a data set; `LookupError` lists the known ones."""
    found = _readers()
    if name not in found:
        raise LookupError(f"no data set {name!r}; the known ones are: {', '.join(sorted(found))}")
    return found[name]


def _readers() -> dict[str, Reader]:
    """Walk the package."""
    package = Path(__file__).parent
    modules = {
        m.name: import_module(f"posewright.datasets.{m.name}") for m in pkgutil.iter_modules([str(package)])
    }
    return {name: cast(Reader, module) for name, module in modules.items() if hasattr(module, "CARD")}
