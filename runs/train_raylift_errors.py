"""Train the model of the default lifter's own error, measure how its errors last, and calibrate it.

    python runs/train_raylift_errors.py --minutes 8 --out posewright/models/lifting/weights/raylift_errors.safetensors

Needs `../shared/data/mocap/train` and `val` (or `POSEWRIGHT_DATA`). One CPU core. Three steps:

1. The frozen lifter is run over synthetic clips of `train` for six tenths of the time; every fourth frame's error and
   what the error model reads are kept. Limbs are hidden in some clips, which the lifter's own training hardly does: it
   guesses them badly then, and that has to be expected. The model is trained on these in the rest of the time (AdamW,
   exact log-likelihood).
2. The correlation of errors over time is measured on the calibration views: `val`'s subjects 06 and 29 (basketball,
   walking; 16 takes), seen by four test cameras each that no training has seen.
3. The lifter's errors on augmented clips of `train`, which it has seen, are not those on new people. So standard
   deviations are multiplied by one factor for each group of joints (and for the root's direction and depth), with
   which 80 % of the calibration views' joints lie in their 80 % region, over five conditions of the keypoints.

Nothing of `val`'s subjects 14 and 35 is used: `benchmarks/uncertainty.py` tests on them. The figures are written beside
the weights as JSON.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from posewright.core.files import atomic_path
from posewright.datasets.mocap import load_mocap
from posewright.datasets.synthetic import SyntheticClips
from posewright.evaluate.lifting import Corruption, View, filmed
from posewright.evaluate.uncertainty import CALIBRATED_AT, GROUPS, RECORDED, autocorrelation
from posewright.geometry.smooth_noise import LENGTHS, fit_correlation
from posewright.metrics.calibration import LEVELS, conformal_factor, coverage, levels_of
from posewright.models.lifting import raylift, raylift_errors
from posewright.pipelines.errors_on_views import ErrorsOnView, errors_on_view
from posewright.skeletons.joint_sets import BODY_26
from posewright.train.loop import TrainingOptions, train

CALIBRATION_SUBJECTS = ("cmu_06", "cmu_29")
CONDITIONS = {
    "noise 0.5 %": Corruption(noise=0.005),
    "noise 1 %": Corruption(noise=0.01),
    "noise 2 %": Corruption(noise=0.02),
    "noise 1 %, 20 % missing": Corruption(noise=0.01, missing=0.2),
    "noise 1 %, focal length unknown": Corruption(noise=0.01, focal_known=False),
}
POOL_SHARE = 0.6
"""Of the time, in which the lifter's errors are collected."""
CLIPS, FRAMES, EVERY = 16, 128, 4
HIDDEN = (0.4, 0.15)
"""Shares of the clips in which a limb is hidden, and another one."""
_ENDS = {"wrist": (), "elbow": ("wrist",), "ankle": ("heel", "toe"), "knee": ("ankle", "heel", "toe")}
LIMBS = (
    *(
        tuple(f"{side}_{n}" for n in (top, *ends))
        for top, ends in _ENDS.items()
        for side in ("left", "right")
    ),
    tuple(f"{side}_{n}" for n in ("elbow", "wrist") for side in ("left", "right")),
    tuple(f"{side}_{n}" for n in ("knee", "ankle", "heel", "toe") for side in ("left", "right")),
    ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "head", "neck"),
)
BATCH = 1024


@torch.inference_mode()
def errors_of_clips(
    lifter: raylift.Model, batch: dict[str, Tensor], every: int = EVERY
) -> tuple[Tensor, Tensor]:
    """What the error model reads (N, G) and the error (N, D), of frames of a batch in which the root was found."""
    rays, confidence, known = batch["rays"], batch["confidence"], batch["focal_known"]
    joints = lifter(torch.cat([rays, confidence[..., None]], dim=-1), known)
    centre, size = raylift_errors.person_axes(lifter, rays, confidence)
    seen = raylift_errors.seen_by(rays, confidence, centre, size, known)
    root = raylift_errors.root_of(joints, rays, confidence)
    features = raylift_errors.features_of(
        seen, joints, rays, confidence, centre, root, raylift.FRAMES_PER_SECOND
    )
    error = raylift_errors.error_of(joints, root, batch["joints"], batch["root"], centre)
    features, error = features[:, ::every].flatten(0, 1), error[:, ::every].flatten(0, 1)
    good = torch.isfinite(error).all(-1) & torch.isfinite(features).all(-1)
    return features[good], error[good]


