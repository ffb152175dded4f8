"""The recipe of the published lifters, end to end at small sizes, and the commands that runs/README.md gives."""

import csv
import importlib.util
import re
import shlex
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from posewright.datasets.mocap import MOCAP_19
from posewright.datasets.procedural import walk
from posewright.evaluate.lifters import load_lifter, zoo
from posewright.models import find
from posewright.skeletons.joint_sets import RIG_26
from tests.models.lifting.small import SMALL

RUNS = Path(__file__).parents[2] / "runs"
COMMANDS = re.findall(
    r"`posewright train train_lifter (.*?)`", (RUNS / "README.md").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("train_lifter", RUNS / "train_lifter.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Somebody who walks, as recorded motion lies on disk."""
    root = tmp_path_factory.mktemp("data")
    joints = walk(seconds=3, fps=50).joints[:, 0, [RIG_26.index(n) for n in MOCAP_19.joint_names]]
    for split, subject in (("train", "05"), ("val", "06")):
        (root / "mocap" / split).mkdir(parents=True)
        np.savez(
            root / "mocap" / split / f"cmu_{subject}.npz",
            positions=joints[:, 17:].astype(np.float32),
            joint_names=np.array(["ltoes", "rtoes"]),
            h36m17=joints[:, :17].astype(np.float32),
            valid=np.ones(len(joints), bool),
            seq_start=np.array([0, len(joints)]),
            seq_names=np.array([f"{subject}_01"]),
            seq_description=np.array(["walk"]),
            subject=subject,
            skeleton="asf",
            fps=50.0,
        )
    return root


def small_options(special: str) -> list[str]:
    """The small size of the tests as options: what differs from the default."""
    config, _ = SMALL[special]
    changed = [f for f in fields(config) if getattr(config, f.name) != getattr(type(config)(), f.name)]
    return ["--set", *(f"{f.name}={getattr(config, f.name)!r}" for f in changed)]


@pytest.mark.parametrize("name", zoo())
def test_contract_every_method_trains_from_the_command_line(name, recipe, recordings, tmp_path, monkeypatch):
    monkeypatch.setenv("POSEWRIGHT_DATA", str(recordings))
    special = next(s for s in SMALL if s.partition(":")[0] == name)
    out = tmp_path / "out"
    options = ["--method", name, *small_options(special), "--steps", "2", "--batch", "2", "--score", "0"]
    recipe.main([*options, "--out", str(out)])
    config, _ = SMALL[special]
    lifter = load_lifter(name, out / "weights.safetensors")
    assert lifter.network.config == config
    assert lifter.facts.keypoint_units != "standardised" or lifter.statistics
    with (out / "log.csv").open() as stream:
        assert np.isfinite([float(row["loss"]) for row in csv.DictReader(stream)]).all()


def test_it_scores_views_of_people_it_was_not_trained_on(recipe, recordings, tmp_path, monkeypatch):
    monkeypatch.setenv("POSEWRIGHT_DATA", str(recordings))
    options = ["lifting/semgcn", *small_options("lifting/semgcn"), "--steps", "1", "--batch", "2"]
    recipe.main([*options, "--score", "2", "--out", str(tmp_path / "out")])
    with (tmp_path / "out" / "log.csv").open() as stream:
        assert float(list(csv.DictReader(stream))[-1]["mpjpe_mm"]) > 0


def test_wrong_usage_says_what_was_expected(recipe, capsys):
    for options, said in (
        ([], "name one method"),
        (["lifting/mixste", "--method", "lifting/hot"], "name one method"),
        (["lifting/mixste", "--set", "num_frame"], "size=value"),
    ):
        with pytest.raises(SystemExit, match="2"):
            recipe.parse(options)
        assert said in capsys.readouterr().err


def test_contract_the_readme_has_a_command_for_every_method_and_they_parse(recipe):
    parsed = [recipe.parse(shlex.split(command)) for command in COMMANDS]
    assert {arguments.name for arguments in parsed} == set(zoo())
    assert all(a.variant in find(a.name).VARIANTS for a in parsed)
    assert len({a.out for a in parsed}) == len(parsed)
