"""Bodies of a motion: fitted in blocks, on their soles, written in every format; a whole run with `--body anny`."""

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import posewright as pw
from posewright.batch.job import run_clip, run_multiview
from posewright.bodies import anny
from posewright.bodies.rig import clip_params
from posewright.cli import run_command_line
from posewright.core.assets import cache_folder
from posewright.core.errors import InputError, MissingAssetError
from posewright.datasets.procedural import walk as walk_by_formula
from posewright.fitting.floor import soles
from posewright.io import body_amass, keypoints_npz
from posewright.io.axes import y_up_to_z_up
from posewright.motion.blocks import frame_blocks
from posewright.pipelines import body as body_stage
from posewright.pipelines.body_files import save_body
from posewright.pipelines.video_to_motion import RunOptions
from posewright.structures.cameras import CameraRig
from tests.io.gltf_skinning import SkinnedFile
from tests.scenes import camera_at, film, walking_keypoints

needs_file = pytest.mark.skipif(
    not (cache_folder() / anny.FILE).is_file(),
    reason="the Anny body is not in the cache; load it once to make it",
)


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """Two people who walk, lifted, without bodies; the second is missing in the last third."""
    one, other = walking_keypoints(heading=1.2), walking_keypoints(heading=-1.2)
    positions = np.concatenate([one.positions, other.positions], 1)
    confidence = np.concatenate([one.confidence, other.confidence], 1)
    positions[40:, 1], confidence[40:, 1] = np.nan, 0
    both = replace(one, positions=positions, confidence=confidence, person_ids=(1, 2))
    path = tmp_path_factory.mktemp("walk") / "two.npz"
    keypoints_npz.write(both, path)
    return path, pw.estimate(path)


@pytest.fixture(scope="module")
def bodied(walk):
    return pw.with_bodies(walk[1])


def meshes(motion, p, topology="low_1229"):
    """Frames in which a person is there, and their mesh."""
    body = pw.load_body("anny", topology=topology)
    frames = np.flatnonzero(motion.bodies.present()[:, p])
    return frames, body, body(clip_params(body, motion.bodies, p, frames))


@needs_file
def test_bodies_follow_the_joints_and_stay_a_second_description(walk, bodied):
    motion = walk[1]
    for name in ("joints", "confidence", "rotations_wxyz", "rest_offsets"):
        np.testing.assert_array_equal(getattr(bodied, name), getattr(motion, name))
    np.testing.assert_array_equal(bodied.bodies.present(), motion.present())
    for p in range(2):
        frames, body, mesh = meshes(bodied, p)
        off = np.linalg.norm(body.joints(mesh, "rig_26").numpy() - motion.joints[frames, p], axis=-1)
        assert np.nanmean(off) < 0.05
        assert np.nanmax(np.median(off, 0)) < 0.09
    assert "from the joints on average" in bodied.history[-1]


@needs_file
def test_bodies_stand_on_their_soles(bodied):
    for p in range(2):
        frames, _, mesh = meshes(bodied, p)
        standing = bodied.contacts[frames, p].any(-1)
        lowest = mesh.vertices[..., 2].amin(-1).numpy()[standing]
        early, late = np.percentile(lowest, [5, 95])
        assert early > -0.005
        assert late < 0.008, "feet that stand are on the floor in every frame, not on average"


@needs_file
def test_standing_feet_do_not_slide(bodied):
    for p in range(2):
        frames, body, mesh = meshes(bodied, p)
        sole = soles(body, torch.from_numpy(bodied.bodies.betas[p]))
        places = mesh.vertices[:, sole.vertices].numpy()
        both = bodied.contacts[frames, p][:, sole.feet]
        flat = places[..., 2] < 0.02
        stays = (both & flat)[1:] & (both & flat)[:-1] & (np.diff(frames) == 1)[:, None]
        slid = bodied.fps * np.linalg.norm(np.diff(places[..., :2], axis=0), axis=-1)[stays]
        assert stays.sum() > 50
        assert slid.mean() < 0.06, "metres per second"


@needs_file
def test_law_turns_are_unit_and_go_on_without_jumps(bodied):
    turns = bodied.bodies.rotations_wxyz[:, 0]
    np.testing.assert_allclose(np.linalg.norm(turns, axis=-1), 1, atol=1e-5)
    assert ((turns[1:] * turns[:-1]).sum(-1) > 0.9).all()


