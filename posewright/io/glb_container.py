"""The binary container of glTF 2.0, `.glb`, and its accessors: arrays in one buffer.

Specification: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html, sections 3.6 (buffers and accessors)
and 4 (GLB).
"""

import json
import struct
from collections.abc import Sequence

import numpy as np

from posewright.io.user_files import expect

MAGIC, VERSION = 0x46546C67, 2
JSON_CHUNK, BIN_CHUNK = 0x4E4F534A, 0x004E4942
COMPONENTS = {
    5120: np.int8,
    5121: np.uint8,
    5122: np.int16,
    5123: np.uint16,
    5125: np.uint32,
    5126: np.float32,
}
SIZES = {"SCALAR": (), "VEC2": (2,), "VEC3": (3,), "VEC4": (4,), "MAT4": (4, 4)}
VERTICES, INDICES = 34962, 34963
"""Buffer view targets."""


class Buffer:
    """Collects arrays into one binary buffer, each in an aligned view with an accessor.

    It begins empty, or with what a file has: its bytes, views and accessors.
    """

    def __init__(self, binary: bytes = b"", views: Sequence[dict] = (), accessors: Sequence[dict] = ()):
        self.views: list[dict] = list(views)
        self.accessors: list[dict] = list(accessors)
        padding = -len(binary) % 4
        self._parts: list[bytes] = [binary + b"\0" * padding]
        self._length = len(binary) + padding

    def add(self, array: np.ndarray, kind: str, target: int | None = None, bounds: bool = False) -> int:
        """Append an array, first dimension = count, and return its accessor.

        Args:
            array: any dtype of `COMPONENTS`; matrices (N, 4, 4) are stored column by column.
            kind: `SCALAR`, `VEC3`...
            target: `VERTICES`, `INDICES` or None.
            bounds: write `min` and `max`, which positions and animation times must have.
        """
        component = next(code for code, dtype in COMPONENTS.items() if array.dtype == dtype)
        stored = array.swapaxes(1, 2) if kind == "MAT4" else array
        data = np.ascontiguousarray(stored).tobytes()
        view = {"buffer": 0, "byteOffset": self._length, "byteLength": len(data)}
        self.views.append(view | ({"target": target} if target else {}))
        accessor = {
            "bufferView": len(self.views) - 1,
            "componentType": component,
            "count": len(array),
            "type": kind,
        }
        if bounds:
            flat = array.reshape(len(array), -1)
            accessor |= {"min": flat.min(0).tolist(), "max": flat.max(0).tolist()}
        self.accessors.append(accessor)
        padding = -len(data) % 4
        self._parts.append(data + b"\0" * padding)
        self._length += len(data) + padding
        return len(self.accessors) - 1

    def pack(self, document: dict) -> bytes:
        """Return the whole file: the document with this buffer's views and accessors, then the bytes."""
        document = document | {
            "buffers": [{"byteLength": self._length}],
            "bufferViews": self.views,
            "accessors": self.accessors,
        }
        text = json.dumps(document, allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 4)
        total = 12 + 8 + len(text) + 8 + self._length
        head = struct.pack("<3I", MAGIC, VERSION, total) + struct.pack("<2I", len(text), JSON_CHUNK)
        return b"".join([head, text, struct.pack("<2I", self._length, BIN_CHUNK), *self._parts])


def unpack(data: bytes) -> tuple[dict, bytes]:
    """Split a file into its document and its binary buffer."""
    expect(len(data) >= 20, "cut off before the first chunk")
    magic, version, total = struct.unpack_from("<3I", data)
    expect(magic == MAGIC, "the file does not begin with glTF")
    expect(version == VERSION, f"glTF version {version}, expected 2")
    expect(len(data) >= total, f"cut off: {len(data)} bytes of {total}")
    chunks: dict[int, bytes] = {}
    at = 12
    while at + 8 <= total:
        length, kind = struct.unpack_from("<2I", data, at)
        expect(at + 8 + length <= total, "a chunk is longer than the file")
        chunks.setdefault(kind, data[at + 8 : at + 8 + length])
        at += 8 + length
    expect(JSON_CHUNK in chunks, "there is no JSON chunk")
    document = json.loads(chunks[JSON_CHUNK])
    expect(isinstance(document, dict), "the JSON chunk is no object")
    return document, chunks.get(BIN_CHUNK, b"")


def read_accessor(document: dict, binary: bytes, index: int) -> np.ndarray:
    """Array of one accessor, (count, ...): floats as stored, normalised integers as floats."""
    accessor = document["accessors"][index]
    expect("sparse" not in accessor, "sparse accessors are not supported")
    dtype = np.dtype(COMPONENTS[accessor["componentType"]]).newbyteorder("<")
    shape, count = SIZES[accessor["type"]], int(accessor["count"])
    width = int(np.prod(shape, dtype=int)) * dtype.itemsize
    view = document["bufferViews"][accessor["bufferView"]]
    expect(view.get("buffer", 0) == 0, "data outside the file are not supported")
    start = int(view.get("byteOffset", 0)) + int(accessor.get("byteOffset", 0))
    stride = int(view.get("byteStride", width))
    expect(start >= 0 and count > 0 and stride >= width, f"accessor {index} is malformed")
    expect(start + stride * (count - 1) + width <= len(binary), f"accessor {index} reaches beyond the buffer")
    rows = np.ndarray((count, width), np.uint8, binary, start, (stride, 1))
    array = np.ascontiguousarray(rows).view(dtype).reshape(count, *shape)
    if accessor.get("normalized") and dtype.kind in "iu":
        return np.maximum(array / np.iinfo(dtype).max, -1.0)
    return array.swapaxes(1, 2) if accessor["type"] == "MAT4" else array
