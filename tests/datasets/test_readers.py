"""What every data set reader promises, on fabricated trees: `tests/datasets/trees/<reader>.py` writes one."""

import pickle
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from posewright.core.errors import InputError
from posewright.datasets import catalogue
from posewright.structures.cameras import Camera

READERS = catalogue.list_datasets()
LIFTED = {"motionbert_h36m"}
"""Joints keep the picture's perspective and have no place."""


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """Root of each reader's fabricated tree, written when first asked for."""
    roots = {}

    def tree(name):
        if name not in roots:
            roots[name] = tmp_path_factory.mktemp(name)
            import_module(f"tests.datasets.trees.{name}").write(roots[name])
        return roots[name]

    return tree


def _takes(name, root, split=None):
    return list(catalogue.reader(name).read(root, split))


def _joints(take):
    """Every set of 3D joints of a take, with its joint set and which way is up."""
    if take.motion is not None:
        yield take.motion.joints, take.motion.skeleton, np.array([0.0, 0.0, 1.0])
    for view in take.views:
        if view.joints is not None and view.camera is not None:
            R = np.asarray(view.camera.R)
            yield view.joints.positions, view.joints.skeleton, (R if R.ndim == 2 else R[0])[:, 2]
        elif view.joints is not None:
            yield view.joints.positions, view.joints.skeleton, np.array([0.0, -1.0, 0.0])


def test_contract_there_are_readers():
    assert {"human36m", "humaneva", "mpi_inf_3dhp", "motionbert_h36m", "threedpw", "amass", "cmu"} <= set(
        READERS
    )
    with pytest.raises(LookupError, match="human36m"):
        catalogue.reader("imagenet")


@pytest.mark.parametrize("name", READERS)
def test_contract_card_says_licence_layout_and_what_it_rests_on(name):
    card = catalogue.reader(name).CARD
    for text in (card.title, card.licence, card.obtain, card.layout, card.rests_on, card.gives):
        assert len(text) > 3
    assert card.splits
    assert card.layout.startswith("root/")


