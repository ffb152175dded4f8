"""Feet on the floor: soles that are never below it and, while they touch it, neither lift nor slide.

A few vertices of each sole stand for the foot. When a foot touches is told, or found from the fit itself: a vertex
touches where it is low and slow (hysteresis: clearly so to begin, a little less to go on; blips and holes removed).
Each touch is pinned to the floor where the vertex was on average, with a weight that eases in and out.

Convention: the floor is z = 0, Z up, metres.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from posewright.bodies.model import BodyModel
from posewright.core.errors import InputError
from posewright.fitting.points import BodyPoints, with_vertices
from posewright.fitting.terms import Posed

SOLE_POINTS = 8
"""Vertices per foot."""
SOLE_HEIGHT = 0.012
"""Metres above the lowest vertex of a foot at rest up to which a vertex belongs to the sole."""


@dataclass(frozen=True)
class FloorOptions:
    """What counts as touching, and how firmly feet stand."""

    sigma: float = 0.001
    """Metres by which a touching vertex may be off its pin, and any vertex below the floor."""
    move_sigma: float = 0.01
    """Metres by which the points of the body may move for its feet to stand."""
    stay_sigma: float = 0.05
    """Radians (metres for the translation) by which a pose may change for it."""
    start_height: float = 0.035
    """Metres: lower begins a touch."""
    end_height: float = 0.055
    start_speed: float = 0.25
    """Metres per second: slower begins a touch."""
    end_speed: float = 0.45
    span_s: float = 0.08
    """Seconds over which speeds are measured."""
    shortest_s: float = 0.10
    """Shorter touches are blips; shorter interruptions are closed."""
    ease_s: float = 0.10
    """Seconds over which a pin takes hold and lets go."""
    flat: float = 0.02
    """Metres above the lowest vertex of a foot that is told to touch: higher vertices do not."""


@dataclass(frozen=True)
class Soles:
    """Vertices that stand for both soles, spread out."""

    vertices: np.ndarray
    """(F,) indices."""
    feet: np.ndarray
    """(F,) 0 left, 1 right."""
    heights: np.ndarray
    """(F,) metres above the lowest vertex of the foot at rest: a sole is not flat."""


def soles(body: BodyModel, betas: Float[Tensor, " S"]) -> Soles:
    """Choose vertices of both soles.

    Raises:
        InputError: a body without ankles, such as a hand.
    """
    up = np.linalg.inv(body.upright.double().numpy())[:, 2]
    rest = body.rest_vertices(betas.to(body.template)).double().numpy()
    part = body.part_labels.numpy()
    vertices, feet, heights = [], [], []
    for foot, side in enumerate(("left", "right")):
        rule = body.points.get(f"{side}_ankle", ())
        if len(rule) != 1:
            raise InputError(f"body {body.name} has no feet to stand on; leave out the floor")
        rows = np.flatnonzero(np.isin(part, _below(body, body.joint_names.index(rule[0]))))
        height = rest[rows] @ up
        low = height < height.min() + SOLE_HEIGHT
        chosen = np.flatnonzero(low)[_spread(rest[rows[low]], SOLE_POINTS)]
        vertices += rows[chosen].tolist()
        heights += (height[chosen] - height.min()).tolist()
        feet += [foot] * len(chosen)
    return Soles(np.array(vertices), np.array(feet), np.array(heights))


def _below(body: BodyModel, joint: int) -> list[int]:
    """A joint and all joints that follow it."""
    found = [joint]
    for j, parent in enumerate(body.parents):  # parents come before children
        if parent in found:
            found.append(j)
    return found


def _spread(points: np.ndarray, count: int) -> np.ndarray:
    """Rows of points far from one another, the farthest from the middle first."""
    gap = np.linalg.norm(points - points.mean(0), axis=-1)
    rows = [int(gap.argmax())]
    gap = np.full(len(points), np.inf)
    for _ in range(min(count, len(points)) - 1):
        gap = np.minimum(gap, np.linalg.norm(points - points[rows[-1]], axis=-1))
        rows.append(int(gap.argmax()))
    return np.array(rows)


def touching(
    points: Float[np.ndarray, "T F 3"],
    feet: np.ndarray,
    fps: float,
    options: FloorOptions = FloorOptions(),
    contacts: Bool[np.ndarray, "T 2"] | None = None,
) -> Bool[np.ndarray, "T F"]:
    """Find when each vertex of the soles stands on the floor.

    Args:
        points: the vertices, metres; frames without gaps.
        feet: (F,) 0 left, 1 right.
        fps: frames per second.
        options: thresholds.
        contacts: when each foot touches, left and right; None: found from height and speed.
    """
    height = points[..., 2]
    if contacts is not None:
        lowest = np.stack([height[:, feet == foot].min(1) for foot in (0, 1)], 1)
        return contacts[:, feet] & (height < lowest[:, feet] + options.flat)
    speed = _speed(points, fps, options.span_s)
    start = (height < options.start_height) & (speed < options.start_speed)
    hold = (height < options.end_height) & (speed < options.end_speed)
    run = _runs(hold)
    held = hold & np.isin(run, np.unique(run[start & hold]))
    frames = np.ones((max(1, round(options.shortest_s * fps)), 1), bool)
    closed = ndimage.binary_closing(np.pad(held, ((len(frames),) * 2, (0, 0)), "edge"), frames)
    return ndimage.binary_opening(closed, frames)[len(frames) : -len(frames)]


_ALONG_TIME = np.array([[0, 1, 0], [0, 1, 0], [0, 1, 0]])
"""Neighbours of a frame: the ones before and after."""


def _runs(there: np.ndarray) -> np.ndarray:
    """Number the runs along the first axis from 1; 0 where there is none."""
    runs = np.zeros(there.shape, int)
    ndimage.label(there, _ALONG_TIME, output=runs)
    return runs


def _speed(points: np.ndarray, fps: float, span_s: float) -> np.ndarray:
    """Metres per second, over about `span_s`."""
    T = len(points)
    reach = max(1, round(span_s * fps / 2))
    before, after = np.clip(np.arange(T) - reach, 0, None), np.clip(np.arange(T) + reach, None, T - 1)
    moved = np.linalg.norm(points[after] - points[before], axis=-1)
    return moved * fps / np.maximum(after - before, 1)[:, None]


@dataclass(frozen=True)
class Standing:
    """Soles stay above the floor, and on their pins: the last F of the body's points."""

    pins: Float[Tensor, "N F 3"]
    """Metres; anything where the weight is 0."""
    weights: Float[Tensor, "N F"]
    """1 where a vertex touches, easing to 0."""
    sigma: float

    def rows(self, rows: Tensor) -> "Standing":
        return replace(self, pins=self.pins[rows], weights=self.weights[rows])

    def _residual(self, frames: Posed) -> tuple[Tensor, Tensor]:
        """Distance to pin (3) or floor (only z, where nothing is pinned), and what it weighs (N, F, 3)."""
        points = frames.points[:, -self.pins.shape[1] :]
        below = points[..., 2].clamp(max=0.0)
        weight = self.weights[..., None].expand_as(points).clone()
        gap = points - self.pins
        free = self.weights <= 0
        gap[..., 2] = torch.where(free, below, gap[..., 2])
        weight[..., 2] = torch.where(free | (below < 0), 1.0, weight[..., 2])
        return gap, weight / self.sigma**2

    def cost(self, frames: Posed) -> Tensor:
        gap, weight = self._residual(frames)
        return (weight * gap.square()).sum((-1, -2))

    def add(self, frames: Posed, H: Tensor, g: Tensor) -> None:
        gap, weight = self._residual(frames)
        weight[..., 2] = torch.where((self.weights <= 0) & (gap[..., 2] == 0), 0.0, weight[..., 2])
        J = frames.jacobian[:, -gap.shape[1] :].flatten(1, 2)
        WJ = weight.flatten(1)[..., None] * J
        H += WJ.mT @ J
        g += (WJ.mT @ gap.flatten(1)[..., None])[..., 0]


