"""Test-time optimisation: what goes into a lifter is moved until the pose that comes out meets the picture.

Wang, Liu, Liu, Ren, You, Li, Sebe, Li, "Uncertainty-Aware Testing-Time Optimization for 3D Human Pose Estimation", IEEE
TMM 2025, https://arxiv.org/abs/2402.02339, section 3.3. The network stays as it is; its input, the latent, which starts
as the keypoints, takes a few steps of Adam. Two terms hold it: the distance of the pose's image from the keypoints, and
that of the pose from what the network said at first, which counts less where the network is less sure of itself.

Any lifter whose decoding can be differentiated will do: `decode` runs it. Frames, windows and people do not influence
one another unless the lifter makes them, so that results do not depend on what is optimised together.

Convention: camera axes, metres; images in the keypoints' units.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from posewright.core.errors import InputError

Decode = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""Latents (V, ...) -> joints (V, *B, J, 3), as the network gives them but turned back where its view is mirrored; and
the logarithm of their expected errors (V, *B, J), in the joints' unit, or None where it does not say: all count 1."""
Image = Callable[[Tensor], Tensor]
"""Joints (V, *B, J, 3) of `decode` -> where they are in the picture (V, *B, J, 2); NaN: nowhere, behind the camera."""


@dataclass(frozen=True)
class RefineOptions:
    """How far the latents go, and what holds them."""

    iterations: int = 4
    """Steps; 0 leaves them as they are."""
    learning_rate: float = 1e-3
    """Of Adam: about how far a step goes, in the latents' units."""
    projection_weight: float = 1.0
    """Of the distance in the picture."""
    uncertainty_weight: float = 0.005
    """Of the distance from the first pose, over its expected error."""

    def __post_init__(self) -> None:
        if self.iterations < 0:
            raise InputError(f"refine: {self.iterations} iterations, expected 0 or more")
        if not self.learning_rate > 0:
            raise InputError(f"refine: learning rate {self.learning_rate:g}, expected a positive number")
        if not (self.projection_weight >= 0 and self.uncertainty_weight >= 0):
            raise InputError(
                f"refine: weights {self.projection_weight:g} (projection) and {self.uncertainty_weight:g} "
                "(uncertainty), expected 0 or more"
            )


@dataclass(frozen=True)
class Refinement:
    """What came of it."""

    joints: Float[Tensor, "V *B J 3"]
    """Poses of each view at the last latents."""
    latents: Float[Tensor, "V ..."]
    uncertainty: Float[Tensor, "I V"]
    """Mean of distance over expected error, plus its logarithm, of each view before each step."""
    projection: Float[Tensor, "I V"]
    """Mean distance in the picture, keypoints' units, of each view before each step."""


def refine_latents(
    decode: Decode,
    image: Image,
    latents: Float[Tensor, "V ..."],
    keypoints: Float[Tensor, "*B J 2"],
    weights: Float[Tensor, "*B J"] | None = None,
    options: RefineOptions = RefineOptions(),
) -> Refinement:
    """Optimise latents of V views of the same poses, such as the clip and the mirrored clip, together.

    Each pose's loss is (equation 8), summed over the views and averaged over its joints j,

        projection_weight w_j |image(x_j) - keypoint_j| + uncertainty_weight |x_j - x_j at first| exp(-s_j)

    where s_j is the logarithm of the expected error at the present latents, which is not differentiated.

    Args:
        decode: the lifter; its weights get no gradients.
        image: places the joints before the camera and projects them. With the true root this is an oracle, as
            published; with an estimated one it is deployable.
        latents: where to start, one row per view.
        keypoints: what the images should meet; NaN is missing and pulls nowhere.
        weights: of each keypoint, such as its confidence; None: all 1.
        options: see `RefineOptions`.

    Returns:
        Poses and latents; with 0 iterations those at the start.
    """
    with torch.inference_mode(False), torch.enable_grad():
        keypoints, moved = keypoints.clone(), latents.detach().clone().requires_grad_()
        seen = torch.isfinite(keypoints).all(-1)
        pull = seen.to(keypoints) if weights is None else torch.where(seen, weights.clone(), 0.0)
        target = torch.where(seen[..., None], keypoints, 0.0)
        optimizer = torch.optim.Adam([moved], options.learning_rate)
        first, history = None, []
        for _ in range(options.iterations):
            joints, log_error = decode(moved)
            first = joints.detach() if first is None else first
            certain, projected = _distances(joints, first, log_error, image, target, pull)
            loss = options.projection_weight * projected + options.uncertainty_weight * certain
            (moved.grad,) = torch.autograd.grad(loss.mean(-1).sum(), moved)
            optimizer.step()
            history.append(torch.stack([_view_means(certain), _view_means(projected)]).detach())
    with torch.no_grad():
        joints, _ = decode(moved.detach())
    terms = torch.stack(history, 1) if history else joints.new_zeros(2, 0, len(latents))
    return Refinement(joints, moved.detach(), terms[0], terms[1])


def _distances(
    joints: Tensor, first: Tensor, log_error: Tensor | None, image: Image, target: Tensor, pull: Tensor
) -> tuple[Tensor, Tensor]:
    """Both terms (V, *B, J); where there is no keypoint or no image, the second is 0, and so is its gradient."""
    s = torch.zeros_like(joints[..., 0]) if log_error is None else log_error.detach()
    certain = torch.linalg.vector_norm(joints - first, dim=-1) * torch.exp(-s) + s
    images = image(joints)
    usable = torch.isfinite(images).all(-1, keepdim=True) & (pull > 0)[..., None]
    off = torch.where(usable, images - target, 0.0)
    return certain, pull * torch.linalg.vector_norm(off, dim=-1)


def _view_means(terms: Tensor) -> Tensor:
    return terms.flatten(1).mean(1)
