import numpy as np
import pytest

from posewright.core import plain_npz
from posewright.core.errors import InputError
from posewright.core.safe_pickle import read_object_npz, write_plain_copy
from posewright.datasets import human36m, mpi_inf_3dhp
from tests.datasets.trees import human36m as h36m_tree
from tests.datasets.trees import mpi_inf_3dhp as mpi_tree


@pytest.mark.parametrize(("tree", "reader"), [(h36m_tree, human36m), (mpi_tree, mpi_inf_3dhp)])
def test_law_readers_take_a_plain_copy_for_the_original(tree, reader, tmp_path):
    tree.write(tmp_path)
    before = list(reader.read(tmp_path))
    for path in tmp_path.glob("*.npz"):
        write_plain_copy(path, path)
        with np.load(path, allow_pickle=False) as data:
            assert all(not data[name].dtype.hasobject for name in data.files), "read without pickles"
    after = list(reader.read(tmp_path))
    assert [t.name for t in after] == [t.name for t in before]
    for a, b in zip(after, before, strict=True):
        for one, other in zip(a.views, b.views, strict=True):
            np.testing.assert_array_equal(one.keypoints.positions, other.keypoints.positions)
        assert a.fps == b.fps


def test_law_trees_come_back_as_they_were(tmp_path):
    box = np.empty((), object)
    box[()] = {"S1": {3: [np.arange(4), None, ("a", 2.5)]}, "empty": {}, "yes": True, "n": np.float32(0.5)}
    plain_npz.write({"tree": box, "numbers": np.eye(2)}, tmp_path / "plain.npz")
    again = read_object_npz(tmp_path / "plain.npz")
    np.testing.assert_array_equal(again["numbers"], np.eye(2))
    tree = again["tree"].item()
    np.testing.assert_array_equal(tree["S1"][3][0], np.arange(4))
    assert tree["S1"][3][1:] == [None, ["a", 2.5]]
    assert (tree["empty"], tree["yes"], tree["n"]) == ({}, True, 0.5)


def test_what_has_no_plain_form_is_named(tmp_path):
    box = np.empty((), object)
    box[()] = {"S1": {"walk": {1, 2}}}
    with pytest.raises(InputError, match="/positions/S1/walk is set"):
        plain_npz.write({"positions": box}, tmp_path / "plain.npz")
    assert not (tmp_path / "plain.npz").exists()


@pytest.mark.parametrize(
    "tree",
    [
        "{",
        "[]",
        '{"version": 2}',
        '{"version": 1}',
        '{"version": 1, "root": {"dict": [["a", {"array": 7}]]}}',
    ],
)
def test_trees_that_do_not_fit_are_refused(tree, tmp_path):
    np.savez(tmp_path / "plain.npz", n0=np.zeros(2), **{plain_npz.KEY: np.array(tree)})
    with pytest.raises(InputError):
        read_object_npz(tmp_path / "plain.npz")
