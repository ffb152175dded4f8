"""Write the generated pages: `python docs/generate.py`. A test says when one is out of date."""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from docs import adaptation_results, probabilistic_results, readme_results, truth_results, zoo_results  # noqa: E402
from posewright.core.weights import Weights  # noqa: E402
from posewright.models import find, list_models  # noqa: E402
from tests.parity.lifters import CASES  # noqa: E402
from tests.parity.recordings import official  # noqa: E402

ZOO_HEAD = """# The zoo

Every method behind one interface: `pw.create("lifting/mixste", variant="243")` builds one with fresh weights,
`pw.load_official("lifting/mixste", state_dict, **kwargs)` loads its authors' checkpoint, strictly. This page is made by
`python docs/generate.py` from the methods' own cards; do not edit it.

posewright ships weights of its own lifter only, `lifting/raylift`; the links below lead to the authors of the others.
*None stated* means that neither a licence file nor the README names terms for the weights: ask their authors before you
use them. Reported numbers are those that the authors state, or comparison tables of later papers where their repository
gives none. No published checkpoint was available where this was written, so **no reported number is verified here**
unless its row says so.

*Parity* counts the recordings of the official code, at small sizes with random weights, which our implementation
reproduces to 1e-4 (`tests/parity`). The parameter counts of published methods are measured on the official classes, and
ours are equal (a test). *No other code*: the authors published none, so the file lists what it assumes (`posewright
models show`), its sizes are *ours*, and its accuracy says little about the paper's.
"""


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def paper(method: ModuleType) -> str:
    """Return a method's paper as a link with its venue."""
    return f"[{method.PAPER.title}]({method.PAPER.url}), {method.PAPER.venue}"


def code_licence(method: ModuleType) -> str:
    """Return the licence of the official code."""
    licence = method.PAPER.code_licence or "-"
    return f"[{licence}]({method.PAPER.code})" if method.PAPER.code else licence


def weight_licences(method: ModuleType) -> str:
    """Return the licences of the checkpoints."""
    return ", ".join(sorted({card.licence for card in method.WEIGHTS.values()})) or "-"


def sizes(method: ModuleType) -> str:
    """Return the published sizes with their parameter counts in millions; ours where no official code exists."""
    counts = getattr(method, "PARAMETERS", {})
    if not counts and method.PAPER.code is None:
        with torch.device("meta"):
            networks = {name: method.Model(config) for name, config in method.VARIANTS.items()}
        counts = {f"{name} (ours)": sum(p.numel() for p in m.parameters()) for name, m in networks.items()}
    return ", ".join(f"{name}: {count / 1e6:.2f} M" for name, count in counts.items()) or "-"


def conventions(method: ModuleType) -> str:
    """Return what a lifter takes and gives, in few words."""
    facts = method.LIFTING
    frames = {"all": "every frame", "centre": "middle frame", "valid": "every full window"}[
        facts.output_frames
    ]
    return f"{facts.skeleton.name}, {facts.channels} channels, {frames}, {facts.joint_units}"


def recordings(folder: Path) -> dict[str, int]:
    """Count the recordings of the official code by method."""
    counts: dict[str, int] = {}
    for path in sorted(folder.rglob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
        case = CASES.get(official(meta))
        if case is not None:
            counts[case.method] = counts.get(case.method, 0) + 1
    return counts


def parity(name: str, method: ModuleType, counts: dict[str, int]) -> str:
    """Say how far a method was compared with its official code."""
    if name in counts:
        return f"{counts[name]} recording{'s' if counts[name] > 1 else ''}"
    return "not tested" if method.PAPER.code else "no other code"


def weights_rows(name: str, method: ModuleType) -> list[list[str]]:
    """Return one row per checkpoint that has a card."""
    rows = []
    for checkpoint, card in method.WEIGHTS.items():
        if not isinstance(card, Weights):
            continue
        where, _, what = card.url.partition(" ")
        reported = ", ".join(f"{metric} {value:g}" for metric, value in card.reported.items())
        place = f"[link]({where})" if where.startswith("http") else f"`{where}`"
        link = f"{place} {what}".strip()
        data = "; ".join(card.trained_on)
        rows.append(
            [name, checkpoint, link, card.licence, data, reported or "-", card.verified or "not verified"]
        )
    return rows


def zoo() -> str:
    """Return the page of the methods."""
    page, counts = [ZOO_HEAD], recordings(ROOT / "tests" / "parity" / "golden")
    lifters = {name: find(name) for name in list_models("lifting")}
    page.append("\n## Lifting: 2D keypoints to 3D joints\n\n")
    head = ["method", "paper", "sizes", "takes and gives", "code licence", "weights licence", "parity"]
    page.append(
        table(
            head,
            (
                [
                    f"`{name}`",
                    paper(method),
                    sizes(method),
                    conventions(method),
                    code_licence(method),
                    weight_licences(method),
                    parity(name, method, counts),
                ]
                for name, method in lifters.items()
            ),
        )
    )
    page.append("\n## Other tasks\n\n")
    others = {name: find(name) for name in list_models() if name not in lifters}
    rows = ([f"`{n}`", paper(m), code_licence(m), weight_licences(m)] for n, m in others.items())
    page.append(table(["method", "paper", "code licence", "weights licence"], rows))
    page.append("\n## Published checkpoints\n\n")
    head = ["method", "checkpoint", "where", "licence", "trained on", "reported", "verified"]
    every = (lifters | others).items()
    page.append(table(head, (row for name, method in every for row in weights_rows(f"`{name}`", method))))
    return "".join(page)


def readme() -> str:
    """Return the README with the table of results as they are now."""
    return readme_results.with_results(
        (ROOT / "README.md").read_text(encoding="utf-8"), readme_results.table()
    )


def truth() -> str:
    """Return the page of the truth benchmark with its tables as they are now."""
    page = (ROOT / "docs" / "truth.md").read_text(encoding="utf-8")
    return readme_results.with_results(page, truth_results.table())


def lifting_benchmark() -> str:
    """Return the page of the open lifting benchmark with its tables as they are now."""
    page = (ROOT / "docs" / "lifting_benchmark.md").read_text(encoding="utf-8")
    return readme_results.with_results(page, zoo_results.table())


def probabilistic_benchmark() -> str:
    """Return the page of the benchmark of probabilistic lifters with its tables as they are now."""
    page = (ROOT / "docs" / "probabilistic_benchmark.md").read_text(encoding="utf-8")
    return readme_results.with_results(page, probabilistic_results.table())


def adaptation() -> str:
    """Return docs/adaptation.md with its table as the rows give it."""
    page = (ROOT / "docs" / "adaptation.md").read_text(encoding="utf-8")
    return readme_results.with_results(page, adaptation_results.table())


PAGES: dict[str, Callable[[], str]] = {
    "zoo.md": zoo,
    "truth.md": truth,
    "lifting_benchmark.md": lifting_benchmark,
    "probabilistic_benchmark.md": probabilistic_benchmark,
    "adaptation.md": adaptation,
    "../README.md": readme,
}
"""Page under docs/ -> what makes it."""


def main() -> None:
    """Write all generated pages."""
    for name, make in PAGES.items():
        (ROOT / "docs" / name).write_text(make(), encoding="utf-8")
        sys.stdout.write(f"docs/{name}\n")


if __name__ == "__main__":
    main()
