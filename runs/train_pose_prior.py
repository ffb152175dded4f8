"""Learn which poses are likely, for the body Anny, from recorded motion.

    python runs/train_pose_prior.py --out posewright/fitting/weights/pose_prior_anny.safetensors

Needs `../shared/data/mocap/train` and `val` (or `POSEWRIGHT_DATA`) and the Anny body. Every sequence of `train` is
sampled twice a second (and at least eight times); every recorded figure gets a shape, every sampled pose is fitted by
itself with habits and hinge limits, the poses are mirrored, and mixtures of Gaussians over the rotation vectors of the
joints are fitted. Nothing of `val` is learned from: it chooses among one Gaussian, Gaussians of few principal
components, and mixtures of up to 32, by the mean log density of its poses. One CPU core, about 3 minutes. The table is
written beside the weights.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from posewright.bodies.load import load_body
from posewright.bodies.model import BodyModel
from posewright.core.files import atomic_path
from posewright.datasets.anatomy import with_anatomy
from posewright.datasets.mocap import MocapSequence, load_mocap
from posewright.fitting.body import FitOptions, fit_body
from posewright.fitting.mixture import Mixture, fit_mixture, gaussian
from posewright.fitting.points import active_joints
from posewright.geometry.rotations import matrix_to_rotvec

FLOOR = 0.05**2
"""Radians squared: how well a rotation is known from recorded joints."""
PER_SECOND, FEWEST = 2.0, 8
FPS = 50.0
COMPONENTS = (2, 4, 8, 16, 32)
PRINCIPAL = (10, 20, 30, 40)


def poses_of(body: BodyModel, takes: list[MocapSequence]) -> Tensor:
    """Rotation vectors (N, A, 3) of the active joints but the root, of sampled frames; one shape per figure."""
    figures: dict[tuple[str, str], list[np.ndarray]] = {}
    for take in takes:
        count = max(FEWEST, round(PER_SECOND * len(take.joints) / take.fps))
        rows = np.unique(np.linspace(0, len(take.joints) - 1, count).round().astype(int))
        figures.setdefault((take.subject, take.skeleton_style), []).append(
            take.joints[rows[take.valid[rows]]]
        )
    found = []
    for frames in figures.values():
        joints = torch.from_numpy(np.concatenate(frames).astype(float))
        still = torch.zeros(len(joints), dtype=torch.float64)
        points = with_anatomy(joints, still, still).numpy()[:, :24]
        confidence = np.ones(points.shape[:2])
        fit = fit_body(body, points, confidence, "body_24", FPS, FitOptions(cutoff_hz=0))
        local = fit.params.body_pose[:, [j - 1 for j in active_joints(body)[1:]]]
        found.append(matrix_to_rotvec(local.double()))
    return torch.cat(found)


def mirrored(body: BodyModel, turns: Tensor) -> Tensor:
    """The same poses as a mirror at x = 0 shows them: sides exchanged, turns about Y and Z reversed."""
    names = [body.joint_names[j] for j in active_joints(body)[1:]]
    other = {".L": ".R", ".R": ".L"}
    rows = [names.index(n[:-2] + other[n[-2:]] if n[-2:] in other else n) for n in names]
    return turns[:, rows] * torch.tensor([1.0, -1.0, -1.0])


def candidates(x: Tensor) -> dict[str, Mixture]:
    """Every model that is compared, fitted to samples (N, D)."""
    models = {"gaussian": gaussian(x, FLOOR)}
    models |= {f"pca {k}": gaussian(x, FLOOR, k) for k in PRINCIPAL}
    return models | {f"mixture {k}": fit_mixture(x, k, FLOOR) for k in COMPONENTS}


def save(mixture: Mixture, body: BodyModel, out: Path) -> None:
    """Write what `fitting.prior.read_prior` reads; of the covariances the lower triangle, in single precision."""
    names = " ".join(body.joint_names[j] for j in active_joints(body)[1:])
    row, column = torch.tril_indices(*mixture.covariances.shape[1:])
    tensors = {
        "weights": mixture.weights,
        "means": mixture.means,
        "covariances": mixture.covariances[:, row, column],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as temporary:
        save_file(
            {k: v.float().contiguous() for k, v in tensors.items()},
            temporary,
            metadata={"body": body.name, "joint_names": names},
        )


def main() -> None:
    """Fit, compare, keep the best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/pose_prior_anny.safetensors"))
    options = parser.parse_args()
    began = time.perf_counter()
    body = load_body("anny", topology="low_1229")
    seen, held_out = (poses_of(body, load_mocap(split)) for split in ("train", "val"))
    train = torch.cat([seen, mirrored(body, seen)]).flatten(1)
    print(f"{len(train)} poses of train with their mirror images, {len(held_out)} of val")
    rows, models = [], candidates(train)
    for name, model in models.items():
        scores = [float(model.log_density(x).mean()) for x in (train, held_out.flatten(1))]
        rows.append({"model": name, "train_nats": f"{scores[0]:.2f}", "val_nats": f"{scores[1]:.2f}"})
        print(f"{name:12} train {scores[0]:8.2f}  val {scores[1]:8.2f} nats per pose")
    best = max(rows, key=lambda row: float(row["val_nats"]))["model"]
    save(models[best], body, options.out)
    with options.out.with_suffix(".csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(f"{best} -> {options.out} ({(time.perf_counter() - began) / 60:.1f} minutes)")


if __name__ == "__main__":
    main()
