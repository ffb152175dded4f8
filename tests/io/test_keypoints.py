"""2D keypoints made by other programs."""

import json
import pickle

import numpy as np
import pytest

from posewright.core.errors import InputError
from posewright.io import keypoints_npz, keypoints_videopose3d, npz
from posewright.io.keypoints import read_keypoints
from posewright.structures.keypoints import Keypoints2D
from tests.io.sample_motion import sample_motion

FRAMES, K = 12, 17


def walkers():
    """(T, 2, K, 2) two people of 200 pixels who walk past each other, and (T, 2, K) scores; one keypoint
    missing."""
    rng = np.random.default_rng(0)
    body = rng.uniform(0, 200, (2, K, 2))
    start, speed = np.array([[300.0, 200], [900, 210]]), np.array([[40.0, 0], [-40, 0]])
    positions = body + start[:, None] + np.arange(FRAMES)[:, None, None, None] * speed[:, None]
    scores = rng.uniform(0.5, 1, (FRAMES, 2, K))
    scores[3, 0, 5] = 0
    return np.round(positions, 3), np.round(scores, 3)


def people_of(t, flip):
    """The people of a frame in changing order, as a list of (index, [x, y, s]*K)."""
    positions, scores = walkers()
    order = (1, 0) if flip and t % 2 else (0, 1)
    return [(p, np.concatenate([positions[t, p], scores[t, p, :, None]], -1).ravel().tolist()) for p in order]


def openpose(folder, ids):
    folder = folder / "json"
    folder.mkdir()
    for t in range(FRAMES):
        people = [{"person_id": [p if ids else -1], "pose_keypoints_2d": k} for p, k in people_of(t, True)]
        (folder / f"clip_{t + 40:012d}_keypoints.json").write_text(
            json.dumps({"version": 1.3, "people": people})
        )
    return folder


def coco_results(folder, ids):
    entries = [
        {"image_id": t + 1, "category_id": 1, "keypoints": k, "score": 0.9} | ({"track_id": p} if ids else {})
        for t in range(FRAMES)
        for p, k in people_of(t, True)
    ]
    return dump(folder, entries)


def mmpose(folder, ids):
    frames = []
    for t in range(FRAMES):
        instances = [
            {
                "keypoints": np.reshape(k, (K, 3))[:, :2].tolist(),
                "keypoint_scores": np.reshape(k, (K, 3))[:, 2].tolist(),
                "bbox": [[0, 0, 1, 1]],
            }
            | ({"track_id": p} if ids else {})
            for p, k in people_of(t, True)
        ]
        frames.append({"frame_id": t + 1, "instances": instances})
    return dump(folder, {"meta_info": {}, "instance_info": frames})


def alphapose(folder, ids):
    entries = [
        {"image_id": f"{t}.jpg", "category_id": 1, "keypoints": k, "score": 3.0}
        | ({"idx": [p]} if ids else {})
        for t in range(FRAMES)
        for p, k in people_of(t, True)
    ]
    return dump(folder, entries)


def dump(folder, document):
    (folder / "keypoints.json").write_text(json.dumps(document))
    return folder / "keypoints.json"


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("program", [openpose, coco_results, mmpose, alphapose])
def test_contract_people_keep_their_identity(program, ids, tmp_path):
    read = read_keypoints(program(tmp_path, ids), fps=25.0, image_size=(1280, 720))
    positions, scores = walkers()
    assert isinstance(read, Keypoints2D)
    assert (read.skeleton.name, read.fps, read.image_size) == ("coco_17", 25.0, (1280, 720))
    seen = scores > 0
    np.testing.assert_allclose(read.positions[seen], positions[seen], atol=1e-3)
    np.testing.assert_allclose(read.confidence, scores, atol=1e-6)
    assert np.isnan(read.positions[~seen]).all()
    assert read.person_ids == ((0, 1) if ids else (1, 2))
    assert any(("numbered in the file" if ids else "linked") in note for note in read.history)


def test_unknown_size_and_rate_are_guessed_and_said(tmp_path):
    read = read_keypoints(coco_results(tmp_path, True))
    assert read.image_size == (1280, 720)
    assert read.fps == 30
    assert any("image size guessed" in note for note in read.history)
    assert any("frame rate assumed" in note for note in read.history)


def test_person_who_is_away_for_some_frames(tmp_path):
    folder = openpose(tmp_path, False)
    for t in (4, 5):
        file = folder / f"clip_{t + 40:012d}_keypoints.json"
        document = json.loads(file.read_text())
        document["people"] = [p for p in document["people"] if p["pose_keypoints_2d"][0] > 700]
        file.write_text(json.dumps(document))
    (folder / f"clip_{7 + 40:012d}_keypoints.json").unlink()
    read = read_keypoints(folder)
    assert read.positions.shape == (FRAMES, 2, K, 2)
    away = np.isnan(read.positions).all((-1, -2))
    assert away[7].all()
    assert away.sum(0).min() >= 1
    assert (read.confidence[away] == 0).all()


