"""A lifter ready to run: a method of `models/lifting`, its weights, and what it takes and gives.

    lifter = load_lifter("lifting/mixste", "mixste.safetensors")                    # trained here
    lifter = load_lifter("lifting/motionagformer", "best_epoch.pth.tr", "b")        # its authors' checkpoint
    save_lifter(lifter, "mixste.safetensors")

Files written here are safetensors whose metadata hold the method, its configuration and the frame rate; authors'
checkpoints need the variant, which says the constructor's arguments. Nothing is ever unpickled that could run code.
"""

import inspect
import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.core.files import atomic_path
from posewright.models import find, list_models
from posewright.nn.checkpoints import load_strictly, unwrap
from posewright.skeletons.joint_sets import COCO_17, HUMANEVA_15, MPI_17
from posewright.structures.lifting import Lifting

RAYLIFT = "lifting/raylift"
"""The default lifter has a runner of its own (`pipelines.lift`): it reads rays, not screen units."""
STATISTICS = ("keypoint_mean", "keypoint_deviation", "joint_mean", "joint_deviation")
"""What a method with standardised units needs beside its weights: (J, 2) twice, screen units; (J, 3) twice, metres."""
H36M_RATE, HUMANEVA_RATE = 50.0, 60.0
"""Frames per second of the recordings that the authors trained on."""
ALIASES = {"lifting/videopose3d": {"243_coco": ("243", COCO_17)}}
"""Published checkpoints of a variant that read another joint set: method -> name -> (variant, joint set read)."""


Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Lifter:
    """A network in evaluation mode and its conventions."""

    name: str
    """Path of the method, `lifting/mixste`."""
    network: nn.Module
    facts: Lifting
    window: int
    """Frames that the network looks at."""
    fps: float | None = None
    """Frames per second it was trained at; None: any, each frame stands alone or the rate is not known."""
    statistics: Mapping[str, Tensor] | None = None
    """See `STATISTICS`."""
    variant: str | None = None
    precision: Precision = "float32"
    """What clips are run in; see `nn.half_precision`."""

    def to(self, device: str) -> "Lifter":
        """Move to a device."""
        statistics = self.statistics and {k: v.to(device) for k, v in self.statistics.items()}
        return replace(self, network=self.network.to(device), statistics=statistics)


def as_lifter(
    network: nn.Module,
    variant: str | None = None,
    fps: float | None = None,
    statistics: Mapping[str, Tensor] | None = None,
) -> Lifter:
    """Describe a network that `posewright.models.create` or `load_official` made.

    Args:
        network: the `Model` of a lifting method.
        variant: its published size, where that decides the joint set (3DHP, COCO).
        fps: rate it was trained at; None: that of its authors' data.
        statistics: for methods with standardised units.
    """
    name = "lifting/" + type(network).__module__.rpartition(".")[2]
    if name not in list_models("lifting") or name == RAYLIFT or type(network) is not find(name).Model:
        raise InputError(
            f"lifter: the model is a {type(network).__module__}.{type(network).__name__}, expected the Model of one "
            f"of {', '.join(zoo())}"
        )
    config: Any = network.config
    facts = facts_of(name, config, variant)
    rate = published_rate(name, config, variant) if fps is None else fps
    if facts.keypoint_units == "standardised" and statistics is None:
        raise InputError(
            f"{name} reads standardised keypoints, and its weights do not hold the mean and deviation of the training "
            f"set: give `statistics` ({', '.join(STATISTICS)}), or train with runs/train_lifter.py, which keeps them"
        )
    window = int(config.frames)
    return Lifter(name, network.eval(), facts, window, rate if window > 1 else None, statistics, variant)


def zoo() -> list[str]:
    """Names of all lifters but the default one."""
    return [name for name in list_models("lifting") if name != RAYLIFT]


