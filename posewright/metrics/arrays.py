"""Metrics take tensors or numpy arrays and give back what they got.

One implementation, in torch, serves both: numpy arrays are wrapped without a copy and results unwrapped again, so that
a metric runs wherever its tensors are (a GPU too) and lets gradients through.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Array = TypeVar("Array", np.ndarray, Tensor)
"""One kind of array for all arguments and for the result."""
MILLIMETRES = 1000.0
"""Per metre."""


def as_tensors(*arrays: Array) -> tuple[tuple[Tensor, ...], Callable[[Tensor], Array]]:
    """Wrap arrays as floating-point tensors, and give the function that unwraps a result.

    Args:
        arrays: all numpy (or what `np.asarray` takes), or all tensors. Integers become float64.

    Returns:
        The tensors, in the widest floating type among them, and a function from a result to the caller's kind of
        array (a numpy result without dimensions becomes a numpy scalar).

    Raises:
        TypeError: tensors and numpy arrays mixed.
    """
    kinds = [isinstance(a, Tensor) for a in arrays]
    if any(kinds) and not all(kinds):
        raise TypeError(
            "got tensors and numpy arrays together: give all of one kind (torch.from_numpy, .numpy())"
        )
    tensors = [a if isinstance(a, Tensor) else torch.from_numpy(_writable(a)) for a in arrays]
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    dtype = dtype if dtype.is_floating_point else torch.float64
    unwrap = _same if all(kinds) else _to_numpy
    return tuple(t.to(dtype) for t in tensors), unwrap  # pyright: ignore[reportReturnType]


def check_poses(predicted: Tensor, target: Tensor, what: str = "poses", least_dims: int = 2) -> None:
    """Refuse estimates and truth of different shapes, or whose last dimension is not 3.

    Raises:
        ValueError: says both shapes and what was expected.
    """
    if predicted.shape == target.shape and target.ndim >= least_dims and target.shape[-1] == 3:
        return
    layout = "(T, ..., J, 3)" if least_dims > 2 else "(..., J, 3)"
    raise ValueError(
        f"{what} have shapes {tuple(predicted.shape)} (estimate) and {tuple(target.shape)} (truth), "
        f"expected the same {layout} for both"
    )


def scored(target: Tensor) -> Tensor:
    """(..., J) bool: joints that the truth has."""
    return torch.isfinite(target).all(-1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the last axis of the values where `mask`; NaN where it is False everywhere."""
    count = mask.sum(-1)
    total = torch.where(mask, values, 0.0).sum(-1)
    return torch.where(count > 0, total / count.clamp(min=1), torch.nan)


def wide(tensor: Tensor) -> Tensor:
    """Float64 where the device has it: float32 on Apple's GPUs."""
    return tensor if tensor.device.type == "mps" else tensor.double()


def _writable(array: np.ndarray) -> np.ndarray:
    """Numpy array that torch can wrap: no negative strides, native byte order, not read-only."""
    array = np.asarray(array)
    array = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    return array if array.flags.writeable and min(array.strides, default=0) >= 0 else array.copy()


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _to_numpy(tensor: Tensor) -> np.ndarray:
    return tensor.numpy()[()]
