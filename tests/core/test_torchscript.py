"""TorchScript archives read without running them: equal numbers, hostile and damaged files refused."""

import io
import pickle
import zipfile

import numpy as np
import pytest
import torch

from posewright.core import torchscript
from posewright.core.errors import InputError
from posewright.core.torchscript import ScriptArchive

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


class Inner(torch.nn.Module):
    names: list[str]
    whole: torch.Tensor

    def __init__(self):
        super().__init__()
        self.names, self.sizes, self.shape = ["a", "ü"], [3, 4], (3000, 750)
        self.halves, self.flags, self.table = [1.5], [True], {"a": 1}
        whole = torch.arange(24.0).reshape(4, 6)
        self.register_buffer("whole", whole)
        self.register_buffer("part", whole[1:3, 2:5])
        self.register_buffer("turned", torch.arange(6).reshape(2, 3).T)
        self.register_buffer("flag", torch.tensor([True, False]))
        self.register_buffer("short", torch.arange(-2, 3, dtype=torch.int16))
        self.register_buffer("scalar", torch.tensor(2.5, dtype=torch.float64))
        self.register_buffer("empty", torch.zeros(0, 3, dtype=torch.float16))
        self.register_buffer("none", None)

    def forward(self, x: torch.Tensor):
        total = len(self.names) + self.sizes[0] + self.shape[0] + len(self.flags) + len(self.table)
        return self.whole[:, :3] + x + total + self.halves[0]


class Outer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.linear, self.second = Inner(), torch.nn.Linear(3, 2), torch.nn.Linear(2, 2)

    def forward(self, x: torch.Tensor):
        return self.second(self.linear(self.inner(x)))


@pytest.fixture(scope="module")
def archive_bytes():
    torch.manual_seed(0)
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(Outer()), stream)
    return stream.getvalue()


@pytest.fixture
def archive(archive_bytes, tmp_path):
    path = tmp_path / "module.pt"
    path.write_bytes(archive_bytes)
    return path


