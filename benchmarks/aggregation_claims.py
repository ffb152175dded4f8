"""What hypotheses and test-time optimisation owe to the true root: the claims of JPMA, RPEA and UAO, one by one.

    python benchmarks/aggregation_claims.py --steps 4000 --seeds 0 1 2

D3DP, FMPose3D and UAO are trained as in `lifting_zoo.py` (same budget, and the same folder `out/lifting_zoo`: weights
that are there are not trained again) and run on `val` through unseen cameras (`evaluate.lifting`) with keypoint noise
of 0.5, 1 and 2 % of the body height. From the same answers, several poses are made:

    mean, jpma, rpea             of S hypotheses; jpma and rpea with the true root (oracle) and with the root estimated
                                 from the mean hypothesis, the keypoints and the focal length (deployable)
    first, best of 1, 5, S       one hypothesis; the one nearest to the truth (oracle), expected over all choices
    flip, refined, unweighted    UAO: its plain average with the mirrored frame; after test-time optimisation; and
                                 without its uncertainty term; each with the true and the estimated root

Beside the error, of the hypotheses (UAO: drawn from its Gaussians) coverage of the 50, 80 and 95 % regions, calibration
error, energy score and diversity. MPJPE over Human3.6M's 17 joints, root-relative, every valid frame once; the focal
length is known. One row per method, seed, noise and pose in results/aggregation_claims.csv.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lifting_zoo
import torch
from row import RESULTS
from torch import Tensor

from posewright.datasets.mocap import load_mocap
from posewright.evaluate.lifters import Lifter
from posewright.evaluate.lifting import Corruption, View, filmed, keypoints_of
from posewright.evaluate.windows import run_clip, run_hypotheses
from posewright.geometry.cameras import project
from posewright.metrics.calibration import (
    LEVELS,
    calibration_error,
    coverage,
    diversity,
    energy_score,
    sample_levels,
)
from posewright.metrics.hypotheses import estimated_root, jpma, p_best_of, rpea
from posewright.metrics.position import mpjpe
from posewright.pipelines.lift_zoo import network_input, screen_keypoints
from posewright.skeletons.joint_sets import BODY_26, H36M_17

METHODS = ("lifting/d3dp", "lifting/fmpose3d", "lifting/uao")
NOISE = (0.005, 0.01, 0.02)
JOINTS = [BODY_26.index(name) for name in H36M_17.joint_names]
KEY = ("method", "seed", "budget", "noise_percent", "hypotheses", "pose", "root")
TOPK, TEMPERATURE = 8, 0.005
"""Of RPEA, as published."""
FRAMES_AT_ONCE = 256

Errors = dict[tuple[str, str], list[Tensor]]
"""(pose, root) -> errors of each view's frames, millimetres."""


