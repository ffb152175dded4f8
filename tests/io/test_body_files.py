"""Files of fitted bodies, read back by other code than wrote them; bodies are made up, so nothing is downloaded."""

import numpy as np
import pygltflib
import pytest
import torch

from posewright.core.errors import InputError
from posewright.geometry.rotations import rotvec_to_matrix
from posewright.io import body_amass, body_bvh, body_glb, formats
from posewright.io.axes import y_up_to_z_up
from posewright.io.people import select_person
from tests.io.gltf_skinning import SkinnedFile
from tests.io.made_body import NAMES, made_motion, posed


@pytest.fixture
def made():
    return made_motion()


def test_parity_skinned_vertices_of_the_glb_are_the_bodys(made, tmp_path):
    motion, rigs = made
    body_glb.write(motion, rigs, tmp_path / "body.glb")
    file = SkinnedFile(tmp_path / "body.glb")
    for t in (6, 11, 15):
        for p, vertices in enumerate(file.vertices(t / motion.fps)):
            expected, _, _ = posed(rigs[p], motion.bodies, p, t)
            np.testing.assert_allclose(y_up_to_z_up(vertices), expected, atol=2e-6)


def test_contract_glb_is_what_the_specification_asks(made, tmp_path):
    motion, rigs = made
    body_glb.write(motion, rigs, tmp_path / "body.glb")
    file, gltf = SkinnedFile(tmp_path / "body.glb"), pygltflib.GLTF2().load(str(tmp_path / "body.glb"))
    assert [skin.name for skin in gltf.skins] == ["person1", "person2"]
    assert len(gltf.animations) == 1
    for mesh in gltf.meshes:
        attributes = mesh.primitives[0].attributes
        weights, joints = file.array(attributes.WEIGHTS_0), file.array(attributes.JOINTS_0)
        assert np.abs(weights.sum(1) - 1).max() < 1e-6
        assert (joints[weights == 0] == 0).all()
        assert np.abs(np.linalg.norm(file.array(attributes.NORMAL), axis=1) - 1).max() < 1e-6
    for channel in gltf.animations[0].channels:
        sampler = gltf.animations[0].samplers[channel.sampler]
        values = file.array(sampler.output)
        assert len(values) == len(file.array(sampler.input))
        if channel.target.path == "rotation":
            assert ((values[1:] * values[:-1]).sum(1) > 0).all()
    people = gltf.extras["posewright"]["people"]
    assert people[1]["present"] == [[5, 15]]
    assert people[1]["body"] == {"model": "made", "shape": {"height": 0.25, "weight": 0.5}}


def test_convention_bones_read_back_are_the_bodys_joints(made, tmp_path):
    motion, rigs = made
    body_glb.write(motion, rigs, tmp_path / "body.glb")
    read = formats.load(tmp_path / "body.glb")
    assert read.skeleton.joint_names == NAMES
    assert read.fps == motion.fps
    for p in range(2):
        body_bvh.write(motion.bodies, p, rigs[p], motion.fps, tmp_path / "body.bvh")
        alone = formats.load(tmp_path / "body.bvh", unit="cm", up="y")
        order = [alone.skeleton.joint_names.index(name) for name in NAMES]
        for t in (5, 10, 14):
            _, expected, _ = posed(rigs[p], motion.bodies, p, t)
            np.testing.assert_allclose(read.joints[t, p], expected, atol=2e-6)
            np.testing.assert_allclose(alone.joints[t, 0][order], expected, atol=2e-6)
    np.testing.assert_array_equal(np.isfinite(read.joints).all((-1, -2)), motion.bodies.present())


def test_bvh_has_every_bone_and_holds_the_last_pose_where_a_person_is_missing(made, tmp_path):
    motion, rigs = made
    body_bvh.write(motion.bodies, 1, rigs[1], 30.0, tmp_path / "body.bvh")
    text = (tmp_path / "body.bvh").read_text()
    rows = np.array([row.split() for row in text.partition("Frame Time:")[2].splitlines()[1:]], float)
    assert rows.shape == (20, 3 + 3 * 6)
    assert (rows[:5] == rows[5]).all()
    assert (rows[16:] == rows[15]).all()
    assert (np.abs(rows).max(0) == 0).sum() == 6, "two bones never turn"