def _rewritten(source, target, changes, compression=zipfile.ZIP_STORED):
    """The archive again, with the ends of some members' names mapped to other bytes (None: left out)."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            data = next((v for end, v in changes.items() if name.endswith(end)), old.read(name))
            if data is not None:
                new.writestr(name, data)
    return target


def test_parity_numbers_and_attributes_equal_those_that_torch_loads(archive):
    read, loaded = ScriptArchive(archive), torch.jit.load(archive)
    for name, tensor in loaded.state_dict().items():
        array = read.array(name)
        assert array.shape == tuple(tensor.shape)
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, tensor.numpy())
    assert read.values["inner.names"] == ["a", "ü"]
    assert read.values["inner.sizes"] == [3, 4]
    assert read.values["inner.shape"] == (3000, 750)
    assert (read.values["inner.halves"], read.values["inner.flags"]) == ([1.5], [True])
    assert read.values["inner.table"] == {"a": 1}
    assert read.values["inner.none"] is None
    with pytest.raises(LookupError, match="no tensor 'inner.names'"):
        read.array("inner.names")


def test_contract_the_program_is_never_looked_at(archive, tmp_path):
    broken = _rewritten(archive, tmp_path / "broken.pt", {".py": b"raise SystemExit", "constants.pkl": b"?"})
    with pytest.raises(RuntimeError):
        torch.jit.load(broken)
    np.testing.assert_array_equal(
        ScriptArchive(broken).array("inner.whole"), np.arange(24.0).reshape(4, 6).astype(np.float32)
    )


class _Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (self.marker, "w"))


def test_contract_a_hostile_pickle_is_refused_and_not_executed(archive, tmp_path):
    marker = tmp_path / "executed"
    for protocol in (0, 2, 4):
        blob = pickle.dumps(_Hostile(str(marker)), protocol=protocol)
        path = _rewritten(archive, tmp_path / "hostile.pt", {"/data.pkl": blob})
        with pytest.raises(InputError, match="refused, not executed"):
            ScriptArchive(path)
    for asked in (b"c__torch__.os\nsystem\n(V:\ntR.", b"ctorch.jit._pickle\nbuild_tensor_from_id\n(tR."):
        path = _rewritten(archive, tmp_path / "hostile.pt", {"/data.pkl": asked})
        if asked.startswith(b"c__torch__"):
            assert ScriptArchive(path).values == {}, "a class of the archive is an empty stand-in"
        else:
            with pytest.raises(InputError, match="build_tensor_from_id, which is not data"):
                ScriptArchive(path)
    assert not marker.exists()


def _tensor(offset=0, shape=(2, 3), strides=(3, 1), key="0", count=24, storage=b"ctorch\nFloatStorage\n"):
    """A pickle of one module with one tensor `x`."""

    def numbers(values):
        return b"(" + b"".join(b"I%d\n" % v for v in values) + b"t"

    stored = b"((Vstorage\n" + storage + b"V%s\nVcpu\nI%d\ntQ" % (key.encode(), count)
    body = stored + b"I%d\n" % offset + numbers(shape) + numbers(strides) + b"I00\nNtR"
    return b"\x80\x02c__torch__\nM\n)\x81}Vx\nctorch._utils\n_rebuild_tensor_v2\n" + body + b"sb."


BAD_TENSORS = {
    "a tensor as it should be": ({}, None),
    "beyond its storage": ({"offset": 19}, "reaches beyond the 24 numbers"),
    "more than its storage": ({"shape": (2**40, 2**20), "strides": (0, 0)}, "reaches beyond"),
    "negative strides": ({"strides": (-3, 1)}, "not described as torch does"),
    "another rank": ({"shape": (2, 3, 4)}, "not described as torch does"),
    "a count that is not the member's": ({"count": 2**40}, "has 96 bytes, expected 4398046511104"),
    "no such member": ({"key": "../../etc/passwd"}, "cannot be read as a TorchScript archive"),
    "no storage type": ({"storage": b"Vfloat\n"}, "expected numbers of a known type"),
}


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_contract_tensors_stay_within_their_storage(case, tmp_path):
    changes, message = BAD_TENSORS[case]
    path = tmp_path / "made.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("made/data.pkl", _tensor(**changes))
        archive.writestr("made/data/0", np.arange(24, dtype="<f4").tobytes())
    if message is None:
        np.testing.assert_array_equal(ScriptArchive(path).array("x"), [[0, 1, 2], [3, 4, 5]])
        return
    with pytest.raises(InputError, match=message):
        ScriptArchive(path)


def test_contract_files_that_are_something_else(archive, archive_bytes, tmp_path, monkeypatch):
    path = tmp_path / "other.pt"
    for content, message in (
        (b"", "no zip archive.*it is empty"),
        (b"no zip", "no zip archive, which a TorchScript file is"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (archive_bytes[: len(archive_bytes) // 2], "no zip archive"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            ScriptArchive(path)
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(InputError, match="holds a dict, expected a TorchScript module"):
        ScriptArchive(path)
    np.savez(tmp_path / "arrays.npz", a=np.zeros(2))
    with pytest.raises(InputError, match=r"holds 0 members \*/data.pkl"):
        ScriptArchive(tmp_path / "arrays.npz")
    compressed = _rewritten(archive, tmp_path / "compressed.pt", {}, zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="is compressed, expected stored"):
        ScriptArchive(compressed)
    big = _rewritten(archive, tmp_path / "big.pt", {"byteorder": b"big"})
    with pytest.raises(InputError, match="big-endian"):
        ScriptArchive(big)
    monkeypatch.setattr(torchscript, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="claims to unpack"):
        ScriptArchive(archive)
    with pytest.raises(FileNotFoundError):
        ScriptArchive(tmp_path / "nothing.pt")


def test_contract_numbers_that_numpy_lacks_are_passed_over(tmp_path):
    path = tmp_path / "made.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("made/data.pkl", _tensor(storage=b"ctorch\nBFloat16Storage\n"))
        archive.writestr("made/data/0", bytes(48))
    read = ScriptArchive(path)
    with pytest.raises(InputError, match="x has numbers of a type that numpy lacks"):
        read.array("x")


def test_contract_damaged_pickles_are_input_errors(archive, tmp_path):
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(archive) as zipped:
        whole = next(zipped.read(n) for n in zipped.namelist() if n.endswith("/data.pkl"))
    refused = 0
    for _ in range(150):
        blob = bytearray(whole)
        for place in rng.integers(0, len(blob), 3):
            blob[place] = rng.integers(0, 256)
        path = _rewritten(archive, tmp_path / "damaged.pt", {"/data.pkl": bytes(blob)})
        try:
            ScriptArchive(path)
        except InputError:
            refused += 1
    assert refused > 100


def test_contract_changed_numbers_fail_their_checksum(archive, tmp_path):
    with zipfile.ZipFile(archive) as zipped:
        member = next(n for n in zipped.namelist() if n.endswith("/data/0"))
        place = zipped.read(member)
    content = archive.read_bytes()
    at = content.index(place)
    path = tmp_path / "changed.pt"
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    first = next(n for n, v in ScriptArchive(path).values.items() if getattr(v, "key", "") == member)
    with pytest.raises(InputError, match="cannot be read: Bad CRC-32"):
        ScriptArchive(path).array(first)
