"""Train the default lifter, `lifting/raylift`, on recorded motion seen through random cameras.

    python runs/train_raylift.py --minutes 69 --workers 2 --out out/raylift

Needs `../shared/data/mocap/train` (or `POSEWRIGHT_DATA`); nothing of `val` is trained on. Two CPU cores, no
GPU, 69 minutes (about 8,000 steps of 48 clips of 128 frames); the shipped weights had 9,107 steps, in a run that was
continued with a longer time (docs/lifting.md). Expected on `val` with known focal length and 1
% keypoint noise: see `benchmarks/results/lifting_accuracy.csv`. A run that was stopped continues when the
same command is given again.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from posewright.core.files import atomic_path
from posewright.datasets.mocap import load_mocap
from posewright.datasets.synthetic import SyntheticClips
from posewright.evaluate.lifting import Corruption, evaluate_lifter, filmed
from posewright.models.lifting.raylift import Config, Model, loss
from posewright.pipelines.lift import lift_points
from posewright.skeletons.joint_sets import COCO_FEET_21
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D
from posewright.train.loop import Progress, TrainingOptions, train
from posewright.train.team import Team, launch

LENGTHS = ((2, 0.06, 32), (32, 0.10, 4), (128, 0.84, 1))
"""(frames, share of the steps, clips per member relative to --batch): single pictures and short clips are met too."""


def batch_of(clips: SyntheticClips, team: Team, seed: int, batch: int, step: int) -> dict[str, Tensor]:
    """Make the batch of a step: all members the same length, each its own clips."""
    length = np.random.default_rng((seed, step)).uniform()
    shares = np.cumsum([share for _, share, _ in LENGTHS])
    frames, _, more = LENGTHS[min(int(np.searchsorted(shares, length)), len(LENGTHS) - 1)]
    clips.generator.manual_seed((seed * 1_000_003 + step) * team.size + team.rank)
    return clips.batch(batch * more, frames)


def loss_of(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Loss of the model on a batch."""
    keypoints = torch.cat([batch["rays"], batch["confidence"][..., None]], dim=-1)
    return loss(model(keypoints, batch["focal_known"]), batch["joints"])


def report(views: list, out: Path, model: nn.Module, progress: Progress) -> dict:
    """Score the averaged model on some views of `val`."""
    assert isinstance(model, Model)

    def predict(keypoints: Keypoints2D, camera: Camera) -> np.ndarray:
        return lift_points(keypoints, camera, model=model)[0][:, 0]

    scores = evaluate_lifter(predict, views, COCO_FEET_21, Corruption())["all"]
    parameters = sum(p.numel() for p in model.parameters())
    row = {
        "parameters": parameters,
        "step": progress.step,
        "seconds": progress.seconds,
        "loss": progress.loss,
        **scores,
    }
    print(
        f"{progress.seconds:6.0f} s  step {progress.step}  loss {progress.loss:.4f}  "
        f"val MPJPE {scores['mpjpe_mm']:.1f}  PA-MPJPE {scores['pa_mpjpe_mm']:.1f} mm",
        flush=True,
    )
    (out / "history.json").write_text(json.dumps([*progress.history, row], indent=1))
    return row


def run(team: Team, arguments: argparse.Namespace, config: Config) -> None:
    """Train as one member of the team; member 0 writes the weights."""
    torch.manual_seed(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    clips = SyntheticClips(load_mocap("train"), seed=arguments.seed)
    views = filmed(load_mocap("val"))[::8] if team.rank == 0 else []
    muon = None if arguments.adamw else 0.02
    options = TrainingOptions(arguments.minutes, muon_learning_rate=muon, hold=0.24, every=arguments.every)
    averaged = train(
        Model(config),
        partial(batch_of, clips, team, arguments.seed, arguments.batch),
        loss_of,
        options,
        checkpoint=arguments.out / "checkpoint.pt",
        report=partial(report, views, arguments.out),
        team=team,
    )
    if team.rank == 0:
        write_weights(averaged, arguments.out / "raylift.safetensors")


def write_weights(model: nn.Module, path: Path) -> None:
    """Write the weights in half precision: 14 MB instead of 29, and under 0.1 mm of difference."""
    state = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    with atomic_path(path) as part:
        save_file(state, part, metadata={"model": "lifting/raylift", "licence": "Apache-2.0"})
    print(path, f"{path.stat().st_size / 1e6:.1f} MB")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=69.0)
    parser.add_argument("--workers", type=int, default=2, help="processes with one thread each")
    parser.add_argument("--batch", type=int, default=24, help="clips of 128 frames per worker and step")
    parser.add_argument("--out", type=Path, default=Path("out/raylift"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=400, help="steps between reports")
    parser.add_argument("--mixer", default="hybrid", help="hybrid, attention, convolution or none")
    parser.add_argument("--patch", type=int, default=2)
    parser.add_argument("--adamw", action="store_true", help="no Muon")
    return parser.parse_args(argv)


def main() -> None:
    """Train."""
    arguments = parse()
    config = Config(mixer=arguments.mixer, patch=arguments.patch)
    size = sum(p.numel() for p in Model(config).parameters())
    launch(run, arguments.workers, size + 1, arguments, config)


if __name__ == "__main__":
    main()
