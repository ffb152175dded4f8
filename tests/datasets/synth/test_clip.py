"""Synthetic clips: the truth agrees with the pictures, with itself, and with the files."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from posewright.bodies import anny
from posewright.core.assets import cache_folder
from posewright.core.errors import InputError, MissingAssetError, MissingExtraError
from posewright.datasets.mocap import load_mocap
from posewright.datasets.synth import CameraPlan, make_clip, meshes, read_truth, write_truth
from posewright.datasets.synth.cameras import mean_heading, place_camera
from posewright.datasets.synth.performance import perform
from posewright.datasets.synth.plan import Performer
from posewright.datasets.synth.recordings import recorded_joints
from posewright.datasets.synth.truth import keypoints_of
from posewright.geometry.cameras import look_at, remove_intrinsics
from posewright.geometry.triangulation import triangulate
from posewright.io.calibration import load_rig
from posewright.io.formats import load
from posewright.io.video import open_clip
from posewright.skeletons.joint_sets import RIG_26
from posewright.structures.cameras import Camera
from tests.datasets.synth.staging import FPS, SIZE, small_plan

pytestmark = pytest.mark.skipif(
    not (cache_folder() / anny.FILE).is_file(),
    reason="the Anny body is not in the cache; load it once to make it",
)
MAPS = ("depth", "masks", "normals")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two people and a box, two cameras: folder and truth."""
    folder = tmp_path_factory.mktemp("synth") / "clip_0001"
    return folder, make_clip(small_plan(2, 2, occluders=1), folder, MAPS)


def maps(folder: Path, kind: str, camera: int = 1) -> np.ndarray:
    """All pictures of a map (T, H, W...)."""
    files = sorted((folder / f"camera_{camera:02d}_{kind}").glob("*.png"))
    return np.stack([cv2.imread(str(f), cv2.IMREAD_UNCHANGED) for f in files])


