"""How sure the default lifter is: covariance and samples of a clip's joints, from `models.lifting.raylift_errors`.

`track_errors` runs the error model beside the lifter, for one person; the result gives the Gaussian of any piece of the
clip, and samples of the whole motion: one draw of smooth noise per sample, so that a sample moves as errors do. What a
draw is follows from (seed, person, sample) alone: more samples leave the first ones as they are.

Convention: deviations are truth minus estimate in camera axes, metres, for a person of the size that the lifter gave
(a person 5 % taller is also 5 % farther away: that is not in here). Joints of `BODY_26` relative to the pelvis, then,
as the 27th, the pelvis itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

from posewright.core.errors import InputError
from posewright.geometry.smooth_noise import Correlation, SmoothNoise
from posewright.models.lifting import raylift, raylift_errors
from posewright.pipelines.frame_rate import from_rate, to_rate
from posewright.skeletons.convert import conversion
from posewright.skeletons.joint_sets import BODY_26
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.keypoints import Keypoints3D

ROOT = len(BODY_26)
"""Place of the pelvis' own error among the 27."""
BLOCK = 1024
"""Frames worked on at once."""
KEPT_BLOCKS = 8
"""Longer clips have their covariances worked out again for each sample, so that memory does not grow with them."""
MAX_SAMPLES = 1000


@lru_cache(maxsize=1)
def default_errors() -> raylift_errors.Model:
    """Return the error model with its weights."""
    return raylift_errors.load()


