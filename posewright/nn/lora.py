"""Low-rank adaptation: a small correction of a network's linear layers, trained while the rest stays as it is.

Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang, Chen, "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022,
https://arxiv.org/abs/2106.09685. A layer W x + b becomes W x + b + scale * B (A x), A of shape (r, in) and B of shape
(out, r), r small (section 4.1). B starts at zero, so that a new adapter changes nothing; A starts as normal noise of
deviation 1 / r, as in https://github.com/cloneofsimo/lora (Apache-2.0), which PoSynDA uses (the paper's is 1 / sqrt(in)
by its default layer).

    names = add_low_rank(network, r"attn", rank=4)     # in place; everything else is frozen
    train(...)                                         # only low_rank_parameters(network) move
    save_adapter(network, "mine.safetensors")          # A and B alone, and the digest of the weights they belong to
    merge_low_rank(network)                            # W + scale * B A: the plain network again, adapted

Convention: tokens (*B, C), every leading dimension is a batch dimension. Convolutions and layers that are no plain
`nn.Linear` (graph convolutions with weights of their own) are left alone.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.core.files import atomic_path

KIND = "low-rank adapter"
"""What the metadata of an adapter's file say it is."""
SHOWN = 8


class LowRankLinear(nn.Module):
    """A frozen linear layer and its low-rank correction (equation 3); one narrower than the rank takes its width."""

    def __init__(self, linear: nn.Linear, rank: int, scale: float = 1.0, dropout: float = 0.0):
        super().__init__()
        if rank < 1:
            raise InputError(f"low-rank adaptation: rank {rank}, expected at least 1")
        rank = min(rank, linear.in_features, linear.out_features)
        self.linear, self.scale = linear, scale
        like = {"device": linear.weight.device, "dtype": linear.weight.dtype}
        self.down = nn.Linear(linear.in_features, rank, bias=False, **like)
        self.up = nn.Linear(rank, linear.out_features, bias=False, **like)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.down.weight, std=1 / rank)
        nn.init.zeros_(self.up.weight)

    @property
    def weight(self) -> Float[Tensor, "out in"]:
        """The corrected weights, for code that reads them instead of calling the layer."""
        return self.linear.weight + self.scale * self.up.weight @ self.down.weight

    @property
    def bias(self) -> Float[Tensor, " out"] | None:
        """The layer's bias."""
        return self.linear.bias

    def forward(self, x: Float[Tensor, "*B in"]) -> Float[Tensor, "*B out"]:
        return self.linear(x) + self.scale * self.dropout(self.up(self.down(x)))


def add_low_rank(
    network: nn.Module, pattern: str = "", rank: int = 4, scale: float = 1.0, dropout: float = 0.0
) -> list[str]:
    """Give linear layers a low-rank correction, in place, and freeze everything else.

    Args:
        network: any module.
        pattern: regular expression that the layer's name must contain (`re.search`), such as `attn` or
            `temporal_blocks.*qkv`; empty: every linear layer.
        rank: r; a layer narrower than that takes its width.
        scale: factor of the correction; the paper's alpha / r.
        dropout: of the correction, while training.

    Returns:
        Names of the layers.

    Raises:
        InputError: no layer has such a name, the rank is none, or the network is adapted already.
    """
    if any(low_rank_layers(network)):
        raise InputError("low-rank adaptation: the network has an adapter; merge it first (merge_low_rank)")
    linear = [name for name, module in network.named_modules() if type(module) is nn.Linear]
    chosen = [name for name in linear if re.search(pattern, name)]
    if not chosen:
        there = ", ".join(linear[:SHOWN]) + (", ..." if len(linear) > SHOWN else "")
        raise InputError(
            f"low-rank adaptation: no linear layer of {type(network).__module__.rpartition('.')[2]} is named like "
            f"{pattern!r}; " + (f"it has {there}" if linear else "it has none: train all of it instead")
        )
    _inject(network, dict.fromkeys(chosen, rank), scale, dropout)
    return chosen


def low_rank_layers(network: nn.Module) -> Iterator[tuple[str, LowRankLinear]]:
    """Corrected layers and their names."""
    return ((name, module) for name, module in network.named_modules() if isinstance(module, LowRankLinear))


def low_rank_parameters(network: nn.Module) -> list[Tensor]:
    """A and B of every corrected layer: what is trained."""
    return [p for _, layer in low_rank_layers(network) for p in (layer.down.weight, layer.up.weight)]


def merge_low_rank(network: nn.Module) -> nn.Module:
    """Put the corrections into the weights, in place, and return the plain network; nothing stays frozen."""
    for name, layer in list(low_rank_layers(network)):
        with torch.no_grad():
            layer.linear.weight.copy_(layer.weight)
        _replace(network, name, layer.linear)
    return network.requires_grad_(True)


