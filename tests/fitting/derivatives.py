"""The derivative that a term adds, against differences of its cost."""

import torch
from torch import Tensor

from posewright.fitting.points import BodyPoints
from posewright.fitting.terms import posed
from posewright.geometry.rotations import rotvec_to_matrix


def check_derivative(term, points: BodyPoints, local: Tensor, transl: Tensor, every: int) -> None:
    """Compare each `every`-th column, for poses (N, A, 3, 3) at (N, 3) metres, turned by 1e-6."""
    N, A = local.shape[:2]
    C = 3 + 3 * A
    H, g = torch.zeros(N, C, C).double(), torch.zeros(N, C).double()
    term.add(posed(points, local, transl), H, g)
    for column in range(0, C, every):
        w = torch.zeros(N, C).double()
        w[:, column] = 1e-6
        a, b = (
            term.cost(
                posed(
                    points,
                    local @ rotvec_to_matrix(s * w[:, 3:].unflatten(1, (A, 3))),
                    transl + s * w[:, :3],
                )
            )
            for s in (1.0, -1.0)
        )
        torch.testing.assert_close((a - b) / 4e-6, g[:, column], atol=1e-2, rtol=1e-4)
