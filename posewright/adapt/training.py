"""Train a student a little further: how long, how fast, and whether all of it moves or a low-rank adapter alone.

The loop is that of all training (`train.loop`): AdamW, a cosine from the full rate down, and a moving average of the
weights, which is what comes back.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from posewright.adapt.student import Student
from posewright.core.errors import InputError
from posewright.datasets.synthetic import SyntheticClips
from posewright.nn.lora import add_low_rank, load_adapter, merge_low_rank, save_adapter
from posewright.train.loop import Progress, TrainingOptions, train


@dataclass(frozen=True)
class AdaptationOptions:
    """What every method of adaptation takes."""

    steps: int = 300
    batch: int = 16
    """Windows per step."""
    learning_rate: float = 2e-4
    seed: int = 0
    rank: int | None = None
    """Of a low-rank adapter: only that is trained. None: all weights, or what the method does by itself."""
    layers: str = ""
    """Which linear layers get the adapter: a regular expression for their names; empty: all."""
    adapter: Path | None = None
    """Adapter of an earlier adaptation of the same weights, to begin with."""
    local: bool = True
    """PoseDA: augment poses too (LPA), not only their places (GPA)."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not self.learning_rate > 0:
            raise InputError(
                f"adapt: {self.steps} steps of {self.batch} windows at rate {self.learning_rate:g}, expected positive "
                "numbers"
            )
        if self.rank is not None and self.rank < 1:
            raise InputError(f"adapt: rank {self.rank} of the low-rank adapter, expected at least 1")


@dataclass(frozen=True)
class Adapted:
    """What an adaptation gives."""

    student: Student
    """With the adapter, if there is one, in its weights."""
    adapter: nn.Module | None
    """The network with the adapter beside its weights, for `save_adapter`; None where all weights were trained."""
    loss: float
    """Running mean at the end."""

    def save(self, folder: Path, **notes: str) -> list[Path]:
        """Write weights.safetensors, and adapter.safetensors if there is an adapter."""
        files = [folder / "weights.safetensors"]
        self.student.save(files[0], **notes)
        if self.adapter is not None:
            files.append(folder / "adapter.safetensors")
            save_adapter(self.adapter, files[1], lifter=self.student.name, **notes)
        return files


def train_student(
    student: Student,
    batch_of: Callable[[int], Any],
    loss_of: Callable[[nn.Module, Any], Tensor],
    options: AdaptationOptions,
    on_step: Callable[[int, int], None] | None = None,
) -> Adapted:
    """Train, in place, and return the moving average of the weights.

    Args:
        student: its network may hold an adapter (see `prepared`).
        batch_of: the batch of a step.
        loss_of: of the network on a batch.
        options: see there.
        on_step: called with (steps done, steps to do).
    """
    last = Progress()

    def told(progress: Progress) -> None:
        last.loss = progress.loss
        if on_step:
            on_step(progress.step, options.steps)

    torch.manual_seed(options.seed)
    averaged = train(
        student.network,
        batch_of,
        loss_of,
        TrainingOptions(
            steps=options.steps,
            learning_rate=options.learning_rate,
            muon_learning_rate=None,
            warmup_steps=max(1, options.steps // 20),
            schedule="cosine",
            average_decay=0.98,
        ),
        on_step=told,
    )
    if options.rank is None and options.adapter is None:
        return Adapted(student.of(averaged), None, last.loss)
    merged = merge_low_rank(copy.deepcopy(averaged))
    return Adapted(student.of(merged), averaged.eval(), last.loss)


def prepared(student: Student, options: AdaptationOptions) -> Student:
    """Give the student's network, in place, the adapter that the options ask for.

    Raises:
        InputError: the adapter was made for another model, or no layer fits.
    """
    if options.adapter is not None:
        load_adapter(student.network, options.adapter)
    elif options.rank is not None:
        torch.manual_seed(options.seed)
        add_low_rank(student.network, options.layers, options.rank)
    return student


def clips_of(
    student: Student, clips: SyntheticClips, options: AdaptationOptions, step: int
) -> Mapping[str, Tensor]:
    """Training clips of a step, at the student's window and rate; they depend on nothing but the step."""
    clips.generator.manual_seed((options.seed * 1_000_003 + step) % 2**63)
    batch = clips.batch(options.batch, student.window * student.stride)
    return {n: (v[:, :: student.stride] if v.ndim > 2 else v).to(student.device) for n, v in batch.items()}
