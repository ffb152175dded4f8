"""Every probabilistic lifter in one table: errors, calibration and cost, with the true root and without.

    python benchmarks/probabilistic.py --view-step 5 [--seeds 0 1 2] [--methods lifting/uao]
    python benchmarks/probabilistic.py --time-again    # on a quiet machine

Methods are trained as by `lifting_zoo.py` (same budget, same folder: weights that are there are not trained again) and
run on the middle of every view of `val` (`--windows` of theirs; cameras of another distribution than in training:
`evaluate.lifting`) with noise of 0.5, 1 and 2 % of the body height on Human3.6M's 17 keypoints. The focal
length is known; MPJPE over the 17 joints, relative to the pelvis, nothing aligned, every valid frame once. Windows lie
side by side, as published: where they overlap, hypotheses would be averaged. Nothing is mirrored, in any method.

One row per method, seed, noise, sampler setting and pose in results/probabilistic.csv, with two errors:
`deployable_mpjpe_mm`, of what a user gets, and `oracle_mpjpe_mm`, where the truth has a part in it. Poses:

    mean                 of 1, 5, 20 hypotheses; deployable
    best                 of 1, 5, 20, the one nearest to the truth, expected over all choices from 20; oracle
    jpma, rpea           of 5 and 20, at the true root (oracle; as published for D3DP and FMPose3D), and at the one that
                         mean hypothesis, keypoints and focal length tell (deployable); claims: better than the mean
    estimate             one pose without sampling: ConvFormer, the best deterministic method of `lifting_zoo.py`, and
                         MixSTE, whose blocks three of these methods denoise with; the mean of UAO's Gaussians; DiffPose
                         (Gong et al.) from its first guess, as its released test does; deployable
    refined, unweighted  UAO after test-time optimisation, and without its uncertainty term; at the true root (oracle,
                         as published) and at the estimated one (deployable); claims: better than the estimate, and
                         than without the term

`steps` counts how often the network is asked for a hypothesis, or UAO's iterations. Every sampler runs at its own
setting under all three noises, and at fewer and more steps at 1 %; that of DiffPose (Holmquist and Wandt) knows all 25
only. Rows of the mean of 20 also say, of the distribution that the 20 stand for: coverage of the 50, 80 and 95 %
regions, calibration error, sharpness, energy score, diversity (`metrics.calibration`), and root mean square
accelerations of truth, mean and hypotheses. UAO's hypotheses are drawn from its Gaussians joint by joint.

`--time-again` measures, of all rows that are there and nothing else, milliseconds per frame of a clip of 270 frames,
from keypoints to the pose. Rows that are there are not made again, so that a run can be stopped at any time.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import lifting_zoo
import torch
from row import RESULTS, provenance
from torch import Tensor

from posewright.datasets.mocap import load_mocap
from posewright.evaluate.lifters import Lifter, as_lifter
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
    sharpness,
)
from posewright.metrics.hypotheses import estimated_root, jpma, p_best_of, rpea
from posewright.metrics.position import mpjpe
from posewright.pipelines.lift_zoo import screen_keypoints
from posewright.skeletons.joint_sets import BODY_26, H36M_17

NOISE = (0.005, 0.01, 0.02)
SWEPT_AT = 0.01
NUMBERS = (1, 5, 20)
"""Of hypotheses; all are drawn from the last."""
JOINTS = [BODY_26.index(name) for name in H36M_17.joint_names]
TIMED_FRAMES = 270
TIMED_SECONDS = 1.5
"""A setting is run again until so long has passed; the fastest run counts."""
FRAMES_AT_ONCE = 256
"""Whose keypoints are optimised together."""
KEY = ("method", "size", "seed", "budget", "views", "windows", "noise_percent", "steps", "pose")

Kind = Literal["samples", "estimate", "refined"]


@dataclass(frozen=True)
class Setting:
    """One way of running a method."""

    kind: Kind
    steps: int
    """See the top of this file."""
    changes: dict[str, Any] = field(default_factory=dict)
    """To the configuration that was trained."""
    main: bool = True
    """The method's own; others run at one noise only."""

    @property
    def pose(self) -> str:
        """The first of its poses."""
        return "mean" if self.kind == "samples" else self.kind


def _sampled(own: int, *others: int) -> tuple[Setting, ...]:
    """A sampler at its own number of steps and at others."""
    return tuple(Setting("samples", n, {"sampling_timesteps": n}, n == own) for n in (own, *others))


