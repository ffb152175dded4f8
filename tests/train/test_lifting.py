"""Training any lifter: batches, losses, resuming after a kill, teams over torch.distributed."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from posewright.core.errors import InputError
from posewright.datasets.mocap import MOCAP_19, MocapSequence
from posewright.datasets.procedural import walk
from posewright.datasets.synthetic import SyntheticClips
from posewright.evaluate.lifters import load_lifter
from posewright.models import create, find
from posewright.skeletons.joint_sets import BODY_26, RIG_26
from posewright.train.lifting import ZOO_CLIPS, Task, answers, batch_of, loss_of, task_of, train_lifter
from posewright.train.loop import Progress, TrainingOptions, learning_rate_factor, train
from posewright.train.team import Team
from tests.models.lifting.small import SMALL

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def clips():
    order = [RIG_26.index(n) for n in MOCAP_19.joint_names]
    joints = walk(seconds=4, fps=50).joints[:, 0, order].astype(np.float32)
    take = MocapSequence("99_01", "99", "walk", "asf", 50.0, joints, np.ones(len(joints), bool))
    return SyntheticClips([take], ZOO_CLIPS)


def small_task(special, clips, batch=4, **changes) -> Task:
    torch.manual_seed(0)
    config, _ = SMALL[special]
    return task_of(find(special.partition(":")[0]).Model(config), clips, batch, 0, frames=9, **changes)


@pytest.mark.parametrize("special", SMALL)
def test_contract_every_lifter_has_batches_and_a_loss(special, clips):
    task = small_task(special, clips)
    batch = batch_of(task, 3, Team())
    facts = task.lifter.facts
    assert batch["keypoints"].shape == (4, task.window, len(facts.skeleton), facts.channels)
    assert batch["joints"].shape == (4, task.window, len(facts.output_skeleton), 3)
    network = task.lifter.network.train()
    for predicted, target in answers(facts, network, batch["keypoints"], batch["joints"]):
        assert predicted.shape == target.shape
    loss = loss_of(facts, network, batch)
    assert loss.ndim == 0
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_animals_are_not_trained_on_people(clips):
    network = create("lifting/fmpose3d", "animal", channel=64, layers=1, hidden=16)
    with pytest.raises(InputError, match="animal_26.*of people"):
        task_of(network, clips, 4, 0)


def test_law_batches_depend_on_the_step_alone(clips):
    task = small_task("lifting/mixste", clips)
    first = batch_of(task, 7, Team())
    batch_of(task, 8, Team())
    torch.rand(5)
    again = batch_of(task, 7, Team())
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["joints"], batch_of(task, 8, Team())["joints"])


def test_law_a_team_shares_one_batch(clips):
    task = small_task("lifting/mixste", clips)
    whole = batch_of(task, 5, Team())
    halves = [batch_of(task, 5, Team(rank, 2)) for rank in (0, 1)]
    assert torch.equal(halves[0]["joints"], whole["joints"][::2])
    assert torch.equal(halves[1]["keypoints"], whole["keypoints"][1::2])


def test_convention_targets_project_onto_their_keypoints(clips):
    """Image units say where joints are on the screen; without detector errors that is where the keypoints are."""
    task = small_task("lifting/motionbert", clips, batch=64)
    batch = batch_of(task, 1, Team())
    keypoints, sure = batch["keypoints"][..., :2], batch["keypoints"][..., 2]
    offset = keypoints - keypoints[:, :, :1] - batch["joints"][..., :2]
    error = offset.norm(dim=-1) / batch["joints"][..., :2].norm(dim=-1).amax(-1, keepdim=True).clamp_min(0.02)
    assert error[(sure == 1) & (sure[:, :, :1] == 1)].median() < 0.06


def test_convention_mpm_sees_every_second_frame(clips):
    task = small_task("lifting/mpm", clips)
    assert task.stride == 2
    assert batch_of(task, 0, Team())["keypoints"].shape[1] == 9
    assert small_task("lifting/mpm", clips, fps=50.0).stride == 1
    with pytest.raises(ValueError, match="divides 50"):
        small_task("lifting/mpm", clips, fps=30.0)


def test_law_flipped_windows_are_mirrored_pairs(clips):
    plain = batch_of(small_task("lifting/mixste", clips, batch=16, flip=False), 2, Team())
    mixed = batch_of(small_task("lifting/mixste", clips, batch=16), 2, Team())
    mirror = torch.from_numpy(find("lifting/mixste").H36M_17.mirror)
    sign = torch.tensor([-1.0, 1.0, 1.0])
    flipped = (plain["joints"] != mixed["joints"]).flatten(1).any(1)
    assert 2 <= int(flipped.sum()) <= 14
    torch.testing.assert_close(mixed["joints"][flipped], plain["joints"][flipped][:, :, mirror] * sign)
    other = plain["keypoints"][flipped][:, :, mirror] * sign[:2]
    torch.testing.assert_close(mixed["keypoints"][flipped], other)


@pytest.mark.parametrize("special", ["lifting/simple_baseline", "lifting/motionbert", "lifting/videopose3d"])
def test_learns_and_writes_weights_that_load(special, clips, tmp_path):
    task = small_task(special, clips)
    network, facts = task.lifter.network, task.lifter.facts
    fixed = batch_of(task, 10_000, Team())
    network.eval()
    before = loss_of(facts, network, fixed).item()
    options = TrainingOptions(
        steps=25, learning_rate=5e-3, muon_learning_rate=None, warmup_steps=3, every=10, average_decay=0.8
    )
    lifter = train_lifter(network, clips, options, batch=8, frames=9, out=tmp_path)
    assert loss_of(facts, lifter.network, fixed).item() < before
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [row["step"] for row in rows] == ["10", "20", "25"]
    again = load_lifter(task.lifter.name, tmp_path / "weights.safetensors")
    assert torch.equal(again.network(fixed["keypoints"]), lifter.network(fixed["keypoints"]))
    assert again.fps == lifter.fps
    assert (again.statistics is None) == (facts.keypoint_units != "standardised")


def test_the_average_takes_the_statistics_of_norms_along(clips):
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    options = TrainingOptions(steps=5, muon_learning_rate=None)
    averaged = train(network, lambda step: torch.randn(8, 3) + 5, lambda m, x: m(x).square().mean(), options)
    assert torch.equal(averaged[1].running_mean, network[1].running_mean)
    assert averaged[1].running_mean.abs().sum() > 0


def test_law_schedules():
    cosine = TrainingOptions(steps=100, schedule="cosine", warmup_steps=10)
    factors = [learning_rate_factor(Progress(step=s), cosine) for s in (0, 50, 99)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[1] == pytest.approx(0.01 + 0.99 / 2)
    assert factors[2] < 0.02
    constant = TrainingOptions(steps=100, schedule="constant", warmup_steps=1)
    assert learning_rate_factor(Progress(step=99), constant) == 1
    both = TrainingOptions(minutes=1, steps=100, hold=0.5, warmup_steps=1)
    assert learning_rate_factor(Progress(step=10, seconds=45), both) == pytest.approx(0.01 + 0.99 * 0.5)
    with pytest.raises(ValueError, match="minutes nor steps"):
        TrainingOptions()


def test_bfloat16_trains_float32_weights(clips):
    task = small_task("lifting/mixste", clips)
    options = TrainingOptions(steps=3, muon_learning_rate=None, precision="bfloat16")
    lifter = train_lifter(task.lifter.network, clips, options, batch=4)
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in lifter.network.parameters())


RUN = """
import sys, time, torch
from pathlib import Path
from torch import nn
from posewright.train.distributed import team_of_launcher
from posewright.train.loop import TrainingOptions, train

