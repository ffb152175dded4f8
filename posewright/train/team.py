"""Processes of one machine that train one model together, each with one thread and its own batches.

On CPUs two processes that meet twice per step use two cores better than two threads that meet in every
operation, most of all where other programs run beside them.
"""

from collections.abc import Callable
from multiprocessing import get_context

import torch
from torch import Tensor
from torch.multiprocessing.spawn import spawn


class Team:
    """One member's view of the team; all members call the same methods in the same order.

    Args:
        rank: 0 .. size - 1.
        size: how many members.
        buffer: (2, size, capacity) float32 in shared memory: members write in turn to either half, so that nobody
            overwrites what another still reads.
        barrier: where they meet.
    """

    def __init__(self, rank: int = 0, size: int = 1, buffer: Tensor | None = None, barrier=None):
        self.rank, self.size = rank, size
        self._buffer, self._barrier, self._half = buffer, barrier, 0

    def _exchange(self, tensors: list[Tensor]) -> Tensor:
        """Write my tensors and return everybody's, (size, capacity)."""
        assert self._buffer is not None, "a team of one has nothing to exchange"
        assert self._barrier is not None
        page, self._half = self._buffer[self._half], 1 - self._half
        offset = 0
        for tensor in tensors:
            page[self.rank, offset : offset + tensor.numel()] = tensor.flatten()
            offset += tensor.numel()
        self._barrier.wait()
        return page

    def average(self, tensors: list[Tensor]) -> None:
        """Replace tensors, the same shapes in every member, by their mean over members."""
        if self.size == 1:
            return
        mean = self._exchange(tensors)[:, : sum(t.numel() for t in tensors)].mean(0)
        for tensor, part in zip(tensors, mean.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def share(self, tensors: list[Tensor]) -> None:
        """Give everybody each tensor as its owner has it; tensor i belongs to member i modulo size."""
        if self.size == 1:
            return
        page = self._exchange(
            [t if i % self.size == self.rank else torch.empty(0) for i, t in enumerate(tensors)]
        )
        offsets = [0] * self.size
        for i, tensor in enumerate(tensors):
            owner = i % self.size
            if owner != self.rank:
                tensor.copy_(page[owner, offsets[owner] : offsets[owner] + tensor.numel()].view_as(tensor))
            offsets[owner] += tensor.numel()

    def agree(self, value: float) -> float:
        """Return member 0's value."""
        if self.size == 1:
            return value
        return float(self._exchange([torch.tensor([value])])[0, 0])


def launch(function: Callable, size: int, capacity: int, *args) -> None:
    """Call `function(team, *args)` in `size` processes with one thread each; in this process if `size` is 1.

    Args:
        function: at the top level of a module, so that it can be sent to a new process.
        size: number of members.
        capacity: numbers that the largest exchange holds: the parameters of the model.
        *args: the same for all.
    """
    if size == 1:
        function(Team(), *args)
        return
    buffer = torch.zeros(2, size, capacity).share_memory_()
    barrier = get_context("spawn").Barrier(size)
    spawn(_member, (function, size, buffer, barrier, args), nprocs=size)


def _member(rank: int, function: Callable, size: int, buffer: Tensor, barrier, args: tuple) -> None:
    torch.set_num_threads(1)
    function(Team(rank, size, buffer, barrier), *args)
