"""Does adapting a lifter to unlabelled footage help, and which part of it: from one camera domain to another.

    python benchmarks/adaptation.py [--lifters lifting/videopose3d lifting/raylift] [--seeds 0 1 2]
        [--train-steps 1000] [--adapt-steps 300]

Source: `../shared/data/mocap/train`, filmed far away through long lenses, people in the middle of the picture (`FAR`).
A lifter of `lifting_zoo.SMALL` is trained on that; `lifting/raylift` comes with its own weights, trained on cameras of
all kinds. Target: clips of 4 s of `val`, other people, filmed from 2 to 3 m, from above, through wide lenses (`NEAR`);
keypoints outside the picture are missing, the others have Gaussian noise of 1 % of the body height. Every second clip
is the footage, without labels; the others are scored: MPJPE relative to the pelvis without alignment, PA-MPJPE, the
error of velocities. The focal length is known. Deployable: no label of the target is used by `none`, `gpa`, `poseda`
and `posynda`. `more_steps` trains on the source's own pictures for as many steps, so that what more training does by
itself is seen; `target_cameras` (oracle) trains on source poses filmed as the target is.

Every row also has the scores on `val` filmed as the source is: what was forgotten. One row per lifter, way and seed
goes to results/adaptation.csv as soon as it is there; rows that are there are not made again.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lifting_zoo import add_rows, network_of, read_rows, train_alike
from row import RESULTS
from torch import Tensor

from posewright.adapt import poseda
from posewright.adapt.alignment import moved
from posewright.adapt.footage import Footage, footage_of
from posewright.adapt.recipe import METHODS, source_of
from posewright.adapt.student import Student, student_of
from posewright.adapt.training import AdaptationOptions, clips_of, train_student
from posewright.datasets.anatomy import with_anatomy
from posewright.datasets.mocap import MocapSequence, load_mocap
from posewright.datasets.synthetic import SyntheticClips
from posewright.evaluate.lifting import IMAGE, Corruption, View, _looking, _stature, keypoints_of, pose_errors
from posewright.pipelines.lift import default_model
from posewright.skeletons.joint_sets import H36M_17
from posewright.structures.keypoints import Keypoints2D
from posewright.train.lifting import ZOO_CLIPS
from posewright.train.loop import TrainingOptions

CLIP_SECONDS = 4.0
LIFTERS = ("lifting/videopose3d", "lifting/convformer", "lifting/d3dp", "lifting/raylift")
WAYS = ("none", "more_steps", *METHODS, "target_cameras")
KEY = ("lifter", "way", "seed", "budget", "clips")


@dataclass(frozen=True)
class Domain:
    """How people are filmed."""

    distance: tuple[float, float]
    """Metres to the middle of the clip."""
    fov: tuple[float, float]
    """Horizontal, degrees."""
    height: tuple[float, float]
    """Of the camera above the floor, metres."""
    aside: float
    """The camera aims so far beside the person, metres."""


FAR = Domain((7.0, 11.0), (28.0, 38.0), (1.0, 1.6), 0.3)
NEAR = Domain((2.0, 3.0), (75.0, 95.0), (1.8, 2.6), 0.6)


class FilmedClips(SyntheticClips):
    """Training clips of one domain: the pictures of `SyntheticClips`, seen from its distances through its lenses."""

    domain = FAR

    def batch(self, batch: int, frames: int) -> dict[str, Tensor]:
        """See `SyntheticClips.batch`."""
        clips = super().batch(batch, frames)
        d, draw = (
            self.domain,
            lambda low, high: low + (high - low) * torch.rand(batch, generator=self.generator),
        )
        focal = 1 / (torch.deg2rad(draw(*d.fov)) / 2).tan()
        depth, aside = (
            draw(*d.distance),
            torch.stack([draw(-d.aside, d.aside), draw(-d.aside, d.aside) / 2], -1),
        )
        start = torch.cat([aside, depth[:, None]], -1)
        root = start[:, None] + clips["root"] - clips["root"][:, frames // 2, None]
        near = (clips["joints"][..., 2] + root[..., 2, None]).amin((1, 2))
        root = torch.cat([root[..., :2], root[..., 2:] + (0.6 - near).clamp_min(0)[:, None, None]], -1)
        return moved(clips, root, focal, torch.ones(batch))


class NearClips(FilmedClips):
    """Of the target's domain."""

    domain = NEAR