torch.set_num_threads(1)
folder, pause = Path(sys.argv[1]), float(sys.argv[2])
torch.manual_seed(0)
dropout = [nn.Dropout(0.3)] if sys.argv[3] == "dropout" else []
model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), *dropout, nn.Linear(16, 2))

with team_of_launcher() as team:
    def batch_of(step):
        time.sleep(pause)
        x = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
        return x[team.rank :: team.size]

    def loss_of(model, x):
        return (model(x) - x[:, :2] * x[:, 2:4]).square().mean()

    options = TrainingOptions(steps=40, every=5, learning_rate=1e-2, muon_learning_rate=None, warmup_steps=2)
    averaged = train(model, batch_of, loss_of, options, checkpoint=folder / "run.pt", log=folder / "log.csv", team=team)
    if team.rank == 0:
        torch.save([averaged.state_dict(), model.state_dict()], folder / "end.pt")
"""


def start(folder: Path, pause: float, kind: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen:
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "run.py"
    script.write_text(RUN)
    command = [sys.executable, *launcher, str(script), str(folder), str(pause), kind]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, cwd=folder)


def ended(folder: Path) -> list:
    return torch.load(folder / "end.pt", weights_only=True)


def test_law_a_killed_run_ends_with_the_weights_of_one_that_was_not(tmp_path):
    whole = start(tmp_path / "whole", 0.0, "dropout")
    killed = start(tmp_path / "killed", 0.1, "dropout")
    log = tmp_path / "killed" / "log.csv"
    deadline = time.monotonic() + 300
    while not (tmp_path / "killed" / "run.pt.0").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.25)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "end.pt").exists()
    assert log.exists()
    assert start(tmp_path / "killed", 0.0, "dropout").wait(300) == 0
    assert whole.wait(300) == 0
    for a, b in zip(ended(tmp_path / "whole"), ended(tmp_path / "killed"), strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)
    steps = [int(row["step"]) for row in csv.DictReader(log.open())]
    assert steps == list(range(5, 41, 5))


def test_law_two_processes_of_torchrun_equal_one(tmp_path):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    two = start(tmp_path / "two", 0.0, "plain", launcher)
    one = start(tmp_path / "one", 0.0, "plain")
    assert one.wait(300) == 0
    assert two.wait(300) == 0
    for a, b in zip(ended(tmp_path / "one"), ended(tmp_path / "two"), strict=True):
        for name in a:
            torch.testing.assert_close(a[name], b[name], atol=2e-5, rtol=1e-4)


def test_tensorboard_is_written_or_asked_for(tmp_path):
    model = nn.Linear(2, 1)
    options = TrainingOptions(steps=2, muon_learning_rate=None)

    def run():
        train(model, lambda s: torch.ones(1, 2), lambda m, x: m(x).sum() ** 2, options, tensorboard=tmp_path)

    try:
        import tensorboard  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r"posewright\[train\]"):
            run()
    else:
        run()
        assert list(tmp_path.glob("events*"))


def test_all_joints_of_the_zoo_are_in_the_clips():
    for special in SMALL:
        method = find(special.partition(":")[0])
        assert set(method.LIFTING.skeleton.joint_names) <= set(BODY_26.joint_names)
