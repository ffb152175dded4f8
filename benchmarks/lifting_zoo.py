"""Every lifter of the zoo under one budget: the open benchmark of 2D-to-3D lifting.

    python benchmarks/lifting_zoo.py [--steps 1000] [--minutes 5] [--methods lifting/mixste] [--seeds 0 1 2]

Each method is trained from scratch on `../shared/data/mocap/train` by `posewright.train.lifting`, with the same clips
(same motion, cameras and keypoint errors, step by step), the same number of windows of 9 frames at 50 per second, the
same optimiser and schedule, and one size of about 250,000 weights (`SMALL`), and scored on `val` as
`posewright/evaluate/lifting.py` says: cameras of another distribution, Human3.6M's 17 keypoints with Gaussian noise of
0.5, 1 and 2 % of the body height, and at 1 % with 10 and 30 % of the keypoints missing; no alignment for MPJPE, frames
counted once, no true root or scale (deployable), flip averaging as stated in the row. The focal length is known.

Methods that sample hypotheses are trained here when they are named; by default they are left to `probabilistic.py`,
which says what their hypotheses are worth beside the best of these. Methods with another paper's block are trained when
named, too (`PLUG_INS`); the claim that HopFIR's hop-wise attention helps SemGCN is
`--methods lifting/semgcn lifting/semgcn:hopwise --seeds 0 1 2`; ConvFormer's, that its attention does as well as the
usual one with fewer weights, `--methods lifting/convformer lifting/convformer:usual --seeds 0 1 2`.

`lifting/raylift`, the default of `run`, is no published method; it stands beside them at the same size, trained on the
same clips by its own loss. It reads rays and is told whether the focal length is known, and gets no mirrored windows.

`--time-again` measures size and speed again, and nothing else, of what was trained: what else ran on the machine while
a method was trained and scored does not count then.

`--minutes` gives equal time in place of equal windows. `--size published` trains the smallest published size, where a
GPU is there. One row per method, seed and condition goes to results/lifting_zoo.csv as soon as it is there; rows that
are there, made with the same budget, are not made again, so that a run can be stopped at any time. Beside the scores:
parameters, multiply-accumulates per frame, frames per second, peak memory of the process that trained and scored.
"""

import argparse
import copy
import csv
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from row import RESULTS, provenance
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from posewright.core.files import atomic_path
from posewright.datasets.mocap import load_mocap
from posewright.datasets.synthetic import SyntheticClips
from posewright.evaluate.lifters import RAYLIFT, Lifter, zoo
from posewright.evaluate.lifting import SCORED, Corruption, evaluate_lifter, filmed
from posewright.evaluate.windows import run_clip
from posewright.models import create
from posewright.models.lifting import raylift
from posewright.pipelines.lift import lift_points, run_windows
from posewright.skeletons.joint_sets import H36M_17
from posewright.train.lifting import ZOO_CLIPS, train_lifter
from posewright.train.loop import TrainingOptions, train

