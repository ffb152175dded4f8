"""Files are whole or absent."""

import pytest

from posewright.core.files import atomic_path


def test_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "new" / "result.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
        assert temporary.suffix == ".txt"
    assert target.read_text() == "whole"
    assert [p.name for p in target.parent.iterdir()] == ["result.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_old_file_survives_a_failure(tmp_path, error):
    target = tmp_path / "result.txt"
    target.write_text("old")

    def fail():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises((KeyboardInterrupt, OSError)):
        fail()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.txt"]
