"""Feet on the floor: when they touch, that they neither slide nor sink."""

import numpy as np
import pytest
import torch

import posewright as pw
from posewright.core.errors import InputError
from posewright.fitting.body import FitOptions, fit_body
from posewright.fitting.floor import FloorOptions, Standing, soles, touching, with_soles
from posewright.fitting.points import body_points
from posewright.geometry.rotations import rotvec_to_matrix
from posewright.metrics.feet import foot_skating
from tests.bodies.made_bodies import arrays
from tests.fitting.conftest import FPS
from tests.fitting.derivatives import check_derivative


def test_law_soles_are_the_vertices_they_are_taken_from(clip):
    sole = soles(clip.body, clip.params.betas)
    vertices, feet = sole.vertices, sole.feet
    assert sorted(feet.tolist()) == [0] * 8 + [1] * 8
    points, _ = with_soles(clip.body, clip.params.betas, body_points(clip.body, clip.params.betas, "body_24"))
    every = torch.cat([clip.params.global_orient[:, None], clip.params.body_pose], 1).double()
    placed = points(every[:, list(points.active)], clip.params.transl.double())
    mesh = clip.body(clip.params).vertices
    torch.testing.assert_close(placed[:, 24:].float(), mesh[:, vertices], atol=2e-5, rtol=0)
    left = mesh[:, vertices[feet == 0]].mean(1) - mesh[:, vertices[feet == 1]].mean(1)
    toward = clip.joints[:, 6] - clip.joints[:, 1]
    assert (left.numpy() * toward).sum(-1).mean() > 0, "0 is the left foot"


def test_touches_are_low_and_slow_and_no_blips():
    T = 60
    points = np.zeros((T, 4, 3))
    points[:, 1, 2] = 0.2  # high
    points[:, 2, 0] = np.arange(T) * 0.05  # fast: 2.5 m/s
    points[:, 3, 2] = np.where((np.arange(T) > 30) & (np.arange(T) < 33), 0.0, 0.2)  # for 0.04 s
    touch = touching(points, np.array([0, 0, 1, 1]), FPS)
    assert touch[:, 0].all()
    assert not touch[:, 1:].any()
    told = np.zeros((T, 2), bool)
    told[10:20, 1] = True
    touch = touching(points, np.array([0, 0, 1, 1]), FPS, contacts=told)
    assert touch[10:20, 2].all()
    assert not touch[:10].any()
    assert not touch[:, :2].any()


def test_law_derivative_is_that_of_the_cost(clip):
    points, sole = with_soles(
        clip.body, clip.params.betas, body_points(clip.body, clip.params.betas, "body_24")
    )
    torch.manual_seed(0)
    N, A, F = 2, len(points.active), len(sole.feet)
    weights = (torch.rand(N, F) > 0.5).double() * 0.7
    term = Standing(torch.randn(N, F, 3).double() * torch.tensor([1.0, 1.0, 0.0]), weights, 0.05)
    local, transl = rotvec_to_matrix(0.2 * torch.randn(N, A, 3).double()), torch.zeros(N, 3).double()
    transl[0, 2], transl[1, 2] = 0.7, 0.85  # some soles below the floor, some above
    check_derivative(term, points, local, transl, every=5)


@pytest.mark.parametrize("told", [False, True])
def test_noisy_feet_slide_and_sink_less_on_the_floor(clip, told):
    sole = soles(clip.body, clip.params.betas)
    vertices, feet = sole.vertices, sole.feet
    true = clip.body(clip.params).vertices[:, vertices].double().numpy()
    touch = touching(true, feet, FPS)
    contacts = np.stack([touch[:, feet == f].any(1) for f in (0, 1)], 1)
    noisy = clip.joints + np.random.default_rng(0).normal(0, 0.01, clip.joints.shape)
    noisy[..., 2] -= 0.01
    found = []
    for floor in (None, FloorOptions()):
        fit = fit_body(
            clip.body,
            noisy,
            np.ones(noisy.shape[:2]),
            "body_24",
            FPS,
            FitOptions(floor=floor),
            contacts=contacts if told else None,
        )
        points = clip.body(fit.params).vertices[:, vertices]
        deep = float((points[..., 2] < -0.003).float().mean())
        found.append((foot_skating(points, touch, FPS), deep))
        assert clip.errors_mm(fit.params).mean() < 30
    assert found[1][0] < 0.6 * found[0][0]
    assert found[1][1] < 0.5 * found[0][1], "share of soles more than 3 mm below the floor"


def test_wrong_contacts_and_bodies_without_feet_are_refused(clip, tmp_path):
    ones = np.ones(clip.joints.shape[:2])
    with pytest.raises(ValueError, match="left and right foot"):
        fit_body(clip.body, clip.joints, ones, "body_24", FPS, contacts=np.ones((3, 2), bool))
    np.savez(tmp_path / "MANO_LEFT.npz", **arrays("mano"))
    hand = pw.load_body(tmp_path / "MANO_LEFT.npz")
    with pytest.raises(InputError, match="no feet"):
        soles(hand, hand.rest_params().betas)