FRAMES = 9
"""Of a window. Short ones, and more of them: frames of one window are nearly alike, and 48 windows of 9 teach more than
16 of 27, which are the same number of frames (tried once, with VideoPose3D and the simple baseline)."""
SMALL: dict[str, dict[str, Any]] = {
    "lifting/raylift": {"dim": 72, "depth": 4, "heads": 4, "hidden": 288},
    "lifting/simple_baseline": {"linear_size": 232},
    "lifting/semgcn": {"hid_dim": 124},
    "lifting/videopose3d": {"filter_widths": (3, 3), "channels": 216},
    "lifting/mixste": {"num_frame": FRAMES, "embed_dim_ratio": 48, "depth": 6},
    "lifting/ktpformer": {"num_frame": FRAMES, "embed_dim_ratio": 48, "depth": 5},
    "lifting/diffpose_multihyp": {
        "embedding_dim": 24,
        "condition_dim": 16,
        "feedforward": 192,
        "hidden": 384,
        "num_proposals": 5,
    },
    "lifting/finepose": {
        "num_frame": FRAMES,
        "embed_dim_ratio": 88,
        "depth": 6,
        "prompts": "parts",
        "stand_in": True,
        "text_width": 64,
        "text_heads": 4,
        "prompt_layers": 1,
        "prompt_hidden": 128,
    },
    "lifting/mhformer": {"frames": FRAMES, "channel": 56, "d_hid": 112},
    "lifting/motionbert": {"maxlen": FRAMES, "dim_feat": 48, "dim_rep": 96, "depth": 3},
    "lifting/motionagformer": {"n_layers": 5, "n_frames": FRAMES, "dim_feat": 32, "dim_rep": 64},
    "lifting/convformer": {"num_frame": FRAMES, "embed_dim_ratio": 8, "depth": 3},
    "lifting/hopfir": {"dim": 72, "depth": 4},
    "lifting/gla_gcn": {"filter_widths": (3, 3), "channels": 64},
    "lifting/mpm": {"frames": FRAMES, "stride_num": (3, 3), "layers": 4, "channel": 56, "d_hid": 112},
    "lifting/hot": {
        "frames": FRAMES,
        "token_num": 3,
        "layer_index": 2,
        "dim": 48,
        "depth": 6,
        "hidden": 96,
    },
    "lifting/d3dp": {"num_frame": FRAMES, "embed_dim_ratio": 48, "depth": 6},
    "lifting/diffpose": {"hid_dim": 36},
    "lifting/fmpose3d": {"channel": 72, "layers": 3, "hidden": 256},
    "lifting/platypose": {"frames": FRAMES, "latent_dim": 72, "ff_size": 144, "num_layers": 4},
    "lifting/uao": {"channel": 40},
    "lifting/starpose": {
        "num_frame": FRAMES,
        "embed_dim_ratio": 48,
        "depth": 5,
        "segment": 3,
        "history": 3,
    },
}
"""Sizes that a CPU trains: about 250,000 weights where the method scales that far down."""
SAMPLERS = (
    "lifting/d3dp",
    "lifting/diffpose",
    "lifting/diffpose_multihyp",
    "lifting/finepose",
    "lifting/fmpose3d",
    "lifting/platypose",
    "lifting/starpose",
    "lifting/uao",
)
"""Methods that answer with hypotheses."""
PLUG_INS: dict[str, dict[str, Any]] = {
    "lifting/semgcn:hopwise": {"hid_dim": 80, "hops": 3},
    "lifting/convformer:usual": {
        "num_frame": FRAMES,
        "embed_dim_ratio": 8,
        "depth": 3,
        "attention": "usual",
    },
}
"""Method and the block it has in another's place: HopFIR's hop-wise attention; usual attention, which has more weights,
where ConvFormer convolves."""
DEFAULT = [name for name in SMALL if name not in SAMPLERS]
PUBLISHED = {
    "lifting/raylift": "base",
    "lifting/simple_baseline": "base",
    "lifting/semgcn": "base",
    "lifting/hopfir": "base",
    "lifting/motionbert": "lite",
    "lifting/motionagformer": "xs",
    "lifting/hot": "hot_mixste",
    "lifting/d3dp": "243",
    "lifting/diffpose": "frame",
    "lifting/diffpose_multihyp": "base",
    "lifting/finepose": "243_stand_in",
    "lifting/platypose": "30",
    "lifting/fmpose3d": "human",
    "lifting/uao": "base",
}
"""Smallest published size; `27` for the others."""
CONDITIONS = (
    Corruption(noise=0.005),
    Corruption(noise=0.01),
    Corruption(noise=0.02),
    Corruption(noise=0.01, missing=0.1),
    Corruption(noise=0.01, missing=0.3),
)
KEY = ("method", "size", "seed", "budget", "noise_percent", "missing_percent", "flip", "views")
TIMED_FRAMES = 600
COUNTED_FRAMES = 432
"""16 windows; a longer clip would run with packed layers (`evaluate.windows`)."""


def network_of(name: str, size: str) -> nn.Module:
    """Build a method at its size of this benchmark, with fresh weights."""
    method, _, plug_in = name.partition(":")
    if size == "small":
        return create(method, **(SMALL | PLUG_INS)[name])
    return create(method, plug_in or PUBLISHED.get(name, "27"))


def budget_of(arguments: argparse.Namespace) -> str:
    """What every method gets, in words."""
    optimiser = f"Muon {arguments.muon:g} and AdamW" if arguments.muon else "AdamW"
    amount = f"{arguments.minutes:g} minutes" if arguments.minutes else f"{arguments.steps} steps"
    return f"{amount} of {arguments.batch} windows, {optimiser} {arguments.learning_rate:g}, cosine"


