"""The rotation nearest to a 3x3 matrix, without an SVD.

Solves Wahba's problem by Markley's method (F. L. Markley, "Attitude determination using vector observations: a fast
optimal matrix algorithm", Journal of the Astronautical Sciences 41, 1993): the sum of the singular values (the
smallest one signed by the determinant) is the largest root of a quartic, found by Newton's method; the rotation
follows from it by products of matrices. Batched SVDs of small matrices take ten times as long on a CPU.
"""

import torch
from jaxtyping import Float
from torch import Tensor

NEWTON_STEPS = 12
"""From an upper bound that is at most sqrt(3) times the root, quadratic convergence in the end."""


def _cofactors(matrix: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 3 3"]:
    """Return the cofactor matrix: its rows are cross products of the other two rows."""
    a, b, c = matrix.unbind(-2)
    return torch.stack([torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], -2)


def _largest_root(norm2: Tensor, cofactor2: Tensor, determinant: Tensor) -> Tensor:
    """Solve (x^2 - |M|^2)^2 = 8 det(M) x + 4 |cof M|^2 for its largest root.

    The last two steps carry gradients: at the root one step of Newton has the derivative of the root itself.
    """
    with torch.no_grad():
        x = (3.0 * norm2).sqrt()
        for _ in range(NEWTON_STEPS - 2):
            x = _newton_step(x, norm2, cofactor2, determinant)
    for _ in range(2):
        x = _newton_step(x, norm2, cofactor2, determinant)
    return x


def _newton_step(x: Tensor, norm2: Tensor, cofactor2: Tensor, determinant: Tensor) -> Tensor:
    """One step towards the root from above."""
    excess = x * x - norm2
    value = excess * excess - 8.0 * determinant * x - 4.0 * cofactor2
    slope = 4.0 * x * excess - 8.0 * determinant
    return x - value / slope.clamp_min(torch.finfo(x.dtype).tiny)


def nearest_rotation(matrix: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 3 3"]:
    """Return the proper rotation R that maximises trace(R^T M), differentiably.

    Args:
        matrix: any 3x3 matrices of rank two or three; worked on in float64.

    Returns:
        Rotations in the dtype of `matrix`. Where the two smallest singular values add up to nothing (rank one, or a
        reflection with two equal values) the rotation is not determined and the result means nothing.
    """
    M = matrix.double()
    scale = torch.linalg.vector_norm(M.detach(), dim=(-2, -1), keepdim=True)
    M = M / scale.clamp_min(torch.finfo(M.dtype).tiny)
    cofactor = _cofactors(M)
    norm2 = M.square().sum((-2, -1))
    determinant = (M[..., 0, :] * cofactor[..., 0, :]).sum(-1)
    x = _largest_root(norm2, cofactor.square().sum((-2, -1)), determinant)
    kappa = 0.5 * (x * x - norm2)
    zeta = kappa * x - determinant
    numerator = (kappa + norm2)[..., None, None] * M + x[..., None, None] * cofactor - M @ M.mT @ M
    return (numerator / zeta[..., None, None]).to(matrix.dtype)
