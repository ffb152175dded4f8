"""What single data set readers do beyond the contract of all of them."""

import pickle

import numpy as np
import pytest

from posewright.core.errors import InputError
from posewright.core.safe_pickle import read_pickle
from posewright.datasets import (
    amass,
    athletepose3d,
    bandai_namco,
    cmu,
    human36m,
    humaneva,
    mocap,
    motionbert_h36m,
    mpi_inf_3dhp,
    threedpw,
)
from posewright.metrics.averaging import average
from posewright.metrics.protocols import get, sequence_scores
from tests.datasets.trees import amass as amass_tree
from tests.datasets.trees import athletepose3d as athlete_tree
from tests.datasets.trees import bandai_namco as bandai_tree
from tests.datasets.trees import cmu as cmu_tree
from tests.datasets.trees import human36m as h36m_tree
from tests.datasets.trees import humaneva as humaneva_tree
from tests.datasets.trees import motionbert_h36m as motionbert_tree
from tests.datasets.trees import mpi_inf_3dhp as mpi_tree
from tests.datasets.trees import threedpw as threedpw_tree
from tests.datasets.trees.figures import camera, figure


def test_human36m_finds_the_cameras_that_made_its_true_keypoints(tmp_path):
    h36m_tree.write(tmp_path)
    take = next(human36m.read(tmp_path, "test"))
    assert (take.subject, take.action, take.fps) == ("S9", "Walking", 50.0)
    assert [v.camera.image_size[1] for v in take.views] == [1002, 1000, 1000, 1002]
    for n, view in enumerate(take.views):
        K, R, t = camera(0.5 + 1.5 * n + 0.1, human36m.CAMERAS["54138969"], 1145 + n)
        np.testing.assert_allclose(-view.camera.R.T @ view.camera.t, -R.T @ t, atol=2e-3)
        assert view.camera.K[0, 0] == pytest.approx(K[0, 0], abs=1.0)
    assert [t.action for t in human36m.read(tmp_path, "test")] == ["Walking", "Walking", "Sitting"]


def test_human36m_takes_the_keypoints_asked_for(tmp_path):
    h36m_tree.write(tmp_path)
    true, detected, none = (
        next(human36m.read(tmp_path, keypoints=k)).views[0] for k in ("auto", "cpn_ft_h36m_dbb", None)
    )
    assert none.keypoints is None
    assert none.camera is not None
    error = detected.keypoints.positions - true.keypoints.positions
    assert 2 < error.std() < 4, "detections of 3 pixels, cut to the motion's length"
    np.testing.assert_allclose(detected.camera.K, true.camera.K)
    with pytest.raises(InputError, match="cpn_ft_h36m_dbb, gt"):
        next(human36m.read(tmp_path, keypoints="hrnet"))


def test_human36m_without_true_keypoints_has_no_cameras(tmp_path):
    h36m_tree.write(tmp_path)
    (tmp_path / "data_2d_h36m_gt.npz").unlink()
    view = next(human36m.read(tmp_path)).views[0]
    assert view.camera is None
    assert view.joints is None
    assert "cpn" in view.keypoints.history[0]


def test_human36m_refuses_2d_of_other_frames(tmp_path):
    h36m_tree.write(tmp_path)
    with np.load(tmp_path / "data_2d_h36m_gt.npz", allow_pickle=True) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["positions_2d"].item()["S9"]["Sitting"][2] = np.zeros((3, 17, 2), np.float32)
    np.savez(tmp_path / "data_2d_h36m_gt.npz", **arrays)
    with pytest.raises(InputError, match="S9/Sitting, camera 2 has 3 frames of 2D for 12 of 3D"):
        list(human36m.read(tmp_path, "test"))


def test_human36m_scores_under_its_protocol(tmp_path):
    h36m_tree.write(tmp_path)
    protocol, values, actions = get("h36m/p1"), [], []
    for take in human36m.read(tmp_path, "test"):
        for view in take.views:
            truth = view.joints.positions[:, 0]
            wrong = truth + (0.02 if take.action == "Sitting" else 0.01) * (np.arange(17) > 0)[:, None] * [
                1.0,
                0,
                0,
            ]
            scores = sequence_scores(
                protocol, wrong.astype(np.float32), truth, view.joints.skeleton.joint_names
            )
            values.append(scores["mpjpe_mm"])
            actions += [take.action] * take.num_frames
    result = average(np.concatenate(values), actions)
    assert result.groups["Walking"] == pytest.approx(10 * 16 / 17, rel=1e-4)
    assert result.per_group == pytest.approx(15 * 16 / 17, rel=1e-4)


def test_humaneva_shares_a_persons_cameras_between_splits(tmp_path):
    humaneva_tree.write(tmp_path)
    takes = {t.name: t for t in humaneva.read(tmp_path)}
    trained, validated = (takes[f"{s}/S2/Walking 1 chunk0"].views[1].camera for s in ("Train", "Validate"))
    np.testing.assert_allclose(trained.K, validated.K)
    assert takes["Train/S1/Box 1 chunk2"].action == "Box"
    assert takes["Train/S1/Box 1 chunk2"].subject == "S1"


