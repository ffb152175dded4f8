"""A team over torch.distributed: `torchrun --nproc-per-node 2 runs/train_lifter.py ...`, on CPUs (gloo) or GPUs (nccl).

What DistributedDataParallel does, without its wrapper: every member computes the gradient of its own part of the batch,
and all move along the mean. Running statistics of batch norms are each member's own; member 0's are kept.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from posewright.train.team import Team


class ProcessGroupTeam(Team):
    """One member's view of a process group that is already there."""

    def __init__(self):
        super().__init__(dist.get_rank(), dist.get_world_size())

    def average(self, tensors: list[Tensor]) -> None:
        """Replace tensors, the same shapes in every member, by their mean over members."""
        flat = torch.cat([t.flatten() for t in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor) / self.size)

    def share(self, tensors: list[Tensor]) -> None:
        """Give everybody each tensor as its owner has it; tensor i belongs to member i modulo size."""
        for i, tensor in enumerate(tensors):
            dist.broadcast(tensor, i % self.size)

    def agree(self, value: float) -> float:
        """Return member 0's value."""
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        shared = torch.tensor([value], dtype=torch.float64, device=device)
        dist.broadcast(shared, 0)
        return float(shared)


@contextmanager
def team_of_launcher(device: str = "cpu") -> Iterator[Team]:
    """Join the team that torchrun started this process in; without torchrun, a team of one.

    Args:
        device: `cpu` or `cuda`; with the latter each member takes the GPU of its local rank.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield Team()
        return
    if device.startswith("cuda"):
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield ProcessGroupTeam()
        dist.barrier()  # who leaves first takes its connections along, and the others abort
    finally:
        dist.destroy_process_group()
