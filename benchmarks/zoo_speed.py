"""How fast the published lifters are here against the formulation their papers' code uses, with the same weights.

    python benchmarks/zoo_speed.py [--runs 5] [--threads 2] [--methods lifting/mixste:243]

The plain formulation writes attention out: scores of all pairs, scaled, softmax, weighted sum, with the reshapes and
permutes of the usual transcription; layer scale, shortcut and the fusion of two streams are separate steps. Everything
else (linear layers, norms, windows) is shared, so that the ratio says what the fused formulation gains and nothing
else. Both run in turn on the same window, float32; `packed` is ours with the linear layers in oneDNN's layout and GELU
inside them, as clips of several windows are run, and `bfloat16` has its hidden layers in half precision
(`nn.half_precision`), also in that layout.

The least time of several runs counts (processor time with one thread, wall time with more). The largest difference of
the outputs is checked (1e-4 of the largest joint) and written; that of bfloat16 is only written: with fresh weights it
says little about millimetres (`half_precision.py` measures them).

Writes results/zoo_speed.csv. What no formulation changes is the share of plain matrix products (`linear_percent`, of
the multiply-accumulates), which bounds what can be gained in float32.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from row import write_rows
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import posewright.nn.agformer as agformer
import posewright.nn.attention as attention
import posewright.nn.dual_stream as dual_stream
import posewright.nn.prior_attention as prior_attention
from posewright.models import create, find
from posewright.nn.half_precision import bfloat16, half_precision
from posewright.nn.packed_linear import packed

WITH_SHORTCUTS = (attention, agformer, prior_attention)
DEFAULT = (
    "lifting/mixste:243",
    "lifting/ktpformer:243",
    "lifting/motionagformer:b",
    "lifting/motionagformer:s",
)


def plain_attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    num_heads: int,
    scale: float | None = None,
    dropout: float = 0.0,
    causal: bool = False,
) -> Tensor:
    """Attention written out as in the published code; the arguments are those of `nn.attention.attend`."""
    width = q.shape[-1] // num_heads
    q, k, v = (
        x.reshape(-1, x.shape[-2], num_heads, width).permute(0, 2, 1, 3).contiguous() for x in (q, k, v)
    )
    scores = (q @ k.transpose(-2, -1)) * (width**-0.5 if scale is None else scale)
    if causal:
        scores = scores + torch.full(scores.shape[-2:], float("-inf")).triu(1)
    mixed = scores.softmax(dim=-1) @ v
    return mixed.transpose(1, 2).reshape(-1, q.shape[2], num_heads * width)


def plain_shortcut(x: Tensor, branch: Tensor, scale: Tensor | None = None) -> Tensor:
    """A shortcut with layer scale, step by step."""
    return x + (branch if scale is None else scale * branch)


def plain_weighted_sum(a: Tensor, b: Tensor, weights: Tensor) -> Tensor:
    """The weighted sum of two streams, step by step."""
    return a * weights[..., :1] + b * weights[..., 1:]


@contextmanager
def plain() -> Iterator[None]:
    """Run the zoo's networks with the plain formulation."""
    ours = attention.attend, attention.shortcut, dual_stream.weighted_sum

    def reshaped(q: Tensor, *rest, **options) -> Tensor:
        return plain_attend(q, *rest, **options).reshape(q.shape)

    attention.attend, dual_stream.weighted_sum = reshaped, plain_weighted_sum
    for module in WITH_SHORTCUTS:
        module.shortcut = plain_shortcut
    try:
        yield
    finally:
        attention.attend, dual_stream.weighted_sum = ours[0], ours[2]
        for module in WITH_SHORTCUTS:
            module.shortcut = ours[1]


def measure(name: str, variant: str, runs: int) -> list[dict]:
    """Time one published size, plain and ours in turn."""
    torch.manual_seed(0)
    network = create(name, variant).eval().requires_grad_(False)
    method, config = find(name), find(name).VARIANTS[variant]
    facts = method.lifting(config) if hasattr(method, "lifting") else method.LIFTING
    keypoints = 0.5 * torch.randn(1, config.frames, len(facts.skeleton), facts.channels)
    twins = {"packed": packed(network), "bfloat16": half_precision(network)}
    contexts: dict[str, Callable] = {
        "plain": plain,
        "float32": nullcontext,
        "packed": nullcontext,
        "bfloat16": lambda: bfloat16("cpu"),
    }
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    best, outputs = dict.fromkeys(contexts, float("inf")), {}
    for _ in range(runs):
        for kind, context in contexts.items():
            with torch.inference_mode(), context():
                start = clock()
                outputs[kind] = twins.get(kind, network)(keypoints)
                best[kind] = min(best[kind], clock() - start)
    largest = float(outputs["plain"].abs().max())
    differences = {k: float((outputs[k] - outputs["plain"]).abs().max()) / largest for k in outputs}
    if max(differences["float32"], differences["packed"]) > 1e-4:
        raise RuntimeError(f"{name} {variant}: the formulations differ: {differences}")
    linear = linear_percent(network, keypoints)
    return [
        {
            "method": name,
            "variant": variant,
            "frames": config.frames,
            "precision": kind,
            "threads": torch.get_num_threads(),
            "plain_ms_per_window": f"{1e3 * best['plain']:.0f}",
            "ms_per_window": f"{1e3 * best[kind]:.0f}",
            "times_faster": f"{best['plain'] / best[kind]:.2f}",
            "relative_difference": f"{differences[kind]:.1e}",
            "linear_percent": f"{linear:.0f}",
        }
        for kind in ("float32", "packed", "bfloat16")
    ]


def linear_percent(network: nn.Module, keypoints: Tensor) -> float:
    """Share of linear layers in the multiply-accumulates."""
    with plain(), FlopCounterMode(display=False) as counter, torch.no_grad():
        network(keypoints)
    counts = {str(op): n for op, n in counter.get_flop_counts()["Global"].items()}
    return 100 * sum(n for op, n in counts.items() if "mm" in op and "bmm" not in op) / sum(counts.values())


def main() -> None:
    """Time the sizes and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--methods", nargs="+", default=DEFAULT, metavar="name:variant")
    parser.add_argument("--dry", action="store_true", help="print only")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    rows = []
    for chosen in arguments.methods:
        name, _, variant = chosen.partition(":")
        rows += measure(name, variant, arguments.runs)
        for row in rows[-3:]:
            print(row, flush=True)
    if not arguments.dry:
        print(write_rows("zoo_speed", rows))


if __name__ == "__main__":
    main()
