"""Up, floor and relative size, from recorded people before a tilted camera."""

import numpy as np
import pytest

from benchmarks.known_scenes import film, look, placed, recorded
from posewright.motion.bones import add_clavicles
from posewright.motion.world import WorldOptions, estimate_world, local_world
from posewright.skeletons.joint_sets import BODY_24

FEET = BODY_24.indices("left_heel", "left_toe", "right_heel", "right_toe")


def rig_joints(scene):
    return add_clavicles(scene.camera_joints, np.isfinite(scene.camera_joints).all(-1).astype(float))


def tilt_error(world, scene) -> float:
    return float(np.degrees(np.arccos(np.clip(world.R[:, 2] @ scene.true_camera.R[:, 2], -1, 1))))


def standing_level(feet: np.ndarray) -> float:
    """Height at which feet stand: the recorded points are inside the shoe, 2 to 5 cm above the floor."""
    return float(np.median(feet[..., 2].min(-1)))


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (12, 2), (25, -3)])
@pytest.mark.parametrize("turn", [0, 90])
def test_walking_recovers_up_and_floor(shared_data, pitch, roll, turn):
    walk, fps = recorded(shared_data, "val/cmu_35.npz", 0)
    scene = film(placed(walk, (0, 4.5), turn)[:, None], look(pitch, roll), fps)
    joints, confidence = rig_joints(scene)
    world = estimate_world(joints, confidence, fps)
    assert world.floor_found
    assert not world.warnings
    assert tilt_error(world, scene) < 2.0, "degrees"
    height = -(world.R.T @ world.t)[2]
    assert abs(height - (1.6 - standing_level(walk[:, FEET]))) < 0.03, (
        "height of the camera above the floor, metres"
    )
    feet = world.from_camera(joints)[:, :, [4, 5, 9, 10]]
    assert abs(standing_level(feet)) < 0.03


def test_convention_of_the_world(shared_data):
    """Origin under the first pelvis, camera looks along +Y, a person who faces the camera faces -Y."""
    walk, fps = recorded(shared_data, "val/cmu_35.npz", 0)
    scene = film(placed(walk, (0.5, 4.5))[:, None], look(10), fps)
    joints, confidence = rig_joints(scene)
    world = estimate_world(joints, confidence, fps)
    start = world.from_camera(joints)[0, 0, 0]
    np.testing.assert_allclose(start[:2], 0, atol=1e-9)
    axis = world.R.T @ [0, 0, 1]
    assert abs(axis[0]) < 1e-9
    assert axis[1] > 0.9
    np.testing.assert_allclose(np.linalg.det(world.R), 1)
    np.testing.assert_allclose(world.from_camera(joints) @ world.R.T + world.t, joints, atol=1e-9)


def test_one_floor_settles_relative_size(shared_data):
    """Two people, one of whom the lifter made 8 % too large (and so too far): the common floor says so."""
    walk, fps = recorded(shared_data, "val/cmu_35.npz", 0)
    people = np.stack([placed(walk, (-1, 4.5), 20), placed(walk, (1, 6.0), 160)], 1)
    scene = film(people, look(12), fps)
    joints, confidence = rig_joints(scene)
    wrong = joints.copy()
    wrong[:, 1] *= 1.08
    world = estimate_world(wrong, confidence, fps)
    assert world.person_scale[1] / world.person_scale[0] == pytest.approx(1 / 1.08, abs=0.02)
    fixed = estimate_world(wrong, confidence, fps, size_known=np.array([True, False]))
    assert fixed.person_scale[0] == 1
    assert fixed.person_scale[1] == pytest.approx(1 / 1.08, abs=0.02)
    off = estimate_world(wrong, confidence, fps, WorldOptions(scale_limit=0.0))
    assert (off.person_scale == 1).all()


def test_a_box_is_not_the_floor(shared_data):
    """One person stands on a box of half a metre, the other walks on the floor."""
    walk, fps = recorded(shared_data, "val/cmu_35.npz", 0)
    still = np.repeat(placed(walk, (1, 5))[:1], len(walk), 0) + [0, 0, 0.5]
    scene = film(np.stack([still, placed(walk, (-1, 5), 90)], 1), look(10), fps)
    joints, confidence = rig_joints(scene)
    world = estimate_world(joints, confidence, fps)
    feet = world.from_camera(joints)[:, :, [4, 5, 9, 10]]
    assert abs(standing_level(feet[:, 1])) < 0.04
    assert 0.4 < standing_level(feet[:, 0]) < 0.6
    np.testing.assert_allclose(world.person_scale, 1)


def test_poor_evidence_is_said_and_does_no_harm(shared_data):
    walk, fps = recorded(shared_data, "val/cmu_35.npz", 0)
    scene = film(placed(walk, (0, 4.5))[:, None], look(12), fps)
    joints, confidence = rig_joints(scene)
    confidence[:, :, [3, 4, 5, 8, 9, 10]] = 0.05
    world = estimate_world(joints, confidence, fps)
    assert world.warnings == ("feet out of view: floor guessed",)
    assert tilt_error(world, scene) < 15
    assert abs(world.from_camera(joints)[..., 2].min()) < 0.3
    one = estimate_world(joints[:1], np.ones_like(confidence[:1]), fps)
    assert tilt_error(one, scene) < 8
    nobody = estimate_world(np.full((3, 1, 26, 3), np.nan), np.zeros((3, 1, 26)), fps)
    assert np.isfinite(nobody.R).all()
    assert np.isfinite(nobody.t).all()
    moving = local_world(joints, confidence, fps)
    assert "camera moves" in moving.warnings[0]
