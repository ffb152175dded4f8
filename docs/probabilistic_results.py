"""The tables and the plot of docs/probabilistic_benchmark.md, from `benchmarks/results/probabilistic.csv`.

`python docs/probabilistic_results.py` draws the plot; the tables are made by `docs/generate.py`. Rows that are not
there leave a dash, a file that is not there a sentence.
"""

import sys
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from docs.readme_results import rows  # noqa: E402

PLOT = ROOT / "docs" / "images" / "probabilistic_benchmark.png"
MOST = "20"
DEPLOYABLE, ORACLE = "deployable_mpjpe_mm", "oracle_mpjpe_mm"
PUBLISHED = {
    "lifting/d3dp": "jpma",
    "lifting/finepose": "jpma",
    "lifting/starpose": "jpma",
    "lifting/fmpose3d": "rpea",
    "lifting/uao": "refined",
}
"""Pose that a method's paper makes (StarPose's is not known: as D3DP); others: the mean."""
DETERMINISTIC = {"lifting/mixste": "*", "lifting/convformer": "P"}
"""Methods of one pose beside them, and their markers."""
Rows = list[dict[str, str]]


def budget() -> Rows:
    """Rows of the budget with the most rows."""
    every = rows("probabilistic")
    groups: dict[tuple[str, ...], Rows] = {}
    for row in every:
        key = tuple(row[k] for k in ("size", "budget", "views", "windows"))
        groups.setdefault(key, []).append(row)
    return max(groups.values(), key=len, default=[])


def table() -> str:
    """Return the tables with their headings, and the plot if it has been drawn."""
    every = budget()
    if not every:
        return "No rows yet: `benchmarks/results/probabilistic.csv` is not there.\n"
    first = every[0]
    windows = "one window" if first["windows"] == "1" else f"{first['windows']} windows"
    views = "all test views" if first["views"] == "all" else f"{first['views']} test views"
    drawn = "![Error against milliseconds](images/probabilistic_benchmark.png)\n\n" if PLOT.exists() else ""
    return "".join(
        (
            f"{first['budget']}; {first['size']} sizes; {views}, {windows} of each. MPJPE in mm.\n\n{drawn}",
            "### One pose of hypotheses, 1 % noise\n\n",
            _errors(every),
            "\n### Without sampling, and optimised at test time, 1 % noise\n\n",
            _others(every),
            "\n### Is the distribution true? 20 hypotheses, 1 % noise\n\n",
            _distributions(every),
            "\n### Three levels of noise: mean of 20, energy score, coverage of the 80 % regions\n\n",
            _noises(every),
            "\n### Few steps, 1 % noise\n\n",
            _steps(every),
        )
    )


def _errors(every: Rows) -> str:
    """Each method at its own setting; deployable / oracle where there are both."""
    head = ["method", "seeds", "steps", "one", "mean of 5", "mean of 20"]
    head += [
        "best of 5 (oracle)",
        "best of 20 (oracle)",
        "JPMA of 20: estimated / true root",
        "RPEA of 20: both",
    ]
    lines = []
    for name in _methods(every):
        own = _where(every, method=name, steps=_own_steps(every, name), noise_percent="1")
        if not _where(own, pose="mean"):
            continue
        lines.append(
            [
                f"`{name}`",
                str(len({r["seed"] for r in own})),
                _own_steps(every, name),
                *(_score(own, DEPLOYABLE, pose="mean", hypotheses=n) for n in ("1", "5", MOST)),
                *(_score(own, ORACLE, pose="best", hypotheses=n) for n in ("5", MOST)),
                *(_both(own, pose=rule, hypotheses=MOST) for rule in ("jpma", "rpea")),
            ]
        )
    return _markdown(head, lines)


def _others(every: Rows) -> str:
    head = ["method", "pose", "iterations", "estimated root, or none", "true root (oracle)", "ms/frame"]
    lines = []
    for name in _methods(every):
        own = _where(every, method=name, noise_percent="1")
        for pose in ("estimate", "refined", "unweighted"):
            found = _where(own, pose=pose)
            for steps in sorted({r["steps"] for r in found}, key=int):
                at = _where(found, steps=steps)
                iterations = "-" if pose == "estimate" else steps
                scores = _score(at, DEPLOYABLE), _score(at, ORACLE), _figure(at, "ms_per_frame", "{:.3g}")
                lines.append([f"`{name}`", pose, iterations, *scores])
    return _markdown(head, lines)


def _distributions(every: Rows) -> str:
    head = ["method", "50 %", "80 %", "95 %", "calibration error %", "sharpness mm", "energy score mm"]
    head += ["diversity mm", "acceleration m/s²: hypotheses / mean / truth"]
    columns = [f"coverage_{n}_percent" for n in (50, 80, 95)]
    columns += ["calibration_error_percent", "sharpness_mm", "energy_score_mm", "diversity_mm"]
    lines = []
    for name in _methods(every):
        own = _where(every, method=name, steps=_own_steps(every, name), noise_percent="1", pose="mean")
        own = _where(own, hypotheses=MOST)
        if own:
            moves = (_figure(own, f"acceleration_{what}_m_s2") for what in ("hypotheses", "mean", "truth"))
            lines.append([f"`{name}`", *(_figure(own, c) for c in columns), " / ".join(moves)])
    return _markdown(head, lines)


