"""A lifter with its weights as an ONNX file, checked against PyTorch before it is handed over.

The file holds the network alone: `keypoints` (batch, frames, K, C) in, `joints` (batch, frames out, J, 3) out, both in
the method's own units and joint sets; the metadata of the file say which (`posewright.structures.lifting`). Windows,
gaps, units and flip averaging are what `pipelines.lift_zoo` does around it. The number of frames is fixed; that of
clips is free wherever the exported graph allows it, which is tried.
"""

import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from posewright.core.errors import InputError, MissingExtraError
from posewright.core.files import atomic_path
from posewright.evaluate.lifters import RAYLIFT, Lifter, load_lifter
from posewright.models.lifting import raylift

TOLERANCE = 1e-4
"""Largest difference between ONNX Runtime and PyTorch, in the output's units, where these are about one."""
OPSET = 17
RAYLIFT_FRAMES = 128


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    any_batch: bool
    """Whether the number of clips is free; otherwise it is 1."""
    difference: float
    """Largest one from PyTorch, on random keypoints."""


def export_lifter(
    name: str,
    path: str | Path,
    variant: str | None = None,
    weights: str | Path | None = None,
    frames: int | None = None,
) -> Exported:
    """Write a lifter as ONNX.

    Args:
        name: path of the method.
        path: file to write.
        variant: see `evaluate.lifters.load_lifter`.
        weights: file of weights; the default lifter has its own.
        frames: frames of a clip, for methods that take any number; None: the window.

    Raises:
        InputError: weights missing or another's, a method that cannot take so many frames, or a graph that does not
            give what PyTorch gives.
        MissingExtraError: onnx or onnxruntime is not installed.
    """
    if name == RAYLIFT:
        lifter = Lifter(name, raylift.load(), raylift.LIFTING, RAYLIFT_FRAMES, raylift.FRAMES_PER_SECOND)
    else:
        lifter = load_lifter(name, weights, variant)
    return export(lifter, path, frames)


def export(lifter: Lifter, path: str | Path, frames: int | None = None) -> Exported:
    """Write a loaded lifter as ONNX; see `export_lifter`."""
    frames = _frames(lifter, frames)
    shape = (1, frames, len(lifter.facts.skeleton), lifter.facts.channels)
    with atomic_path(path) as part:
        for any_batch in (True, False):
            _write(lifter, shape, part, any_batch)
            try:
                difference, out = _compare(lifter.network, shape, part, any_batch)
            except _graph_errors():
                if not any_batch:
                    raise
                continue
            if difference <= TOLERANCE:
                return Exported(Path(path), shape, out, any_batch, difference)
        raise InputError(
            f"{lifter.name}: ONNX Runtime differs from PyTorch by {difference:.1e}, expected at most {TOLERANCE:g}; "
            "nothing was written. Please report it with the sizes of the model"
        )


def _frames(lifter: Lifter, frames: int | None) -> int:
    """How many frames the graph is made for."""
    facts, window = lifter.facts, lifter.window
    frames = window if frames is None else frames
    fits = {
        lifter.name == RAYLIFT or window == 1: frames >= 1,
        facts.output_frames == "valid": frames >= window,
        facts.short_clips and window > 1 and lifter.name != RAYLIFT: 1 <= frames <= window,
    }.get(True, frames == window)
    if not fits:
        raise InputError(
            f"{lifter.name}: {frames} frames, expected its window of {window}: leave --frames out"
        )
    return frames


def _write(lifter: Lifter, shape: tuple[int, ...], path: Path, any_batch: bool) -> None:
    """Trace the network and write the graph with its conventions as metadata."""
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("onnx", "onnx", "writing ONNX files") from None
    names = {"keypoints": {0: "batch"}, "joints": {0: "batch"}} if any_batch else None
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer says that shapes become constants, which is meant
            torch.onnx.export(
                lifter.network.cpu().eval(),
                (torch.zeros(2 if any_batch else 1, *shape[1:]),),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=["keypoints"],
                output_names=["joints"],
                dynamic_axes=names,
            )
    finally:
        quiet.setLevel(level)
    graph = onnx.load(str(path))
    onnx.helper.set_model_props(graph, conventions(lifter))
    onnx.save(graph, str(path))


def conventions(lifter: Lifter) -> dict[str, str]:
    """What somebody who runs the file has to know, as strings."""
    facts = lifter.facts
    return {
        "posewright_model": lifter.name,
        "keypoint_joints": json.dumps(facts.skeleton.joint_names),
        "joint_joints": json.dumps(facts.output_skeleton.joint_names),
        "keypoint_units": facts.keypoint_units,
        "joint_units": facts.joint_units,
        "output_frames": facts.output_frames,
        "frames_per_second": json.dumps(lifter.fps),
        "statistics": json.dumps({k: v.tolist() for k, v in (lifter.statistics or {}).items()}),
    }


def _graph_errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises for a graph that it cannot run."""
    _runtime()
    from onnxruntime.capi import onnxruntime_pybind11_state as states  # pyright: ignore[reportAttributeAccessIssue]

    return (states.Fail, states.InvalidArgument, states.RuntimeException, states.InvalidGraph)


def _runtime():
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("onnxruntime", "onnx", "checking ONNX files") from None
    return onnxruntime


def _compare(
    network: nn.Module, shape: tuple[int, ...], path: Path, any_batch: bool
) -> tuple[float, tuple[int, ...]]:
    """Largest difference from PyTorch, for one clip and where that is free for three; and the shape of the output."""
    session = _runtime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    worst, out = 0.0, ()
    for batch in (1, 3) if any_batch else (1,):
        keypoints = 0.4 * torch.randn(batch, *shape[1:], generator=generator)
        with torch.no_grad():
            expected = network(keypoints).numpy()
        found = np.asarray(session.run(None, {"keypoints": keypoints.numpy()})[0])
        if found.shape != expected.shape:
            return float("inf"), out
        worst, out = max(worst, float(np.abs(found - expected).max())), (1, *expected.shape[1:])
    return worst, out
