"""Where a keypoint may be: mixtures of Gaussians, from heat maps, covariances, or a detector's confidence.

DiffPose (Gong et al., CVPR 2023) starts its diffusion from such a mixture, DiffPose (Holmquist & Wandt, ICCV 2023)
draws candidates from it. Both took heat maps; detectors whose maps nobody kept state a
confidence.

Convention: keypoints (*B, J, 2) in any unit, deviations and covariances in it too; heat maps (*B, J, h, w) in any
scale; random numbers are given, not drawn.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from posewright.core.errors import InputError

SURE, UNSURE = 0.01, 0.15
"""Standard deviation of a keypoint at confidence 1 and 0, in parts of the person's extent: `spread_of_confidence`."""
FLOOR = 1e-6
"""Of a Gaussian's weight, so that none is lost while a mixture is fitted."""
ROUNDS = 20
"""Of expectation maximisation on a heat map."""


@dataclass(frozen=True)
class KeypointMixture:
    """M axis-aligned Gaussians for each keypoint."""

    weights: Float[Tensor, "*B J M"]
    """Sum 1."""
    means: Float[Tensor, "*B J M 2"]
    deviations: Float[Tensor, "*B J M 2"]
    """Standard deviations along x and y."""

    def pick(
        self, uniform: Float[Tensor, "*#B J"]
    ) -> tuple[Float[Tensor, "*B J 2"], Float[Tensor, "*B J 2"]]:
        """Draw one Gaussian for each keypoint, by its weight: means and deviations.

        Args:
            uniform: numbers from 0 to 1.
        """
        kernel = inverse_cumulative(self.weights, uniform[..., None])[..., None].expand(
            *self.means.shape[:-2], 1, 2
        )
        return self.means.gather(-2, kernel)[..., 0, :], self.deviations.gather(-2, kernel)[..., 0, :]


def inverse_cumulative(
    weights: Float[Tensor, "*B N"], uniform: Float[Tensor, "*#B S"]
) -> Int[Tensor, "*B S"]:
    """Draw S of N by their weights, which need not sum to one: the inverse of their cumulative sum at uniform numbers.

    Where all weights are zero, the first is drawn.
    """
    cumulative = weights.double().cumsum(-1)
    total = cumulative[..., -1:]
    uniform = uniform.double().expand(*weights.shape[:-1], -1)
    drawn = torch.searchsorted(cumulative.contiguous(), (uniform * total).contiguous(), right=True)
    last = (weights > 0).double().cumsum(-1).argmax(-1, keepdim=True)
    return torch.where(total > 0, torch.minimum(drawn, last), torch.zeros_like(drawn))


def spread_of_confidence(
    keypoints: Float[Tensor, "*B J 2"], confidence: Float[Tensor, "*B J"]
) -> Float[Tensor, "*B J"]:
    """Standard deviation of each keypoint, in the keypoints' unit: how far off its confidence says that it may be.

    It falls in a straight line with the confidence, from `UNSURE` at 0 (or missing) to `SURE` at 1, times the person's
    extent: the longer side of the box of the keypoints. Our rule; a detector that states covariances needs none.

    Args:
        keypoints: all finite; bridge gaps first.
        confidence: 0 to 1.
    """
    extent = (keypoints.amax(-2) - keypoints.amin(-2)).amax(-1, keepdim=True)
    return extent * (SURE + (UNSURE - SURE) * (1 - confidence.clamp(0, 1)))


def from_confidence(keypoints: Float[Tensor, "*B J 2"], confidence: Float[Tensor, "*B J"]) -> KeypointMixture:
    """One round Gaussian for each keypoint, as wide as `spread_of_confidence` says."""
    spread = spread_of_confidence(keypoints, confidence)[..., None, None].expand(*keypoints.shape[:-1], 1, 2)
    return KeypointMixture(torch.ones_like(spread[..., 0]), keypoints[..., None, :], spread)


def from_covariance(
    keypoints: Float[Tensor, "*B J 2"], covariance: Float[Tensor, "*B J 2 2"]
) -> KeypointMixture:
    """One Gaussian for each keypoint, with the variances along x and y; how they vary together is left out.

    Raises:
        InputError: shapes that do not fit, or a variance that is negative or not a number.
    """
    expected = (*keypoints.shape, 2)
    if covariance.shape != expected:
        raise InputError(
            f"covariance has shape {tuple(covariance.shape)}, expected {expected}: a 2 x 2 matrix for each keypoint"
        )
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    if not bool((variance >= 0).all()):
        raise InputError(
            "covariance with a negative or missing variance, expected numbers from 0 on everywhere"
        )
    deviations = variance.sqrt()[..., None, :]
    return KeypointMixture(torch.ones_like(deviations[..., 0]), keypoints[..., None, :], deviations)


