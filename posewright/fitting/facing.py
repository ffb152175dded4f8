"""A first guess of a body's pose from one picture: every direction it could face, and the likeliest way through a clip.

The torso in the picture tells how the body is rolled, the keypoints' spread how far away it stands; which way it faces
is tried out. Every guess is then fitted, and of the fits the path is taken along which the keypoints are met and the
body moves little from frame to frame (A. Viterbi, 1967).
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from posewright.bodies.model import BodyModel
from posewright.fitting.pixels import SeenPixels
from posewright.fitting.points import BodyPoints
from posewright.fitting.pose import PoseOptions, pose_cost, solve_pose
from posewright.fitting.prior import shipped_prior
from posewright.fitting.terms import Term
from posewright.geometry.resection import root_translation
from posewright.geometry.rotations import rotvec_to_matrix
from posewright.skeletons.skeleton import Skeleton

FACING = 8
"""Directions that are tried."""
ITERATIONS = 6
SPEED = 2.0
"""Metres per second by which points move from frame to frame without costing more than a point's expected error."""
_TOP, _BOTTOM = ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")


def pose_from_picture(
    body: BodyModel,
    points: BodyPoints,
    pixels: SeenPixels,
    known: Sequence[Term],
    skeleton: Skeleton,
    fps: float,
    options: PoseOptions,
) -> tuple[Float[Tensor, "N A 3 3"], Float[Tensor, "N 3"]]:
    """Fit the pose in successive frames of one view, from nothing but the keypoints.

    Args:
        body: the body.
        points: its points, of one shape.
        pixels: one view.
        known: what is known of people (`anatomy.standing_terms`).
        skeleton: joint set of the points.
        fps: frames per second; the frames need not be complete, but in order.
        options: of the fit.
    """
    N, A = len(pixels.flat), len(points.active)
    usual = _usual_pose(body, points)
    locals_, places, costs = [], [], []
    for yaw in torch.linspace(0, 2 * math.pi, FACING + 1, dtype=torch.float64)[:-1]:
        local = usual.expand(N, A, 3, 3).clone()
        local[:, 0] = _facing(body, pixels, skeleton, yaw)
        start = local, _place(points, pixels, local)
        solved = solve_pose(points, (pixels, *known), start, replace(options, iterations=ITERATIONS))
        locals_.append(solved[0])
        places.append(solved[1])
        costs.append(pose_cost(points, (pixels, *known), *solved))
    where = [points(a, b) for a, b in zip(locals_, places, strict=True)]
    best = _path(torch.stack(costs, 1), torch.stack(where, 1), fps)
    frames = torch.arange(N)
    return torch.stack(locals_, 1)[frames, best], torch.stack(places, 1)[frames, best]


def _usual_pose(body: BodyModel, points: BodyPoints) -> Float[Tensor, "A 3 3"]:
    """The commonest pose that is known: the heaviest component of the prior, or the zero pose."""
    turn = torch.zeros(len(points.active), 3, dtype=torch.float64)
    if shipped_prior().fits(body, points):
        mixture = shipped_prior().mixture
        turn[1:] = mixture.means[mixture.weights.argmax()].unflatten(0, (-1, 3))
    return rotvec_to_matrix(turn)


def _facing(body: BodyModel, pixels: SeenPixels, skeleton: Skeleton, yaw: Tensor) -> Float[Tensor, "N 3 3"]:
    """Root rotation of a body whose torso lies along the one in the picture; yaw 0 faces the camera."""
    flat, sure = pixels.flat[:, 0], pixels.weights[:, 0] > 0
    ends = []
    for names in (_TOP, _BOTTOM):
        rows = [skeleton.index(n) for n in names if n in skeleton.joint_names]
        count = sure[:, rows].sum(-1, keepdim=True)
        middle = (flat[:, rows] * sure[:, rows, None]).sum(1) / count.clamp(min=1)
        ends.append(torch.where(count > 0, middle, torch.nan))
    along = ends[0] - ends[1]
    upright = torch.tensor([0.0, -1.0], dtype=flat.dtype)
    along = torch.where(torch.isfinite(along).all(-1, keepdim=True), along, upright)
    up = torch.nn.functional.normalize(torch.nn.functional.pad(along, (0, 1)), dim=-1)
    back = torch.tensor([0.0, 0.0, 1.0], dtype=flat.dtype).expand_as(up)
    axes = torch.stack([torch.linalg.cross(back, up, dim=-1), back, up], -1)
    turn = rotvec_to_matrix(torch.stack([yaw * 0, yaw * 0, yaw]))
    return pixels.R[:, 0].mT @ axes @ turn @ body.upright.to(flat)


def _place(points: BodyPoints, pixels: SeenPixels, local: Tensor) -> Float[Tensor, "N 3"]:
    """Translation with which posed points best meet the keypoints; 3 m before the camera where they do not tell."""
    still = local.new_zeros(len(local), 3)
    P = pixels.flat.shape[2]
    R, t = pixels.R[:, 0], pixels.t[:, 0]
    seen = points(local, still)[:, :P] @ R.mT
    ideal = torch.eye(3, dtype=local.dtype)
    found = root_translation(seen, pixels.flat[:, 0], ideal, pixels.weights[:, 0]).translation
    found = torch.where(torch.isfinite(found).all(-1, keepdim=True), found, found.new_tensor([0.0, 0.0, 3.0]))
    return ((found - t)[:, None] @ R)[:, 0]


def _path(cost: Float[Tensor, "N K"], points: Float[Tensor, "N K P 3"], fps: float) -> Tensor:
    """The choice (N,) of least total cost; changing costs by how far the points move."""
    moved = (points[1:, None] - points[:-1, :, None]).square().sum((-1, -2)) / (SPEED / fps) ** 2
    step, total = moved.numpy(), cost[0].numpy()
    came = np.zeros((len(step), cost.shape[1]), int)
    for n, more in enumerate(cost[1:].numpy()):  # one K x K table per frame: nothing beside the fits
        way = total[:, None] + step[n]
        came[n] = way.argmin(0)
        total = way.min(0) + more
    best = [int(total.argmin())]
    for row in came[::-1]:
        best.append(int(row[best[-1]]))
    return torch.tensor(best[::-1])
