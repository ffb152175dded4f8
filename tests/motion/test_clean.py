"""The whole way from perfect and imperfect lifts to motion."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.known_scenes import film, look, placed, recorded
from posewright.geometry.kinematics import forward_kinematics
from posewright.geometry.rotations import quat_wxyz_to_matrix
from posewright.motion.bones import add_clavicles, standing_height
from posewright.motion.clean import MotionOptions, fit_rig, to_motion
from posewright.motion.gaps import longest_run
from posewright.motion.smooth import SMOOTHING_METHODS, SmoothingOptions, smooth_joints
from posewright.skeletons.joint_sets import BODY_24, RIG_26
from posewright.structures.motion import Motion


def walk_scene(shared_data, people=1, frames=150, **camera):
    walk, fps = recorded(shared_data, "val/cmu_35.npz", 0)
    places = [((0.3, 5.0), 0), ((-1.2, 6.0), 100)][:people]
    world = np.stack([placed(walk[:frames], at, turn) for at, turn in places], 1)
    return film(world, look(**({"pitch": 12, "roll": 2} | camera)), fps)


def run(scene, **options) -> Motion:
    return to_motion(
        scene.relative.positions,
        scene.relative.confidence,
        scene.keypoints,
        scene.camera,
        MotionOptions(**options),
    )


def test_a_known_scene_is_recovered(shared_data):
    scene = walk_scene(shared_data, people=2)
    motion = run(scene)
    assert motion.skeleton is RIG_26
    up = motion.camera.R[:, 2] @ scene.true_camera.R[:, 2]
    assert np.degrees(np.arccos(up)) < 2
    for p in range(2):
        travel = [
            np.linalg.norm(np.diff(x[:, p, 0, :2], axis=0), axis=-1).sum()
            for x in (scene.world, motion.joints)
        ]
        assert travel[1] == pytest.approx(travel[0], rel=0.05)
    apart = [np.linalg.norm(x[:, 0, 0] - x[:, 1, 0], axis=-1) for x in (scene.world, motion.joints)]
    assert np.abs(apart[0] - apart[1]).max() < 0.08, "metres between two people"
    lowest = motion.joints[..., 2].min(-1)
    assert abs(np.median(lowest)) < 0.03
    assert motion.contacts.any(-1).mean() > 0.7, "somebody who walks has a foot on the floor"
    seen = motion.joints @ motion.camera.R.T + motion.camera.t
    names = [j for j in BODY_24.joint_names if not j.startswith(("nose", "left_ear", "right_ear"))]
    pixels = seen[:, :, RIG_26.indices(*names)] @ motion.camera.K.T
    pixels = pixels[..., :2] / pixels[..., 2:]
    error = np.linalg.norm(pixels - scene.keypoints.positions[:, :, BODY_24.indices(*names)], axis=-1)
    assert np.median(error) < 4, "pixels: the cleaned motion lies on the picture"


def test_law_joints_are_forward_kinematics(shared_data):
    motion = run(walk_scene(shared_data, frames=40))
    joints, _ = forward_kinematics(
        quat_wxyz_to_matrix(torch.from_numpy(motion.rotations_wxyz)),
        torch.from_numpy(motion.rest_offsets),
        torch.from_numpy(motion.joints[:, :, 0]),
        RIG_26.parents,
    )
    np.testing.assert_allclose(joints.numpy(), motion.joints, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(motion.rotations_wxyz, axis=-1), 1, atol=1e-5)
    assert (motion.rotations_wxyz[1:] * motion.rotations_wxyz[:-1]).sum(-1).min() > 0


def test_missing_people_and_joints(shared_data):
    scene = walk_scene(shared_data, people=2)
    relative, sure = scene.relative.positions.copy(), scene.relative.confidence.copy()
    flat, flat_sure = scene.keypoints.positions.copy(), scene.keypoints.confidence.copy()
    wrist = BODY_24.index("left_wrist")
    for part, where in ((1, slice(100, None)), (1, slice(20, 30))):
        relative[where, part], sure[where, part], flat[where, part], flat_sure[where, part] = (
            np.nan,
            0,
            np.nan,
            0,
        )
    relative[20:120, 0, wrist], sure[20:120, 0, wrist] = np.nan, 0
    flat[20:120, 0, wrist], flat_sure[20:120, 0, wrist] = np.nan, 0
    keypoints = replace(scene.keypoints, positions=flat, confidence=flat_sure)
    motion = to_motion(relative, sure, keypoints, scene.camera)
    present = motion.present()
    assert present[:, 0].all()
    assert present[:100, 1].all(), "a gap of 0.2 s is bridged"
    assert not present[100:, 1].any()
    assert np.isnan(motion.joints[100:, 1]).all()
    assert (motion.confidence[100:, 1] == 0).all()
    assert 0 < motion.confidence[25, 1].max() < 0.6, "bridged joints are marked"
    assert any(w.startswith("person 2 ") and w.endswith(" at 2.0 s") for w in motion.warnings)
    assert "person 1: left wrist hidden for 2.0 s from 0.4 s: guessed" in motion.warnings
    assert np.isfinite(motion.joints[:, 0, RIG_26.index("left_wrist")]).all()
    assert np.isnan(motion.joints_raw[60, 0, RIG_26.index("left_wrist")]).all()


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_clips(shared_data, frames):
    motion = run(walk_scene(shared_data, frames=frames))
    assert np.isfinite(motion.joints).all()
    assert motion.num_frames == frames


def test_nobody_and_no_frames(shared_data):
    scene = walk_scene(shared_data, frames=5)
    k = scene.keypoints
    for T, P in ((5, 0), (0, 1)):
        cut = replace(
            k,
            positions=k.positions[:T, :P],
            confidence=k.confidence[:T, :P],
            person_ids=tuple(range(1, P + 1)),
        )
        motion = to_motion(np.zeros((T, P, 24, 3)), np.zeros((T, P, 24)), cut, scene.camera)
        assert motion.joints.shape == (T, P, 26, 3)
    blind = to_motion(np.full((5, 1, 24, 3), np.nan), np.zeros((5, 1, 24)), k, scene.camera)
    assert np.isnan(blind.joints).all()
    assert "person 1 could not be placed in space" in blind.warnings


def test_subject_height(shared_data):
    scene = walk_scene(shared_data, frames=60)
    small, tall = (run(scene, subject_height=h) for h in (1.50, 1.90))
    assert standing_height(small.rest_offsets)[0] == pytest.approx(1.50, abs=0.02)
    assert standing_height(tall.rest_offsets)[0] == pytest.approx(1.90, abs=0.02)
    far = [
        np.linalg.norm((m.joints @ m.camera.R.T + m.camera.t)[:, 0, 0], axis=-1).mean() for m in (small, tall)
    ]
    assert far[1] / far[0] == pytest.approx(1.90 / 1.50, rel=0.02), "a taller person stands further away"


@pytest.mark.parametrize("options", [{"camera": "panning"}, {"foot_lock": "maybe"}, {"smoothing": "blur"}])
def test_unknown_options_are_refused(options):
    with pytest.raises(ValueError, match="expected"):
        MotionOptions(**options)


def test_a_moving_camera_is_said(shared_data):
    motion = run(walk_scene(shared_data, frames=40), camera="moving")
    assert any("camera moves" in w for w in motion.warnings)
    assert np.isfinite(motion.joints).all()


@pytest.mark.parametrize("method", SMOOTHING_METHODS)
def test_contract_smoothing(shared_data, method):
    walk, fps = recorded(shared_data, "val/cmu_35.npz", 0)
    true = walk[:, None]
    noisy = true + 0.01 * np.random.default_rng(0).standard_normal(true.shape)
    noisy[30:40, 0, 5] = np.nan
    out = smooth_joints(noisy, np.ones(true.shape[:3]), fps, SmoothingOptions(method))
    np.testing.assert_array_equal(np.isnan(out), np.isnan(noisy))
    if method == "none":
        return
    jitter = [np.nanmean(np.abs(np.diff(x, 2, axis=0))) for x in (noisy, out)]
    assert jitter[1] < 0.3 * jitter[0]
    assert np.nanmean(np.abs(out - true)) < 0.75 * np.nanmean(np.abs(noisy - true))


def test_fit_rig_from_positions(shared_data):
    walk, fps = recorded(shared_data, "val/cmu_35.npz", 0)
    joints = walk[:60, None].astype(np.float32)
    bare = Motion(
        BODY_24, joints, np.ones(joints.shape[:3], np.float32), fps, source="walk.trc", history=("read",)
    )
    motion = fit_rig(bare)
    expected, _ = add_clavicles(joints, bare.confidence)
    names = [j for j in RIG_26.joint_names if "clavicle" not in j]
    error = np.linalg.norm((motion.joints - expected)[:, :, RIG_26.indices(*names)], axis=-1)
    assert 1000 * error.mean() < 8
    assert motion.source == "walk.trc"
    assert motion.history[0] == "read"
    again = fit_rig(motion)
    assert 1000 * np.linalg.norm(again.joints - motion.joints, axis=-1).mean() < 2


def test_law_the_longest_run_is_found_with_its_beginning():
    state = np.array([[1, 0, 1, 1, 1, 0, 1, 1], [0] * 8, [1] * 8, [1, 1, 0, 0, 0, 0, 1, 1]], bool).T
    length, begin = longest_run(state)
    assert length.tolist() == [3, 0, 8, 2]
    assert begin.tolist() == [2, 0, 0, 0]
