"""Muon: momentum whose matrix is made orthogonal before the step.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
https://kellerjordan.github.io/posts/muon/. torch has one too (2.9 and later); this one splits the matrices
among the members of a team, since orthogonalising costs as much as a small batch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from posewright.nn.hidden_layers import NARROWEST, hidden_layers
from posewright.train.team import Team

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the Newton-Schulz step, from the article."""


def orthogonalised(matrices: Tensor, steps: int = 5) -> Tensor:
    """Matrices (B, m, n) with singular values near 1 (0.7 to 1.2) and the same singular vectors, in bfloat16."""
    a, b, c = _QUINTIC
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    return (x.mT if tall else x).to(matrices.dtype)


def hidden_weights(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights of hidden layers: matrices, kernels of convolutions, stacks of graph convolutions."""
    return [p for p in dict.fromkeys(m.weight for m in hidden_layers(model)) if isinstance(p, nn.Parameter)]


def as_matrices(weight: Tensor) -> Tensor:
    """View a weight as matrices (B, m, n), as `nn.hidden_layers.matrix_shape` tells kernels from stacks."""
    if weight.ndim > 2 and weight.shape[-1] < NARROWEST:
        return weight.flatten(1)[None]
    return weight.reshape(-1, *weight.shape[-2:])


class Muon:
    """Nesterov momentum, orthogonalised; for weights of hidden layers, not embeddings, heads, norms or biases."""

    def __init__(self, matrices: Sequence[Tensor], momentum: float = 0.95, team: Team | None = None):
        self.team = team or Team()
        self.momentum = momentum
        self.matrices = sorted(matrices, key=lambda m: tuple(m.shape))
        self.own = range(self.team.rank, len(self.matrices), self.team.size)
        self.average = {i: torch.zeros_like(self.matrices[i]) for i in self.own}

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move the matrices along their gradients, which must be the same in every member."""
        updates = [torch.empty_like(m) for m in self.matrices]
        for shape in sorted({tuple(self.matrices[i].shape) for i in self.own}):
            rows = [i for i in self.own if tuple(self.matrices[i].shape) == shape]
            directions = torch.stack([as_matrices(self._direction(i)) for i in rows])
            m, n = directions.shape[-2:]
            orthogonal = orthogonalised(directions.flatten(0, 1)) * max(1.0, m / n) ** 0.5
            for i, update in zip(rows, orthogonal.view_as(directions), strict=True):
                updates[i] = update.reshape(shape)
        self.team.share(updates)
        for matrix, update in zip(self.matrices, updates, strict=True):
            matrix.add_(update, alpha=-learning_rate)

    def _direction(self, i: int) -> Tensor:
        gradient = self.matrices[i].grad
        if gradient is None:  # a weight that the loss does not reach, as some published networks have
            gradient = torch.zeros_like(self.matrices[i])
        self.average[i].lerp_(gradient, 1 - self.momentum)
        return gradient.lerp(self.average[i], self.momentum)

    def state_dict(self) -> dict:
        """Momentum of this member's matrices."""
        return {"average": self.average}

    def load_state_dict(self, state: dict) -> None:
        """Continue from `state_dict`."""
        self.average = state["average"]