_DRAWN = {"start": "distribution", "test_num_diffusion_timesteps": 50}
_REFINED = (4, 1, 2, 8)
SETTINGS: dict[str, tuple[Setting, ...]] = {
    "lifting/mixste": (Setting("estimate", 1),),
    "lifting/convformer": (Setting("estimate", 1),),
    "lifting/d3dp": _sampled(5, 1, 2, 10),
    "lifting/diffpose": (
        Setting("estimate", 2, {"num_proposals": 1}),
        *(Setting("samples", n, _DRAWN | {"test_timesteps": n}, n == 5) for n in (5, 1, 2, 10)),
    ),
    "lifting/diffpose_multihyp": (Setting("samples", 25),),
    "lifting/finepose": _sampled(5, 1, 2, 10),
    "lifting/fmpose3d": _sampled(3, 1, 2, 5, 10),
    "lifting/platypose": tuple(
        Setting("samples", n - skipped, {"sampling_timesteps": n, "skip_timesteps": skipped}, n == 20)
        for n, skipped in ((20, 4), (2, 0), (5, 1), (10, 2))
    ),
    "lifting/starpose": _sampled(5, 1, 2, 10),
    "lifting/uao": (
        Setting("samples", 1),
        Setting("estimate", 1),
        *(Setting("refined", n, {"iterations": n}, n == _REFINED[0]) for n in _REFINED),
    ),
}
"""The first of a kind is the method's own. Platypose's prior was trained on 20 steps of 50: of fewer, some are new."""


def set_to(lifter: Lifter, setting: Setting, samples: int = NUMBERS[-1]) -> Lifter:
    """The same weights under a setting."""
    network: Any = lifter.network
    known = {f.name for f in fields(network.config)}
    given = {"num_proposals": samples, "test_time_augmentation": False} | setting.changes
    config = replace(network.config, **{k: v for k, v in given.items() if k in known})
    twin = type(network)(config).eval()
    twin.load_state_dict(network.state_dict())
    return as_lifter(twin, fps=lifter.fps)


# ------------------------------------------------------------------------------------------- clips, poses


class Clip:
    """The middle of a view as a lifter sees it, in screen units, and the truth."""

    def __init__(self, lifter: Lifter, view: View, noise: float, frames: int):
        keypoints, camera = keypoints_of(view, H36M_17, Corruption(noise=noise))
        first = (len(view.points) - frames) // 2
        part = slice(first, first + frames)
        whole = screen_keypoints(lifter, keypoints, camera)
        screen, confidence = (torch.from_numpy(x[part, 0]) for x in whole)
        told = torch.cat([screen, confidence[..., None]], -1)
        self.screen, self.input = screen, told[..., : lifter.facts.channels]
        self.focal = 2 * float(camera.K[0, 0]) / camera.image_size[0]
        self.K = torch.diag(torch.tensor([self.focal, self.focal, 1.0]))
        points = torch.from_numpy(view.points[part][:, JOINTS]).float()
        self.root, self.truth = points[:, 0], points - points[:, :1]
        self.valid = torch.from_numpy(view.sequence.valid[part])
        self.fps = view.sequence.fps

    def estimated_root(self, hypotheses: Tensor) -> Tensor:
        """Where the root is as hypotheses (T, H, J, 3), keypoints and focal length tell; NaN where they do not."""
        return estimated_root(hypotheses.double(), self.screen.double(), self.K.double()).float()

    def errors(self, joints: Tensor) -> Tensor:
        """Of valid frames, millimetres."""
        return mpjpe(joints, self.truth)[self.valid]


def hypotheses_of(lifter: Lifter, clip: Clip) -> Tensor:
    """Hypotheses (T, H, 17, 3)."""
    if hasattr(lifter.network, "filmed_with"):
        lifter = replace(lifter, network=lifter.network.filmed_with(clip.focal))  # type: ignore[operator]
    return run_hypotheses(lifter, clip.input, overlap=False).clone()


def estimate_of(lifter: Lifter, clip: Clip) -> Tensor:
    """One pose (T, 17, 3) without sampling."""
    return run_clip(lifter, clip.input, overlap=False).clone()