def facts_of(name: str, config: Any, variant: str | None = None) -> Lifting:
    """Conventions of one configuration of a method."""
    method = find(name)
    facts = method.lifting(config) if hasattr(method, "lifting") else method.LIFTING
    if variant is not None and variant.endswith("_3dhp"):
        facts = replace(facts, skeleton=MPI_17, output_skeleton=MPI_17)
    if variant in ALIASES.get(name, {}):
        facts = replace(facts, skeleton=ALIASES[name][variant][1])
    joints = getattr(config, "num_joints", None) or getattr(config, "num_joints_in", len(facts.skeleton))
    if joints == 15 and name == "lifting/videopose3d":
        facts = replace(facts, skeleton=HUMANEVA_15, output_skeleton=HUMANEVA_15)
    if joints != len(facts.skeleton):
        raise InputError(
            f"{name}: a model of {joints} joints, but which joints they are was not published; "
            f"expected {len(facts.skeleton)}, those of {facts.skeleton.name}"
        )
    return replace(facts, causal=bool(getattr(config, "causal", False)))


def published_rate(name: str, config: Any, variant: str | None) -> float | None:
    """Frames per second of the clips that the authors' weights were trained on; None where nobody says."""
    if variant is not None and variant.endswith("_3dhp"):
        return None
    if "humaneva" in str(variant) or getattr(config, "dataset", "") == "humaneva15":
        return HUMANEVA_RATE
    return H36M_RATE / 2 if name == "lifting/mpm" else H36M_RATE


# --------------------------------------------------------------------------------------------------- files


def load_lifter(
    name: str, weights: str | Path | None, variant: str | None = None, device: str = "cpu"
) -> Lifter:
    """Load a method with weights.

    Args:
        name: path of the method.
        weights: file of `save_lifter`, or the authors' checkpoint; None raises, saying where checkpoints are.
        variant: the published size of an authors' checkpoint; None: the default. Files of `save_lifter` know theirs.
        device: where it will run.

    Raises:
        InputError: no weights, another method's or another size's, or a file that cannot be read.
        LookupError: no such method or variant.
    """
    method = find(name)
    if weights is None:
        raise InputError(without_weights(name))
    state, metadata = read_weights(weights)
    if "model" in metadata:
        return _ours(name, method, state, metadata, Path(weights)).to(device)
    config = _variant(name, method, variant)
    try:
        network = _with_weights(name, method, config, state)
    except InputError as error:
        raise InputError(
            f"{weights}: {error}. {name} has the variants {', '.join(_variants(name))}; "
            f"{variant or 'the default one'} was tried"
        ) from None
    if type(network) is not method.Model:
        raise InputError(f"{weights} holds a {type(network).__name__} of {name}, expected its lifter")
    return as_lifter(network, variant).to(device)


def save_lifter(lifter: Lifter, path: str | Path, **notes: str) -> None:
    """Write weights, configuration, rate and statistics as one safetensors file; `notes` go to its metadata."""
    metadata = {
        "model": lifter.name,
        "config": json.dumps(asdict(lifter.network.config)),  # type: ignore[arg-type]
        "fps": json.dumps(lifter.fps),
        "variant": json.dumps(lifter.variant),
        "statistics": json.dumps({k: v.tolist() for k, v in (lifter.statistics or {}).items()}),
        **notes,
    }
    state = {name: value.detach().cpu().contiguous() for name, value in lifter.network.state_dict().items()}
    with atomic_path(path) as part:
        save_file({name: value.clone() for name, value in state.items()}, part, metadata=metadata)


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors of a checkpoint, safetensors or PyTorch, and the metadata of the former.

    Raises:
        InputError: no such file, or a corrupted one, or one that would run code when read.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected weights, as safetensors or a PyTorch checkpoint")
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: not a safetensors file that can be read ({error})") from None
    try:
        with torch.serialization.safe_globals(random_state_globals()):
            return unwrap(torch.load(path, map_location="cpu", weights_only=True)), {}
    except InputError:
        raise
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{path}: not a checkpoint that can be read without running code from it ({reason}); expected tensors "
            "only, by torch.save, or safetensors"
        ) from None


