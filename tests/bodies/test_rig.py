"""Bodies with four joints per vertex: as close to the body as four joints can be."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import posewright as pw
from posewright.bodies import anny
from posewright.bodies.model import BodyModel
from posewright.bodies.rig import body_rig, clip_params
from posewright.core.assets import cache_folder
from posewright.geometry.rotations import rotvec_to_quat_wxyz
from posewright.structures.motion_bodies import MotionBodies

needs_file = pytest.mark.skipif(
    not (cache_folder() / anny.FILE).is_file(),
    reason="the Anny body is not in the cache; load it once to make it",
)
TURNING = ("root", "spine03", "upperarm01.L", "upperarm01.R", "upperleg01.L", "lowerleg01.L", "neck02")


@pytest.fixture(scope="module")
def low():
    return pw.load_body("anny", topology="low_1229")


@pytest.fixture(scope="module")
def bodies():
    """Two people who turn seven joints; the second is missing in the first frames."""
    rng = np.random.default_rng(0)
    turns = rng.normal(0, 0.35, (30, 2, len(TURNING), 3))
    quats = rotvec_to_quat_wxyz(torch.from_numpy(turns)).numpy().astype(np.float32)
    transl = rng.normal(0, 1, (30, 2, 3)).astype(np.float32)
    transl[:4, 1] = np.nan
    betas = rng.uniform(0.3, 0.7, (2, 6)).astype(np.float32)
    names = ("gender", "age", "muscle", "weight", "height", "proportions")
    return MotionBodies("anny", names, TURNING, betas, quats, transl)


def skinned(rig, mesh):
    """The rig's vertices (T, V, 3) where the joints are as in a mesh of the body."""
    frame = np.zeros((*mesh.joints.shape[:2], 4, 4))
    frame[..., :3, :3], frame[..., :3, 3], frame[..., 3, 3] = mesh.rotations, mesh.joints, 1
    matrices = (frame @ rig.bind)[:, rig.skin_joints]
    blended = np.einsum("vk,tvkij->tvij", rig.skin_weights.astype(float), matrices)
    return np.einsum("tvij,vj->tvi", blended[..., :3, :3], rig.vertices) + blended[..., :3, 3]


@needs_file
def test_law_vertices_of_up_to_four_joints_are_exactly_the_bodys(low, bodies):
    frames = np.arange(5, 30, 4)
    few = (low.weights.weights[: low.vertex_count, 4:].sum(1) == 0).numpy()
    assert few.mean() > 0.5
    for p in range(2):
        mesh = low(clip_params(low, bodies, p, frames))
        off = skinned(body_rig(low, bodies, p), mesh) - mesh.vertices.numpy()
        assert np.abs(off[:, few]).max() < 5e-6


@needs_file
def test_chosen_weights_are_several_times_nearer_than_the_strongest(low, bodies):
    frames = np.flatnonzero(bodies.present()[:, 1])
    mesh = low(clip_params(low, bodies, 1, frames))
    rig = body_rig(low, bodies, 1)
    strongest = low.weights.weights[: low.vertex_count, :4].numpy()
    plain = replace(
        rig,
        skin_joints=low.weights.joints[: low.vertex_count, :4].numpy(),
        skin_weights=strongest / strongest.sum(1, keepdims=True),
        vertices=low.rest_vertices(torch.from_numpy(bodies.betas[1])).numpy(),
    )
    best, simple = (
        1000 * np.linalg.norm(skinned(r, mesh) - mesh.vertices.numpy(), axis=-1) for r in (rig, plain)
    )
    assert best.mean() < 0.1
    assert np.quantile(best, 0.999) < 2
    assert best.mean() < 0.4 * simple.mean()
    assert best.max() < 0.5 * simple.max()


@needs_file
def test_contract_rig_is_what_files_take(low, bodies):
    rig = body_rig(low, bodies, 0)
    assert rig.skin_joints.dtype == np.uint8
    assert rig.skin_weights.shape == (1229, 4)
    assert rig.skin_weights.min() >= 0
    np.testing.assert_allclose(rig.skin_weights.sum(1), 1, atol=1e-6)
    assert (rig.skin_joints[rig.skin_weights == 0] == 0).all()
    assert dict(rig.shape)["age"] == pytest.approx(float(bodies.betas[0, 1]))
    assert all(parent < j for j, parent in enumerate(rig.parents))
    moved = np.linalg.norm(
        rig.vertices - low.rest_vertices(torch.from_numpy(bodies.betas[0])).numpy(), axis=1
    )
    assert moved.max() < 0.005, "a vertex gives way to its weights by millimetres"


@needs_file
def test_convention_zero_pose_joints_and_offsets(low, bodies):
    rig = body_rig(low, bodies, 0)
    rest = low(replace(low.rest_params(), betas=torch.from_numpy(bodies.betas[0])))
    np.testing.assert_allclose(rig.joints, rest.joints, atol=1e-6)
    np.testing.assert_allclose(
        skinned(rig, replace(rest, joints=rest.joints[None], rotations=rest.rotations[None]))[0],
        rest.vertices,
        atol=0.01,
    )


@needs_file
def test_someone_who_is_never_there_has_a_rig(low, bodies):
    lost = replace(bodies, transl=np.full_like(bodies.transl, np.nan))
    assert np.isfinite(body_rig(low, lost, 0).skin_weights).all()


@needs_file
def test_other_bodies_are_refused(low, bodies):
    with pytest.raises(LookupError, match="that body anny lacks: wing"):
        clip_params(low, replace(bodies, joint_names=(*TURNING[:-1], "wing")), 0, np.arange(3))


def test_bodies_with_pose_corrections_are_refused(bodies):
    from tests.bodies.test_model import _data

    with pytest.raises(ValueError, match="corrects its vertices by the pose"):
        body_rig(BodyModel(_data(posed=True)), bodies, 0)