def aggregated(rule: str, hypotheses: Tensor, clip: Clip, root: Tensor) -> Tensor:
    """JPMA or RPEA, as published, at a root; the mean where there is none."""
    make: Callable[..., Tensor] = {"jpma": jpma, "rpea": _rpea}[rule]
    joints = make(hypotheses, clip.screen, lambda points: project(points, clip.K), root)
    known = root.isfinite().all(-1)[:, None, None]
    return torch.where(known, joints, hypotheses.mean(1))


def _rpea(*given: Any) -> Tensor:
    return rpea(*given, topk=8, temperature=0.005)


def refined(lifter: Lifter, clip: Clip, root: Tensor) -> Tensor:
    """UAO's poses after test-time optimisation at a root."""
    network: Any = lifter.network

    def image(joints: Tensor, place: Tensor) -> Tensor:
        return project(joints + place[:, None], clip.K)

    parts = torch.arange(len(root)).split(FRAMES_AT_ONCE)
    return torch.cat(
        [network.refined(clip.input[i][None], lambda j, p=root[i]: image(j, p))[0] for i in parts]
    )


# ------------------------------------------------------------------------------------------------- scores

Where = Literal["deployable", "oracle"]


@dataclass
class Tally:
    """What the frames of all views add up to."""

    errors: dict[tuple[str, int], dict[str, list[Tensor]]] = field(default_factory=dict)
    """(pose, hypotheses) -> deployable or oracle -> errors of each view's frames, millimetres."""
    figures: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))
    """Name -> values whose mean counts."""
    squares: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))
    """Name -> values the root of whose mean counts."""
    levels: list[Tensor] = field(default_factory=list)

    def add(self, pose: str, number: int, where: Where, errors: Tensor) -> None:
        """Add the errors of a view's frames."""
        self.errors.setdefault((pose, number), defaultdict(list))[where].append(errors)

    def rows(self) -> Iterator[dict[str, str]]:
        """One row per pose; the distribution's figures stand by the mean of most hypotheses."""
        for (pose, number), found in self.errors.items():
            row = {"pose": pose, "hypotheses": str(number)}
            for where in ("deployable", "oracle"):
                errors = torch.cat(found[where]) if where in found else None
                row[f"{where}_mpjpe_mm"] = "" if errors is None else f"{float(errors.mean()):.2f}"
                row["frames"] = row.get("frames", "") if errors is None else str(len(errors))
            yield row | (self.distribution() if (pose, number) == ("mean", NUMBERS[-1]) else {})

    def distribution(self) -> dict[str, str]:
        """Scores of what hypotheses stand for."""
        levels = torch.cat(self.levels)
        inside = coverage(levels).mean(0).tolist()
        roots = {name: torch.cat(v).mean().sqrt() for name, v in self.squares.items()}
        return {
            **{f"coverage_{100 * p:g}_percent": f"{c:.1f}" for p, c in zip(LEVELS, inside, strict=True)},
            "calibration_error_percent": f"{float(calibration_error(levels)):.1f}",
            **{name: f"{float(torch.cat(v).mean()):.2f}" for name, v in self.figures.items()},
            **{name: f"{float(v):.2f}" for name, v in roots.items()},
        }


def add_samples(tally: Tally, lifter: Lifter, clip: Clip, seed: int) -> None:
    """Score hypotheses of a clip, what is made of them, and their distribution."""
    hypotheses = hypotheses_of(lifter, clip)
    best = p_best_of(hypotheses, clip.truth, NUMBERS)[clip.valid]
    for number, errors in zip(NUMBERS, best.unbind(-1), strict=True):
        first = hypotheses[:, :number]
        tally.add("mean", number, "deployable", clip.errors(first.mean(1)))
        tally.add("best", number, "oracle", errors)
        for rule in ("jpma", "rpea") if number > 1 else ():
            there = clip.estimated_root(first)
            tally.add(rule, number, "deployable", clip.errors(aggregated(rule, first, clip, there)))
            tally.add(rule, number, "oracle", clip.errors(aggregated(rule, first, clip, clip.root)))
    add_distribution(tally, hypotheses, clip, seed)


