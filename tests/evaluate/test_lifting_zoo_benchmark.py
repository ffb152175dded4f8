"""The open benchmark's bookkeeping: every method has a size, rows that are there are not made again."""

import csv
import sys
from pathlib import Path

import pytest

from posewright.evaluate.lifters import RAYLIFT, zoo
from posewright.models import find

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import lifting_zoo

    yield lifting_zoo
    sys.modules.pop("lifting_zoo", None)


def test_contract_every_lifter_has_a_small_and_a_published_size(benchmark):
    assert set(benchmark.SMALL) == {RAYLIFT, *zoo()}
    assert 2e5 < sum(p.numel() for p in benchmark.network_of(RAYLIFT, "small").parameters()) < 3e5
    for name in zoo():
        network = benchmark.network_of(name, "small")
        assert network.config.frames in (1, benchmark.FRAMES)
        assert 2e5 < sum(p.numel() for p in network.parameters()) < 1.2e6
        assert benchmark.PUBLISHED.get(name, "27") in find(name).VARIANTS


def test_contract_plug_ins_are_their_method_with_a_block_more(benchmark):
    for name in benchmark.PLUG_INS:
        method, _, variant = name.partition(":")
        with_block, plain = (benchmark.network_of(n, "small") for n in (name, method))
        assert type(with_block) is type(plain)
        assert set(plain.state_dict()) != set(with_block.state_dict())
        assert variant in find(method).VARIANTS
        assert benchmark.parse(["--methods", name]).methods == [name]


def test_rows_are_appended_and_methods_that_are_there_are_skipped(benchmark, tmp_path, monkeypatch):
    results = tmp_path / "rows.csv"
    arguments = [
        "--results",
        str(results),
        "--methods",
        "lifting/semgcn",
        "lifting/mixste",
        "--seeds",
        "0",
        "1",
    ]
    started = []

    def run(command, check):
        started.append(command[-1])
        name, seed = benchmark.json.loads(command[-1])
        parsed = benchmark.parse(arguments)
        rows = [benchmark.key_of(name, seed, c, parsed) | {"mpjpe_mm": "1"} for c in benchmark.CONDITIONS]
        benchmark.add_rows(results, rows)

    monkeypatch.setattr(benchmark.subprocess, "run", run)
    monkeypatch.setattr(benchmark, "provenance", lambda: {"commit": "abc", "command": "this"})
    monkeypatch.setattr(sys, "argv", ["lifting_zoo.py", *arguments])
    benchmark.main()
    benchmark.main()
    assert len(started) == 4, "the second run finds every row"
    rows = list(csv.DictReader(results.open()))
    assert len(rows) == 4 * len(benchmark.CONDITIONS)
    assert all(row["commit"] and row["command"] for row in rows)
    monkeypatch.setattr(sys, "argv", ["lifting_zoo.py", *arguments, "--steps", "7"])
    arguments += ["--steps", "7"]
    benchmark.main()
    assert len(started) == 8, "another budget makes other rows"


def test_conditions_are_three_noise_levels_and_two_of_occlusion(benchmark):
    plain = [c for c in benchmark.CONDITIONS if c.missing == 0]
    assert len({c.noise for c in plain}) == 3
    assert len({c.missing for c in benchmark.CONDITIONS if c.missing}) == 2
    assert all(c.focal_known for c in benchmark.CONDITIONS)


def test_timing_again_changes_size_and_speed_and_nothing_else(benchmark, tmp_path):
    def run(*more: str) -> list[dict[str, str]]:
        table = tmp_path / "rows.csv"
        budget = ["--methods", "lifting/raylift", "--steps", "2", "--batch", "2", "--view-step", "50"]
        arguments = benchmark.parse([*budget, "--out", str(tmp_path), "--results", str(table), *more])
        if arguments.time_again:
            benchmark.time_again(arguments)
        else:
            benchmark.add_rows(table, benchmark.measure("lifting/raylift", 0, arguments))
        return benchmark.read_rows(table)

    measured = {"parameters", "mmacs_per_frame", "frames_per_second", "threads"}
    for before, after in zip(run(), run("--time-again"), strict=True):
        assert {k: v for k, v in before.items() if k not in measured} == {
            k: v for k, v in after.items() if k not in measured
        }
        assert before["mmacs_per_frame"] == after["mmacs_per_frame"]
        assert float(after["frames_per_second"]) > 0
