"""Bodies fitted to joints: recorded poses on random shapes come back, from clean and from poor joints."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import posewright as pw
from posewright.bodies import anny
from posewright.core.assets import cache_folder
from posewright.datasets.anatomy import with_anatomy
from posewright.datasets.mocap import load_mocap
from posewright.fitting.body import fit_body
from posewright.fitting.points import body_points
from posewright.geometry.rotations import rotvec_to_matrix
from posewright.skeletons.joint_sets import get

pytestmark = pytest.mark.skipif(
    not (cache_folder() / anny.FILE).is_file(),
    reason="the Anny body is not in the cache; load it once to make it",
)
FPS = 50.0


@pytest.fixture(scope="module")
def body():
    return pw.load_body("anny", topology="low_1229")


@pytest.fixture(scope="module")
def truth(body, shared_data):
    """Recorded poses of val on a random shape: parameters and joints (T, 24, 3)."""
    take = next(t for t in load_mocap("val", shared_data / "mocap") if "jog" in t.description)
    joints = torch.from_numpy(np.asarray(take.joints[:40], np.float64))
    still = torch.zeros(len(joints), dtype=torch.float64)
    points = with_anatomy(joints, still, still).numpy()[:, :24]
    posed = fit_body(body, points, np.ones(points.shape[:2]), "body_24", FPS).params
    params = replace(posed, betas=torch.tensor([0.35, 0.7, 0.4, 0.6, 0.35, 0.6]))
    return params, body.joints(body(params), "body_24").numpy()


def error_mm(body, fit, joints, joint_set="body_24"):
    found = body.joints(body(fit.params), joint_set).numpy()
    return 1000 * np.linalg.norm(found - joints, axis=-1)


def test_law_points_are_those_of_the_body_and_the_jacobian_is_their_derivative(body):
    torch.manual_seed(0)
    betas = torch.tensor([0.3, 0.8, 0.4, 0.7, 0.2, 0.6])
    points = body_points(body, betas, "halpe_26")
    N, A = 3, len(points.active)
    local, transl = rotvec_to_matrix(0.4 * torch.randn(N, A, 3).double()), torch.randn(N, 3).double()
    pose = points.every(local).float()
    params = replace(
        body.rest_params(N),
        betas=betas,
        global_orient=pose[:, 0],
        body_pose=pose[:, 1:],
        transl=transl.float(),
    )
    torch.testing.assert_close(
        points(local, transl).float(), body.joints(body(params), "halpe_26"), atol=2e-5, rtol=0
    )
    placed, terms, joints, rotations = points.posed(local, transl)
    analytic = points.jacobian(terms, joints, rotations)
    step = 1e-6
    for column in range(3 + 3 * A):
        change = torch.zeros(N, 3 + 3 * A, dtype=torch.float64)
        change[:, column] = step
        turned = local @ rotvec_to_matrix(change[:, 3:].reshape(N, A, 3))
        numeric = (points(turned, transl + change[:, :3]) - placed) / step
        torch.testing.assert_close(analytic[..., column], numeric, atol=1e-5, rtol=0)


def test_clean_joints_come_back_within_5_mm(body, truth):
    params, joints = truth
    fit = fit_body(body, joints, np.ones(joints.shape[:2]), "body_24", FPS)
    assert error_mm(body, fit, joints).mean() < 5
    assert abs(float(fit.params.betas[4] - params.betas[4])) < 0.1, "the height is found"


def test_noise_of_10_mm_and_a_fifth_missing_stay_within_15_mm(body, truth):
    _, joints = truth
    rng = np.random.default_rng(1)
    noisy = joints + rng.normal(0, 0.01, joints.shape)
    there = rng.random(joints.shape[:2]) > 0.2
    noisy[~there] = np.nan
    fit = fit_body(body, noisy, there.astype(float), "body_24", FPS)
    assert error_mm(body, fit, joints).mean() < 15
    turn = fit.params.body_pose[1:].mT @ fit.params.body_pose[:-1]
    angle = torch.arccos(((turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1))
    assert float(angle.max()) < 0.5, "rotations go on without jumps"


def test_law_bones_keep_their_length(body, truth):
    _, joints = truth
    fit = fit_body(
        body,
        joints + np.random.default_rng(2).normal(0, 0.02, joints.shape),
        np.ones(joints.shape[:2]),
        "body_24",
        FPS,
    )
    found = body.joints(body(fit.params), "body_24")
    thigh = (found[:, get("body_24").index("left_knee")] - found[:, get("body_24").index("left_hip")]).norm(
        dim=-1
    )
    assert float(thigh.max() - thigh.min()) < 1e-5


@pytest.mark.parametrize("joint_set", ["coco_17", "h36m_17", "halpe_26"])
def test_contract_other_joint_sets(body, truth, joint_set):
    params, _ = truth
    joints = body.joints(body(params.map(lambda x: x[:10] if len(x) == 40 else x)), joint_set).numpy()
    fit = fit_body(body, joints, np.ones(joints.shape[:2]), joint_set, FPS)
    assert np.nanmean(error_mm(body, fit, joints, joint_set)) < 15


def test_missing_frames_are_bridged_if_few_and_missing_if_many(body, truth):
    _, joints = truth
    confidence = np.ones(joints.shape[:2])
    confidence[5:8], confidence[30:] = 0, 0
    fit = fit_body(body, joints, confidence, "body_24", FPS)
    assert fit.present()[:30].all()
    assert not fit.present()[30:].any()
    assert error_mm(body, fit, joints)[5:8].mean() < 30
    assert torch.isnan(fit.params.body_pose[30:]).all()


def test_nan_with_confidence_is_missing_and_nobody_is_said(body, truth):
    _, joints = truth
    lost = fit_body(body, np.full_like(joints, np.nan), np.ones(joints.shape[:2]), "body_24", FPS)
    assert not lost.present().any()
    assert "nobody" in lost.remarks[0]


def test_joints_out_of_reach_degrade_the_fit_and_are_said(body, truth):
    _, joints = truth
    far = joints.copy()
    far[:, get("body_24").index("left_wrist")] += [0.0, 0.0, 0.6]
    fit = fit_body(body, far, np.ones(joints.shape[:2]), "body_24", FPS)
    assert "left wrist" in fit.remarks[0]
    legs = [get("body_24").index(n) for n in ("left_knee", "right_knee", "left_ankle", "right_ankle")]
    assert error_mm(body, fit, joints)[:, legs].mean() < 20


def test_wrong_shapes_are_refused(body):
    with pytest.raises(ValueError, match=r"expected \(T, 24, 3\)"):
        fit_body(body, np.zeros((5, 17, 3)), np.ones((5, 17)), "body_24", FPS)
