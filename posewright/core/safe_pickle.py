"""Object arrays of `.npz` files, and `.pkl` files, without running what is pickled in them.

Some data sets of the field (VideoPose3D's) keep dictionaries of arrays in pickled object arrays, others (3DPW,
MotionBERT's) are pickles. A pickle can call any function it can name; this reader lets it name only what builds
numpy arrays and plain containers, and refuses the rest before anything is called.
"""

import io
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from posewright.core import plain_npz
from posewright.core.errors import InputError

ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
    ("builtins", "set"),
    ("__builtin__", "set"),
}
"""(module, name) of everything a pickle may ask for: array building blocks, and `encode` for bytes of old
Pythons."""
MAX_BYTES = 8 * 2**30
BROKEN = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
    RuntimeError,
    OverflowError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What malformed bytes make readers of pickles and zips raise."""


class RestrictedUnpickler(pickle.Unpickler):
    """Refuses every global but `ALLOWED` and those for which the reader has an inert stand-in.

    Args:
        stream: the pickle.
        stand_ins: for (module, name), what to build instead: plain classes of the reader's own that only keep the
            state they are given (`bodies.smpl_pickle` reads chumpy arrays so, without chumpy).
        encoding: of strings of old Pythons.
    """

    def __init__(
        self, stream, stand_ins: Mapping[tuple[str, str], object] | None = None, encoding: str = "latin1"
    ):
        super().__init__(stream, encoding=encoding)
        self._stand_ins = stand_ins or {}

    def find_class(self, module: str, name: str) -> object:
        if (module, name) in self._stand_ins:
            return self._stand_ins[module, name]
        if (module, name) not in ALLOWED:
            raise InputError(
                f"its pickled part asks for {module}.{name}, which is not data: refused, not executed"
            )
        return super().find_class(module, name)


def has_pickles(path: Path) -> bool:
    """Tell whether a file is an npz with object arrays, which are pickles; only the arrays' headers are read."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(_is_object(archive, name) for name in archive.namelist() if name.endswith(".npy"))


def read_object_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file; object arrays through the restricted unpickler, or from a plain copy's tree.

    Raises:
        InputError: a pickle asks for anything but numpy arrays and plain containers.
    """
    out = {}
    with zipfile.ZipFile(path) as archive:
        if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
            raise InputError(f"it claims to unpack to more than {MAX_BYTES // 2**30} GiB")
        for name in archive.namelist():
            if name.endswith(".npy"):
                out[name.removesuffix(".npy")] = _array(archive.read(name))
    return plain_npz.restore(out) if plain_npz.KEY in out else out


def write_plain_copy(source: Path, target: Path) -> None:
    """Copy an npz file whose object arrays are pickles to one without (`plain_npz`), which every reader takes as well.

    Raises:
        InputError: the pickle asks for anything but data, or holds what has no plain form.
    """
    plain_npz.write(read_object_npz(source), target)


def read_pickle(path: Path, stand_ins: Mapping[tuple[str, str], object] | None = None) -> object:
    """What a `.pkl` file holds, through the restricted unpickler; strings of old Pythons as Latin-1.

    Args:
        path: of the file.
        stand_ins: see `RestrictedUnpickler`.

    Raises:
        InputError: the pickle asks for anything but numpy arrays and plain containers.
    """
    with path.open("rb") as stream:
        return RestrictedUnpickler(stream, stand_ins).load()


def _is_object(archive: zipfile.ZipFile, name: str) -> bool:
    """Whether a `.npy` member holds objects, from its header; False where there is no header that can be read."""
    with archive.open(name) as stream:
        try:
            version = np.lib.format.read_magic(stream)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            return read(stream)[2].hasobject
        except (ValueError, EOFError, OSError, zipfile.BadZipFile):
            return False


def _array(data: bytes) -> np.ndarray:
    """One `.npy` member."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if not dtype.hasobject:
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    value = RestrictedUnpickler(stream, encoding="latin1").load()
    if not isinstance(value, np.ndarray) or value.shape != shape:
        raise InputError("its pickled part is not the array that its header announces")
    return value
