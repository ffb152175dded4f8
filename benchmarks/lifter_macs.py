"""How much every published lifter computes: parameters and multiply-accumulates for one window of its own length.

Counted, not timed, on tensors without data, so that it takes seconds anywhere: linear layers, convolutions, and both
products of attention; norms, activations and additions are left out. For HoT and TPC also the share that pruning saves
against the same host without pruning, whose layers all work on all frames. VideoPose3D
is counted as it runs over clips; frames that share a window share most of that work.

    python benchmarks/lifter_macs.py
"""

import torch
from row import write_rows
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from posewright.models import find, list_models

HOSTS = {
    "mixste": ("lifting/mixste", "243"),
    "mhformer": ("lifting/mhformer", "351"),
    "motionbert": ("lifting/motionbert", "lite"),
    "motionagformer": ("lifting/motionagformer", "b"),
}
"""Host of a HoT variant -> the published network it prunes."""


def macs(model: nn.Module, keypoints: torch.Tensor) -> int:
    """Count the multiply-accumulates of one call."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.requires_grad_(False)(keypoints)
    return counter.get_total_flops() // 2


def measure(name: str, variant: str) -> dict:
    """Count one published size."""
    method = find(name)
    config = method.VARIANTS[variant]
    facts = method.lifting(config) if hasattr(method, "lifting") else method.LIFTING
    joints = getattr(config, "num_joints", None) or config.num_joints_in
    with torch.device("cpu" if name == "lifting/semgcn" else "meta"):
        model = method.Model(config).eval()
        count = macs(model, torch.zeros(1, config.frames, joints, facts.channels))
    parameters = sum(p.numel() for p in model.parameters())
    return {
        "method": name,
        "variant": variant,
        "frames": config.frames,
        "parameters": parameters,
        "gmacs_per_window": round(count / 1e9, 3),
    }


def main() -> None:
    """Count every published size of every lifter and write the table."""
    names = [name for name in list_models("lifting") if name != "lifting/raylift"]
    rows = [measure(name, variant) for name in names for variant in find(name).VARIANTS]
    counts = {(row["method"], row["variant"]): row["gmacs_per_window"] for row in rows}
    for row in rows:
        if row["method"] == "lifting/hot":
            host = counts[HOSTS[find("lifting/hot").VARIANTS[row["variant"]].host]]
            row["saved_percent"] = round(100 * (1 - row["gmacs_per_window"] / host), 1)
    write_rows("lifter_macs", rows)


if __name__ == "__main__":
    main()
