"""Checkpoints as authors publish them: unwrap, rename, compare every key, load.

A method file holds the table from our parameter names to the official ones (`KeyTable`); everything else is
here.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from torch import Tensor, nn

from posewright.core.errors import InputError

KeyTable = Sequence[tuple[str, str]]
"""Pairs (regular expression on our key, replacement), applied in order, which turn our key into the official one."""

WRAPPERS = ("model_pos", "model", "state_dict")
"""Names under which official training code stores the state dict inside a larger dict."""

COUNTER = "num_batches_tracked"
SHOWN = 6
M = TypeVar("M", bound=nn.Module)


def unwrap(state_dict: Mapping | Sequence) -> dict[str, Tensor]:
    """Return the bare state dict: without the outer dict of a training checkpoint and without `module.`.

    Code that follows DDIM's writes a list (state dict, optimiser, ...), of which the first entry is taken.

    Raises:
        InputError: there are no tensors in it.
    """
    if isinstance(state_dict, list | tuple) and state_dict:
        return unwrap(state_dict[0])
    if not isinstance(state_dict, Mapping):
        raise InputError(f"checkpoint is a {type(state_dict).__name__}, expected a dict of tensors by name")
    for wrapper in WRAPPERS:
        if isinstance(state_dict.get(wrapper), Mapping):
            return unwrap(state_dict[wrapper])
    tensors = {key: value for key, value in state_dict.items() if isinstance(value, Tensor)}
    if len(tensors) != len(state_dict) or not tensors:
        others = [str(key) for key in state_dict if key not in tensors]
        raise InputError(
            f"checkpoint holds {len(tensors)} tensors and {len(others)} other entries ({_first(others)}), expected a "
            f"state dict, bare or under one of {', '.join(WRAPPERS)}"
        )
    if all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors


def official_key(key: str, table: KeyTable) -> str:
    """Return the official name of one of our parameters."""
    for pattern, replacement in table:
        key = re.sub(pattern, replacement, key)
    return key


def load_strictly(model: M, state_dict: Mapping, table: KeyTable = (), squeeze: Sequence[str] = ()) -> M:
    """Load an official state dict into our model and return the model in evaluation mode.

    Every key of the checkpoint must be one of ours, by the official name, with the same shape, and the other
    way round. Only the batch counters of batch norm may be absent, and only all together: PyTorch before
    0.4.1 wrote none, and they change nothing in evaluation mode. Tensors whose official key matches one of
    the expressions in `squeeze` may have trailing dimensions of size one more than ours: convolutions of
    width one that are linear layers here.

    Raises:
        InputError: something differs; the message lists the first differing official keys.
    """
    official = {
        key: _squeezed(value) if any(re.search(s, key) for s in squeeze) else value
        for key, value in unwrap(state_dict).items()
    }
    ours = model.state_dict()
    names = {key: official_key(key, table) for key in ours}
    if not any(key.endswith(COUNTER) for key in official):
        official |= {name: ours[key] for key, name in names.items() if key.endswith(COUNTER)}
    _compare({name: ours[key] for key, name in names.items()}, official, type(model).__module__)
    model.load_state_dict({key: official[name] for key, name in names.items()}, strict=True)
    return model.eval()


def holds(state_dict: Mapping, *beginnings: str) -> bool:
    """Tell whether the (bare or wrapped) checkpoint has, for each beginning, a key that starts with it."""
    keys = unwrap(state_dict).keys()
    return all(any(key.startswith(beginning) for key in keys) for beginning in beginnings)


def _compare(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], method: str) -> None:
    """Raise `InputError` unless both have the same keys with the same shapes."""
    missing = [key for key in expected if key not in found]
    unknown = [key for key in found if key not in expected]
    sizes = [
        f"{key}: checkpoint {tuple(found[key].shape)}, model {tuple(expected[key].shape)}"
        for key in expected
        if key in found and found[key].shape != expected[key].shape
    ]
    problems = [
        f"{len(keys)} {what} ({_first(keys)})"
        for what, keys in (("missing", missing), ("unknown", unknown), ("of another size", sizes))
        if keys
    ]
    if problems:
        raise InputError(
            f"not a checkpoint of {method.rpartition('.')[2]} with these arguments: keys {'; '.join(problems)}. "
            "Give the constructor arguments it was trained with, or load it with the method it belongs to"
        )


def _squeezed(tensor: Tensor) -> Tensor:
    """Drop the dimensions after the second, which must be of size one to be dropped."""
    while tensor.ndim > 2 and tensor.shape[-1] == 1:
        tensor = tensor[..., 0]
    return tensor


def _first(keys: Iterable[str]) -> str:
    """Return the first keys, and how many follow."""
    keys = list(keys)
    more = f", and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more


def official_arguments(args: object, names: Sequence[str]) -> dict[str, Any]:
    """Return the named fields that official constructors' `args`, a dict or a namespace, has; None has none."""
    fields = {} if args is None else args if isinstance(args, Mapping) else vars(args)
    return {name: fields[name] for name in names if name in fields}