def at(pictures: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Values of (T, H, W) at keypoints (T, J, 2), where they lie in the picture."""
    x, y = np.rint(pixels).astype(int).T
    return pictures[np.arange(len(pictures)), y.clip(0, SIZE[1] - 1), x.clip(0, SIZE[0] - 1)].T


def test_law_visible_joints_lie_in_the_persons_mask(clip):
    folder, truth = clip
    for c in range(2):
        assert truth.visible[c]["coco_17"].mean() > 0.3
        masks = maps(folder, "masks", c + 1)
        near = np.stack(
            [[cv2.dilate((m == p + 1).astype(np.uint8), np.ones((3, 3))) for m in masks] for p in range(2)]
        )
        for p in range(2):
            shown = truth.visible[c]["coco_17"][:, p]
            inside = at(near[p], truth.keypoints[c]["coco_17"][:, p])
            assert shown.any()
            assert inside[shown].mean() > 0.99
            covered = at(masks, truth.keypoints[c]["coco_17"][:, p])[~shown]
            assert (covered == p + 1).sum() <= 0.1 * len(covered)


def test_law_depth_at_visible_joints_is_the_skin_before_them(clip):
    folder, truth = clip
    depth = maps(folder, "depth") / 1000
    masks = maps(folder, "masks")
    camera = truth.cameras[0]
    for p in range(2):
        joints = truth.joints["coco_17"][:, p]
        z = joints @ camera.R[2] + camera.t[2]
        pixels = truth.keypoints[0]["coco_17"][:, p]
        seen = truth.visible[0]["coco_17"][:, p] & ~truth.self_hidden[0]["coco_17"][:, p]
        seen &= at(masks, pixels) == p + 1
        inside = (z - at(depth, pixels))[seen]
        assert seen.sum() > 20
        assert (inside > -0.03).all()
        assert (inside < 0.25).all()


def test_law_normals_are_unit_and_face_the_camera(clip):
    folder, truth = clip
    bgr = maps(folder, "normals")[0].astype(float)
    there = bgr.any(-1)
    normals = bgr[there][:, ::-1] / 255 * 2 - 1
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=0.02)
    y, x = np.nonzero(there)
    K = truth.cameras[0].K
    rays = np.stack([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], np.ones(len(x))], -1)
    assert ((normals * rays).sum(-1) < 0.02).mean() > 0.99


def test_law_two_cameras_triangulate_back_to_the_truth(clip):
    _, truth = clip
    R, t, K = (
        torch.from_numpy(np.stack([np.asarray(getattr(c, n)) for c in truth.cameras]))
        for n in ("R", "t", "K")
    )
    pixels = torch.from_numpy(np.stack([k["coco_17"][:, 0] for k in truth.keypoints], 1).astype(float))
    flat = remove_intrinsics(pixels, K)
    found = triangulate(flat, R, t).points.numpy()
    assert np.linalg.norm(found - truth.joints["coco_17"][:, 0], axis=-1).max() < 1e-4


def test_law_the_mesh_can_be_made_again(clip):
    _, truth = clip
    skin, faces = meshes(truth, 2, 4)
    assert skin.shape[:2] == (2, 2)
    assert faces.max() == skin.shape[2] - 1
    low, high = skin.min(2), skin.max(2)
    nose = truth.joints["coco_17"][2:4, :, 0]
    assert ((nose > low) & (nose < high)).all()
    assert (low[..., 2] > -0.001).all()
    assert (low[..., 2] < 0.03).all()


def test_law_a_walk_stands_on_the_floor(shared_data):
    take = next(t for t in load_mocap("val", shared_data / "mocap") if t.description == "walk")
    performance = perform((Performer(take, 0.5, 1.5),), 20.0, "low_1229")
    lowest = performance.extent[:, 0, 0, 2]
    assert (lowest > -0.001).all()
    assert np.median(lowest) < 0.015
    contacts = performance.contacts[:, 0]
    assert contacts.any(-1).mean() > 0.7
    assert not contacts.all()
    for foot, side in enumerate(("left", "right")):
        ankle = performance.joints["rig_26"][:, 0, RIG_26.index(f"{side}_ankle"), 2]
        assert ankle[contacts[:, foot]].mean() < ankle[~contacts[:, foot]].mean()
    assert 1.4 < performance.heights[0] < 2.1


def test_files_are_what_the_truth_says(clip):
    folder, truth = clip
    read = read_truth(folder / "truth.npz")
    assert read.person_ids == (1, 2)
    assert read.fps == FPS
    for name in ("visible_share", "betas", "transl", "contacts", "heights"):
        np.testing.assert_array_equal(getattr(read, name), getattr(truth, name))
    np.testing.assert_array_equal(read.visible[1]["mediapipe_33"], truth.visible[1]["mediapipe_33"])
    rig = load_rig(folder / "calibration.toml")
    for camera, written in zip(truth.cameras, rig.cameras, strict=True):
        np.testing.assert_allclose(camera.R, written.R, atol=1e-9)
        np.testing.assert_allclose(camera.t, written.t, atol=1e-9)
    frames = list(open_clip(folder / "camera_02.mp4"))
    assert len(frames) == truth.num_frames
    assert frames[0].image.shape == (SIZE[1], SIZE[0], 3)
    about = json.loads((folder / "clip.json").read_text())
    assert about["action"] == "walk"
    assert [c["name"] for c in about["cameras"]] == ["camera_01", "camera_02"]


def test_law_the_same_plan_gives_the_same_bytes(clip, tmp_path):
    folder, _ = clip
    make_clip(small_plan(2, 2, occluders=1), tmp_path, MAPS)
    assert (tmp_path / "truth.npz").read_bytes() == (folder / "truth.npz").read_bytes()
    for camera in ("camera_01.mp4", "camera_02.mp4"):
        pictures = [np.stack([f.image for f in open_clip(d / camera)]) for d in (folder, tmp_path)]
        np.testing.assert_array_equal(*pictures)


def looking(target: np.ndarray) -> Camera:
    """A camera three metres from the origin that looks at a point."""
    R, t = look_at(torch.tensor([0.0, -3.0, 1.2]).double(), torch.from_numpy(target))
    K = np.array([[150, 0, 79.5], [0, 150, 59.5], [0, 0, 1.0]])
    return Camera(K, SIZE, R.numpy(), t.numpy())


def test_law_share_is_0_outside_the_picture_and_less_than_1_at_its_edge():
    away, edge, whole = (looking(np.array(p)) for p in ([0.0, -9, 1.2], [-1.55, 0, 1.0], [0.0, 0, 0.9]))
    truth = make_clip(replace(small_plan(), cameras=(away, edge, whole)))
    assert (truth.visible_share[0] == 0).all()
    assert not truth.visible[0]["coco_17"].any()
    assert ((truth.visible_share[1] > 0.02) & (truth.visible_share[1] < 0.98)).any()
    assert (truth.visible_share[2] == 1).all()


def test_law_a_moving_camera_has_a_pose_for_each_frame():
    plan = replace(
        small_plan(), cameras=(CameraPlan(0.3, 0.2, move="orbit"), CameraPlan(1.0, move="handheld"))
    )
    truth = make_clip(plan)
    T = truth.num_frames
    for camera, keypoints in zip(truth.cameras, truth.keypoints, strict=True):
        assert camera.R.shape == (T, 3, 3)
        seen = np.einsum("tij,tkj->tki", camera.R, truth.joints["rig_26"][:, 0]) + camera.t[:, None]
        pixels = seen @ camera.K.T
        expected = pixels[..., :2] / pixels[..., 2:]
        np.testing.assert_allclose(keypoints["rig_26"][:, 0], expected, atol=1e-2)
        assert (expected > 0).all()
        assert (expected < np.array(SIZE)).all()
        centres = -np.einsum("tji,tj->ti", camera.R, camera.t)
        assert np.ptp(centres, axis=0).max() > 0.005
    assert (truth.visible_share == 1).all()


def test_convention_azimuth_0_looks_people_in_the_face():
    performance = perform(small_plan().performers, FPS, "low_1229")
    camera = place_camera(performance, CameraPlan(0.0, 0.1), SIZE)
    nose, ears = (performance.joints["coco_17"][:, 0, j].mean(0) for j in (0, [3, 4]))
    ears = ears.mean(0)
    centre = -camera.R.T @ camera.t
    facing = (nose - ears)[:2] / np.linalg.norm((nose - ears)[:2])
    towards = (centre - ears)[:2] / np.linalg.norm((centre - ears)[:2])
    assert facing @ towards > 0.95
    left = place_camera(performance, CameraPlan(np.pi / 2, 0.1), SIZE)
    shoulders = performance.joints["coco_17"][:, 0, 5] - performance.joints["coco_17"][:, 0, 6]
    assert shoulders.mean(0) @ (-left.R.T @ left.t - nose) > 0.5
    assert abs(mean_heading(performance)) < 0.2


@pytest.mark.parametrize("margin", [0.05, 0.2])
def test_law_the_camera_keeps_its_margin(margin):
    performance = perform(small_plan().performers, FPS, "low_1229")
    plan = CameraPlan(0.7, 0.3, margin=margin, distortion=(-0.1, 0.0, 0.0, 0.0, 0.0))
    camera = place_camera(performance, plan, SIZE)
    pixels = keypoints_of(performance.joints, camera)["coco_17"]
    assert pixels.min(axis=(0, 1, 2))[0] > margin * SIZE[0] - 0.5
    assert (pixels.max(axis=(0, 1, 2)) < (1 - margin) * np.array(SIZE)).all()


def test_law_bodies_follow_the_recording():
    plan = small_plan()
    performance = perform(plan.performers, FPS, "low_1229")
    recorded, _ = recorded_joints(plan.performers[0], FPS)
    names = ("left_knee", "right_ankle", "left_wrist", "right_elbow")
    own = np.stack([performance.joints["rig_26"][:, 0, RIG_26.index(n)] for n in names], 1)
    given = np.stack([recorded[:, RIG_26.index(n)] for n in names], 1)
    off = (own - own.mean((0, 1))) - (given - given.mean((0, 1)))
    assert np.linalg.norm(off, axis=-1).mean() < 0.03


@pytest.mark.parametrize(
    "name", ["cmu_05_13.amc", "cmu_05_13.bvh", "cmu_131_03_3dsmax.bvh", "reactidle_003_genuine.bvh"]
)
def test_recordings_of_other_programs_are_understood(name, shared_data):
    motion = load(shared_data / "formats" / name)
    joints, joint_set = recorded_joints(Performer(motion, 1.0, 2.0), 20.0)
    assert joint_set == "rig_26"
    hip, knee, shoulder, elbow = (
        joints[:, RIG_26.index(f"left_{j}")] for j in ("hip", "knee", "shoulder", "elbow")
    )
    lengths = np.stack(
        [np.linalg.norm(a - b, axis=-1) for a, b in ((hip, knee), (shoulder, elbow), (hip, shoulder))]
    )
    assert (np.ptp(lengths[:2], axis=1) < 0.02).all()
    assert ((lengths.mean(1) > [0.3, 0.2, 0.35]) & (lengths.mean(1) < [0.5, 0.4, 0.65])).all()


def test_markers_are_not_joints(shared_data):
    motion = load(shared_data / "formats" / "pycgm_sample_static.c3d")
    with pytest.raises(InputError, match="joints are not those of a person's skeleton"):
        recorded_joints(Performer(motion), 20.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fps": 0.0}, "fps"),
        ({"image_size": (161, 120)}, "even"),
        ({"place": "moon"}, "moon"),
        ({"topology": "low"}, "low"),
        ({"occluders": 99}, "occluders"),
        ({"performers": ()}, "0 performers"),
    ],
)
def test_wrong_plans_say_so(change, said):
    with pytest.raises(InputError, match=said):
        replace(small_plan(), **change)


def test_parity_of_the_two_renderers(clip, tmp_path):
    """The same truth, and nearly the same pictures; skipped where there is no OpenGL."""
    folder, truth = clip
    try:
        fast = make_clip(small_plan(2, 2, occluders=1), tmp_path / "fast", renderer="opengl")
    except (MissingAssetError, MissingExtraError) as error:
        pytest.skip(f"OpenGL was not tested: {error}")
    np.testing.assert_array_equal(fast.visible_share, truth.visible_share)
    np.testing.assert_array_equal(fast.joints["rig_26"], truth.joints["rig_26"])
    ours, theirs = (
        np.stack([f.image for f in open_clip(place / "camera_01.mp4")]).astype(int)
        for place in (folder, tmp_path / "fast")
    )
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).mean() < 4


def test_wrong_requests_say_so(tmp_path):
    with pytest.raises(InputError, match="renderer"):
        make_clip(small_plan(), tmp_path, renderer="paint")
    with pytest.raises(InputError, match="unknown map"):
        make_clip(small_plan(), tmp_path, ("flow",))
    with pytest.raises(InputError, match="expected at least"):
        make_clip(replace(small_plan(), performers=(Performer(small_plan().performers[0].source, 5.0),)))
    with pytest.raises(InputError, match="no camera within"):
        make_clip(replace(small_plan(), cameras=(CameraPlan(focal=19.0, margin=0.39),)))
    (tmp_path / "truth.npz").write_bytes(b"no zip")
    with pytest.raises(InputError, match="truth"):
        read_truth(tmp_path / "truth.npz")


def test_truth_round_trip(clip, tmp_path):
    _, truth = clip
    write_truth(truth, tmp_path / "again.npz")
    write_truth(read_truth(tmp_path / "again.npz"), tmp_path / "twice.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "twice.npz").read_bytes()
