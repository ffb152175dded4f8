"""The learned prior: what ships, its derivative, what it is good for, and whom it is about."""

import hashlib

import numpy as np
import torch

import posewright as pw
from posewright.fitting.anatomy import standing_terms
from posewright.fitting.body import FitOptions, fit_body
from posewright.fitting.points import body_points
from posewright.fitting.pose import PoseOptions
from posewright.fitting.prior import FILE, WEIGHTS, LikelyPose, shipped_prior
from posewright.fitting.terms import Habits, posed
from posewright.geometry.rotations import rotvec_to_matrix
from posewright.skeletons.joint_sets import get
from tests.fitting.conftest import FPS

LIKELY = FitOptions(pose=PoseOptions(prior=0.3))


def test_shipped_file_is_small_and_the_one_on_the_card():
    assert FILE.stat().st_size < 300_000
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == WEIGHTS["anny"].sha256


def test_convention_names_are_those_of_anny(anny_low):
    points = body_points(anny_low, anny_low.rest_params().betas, "body_24")
    assert shipped_prior().fits(anny_low, points)
    bare = pw.load_body("anny", topology="low_1229", zero_pose="rest")
    assert not shipped_prior().fits(bare, body_points(bare, bare.rest_params().betas, "body_24"))
    terms = standing_terms(bare, points, LIKELY.pose)
    assert isinstance(terms[0], Habits), "bodies it is not about get habits"


def test_law_prior_cares_little_about_sides():
    names, mixture = shipped_prior().joint_names, shipped_prior().mixture
    other = [names.index(n[:-1] + {"L": "R", "R": "L"}.get(n[-1], n[-1])) for n in names]
    x = mixture.means.unflatten(1, (-1, 3))
    mirrored = (x[:, other] * torch.tensor([1.0, -1.0, -1.0])).flatten(1)
    near, far = mixture.log_density(mirrored), mixture.log_density(torch.full_like(mirrored, 0.5))
    assert (near > far + 50).all(), "the mirror image of a likely pose is likely"


def test_law_derivative_is_that_of_the_cost(clip):
    points = body_points(clip.body, clip.params.betas, "body_24")
    N, A = 3, len(points.active)
    torch.manual_seed(0)
    local, transl = rotvec_to_matrix(0.3 * torch.randn(N, A, 3).double()), torch.zeros(N, 3).double()
    term, frames = LikelyPose(shipped_prior().mixture, 0.7), posed(points, local, transl)
    C = 3 + 3 * A
    H, g = torch.zeros(N, C, C).double(), torch.zeros(N, C).double()
    term.add(frames, H, g)
    for column in range(3, C, 7):
        change = torch.zeros(N, C).double()
        change[:, column] = 1e-6
        costs = [
            term.cost(posed(points, local @ rotvec_to_matrix(s * change[:, 3:].unflatten(1, (A, 3))), transl))
            for s in (1.0, -1.0)
        ]
        torch.testing.assert_close((costs[0] - costs[1]) / 4e-6, g[:, column], atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(H, H.mT)


def test_a_leg_that_nobody_saw_is_where_legs_are(clip):
    names = get("body_24").joint_names
    leg = [names.index(f"left_{n}") for n in ("knee", "ankle", "heel", "toe")]
    confidence = np.ones(clip.joints.shape[:2])
    confidence[:, leg] = 0
    errors = [
        clip.errors_mm(fit_body(clip.body, clip.joints, confidence, "body_24", FPS, o).params)
        for o in (FitOptions(pose=PoseOptions(prior=0.0)), FitOptions())
    ]
    assert errors[1][:, leg].mean() < 0.7 * errors[0][:, leg].mean()
    seen = np.delete(errors[1], leg, axis=1)
    assert seen.mean() < 10


def test_clean_joints_are_still_met(clip):
    params = fit_body(clip.body, clip.joints, np.ones(clip.joints.shape[:2]), "body_24", FPS, LIKELY).params
    assert clip.errors_mm(params).mean() < 5