def standing(
    points: Float[np.ndarray, "T F 3"],
    touch: Bool[np.ndarray, "T F"],
    heights: Float[np.ndarray, " F"],
    fps: float,
    options: FloorOptions,
) -> Standing:
    """The term that keeps soles on the floor: each run of touching is pinned where the vertex was on average.

    Args:
        points: vertices of the soles, metres, world; NaN is missing.
        touch: when each touches.
        heights: metres above the floor at which each touches.
        fps: frames per second.
        options: easing and weight.
    """
    run = _runs(touch)
    count = int(run.max(initial=0))
    size = np.maximum(np.bincount(run.ravel(), minlength=count + 1), 1)
    middle = [np.bincount(run.ravel(), points[..., k].ravel(), count + 1) / size for k in (0, 1)]
    level = np.where(touch, heights, 0.0)
    pins = np.stack([*(np.where(touch, m[run], 0.0) for m in middle), level], -1)
    ease = max(1, round(options.ease_s * fps))
    weight = ndimage.uniform_filter1d(touch.astype(float), 2 * ease + 1, axis=0, mode="nearest")
    weight = np.where(touch, np.clip(2 * weight - 1, 0, 1) ** 2 + 1e-3, 0.0)
    return Standing(torch.from_numpy(pins), torch.from_numpy(weight), options.sigma)


def with_soles(
    body: BodyModel, betas: Float[Tensor, " S"], body_points: BodyPoints
) -> tuple[BodyPoints, Soles]:
    """Points of a body and, behind them, its soles."""
    found = soles(body, betas)
    return with_vertices(body_points, body, betas, found.vertices.tolist()), found
