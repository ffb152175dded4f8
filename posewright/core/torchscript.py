"""TorchScript archives read as plain arrays, without running what is in them.

A file of `torch.jit.save` is a zip: `data.pkl` is a pickle of the tree of modules, `data/0`, `data/1`... hold the
numbers of its tensors, `code/` the program. `torch.jit.load` compiles and may run that program. Here the code is never
looked at, and the pickle goes through the restricted unpickler (`core.safe_pickle`) with inert stand-ins: modules keep
their attributes, tensors are noted as places in the archive and read when asked for. The layout is PyTorch's
(`torch/csrc/jit/serialization`).
"""

import math
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posewright.core.errors import InputError
from posewright.core.safe_pickle import BROKEN, MAX_BYTES, RestrictedUnpickler

MAX_PICKLE = 64 * 2**20
"""Bytes of `data.pkl`, which describes the tree and holds no numbers."""
CHUNK = 16 * 2**20
"""Bytes read at a time."""


@dataclass(frozen=True)
class StorageType:
    """What a name such as `torch.FloatStorage` stands for."""

    dtype: str
    """Of numpy; empty for numbers that numpy does not have."""


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies in the archive."""

    key: str
    """Member of the zip."""
    dtype: str
    count: int
    """Numbers in the storage, of which the tensor takes some."""
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    """In numbers, not bytes."""


class ScriptObject:
    """A module of the archive: its attributes, nothing else."""

    def __init__(self, *arguments):
        self.state: object = {}

    def __setstate__(self, state):
        self.state = state


class ScriptArchive:
    """The attributes of a TorchScript module and of its submodules, by dotted names.

    Args:
        path: a file written by `torch.jit.save`.

    Raises:
        InputError: no such file, or one that is damaged, or whose pickle asks for anything but tensors, modules,
            numbers, texts and containers of them.
    """

    path: Path
    values: Mapping[str, object]
    """Tensors are `StoredTensor`, to be read by `array`; texts, numbers and lists are themselves."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.values = dict(_flat(self._tree(), ""))
        except InputError:
            raise
        except BROKEN as error:
            what = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"cannot be read as a TorchScript archive: {what}") from error

    def array(self, name: str) -> np.ndarray:
        """Read one tensor into memory of its own.

        Raises:
            LookupError: there is no such tensor.
            InputError: the archive holds fewer numbers than it says, or numbers of a type that numpy lacks.
        """
        tensor = self.values.get(name)
        if not isinstance(tensor, StoredTensor):
            raise LookupError(f"{self.path}: no tensor {name!r}")
        if not tensor.dtype:
            raise InputError(f"{name} has numbers of a type that numpy lacks, such as bfloat16")
        try:
            with zipfile.ZipFile(self.path) as archive:
                return _view(tensor, _numbers(archive, tensor))
        except InputError:
            raise
        except BROKEN as error:
            raise InputError(f"{name} cannot be read: {' '.join(str(error).split())}") from error

    def _tree(self) -> ScriptObject:
        """Unpickle `data.pkl` with every tensor replaced by its place."""
        if not zipfile.is_zipfile(self.path):
            raise InputError(f"it is no zip archive, which a TorchScript file is{_beginning(self.path)}")
        with zipfile.ZipFile(self.path) as archive:
            root = _root(archive)
            with archive.open(f"{root}/data.pkl") as stream:
                value = _Unpickler(stream, archive, root).load()
        if not isinstance(value, ScriptObject):
            raise InputError(
                f"it holds a {type(value).__name__}, expected a TorchScript module (a file of torch.jit.save)"
            )
        return value


def _root(archive: zipfile.ZipFile) -> str:
    """Name of the folder in the archive; its sizes and byte order are checked."""
    members = archive.infolist()
    roots = [i for i in members if i.filename.endswith("/data.pkl") and i.filename.count("/") == 1]
    if len(roots) != 1:
        raise InputError(
            f"it holds {len(roots)} members */data.pkl, expected one, as torch.jit.save writes them"
        )
    if sum(i.file_size for i in members) > MAX_BYTES or roots[0].file_size > MAX_PICKLE:
        raise InputError(
            f"it claims to unpack to more than {MAX_BYTES // 2**30} GiB, or {MAX_PICKLE // 2**20} MiB of pickle"
        )
    root = roots[0].filename.partition("/")[0]
    order = f"{root}/byteorder"
    sizes = {i.filename: i.file_size for i in members}
    if order in sizes and (sizes[order] > 16 or archive.read(order).strip() != b"little"):
        raise InputError("it was written on a big-endian machine; expected little-endian numbers")
    return root


