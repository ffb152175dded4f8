"""The tables and the plot of docs/lifting_benchmark.md, from `benchmarks/results/lifting_zoo.csv`.

`python docs/zoo_results.py` draws the plot; the tables are made by `docs/generate.py`.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from docs.readme_results import rows  # noqa: E402

CONDITIONS = (("0.5", "0"), ("1", "0"), ("2", "0"), ("1", "10"), ("1", "30"))
"""Noise and missing keypoints, percent."""
PLOT = ROOT / "docs" / "images" / "lifting_benchmark.png"


def budgets() -> list[str]:
    """Budgets of which there are rows, the one with the most methods first."""
    every = rows("lifting_zoo")
    found = dict.fromkeys((r["size"], r["budget"], r["flip"], r["views"]) for r in every)
    count = {b: len({r["method"] for r in every if _budget(r) == b}) for b in found}
    return sorted(found, key=lambda b: -count[b])


def _budget(row: dict[str, str]) -> tuple[str, ...]:
    return row["size"], row["budget"], row["flip"], row["views"]


def table() -> str:
    """Return a table for each budget."""
    return "\n".join(_table(budget) for budget in budgets())


def _table(budget: tuple[str, ...]) -> str:
    size, words, flip, views = budget
    every = [r for r in rows("lifting_zoo") if _budget(r) == budget]
    names = sorted({r["method"] for r in every}, key=lambda name: _score(every, name, "1", "0"))
    lines = [_line(every, name) for name in names]
    noise = [f"{n} %" + (f", {m} % missing" if m != "0" else "") for n, m in CONDITIONS]
    head = ["method", "seeds", *noise, "weights", "MMAC/frame", "frames/s", "memory MB", "training s"]
    flipped = "averaged with the mirrored clip" if flip == "True" else "not mirrored"
    title = f"### {words}; {size} sizes; {views} test views; {flipped}\n\nMPJPE / PA-MPJPE in mm.\n\n"
    return title + "".join(f"| {' | '.join(line)} |\n" for line in [head, ["---"] * len(head), *lines])


def _line(every: list[dict[str, str]], name: str) -> list[str]:
    own = [r for r in every if r["method"] == name]
    seeds = sorted({r["seed"] for r in own}, key=int)
    cells = [_scores(own, n, m) for n, m in CONDITIONS]
    facts = (
        f"{_mean(own, 'parameters') / 1e6:.2f} M",
        f"{_mean(own, 'mmacs_per_frame'):.1f}",
        f"{_mean(own, 'frames_per_second'):.0f}",
        f"{_mean(own, 'peak_memory_mb'):.0f}",
        f"{_mean(own, 'training_seconds'):.0f}",
    )
    return [f"`{name}`", str(len(seeds)), *cells, *facts]


def _scores(own: list[dict[str, str]], noise: str, missing: str) -> str:
    """Mean over seeds, with half the range of MPJPE where there are several."""
    found = [r for r in own if r["noise_percent"] == noise and r["missing_percent"] == missing]
    if not found:
        return "-"
    errors = [float(r["mpjpe_mm"]) for r in found]
    spread = f" ± {(max(errors) - min(errors)) / 2:.1f}" if len(errors) > 1 else ""
    return f"{mean(errors):.1f}{spread} / {_mean(found, 'pa_mpjpe_mm'):.1f}"


def _score(every: list[dict[str, str]], name: str, noise: str, missing: str) -> float:
    found = [
        float(r["mpjpe_mm"])
        for r in every
        if r["method"] == name and r["noise_percent"] == noise and r["missing_percent"] == missing
    ]
    return mean(found) if found else float("inf")


def _mean(found: Iterable[dict[str, str]], key: str) -> float:
    return mean(float(r[key]) for r in found)


def draw() -> None:
    """Draw accuracy against speed, of the budget with the most methods."""
    from matplotlib.figure import Figure

    budget = budgets()[0]
    every = [r for r in rows("lifting_zoo") if _budget(r) == budget]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    placed: list[tuple[float, float]] = []
    for name in sorted({r["method"] for r in every}):
        own = [r for r in every if r["method"] == name]
        x, y = _mean(own, "frames_per_second"), _score(every, name, "1", "0")
        close = any(abs(x / other_x - 1) < 0.5 and abs(y - other_y) < 4 for other_x, other_y in placed)
        placed.append((x, y))
        axes.plot(x, y, "o", color="tab:blue")
        axes.annotate(
            name.removeprefix("lifting/"),
            (x, y),
            xytext=(5, 7 if close else -8),
            textcoords="offset points",
            fontsize=8,
        )
    axes.set(
        xscale="log",
        xlabel="frames per second, one clip",
        ylabel="MPJPE, mm",
        title=f"1 % noise; {budget[1]}",
    )
    axes.grid(alpha=0.3)
    figure.savefig(PLOT, dpi=110)


if __name__ == "__main__":
    draw()