def trained(name: str, seed: int, arguments: argparse.Namespace) -> tuple[Lifter | raylift.Model, float]:
    """Train a method, or continue; and the seconds it took."""
    torch.manual_seed(seed)
    out = arguments.out / f"{name.replace('/', '_').replace(':', '_')}_{arguments.size}_{seed}"
    budget = budget_of(arguments)
    mark = out / "budget.txt"
    if mark.exists() and mark.read_text() != budget:
        raise SystemExit(f"{out} holds a run with another budget ({mark.read_text()}): give another --out")
    out.mkdir(parents=True, exist_ok=True)
    mark.write_text(budget)
    options = TrainingOptions(
        arguments.minutes,
        arguments.learning_rate,
        muon_learning_rate=arguments.muon or None,
        steps=None if arguments.minutes else arguments.steps,
        schedule="cosine",
        every=arguments.every,
    )
    network = network_of(name, arguments.size)
    clips = SyntheticClips(load_mocap("train"), ZOO_CLIPS, seed=seed)
    if isinstance(network, raylift.Model):
        lifter = train_raylift(network, clips, options, seed, arguments.batch, out)
    else:
        lifter = train_alike(network, clips, options, seed, arguments, out)
    with (out / "log.csv").open() as stream:
        return lifter, float(list(csv.DictReader(stream))[-1]["seconds"])


def train_alike(
    network: nn.Module,
    clips: SyntheticClips,
    options: TrainingOptions,
    seed: int,
    arguments: argparse.Namespace,
    out: Path,
) -> Lifter:
    """Train a published lifter on this benchmark's windows."""
    return train_lifter(
        network,
        clips,
        options,
        batch=arguments.batch,
        seed=seed,
        fps=50.0,
        frames=FRAMES,
        device=arguments.device,
        out=out,
    )


def train_raylift(
    network: raylift.Model, clips: SyntheticClips, options: TrainingOptions, seed: int, batch: int, out: Path
) -> raylift.Model:
    """Train the default lifter on the clips that the others get, step by step."""

    def batch_of(step: int) -> dict[str, Tensor]:
        clips.generator.manual_seed((seed * 1_000_003 + step) % 2**63)
        return clips.batch(batch, FRAMES)

    def loss_of(model: nn.Module, given: dict[str, Tensor]) -> Tensor:
        keypoints = torch.cat([given["rays"], given["confidence"][..., None]], -1)
        return raylift.loss(model(keypoints, given["focal_known"]), given["joints"])

    averaged = train(
        network,
        batch_of,
        loss_of,
        options,
        checkpoint=out / "checkpoint.pt",
        report=lambda model, progress: {},
        log=out / "log.csv",
    )
    assert isinstance(averaged, raylift.Model)
    return averaged


def lift_clip(lifter: Lifter | raylift.Model, keypoints: Tensor) -> Tensor:
    """Run either kind over a clip."""
    if isinstance(lifter, raylift.Model):
        return run_windows(lifter, keypoints, focal_known=True)
    return run_clip(lifter, keypoints)


def blank_clip(lifter: Lifter | raylift.Model, frames: int) -> Tensor:
    """Keypoints of a clip as the lifter reads them, all zero."""
    facts = raylift.LIFTING if isinstance(lifter, raylift.Model) else lifter.facts
    return torch.zeros(frames, len(facts.skeleton), facts.channels)


def mmacs_per_frame(name: str, lifter: Lifter | raylift.Model) -> float:
    """Millions of multiply-accumulates per frame of a clip: whatever windows it needs are counted.

    Counted on tensors without data, since on the processor those of attention and of packed layers are not seen.
    """
    device = "cpu" if name.startswith("lifting/semgcn") else "meta"  # it chooses its edges by their values
    if isinstance(lifter, Lifter):
        network = copy.deepcopy(lifter.network).to(device).requires_grad_(False)
        counted = replace(lifter, network=network)
    else:
        counted = copy.deepcopy(lifter).to(device)
    with FlopCounterMode(display=False) as counter:
        lift_clip(counted, blank_clip(lifter, COUNTED_FRAMES).to(device))
    return counter.get_total_flops() / 2 / COUNTED_FRAMES / 1e6


def cost(name: str, lifter: Lifter | raylift.Model) -> dict[str, str]:
    """Size and speed of a lifter over a clip."""
    network = lifter.network if isinstance(lifter, Lifter) else lifter
    keypoints = blank_clip(lifter, TIMED_FRAMES).to(next(network.parameters()).device)
    lift_clip(lifter, keypoints)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        lift_clip(lifter, keypoints)
        times.append(time.perf_counter() - start)
    return {
        "parameters": str(sum(p.numel() for p in network.parameters())),
        "mmacs_per_frame": f"{mmacs_per_frame(name, lifter):.2f}",
        "frames_per_second": f"{TIMED_FRAMES / sorted(times)[1]:.0f}",
        "threads": str(torch.get_num_threads()),
    }


