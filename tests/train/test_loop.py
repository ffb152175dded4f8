import numpy as np
import torch
from torch import nn

from posewright.train.loop import Progress, TrainingOptions, learning_rate_factor, train
from posewright.train.muon import Muon, as_matrices, hidden_weights, orthogonalised
from posewright.train.team import Team, launch


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        return self.head(x)


def _batch(step):
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(step))
    return x, torch.stack([x[:, 0] * x[:, 1], x[:, 2]], dim=-1)


def _loss(model, batch):
    return (model(batch[0]) - batch[1]).abs().mean()


def test_learns_and_averages():
    torch.manual_seed(0)
    model = Small()
    before = _loss(model, _batch(10_000)).item()
    options = TrainingOptions(None, steps=400, warmup_steps=5, every=10_000, learning_rate=1e-2)
    averaged = train(model, _batch, _loss, options)
    assert _loss(averaged, _batch(10_000)).item() < 0.5 * before
    assert not averaged.training


def test_a_stopped_run_continues(tmp_path):
    torch.manual_seed(0)
    steps = []

    def report(model, progress):
        steps.append(progress.step)
        return {"step": progress.step}

    for minutes in (0.01, 0.02):
        torch.manual_seed(0)
        options = TrainingOptions(minutes=minutes, every=5)
        train(Small(), _batch, _loss, options, checkpoint=tmp_path / "run.pt", report=report)
    assert steps == sorted(steps), "the second run must not start again from step 0"
    assert (tmp_path / "run.pt.0").exists()
    assert not list(tmp_path.glob("*.part"))


def test_law_learning_rate_rises_holds_and_falls():
    options = TrainingOptions(minutes=1, warmup_steps=10, hold=0.5)
    factors = [
        learning_rate_factor(Progress(step=s, seconds=t), options)
        for s, t in ((0, 0), (9, 1), (99, 29), (500, 59.9))
    ]
    np.testing.assert_allclose(factors[:3], [0.1, 1.0, 1.0])
    assert 0 < factors[3] < 0.05


def test_law_orthogonalised_keeps_singular_vectors():
    x = torch.randn(3, 20, 8, generator=torch.Generator().manual_seed(0))
    u, s, vt = torch.linalg.svd(orthogonalised(x), full_matrices=False)
    assert ((s > 0.6) & (s < 1.3)).all()
    exact = torch.linalg.svd(x, full_matrices=False)
    polar = exact.U @ exact.Vh
    assert torch.cosine_similarity(orthogonalised(x).flatten(1), polar.flatten(1)).min() > 0.95


def test_hidden_weights_are_matrices_kernels_and_stacks_but_not_embedding_head_tables_or_norms():
    model = nn.ModuleDict(
        {
            "embedding": nn.Linear(34, 32),
            "table": nn.Embedding(50, 32),
            "norm": nn.LayerNorm((20, 32)),
            "matrix": nn.Linear(32, 48),
            "kernel": nn.Conv1d(48, 32, 3),
            "thin": nn.Linear(32, 4),
            "head": nn.Linear(32, 51),
        }
    )
    hidden = hidden_weights(model)
    assert [tuple(w.shape) for w in hidden] == [(48, 32), (32, 48, 3)]
    assert [tuple(as_matrices(w).shape) for w in hidden] == [(1, 48, 32), (1, 32, 144)]
    assert as_matrices(torch.zeros(3, 1, 36, 40)).shape == (3, 36, 40)


def test_law_a_step_of_a_stack_is_that_of_its_matrices_and_what_has_no_gradient_stays():
    torch.manual_seed(0)
    stack, idle, kernel = (nn.Parameter(torch.randn(s)) for s in ((2, 24, 20), (24, 20), (24, 20, 3)))
    stack.grad, kernel.grad = torch.randn_like(stack), torch.randn_like(kernel)
    pair = [nn.Parameter(x.clone()) for x in (*stack.detach(), kernel.detach().flatten(1))]
    for single, gradient in zip(pair, (*stack.grad, kernel.grad.flatten(1)), strict=True):
        single.grad = gradient.clone()
    before = idle.detach().clone()
    Muon([stack, idle, kernel]).step(0.1)
    Muon(pair).step(0.1)
    torch.testing.assert_close(stack.detach(), torch.stack([p.detach() for p in pair[:2]]), atol=2e-3, rtol=0)
    torch.testing.assert_close(kernel.detach().flatten(1), pair[2].detach(), atol=2e-3, rtol=0)
    assert torch.equal(idle, before)


def _member(team, folder):
    torch.manual_seed(0)
    matrices = [nn.Parameter(torch.randn(6, 4)) for _ in range(3)]
    muon = Muon(matrices, team=team)
    for step in range(4):
        generator = torch.Generator().manual_seed(10 * step + team.rank)
        for matrix in matrices:
            matrix.grad = torch.randn(6, 4, generator=generator)
        team.average([m.grad for m in matrices])
        muon.step(0.1)
    torch.save([m.detach() for m in matrices], folder / f"{team.rank}.pt")


def test_law_a_team_equals_one_process_on_the_mean_gradient(tmp_path):
    launch(_member, 2, 100, tmp_path)
    members = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    torch.manual_seed(0)
    alone = [nn.Parameter(torch.randn(6, 4)) for _ in range(3)]
    muon = Muon(alone)
    for step in range(4):
        generators = [torch.Generator().manual_seed(10 * step + rank) for rank in (0, 1)]
        for matrix in alone:
            matrix.grad = sum(torch.randn(6, 4, generator=g) for g in generators) / 2
        muon.step(0.1)
    for a, b, c in zip(*members, alone, strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, c.detach(), atol=2e-3, rtol=0)


def test_a_team_of_one_needs_no_partner():
    x = [torch.ones(2)]
    Team().average(x)
    Team().share(x)
    assert Team().agree(3.0) == 3.0
