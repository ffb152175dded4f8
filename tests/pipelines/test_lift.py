import numpy as np
import pytest

import posewright as pw
from posewright.core.errors import InputError
from posewright.datasets.procedural import walk
from posewright.metrics.position import pa_mpjpe
from posewright.pipelines.lift import keypoint_rays, lift, lift_people
from posewright.skeletons.convert import convert
from posewright.skeletons.joint_sets import BODY_24, COCO_17, COCO_FEET_21, H36M_17, MEDIAPIPE_33, RIG_26
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D

SIZE, FOCAL = (1280, 720), 1000.0
K = np.array([[FOCAL, 0, 639.5], [0, FOCAL, 359.5], [0, 0, 1.0]])


def _scene(seconds=3.0, fps=50.0):
    """A figure that walks across the picture: joints (T, 26, 3) of the rig in camera axes, and their pixels."""
    world = walk(seconds=seconds, fps=fps, heading=0.8).joints[:, 0]
    world = world - [*world[:, 0, :2].mean(0), 1.0]
    camera = np.stack([world[..., 0], -world[..., 2], world[..., 1] + 5.0], axis=-1)
    return camera, camera[..., :2] / camera[..., 2:] * FOCAL + K[:2, 2]


def _take(points, skeleton):
    names = [n for n in skeleton.joint_names]
    out = np.full((len(points), len(names), points.shape[-1]), np.nan)
    for i, n in enumerate(names):
        if n in RIG_26.joint_names:
            out[:, i] = points[:, RIG_26.index(n)]
    return out


def test_a_walking_figure_is_lifted():
    joints, pixels = _scene()
    result = lift(
        _take(pixels, COCO_FEET_21), None, "coco_feet_21", SIZE, 50.0, focal=FOCAL, output="body_24"
    )
    assert result.skeleton == BODY_24
    assert result.positions.shape == (150, 24, 3)
    assert result.positions.dtype == np.float32
    truth = _take(joints, BODY_24)
    names = ("hip", "knee", "ankle", "shoulder", "elbow")
    limbs = BODY_24.indices(*(f"{s}_{j}" for s in ("left", "right") for j in names))
    assert pa_mpjpe(result.positions[:, limbs], truth[:, limbs]).mean() < 60
    root = np.linalg.norm(result.positions[:, 0] - truth[:, 0], axis=-1) / np.linalg.norm(
        truth[:, 0], axis=-1
    )
    assert np.median(root) < 0.12, "the root stands where the body's typical size puts it"


def test_joints_project_onto_their_keypoints():
    _, pixels = _scene()
    keypoints = _take(pixels, COCO_17)
    result = lift(keypoints, None, "coco_17", SIZE, 50.0, focal=FOCAL)
    back = result.positions[..., :2] / result.positions[..., 2:] * FOCAL + K[:2, 2]
    limbs = slice(5, 17)
    assert np.median(np.linalg.norm(back[:, limbs] - keypoints[:, limbs], axis=-1)) < 12


@pytest.mark.parametrize("skeleton", [COCO_17, COCO_FEET_21, H36M_17, MEDIAPIPE_33])
def test_contract_the_result_comes_in_the_joints_asked_for(skeleton):
    _, pixels = _scene(0.5)
    keypoints = _take(pixels, skeleton)
    result = pw.lift(keypoints, None, skeleton.name, SIZE, 30.0)
    assert result.skeleton == skeleton
    assert result.positions.shape == (*keypoints.shape[:2], 3)
    assert result.confidence.shape == keypoints.shape[:2]
    known = [i for i, n in enumerate(skeleton.joint_names) if n in BODY_24.joint_names]
    assert np.isfinite(result.positions[:, known]).all()
    assert (np.isnan(result.positions).any(-1) == (result.confidence == 0)).all()


@pytest.mark.parametrize("fps", [5.0, 24.0, 29.97, 60.0, 240.0])
def test_contract_any_frame_rate(fps):
    joints, pixels = _scene(2.0, fps)
    result = lift(_take(pixels, COCO_17), None, COCO_17, SIZE, fps, focal=FOCAL, output="h36m_17")
    assert result.positions.shape == (len(joints), 17, 3)
    assert np.isfinite(result.positions).all()
    limbs = H36M_17.indices(*(f"{s}_{j}" for s in ("left", "right") for j in ("hip", "knee", "ankle")))
    truth = _take(joints, H36M_17)
    assert pa_mpjpe(result.positions[:, limbs], truth[:, limbs]).mean() < 70


@pytest.mark.parametrize("frames", [1, 2, 3, 127, 128, 129, 400])
def test_contract_any_length(frames):
    _, pixels = _scene(frames / 50, 50.0)
    keypoints = np.concatenate([_take(pixels, COCO_17)] * 2)[:frames]
    result = lift(keypoints, None, COCO_17, SIZE, 50.0)
    assert result.positions.shape == (frames, 17, 3)
    assert np.isfinite(result.positions).all()


def test_a_single_pose_without_a_time_axis():
    _, pixels = _scene(0.1)
    assert lift(_take(pixels, COCO_17)[0], np.ones(17), COCO_17, SIZE).positions.shape == (1, 17, 3)


