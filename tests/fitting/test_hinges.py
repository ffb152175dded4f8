"""Knees and elbows bend one way."""

import math

import numpy as np
import torch

from posewright.fitting.body import FitOptions, fit_body
from posewright.fitting.hinges import MARGIN, hinge_limits, hinges, unrolled
from posewright.fitting.points import active_joints, body_points
from posewright.fitting.pose import PoseOptions
from posewright.fitting.terms import posed
from posewright.geometry.rotations import rotvec_to_matrix
from posewright.skeletons.joint_sets import get
from tests.fitting.conftest import FPS


def parts(clip):
    points = body_points(clip.body, clip.params.betas, "body_24")
    known = hinges(clip.body, points)
    assert known is not None
    return points, known


def local_of(clip, params):
    every = torch.cat([params.global_orient[:, None], params.body_pose], 1).double()
    return every[:, list(active_joints(clip.body))]


def test_convention_walking_knees_and_elbows_bend_forwards(clip):
    _, known = parts(clip)
    assert known.names == ("left_knee", "left_elbow", "right_knee", "right_elbow")
    angles = known.angles(local_of(clip, clip.params))
    assert angles.min() > 0
    assert angles.max() < math.radians(120)
    assert (known.axis[0] * torch.tensor([1.0, 0.0, 0.0])).sum() > 0.95, "knees turn about left-right"


def test_law_a_turn_about_the_axis_is_the_bend(clip):
    points, known = parts(clip)
    local = torch.eye(3).double().expand(1, len(points.active), 3, 3).clone()
    local[0, list(known.rows)] = rotvec_to_matrix(0.6 * known.axis)
    torch.testing.assert_close(known.angles(local)[0], 0.6 - known.straight)


def test_law_unrolling_moves_no_point_and_puts_the_bend_on_the_axis(clip):
    points, known = parts(clip)
    torch.manual_seed(0)
    N, A = 6, len(points.active)
    local = rotvec_to_matrix(0.5 * torch.randn(N, A, 3).double())
    turned = unrolled(known, local)
    still = torch.zeros(N, 3).double()
    torch.testing.assert_close(points(turned, still), points(local, still), atol=1e-6, rtol=0)
    lower = (turned[:, list(known.rows)] @ known.lower[..., None])[..., 0]
    bend = known.angles(turned)
    clear = bend > math.radians(30)
    assert clear.any()
    assert (lower * known.axis).sum(-1)[clear].abs().max() < 1e-6


def test_law_derivative_is_that_of_the_cost(clip):
    points, known = parts(clip)
    torch.manual_seed(1)
    N, A = 4, len(points.active)
    term = hinge_limits(known, A, 0.03, 0.2)
    local, still = rotvec_to_matrix(0.7 * torch.randn(N, A, 3).double()), torch.zeros(N, 3).double()
    H, g = torch.zeros(N, 3 + 3 * A, 3 + 3 * A).double(), torch.zeros(N, 3 + 3 * A).double()
    term.add(posed(points, local, still), H, g)
    for column in range(3, 3 + 3 * A):
        w = torch.zeros(N, A, 3).double()
        w.view(N, -1)[:, column - 3] = 1e-6
        a, b = (term.cost(posed(points, local @ rotvec_to_matrix(s * w), still)) for s in (1.0, -1.0))
        torch.testing.assert_close((a - b) / 4e-6, g[:, column], atol=2e-3, rtol=1e-5)


def test_joints_that_bend_a_knee_backwards_are_not_followed(clip):
    joint = get("body_24").index
    wrong = clip.joints.copy()
    hip, knee = wrong[:, joint("left_hip")], wrong[:, joint("left_knee")]
    thigh = knee - hip
    forward = np.cross(wrong[:, joint("left_hip")] - wrong[:, joint("right_hip")], [0.0, 0.0, 1.0])
    forward *= -1 / np.linalg.norm(forward, axis=-1, keepdims=True)
    if (forward * (wrong[:, joint("left_toe")] - wrong[:, joint("left_heel")])).sum() < 0:
        forward *= -1
    for name in ("left_ankle", "left_heel", "left_toe"):
        length = np.linalg.norm(wrong[:, joint(name)] - knee, axis=-1, keepdims=True)
        wrong[:, joint(name)] = knee + 0.8 * thigh * length / 0.4 + 0.5 * length * forward
    _, known = parts(clip)
    confidence = np.ones(wrong.shape[:2])
    least = []
    for limits in (False, True):
        options = FitOptions(pose=PoseOptions(limits=limits))
        fit = fit_body(clip.body, wrong, confidence, "body_24", FPS, options, clip.params.betas)
        bend = known.angles(local_of(clip, fit.params))[:, known.names.index("left_knee")]
        least.append(float(bend.min()))
    assert least[0] < -math.radians(12), "without limits the knee follows"
    assert least[1] > -MARGIN - math.radians(6)