def add_distribution(tally: Tally, hypotheses: Tensor, clip: Clip, seed: int) -> None:
    """Score the distribution of the 16 joints but the root."""
    h, t = (x[clip.valid][..., 1:, :] for x in (hypotheses, clip.truth))
    off = (h - h.mean(1, keepdim=True)).double()
    covariance = torch.einsum("thji,thjk->tjik", off, off) / (h.shape[1] - 1)
    tally.levels.append(sample_levels(h, t, seed))
    tally.figures["sharpness_mm"].append(sharpness(covariance))
    tally.figures["energy_score_mm"].append(energy_score(h, t))
    tally.figures["diversity_mm"].append(diversity(h))
    moves = clip.valid[2:] & clip.valid[1:-1] & clip.valid[:-2]
    for name, joints in (("truth", clip.truth[:, None]), ("mean", hypotheses.mean(1)[:, None])):
        tally.squares[f"acceleration_{name}_m_s2"].append(_squared_acceleration(joints, clip.fps)[moves])
    own = _squared_acceleration(hypotheses, clip.fps)[moves]
    tally.squares["acceleration_hypotheses_m_s2"].append(own)


def _squared_acceleration(joints: Tensor, fps: float) -> Tensor:
    """Of (T, H, J, 3), mean over hypotheses and joints but the root, (T - 2,), m^2 / s^4."""
    return (fps**2 * joints[..., 1:, :].diff(n=2, dim=0)).square().sum(-1).mean((-1, -2))


def add_refined(tally: Tally, lifter: Lifter, clip: Clip) -> None:
    """Score UAO's poses after test-time optimisation, and without its uncertainty term."""
    plain = set_to(lifter, Setting("refined", 0, {"uncertainty_weight": 0.0}))
    there = clip.estimated_root(estimate_of(lifter, clip)[:, None])
    for pose, network in (("refined", lifter), ("unweighted", plain)):
        tally.add(pose, 1, "deployable", clip.errors(refined(network, clip, there)))
        tally.add(pose, 1, "oracle", clip.errors(refined(network, clip, clip.root)))


def score(lifter: Lifter, setting: Setting, views: list[View], noise: float, frames: int) -> Tally:
    """Score a method under a setting; one view is in memory at a time."""
    lifter, tally = set_to(lifter, setting), Tally()
    for seed, view in enumerate(views):
        clip = Clip(lifter, view, noise, frames)
        if setting.kind == "samples":
            add_samples(tally, lifter, clip, seed)
        elif setting.kind == "refined":
            add_refined(tally, lifter, clip)
        else:
            tally.add("estimate", 1, "deployable", clip.errors(estimate_of(lifter, clip)))
    return tally


# --------------------------------------------------------------------------------------------------- rows


def key_of(
    name: str, seed: int, noise: float, setting: Setting, arguments: argparse.Namespace
) -> dict[str, str]:
    """What makes a setting's rows other rows."""
    values = (
        name,
        arguments.size,
        str(seed),
        lifting_zoo.budget_of(arguments),
        f"every {arguments.view_step}" if arguments.view_step > 1 else "all",
        str(arguments.windows),
        f"{100 * noise:g}",
        str(setting.steps),
        setting.pose,
    )
    return dict(zip(KEY, values, strict=True))


def wanted(name: str) -> list[tuple[float, Setting]]:
    """Noises and settings of a method."""
    own = SETTINGS[name]
    return [(noise, s) for noise in NOISE for s in own if s.main or noise == SWEPT_AT]


def measure(name: str, seed: int, arguments: argparse.Namespace) -> None:
    """Train one method, or continue, and add the rows that are not there."""
    there = {tuple(row.get(k) for k in KEY) for row in lifting_zoo.read_rows(arguments.results)}
    keys = [(n, s, key_of(name, seed, n, s, arguments)) for n, s in wanted(name)]
    missing = [(n, s, key) for n, s, key in keys if tuple(key.values()) not in there]
    if not missing:
        return
    lifter = lifting_zoo.trained(name, seed, arguments)[0].to("cpu")
    assert isinstance(lifter, Lifter)
    views = filmed(load_mocap("val"))[:: arguments.view_step]
    for noise, setting, key in missing:
        tally = score(lifter, setting, views, noise, arguments.windows * lifting_zoo.FRAMES)
        rows = [{**key, **row, "joints_scored": str(len(JOINTS))} for row in tally.rows()]
        lifting_zoo.add_rows(arguments.results, rows)
        for row in rows:
            print(
                f"{name:25} seed {seed} noise {row['noise_percent']:>3} % steps {setting.steps:2} {row['pose']:>10} of "
                f"{row['hypotheses']:2}  {row['deployable_mpjpe_mm']:>7} mm, oracle {row['oracle_mpjpe_mm']:>7} mm",
                flush=True,
            )