class Clip:
    """One view as a lifter sees it, in screen units, and the truth."""

    def __init__(self, lifter: Lifter, view: View, noise: float):
        keypoints, camera = keypoints_of(view, H36M_17, Corruption(noise=noise))
        screen, confidence = (torch.from_numpy(x[:, 0]) for x in screen_keypoints(lifter, keypoints, camera))
        self.focal = 2 * float(camera.K[0, 0]) / camera.image_size[0]
        self.screen, self.input = screen, network_input(lifter, screen, confidence)
        points = torch.from_numpy(view.points[:, JOINTS]).float()
        self.root, self.truth = points[:, 0], points - points[:, :1]
        self.valid = torch.from_numpy(view.sequence.valid)
        self.K = torch.diag(torch.tensor([self.focal, self.focal, 1.0]))

    def roots(self, hypotheses: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Where the root is, truly and as estimated."""
        yield "true", self.root
        double = hypotheses.double(), self.screen.double(), self.K.double()
        yield "estimated", estimated_root(*double).float()

    def errors(self, joints: Tensor) -> Tensor:
        """Of valid frames, millimetres."""
        return mpjpe(joints.float(), self.truth)[self.valid]


def hypothesis_poses(lifter: Lifter, clip: Clip, errors: Errors) -> Tensor:
    """Errors of all poses that are made of hypotheses, which are returned."""
    hypotheses = run_hypotheses(lifter, clip.input).clone()
    S = hypotheses.shape[1]
    errors.setdefault(("first", "none"), []).append(clip.errors(hypotheses[:, 0]))
    errors.setdefault(("mean", "none"), []).append(clip.errors(hypotheses.mean(1)))
    numbers = sorted({n for n in (1, 5, S) if n <= S})
    best = p_best_of(hypotheses, clip.truth, numbers)[clip.valid]
    for n, column in zip(numbers, best.unbind(-1), strict=True):
        errors.setdefault((f"best of {n}", "truth chooses"), []).append(column)
    rules: dict[str, Callable[..., Tensor]] = {
        "jpma": jpma,
        "rpea": lambda *given: rpea(*given, TOPK, TEMPERATURE),
    }
    for name, root in clip.roots(hypotheses):
        for rule, make in rules.items():
            joints = make(hypotheses, clip.screen, lambda points: project(points, clip.K), root)
            errors.setdefault((rule, name), []).append(clip.errors(joints))
    return hypotheses


def refined_poses(lifter: Lifter, clip: Clip, errors: Errors) -> Tensor:
    """Errors of UAO's poses before and after optimisation; poses drawn from its Gaussians are returned."""
    network: Any = lifter.network
    first = run_clip(lifter, clip.input, flip=True).clone()
    errors.setdefault(("flip", "none"), []).append(clip.errors(first))
    published = network.config
    for name, root in clip.roots(first[:, None]):
        for pose, weight in (("refined", published.uncertainty_weight), ("unweighted", 0.0)):
            network.config = replace(published, uncertainty_weight=weight)
            errors.setdefault((pose, name), []).append(clip.errors(refined(network, clip, root)))
    network.config = published
    return run_hypotheses(lifter, clip.input).clone()


def refined(network: Any, clip: Clip, root: Tensor) -> Tensor:
    """UAO's poses optimised at given roots."""

    def image(joints: Tensor, place: Tensor) -> Tensor:
        return project(joints + place[:, None], clip.K)

    parts = torch.arange(len(root)).split(FRAMES_AT_ONCE)
    return torch.cat(
        [network.refined(clip.input[i][None], lambda j, p=root[i]: image(j, p))[0] for i in parts]
    )


def distribution(every: list[tuple[Tensor, Tensor]]) -> dict[str, str]:
    """Scores of hypotheses (T, H, J, 3) against truths (T, J, 3), the root left out."""
    h, t = (torch.cat(x)[..., 1:, :] for x in zip(*every, strict=True))
    levels = sample_levels(h, t)
    inside = coverage(levels).mean(0).tolist()
    return {
        **{f"coverage_{100 * p:g}_percent": f"{c:.1f}" for p, c in zip(LEVELS, inside, strict=True)},
        "calibration_error_percent": f"{float(calibration_error(levels)):.1f}",
        "energy_score_mm": f"{float(energy_score(h, t).mean()):.2f}",
        "diversity_mm": f"{float(diversity(h).mean()):.2f}",
    }


def measure(name: str, seed: int, arguments: argparse.Namespace) -> list[dict[str, str]]:
    """Train one method, or continue, and score all its poses."""
    lifter, _ = lifting_zoo.trained(name, seed, arguments)
    network: Any = lifter.network
    if network.config.num_proposals != arguments.samples:
        samples = type(network)(replace(network.config, num_proposals=arguments.samples)).eval()
        samples.load_state_dict(network.state_dict())
        lifter = replace(lifter, network=samples)
    views = filmed(load_mocap("val"))[:: arguments.view_step]
    rows = []
    for noise in NOISE:
        errors: Errors = {}
        every = []
        for view in views:
            clip = Clip(lifter, view, noise)
            run = refined_poses if name == "lifting/uao" else hypothesis_poses
            every.append((run(lifter, clip, errors)[clip.valid], clip.truth[clip.valid]))
        scores = distribution(every)
        rows += [
            row_of(name, seed, noise, every[0][0].shape[1], pose, root, torch.cat(values), arguments) | scores
            for (pose, root), values in errors.items()
        ]
        for row in rows[-len(errors) :]:
            print(
                f"{name:17} seed {seed} noise {row['noise_percent']:>3} %  {row['pose']:>10}  "
                f"{row['root']:13} {row['mpjpe_mm']:>7} mm",
                flush=True,
            )
    return rows


def row_of(
    name: str,
    seed: int,
    noise: float,
    hypotheses: int,
    pose: str,
    root: str,
    errors: Tensor,
    arguments: argparse.Namespace,
) -> dict[str, str]:
    """One pose's row."""
    return {
        "method": name,
        "seed": str(seed),
        "budget": lifting_zoo.budget_of(arguments),
        "noise_percent": f"{100 * noise:g}",
        "hypotheses": str(hypotheses),
        "pose": pose,
        "root": root,
        "setting": "deployable" if root in ("none", "estimated") else "oracle",
        "frames": str(len(errors)),
        "mpjpe_mm": f"{float(errors.nanmean()):.2f}",
        "frames_without_root": str(int(errors.isnan().sum())),
    }


def main() -> None:
    """Measure what is missing."""
    arguments = parse()
    for seed in arguments.seeds:
        for name in arguments.methods:
            there = {
                (row["method"], row["seed"], row["budget"])
                for row in lifting_zoo.read_rows(arguments.results)
            }
            if (name, str(seed), lifting_zoo.budget_of(arguments)) not in there:
                lifting_zoo.add_rows(arguments.results, measure(name, seed, arguments))


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, metavar="METHOD", default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--samples", type=int, default=20, help="S; FMPose3D and D3DP mirror them inside")
    parser.add_argument("--view-step", type=int, default=1, help="score every n-th test view")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--every", type=int, default=200)
    parser.add_argument("--size", choices=("small", "published"), default="small")
    parser.add_argument("--device", default="cpu", help="where to train")
    parser.add_argument("--out", type=Path, default=Path("out/lifting_zoo"))
    parser.add_argument("--results", type=Path, default=RESULTS / "aggregation_claims.csv")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