@needs_file
def test_law_blocks_give_the_same_body_as_the_whole(walk, bodied, monkeypatch):
    monkeypatch.setattr(body_stage, "frame_blocks", lambda frames, margin: frame_blocks(frames, 15, 20))
    parts = pw.with_bodies(walk[1])
    np.testing.assert_array_equal(parts.bodies.betas, bodied.bodies.betas)
    for p in range(2):
        _, _, one = meshes(parts, p, "low_369")
        _, _, whole = meshes(bodied, p, "low_369")
        off = 1000 * np.linalg.norm(one.vertices - whole.vertices, axis=-1)
        assert off.mean() < 0.5
        assert off.max() < 10


@needs_file
def test_parity_glb_evaluated_from_the_file_alone_is_the_body(bodied, tmp_path):
    for detail, topology in (("full", "full"), ("low", "low_1229")):
        (path,) = save_body(bodied, tmp_path / f"{detail}.glb", detail=detail)
        file = SkinnedFile(path)
        for t in (2, 20, 38):
            for p, vertices in enumerate(file.vertices(t / bodied.fps)):
                frames, _, mesh = meshes(bodied, p, topology)
                expected = mesh.vertices[int(np.searchsorted(frames, t))].numpy()
                off = 1000 * np.linalg.norm(y_up_to_z_up(vertices) - expected, axis=-1)
                assert off.max() < 2
                assert off.mean() < 0.05


@needs_file
def test_files_per_person(bodied, tmp_path):
    written = save_body(bodied, tmp_path / "body.bvh") + save_body(bodied, tmp_path / "body_amass.npz")
    assert [f.name for f in written] == [
        "body_person1.bvh",
        "body_person2.bvh",
        "body_amass_person1.npz",
        "body_amass_person2.npz",
    ]
    assert save_body(bodied, tmp_path / "one.bvh", person=2) == [tmp_path / "one.bvh"]
    read, fps = body_amass.read(written[3])
    body = pw.load_body("anny", topology="low_369")
    frames, _, mesh = meshes(bodied, 1, "low_369")
    again = body(clip_params(body, read, 0, frames))
    torch.testing.assert_close(again.vertices, mesh.vertices, atol=1e-5, rtol=0)
    assert fps == bodied.fps
    assert pw.load(written[0]).joints.shape[2] == len(body.joint_names)