def hide_limbs(batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Take one or two limbs, or their ends, out of some clips for a while or for good: the lifter guesses them then."""
    confidence = batch["confidence"].clone()
    B, T, _ = confidence.shape
    hidden = torch.zeros_like(confidence, dtype=torch.bool)
    time_ = torch.arange(T)
    for chance in HIDDEN:
        which = torch.randint(len(LIMBS), (B,), generator=generator)
        limbs = torch.zeros(len(LIMBS), confidence.shape[-1], dtype=torch.bool)
        for row, names in enumerate(LIMBS):
            limbs[row, [BODY_26.index(n) for n in names]] = True
        start = (torch.rand(B, generator=generator) * 2 * T - T).clamp_min(0)
        length = 2 ** (2 + 6 * torch.rand(B, generator=generator))
        span = (time_ >= start[:, None]) & (time_ < (start + length)[:, None])
        span |= torch.rand(B, 1, generator=generator) < 0.4
        span &= torch.rand(B, 1, generator=generator) < chance
        hidden |= span[:, :, None] & limbs[which][:, None]
    confidence[hidden] = 0
    rays = torch.where(hidden[..., None], torch.zeros(()), batch["rays"])
    return {**batch, "rays": rays, "confidence": confidence}


def collect(lifter: raylift.Model, clips: SyntheticClips, seconds: float) -> tuple[Tensor, Tensor]:
    """Errors of as many clips as fit into the time; single frames and short clips among them."""
    began, features, errors, step = time.monotonic(), [], [], 0
    generator = torch.Generator().manual_seed(1)
    while time.monotonic() - began < seconds or step < 2:
        frames = (FRAMES, FRAMES, FRAMES, 40, FRAMES, FRAMES, FRAMES, 3)[step % 8]
        x, e = errors_of_clips(lifter, hide_limbs(clips.batch(CLIPS, frames), generator))
        features.append(x.half())
        errors.append(e)
        step += 1
    print(f"{step * CLIPS} clips, {sum(map(len, errors))} frames", flush=True)
    return torch.cat(features), torch.cat(errors)


def fit(model: raylift_errors.Model, features: Tensor, errors: Tensor, minutes: float, seed: int) -> tuple:
    """Train; also return the loss (nats per number) on the last twentieth of the clips, which is not trained on."""
    cut = int(0.95 * len(features))
    model.mean.copy_(features[:cut].float().mean(0))
    model.spread.copy_(features[:cut].float().std(0).clamp_min(1e-2))

    def batch_of(step: int) -> tuple[Tensor, Tensor]:
        rows = torch.randint(cut, (BATCH,), generator=torch.Generator().manual_seed(seed * 1_000_003 + step))
        return features[rows].float(), errors[rows]

    options = TrainingOptions(minutes=minutes, muon_learning_rate=None, learning_rate=1.5e-3, every=10**9)
    averaged = train(model, batch_of, lambda m, b: raylift_errors.loss(m, *b), options)
    assert isinstance(averaged, raylift_errors.Model)
    with torch.inference_mode():
        parts = zip(features[cut:].float().split(2048), errors[cut:].split(2048), strict=True)
        held = float(np.mean([float(raylift_errors.loss(averaged, x, e)) for x, e in parts]))
        parts = zip(features[:20480].float().split(2048), errors[:20480].split(2048), strict=True)
        seen = float(np.mean([float(raylift_errors.loss(averaged, x, e)) for x, e in parts]))
    print(f"loss {seen:.3f} on clips trained on, {held:.3f} on others", flush=True)
    return averaged, seen, held


# ------------------------------------------------------------------------------------------- calibration


def on_views(
    model: raylift_errors.Model, lifter: raylift.Model, views: list[View]
) -> dict[str, list[ErrorsOnView]]:
    """Errors and their covariances on every view, for each condition."""
    return {
        name: [errors_on_view(view, corruption, lifter, model) for view in views]
        for name, corruption in CONDITIONS.items()
    }


def calibrate(model: raylift_errors.Model, found: dict[str, list[ErrorsOnView]]) -> dict[str, float]:
    """Set the model's scale factors; every condition counts the same, frames of each are sampled evenly."""
    views = [v for views in found.values() for v in views]
    factors = {}
    scale = torch.ones(raylift_errors.DIMENSIONS // 3, 3)
    for group, names in GROUPS.items():
        joints = [BODY_26.index(n) for n in names]
        recorded = [BODY_26.index(n) for n in names if n in RECORDED]
        square = np.concatenate([v.square[:, recorded].ravel() for v in views])
        factors[group] = float(conformal_factor(square, CALIBRATED_AT))
        scale[[j - 1 for j in joints]] = factors[group]
    known = [v for name, vs in found.items() if CONDITIONS[name].focal_known for v in vs]
    z = np.concatenate([v.root_z for v in known])
    spread = np.nanquantile(np.abs(z), CALIBRATED_AT, axis=0) / 1.2816
    factors |= {"root across": float(spread[:2].mean()), "root depth": float(spread[2])}
    scale[-1] = torch.tensor([factors["root across"], factors["root across"], factors["root depth"]])
    model.scale.mul_(scale.flatten())
    return factors


def measure_correlation(model: raylift_errors.Model, views: list[ErrorsOnView]) -> dict[str, list[float]]:
    """Set the model's correlation over time to that of the standardised errors; return both."""
    lags = np.unique(np.r_[0:10, np.geomspace(10, 300, 24)].round().astype(int))
    measured = autocorrelation([v.standardised for v in views], lags)
    correlation = fit_correlation(lags / raylift.FRAMES_PER_SECOND, measured)
    place = [LENGTHS.index(length) for length in correlation.lengths]
    model.lengths.copy_(torch.tensor(LENGTHS))
    model.weights.zero_()
    model.weights[place] = torch.tensor(correlation.weights)
    return {
        "lag_s": (lags / raylift.FRAMES_PER_SECOND).tolist(),
        "measured": measured.round(4).tolist(),
        "fitted": correlation.at(lags / raylift.FRAMES_PER_SECOND).round(4).tolist(),
        "lengths_s": list(correlation.lengths),
        "weights": list(correlation.weights),
    }


def main() -> None:
    """Collect, train, measure, calibrate, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="of collecting and training")
    parser.add_argument("--out", type=Path, default=Path("out/raylift_errors.safetensors"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    began = time.perf_counter()
    lifter = raylift.load()
    clips = SyntheticClips(load_mocap("train"), seed=options.seed + 17)
    features, errors = collect(lifter, clips, 60 * POOL_SHARE * options.minutes)
    minutes = (1 - POOL_SHARE) * options.minutes
    model, seen, held = fit(raylift_errors.Model(), features, errors, minutes, options.seed)
    views = [v for v in filmed(load_mocap("val")) if v.sequence.subject in CALIBRATION_SUBJECTS]
    found = on_views(model, lifter, views)
    squares = {k: np.concatenate([v.square[:, 1:].ravel() for v in vs]) for k, vs in found.items()}
    before = {k: coverage(levels_of(square)).round(2).tolist() for k, square in squares.items()}
    correlation = measure_correlation(model, found["noise 1 %"])
    factors = calibrate(model, found)
    card = {
        "frames": len(features),
        "minutes": round((time.perf_counter() - began) / 60, 1),
        "nats_per_number_train": seen,
        "nats_per_number_other_clips": held,
        "coverage_before_calibration_percent": before,
        "levels": list(LEVELS),
        "factors": {k: round(v, 4) for k, v in factors.items()},
        "correlation": correlation,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(options.out) as part:
        state = {
            k: (v if k in ("mean", "spread", "scale", "lengths", "weights") else v.half()).contiguous()
            for k, v in model.state_dict().items()
        }
        save_file(state, part, metadata={"model": "lifting/raylift_errors", "licence": "Apache-2.0"})
    options.out.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(card["factors"]), json.dumps(before))
    print(options.out, f"{options.out.stat().st_size / 1e6:.2f} MB, {card['minutes']} minutes")


if __name__ == "__main__":
    main()