def measure(name: str, seed: int, arguments: argparse.Namespace) -> list[dict[str, str]]:
    """Train one method and score it under all conditions."""
    lifter, seconds = trained(name, seed, arguments)
    views = filmed(load_mocap("val"))[:: arguments.view_step]
    facts = cost(name, lifter)

    def predict(keypoints, camera) -> np.ndarray:
        return lift_points(keypoints, camera, model=lifter, flip=arguments.flip)[0][:, 0]

    rows = []
    for corruption in CONDITIONS:
        scores = evaluate_lifter(predict, views, H36M_17, corruption)["all"]
        row = key_of(name, seed, corruption, arguments)
        row |= {k: str(v) if k == "frames" else f"{v:.2f}" for k, v in scores.items()}
        row |= facts | {"training_seconds": f"{seconds:.0f}", "joints_scored": str(len(SCORED))}
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append(row | {"peak_memory_mb": f"{memory:.0f}", "setting": "deployable"})
        print(
            f"{name:24} seed {seed} noise {row['noise_percent']:>4} % missing {row['missing_percent']:>3} %  "
            f"MPJPE {scores['mpjpe_mm']:6.1f}  PA-MPJPE {scores['pa_mpjpe_mm']:6.1f} mm",
            flush=True,
        )
    return rows


def key_of(name: str, seed: int, corruption: Corruption, arguments: argparse.Namespace) -> dict[str, str]:
    """What makes a row another row."""
    return {
        "method": name,
        "size": arguments.size,
        "seed": str(seed),
        "budget": budget_of(arguments),
        "noise_percent": f"{100 * corruption.noise:g}",
        "missing_percent": f"{100 * corruption.missing:g}",
        "flip": str(arguments.flip),
        "views": f"every {arguments.view_step}" if arguments.view_step > 1 else "all",
    }


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows that are there."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def add_rows(path: Path, rows: list[dict[str, str]]) -> None:
    """Append rows with their own provenance."""
    made = provenance()
    write_all(path, [*read_rows(path), *({**row, **made} for row in rows)])


def time_again(arguments: argparse.Namespace) -> None:
    """Measure size and speed of trained methods, and write them into the rows that are there."""
    rows, budget = read_rows(arguments.results), budget_of(arguments)
    for name in arguments.methods:
        own = [r for r in rows if (r["method"], r["size"], r["budget"]) == (name, arguments.size, budget)]
        if own:
            facts = cost(name, trained(name, int(own[0]["seed"]), arguments)[0])
            print(name, facts, flush=True)
            for row in own:
                row |= facts
    write_all(arguments.results, rows)


def write_all(path: Path, rows: list[dict[str, str]]) -> None:
    """Write the whole file or nothing."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_path(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Options that say what is trained, where it is kept, and what it is scored on."""
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--size", choices=("small", "published"), default="small")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--muon", type=float, default=0.02, help="its learning rate; 0: AdamW for all")
    parser.add_argument("--every", type=int, default=200, help="steps between checkpoints")
    parser.add_argument("--view-step", type=int, default=1, help="score every n-th test view")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("out/lifting_zoo"))


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--methods", nargs="+", choices=[RAYLIFT, *zoo(), *PLUG_INS], metavar="METHOD", default=DEFAULT
    )
    add_training_options(parser)
    parser.add_argument("--flip", action="store_true", help="average with the mirrored clip")
    parser.add_argument("--time-again", action="store_true", help="measure speed of what is there, no more")
    parser.add_argument("--results", type=Path, default=RESULTS / "lifting_zoo.csv")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main() -> None:
    """Measure what is missing; every method in a process of its own, so that its memory is its own."""
    arguments = parse()
    if arguments.one:
        name, seed = json.loads(arguments.one)
        sys.argv = sys.argv[: sys.argv.index("--one")]  # the command that a row names is the user's
        add_rows(arguments.results, measure(name, seed, arguments))
        return
    if arguments.time_again:
        time_again(arguments)
        return
    for seed in arguments.seeds:
        for name in arguments.methods:
            there = {tuple(row.get(k) for k in KEY) for row in read_rows(arguments.results)}
            wanted = [tuple(key_of(name, seed, c, arguments).values()) for c in CONDITIONS]
            if not there.issuperset(wanted):
                subprocess.run([*sys.orig_argv, "--one", json.dumps([name, seed])], check=True)


if __name__ == "__main__":
    main()
