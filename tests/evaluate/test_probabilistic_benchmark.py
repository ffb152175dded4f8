"""The benchmark of probabilistic lifters: every pose it names is scored, and rows that are there are not made again."""

import csv
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from posewright.datasets.mocap import MOCAP_19, MocapSequence
from posewright.datasets.procedural import walk
from posewright.evaluate.lifters import as_lifter
from posewright.metrics.hypotheses import p_best
from posewright.models import find
from posewright.skeletons.joint_sets import RIG_26
from tests.models.lifting.small import SMALL

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SAMPLERS = {"lifting/d3dp", "lifting/fmpose3d", "lifting/diffpose", "lifting/platypose", "lifting/uao"}
AGGREGATED = ("mean", "best", "jpma", "rpea")


def tiny(name: str):
    """A small network whose sampler can be set as the benchmark does."""
    torch.manual_seed(0)
    config = SMALL[name][0]
    if name == "lifting/platypose":
        config = replace(config, timestep=50, sampling_timesteps=20, skip_timesteps=4)
    return find(name).Model(config)


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import probabilistic as module

    order = [RIG_26.index(n) for n in MOCAP_19.joint_names]
    joints = walk(seconds=1.2, fps=50).joints[:, 0, order].astype(np.float32)
    valid = np.ones(len(joints), bool)
    valid[30] = False
    take = MocapSequence("99_01", "99", "walk", "asf", 50.0, joints, valid)
    monkeypatch.setattr(module, "load_mocap", lambda split: [take])
    monkeypatch.setattr(
        module.lifting_zoo, "trained", lambda name, *_: (as_lifter(tiny(name), fps=50.0), 0.0)
    )
    monkeypatch.setattr(module.lifting_zoo, "network_of", lambda name, size: tiny(name))
    yield module
    for name in ("probabilistic", "lifting_zoo"):
        sys.modules.pop(name, None)


def run(benchmark, monkeypatch, results: Path, *more: str) -> list[dict[str, str]]:
    """Run the script and read its table."""
    command = [
        "--view-step",
        "4",
        "--results",
        str(results),
        "--methods",
        "lifting/mixste",
        *sorted(SAMPLERS),
    ]
    monkeypatch.setattr(sys, "argv", ["probabilistic.py", *command, *more])
    benchmark.main()
    with results.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_contract_every_pose_has_its_row_and_times_are_added_to_them(benchmark, tmp_path, monkeypatch):
    results = tmp_path / "rows.csv"
    rows = run(benchmark, monkeypatch, results)
    for name in SAMPLERS:
        own = [r for r in rows if r["method"] == name and r["pose"] in AGGREGATED]
        settings = [s for s in benchmark.SETTINGS[name] if s.kind == "samples"]
        assert {(r["noise_percent"], int(r["steps"])) for r in own} == {
            (n, s.steps) for n in ("0.5", "1", "2") for s in settings if s.main or n == "1"
        }
        assert {(r["pose"], r["hypotheses"]) for r in own} == {
            *((pose, n) for pose in ("mean", "best") for n in ("1", "5", "20")),
            *((rule, n) for rule in ("jpma", "rpea") for n in ("5", "20")),
        }
    others = {(r["method"], r["pose"]) for r in rows if r["pose"] not in AGGREGATED}
    uao = {("lifting/uao", pose) for pose in ("estimate", "refined", "unweighted")}
    assert others == uao | {("lifting/mixste", "estimate"), ("lifting/diffpose", "estimate")}
    assert {r["frames"] for r in rows} == {"26"}, "one frame in the middle is not valid"
    assert all(bool(r["deployable_mpjpe_mm"]) == (r["pose"] != "best") for r in rows)
    assert all(bool(r["oracle_mpjpe_mm"]) == (r["pose"] not in ("mean", "estimate")) for r in rows)
    assert all(bool(r["energy_score_mm"]) == ((r["pose"], r["hypotheses"]) == ("mean", "20")) for r in rows)
    before = results.read_text(encoding="utf-8")
    run(benchmark, monkeypatch, results)
    assert results.read_text(encoding="utf-8") == before

    monkeypatch.setattr(benchmark, "TIMED_FRAMES", 18)
    monkeypatch.setattr(benchmark, "TIMED_SECONDS", 1e-6)
    timed = run(benchmark, monkeypatch, results, "--time-again")
    assert all(0 < float(r["ms_per_frame"]) < 1e4 and r["timed"] for r in timed)
    assert [{k: r[k] for k in rows[0]} for r in timed] == rows, "nothing but times changed"
    ms = {(r["steps"], r["pose"], r["hypotheses"]): r["ms_per_frame"] for r in timed if "d3dp" in r["method"]}
    assert ms["5", "mean", "20"] == ms["5", "best", "20"]
    assert float(ms["5", "mean", "20"]) < float(ms["5", "jpma", "20"])