def from_heatmaps(
    heatmaps: Float[Tensor, "*B J h w"], box: Float[Tensor, "*#B 4"], kernels: int = 5
) -> KeypointMixture:
    """Fit Gaussians to heat maps by expectation maximisation over their pixels (Gong et al.: 5 of them).

    The Gaussians start side by side along the direction in which the map is widest, so the fit is the same each time.

    Args:
        heatmaps: negative values count as zero.
        box: left, top, right, bottom edge of the map in the keypoints' unit.
        kernels: M.

    Raises:
        InputError: shapes that do not fit, no kernels, or a map without any positive value.
    """
    check_heatmaps(heatmaps)
    if kernels < 1:
        raise InputError(f"heat maps: {kernels} Gaussians, expected at least 1")
    if box.shape[-1] != 4:
        raise InputError(
            f"heat maps: box has shape {tuple(box.shape)}, expected (..., 4): left, top, right, bottom"
        )
    mass = heatmaps.clamp_min(0).flatten(-2)
    if not bool((mass.sum(-1) > 0).all()):
        raise InputError(
            "heat maps: one has no positive value, expected a peak for every keypoint; leave it out"
        )
    mass = mass / mass.sum(-1, keepdim=True)
    pixels = pixel_centres(heatmaps, box)
    pixel = (box[..., 2:] - box[..., :2]).abs().amax(-1) / max(heatmaps.shape[-2:])
    floor = (pixel / 2).square()[..., None, None, None]  # a peak of one pixel is half a pixel wide
    weights, means, variances = _side_by_side(mass, pixels, kernels, floor)
    for _ in range(ROUNDS):
        weights, means, variances = _improved(mass, pixels, weights, means, variances, floor)
    return KeypointMixture(weights, means, variances.sqrt())


def pixel_centres(
    heatmaps: Float[Tensor, "*B J h w"], box: Float[Tensor, "*#B 4"]
) -> Float[Tensor, "*#B 1 N 2"]:
    """Centres of a map's pixels, row by row, where `box` holds its outer edges."""
    h, w = heatmaps.shape[-2:]
    y, x = torch.meshgrid(
        *((torch.arange(n, device=box.device, dtype=box.dtype) + 0.5) / n for n in (h, w)), indexing="ij"
    )
    part = torch.stack([x, y], -1).flatten(0, 1)
    return (box[..., None, :2] + part * (box[..., None, 2:] - box[..., None, :2]))[..., None, :, :]


def check_heatmaps(heatmaps: Tensor, joints: int | None = None) -> None:
    """Refuse what is no heat map.

    Raises:
        InputError: another shape, or values that are not numbers.
    """
    if heatmaps.ndim < 3 or 0 in heatmaps.shape or (joints is not None and heatmaps.shape[-3] != joints):
        raise InputError(
            f"heat maps have shape {tuple(heatmaps.shape)}, expected (..., {joints or 'joints'}, height, width)"
        )
    if not bool(heatmaps.isfinite().all()):
        raise InputError("heat maps hold values that are not numbers; leave frames without detection out")


def _side_by_side(mass: Tensor, pixels: Tensor, kernels: int, floor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Equal Gaussians along the direction in which each map is widest."""
    mean = (mass[..., None] * pixels).sum(-2)
    offset = pixels - mean[..., None, :]
    covariance = (mass[..., None] * offset).transpose(-1, -2) @ offset
    sizes, axes = torch.linalg.eigh(covariance)
    along = sizes[..., -1:].clamp_min(0).sqrt() * axes[..., -1]
    places = torch.linspace(-1.5, 1.5, kernels).to(mass) if kernels > 1 else mass.new_zeros(1)
    means = mean[..., None, :] + places[:, None] * along[..., None, :]
    variances = covariance.diagonal(dim1=-2, dim2=-1)[..., None, :] + floor
    return torch.full_like(means[..., 0], 1 / kernels), means, variances.expand_as(means)


def _improved(
    mass: Tensor, pixels: Tensor, weights: Tensor, means: Tensor, variances: Tensor, floor: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One round of expectation maximisation; (*B, J, M) weights, (*B, J, M, 2) means and variances."""
    away = (pixels[..., None, :] - means[..., None, :, :]).square() / variances[..., None, :, :]
    log = weights.clamp_min(FLOOR).log() - variances.log().sum(-1) / 2
    share = (log[..., None, :] - away.sum(-1) / 2).softmax(-1) * mass[..., None]
    total = share.sum(-2).clamp_min(FLOOR)
    turned = share.transpose(-1, -2)
    means = turned @ pixels / total[..., None]
    squares = turned @ pixels.square() / total[..., None]
    return total / total.sum(-1, keepdim=True), means, (squares - means.square()).clamp_min(0) + floor
