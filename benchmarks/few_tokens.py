"""Attention over few tokens with narrow heads on the processor: matrix products against PyTorch's fused kernel.

    python benchmarks/few_tokens.py [--threads 2] [--runs 9]

`nn.attention` chooses by the number of tokens and the width of a head (`FEW_TOKENS`, `NARROW_HEAD`). Both kernels run
in turn in one process: alone, over 4,131 tokens (a window of 243 frames of 17 joints), forwards, and forwards and
backwards; and inside a training step of two small networks, 16 windows of 27 frames. Medians of wall times.
Writes results/few_tokens.csv.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from row import write_rows
from torch import nn

from posewright.models import create
from posewright.nn import attention

TOKENS = 4131
SIZES = [(n, heads, width) for n in (17, 27, 81, 243) for heads, width in ((8, 6), (8, 16), (8, 32), (8, 64))]
"""Tokens of a sequence, heads, width of a head."""
NETWORKS: dict[str, dict[str, Any]] = {
    "lifting/mixste": {"num_frame": 27, "embed_dim_ratio": 48, "depth": 6},
    "lifting/motionbert": {"maxlen": 27, "dim_feat": 48, "dim_rep": 96, "depth": 3},
}
KERNELS = {"fused": 0, "products": 10**9}
"""Up to how many tokens matrix products are taken."""


def compare(run: Callable[[], object], runs: int) -> dict[str, float]:
    """Milliseconds of both kernels, in turn; the first round does not count."""
    times: dict[str, list[float]] = {kernel: [] for kernel in KERNELS}
    for _ in range(runs + 1):
        for kernel, tokens in KERNELS.items():
            attention.FEW_TOKENS = tokens
            start = time.perf_counter()
            run()
            times[kernel].append(1e3 * (time.perf_counter() - start))
    return {kernel: median(values[1:]) for kernel, values in times.items()}


def attend(tokens: int, heads: int, width: int, backwards: bool) -> Callable[[], object]:
    """Attention alone, as a layer calls it."""
    x = torch.randn(TOKENS // tokens, tokens, 3 * heads * width, requires_grad=backwards)

    def run() -> None:
        with torch.inference_mode(not backwards):
            mixed = attention.attend(*x.chunk(3, -1), num_heads=heads)
        if backwards:
            mixed.backward(mixed.detach())

    return run


def train_step(network: nn.Module) -> Callable[[], object]:
    """Forwards and backwards through a network."""
    keypoints = torch.randn(16, 27, 17, 3 if "motionbert" in type(network).__module__ else 2)

    def run() -> None:
        network.zero_grad()
        network(keypoints).square().mean().backward()

    return run


def row(what: str, times: dict[str, float], chosen: bool) -> dict[str, str]:
    """One line of the table, printed as well."""
    made = {
        "what": what,
        "threads": str(torch.get_num_threads()),
        "fused_ms": f"{times['fused']:.2f}",
        "products_ms": f"{times['products']:.2f}",
        "times_faster": f"{times['fused'] / times['products']:.2f}",
        "products_chosen": str(chosen),
    }
    print(made, flush=True)
    return made


def main() -> None:
    """Time everything and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=9)
    arguments = parser.parse_args()
    few, narrow, rows = attention.FEW_TOKENS, attention.NARROW_HEAD, []
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        attention.NARROW_HEAD = 10**9
        for tokens, heads, width in SIZES:
            for backwards in (False, True):
                what = f"{tokens} tokens, {heads} heads of {width}, {'and backwards' if backwards else 'forwards'}"
                times = compare(attend(tokens, heads, width, backwards), arguments.runs)
                rows.append(row(what, times, tokens <= few and width <= narrow))
        attention.NARROW_HEAD = narrow
        for name, sizes in NETWORKS.items():
            torch.manual_seed(0)
            times = compare(train_step(create(name, **sizes)), arguments.runs)
            rows.append(row(f"{name}, a training step", times, True))
    print(write_rows("few_tokens", rows))


if __name__ == "__main__":
    main()
