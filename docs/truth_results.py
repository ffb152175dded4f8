"""The tables of docs/truth.md, from `benchmarks/results/truth*.csv`."""

from docs.readme_results import rows

FIGURES = (
    ("detection_percent", "found %", "{:.1f}"),
    ("error_percent", "2D error %", "{:.1f}"),
    ("mpjpe_mm", "MPJPE", "{:.0f}"),
    ("pa_mpjpe_mm", "PA-MPJPE", "{:.0f}"),
    ("n_mpjpe_mm", "N-MPJPE", "{:.0f}"),
    ("mpjve_mm_s", "MPJVE", "{:.0f}"),
    ("accel_m_s2", "accel", "{:.1f}"),
    ("mrpe_mm", "MRPE", "{:.0f}"),
    ("w_mpjpe_mm", "W-MPJPE", "{:.0f}"),
    ("skating_mm_s", "skating", "{:.0f}"),
    ("identity_switches", "switches", "{:.0f}"),
    ("phantoms_per_100_frames", "phantoms", "{:.1f}"),
)
COMPARED = ("mpjpe_mm", "pa_mpjpe_mm", "w_mpjpe_mm", "mpjve_mm_s", "skating_mm_s")


def table() -> str:
    """Return the three tables with their headings."""
    every, before = rows("truth_means"), {r["condition"]: r for r in rows("truth_means_before", method="run")}
    overall = [r for r in every if r["condition"] == "all"]
    own = [r for r in every if r["method"] == "run"]
    compared = [
        [r["condition"], *(f"{float(before[r['condition']][k]):.0f} → {float(r[k]):.0f}" for k in COMPARED)]
        for r in own
        if r["condition"] in before
    ]
    names = {key: name for key, name, _ in FIGURES}
    return "".join(
        (
            "### Every method, mean over its clips\n\n",
            _markdown(
                ["method", "clips", *names.values()], [[r["method"], r["clips"], *_cells(r)] for r in overall]
            ),
            "\n### `run` by condition\n\n",
            _markdown(
                ["condition", "clips", *names.values()],
                [[r["condition"], r["clips"], *_cells(r)] for r in own],
            ),
            "\n### `run` before and after the changes below\n\n",
            _markdown(["condition", *(names[k] for k in COMPARED)], compared),
        )
    )


def _cells(row: dict[str, str]) -> list[str]:
    return [
        form.format(float(row[key])) if row.get(key) not in ("", "nan", None) else "-"
        for key, _, form in FIGURES
    ]


def _markdown(head: list[str], lines: list[list[str]]) -> str:
    every = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in every)