def _beginning(path: Path) -> str:
    """What a file that is no zip may be, for the error."""
    with path.open("rb") as stream:
        start = stream.read(48)
    if start.startswith(b"version https://git-lfs"):
        return ": it is a Git LFS pointer, the file itself was not downloaded (git lfs pull)"
    return "" if start else ": it is empty"


class _Unpickler(RestrictedUnpickler):
    """Keeps modules and tensors as inert objects."""

    def __init__(self, stream, archive: zipfile.ZipFile, root: str):
        super().__init__(stream, _STAND_INS, encoding="utf-8")
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> object:
        if module == "__torch__" or module.startswith("__torch__."):
            return ScriptObject
        return super().find_class(module, name)

    def persistent_load(self, pid) -> StoredTensor:
        """The storage that `pid` names: ("storage", type, key, device, count)."""
        kind, storage, key, _, count = pid
        if kind != "storage" or not isinstance(storage, StorageType) or not isinstance(count, int):
            raise InputError(f"its pickle names a storage {str(pid)[:80]}, expected numbers of a known type")
        member = self._archive.getinfo(f"{self._root}/data/{key}")
        if member.compress_type != zipfile.ZIP_STORED:
            raise InputError(
                f"its member {member.filename} is compressed, expected stored, as torch writes it"
            )
        expected = count * np.dtype(storage.dtype).itemsize if storage.dtype else member.file_size
        if count < 0 or member.file_size != expected:
            raise InputError(
                f"its member {member.filename} has {member.file_size} bytes, expected {expected}"
            )
        return StoredTensor(member.filename, storage.dtype, count, 0, (count,), (1,))


def _rebuild_tensor(storage, offset, shape, strides, *_) -> StoredTensor:
    """A tensor as a part of its storage, refused where it reaches beyond it."""
    whole = isinstance(storage, StoredTensor) and all(isinstance(n, int) for n in (offset, *shape, *strides))
    if not whole or len(shape) != len(strides) or min((offset, *shape, *strides)) < 0:
        raise InputError(f"a tensor of shape {str(shape)[:80]} is not described as torch does")
    size = math.prod(shape)
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if size else 0
    if size > storage.count or last >= max(storage.count, 1):
        raise InputError(
            f"a tensor of shape {tuple(shape)} reaches beyond the {storage.count} numbers of {storage.key}"
        )
    return StoredTensor(storage.key, storage.dtype, storage.count, offset, tuple(shape), tuple(strides))


def _same(value, *_):
    """What builds lists of one type in TorchScript."""
    return value


_STAND_INS: dict[tuple[str, str], object] = {
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "device"): _same,
    **{
        ("torch.jit._pickle", name): _same
        for name in (
            "restore_type_tag",
            "build_intlist",
            "build_doublelist",
            "build_boollist",
            "build_tensorlist",
        )
    },
    **{
        ("torch", f"{name}Storage"): StorageType(dtype)
        for name, dtype in {
            "Float": "<f4",
            "Double": "<f8",
            "Half": "<f2",
            "Long": "<i8",
            "Int": "<i4",
            "Short": "<i2",
            "Char": "|i1",
            "Byte": "|u1",
            "Bool": "|u1",
            "BFloat16": "",
            "ComplexFloat": "",
            "ComplexDouble": "",
        }.items()
    },
}
"""What a TorchScript pickle names, and what stands in for it; flags come as bytes."""


def _flat(node: ScriptObject, prefix: str) -> Iterator[tuple[str, object]]:
    """Attributes of a module and of those below it."""
    if not isinstance(node.state, dict):
        return
    for name, value in node.state.items():
        if isinstance(value, ScriptObject):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _numbers(archive: zipfile.ZipFile, tensor: StoredTensor) -> np.ndarray:
    """A whole storage, read piece by piece so that it is in memory once."""
    out = np.empty(tensor.count, tensor.dtype)
    place, view = 0, out.view(np.uint8)
    with archive.open(tensor.key) as stream:
        while place < len(view):
            piece = stream.read(min(CHUNK, len(view) - place))
            if not piece:
                raise InputError(f"its member {tensor.key} ends after {place} of {len(view)} bytes")
            view[place : place + len(piece)] = np.frombuffer(piece, np.uint8)
            place += len(piece)
        stream.read(1)  # the end: only there is the checksum compared
    return out


def _view(tensor: StoredTensor, numbers: np.ndarray) -> np.ndarray:
    """The part of a storage that is the tensor, contiguous."""
    strides = tuple(s * numbers.itemsize for s in tensor.strides)
    part = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides)
    return np.ascontiguousarray(part).reshape(tensor.shape)