def test_law_the_best_of_all_and_the_truth_as_a_hypothesis(benchmark):
    """Hypotheses that hold the truth: the best of all is right, and so is JPMA at the true root without noise."""
    view = benchmark.filmed(benchmark.load_mocap("val"))[0]
    clip = benchmark.Clip(as_lifter(tiny("lifting/d3dp"), fps=50.0), view, 0.0, 27)
    off = 0.1 * torch.randn(27, 20, 17, 3, generator=torch.Generator().manual_seed(0))
    off[:, 7] = 0
    hypotheses = clip.truth[:, None] + off
    assert float(p_best(hypotheses, clip.truth).max()) == pytest.approx(0)
    assert float(clip.errors(benchmark.aggregated("jpma", hypotheses, clip, clip.root)).max()) < 1e-3
    assert float(clip.errors(hypotheses.mean(1)).mean()) > 5
    nowhere = torch.full_like(clip.root, torch.nan)
    torch.testing.assert_close(benchmark.aggregated("rpea", hypotheses, clip, nowhere), hypotheses.mean(1))


def test_law_scores_of_hypotheses_drawn_as_the_truth_is(benchmark):
    """Truth and hypotheses from one Gaussian of 2 cm: calibrated, and as sharp and diverse as that says."""
    view = benchmark.filmed(benchmark.load_mocap("val"))[0]
    clip = benchmark.Clip(as_lifter(tiny("lifting/d3dp"), fps=50.0), view, 0.0, 54)
    generator, tally = torch.Generator().manual_seed(1), benchmark.Tally()
    for seed in range(12):
        drawn = 0.02 * torch.randn(54, 21, 17, 3, generator=generator)
        clip.truth = drawn[:, 20]
        benchmark.add_distribution(tally, drawn[:, :20], clip, seed)
    found = {name: float(value) for name, value in tally.distribution().items()}
    assert found["coverage_80_percent"] == pytest.approx(80, abs=1.5)
    assert found["calibration_error_percent"] < 1.5
    assert found["diversity_mm"] == pytest.approx(20 * 2 * np.sqrt(8 / np.pi) / np.sqrt(2), rel=0.03)
    assert found["energy_score_mm"] == pytest.approx(found["diversity_mm"] / 2, rel=0.05)
    assert found["sharpness_mm"] == pytest.approx(20 * np.sqrt(4.642), rel=0.1), "from 20, a little small"
    moved = 0.02 * np.sqrt(3 * 6) * 50**2
    assert found["acceleration_hypotheses_m_s2"] == pytest.approx(moved, rel=0.03)
    assert found["acceleration_mean_m_s2"] == pytest.approx(moved / np.sqrt(20), rel=0.05)


def test_contract_every_probabilistic_method_runs_at_each_of_its_settings(benchmark):
    for name, settings in benchmark.SETTINGS.items():
        own = [s for s in settings if s.main]
        assert len({s.kind for s in own}) == len(own), "one main setting of each kind"
        for setting in settings:
            lifter = benchmark.set_to(as_lifter(tiny(name), fps=50.0), setting, 4)
            if setting.kind == "samples":
                assert lifter.network.config.num_proposals == 4
                times = getattr(getattr(lifter.network, "denoiser", None), "times", None)
                times = getattr(lifter.network, "times", times)
                assert times is None or len(times) - 1 == setting.steps
