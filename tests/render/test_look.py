"""Regions, clothes and hair."""

import numpy as np
import pytest

from posewright.core.errors import InputError
from posewright.render.look import HAIR_OFFSET, Look, dress, random_look
from posewright.render.primitives import sphere
from posewright.render.regions import REGIONS, bone_regions, dominant_bones, vertex_regions


def names(bones: list[str]) -> list[str]:
    return [REGIONS[i] for i in bone_regions(bones)]


def test_convention_bones_of_known_rigs():
    assert names(["upperarm01.L", "shoulder01.L", "lowerleg02.R", "wrist.L", "spine03", "root", "eye.R"]) == [
        "upper_arm", "torso", "lower_leg", "hand", "torso", "hips", "eye"
    ]  # fmt: skip
    smpl = [
        "pelvis",
        "left_hip",
        "left_knee",
        "left_ankle",
        "left_collar",
        "left_shoulder",
        "left_elbow",
        "head",
    ]
    assert names(smpl) == [
        "hips",
        "upper_leg",
        "lower_leg",
        "foot",
        "torso",
        "upper_arm",
        "lower_arm",
        "face",
    ]
    mixamo = [
        "Hips",
        "LeftUpLeg",
        "LeftLeg",
        "LeftFoot",
        "LeftShoulder",
        "LeftArm",
        "LeftForeArm",
        "LeftHandIndex1",
    ]
    assert names(mixamo) == [
        "hips", "upper_leg", "lower_leg", "foot", "torso", "upper_arm", "lower_arm", "hand"
    ]  # fmt: skip
    assert names(["tentacle"]) == ["torso"]


def head_and_body() -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    head, body = sphere((0, 0, 1.6), 0.1, rings=60), sphere((0, 0, 1.0), 0.3, rings=10)
    head_shape = (head.vertices - [0, 0, 1.6]) * [0.85, 1, 1.2] + [0, 0, 1.6]
    vertices = np.concatenate([head_shape, body.vertices])
    faces = np.concatenate([head.faces, body.faces + len(head.vertices)])
    bones = np.repeat([1, 0], [len(head.vertices), len(body.vertices)])
    return vertices, faces, bones, ["spine", "head"]


def test_convention_a_face_looks_along_minus_y_with_its_parts_in_order():
    vertices, _, bones, rig = head_and_body()
    regions = vertex_regions(vertices, bones, rig)
    height = {}
    for name in ("hair", "brow", "iris", "mouth"):
        points = vertices[regions == REGIONS.index(name)]
        assert len(points) > 2
        height[name] = points[:, 2].mean()
        assert abs(points[:, 0].mean()) < 1e-6
        if name != "hair":
            assert (points[:, 1] < 0).all()
    assert height["hair"] > height["brow"] > height["iris"] > height["mouth"]
    bald = vertex_regions(vertices, bones, rig, hair_length=0)
    assert not (bald == REGIONS.index("hair")).any()
    longer = vertex_regions(vertices, bones, rig, hair_length=1)
    assert (longer == REGIONS.index("hair")).sum() > (regions == REGIONS.index("hair")).sum()


def test_law_clothes_stand_off_the_body_and_faces_do_not():
    vertices, faces, bones, rig = head_and_body()
    regions = vertex_regions(vertices, bones, rig)
    outfit = dress(vertices, faces, regions, Look(stripes=(0.9, 0.9, 0.1), seed=2))
    mesh = outfit.on(vertices + [1, 2, 0])
    moved = np.linalg.norm(mesh.vertices - vertices - [1, 2, 0], axis=-1)
    assert moved[regions == REGIONS.index("face")].max() < 1e-12
    np.testing.assert_allclose(moved[regions == REGIONS.index("torso")], 0.01, atol=1e-9)
    assert moved.max() < 1.3 * HAIR_OFFSET
    assert len(np.unique(mesh.colors[regions == REGIONS.index("torso")].round(1), axis=0)) >= 2
    assert mesh.labels.shape == (len(faces),)


def test_law_looks_are_drawn_by_seed_and_differ():
    looks = [random_look(seed) for seed in range(80)]
    assert looks[7] == random_look(7)
    assert len({look.skin for look in looks}) == 80
    assert {look.sleeves for look in looks} == {"none", "short", "long"}
    colors = np.array([(*look.skin, *look.hair, *look.shirt, *look.trousers, *look.shoes) for look in looks])
    assert colors.min() >= 0
    assert colors.max() <= 1


def test_law_wrong_inputs_are_refused():
    vertices, faces, bones, rig = head_and_body()
    regions = vertex_regions(vertices, bones, rig)
    with pytest.raises(InputError, match="trousers"):
        Look(legs="kilt")
    with pytest.raises(InputError):
        vertex_regions(vertices, bones, rig[:1])
    with pytest.raises(InputError):
        dress(vertices[:5], faces, regions, Look())
    with pytest.raises(InputError, match="made for"):
        dress(vertices, faces, regions, Look()).on(vertices[:9])


def test_convention_dominant_bone_is_that_of_the_largest_weight():
    weights = np.array([[0.2, 0.5, 0.3], [0.9, 0.1, 0.0]])
    assert dominant_bones(weights).tolist() == [1, 0]
    assert dominant_bones(weights, np.array([[7, 8, 9], [4, 5, 6]])).tolist() == [8, 4]