def test_motionbert_keeps_image_units_and_their_factor(tmp_path):
    motionbert_tree.write(tmp_path)
    takes = list(motionbert_h36m.read(tmp_path, "test"))
    assert [t.name for t in takes][:2] == ["s_09_act_02_subact_01_ca_01", "s_09_act_02_subact_01_ca_02"]
    view = takes[0].views[0]
    assert (takes[0].subject, takes[0].action, takes[0].num_frames) == ("S9", "Walking", 9)
    assert view.keypoints.image_size == (1000, 1002)
    assert (view.keypoints.confidence == np.float32(0.9)).all()
    np.testing.assert_allclose(view.joints_image[..., :2], view.keypoints.positions, atol=1e-3)
    metres = (view.joints_image - view.joints_image[:, :, :1]) * view.metres_per_pixel[:, None, None, None]
    np.testing.assert_allclose(view.joints.positions, metres, atol=1e-4)
    np.testing.assert_allclose(view.joints.positions[:, :, 0], 0.0)


def test_mpi_inf_3dhp_reads_rates_pictures_and_valid_frames(tmp_path):
    mpi_tree.write(tmp_path)
    train, test = (list(mpi_inf_3dhp.read(tmp_path, split, cameras=True)) for split in ("train", "test"))
    assert [(t.subject, t.action, t.fps, len(t.views)) for t in train] == [
        ("S1", "Seq1", 25, 2),
        ("S2", "Seq1", 50, 2),
    ]
    sizes = {t.name: t.views[0].keypoints.image_size for t in test}
    assert sizes == {"TS1": (2048, 2048), "TS5": (1920, 1080)}
    assert test[0].valid.sum() == 9
    found = test[0].views[0].camera
    assert found.K[0, 0] == pytest.approx(1500, abs=1)
    np.testing.assert_allclose(found.R, np.eye(3), atol=1e-3)
    (tmp_path / "data_train_3dhp.npz").unlink()
    assert mpi_inf_3dhp.missing(tmp_path) == []
    assert len(list(mpi_inf_3dhp.read(tmp_path))) == 2
    with pytest.raises(InputError, match="data_train_3dhp"):
        next(mpi_inf_3dhp.read(tmp_path, "train"))


def test_threedpw_turns_the_world_and_the_moving_camera(tmp_path):
    threedpw_tree.write(tmp_path)
    take = next(threedpw.read(tmp_path, "test"))
    assert take.motion.num_people == 2
    np.testing.assert_allclose(take.motion.joints[:, 0], figure("smpl_24", 10), atol=1e-5)
    view = take.views[0]
    assert view.camera.image_size == (1080, 1920)
    for frame in (0, 9):
        _, R, t = camera(0.1 * frame, (1080, 1920), 1960.0)
        np.testing.assert_allclose(view.camera.R[frame], R, atol=1e-9)
        np.testing.assert_allclose(view.camera.t[frame], t, atol=1e-9)
    assert take.valid.shape == (10, 2)
    assert not take.valid[6, 1]
    names = view.keypoints.skeleton.index
    x = view.keypoints.positions[0, 0, :, 0]
    assert x[names("left_wrist")] > x[names("right_wrist")], "a person who comes towards the camera"
    for joint in ("ear", "shoulder", "elbow", "hip", "knee", "ankle"):
        assert x[names(f"left_{joint}")] > x[names(f"right_{joint}")], joint
    assert np.isnan(view.keypoints.positions[4, 1]).all()
    assert (view.keypoints.confidence[4, 1] == 0).all()
    assert threedpw.missing(tmp_path / "sequenceFiles") == []


def test_threedpw_warns_of_a_world_that_is_not_upright(tmp_path):
    threedpw_tree.write(tmp_path)
    path = tmp_path / "sequenceFiles" / "test" / "downtown_test_00.pkl"
    data = pickle.loads(path.read_bytes())  # noqa: S301 - written by this test
    data["jointPositions"] = [
        p.reshape(10, 24, 3)[..., [0, 2, 1]].reshape(10, 72) for p in data["jointPositions"]
    ]
    path.write_bytes(pickle.dumps(data, protocol=2))
    assert "do not stand upright" in next(threedpw.read(tmp_path, "test")).motion.warnings[0]


def test_amass_poses_the_users_own_body(tmp_path):
    amass_tree.write(tmp_path)
    takes = {t.name: t for t in amass.read(tmp_path)}
    assert {n: t.fps for n, t in takes.items()} == {
        "ACCAD/Female1/B1_stand_poses": 120.0,
        "SFU/0005/0005_Walking001_poses": 100.0,
        "SSM/one/take_stageii": 60.0,
    }
    assert [t.name for t in amass.read(tmp_path, "test")] == ["SSM/one/take_stageii"]
    with np.load(tmp_path / "SSM/one/take_stageii.npz") as data:
        poses, trans = data["poses"], data["trans"]
    rest = amass_tree.rest_joints()
    rest = rest + 0.3 * 0.1 * (rest - rest[:1])
    expected = _smpl_joints(rest, poses[:, :66].reshape(-1, 22, 3), trans)
    motion = takes["SSM/one/take_stageii"].motion
    np.testing.assert_allclose(motion.joints[:, 0], expected, atol=1e-5)
    offsets = motion.rest_offsets[0]
    assert offsets[amass.SMPL_22.index("left_shoulder"), 0] > 0
    assert offsets[amass.SMPL_22.index("left_foot"), 1] < 0, "faces -Y at rest"
    identity = np.abs(motion.rotations_wxyz[0, 0, 0, 0])
    assert identity == pytest.approx(1.0, abs=1e-5), "a body that stands is nearly at rest in our axes"