def _noises(every: Rows) -> str:
    lines = []
    for name in _methods(every):
        own = _where(every, method=name, steps=_own_steps(every, name), pose="mean", hypotheses=MOST)
        if own:
            at = [_where(own, noise_percent=n) for n in ("0.5", "1", "2")]
            columns = (DEPLOYABLE, "energy_score_mm", "coverage_80_percent")
            cells = (" / ".join(_figure(r, column) for column in columns) for r in at)
            lines.append([f"`{name}`", *cells])
    return _markdown(["method", "0.5 %", "1 %", "2 %"], lines)


def _steps(every: Rows) -> str:
    head = ["method", "steps", "mean of 20", "best of 20 (oracle)", "energy score mm"]
    head += [f"frames/s, {n} hypotheses" for n in ("1", "5", MOST)]
    lines = []
    for name in _methods(every):
        own = _where(every, method=name, noise_percent="1")
        for steps in sorted({r["steps"] for r in _where(own, pose="mean")}, key=int):
            at = _where(own, steps=steps)
            most = _where(at, pose="mean", hypotheses=MOST)
            speeds = (_rate(_where(at, pose="mean", hypotheses=n)) for n in ("1", "5", MOST))
            best = _score(at, ORACLE, pose="best", hypotheses=MOST)
            scores = _score(most, DEPLOYABLE), best, _figure(most, "energy_score_mm")
            lines.append([f"`{name}`", steps, *scores, *speeds])
    return _markdown(head, lines)


# ------------------------------------------------------------------------------------------------- cells


def _methods(every: Rows) -> list[str]:
    """By their energy score, those without one last."""

    def energy(name: str) -> float:
        own = _where(every, method=name, noise_percent="1", steps=_own_steps(every, name))
        return mean(_values(own, "energy_score_mm") or [float("inf")])

    return sorted({r["method"] for r in every}, key=lambda name: (energy(name), name))


def _own_steps(every: Rows, name: str) -> str:
    """Steps of a method's own setting, the only one under other noises than 1 %; or else what there is."""
    found = _where(every, method=name, pose="mean")
    own = [r["steps"] for r in found if r["noise_percent"] != "1"] or [r["steps"] for r in found]
    return own[0] if own else ""


def _where(every: Rows, **columns: str) -> Rows:
    return [r for r in every if all(r[k] == v for k, v in columns.items())]


def _values(found: Rows, column: str) -> list[float]:
    return [float(r[column]) for r in found if r.get(column)]


def _score(found: Rows, column: str, **columns: str) -> str:
    """Mean over seeds, with half the range where there are several."""
    values = _values(_where(found, **columns), column)
    if not values:
        return "-"
    spread = f" ± {(max(values) - min(values)) / 2:.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{spread}"


def _both(found: Rows, **columns: str) -> str:
    return f"{_score(found, DEPLOYABLE, **columns)} / {_score(found, ORACLE, **columns)}"


def _figure(found: Rows, column: str, form: str = "{:.1f}") -> str:
    values = _values(found, column)
    return form.format(mean(values)) if values else "-"


def _rate(found: Rows) -> str:
    values = _values(found, "ms_per_frame")
    return f"{1000 / mean(values):.0f}" if values else "-"


def _markdown(head: list[str], lines: list[list[str]]) -> str:
    every = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in every)


# -------------------------------------------------------------------------------------------------- plot


def curves(every: Rows, name: str) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """(ms, mm) of a method's published pose over its settings, deployable and oracle; nothing where not timed.

    Where the paper makes no pose with the true root, its oracle is the best of 20.
    """
    pose = PUBLISHED.get(name, "estimate" if name in DETERMINISTIC else "mean")
    number = "1" if pose in ("refined", "estimate") else MOST
    own = _where(every, method=name, noise_percent="1", hypotheses=number)
    answers = _where(own, pose=pose)
    told = _where(own, pose="best") if pose == "mean" else answers
    return _points(answers, DEPLOYABLE), _points(told, ORACLE)


def _points(found: Rows, column: str) -> list[tuple[float, float]]:
    points = []
    for steps in sorted({r["steps"] for r in found}, key=int):
        at = _where(found, steps=steps)
        ms, mm = _values(at, "ms_per_frame"), _values(at, column)
        if ms and mm:
            points.append((mean(ms), mean(mm)))
    return points


def draw() -> None:
    """Draw error against milliseconds: filled and solid what a user gets, open and dashed what needs the truth."""
    from matplotlib.figure import Figure

    every = budget()
    drawn = {name: curves(every, name) for name in _methods(every)}
    if not any(deployable for deployable, _ in drawn.values()):
        sys.stdout.write("nothing to draw: no row has a time, see benchmarks/probabilistic.py --time-again\n")
        return
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for number, (name, (deployable, oracle)) in enumerate(drawn.items()):
        colour = "black" if name in DETERMINISTIC else f"C{number}"
        if deployable:
            marker = DETERMINISTIC.get(name, "o")
            pose = PUBLISHED.get(name, "" if name in DETERMINISTIC else "mean")
            label = f"{name.removeprefix('lifting/')} {pose}".strip()
            axes.plot(*zip(*deployable, strict=True), f"{marker}-", color=colour, ms=6, label=label)
        if oracle:
            axes.plot(*zip(*oracle, strict=True), "o--", color=colour, mfc="white", ms=5, lw=0.8)
    title = f"1 % noise; {every[0]['budget']}\nfilled: deployable; open: the truth helps (true root, or best of 20)"
    axes.set(xscale="log", xlabel="milliseconds per frame", ylabel="MPJPE, mm", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(PLOT, dpi=110)


if __name__ == "__main__":
    draw()