def filmed(sequences: list[MocapSequence], domain: Domain, step: int, seed: int = 2026) -> list[View]:
    """Film clips of 4 s of every take, every `step`-th one, each by a still camera of its own."""
    cut = [part for sequence in sequences for part in _parts(sequence)]
    chosen = list(enumerate(cut))[::step]
    return [_film(sequence, domain, np.random.default_rng((seed, i))) for i, sequence in chosen]


def _parts(sequence: MocapSequence) -> list[MocapSequence]:
    length = round(CLIP_SECONDS * sequence.fps)
    starts = range(0, len(sequence.joints) - length + 1, length)
    return [
        replace(sequence, joints=sequence.joints[s : s + length], valid=sequence.valid[s : s + length])
        for s in starts
    ]


def _film(sequence: MocapSequence, domain: Domain, rng: np.random.Generator) -> View:
    joints = torch.from_numpy(sequence.joints.astype(np.float64))
    still = torch.zeros(len(joints), dtype=torch.float64)
    world = with_anatomy(joints, still, still).numpy()
    middle, floor = np.median(world[:, 0], 0), world[..., 2].min()
    azimuth, distance = 2 * np.pi * rng.uniform(), rng.uniform(*domain.distance)
    height = floor + rng.uniform(*domain.height)
    outward = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    position = np.array([*middle[:2], height]) + distance * outward
    aside = rng.uniform(-domain.aside, domain.aside) * np.array([-outward[1], outward[0], 0.0])
    R = _looking(middle + aside - position, np.radians(rng.normal(0, 2)))
    points = (world - position) @ R.T
    points[..., 2] = np.maximum(points[..., 2], 0.3)
    focal = 0.5 * IMAGE[0] / np.tan(np.radians(rng.uniform(*domain.fov)) / 2)
    K = np.array([[focal, 0, (IMAGE[0] - 1) / 2], [0, focal, (IMAGE[1] - 1) / 2], [0, 0, 1]])
    from posewright.structures.cameras import Camera

    camera = Camera(K=K, image_size=IMAGE, R=R, t=-R @ position, focal_source="given")
    return View(sequence, camera, points, _stature(sequence.joints))


def seen(view: View) -> Keypoints2D:
    """Noisy keypoints of a view; those outside the picture are missing."""
    keypoints, _ = keypoints_of(view, H36M_17, Corruption(noise=0.01))
    inside = (keypoints.positions >= -0.5).all(-1) & (keypoints.positions <= np.array(IMAGE) - 0.5).all(-1)
    positions = np.where(inside[..., None], keypoints.positions, np.nan)
    return replace(keypoints, positions=positions, confidence=keypoints.confidence * inside)


def scores(student: Student, views: list[View], prefix: str) -> dict[str, str]:
    """Means over all valid frames of views in which anybody is seen."""
    rows = []
    for view in views:
        keypoints = seen(view)
        joints = student.lift(keypoints, view.camera)[:, 0]
        there = np.isfinite(joints).all((1, 2))
        valid = view.sequence.valid & there
        if valid.any():
            kept = replace(view, sequence=replace(view.sequence, valid=valid))
            rows.append(pose_errors(np.where(there[:, None, None], joints, 0.0), kept))
    names = ("mpjpe_mm", "pa_mpjpe_mm", "mpjve_mm_per_s")
    return {f"{prefix}_{n}": f"{np.concatenate([r[n] for r in rows]).mean():.2f}" for n in names}


# -------------------------------------------------------------------------------------------------- lifters


def first_student(name: str, seed: int, clips: type[FilmedClips], arguments: argparse.Namespace) -> Student:
    """A lifter trained on one domain, or the default one as it ships."""
    if name == "lifting/raylift":
        return student_of(default_model(arguments.device))
    torch.manual_seed(seed)
    out = arguments.out / f"{name.replace('/', '_')}_{clips.__name__}_{seed}_{arguments.train_steps}"
    options = TrainingOptions(
        None,
        arguments.learning_rate,
        muon_learning_rate=arguments.muon or None,
        steps=arguments.train_steps,
        schedule="cosine",
        every=200,
    )
    footage = clips(load_mocap("train"), ZOO_CLIPS, seed=seed)
    return student_of(train_alike(network_of(name, "small"), footage, options, seed, arguments, out))


