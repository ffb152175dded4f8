"""Pull poses towards where keypoints say their joints are: the energy of reprojection and its descent.

Pierzchlewicz, da Silva, Cotton, Sinz, "Platypose: Calibrated Zero-Shot Multi-Hypothesis 3D Human Motion Estimation",
2024, https://arxiv.org/abs/2403.06164, section 3. The energy of a sample is, summed over cameras and frames, the mean
over joints and coordinates of the weighted squared distance in the picture. It is a plain function of the pose, so its
gradient is written out: nothing is differentiated, and a guided sampler can be compiled and exported as it is.

Convention: poses (..., T, J, 3) relative to the root, metres, any axes (those of the cameras' world); keypoints
(V, ..., T, J, 2) in the cameras' units, which `focal` and `centre` are in too; `x_camera = R x_world + t`.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from posewright.core.errors import InputError

NEAREST = 1e-2
"""Metres before the camera at which a point is taken to be, if it is nearer or behind."""
CLEARANCE = 0.5
"""Metres that the nearest joint of a person placed by one camera has before it at least."""
STABLE = 1.5
"""Largest step, in inverse curvatures: descent of a parabola runs away from 2 on."""
THRESHOLD, FACTOR, SMALLEST = 1e-4, 0.1, 1e-8
"""An energy that is not below the best by this share divides the step by ten, if it changes by more than that."""


@dataclass(frozen=True)
class Cameras:
    """V pinhole cameras without distortion."""

    R: Float[Tensor, "V 3 3"]
    t: Float[Tensor, "V 3"]
    """Metres."""
    focal: Float[Tensor, "V 2"]
    """In the keypoints' units."""
    centre: Float[Tensor, "V 2"]

    def __post_init__(self) -> None:
        V = len(self.R)
        shapes = {"R": (V, 3, 3), "t": (V, 3), "focal": (V, 2), "centre": (V, 2)}
        wrong = [n for n, shape in shapes.items() if tuple(getattr(self, n).shape) != shape]
        if V < 1 or wrong:
            raise InputError(
                f"cameras: {', '.join(f'{n} {tuple(getattr(self, n).shape)}' for n in wrong) or 'none'}, expected R "
                "(V, 3, 3), t (V, 3), focal (V, 2) and centre (V, 2) with V > 0"
            )

    def __len__(self) -> int:
        return len(self.R)

    def to(self, like: Tensor) -> "Cameras":
        """The same with the type and on the device of a tensor."""
        return Cameras(*(x.to(like) for x in (self.R, self.t, self.focal, self.centre)))


def one_camera(focal: float, R: Float[Tensor, "3 3"]) -> Cameras:
    """A camera at the origin whose picture has its zero in the middle."""
    zero = R.new_zeros(1, 2)
    return Cameras(R[None], R.new_zeros(1, 3), zero + focal, zero)


@dataclass(frozen=True)
class Target:
    """What poses are pulled towards."""

    keypoints: Float[Tensor, "V *#B T J 2"]
    weights: Float[Tensor, "V *#B T J 2"]
    """0 where missing."""
    cameras: Cameras
    root: Float[Tensor, "*#B T 3"] | None = None
    """Where the root stands, metres, world axes. None: where the keypoints are met best, estimated from each pose."""


def energy_and_gradient(
    poses: Float[Tensor, "*B T J 3"], target: Target
) -> tuple[Float[Tensor, "*B"], Float[Tensor, "*B T J 3"]]:
    """Energy of reprojection of each sample, and its derivative by the pose, the root held."""
    energy, gradient, _ = _summed(poses, target)
    return energy, gradient


def _summed(poses: Tensor, target: Target) -> tuple[Tensor, Tensor, Tensor]:
    """Energy (*B), gradient (*B, T, J, 3) and the largest curvature of a frame (*B, T), over all cameras."""
    root = root_for(poses, target) if target.root is None else target.root
    world = poses + root[..., None, :]
    parts = [_of_one_camera(world, target, v) for v in range(len(target.cameras))]
    energy, gradient, curvature = (torch.stack(part).sum(0) for part in zip(*parts, strict=True))
    return energy, gradient, curvature


