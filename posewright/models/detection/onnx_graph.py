"""An ONNX file that takes images, on onnxruntime (extra `[onnx]`): what it has, and how to run it.

A file from the user is checked when it is loaded, so that a wrong one is one clear sentence, not a crash in the first
frame. ONNX holds a graph of known operators, no code; nothing in it is executed but these.
"""

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import numpy as np

from posewright.core.errors import InputError, MissingExtraError

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider"}
"""Device to what onnxruntime calls it."""
MAX_BATCH = 16
"""Images in one call at most: memory stays bounded however many people there are."""


@dataclass(frozen=True)
class Port:
    """An input or output of the graph."""

    name: str
    shape: tuple[int | None, ...]
    """None where the file leaves a size open."""
    kind: str
    """onnxruntime's name of the element type: `tensor(float)`."""

    def __str__(self) -> str:
        sizes = ", ".join("?" if n is None else str(n) for n in self.shape)
        return f"{self.name} ({sizes}) {self.kind.removeprefix('tensor(').removesuffix(')')}"


class OnnxGraph:
    """One loaded file with one image input.

    Args:
        path: an `.onnx` file.
        device: `auto` (CUDA if this onnxruntime has it, else the CPU), `cpu`, `cuda` or `mps`.
        threads: processor threads; None: as many as the machine has, at most 8.

    Raises:
        InputError: the file is missing or no ONNX graph with one (N, 3, H, W) float input; or the device is not there.
        MissingExtraError: onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, device: str = "auto", threads: int | None = None):
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"no model file {self.path}: expected an .onnx file")
        self._session = _open(self.path, device, threads)
        self.inputs = tuple(_port(node) for node in self._session.get_inputs())
        self.outputs = tuple(_port(node) for node in self._session.get_outputs())
        shapes = [port.shape for port in self.inputs]
        if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in (3, None):
            self.refuse("one input of colour images, (N, 3, height, width)")
        if self.inputs[0].kind != "tensor(float)":
            self.refuse("an input of type float (32 bit)")

    def input_size(self, default: tuple[int, int]) -> tuple[int, int]:
        """Return (width, height) of the input; `default` where the file leaves them open."""
        height, width = self.inputs[0].shape[2:]
        return width or default[0], height or default[1]

    def refuse(self, expected: str) -> NoReturn:
        """Raise `InputError`: the file has what it has, not `expected`."""
        has = f"inputs: {'; '.join(map(str, self.inputs))}; outputs: {'; '.join(map(str, self.outputs))}"
        raise InputError(f"{self.path} is not the model expected here. It has {has}. Expected: {expected}.")

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        """Return the outputs, in the file's order, for (N, 3, H, W) float32 images, N >= 1; each starts with N.

        A file made for a fixed number of images is called as often as needed, the last call filled up with zeros.
        """
        fixed = self.inputs[0].shape[0]
        step = fixed or MAX_BATCH
        parts = []
        for start in range(0, len(images), step):
            batch = images[start : start + step]
            missing = (fixed or len(batch)) - len(batch)
            filled = np.pad(batch, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else batch
            outputs = self._call(np.ascontiguousarray(filled, np.float32))
            parts.append([output[: len(batch)] for output in outputs])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def mentions(self, word: bytes) -> bool:
        """Tell whether the file contains `word`, such as the name of a layer."""
        return word in self.path.read_bytes()

    def _call(self, batch: np.ndarray) -> list[np.ndarray]:
        try:
            return [np.asarray(x) for x in self._session.run(None, {self.inputs[0].name: batch})]
        except _runtime_errors() as error:
            raise InputError(
                f"{self.path} cannot process images of shape {batch.shape}: {_first_line(error)}"
            ) from error


def needs_file(what: str) -> str:
    """Say that a backend needs a file from the user, and how to give it."""
    return (
        "this backend needs a model file of yours: --detector-model FILE.onnx (pose_model in Python), "
        f"expected {what}; docs/detectors.md says where such files are"
    )


def _open(path: Path, device: str, threads: int | None):
    """Start an onnxruntime session."""
    runtime = _import_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or min(8, os.cpu_count() or 1)
    options.log_severity_level = 3
    providers = _providers(device, runtime.get_available_providers())
    try:
        return runtime.InferenceSession(str(path), options, providers=providers)
    except _runtime_errors() as error:
        raise InputError(f"{path} cannot be read as an ONNX model: {_first_line(error)}") from error


def _providers(device: str, available: list[str]) -> list[str]:
    """Return what onnxruntime is to run on, the wanted device first."""
    kind = device.partition(":")[0]
    if kind == "auto":
        kind = "cuda" if PROVIDERS["cuda"] in available else "cpu"
    if kind not in PROVIDERS:
        raise InputError(f"device is {device!r}, expected auto, cpu, cuda or mps")
    if PROVIDERS[kind] not in available:
        raise InputError(
            f"device {device!r} was asked for, but this onnxruntime has only {', '.join(available)}: "
            "use --device cpu or install the onnxruntime package made for your device (onnxruntime-gpu for CUDA)"
        )
    return list(dict.fromkeys([PROVIDERS[kind], PROVIDERS["cpu"]]))


def _import_runtime():
    """Return the onnxruntime module, or say which extra brings it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnxruntime", "onnx", "running an ONNX model") from error
    return onnxruntime


def _runtime_errors() -> tuple[type[Exception], ...]:
    """Return onnxruntime's own exception types, which have no common base."""
    state = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    found = (value for value in vars(state).values() if isinstance(value, type))
    return (*(kind for kind in found if issubclass(kind, Exception)), RuntimeError, ValueError)


def _port(node) -> Port:
    """Read an input's or output's name, sizes (negative or named ones are open) and type."""
    return Port(node.name, tuple(n if isinstance(n, int) and n > 0 else None for n in node.shape), node.type)


def _first_line(error: Exception) -> str:
    """Say an error in one line of bounded length."""
    return (" ".join(str(error).split()) or type(error).__name__)[:300]