@needs_file
def test_run_writes_bodies_and_lists_them(walk, tmp_path):
    result = run_clip(
        walk[0], tmp_path / "out", RunOptions(body="anny", people=1), formats=("bvh",), body_detail="low"
    )
    files = {"body.glb", "body.bvh", "body_amass.npz"}
    assert files <= {f.name for f in result.files}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert files <= set(summary["files"])
    assert "body" in summary["stage_seconds"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(f'"name":"{name}"' in page for name in files)
    assert 'id="array-body_rotations"' in page
    assert len(SkinnedFile(tmp_path / "out" / "body.glb").vertices(0.0)[0]) == 1229
    kept = pw.load(tmp_path / "out" / "motion.npz")
    np.testing.assert_array_equal(kept.bodies.transl, result.motion.bodies.transl)


@needs_file
def test_several_cameras_give_bodies_too(tmp_path):
    motion, views, cameras = walk_by_formula(1.0, 30.0), [], []
    for number, across in enumerate((-0.5, 0.5)):
        straight = camera_at()
        turn = np.array(
            [[np.cos(across), np.sin(across), 0], [-np.sin(across), np.cos(across), 0], [0, 0, 1]]
        )
        cameras.append(replace(straight, R=straight.R @ turn, name=f"cam{number}"))
        keypoints_npz.write(film(motion, cameras[-1]), tmp_path / f"cam{number}.npz")
        views.append(tmp_path / f"cam{number}.npz")
    found = pw.estimate_multiview(views, CameraRig(tuple(cameras)), body="anny")
    assert found.bodies.present().all()
    _, body, mesh = meshes(found, 0)
    off = np.linalg.norm(body.joints(mesh, "rig_26").numpy() - found.joints[:, 0], axis=-1)
    assert np.nanmean(off) < 0.06


@needs_file
def test_convert_writes_bodies_and_fits_them_where_there_are_none(walk, bodied, tmp_path, capsys):
    kept, bare = tmp_path / "motion.npz", tmp_path / "walk.trc"
    pw.save(bodied, kept)
    pw.save(walk[1], bare, person=1)
    out = str(tmp_path / "body.glb")
    assert run_command_line(["convert", str(kept), out, "--body", "anny", "--body-detail", "low"]) == 0
    assert [len(v) for v in SkinnedFile(tmp_path / "body.glb").vertices(0.0)] == [1229, 1229]
    assert (
        run_command_line(["convert", str(kept), str(tmp_path / "a.npz"), "--body", "anny", "--person", "2"])
        == 0
    )
    assert body_amass.read(tmp_path / "a.npz")[0].betas.tolist() == bodied.bodies.betas[1:].tolist()
    assert run_command_line(["convert", str(bare), str(tmp_path / "b.bvh"), "--body", "anny"]) == 0
    assert pw.load(tmp_path / "b.bvh").joints.shape[2] == 104
    assert run_command_line(["convert", str(kept), str(tmp_path / "c.trc"), "--body", "anny"]) == 1
    assert "bodies are written as .glb, .bvh, .npz" in capsys.readouterr().err


@needs_file
def test_view_shows_bodies_and_says_where_it_cannot(bodied, tmp_path, capsys, monkeypatch):
    pw.save(bodied, tmp_path / "motion.npz")
    words = ["view", str(tmp_path / "motion.npz"), "--no-open"]
    assert run_command_line(words) == 0
    assert 'id="array-body_rotations"' in (tmp_path / "motion.html").read_text()
    monkeypatch.setenv("POSEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("POSEWRIGHT_OFFLINE", "1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run_command_line(words) == 0
    assert "the fitted bodies are not shown" in capsys.readouterr().err
    assert 'id="array-body_rotations"' not in (tmp_path / "motion.html").read_text()


@needs_file
def test_one_frame_and_a_person_who_cannot_be_fitted(walk, tmp_path):
    motion = walk[1]
    lost = np.where(np.arange(2)[:, None, None], np.nan, motion.joints).astype(np.float32)
    sure = np.where(np.arange(2)[:, None], 0, motion.confidence).astype(np.float32)
    fitted = pw.with_bodies(replace(motion, joints=lost, confidence=sure))
    assert not fitted.bodies.present()[:, 1].any()
    assert "person 2: nobody to fit" in fitted.history[-1]
    assert [f.name for f in save_body(fitted, tmp_path / "body.bvh")] == ["body_person1.bvh"]
    assert len(SkinnedFile(save_body(fitted, tmp_path / "body.glb", detail="low")[0]).vertices(0.5)) == 2
    still = walking_keypoints(seconds=0.01)
    keypoints_npz.write(still, tmp_path / "one.npz")
    assert pw.estimate(tmp_path / "one.npz", body="anny").bodies.present().all()


@needs_file
def test_joints_that_a_body_cannot_reach_become_a_warning(walk):
    joints = walk[1].joints.copy()
    joints[:, 0, walk[1].skeleton.index("left_wrist"), 2] += 0.7
    fitted = pw.with_bodies(replace(walk[1], joints=joints, rotations_wxyz=None, rest_offsets=None))
    assert any(
        "person 1: joints the body could not reach" in w and "left wrist" in w for w in fitted.warnings
    )


@needs_file
def test_errors_say_what_to_do(walk, bodied, tmp_path):
    with pytest.raises(InputError, match="--body is 'smpl', expected one of none, anny"):
        RunOptions(body="smpl")
    with pytest.raises(InputError, match="body 'smpl', expected one of anny"):
        pw.with_bodies(walk[1], "smpl")
    with pytest.raises(InputError, match="the motion has no bodies"):
        save_body(walk[1], tmp_path / "body.glb")
    with pytest.raises(InputError, match=r"bodies are written as \.glb, \.bvh, \.npz"):
        save_body(bodied, tmp_path / "body.fbx")
    with pytest.raises(InputError, match="body detail 'fine', expected one of full, low"):
        save_body(bodied, tmp_path / "body.glb", detail="fine")
    with pytest.raises(InputError, match="--body-detail is 'fine'"):
        run_clip(walk[0], tmp_path / "out", body_detail="fine")
    other = replace(bodied.skeleton, name="mine")
    with pytest.raises(InputError, match="fit our rig to it first"):
        pw.with_bodies(replace(walk[1], skeleton=other))
    assert not list(tmp_path.iterdir())


def test_without_the_file_and_offline_nothing_is_begun(walk, tmp_path, monkeypatch):
    monkeypatch.setenv("POSEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("POSEWRIGHT_OFFLINE", "1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingAssetError, match="POSEWRIGHT_OFFLINE is set") as refusal:
        run_clip(walk[0], tmp_path / "out", RunOptions(body="anny"))
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(MissingAssetError):
        run_multiview([], tmp_path / "absent.toml", tmp_path / "out", RunOptions(body="anny"))
