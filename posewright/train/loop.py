"""The training loop: one model, endless batches, a fixed time or a fixed number of steps.

    options = TrainingOptions(minutes=60)
    averaged = train(model, batch_of, loss_of, options, checkpoint=Path("run.pt"))

Weights of hidden layers are trained by Muon, the rest by AdamW; the learning rate is warmed up and falls; the result
is a moving average of the weights. A run that was stopped, or killed, continues from its checkpoint; where it is
limited by steps and the batch of a step depends on nothing but the step, it ends with the same weights as if it had
never stopped.
"""

import copy
import math
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.train.muon import Muon, hidden_weights
from posewright.train.records import Recorder
from posewright.train.team import Team


@dataclass(frozen=True)
class TrainingOptions:
    """How long and how fast."""

    minutes: float | None = None
    """None: until `steps`."""
    learning_rate: float = 1e-3
    """Of AdamW."""
    muon_learning_rate: float | None = 0.02
    """None: AdamW for everything."""
    weight_decay: float = 0.01
    warmup_steps: int = 150
    hold: float = 0.4
    """Share of the time at the full learning rate, for the schedule `linear`."""
    clip_norm: float = 1.0
    average_decay: float = 0.998
    """Of the moving average of the weights, shorter in the first steps."""
    every: int = 400
    """Steps between reports and checkpoints."""
    steps: int | None = None
    """None: until `minutes`; with both, until the first."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """After the warm-up: hold, then a straight line down to 0.01; half a cosine down to 0.01; or no change."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of matrix products; weights and optimisers stay float32."""

    def __post_init__(self):
        if self.minutes is None and self.steps is None:
            raise ValueError("TrainingOptions: neither minutes nor steps are given, expected one of them")


@dataclass
class Progress:
    """Where a run stands."""

    step: int = 0
    seconds: float = 0.0
    loss: float = float("nan")
    """Running mean."""
    history: list[dict] = field(default_factory=list)

    def done(self, options: TrainingOptions) -> float:
        """Share of the run that is over, in [0, 1]."""
        time_share = 0.0 if options.minutes is None else self.seconds / (60 * options.minutes)
        return min(1.0, max(time_share, 0.0 if options.steps is None else self.step / options.steps))


def train(
    model: nn.Module,
    batch_of: Callable[[int], Any],
    loss_of: Callable[[nn.Module, Any], Tensor],
    options: TrainingOptions,
    *,
    checkpoint: Path | None = None,
    report: Callable[[nn.Module, Progress], dict] | None = None,
    team: Team | None = None,
    log: Path | None = None,
    tensorboard: Path | None = None,
    on_step: Callable[[Progress], None] | None = None,
) -> nn.Module:
    """Train until the time is up or the steps are done.

    Args:
        model: in its first state; every member of a team must bring the same.
        batch_of: the batch of a step; members of a team bring different ones.
        loss_of: scalar loss of the model on a batch.
        options: see there.
        checkpoint: file to write every `options.every` steps, one per member, and to continue from if it is there.
        report: called by member 0 with the averaged model; what it returns goes to `Progress.history`.
        team: None: this process alone.
        log: CSV that member 0 keeps, one row per report.
        tensorboard: folder for the same numbers as TensorBoard events; needs the extra `train`.
        on_step: called after every step, for a progress bar.

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
    if team.agree(progress.step) != progress.step:
        raise InputError(
            f"{saved}: at step {progress.step}, member 0's at another: a team was stopped while it wrote checkpoints. "
            "Remove them all and start again"
        )
    record = Recorder(report, log, tensorboard) if team.rank == 0 else None
    start = time.monotonic() - progress.seconds
    model.train()
    while True:
        progress.seconds = team.agree(time.monotonic() - start)
        if progress.done(options) >= 1:
            break
        value = one_step(model, batch_of(progress.step), loss_of, optimizers, progress, options, team)
        progress.step += 1
        follow(averaged, model, min(options.average_decay, progress.step / (progress.step + 30)))
        progress.loss = value if progress.step == 1 else 0.98 * progress.loss + 0.02 * value
        if on_step:
            on_step(progress)
        if progress.step % options.every == 0:
            if record:
                record(averaged, progress, options.learning_rate * learning_rate_factor(progress, options))
            if saved:
                save(saved, model, averaged, optimizers, progress)
    if record:
        record(averaged, progress, options.learning_rate * learning_rate_factor(progress, options))
    return averaged


def one_step(
    model: nn.Module,
    batch: Any,
    loss_of: Callable[[nn.Module, Any], Tensor],
    optimizers: tuple[torch.optim.AdamW, Muon | None],
    progress: Progress,
    options: TrainingOptions,
    team: Team,
) -> float:
    """Move the weights once, along the team's mean gradient, and return the loss."""
    parameters = list(model.parameters())
    device = parameters[0].device.type
    half = torch.autocast(device, torch.bfloat16) if options.precision == "bfloat16" else nullcontext()
    with half:
        loss = loss_of(model, batch)
    loss.backward()
    team.average([p.grad for p in parameters if p.grad is not None])
    nn.utils.clip_grad_norm_(parameters, options.clip_norm)
    take_step(optimizers, learning_rate_factor(progress, options), options)
    model.zero_grad(set_to_none=True)
    return loss.item()


