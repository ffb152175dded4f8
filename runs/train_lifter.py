"""Train any published lifter on recorded motion seen through random cameras.

    python runs/train_lifter.py lifting/mixste --variant 27 --steps 20000 --out out/mixste
    posewright train train_lifter --method lifting/convformer --set embed_dim_ratio=16 --steps 20 --score 0
    torchrun --nproc-per-node 2 runs/train_lifter.py lifting/mixste --variant 27 --steps 20000 --out out/mixste

The command for each method at its published size is in runs/README.md; `--set` changes single sizes, by the names of
the method's `Config`. Needs `../shared/data/mocap/train` (or `POSEWRIGHT_DATA`); nothing of `val` is trained on, every
16th view of it (`--score`) is scored on the way. Writes OUT/weights.safetensors, for `posewright run --lifter NAME
--lifter-weights FILE`, OUT/log.csv and a checkpoint: a run that was stopped or killed continues when the same command
is given again.

Expected numbers, hardware and minutes: NOT run in full for any method. A published size (5 to 40 million weights,
windows of 243 frames) wants a GPU and most of a day; `benchmarks/lifting_zoo.py` trains small sizes of all methods on a
CPU under equal budgets and records what they reach. Batches depend on the step alone, so that two methods with one seed
see the same motion through the same cameras.
"""

import argparse
import ast
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from posewright.datasets.mocap import load_mocap
from posewright.datasets.synthetic import SyntheticClips
from posewright.evaluate.lifters import Lifter, zoo
from posewright.evaluate.lifting import Corruption, evaluate_lifter, filmed
from posewright.models import create
from posewright.pipelines.lift import lift_points
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D
from posewright.train.distributed import team_of_launcher
from posewright.train.lifting import ZOO_CLIPS, train_lifter
from posewright.train.loop import TrainingOptions


def report(views: list, lifter: Lifter) -> dict:
    """Score the averaged lifter on some views of `val`, 1 % noise."""

    def predict(keypoints: Keypoints2D, camera: Camera) -> np.ndarray:
        return lift_points(keypoints, camera, model=lifter)[0][:, 0]

    scores = evaluate_lifter(predict, views, H36M_17, Corruption())["all"]
    print(f"  val MPJPE {scores['mpjpe_mm']:.1f}  PA-MPJPE {scores['pa_mpjpe_mm']:.1f} mm", flush=True)
    return scores


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", nargs="?", choices=zoo(), metavar="name", help=", ".join(zoo()))
    parser.add_argument("--method", choices=zoo(), metavar="name", help="the same, as an option")
    parser.add_argument("--variant", help="a published size; without it the method's default")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        type=setting,
        metavar="size=value",
        help="sizes to change: num_frame=27",
    )
    parser.add_argument("--minutes", type=float, help="stop after so long")
    parser.add_argument(
        "--steps", type=int, help="stop after so many steps (default 20000 without --minutes)"
    )
    parser.add_argument("--batch", type=int, default=32, help="windows per step")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--schedule", choices=("linear", "cosine", "constant"), default="cosine")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--fps", type=float, help="frame rate of the windows; without it that of the authors")
    parser.add_argument("--no-flip", action="store_true", help="no mirrored windows")
    parser.add_argument("--every", type=int, default=500, help="steps between reports and checkpoints")
    parser.add_argument(
        "--score", type=int, default=16, metavar="N", help="score every N-th view of val; 0: none"
    )
    parser.add_argument("--out", type=Path, default=Path("out/lifter"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tensorboard", action="store_true", help="also write OUT/events")
    arguments = parser.parse_args(argv)
    if (arguments.name is None) == (arguments.method is None):
        parser.error("name one method: lifting/mixste, or --method lifting/mixste")
    arguments.name = arguments.name or arguments.method
    return arguments


def setting(text: str) -> tuple[str, Any]:
    """Read `size=value`; values are numbers, tuples or words."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: expected size=value, such as num_frame=27")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def options_of(arguments: argparse.Namespace) -> TrainingOptions:
    """How long and how fast."""
    steps = arguments.steps or (None if arguments.minutes else 20_000)
    return TrainingOptions(
        arguments.minutes,
        arguments.learning_rate,
        muon_learning_rate=None,
        steps=steps,
        schedule=arguments.schedule,
        precision=arguments.precision,
        every=arguments.every,
    )


def main(argv: list[str] | None = None) -> None:
    """Train."""
    arguments = parse(argv)
    torch.manual_seed(arguments.seed)
    network = create(arguments.name, arguments.variant, **dict(arguments.set))
    options = options_of(arguments)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
    )
    with team_of_launcher(arguments.device) as team, Progress(*columns, disable=team.rank > 0) as bar:
        task = bar.add_task(arguments.name, total=options.steps, loss=float("nan"))
        scored = team.rank == 0 and arguments.score > 0
        views = filmed(load_mocap("val"))[:: arguments.score] if scored else []
        lifter = train_lifter(
            network,
            SyntheticClips(load_mocap("train"), replace(ZOO_CLIPS), seed=arguments.seed),
            options,
            batch=arguments.batch,
            seed=arguments.seed,
            fps=arguments.fps,
            flip=not arguments.no_flip,
            device=arguments.device,
            team=team,
            out=arguments.out,
            report=partial(report, views) if scored else None,
            tensorboard=arguments.out / "events" if arguments.tensorboard else None,
            on_step=lambda progress: bar.update(task, completed=progress.step, loss=progress.loss),
        )
    if team.rank == 0:
        print(f"{lifter.name}: {arguments.out / 'weights.safetensors'}")


if __name__ == "__main__":
    main()