def _of_one_camera(world: Tensor, target: Target, v: int) -> tuple[Tensor, Tensor, Tensor]:
    c, J = target.cameras, world.shape[-2]
    seen = world @ c.R[v].T + c.t[v]
    depth = seen[..., 2:].clamp_min(NEAREST)
    flat = c.focal[v] * seen[..., :2] / depth
    error = flat + c.centre[v] - target.keypoints[v]
    weighted = target.weights[v] * error
    energy = (weighted * error).mean((-1, -2)).sum(-1)
    by_picture = weighted / J  # two coordinates, and the square's factor two
    across = c.focal[v] * by_picture / depth
    along = -(flat * by_picture).sum(-1, keepdim=True) / depth
    steepness = (c.focal[v].square() + flat.square()).amax(-1) / depth[..., 0].square()
    curvature = (target.weights[v].amax(-1) * steepness).amax(-1) / J
    return (
        energy,
        torch.cat([across, along], -1) @ c.R[v],
        curvature.expand(energy.shape + curvature.shape[-1:]),
    )


def guided(
    poses: Float[Tensor, "B H T J 3"], target: Target, rate: float, steps: int
) -> Float[Tensor, "B H T J 3"]:
    """Descend along the energy.

    The rate is divided by ten whenever the mean energy of a clip's H samples has not fallen: the samples of a clip
    share it, as published; clips do not. The published rate is too large for people nearer than some 2.4 m, where the
    descent runs away: with an estimated root it is cut to what is stable in each frame. With a given root it is left.
    """
    step = poses.new_full((len(poses),), rate)
    best = torch.full_like(step, torch.inf)
    for _ in range(steps):
        energy, gradient, curvature = _summed(poses, target)
        mean = energy.mean(1)
        better = mean < best * (1 - THRESHOLD)
        best = torch.where(better, mean, best)
        smaller = FACTOR * step
        step = torch.where(better | (step - smaller <= SMALLEST), step, smaller)
        taken = step[:, None, None].expand_as(curvature)
        if target.root is None:
            taken = torch.minimum(taken, STABLE / curvature.clamp_min(1e-9))
        poses = poses - taken[..., None, None] * gradient
    return poses


# --------------------------------------------------------------------------------------------------- root


def root_for(poses: Float[Tensor, "*B T J 3"], target: Target) -> Float[Tensor, "*B T 3"]:
    """Where the root stands so that a pose meets its keypoints: linear least squares of x = u z, y = v z.

    One camera: at least `CLEARANCE` before it, whatever the pose. Several: in the cameras' world.
    """
    if len(target.cameras) == 1:
        return _before_one(poses, target)
    return _before_several(poses, target)


def _before_one(poses: Tensor, target: Target) -> Tensor:
    c = target.cameras
    seen = poses @ c.R[0].T
    rays = (target.keypoints[0] - c.centre[0]) / c.focal[0]
    weight = target.weights[0].mean(-1, keepdim=True)
    share = weight / weight.sum(-2, keepdim=True).clamp_min(1e-9)

    def mean(x: Tensor) -> Tensor:
        return (share * x).sum(-2)

    offset = seen[..., :2] - rays * seen[..., 2:]
    spread = rays - mean(rays)[..., None, :]
    moved = mean(spread * (offset - mean(offset)[..., None, :])).sum(-1)
    depth = moved / mean(spread.square()).sum(-1).clamp_min(1e-9)
    depth = torch.maximum(depth, CLEARANCE - seen[..., 2].amin(-1))
    across = mean(rays) * depth[..., None] - mean(offset)
    camera = torch.cat([across, depth[..., None]], -1)
    return (camera - c.t[0]) @ c.R[0]


def _before_several(poses: Tensor, target: Target) -> Tensor:
    """Normal equations of all cameras' rays, solved by cofactors, which graphs can hold."""
    c = target.cameras
    normal = right = torch.zeros_like(poses[..., 0, :1])
    for v in range(len(c)):
        rays = (target.keypoints[v] - c.centre[v]) / c.focal[v]
        rows = c.R[v, :2] - rays[..., None] * c.R[v, 2]
        free = c.t[v, :2] - rays * c.t[v, 2]
        left = target.weights[v][..., None] * rows
        residual = (rows * poses[..., None, :]).sum(-1) + free
        normal = normal + (left[..., :, None] * rows[..., None, :]).sum((-3, -4)).flatten(-2)
        right = right - (left * residual[..., None]).sum((-2, -3))
    a, b, d = normal.unflatten(-1, (3, 3)).unbind(-2)
    cofactors = torch.stack(
        [torch.linalg.cross(b, d), torch.linalg.cross(d, a), torch.linalg.cross(a, b)], -1
    )
    determinant = (a * cofactors[..., 0]).sum(-1, keepdim=True)
    return (cofactors @ right[..., None])[..., 0] / determinant.clamp_min(1e-12)