def test_missing_keypoints_lower_confidence_and_break_nothing():
    _, pixels = _scene(2.0)
    keypoints = _take(pixels, COCO_17)
    keypoints[20:40, 9] = np.nan
    confidence = np.ones(keypoints.shape[:2])
    confidence[50:60, 16] = 0
    result = lift(keypoints, confidence, COCO_17, SIZE, 50.0, focal=FOCAL)
    assert np.isfinite(result.positions).all()
    assert (result.confidence[20:40, 9] < 0.5).all()
    assert (result.confidence[20:40, 9] > 0).all()
    assert (result.confidence[50:60, 16] < 0.5).all()
    assert (result.confidence[60:, 16] == 1).all()


def test_frames_without_the_person_are_missing():
    _, pixels = _scene(2.0)
    keypoints = _take(pixels, COCO_17)
    keypoints[:10] = np.nan
    keypoints[50:60] = np.nan
    keypoints[95:] = np.nan
    result = lift(keypoints, None, COCO_17, SIZE, 50.0)
    gone = np.isnan(result.positions).all((1, 2))
    assert gone.sum() == 25
    assert (result.confidence[gone] == 0).all()
    nobody = lift(np.full((5, 17, 2), np.nan), None, COCO_17, SIZE, 50.0)
    assert np.isnan(nobody.positions).all()


def test_law_people_do_not_disturb_one_another():
    _, pixels = _scene(1.0)
    first, second = _take(pixels, COCO_17), _take(pixels[::-1] + 80.0, COCO_17)
    second[:5] = np.nan
    both = np.stack([first, second], axis=1).astype(np.float32)
    camera = Camera(K=K, image_size=SIZE, focal_source="given")
    confidence = np.isfinite(both).all(-1).astype(np.float32)
    together, c = lift_people(Keypoints2D(COCO_17, both, confidence, SIZE, 50.0), camera)
    assert together.shape == (50, 2, 24, 3)
    assert together.dtype == np.float32
    assert c.shape == (50, 2, 24)
    alone, _ = lift_people(Keypoints2D(COCO_17, both[:, 1:], confidence[:, 1:], SIZE, 50.0), camera)
    np.testing.assert_allclose(together[:, 1:], alone, atol=1e-5)
    assert np.isnan(together[:5, 1]).all()
    assert np.allclose(together[:, 0, 0], 0), "relative to the pelvis"


def test_law_a_mirrored_clip_gives_a_mirrored_result_with_flip():
    _, pixels = _scene(1.0)
    keypoints = _take(pixels, COCO_17)
    mirrored = keypoints[:, COCO_17.mirror] * [-1, 1] + [2 * 639.5, 0]
    a = lift(keypoints, None, COCO_17, SIZE, 50.0, flip=True, output=BODY_24).positions
    b = lift(mirrored, None, COCO_17, SIZE, 50.0, flip=True, output=BODY_24).positions
    np.testing.assert_allclose(b[:, BODY_24.mirror] * [-1, 1, 1], a, atol=2e-3)


def test_convention_pixels_to_rays():
    keypoints = np.full((1, 1, 17, 2), np.nan, np.float32)
    keypoints[0, 0, 5] = (639.5, 359.5)
    keypoints[0, 0, 6] = (639.5 + FOCAL, 359.5 - FOCAL)
    clip = Keypoints2D(COCO_17, keypoints, np.isfinite(keypoints).all(-1).astype(np.float32), SIZE, 30.0)
    rays, confidence = keypoint_rays(clip, Camera(K=K, image_size=SIZE))
    from posewright.skeletons.joint_sets import BODY_26

    np.testing.assert_allclose(rays[0, 0, BODY_26.index("left_shoulder")], (0, 0), atol=1e-6)
    np.testing.assert_allclose(rays[0, 0, BODY_26.index("right_shoulder")], (1, -1), atol=1e-6)
    assert (confidence > 0).sum() == 2


def test_trunk_points_of_detectors_are_not_taken_for_the_spine():
    names = {n: i for i, n in enumerate(H36M_17.joint_names)}
    positions = np.random.default_rng(0).uniform(100, 600, (2, 1, 17, 2)).astype(np.float32)
    clip = Keypoints2D(H36M_17, positions, np.ones((2, 1, 17), np.float32), SIZE, 30.0)
    halpe, sure, _ = convert(positions, np.ones((2, 1, 17), np.float32), H36M_17, "halpe_26")
    from posewright.skeletons.joint_sets import BODY_26, HALPE_26

    camera = Camera(K=K, image_size=SIZE)
    assert keypoint_rays(clip, camera)[1][0, 0, BODY_26.index("thorax")] == 1
    other = Keypoints2D(HALPE_26, halpe, sure, SIZE, 30.0)
    assert keypoint_rays(other, camera)[1][0, 0, BODY_26.index("thorax")] == 0
    assert names["thorax"] == 8


@pytest.mark.parametrize(
    ("keypoints", "confidence"),
    [
        (np.zeros((4, 16, 2)), None),
        (np.zeros((4, 17, 3)), None),
        (np.zeros((0, 17, 2)), None),
        (np.zeros((4, 17, 2)), np.ones((3, 17))),
    ],
)
def test_wrong_shapes_say_what_was_expected(keypoints, confidence):
    with pytest.raises(ValueError, match="expected"):
        lift(keypoints, confidence, COCO_17, SIZE, 30.0)


def test_an_unknown_lifter_is_refused():
    with pytest.raises(InputError, match="lifter"):
        lift(np.zeros((1, 17, 2)), None, COCO_17, SIZE, model="lifting/nothing")