def test_amass_layout_holds_rotation_vectors_of_every_joint(made, tmp_path):
    motion, rigs = made
    body_amass.write(motion.bodies, 1, rigs[1], motion.fps, tmp_path / "body_amass.npz")
    with np.load(tmp_path / "body_amass.npz") as file:
        assert set(file.files) >= {"poses", "trans", "betas", "gender", "mocap_framerate", "body_model"}
        poses = file["poses"].reshape(20, 6, 3)
        assert str(file["gender"]) == "neutral"
        assert float(file["mocap_framerate"]) == 30
        np.testing.assert_array_equal(file["trans"], motion.bodies.transl[:, 1])
    assert np.isnan(poses[:5]).all()
    local, parents = rotvec_to_matrix(torch.from_numpy(poses[10].astype(float))).numpy(), rigs[1].parents
    R = np.zeros((6, 3, 3))
    for j, parent in enumerate(parents):
        R[j] = local[j] if parent < 0 else R[parent] @ local[j]
    np.testing.assert_allclose(R, posed(rigs[1], motion.bodies, 1, 10)[2], atol=1e-5)


def test_law_amass_layout_comes_back(made, tmp_path):
    motion, rigs = made
    body_amass.write(motion.bodies, 0, rigs[0], motion.fps, tmp_path / "body_amass.npz")
    read, fps = body_amass.read(tmp_path / "body_amass.npz")
    assert fps == motion.fps
    assert read.joint_names == NAMES
    for t in (0, 19):
        again, expected = (posed(rigs[0], b, 0, t)[0] for b in (read, motion.bodies))
        np.testing.assert_allclose(again, expected, atol=2e-6)


def test_files_of_amass_itself_are_pointed_elsewhere(tmp_path):
    np.savez(
        tmp_path / "walk_poses.npz",
        poses=np.zeros((2, 156)),
        trans=np.zeros((2, 3)),
        betas=0,
        mocap_framerate=120,
    )
    with pytest.raises(InputError, match=r"posewright\.datasets\.amass"):
        body_amass.read(tmp_path / "walk_poses.npz")


def test_npz_keeps_bodies_and_reads_files_without(made, tmp_path):
    motion, _ = made
    read = formats.load(formats.save(motion, tmp_path / "motion.npz")[0])
    for name in ("betas", "rotations_wxyz", "transl"):
        np.testing.assert_array_equal(getattr(read.bodies, name), getattr(motion.bodies, name))
    for name in ("model", "shape_names", "joint_names"):
        assert getattr(read.bodies, name) == getattr(motion.bodies, name)
    old = formats.load(formats.save(motion.noted("", bodies=None), tmp_path / "old.npz")[0])
    assert old.bodies is None
    one = formats.load(formats.save(motion, tmp_path / "one.npz", person=2)[0])
    np.testing.assert_array_equal(one.bodies.transl[:, 0], motion.bodies.transl[:, 1])


def test_people_are_chosen_with_their_bodies(made):
    motion, _ = made
    assert select_person(motion, 2).bodies.betas.tolist() == [[0.25, 0.5]]


def test_motions_without_bodies_are_refused(made, tmp_path):
    motion, rigs = made
    with pytest.raises(InputError, match="--body anny"):
        body_glb.write(motion.noted("", bodies=None), rigs, tmp_path / "body.glb")
    with pytest.raises(ValueError, match="1 rigs for 2 people"):
        body_glb.write(motion, rigs[:1], tmp_path / "body.glb")
    assert not list(tmp_path.iterdir())


WRITERS = {
    "glb": lambda motion, rigs, path: body_glb.write(motion, rigs, path),
    "bvh": lambda motion, rigs, path: body_bvh.write(motion.bodies, 0, rigs[0], motion.fps, path),
    "npz": lambda motion, rigs, path: body_amass.write(motion.bodies, 0, rigs[0], motion.fps, path),
}


@pytest.mark.parametrize("suffix", list(WRITERS))
def test_contract_no_half_written_file(made, suffix, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(KeyboardInterrupt):
        WRITERS[suffix](*made, tmp_path / f"body.{suffix}")
    assert list(tmp_path.iterdir()) == []