@pytest.mark.parametrize("name", READERS)
def test_contract_the_manual_describes_it(name):
    page = (Path(__file__).resolve().parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    card = catalogue.reader(name).CARD
    for text in (f"| `{name}` | {card.title} | {card.licence} | {card.gives} |", card.obtain, card.rests_on):
        assert text in page, "docs/datasets.md repeats the reader's card"


@pytest.mark.parametrize("name", READERS)
def test_contract_splits_are_disjoint_and_make_up_the_whole(name, trees):
    reader, root = catalogue.reader(name), trees(name)
    assert reader.missing(root) == []
    names = [take.name for take in _takes(name, root)]
    assert names
    assert len(set(names)) == len(names)
    parts = [[take.name for take in _takes(name, root, split)] for split in reader.CARD.splits]
    assert all(parts), "the fabricated tree has every split"
    assert sorted(sum(parts, [])) == sorted(names)


@pytest.mark.parametrize("name", READERS)
def test_contract_people_stand_upright_and_are_as_tall_as_people(name, trees):
    heights = []
    for take in _takes(name, trees(name)):
        assert take.fps > 0
        assert take.motion is not None or take.views
        for joints, skeleton, up in _joints(take):
            assert joints.dtype == np.float32
            assert joints.shape[0] == take.num_frames
            extents = np.nanmax(joints, axis=2) - np.nanmin(joints, axis=2)
            upward = np.nanmax(joints @ up, axis=2) - np.nanmin(joints @ up, axis=2)
            if any(w in skeleton.joint_names for w in ("head", "neck", "Head", "head_end")):
                assert 1.2 < np.nanmedian(upward) < 2.1, "metres"
                assert np.nanmedian(upward) > 0.7 * np.nanmedian(np.linalg.norm(extents, axis=-1))
                heights.append(float(np.nanmedian(upward)))
            if {"head", "left_ankle"} <= set(skeleton.joint_names):
                difference = (
                    joints[..., skeleton.index("head"), :] - joints[..., skeleton.index("left_ankle"), :]
                )
                assert np.nanmedian(difference @ up) > 1.0, "head above feet"
    assert heights


@pytest.mark.parametrize("name", READERS)
def test_contract_left_is_the_persons_own(name, trees):
    """All fabricated people face -Y with their left along +X; before a camera they walk in from whichever side."""
    for take in _takes(name, trees(name)):
        if take.motion is not None and {"left_hip", "right_hip"} <= set(take.motion.skeleton.joint_names):
            joints, skeleton = take.motion.joints, take.motion.skeleton
            across = joints[..., skeleton.index("left_hip"), :] - joints[..., skeleton.index("right_hip"), :]
            assert (np.nanmedian(across.reshape(-1, 3), axis=0)[0]) > 0.1


@pytest.mark.parametrize("name", READERS)
def test_contract_views_agree_with_the_motion_and_the_picture(name, trees):
    for take in _takes(name, trees(name)):
        for view in take.views:
            for part in (view.keypoints, view.joints):
                assert part is None or len(part.positions) == take.num_frames
            if view.joints is not None and name not in LIFTED:
                assert np.nanmin(view.joints.positions[..., 2]) > 1, "before the camera"
            if view.camera is None or view.joints is None:
                continue
            if take.motion is not None:
                expected = _seen(take.motion.joints, view.camera)
                np.testing.assert_allclose(view.joints.positions, expected, atol=1e-4)
            if view.keypoints is not None and view.keypoints.skeleton == view.joints.skeleton:
                assert view.keypoints.image_size == view.camera.image_size
                known = view.keypoints.confidence > 0
                error = _pixels(view.joints.positions, view.camera) - view.keypoints.positions
                assert np.abs(error[known]).max() < 0.05, "pixels"


def _seen(joints, camera: Camera):
    R, t = np.asarray(camera.R), np.asarray(camera.t)
    if R.ndim == 2:
        return np.einsum("ij,tpnj->tpni", R, joints) + t
    return np.einsum("tij,tpnj->tpni", R, joints) + t[:, None, None]


def _pixels(joints, camera: Camera):
    import torch

    from posewright.geometry.cameras import project

    tensors = (torch.from_numpy(np.asarray(x, np.float64)) for x in (joints, camera.K, camera.distortion))
    return project(*tensors).numpy()


@pytest.mark.parametrize("name", READERS)
def test_contract_valid_frames_have_one_flag_each(name, trees):
    for take in _takes(name, trees(name)):
        if take.valid is not None:
            assert take.valid.dtype == bool
            assert take.valid.shape[0] == take.num_frames


@pytest.mark.parametrize("name", READERS)
def test_contract_an_empty_folder_says_what_is_missing_and_where_to_get_it(name, tmp_path):
    reader = catalogue.reader(name)
    for root in (tmp_path, tmp_path / "absent"):
        assert reader.missing(root)
        for split in (None, *reader.CARD.splits):
            with pytest.raises(InputError) as refusal:
                list(reader.read(root, split))
            assert reader.CARD.obtain in str(refusal.value)
            assert reader.missing(root)[0] in str(refusal.value) or split is not None


@pytest.mark.parametrize("name", READERS)
def test_contract_unknown_splits_are_refused(name, trees):
    with pytest.raises(InputError, match="no split 'everything'"):
        _takes(name, trees(name), "everything")


def _files(root):
    return [
        f for f in sorted(root.rglob("*")) if f.is_file() and "cpn" not in f.name and f.parent.name != "bvh"
    ]


def _with_each_file_spoilt(name, root, tmp_path, spoil):
    """Read copies of the tree with one file spoilt after another; every reading must be refused."""
    refused = 0
    for file in _files(root):
        content = file.read_bytes()
        if not spoil(file):
            continue
        try:
            with pytest.raises(InputError) as refusal:
                _takes(name, root)
            assert file.stem.split("_")[0] in str(refusal.value) or file.name in str(refusal.value)
            refused += 1
        finally:
            file.write_bytes(content)
    return refused


class Bomb:
    """Creates a file when it is unpickled."""

    def __reduce__(self):
        return open, ("exploded", "w")


def _hostile(file):
    if file.suffix == ".npz":
        with np.load(file, allow_pickle=True) as there:
            names = there.files
        array = np.empty((), object)
        array[()] = {"S1": Bomb()}
        np.savez(file, **dict.fromkeys(names, array))
    elif file.suffix == ".npy":
        np.save(file, np.array([Bomb()], object))
    elif file.suffix == ".pkl":
        file.write_bytes(pickle.dumps({"train": Bomb()}))
    else:
        return False
    return True


@pytest.mark.parametrize("name", READERS)
def test_contract_hostile_files_are_never_executed(name, trees, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kinds = {f.suffix for f in _files(trees(name))} & {".npz", ".npy", ".pkl"}
    assert bool(_with_each_file_spoilt(name, trees(name), tmp_path, _hostile)) == bool(kinds)
    assert not (tmp_path / "exploded").exists()


def _cut(file):
    if file.suffix == ".json" and file.name != "cam_param.json" and "dataset-" in file.name:
        return False
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return True


@pytest.mark.parametrize("name", READERS)
def test_contract_files_cut_off_are_refused(name, trees, tmp_path):
    assert _with_each_file_spoilt(name, trees(name), tmp_path, _cut)