def random_state_globals() -> list:
    """What numpy's generators are made of: many checkpoints keep one beside the weights, and it is only data."""
    from numpy import dtype, ndarray, uint32
    from numpy._core.multiarray import _reconstruct
    from numpy.random import MT19937, RandomState, _pickle

    constructors = (_pickle.__randomstate_ctor, _pickle.__bit_generator_ctor)
    return [
        *constructors,
        MT19937,
        RandomState,
        ndarray,
        dtype,
        type(dtype(uint32)),
        _reconstruct,
        (_reconstruct, "numpy.core.multiarray._reconstruct"),
    ]


def without_weights(name: str) -> str:
    """Say that a method needs weights, and where its authors publish them."""
    cards = getattr(find(name), "WEIGHTS", {})
    places = "; ".join(
        f"{card}: {weights.url} (licence {weights.licence})" for card, weights in cards.items()
    )
    published = (
        f"its authors publish checkpoints at {places}" if cards else "its authors publish no checkpoints"
    )
    return (
        f"{name} comes without weights: {published}. Give the file as `weights` (--lifter-weights), and its size as "
        f"`variant` (--lifter-variant: {', '.join(_variants(name))}), or train it: posewright train train_lifter {name}"
    )


# -------------------------------------------------------------------------------------------------- inside


def _variants(name: str) -> list[str]:
    return [*find(name).VARIANTS, *ALIASES.get(name, {})]


def _variant(name: str, method: ModuleType, variant: str | None) -> Any:
    """Configuration of a variant; None: the default one."""
    if variant is None:
        return method.Config()
    if variant not in _variants(name):
        raise LookupError(f"{name} has no variant {variant!r}; it has: {', '.join(_variants(name))}")
    alias = ALIASES.get(name, {}).get(variant)
    return method.VARIANTS[alias[0] if alias else variant]


def _ours(
    name: str, method: ModuleType, state: dict[str, Tensor], metadata: dict[str, str], path: Path
) -> Lifter:
    """Build what `save_lifter` wrote."""
    if metadata["model"] != name:
        raise InputError(f"{path} holds weights of {metadata['model']}, expected {name}: name that method")
    if "config" not in metadata:
        raise InputError(
            f"{path}: weights of {name} without their configuration, expected a file of save_lifter"
        )
    given = {key: _as_tuples(value) for key, value in json.loads(metadata["config"]).items()}
    known = {f.name for f in fields(method.Config)}
    if unknown := set(given) - known:
        raise InputError(
            f"{path}: made by another version, its {name} has the options {', '.join(sorted(unknown))}"
        )
    network = load_strictly(method.Model(method.Config(**given)), state)
    statistics = {k: torch.tensor(v) for k, v in json.loads(metadata.get("statistics", "{}")).items()}
    fps, variant = (json.loads(metadata.get(key, "null")) for key in ("fps", "variant"))
    return replace(as_lifter(network, variant, fps, statistics or None), fps=fps)


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(v) for v in value) if isinstance(value, list) else value


def _with_weights(name: str, method: ModuleType, config: Any, state: dict[str, Tensor]) -> nn.Module:
    """Load a bare state dict, ours by its keys or else the authors'."""
    with torch.device("cpu" if name == "lifting/semgcn" else "meta"):
        ours = set(method.Model(config).state_dict())
    if set(state) == ours:
        return load_strictly(method.Model(config), state)
    return method.load_official(state, **official_options(name, config))


def official_options(name: str, config: Any) -> dict[str, Any]:
    """A configuration as the keyword arguments of the method's `load_official`."""
    given = {f.name: getattr(config, f.name) for f in fields(config)}
    if name == "lifting/hot":
        renamed = {"dim": "channel", "hidden": "d_hid", "num_joints": "n_joints"}
        return {renamed.get(k, k): v for k, v in given.items() if k not in ("host", "recover")}
    if name == "lifting/gla_gcn":
        joints = config.num_joints
        given |= {"num_joints_in": joints, "in_features": 2, "num_joints_out": joints}
    parameters = inspect.signature(find(name).load_official).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        left_out = {"lifting/motionbert": ("eps",)}.get(name, ())
        return {key: value for key, value in given.items() if key not in left_out}
    return {key: value for key, value in given.items() if key in parameters}