def checked_samples(samples: int, what: str = "samples") -> int:
    """Return the number of samples.

    Raises:
        InputError: not a whole number from 1 to `MAX_SAMPLES`.
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or not 1 <= samples <= MAX_SAMPLES:
        raise InputError(
            f"{what} is {samples!r}, expected a whole number from 1 to {MAX_SAMPLES}; leave it out for the estimate "
            "alone"
        )
    return samples


def require_errors(lifter: object) -> raylift.Model:
    """Return the lifter if there is a model of its error.

    Raises:
        InputError: it is another one.
    """
    if not isinstance(lifter, raylift.Model):
        raise InputError(
            f"samples: {getattr(lifter, 'name', type(lifter).__name__)} has no model of its own error, only "
            "lifting/raylift, the default, has one: leave the lifter out, or the samples"
        )
    return lifter


@dataclass(frozen=True)
class Gaussians:
    """Covariances of n frames: the 27 deviations are `factor @ z + own @ w` of standard normal z (K) and w (27, 3)."""

    factor: np.ndarray
    """(n, 27, 3, K) float32."""
    own: np.ndarray
    """(n, 27, 3, 3) float32."""

    def draw(self, normal: np.ndarray) -> np.ndarray:
        """Deviations (n, 27, 3) of standard normal numbers (n, K + 81)."""
        rank = self.factor.shape[-1]
        shared = (self.factor @ normal[:, None, :rank, None])[..., 0]
        return shared + (self.own @ normal[:, rank:].reshape(len(normal), -1, 3, 1))[..., 0]

    def covariance(self, matrix: np.ndarray) -> np.ndarray:
        """Covariance (n, J, 3, 3) of joints that are weighted sums of the 27.

        Args:
            matrix: (J, 27).
        """
        n, _, _, rank = self.factor.shape
        shared = np.matmul(matrix.astype(np.float32), self.factor.reshape(n, ROOT + 1, -1))
        shared = shared.reshape(n, -1, 3, rank)
        apart = self.own @ self.own.swapaxes(-1, -2)
        alone = np.matmul((matrix**2).astype(np.float32), apart.reshape(n, ROOT + 1, 9))
        return shared @ shared.swapaxes(-1, -2) + alone.reshape(n, -1, 3, 3)


@dataclass(frozen=True)
class TrackErrors:
    """The error model of one person over a clip; light until a piece of it is asked for."""

    model: raylift_errors.Model
    features: np.ndarray
    """(T, G) float32: what the network reads."""
    centre: np.ndarray
    """(T, 2) float32: ray through the person."""
    root: np.ndarray
    """(T, 3) float32, metres: where the pelvis was put."""
    fps: float
    scale: np.ndarray | None = None
    """(27,) factors on the deviations, for keypoints that err otherwise than in training; None: all 1."""

    def __len__(self) -> int:
        return len(self.features)

    @property
    def correlation(self) -> Correlation:
        """How errors are correlated over time."""
        weights = self.model.weights.numpy().astype(float)
        kept = weights > 0
        share = weights[kept] / weights[kept].sum()
        return Correlation(tuple(self.model.lengths.numpy()[kept].tolist()), tuple(share.tolist()))

    @torch.inference_mode()
    def gaussians(self, part: slice) -> Gaussians:
        """Covariances of a piece of the clip."""
        factor, diagonal = self.model(torch.from_numpy(self.features[part]))
        axes = raylift.rotation_to_axis(torch.from_numpy(self.centre[part])).numpy()
        n, K = len(factor), factor.shape[-1]
        F = np.concatenate([np.zeros((n, 1, 3, K), np.float32), factor.numpy().reshape(n, -1, 3, K)], axis=1)
        sigma = diagonal.sqrt().numpy().reshape(n, -1, 3)
        sigma = np.concatenate([np.zeros((n, 1, 3), np.float32), sigma], axis=1)
        if self.scale is not None:
            F, sigma = F * self.scale[:, None, None], sigma * self.scale[:, None]
        turn = np.repeat(axes.swapaxes(-1, -2)[:, None], ROOT + 1, axis=1)
        turn[:, ROOT, :, 2] = self.root[part]
        return Gaussians((turn @ F).astype(np.float32), (turn * sigma[:, :, None]).astype(np.float32))

    def blocks(self) -> Iterator[slice]:
        """Pieces of `BLOCK` frames."""
        for start in range(0, len(self), BLOCK):
            yield slice(start, min(start + BLOCK, len(self)))

    def noise(self, seed: int, person: int, sample: int) -> SmoothNoise:
        """The functions of time that one sample is made of."""
        generator = np.random.default_rng((seed, person, sample))
        channels = self.model.config.rank + 3 * (ROOT + 1)
        return SmoothNoise(self.correlation, (0.0, (len(self) - 1) / self.fps), channels, generator)

    def samples(self, matrix: np.ndarray, seed: int, person: int, count: int) -> np.ndarray:
        """Deviations (count, T, J, 3) float16 of joints that are weighted sums (J, 27) of the 27."""
        out = np.empty((count, len(self), len(matrix), 3), np.float16)
        parts = list(self.blocks())
        kept = [self.gaussians(part) for part in parts] if len(parts) <= KEPT_BLOCKS else None
        for s in range(count):
            noise = self.noise(seed, person, s)
            for i, part in enumerate(parts):
                gaussians = kept[i] if kept else self.gaussians(part)
                times = np.arange(part.start, part.stop) / self.fps
                out[s, part] = np.matmul(matrix.astype(np.float32), gaussians.draw(noise.at(times)))
        return out


def track_errors(
    lifter: raylift.Model,
    rays: np.ndarray,
    confidence: np.ndarray,
    points: np.ndarray,
    fps: float,
    focal_known: bool,
    model: raylift_errors.Model | None = None,
) -> TrackErrors:
    """Run the error model over one person's track.

    Args:
        lifter: the default lifter.
        rays: (T, 26, 2), x/z and y/z of the keypoints (`pipelines.lift.keypoint_rays`).
        confidence: (T, 26), 0 = missing.
        points: (T, 26, 3) what the lifter said, relative to the pelvis.
        fps: frames per second.
        focal_known: whether the rays come from the true focal length.
        model: None: the one that ships.
    """
    rate = raylift.FRAMES_PER_SECOND
    rays50, confidence50 = (torch.from_numpy(a)[None] for a in to_rate(rays, confidence, fps, rate))
    known = torch.tensor([float(focal_known)])
    with torch.inference_mode():
        device = next(lifter.parameters()).device
        axes = raylift_errors.person_axes(lifter, rays50.to(device), confidence50.to(device))
        centre, size = (a.cpu() for a in axes)
        seen = raylift_errors.seen_by(rays50, confidence50, centre, size, known)
        seen, centre = (
            torch.from_numpy(
                from_rate(a[0].numpy()[:, None], len(rays), fps, rate)[None, :, 0].astype(np.float32)
            )
            for a in (seen, centre)
        )
        own, joints, sure = (torch.from_numpy(a)[None] for a in (rays, points, confidence))
        root = raylift_errors.root_of(joints, own, sure)
        features = raylift_errors.features_of(seen, joints, own, sure, centre, root, fps)
    return TrackErrors(
        model or default_errors(), features[0].numpy(), centre[0].numpy(), _bridged(root[0].numpy()), fps
    )


def _bridged(root: np.ndarray) -> np.ndarray:
    """Places (T, 3) where missing ones lie on the straight line between their neighbours; 4 m away if all are."""
    known = np.isfinite(root).all(-1)
    if not known.any():
        return np.tile(np.array([0.0, 0.0, 4.0], np.float32), (len(root), 1))
    frames = np.arange(len(root))
    return np.stack([np.interp(frames, frames[known], x[known]) for x in root.T], axis=-1).astype(np.float32)


def people_errors(
    lifter: raylift.Model,
    rays: np.ndarray,
    confidence: np.ndarray,
    points: np.ndarray,
    fps: float,
    focal_known: bool,
    model: raylift_errors.Model | None = None,
    scale: np.ndarray | None = None,
) -> list[tuple[slice, TrackErrors] | None]:
    """As `track_errors` for everybody (T, P, ...): the frames from first to last seen, and the errors there.

    `scale` (27,): see `TrackErrors`.
    """
    found: list[tuple[slice, TrackErrors] | None] = []
    for p in range(points.shape[1]):
        there = np.flatnonzero(np.isfinite(points[:, p]).all((-1, -2)))
        if not len(there):
            found.append(None)
            continue
        part = slice(int(there[0]), int(there[-1]) + 1)
        track = (rays[part, p], confidence[part, p], _bridged_points(points[part, p]))
        errors = track_errors(lifter, *track, fps, focal_known, model)
        found.append((part, replace(errors, scale=scale)))
    return found


def joint_matrix(target: Skeleton, absolute: bool) -> np.ndarray:
    """(J, 27): joints of a set as weighted sums of the 27 deviations; `absolute` adds that of the pelvis' place."""
    rows = conversion(BODY_26, target).matrix
    place = rows.sum(1, keepdims=True) if absolute else np.zeros((len(rows), 1))
    return np.concatenate([rows, place], axis=1)


