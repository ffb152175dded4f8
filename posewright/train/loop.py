"""The training loop: one model, endless batches, a fixed time.

    options = TrainingOptions(minutes=60)
    averaged = train(model, batch_of, loss_of, options, checkpoint=Path("run.pt"))

Matrices of hidden layers are trained by Muon, the rest by AdamW; the learning rate is warmed up, held, and
falls in a straight line to nothing when the time is up; the result is a moving average of the weights. A run
that was stopped continues from its checkpoint.
"""

import copy
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from posewright.train.muon import Muon
from posewright.train.team import Team


@dataclass(frozen=True)
class TrainingOptions:
    """How long and how fast."""

    minutes: float
    learning_rate: float = 1e-3
    """Of AdamW."""
    muon_learning_rate: float | None = 0.02
    """None: AdamW for everything."""
    weight_decay: float = 0.01
    warmup_steps: int = 150
    hold: float = 0.4
    """Share of the time at the full learning rate."""
    clip_norm: float = 1.0
    average_decay: float = 0.998
    """Of the moving average of the weights, shorter in the first steps."""
    every: int = 400
    """Steps between reports and checkpoints."""


@dataclass
class Progress:
    """Where a run stands."""

    step: int = 0
    seconds: float = 0.0
    loss: float = float("nan")
    """Running mean."""
    history: list[dict] = field(default_factory=list)


def train(
    model: nn.Module,
    batch_of: Callable[[int], Any],
    loss_of: Callable[[nn.Module, Any], Tensor],
    options: TrainingOptions,
    *,
    checkpoint: Path | None = None,
    report: Callable[[nn.Module, Progress], dict] | None = None,
    team: Team | None = None,
) -> nn.Module:
    """Train until the time is up.

    Args:
        model: in its first state; every member of a team must bring the same.
        batch_of: the batch of a step; members of a team bring different ones.
        loss_of: scalar loss of the model on a batch.
        options: see there.
        checkpoint: file to write every `options.every` steps, one per member, and to continue from if it is there.
        report: called by member 0 with the averaged model; what it returns goes to `Progress.history`.
        team: None: this process alone.

    Returns:
        The averaged model, in evaluation mode.
    """
    team = team or Team()
    averaged = copy.deepcopy(model).eval()
    optimizers = make_optimizers(model, options, team)
    progress = Progress()
    saved = checkpoint and checkpoint.with_name(f"{checkpoint.name}.{team.rank}")
    if saved and saved.exists():
        restore(saved, model, averaged, optimizers, progress)
    start = time.monotonic() - progress.seconds
    parameters = list(model.parameters())
    model.train()
    while True:
        progress.seconds = team.agree(time.monotonic() - start)
        if progress.seconds >= 60 * options.minutes:
            break
        rate = learning_rate_factor(progress, options)
        loss = loss_of(model, batch_of(progress.step))
        loss.backward()
        gradients = [p.grad for p in parameters if p.grad is not None]
        team.average(gradients)
        nn.utils.clip_grad_norm_(parameters, options.clip_norm)
        take_step(optimizers, rate, options)
        model.zero_grad(set_to_none=True)
        progress.step += 1
        follow(averaged, model, min(options.average_decay, progress.step / (progress.step + 30)))
        value = loss.item()
        progress.loss = value if progress.step == 1 else 0.98 * progress.loss + 0.02 * value
        if progress.step % options.every == 0:
            if report and team.rank == 0:
                progress.history.append(report(averaged, progress))
            if saved:
                save(saved, model, averaged, optimizers, progress)
    if report and team.rank == 0:
        progress.history.append(report(averaged, progress))
    return averaged


def make_optimizers(
    model: nn.Module, options: TrainingOptions, team: Team
) -> tuple[torch.optim.AdamW, Muon | None]:
    """AdamW and Muon; Muon gets the matrices inside `model.blocks`."""
    blocks = getattr(model, "blocks", nn.ModuleList())
    matrices = [p for p in blocks.parameters() if p.ndim == 2] if options.muon_learning_rate else []
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    adamw = torch.optim.AdamW(
        rest, lr=options.learning_rate, betas=(0.9, 0.98), weight_decay=options.weight_decay
    )
    return adamw, Muon(matrices, team=team) if matrices else None


def learning_rate_factor(progress: Progress, options: TrainingOptions) -> float:
    """Warm-up by steps, then 1, then a straight line in time down to 0.01."""
    done = progress.seconds / (60 * options.minutes)
    falling = 1.0 if done < options.hold else 0.01 + 0.99 * (1 - done) / (1 - options.hold)
    return min(1.0, (progress.step + 1) / options.warmup_steps) * falling


def take_step(
    optimizers: tuple[torch.optim.AdamW, Muon | None], rate: float, options: TrainingOptions
) -> None:
    """Move all parameters once."""
    adamw, muon = optimizers
    for group in adamw.param_groups:
        group["lr"] = options.learning_rate * rate
    adamw.step()
    if muon is not None and options.muon_learning_rate is not None:
        muon.step(options.muon_learning_rate * rate)


@torch.no_grad()
def follow(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights towards the model's."""
    for slow, fast in zip(averaged.parameters(), model.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)


def save(path: Path, model: nn.Module, averaged: nn.Module, optimizers: tuple, progress: Progress) -> None:
    """Write everything that `restore` needs, whole or not at all."""
    adamw, muon = optimizers
    state = {
        "model": model.state_dict(),
        "averaged": averaged.state_dict(),
        "adamw": adamw.state_dict(),
        "muon": muon.state_dict() if muon else None,
        "progress": vars(progress),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    torch.save(state, beside)
    os.replace(beside, path)


def restore(path: Path, model: nn.Module, averaged: nn.Module, optimizers: tuple, progress: Progress) -> None:
    """Continue from `save`."""
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    averaged.load_state_dict(state["averaged"])
    adamw, muon = optimizers
    adamw.load_state_dict(state["adamw"])
    if muon is not None:
        muon.load_state_dict(state["muon"])
    vars(progress).update(state["progress"])