# ------------------------------------------------------------------------------------------------- timing


class Clock:
    """Milliseconds per frame from keypoints to a deployable pose, each thing measured once; weights do not matter."""

    def __init__(self, size: str, view: View):
        self.size, self.view = size, view
        self.measured: dict[tuple, float] = {}

    def of_row(self, row: dict[str, str]) -> float:
        """Of what a row scores: sampling, and what is made of the hypotheses afterwards."""
        pose, number = row["pose"], int(row["hypotheses"])
        first = {"best": "mean", "jpma": "mean", "rpea": "mean", "unweighted": "refined"}.get(pose, pose)
        given = first, row["steps"]
        setting = next(s for s in SETTINGS[row["method"]] if (s.pose, str(s.steps)) == given)
        total = self.once(row["method"], setting, number)
        return total + (self.aggregation(pose, number) if pose in ("jpma", "rpea") else 0.0)

    def once(self, name: str, setting: Setting, number: int) -> float:
        """Of a setting's first pose."""
        key = name, setting.pose, setting.steps, number
        if key not in self.measured:
            lifter = set_to(as_lifter(lifting_zoo.network_of(name, self.size), fps=50.0), setting, number)
            clip = Clip(lifter, self.view, SWEPT_AT, TIMED_FRAMES)
            self.measured[key] = milliseconds(lambda: _first_pose(lifter, setting, clip))
            print(
                f"{name:25} {setting.pose:>8} steps {setting.steps:2} of {number:2}  {self.measured[key]:8.3f} ms"
            )
        return self.measured[key]

    def aggregation(self, rule: str, number: int) -> float:
        """Of making one pose of hypotheses, whatever they come from."""
        key = rule, number
        if key not in self.measured:
            lifter = as_lifter(lifting_zoo.network_of("lifting/uao", "small"), fps=50.0)
            clip = Clip(lifter, self.view, SWEPT_AT, TIMED_FRAMES)
            hypotheses = (clip.truth[:, None] + 0.05 * torch.randn(1, number, 17, 3)).contiguous()
            self.measured[key] = milliseconds(
                lambda: aggregated(rule, hypotheses, clip, clip.estimated_root(hypotheses))
            )
        return self.measured[key]


def _first_pose(lifter: Lifter, setting: Setting, clip: Clip) -> Tensor:
    if setting.kind == "samples":
        return hypotheses_of(lifter, clip).mean(1)
    first = estimate_of(lifter, clip)
    return first if setting.kind == "estimate" else refined(lifter, clip, clip.estimated_root(first[:, None]))


def milliseconds(run: Callable[[], Tensor]) -> float:
    """Per frame of the timed clip; the fastest of the runs that fit into `TIMED_SECONDS`, at least one, after a first.

    Processor time with one thread, so that it matters less what else is running, wall time with more.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times = []
    run()
    while not times or sum(times) < TIMED_SECONDS:
        start = clock()
        run()
        times.append(clock() - start)
    return 1e3 * min(times) / TIMED_FRAMES


def time_again(arguments: argparse.Namespace) -> None:
    """Measure the time of every row's setting, and write it into the rows that are there."""
    rows = lifting_zoo.read_rows(arguments.results)
    view = next(v for v in filmed(load_mocap("val")) if len(v.points) >= TIMED_FRAMES)
    made, clock = provenance(), Clock(arguments.size, view)
    for row in rows:
        if row["method"] in arguments.methods and row["size"] == arguments.size:
            row["ms_per_frame"] = f"{clock.of_row(row):.4g}"
            row["threads"] = str(torch.get_num_threads())
            row["timed"] = f"{made['date']}, {made['commit']}, {made['machine']}"
    lifting_zoo.write_all(arguments.results, rows)


def main() -> None:
    """Measure what is missing, or times."""
    arguments = parse()
    if arguments.time_again:
        time_again(arguments)
        return
    for seed in arguments.seeds:
        for name in arguments.methods:
            measure(name, seed, arguments)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--methods", nargs="+", choices=list(SETTINGS), metavar="METHOD", default=list(SETTINGS)
    )
    parser.add_argument(
        "--windows", type=int, choices=range(1, 7), default=3, help="that are scored of a view"
    )
    parser.add_argument("--time-again", action="store_true", help="measure times only")
    lifting_zoo.add_training_options(parser)
    parser.add_argument("--results", type=Path, default=RESULTS / "probabilistic.csv")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