def adapted(
    student: Student, way: str, footage: Footage, seed: int, arguments: argparse.Namespace
) -> Student:
    """What becomes of a student."""
    options = AdaptationOptions(
        arguments.adapt_steps, arguments.adapt_batch, arguments.adapt_rate, seed, local=way == "poseda"
    )
    fresh = student_of(student.model)
    source = source_of(student.model, None)
    if way == "none":
        return fresh
    if way in ("more_steps", "target_cameras"):
        raylift = student.name == "lifting/raylift"
        kind: type[SyntheticClips] = (
            NearClips if way == "target_cameras" else SyntheticClips if raylift else FilmedClips
        )
        clips = kind(load_mocap("train"), source.config, seed=seed)
        return train_student(
            fresh, lambda step: fresh.batch(clips_of(fresh, clips, options, step)), fresh.loss, options
        ).student
    if way == "posynda":
        from posewright.adapt import posynda

        return posynda.adapt(fresh, source, footage, options).student
    return poseda.adapt(fresh, source, footage, options).student


def key_of(name: str, way: str, seed: int, arguments: argparse.Namespace) -> dict[str, str]:
    """What makes a row another row."""
    optimiser = f"Muon {arguments.muon:g}" if arguments.muon else "AdamW"
    own = f"{arguments.train_steps} x {arguments.batch}, {optimiser}"
    trained = "as shipped" if name == "lifting/raylift" else own
    budget = f"trained {trained}, adapted {arguments.adapt_steps} x {arguments.adapt_batch} at {arguments.adapt_rate:g}"
    return {
        "lifter": name,
        "way": way,
        "seed": str(seed),
        "budget": budget,
        "clips": f"every {arguments.view_step}",
    }


def measure(name: str, seed: int, arguments: argparse.Namespace, wanted: Callable[[str], bool]) -> None:
    """Make the rows of one lifter and seed that are wanted."""
    sequences = load_mocap("val")
    near, far = (filmed(sequences, domain, arguments.view_step) for domain in (NEAR, FAR))
    student = first_student(name, seed, FilmedClips, arguments)
    clips = near[::2]
    footage = footage_of(student, [seen(view) for view in clips], [view.camera for view in clips])
    for way in WAYS:
        if not wanted(way) or (way == "posynda" and name != "lifting/d3dp"):
            continue
        after = adapted(student, way, footage, seed, arguments)
        row: dict[str, Any] = key_of(name, way, seed, arguments)
        row |= scores(after, near[1::2], "target") | scores(after, far[1::2], "source")
        row |= {
            "windows": str(len(footage)),
            "setting": "oracle" if way == "target_cameras" else "deployable",
        }
        add_rows(arguments.results, [row])
        print(
            f"{name:18} {way:15} seed {seed}  " + "  ".join(f"{k} {v}" for k, v in row.items() if "mm" in k),
            flush=True,
        )


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lifters", nargs="+", default=LIFTERS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--train-steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--muon", type=float, default=0.02, help="its learning rate; 0: AdamW for all")
    parser.add_argument("--adapt-steps", type=int, default=300)
    parser.add_argument("--adapt-batch", type=int, default=16)
    parser.add_argument("--adapt-rate", type=float, default=2e-4)
    parser.add_argument("--view-step", type=int, default=1, help="take every n-th clip of val")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("out/adaptation"))
    parser.add_argument("--results", type=Path, default=RESULTS / "adaptation.csv")
    return parser.parse_args(argv)


def main() -> None:
    """Measure what is missing."""
    arguments = parse()
    for seed in arguments.seeds:
        for name in arguments.lifters:
            there = {tuple(row.get(k) for k in KEY) for row in read_rows(arguments.results)}

            def wanted(way: str, name=name, seed=seed, there=there) -> bool:
                return (
                    way in arguments.ways and tuple(key_of(name, way, seed, arguments).values()) not in there
                )

            if any(wanted(way) for way in WAYS if way != "posynda" or name == "lifting/d3dp"):
                measure(name, seed, arguments, wanted)


if __name__ == "__main__":
    main()