# --------------------------------------------------------------------------------------------------- files


def save_adapter(network: nn.Module, path: str | Path, **notes: str) -> None:
    """Write A and B of every corrected layer, and nothing else, as safetensors.

    The metadata name the layers' ranks and scales and the digest of the weights that the adapter belongs to; `notes`
    are added to them.

    Raises:
        InputError: the network has no adapter.
    """
    layers = dict(low_rank_layers(network))
    if not layers:
        raise InputError("low-rank adaptation: the network has no adapter to save; add one (add_low_rank)")
    first = next(iter(layers.values()))
    metadata = {
        "kind": KIND,
        "network": _named(network),
        "scale": json.dumps(first.scale),
        "base": base_digest(network),
        **notes,
    }
    tensors = {
        f"{name}.{part}": getattr(layer, part).weight.detach().cpu().contiguous().clone()
        for name, layer in layers.items()
        for part in ("down", "up")
    }
    with atomic_path(path) as part:
        save_file(tensors, part, metadata=metadata)


def load_adapter(network: nn.Module, path: str | Path) -> nn.Module:
    """Give a network, in place, the adapter of a file that was trained on it.

    Raises:
        InputError: not such a file; the adapter was trained on another method, size or set of weights.
    """
    tensors, metadata = read_adapter(path)
    layers = sorted({name.rpartition(".")[0] for name in tensors})
    plain = {name: module for name, module in network.named_modules() if type(module) is nn.Linear}
    if metadata.get("network") != _named(network) or not set(layers) <= set(plain):
        raise InputError(
            f"{path}: a low-rank adapter of {metadata.get('network')} ({', '.join(layers[:3])}, ...), expected one of "
            f"{_named(network)}: name the lifter it was made for"
        )
    if any(low_rank_layers(network)):
        raise InputError("low-rank adaptation: the network has an adapter; merge it first (merge_low_rank)")
    expected = {f"{name}.up": plain[name].out_features for name in layers}
    wrong = [name for name, rows in expected.items() if tensors[name].shape[0] != rows]
    if wrong or metadata.get("base") != base_digest(network):
        what = f"another size ({wrong[0]})" if wrong else "other weights"
        raise InputError(
            f"{path}: a low-rank adapter of {_named(network)} with {what}: it corrects the weights it was trained on "
            "and no others; load those first"
        )
    _inject(network, {name: len(tensors[f"{name}.down"]) for name in layers}, json.loads(metadata["scale"]))
    for name, layer in low_rank_layers(network):
        with torch.no_grad():
            layer.down.weight.copy_(tensors[f"{name}.down"])
            layer.up.weight.copy_(tensors[f"{name}.up"])
    return network


def read_adapter(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of `save_adapter`'s file.

    Raises:
        InputError: no such file, or another one.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a low-rank adapter (.safetensors)")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a safetensors file that can be read ({error})") from None
    parts = {name.rpartition(".")[0]: {"down", "up"} for name in tensors}
    whole = all(f"{name}.{part}" in tensors for name in parts for part in ("down", "up"))
    if metadata.get("kind") != KIND or not tensors or not whole:
        raise InputError(
            f"{path}: not a low-rank adapter, expected a file of save_adapter (whole weights: load_lifter)"
        )
    return tensors, metadata


def base_digest(network: nn.Module) -> str:
    """SHA-256 of all weights but the adapter's, by their names in the plain network."""
    digest = hashlib.sha256()
    corrections = {f"{name}.{part}.weight" for name, _ in low_rank_layers(network) for part in ("down", "up")}
    inside = {f"{name}.linear.": f"{name}." for name, _ in low_rank_layers(network)}
    named = {}
    for name, value in network.state_dict().items():
        if name not in corrections:
            wrapped = next((w for w in inside if name.startswith(w)), None)
            named[name if wrapped is None else inside[wrapped] + name.removeprefix(wrapped)] = value
    for name in sorted(named):
        value = named[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


# -------------------------------------------------------------------------------------------------- inside


def _inject(network: nn.Module, ranks: dict[str, int], scale: float, dropout: float = 0.0) -> None:
    """Put corrected layers in place of the plain ones and freeze everything else."""
    layers = {
        name: LowRankLinear(_linear(network, name), rank, scale, dropout) for name, rank in ranks.items()
    }
    network.requires_grad_(False)
    for name, layer in layers.items():
        _replace(network, name, layer)
        layer.down.requires_grad_(True)
        layer.up.requires_grad_(True)


def _named(network: nn.Module) -> str:
    return f"{type(network).__module__.rpartition('.')[2]}.{type(network).__name__}"


def _linear(network: nn.Module, name: str) -> nn.Linear:
    layer = network.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    return layer


def _replace(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent) if parent else network, child, layer)