def with_uncertainty(
    lifted: Keypoints3D, found: tuple[slice, TrackErrors] | None, count: int, seed: int
) -> Keypoints3D:
    """Add samples and covariances to one person's lifted joints (T, J, 3); NaN where the joints are."""
    shape = lifted.positions.shape
    samples = np.full((count, *shape), np.nan, np.float32)
    place, pose = (np.full((*shape, 3), np.nan, np.float32) for _ in range(2))
    if found is not None:
        part, errors = found
        absolute, relative = (joint_matrix(lifted.skeleton, flag) for flag in (True, False))
        samples[:, part] = lifted.positions[part] + errors.samples(absolute, seed, 0, count)
        for block in errors.blocks():
            gaussians, there = (
                errors.gaussians(block),
                slice(part.start + block.start, part.start + block.stop),
            )
            place[there], pose[there] = gaussians.covariance(absolute), gaussians.covariance(relative)
        missing = ~np.isfinite(lifted.positions).all(-1)
        place[missing], pose[missing] = np.nan, np.nan
    return replace(lifted, samples=samples, covariance=place, pose_covariance=pose)


def _bridged_points(points: np.ndarray) -> np.ndarray:
    """Points (T, 26, 3) with missing frames filled by those before them."""
    known = np.isfinite(points).all((-1, -2))
    last = np.maximum.accumulate(np.where(known, np.arange(len(points)), 0))
    return points[last]
