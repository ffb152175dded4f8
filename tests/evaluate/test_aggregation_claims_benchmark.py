"""The benchmark of JPMA, RPEA and UAO: every pose it names is scored, and rows that are there are not made again."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from posewright.datasets.mocap import MOCAP_19, MocapSequence
from posewright.datasets.procedural import walk
from posewright.evaluate.lifters import as_lifter
from posewright.models import find
from posewright.skeletons.joint_sets import RIG_26
from tests.models.lifting.small import SMALL

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import aggregation_claims as module

    order = [RIG_26.index(n) for n in MOCAP_19.joint_names]
    joints = walk(seconds=0.5, fps=50).joints[:, 0, order].astype(np.float32)
    take = MocapSequence("99_01", "99", "walk", "asf", 50.0, joints, np.ones(len(joints), bool))

    def trained(name, seed, arguments):
        torch.manual_seed(seed)
        return as_lifter(find(name).Model(SMALL[name][0])), 0.0

    monkeypatch.setattr(module, "load_mocap", lambda split: [take])
    monkeypatch.setattr(module.lifting_zoo, "trained", trained)
    yield module
    for name in ("aggregation_claims", "lifting_zoo"):
        sys.modules.pop(name, None)


def test_contract_every_claim_has_its_row(benchmark, tmp_path, monkeypatch):
    results = tmp_path / "claims.csv"
    command = ["aggregation_claims.py", "--samples", "4", "--view-step", "4", "--results", str(results)]
    monkeypatch.setattr(sys, "argv", command)
    benchmark.main()
    with results.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    poses = {
        name: {(r["pose"], r["root"]) for r in rows if r["method"] == name} for name in benchmark.METHODS
    }
    aggregated = {(rule, root) for rule in ("jpma", "rpea") for root in ("true", "estimated")}
    for name, S in (("lifting/d3dp", 4), ("lifting/fmpose3d", 8)):
        assert poses[name] == aggregated | {("first", "none"), ("mean", "none")} | {
            (f"best of {n}", "truth chooses") for n in {1, min(5, S), S} if n in (1, 5, S) and n <= S
        }
    assert poses["lifting/uao"] == {("flip", "none")} | {
        (pose, root) for pose in ("refined", "unweighted") for root in ("true", "estimated")
    }
    assert {r["setting"] for r in rows if r["root"] in ("true", "truth chooses")} == {"oracle"}
    assert {r["setting"] for r in rows if r["root"] in ("none", "estimated")} == {"deployable"}
    assert {r["noise_percent"] for r in rows} == {"0.5", "1", "2"}
    assert all(float(r["mpjpe_mm"]) > 0 and r["frames"] == "25" for r in rows)
    assert all(0 <= float(r["coverage_80_percent"]) <= 100 and r["commit"] for r in rows)
    before = results.read_text(encoding="utf-8")
    benchmark.main()
    assert results.read_text(encoding="utf-8") == before