def test_coco_annotations_bring_their_size(tmp_path):
    images = [
        {"id": 7 + t, "file_name": f"frame_{t:03d}.png", "width": 1300, "height": 700} for t in range(FRAMES)
    ]
    annotations = []
    for t in range(FRAMES):
        for p, k in people_of(t, False):
            values = np.reshape(k, (K, 3)).copy()
            values[:, 2] = np.where(values[:, 2] > 0.7, 2, np.where(values[:, 2] > 0, 1, 0))
            annotations.append({"image_id": 7 + t, "track_id": p, "keypoints": values.ravel().tolist()})
    read = read_keypoints(dump(tmp_path, {"images": images, "annotations": annotations}))
    assert read.image_size == (1300, 700)
    assert set(np.unique(read.confidence)) == {0, 0.5, 1}


@pytest.mark.parametrize(("count", "name"), [(25, "body_25"), (18, "openpose_coco_18")])
def test_openpose_joint_sets(count, name, tmp_path):
    person = {"pose_keypoints_2d": np.tile([5.0, 6.0, 0.5], count).tolist()}
    read = read_keypoints(dump(tmp_path, {"version": 1.3, "people": [person]}))
    assert read.skeleton.name == name
    assert read.positions.shape == (1, 1, count, 2)


def videopose3d(file, clips=None):
    positions, _ = walkers()
    clips = clips or {"clip.mp4": {"custom": [positions[:, 0]]}}
    metadata = {
        "layout_name": "coco",
        "num_joints": 17,
        "keypoints_symmetry": [[1, 3], [2, 4]],
        "video_metadata": {"clip.mp4": {"w": 1282, "h": 722}},
    }
    np.savez_compressed(file, positions_2d=clips, metadata=metadata)
    return file


def test_videopose3d(tmp_path):
    read = read_keypoints(videopose3d(tmp_path / "data_2d_custom_x.npz"))
    np.testing.assert_allclose(read.positions[:, 0], walkers()[0][:, 0], atol=1e-3)
    assert read.image_size == (1282, 722)


def test_videopose3d_with_several_clips_asks_which(tmp_path):
    positions, _ = walkers()
    file = videopose3d(tmp_path / "d.npz", {"S1": {"Walking": [positions[:, 0], positions[:, 1]]}})
    with pytest.raises(InputError, match="S1/Walking/0, S1/Walking/1"):
        read_keypoints(file)
    read = keypoints_videopose3d.read(file, clip="S1/Walking/1")
    np.testing.assert_allclose(read.positions[:, 0], positions[:, 1], atol=1e-3)


class Bomb:
    def __reduce__(self):
        return open, ("exploded", "w")


@pytest.mark.parametrize("value", [Bomb(), {"S1": Bomb()}, np.array([Bomb()], dtype=object)])
def test_hostile_videopose3d_is_never_executed(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    array = np.empty((), object)
    array[()] = value
    np.savez("hostile.npz", positions_2d=array)
    with pytest.raises(InputError, match=r"io\.open|not data"):
        read_keypoints("hostile.npz")
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError):
        read_keypoints("bare.npz")
    assert not (tmp_path / "exploded").exists()


def test_our_own_file_is_recognised(tmp_path):
    read = read_keypoints(coco_results(tmp_path, True))
    keypoints_npz.write(read, tmp_path / "keypoints.npz")
    again = read_keypoints(tmp_path / "keypoints.npz")
    np.testing.assert_array_equal(again.positions, read.positions)


def test_a_finished_motion_is_pointed_to_where_it_belongs(tmp_path):
    npz.write(sample_motion(), tmp_path / "motion.npz")
    with pytest.raises(InputError, match="posewright view") as error:
        read_keypoints(tmp_path / "motion.npz")
    assert str(error.value).count("motion.npz") == 1


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        "[1, 2]",
        '{"people": []}',
        '{"people": [{"pose_keypoints_2d": [1, 2]}]}',
        "[[[[",
        "null",
    ],
)
def test_bad_json_is_one_clear_error(content, tmp_path):
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(InputError, match="bad.json"):
        read_keypoints(tmp_path / "bad.json")


def test_error_lists_what_was_looked_for(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError, match="OpenPose.*MMPose.*AlphaPose.*COCO.*VideoPose3D"):
        read_keypoints(tmp_path / "a.json")
    with pytest.raises(InputError, match="no such file"):
        read_keypoints(tmp_path / "absent.json")