def _smpl_joints(rest, rotvecs, trans):
    """The body model's own chain, one joint after another, with scipy's rotations."""
    from scipy.spatial.transform import Rotation

    out = np.zeros((len(trans), 22, 3))
    for frame in range(len(trans)):
        turns = []
        for j, parent in enumerate(amass.SMPL_22.parents):
            local = Rotation.from_rotvec(rotvecs[frame, j]).as_matrix()
            turns.append(local if parent < 0 else turns[parent] @ local)
            place = (
                rest[0] + trans[frame]
                if parent < 0
                else out[frame, parent] + turns[parent] @ (rest[j] - rest[parent])
            )
            out[frame, j] = place
    return out


def test_amass_without_a_body_model_says_where_to_get_one(tmp_path, monkeypatch):
    amass_tree.write(tmp_path)
    monkeypatch.setenv("POSEWRIGHT_BODIES", str(tmp_path / "elsewhere"))
    with pytest.raises(InputError, match="no smplh body model.*mano.is.tue.mpg.de"):
        next(amass.read(tmp_path))
    assert next(amass.read(tmp_path, body_models=tmp_path / "body_models")).motion.num_frames == 12


def test_cmu_knows_rates_and_leaves_out_the_t_pose(tmp_path):
    cmu_tree.write(tmp_path)
    takes = {t.name: t for t in cmu.read(tmp_path)}
    assert {n: (t.subject, t.action, t.fps) for n, t in takes.items()} == {
        "bvh/10_03.bvh": ("10", "03", 120.0),
        "bvh/60_01.bvh": ("60", "01", 60.0),
        "subjects/05/05_13.amc": ("5", "13", 120.0),
    }
    assert takes["bvh/10_03.bvh"].num_frames == 24


def test_cmu_reads_one_recording_alike_from_both_kinds_of_file(shared_data):
    takes = {t.name: t for t in cmu.read(shared_data / "formats") if t.subject == "5"}
    acclaim, converted = (takes[f"cmu_05_13.{kind}"].motion for kind in ("amc", "bvh"))
    assert acclaim.num_frames == converted.num_frames == 1095
    assert acclaim.fps == converted.fps == 120
    for bone, joint in (("ltibia", "LeftLeg"), ("rfoot", "RightFoot")):
        ours = acclaim.joints[:, 0, acclaim.skeleton.index(bone)]
        theirs = converted.joints[:, 0, converted.skeleton.index(joint)]
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_mocap_reads_the_real_files(shared_data):
    takes = list(mocap.read(shared_data / "mocap", "val"))
    assert len(takes) == 50
    assert sum(t.num_frames for t in takes) == 12008


def test_bandai_namco_splits_names_into_action_and_style(tmp_path):
    bandai_tree.write(tmp_path)
    takes = list(bandai_namco.read(tmp_path))
    assert [t.action for t in takes] == ["raise-up-both-hands, active", "walk, happy", "run, normal"]
    assert [t.action for t in bandai_namco.read(tmp_path, style="happy")] == ["walk, happy"]
    assert takes[0].fps == 30


def test_athletepose3d_finds_which_way_is_up(tmp_path):
    athlete_tree.write(tmp_path)
    take = next(athletepose3d.read(tmp_path, "train"))
    assert (take.subject, take.action, take.fps) == ("S1", "Axel", 60.0)
    np.testing.assert_allclose(take.motion.joints[:, 0], figure("h36m_17", 10), atol=1e-5)
    assert "y up (from the people)" in take.motion.history
    _, R, t = camera(0.7, (1920, 1080), 1800.0)
    np.testing.assert_allclose(take.views[0].camera.R, R, atol=1e-9)
    np.testing.assert_allclose(take.views[0].camera.t, t, atol=1e-9)
    for axis, turn in athletepose3d.UP.items():
        assert athletepose3d.upright_axis(figure("h36m_17") @ turn) == axis
        assert np.linalg.det(turn) == pytest.approx(1)


@pytest.mark.parametrize("protocol", range(6))
def test_law_pickles_of_arrays_read_back_in_every_protocol(protocol, tmp_path):
    value = {
        "a": np.arange(12.0).reshape(3, 4),
        "b": [np.float32(1.5), "text"],
        "c": np.array(["x", "yy"]),
        "d": {1, 2},
    }
    (tmp_path / "data.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
    again = read_pickle(tmp_path / "data.pkl")
    np.testing.assert_array_equal(again["a"], value["a"])
    assert list(again["c"]) == ["x", "yy"]
    assert (again["b"], again["d"]) == ([1.5, "text"], {1, 2})