def make_optimizers(
    model: nn.Module, options: TrainingOptions, team: Team
) -> tuple[torch.optim.AdamW, Muon | None]:
    """AdamW and Muon; Muon gets the weights of the hidden layers."""
    matrices = hidden_weights(model) if options.muon_learning_rate else []
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    adamw = torch.optim.AdamW(
        rest, lr=options.learning_rate, betas=(0.9, 0.98), weight_decay=options.weight_decay
    )
    return adamw, Muon(matrices, team=team) if matrices else None


def learning_rate_factor(progress: Progress, options: TrainingOptions) -> float:
    """Warm-up by steps, then the schedule by the share of the run that is over."""
    done = progress.done(options)
    if options.schedule == "cosine":
        falling = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
    elif options.schedule == "linear" and done >= options.hold:
        falling = 0.01 + 0.99 * (1 - done) / (1 - options.hold)
    else:
        falling = 1.0
    return min(1.0, (progress.step + 1) / max(options.warmup_steps, 1)) * falling


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
    """Move the averaged weights towards the model's; running statistics of norms are already means and are copied."""
    for slow, fast in zip(averaged.parameters(), model.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)
    for slow, fast in zip(averaged.buffers(), model.buffers(), strict=True):
        slow.copy_(fast)


# --------------------------------------------------------------------------------------------- checkpoints


def save(path: Path, model: nn.Module, averaged: nn.Module, optimizers: tuple, progress: Progress) -> None:
    """Write everything that `restore` needs, whole or not at all."""
    adamw, muon = optimizers
    state = {
        "model": model.state_dict(),
        "averaged": averaged.state_dict(),
        "adamw": adamw.state_dict(),
        "muon": muon.state_dict() if muon else None,
        "progress": vars(progress),
        "random": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["random_cuda"] = torch.cuda.get_rng_state_all()
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    torch.save(state, beside)
    os.replace(beside, path)


def restore(path: Path, model: nn.Module, averaged: nn.Module, optimizers: tuple, progress: Progress) -> None:
    """Continue from `save`."""
    device = next(model.parameters()).device
    state = torch.load(path, weights_only=True, map_location=device)
    model.load_state_dict(state["model"])
    averaged.load_state_dict(state["averaged"])
    adamw, muon = optimizers
    adamw.load_state_dict(state["adamw"])
    if muon is not None:
        muon.load_state_dict(state["muon"])
    vars(progress).update(state["progress"])
    if "random" in state:
        torch.set_rng_state(state["random"].cpu())
    if "random_cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["random_cuda"]])
