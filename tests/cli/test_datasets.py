"""`posewright datasets` and the plain copies of pickled data sets."""

import json

import numpy as np
import pytest

from posewright.cli import run_command_line
from posewright.core.safe_pickle import has_pickles
from posewright.datasets import human36m
from posewright.datasets.catalogue import list_datasets, reader
from tests.datasets.trees import human36m as h36m_tree
from tests.datasets.trees import mpi_inf_3dhp as mpi_tree


def said(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def test_without_a_word_more_it_lists_licences_and_what_they_give(capsys):
    assert run_command_line(["datasets", "--json"]) == 0
    cards = {card["name"]: card for card in json.loads(capsys.readouterr().out)}
    assert sorted(cards) == list_datasets()
    assert "academic" in cards["human36m"]["licence"]
    assert run_command_line(["datasets"]) == 0
    assert "human36m" in capsys.readouterr().out


@pytest.mark.parametrize("name", list_datasets())
def test_contract_show_says_how_to_get_it_and_the_layout(name, capsys):
    assert run_command_line(["datasets", "show", name]) == 0
    text, card = capsys.readouterr().out, reader(name).CARD
    assert card.obtain in text
    assert card.layout in text
    assert card.licence in text


def test_show_of_an_unknown_one_lists_the_known(capsys):
    assert run_command_line(["datasets", "show", "human37m"]) == 1
    assert "human36m" in capsys.readouterr().err


def test_check_counts_takes_frames_and_cameras(tmp_path, capsys):
    h36m_tree.write(tmp_path)
    assert run_command_line(["datasets", "check", "human36m", str(tmp_path), "--json"]) == 0
    found = said(capsys)
    assert found["missing"] == []
    takes = list(human36m.read(tmp_path, "test"))
    test = found["splits"]["test"]
    assert (test["takes"], test["frames"]) == (len(takes), sum(t.num_frames for t in takes)) == (3, 33)
    assert (test["subjects"], test["views"], test["calibrated"]) == (["S9"], 4, 4)
    assert test["seconds"] == pytest.approx(33 / 50)
    (tmp_path / "data_2d_h36m_gt.npz").unlink()
    assert run_command_line(["datasets", "check", "human36m", str(tmp_path), "--split", "test"]) == 0
    assert "test" in capsys.readouterr().out
    run_command_line(["datasets", "check", "human36m", str(tmp_path), "--split", "test", "--json"])
    assert said(capsys)["splits"]["test"]["calibrated"] == 0


def test_check_says_what_is_missing(tmp_path, capsys):
    assert run_command_line(["datasets", "check", "human36m", str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert "data_3d_h36m.npz" in text
    assert "datasets show human36m" in text
    assert run_command_line(["datasets", "check", "human36m", str(tmp_path), "--split", "dev"]) == 1
    assert "train, test" in capsys.readouterr().err


def test_check_of_one_half_says_which_split_is_absent(tmp_path, capsys):
    mpi_tree.write(tmp_path)
    (tmp_path / "data_train_3dhp.npz").unlink()
    assert run_command_line(["datasets", "check", "mpi_inf_3dhp", str(tmp_path), "--json"]) == 1
    splits = said(capsys)["splits"]
    assert "data_train_3dhp" in splits["train"]["problem"]
    assert splits["test"]["problem"] is None
    assert splits["test"]["takes"] == 2
    only = ["datasets", "check", "mpi_inf_3dhp", str(tmp_path), "--split", "test"]
    assert run_command_line(only) == 0


def test_convert_writes_a_plain_copy_that_reads_the_same(tmp_path, capsys):
    h36m_tree.write(tmp_path)
    expected = next(human36m.read(tmp_path, "test"))
    for name in ("data_3d_h36m", "data_2d_h36m_gt"):
        path = tmp_path / f"{name}.npz"
        assert has_pickles(path)
        assert run_command_line(["convert", str(path), str(path)]) == 0
        assert not has_pickles(path)
        with np.load(path, allow_pickle=False) as file:
            assert all(file[key].dtype != object for key in file.files)
    again = next(human36m.read(tmp_path, "test"))
    np.testing.assert_array_equal(again.motion.joints, expected.motion.joints)
    np.testing.assert_array_equal(again.views[1].keypoints.positions, expected.views[1].keypoints.positions)


def test_convert_refuses_pickles_that_would_run_something(tmp_path, capsys):
    class Hostile:
        def __reduce__(self):
            return (print, ("executed",))

    box = np.empty((), object)
    box[()] = Hostile()
    np.savez(tmp_path / "bad.npz", positions_2d=box)
    assert run_command_line(["convert", str(tmp_path / "bad.npz"), str(tmp_path / "plain.npz")]) == 1
    done = capsys.readouterr()
    assert "executed" not in done.out
    assert "bad.npz" in done.err
    assert not (tmp_path / "plain.npz").exists()
