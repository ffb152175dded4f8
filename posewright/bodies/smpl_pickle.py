"""Official SMPL, MANO and FLAME pickles read as plain arrays, without chumpy, scipy's pickling or any code of the file.

The files were written by Python 2. Besides numpy arrays they hold chumpy nodes (an array `x`, or a selection of the
entries of another node) and scipy sparse matrices (compressed rows or columns, or coordinates). Each of these classes
is replaced by one that only keeps the state it is given; the arrays are then put together here. Anything else that a
pickle asks for is refused before it is called (`core.safe_pickle`).
"""

from pathlib import Path

import numpy as np

from posewright.core.errors import InputError
from posewright.core.safe_pickle import read_pickle


class Kept:
    """An object of the pickle: its constructor's arguments and its state, nothing else."""

    def __init__(self, *arguments):
        self.arguments = arguments
        self.state: dict = {}

    def __setstate__(self, state):
        parts = state if isinstance(state, tuple) else (state,)
        self.state = {k: v for part in parts if isinstance(part, dict) for k, v in part.items()}


class KeptArray(Kept):
    """A chumpy node that holds an array."""


class KeptSelection(Kept):
    """A chumpy node that picks entries of another."""


class KeptRows(Kept):
    """A scipy matrix in compressed sparse rows."""


class KeptColumns(Kept):
    """A scipy matrix in compressed sparse columns."""


class KeptCoordinates(Kept):
    """A scipy matrix in coordinates."""


def _reconstruct(kind: type, base: type, state: object) -> Kept:
    """What old pickles call to make an empty object, for our classes only."""
    if not (isinstance(kind, type) and issubclass(kind, Kept) and base is object):
        raise InputError("its pickle makes objects of a kind that is not data: refused, not executed")
    out = kind.__new__(kind)
    out.arguments, out.state = (), {}
    return out


STAND_INS: dict[tuple[str, str], object] = {
    ("chumpy.ch", "Ch"): KeptArray,
    ("chumpy", "Ch"): KeptArray,
    ("chumpy.reordering", "Select"): KeptSelection,
    ("copy_reg", "_reconstructor"): _reconstruct,
    ("copyreg", "_reconstructor"): _reconstruct,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    **{
        (f"scipy.sparse.{module}{short}", f"{short}_{suffix}"): kind
        for short, kind in (("csr", KeptRows), ("csc", KeptColumns), ("coo", KeptCoordinates))
        for module in ("", "_")
        for suffix in ("matrix", "array")
    },
}
"""Classes of the files by module and name, and what stands in for them."""


def read_model_pickle(path: Path) -> dict[str, object]:
    """Read a body model's pickle: a dictionary whose chumpy nodes and sparse matrices have become arrays.

    Raises:
        InputError: not a dictionary, an object that cannot be understood, or a pickle that asks for code.
    """
    value = read_pickle(path, STAND_INS)
    if not isinstance(value, dict):
        raise InputError(f"it holds a {type(value).__name__}, expected a dictionary of arrays")
    return {str(name): plain(entry, str(name)) for name, entry in value.items()}


def plain(entry: object, name: str) -> object:
    """An entry of the file as an array; what is no kept object stays."""
    if not isinstance(entry, Kept):
        return entry
    try:
        return _READERS[type(entry)](entry.state)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"its entry {name!r} ({type(entry).__name__}) cannot be read: {error}") from error


def _array(state: dict) -> np.ndarray:
    if "x" not in state:
        raise LookupError(
            f"a chumpy node without its array x; it has {', '.join(map(str, state)) or 'nothing'}"
        )
    return np.asarray(plain(state["x"], "x"))


def _selection(state: dict) -> np.ndarray:
    values = np.asarray(plain(state["a"], "a")).ravel()[np.asarray(plain(state["idxs"], "idxs"))]
    shape = state.get("preferred_shape")
    return values if shape is None else values.reshape(shape)


def _compressed(state: dict, by_rows: bool) -> np.ndarray:
    rows, columns = _shape(state)
    pointers, inner = np.asarray(state["indptr"]), np.asarray(state["indices"])
    outer_count = rows if by_rows else columns
    if len(pointers) != outer_count + 1 or len(inner) != len(state["data"]):
        raise ValueError("the parts of a sparse matrix do not fit together")
    outer = np.repeat(np.arange(outer_count), np.diff(pointers))
    return _scattered((rows, columns), (outer, inner) if by_rows else (inner, outer), state["data"])


def _coordinates(state: dict) -> np.ndarray:
    places = state["coords"] if "coords" in state else (state["row"], state["col"])
    return _scattered(_shape(state), places, state["data"])


def _shape(state: dict) -> tuple[int, int]:
    rows, columns = state["_shape"] if "_shape" in state else state["shape"]
    return int(rows), int(columns)


def _scattered(shape: tuple[int, int], places, values) -> np.ndarray:
    """Dense matrix; entries of one place add up, as in scipy."""
    out = np.zeros(shape)
    np.add.at(out, tuple(np.asarray(p) for p in places), np.asarray(values))
    return out


_READERS = {
    KeptArray: _array,
    KeptSelection: _selection,
    KeptRows: lambda state: _compressed(state, by_rows=True),
    KeptColumns: lambda state: _compressed(state, by_rows=False),
    KeptCoordinates: _coordinates,
}
