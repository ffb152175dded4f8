"""How good the default lifter is on people and cameras it was not trained on, beside baselines.

    python benchmarks/lifting_accuracy.py [--per-frame out/per_frame/raylift.safetensors]

Protocol in `posewright/evaluate/lifting.py`: every take of `val`, four test cameras each, 15 joints, no alignment for
MPJPE. Baselines:
  mean pose            the mean of the training poses as training cameras see them
  nearest pose         the training pose whose projection is nearest, out of 120,000 (5,000 poses, 24 directions),
                       every frame by itself
  per-frame network    the lifter without any mixing over time, trained for 13 minutes on the same data by
                       `python runs/train_raylift.py --mixer none --patch 1 --minutes 13 --out out/per_frame`;
                       only with --per-frame
Writes results/lifting_accuracy.csv: one row per method, keypoints, noise, missing share, focal length and action.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from row import write_rows
from safetensors.torch import load_file

from posewright.datasets.mocap import load_mocap
from posewright.datasets.synthetic import SyntheticClips, SyntheticConfig
from posewright.evaluate.lifting import SCORED, Corruption, Predictor, View, evaluate_lifter, filmed
from posewright.models.lifting import raylift
from posewright.pipelines.lift import keypoint_rays, lift_points
from posewright.skeletons.joint_sets import BODY_26, COCO_FEET_21, H36M_17
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D

CLEAN, USUAL, ROUGH = Corruption(noise=0.0), Corruption(noise=0.01), Corruption(noise=0.02)
GAPS = Corruption(noise=0.01, missing=0.2)
UNKNOWN = Corruption(noise=0.01, focal_known=False)
STILL = SyntheticConfig(
    retime=0,
    reverse=0,
    graft_upper=0,
    graft_arm=0,
    graft_leg=0,
    perturb=0,
    crouch=0,
    tilt_small=0,
    tilt_any=0,
)
LIMBS = [BODY_26.index(n) for n in SCORED if n.startswith(("left", "right"))]


def network(model: raylift.Model | None = None, flip: bool = False) -> Predictor:
    """The lifter as `lift` runs it."""
    return lambda keypoints, camera: lift_points(keypoints, camera, model=model, flip=flip)[0][:, 0]


def mean_pose() -> Predictor:
    """The same pose for every frame."""
    clips = SyntheticClips(load_mocap("train"), STILL, seed=11)
    pose = clips.batch(20_000, 2)["joints"][:, 0].mean(0).numpy()
    return lambda keypoints, camera: np.tile(pose, (keypoints.num_frames, 1, 1))


class NearestPose:
    """Training poses by their projections, each turned about the vertical and seen from a little above or below."""

    def __init__(self, poses: int = 5_000, directions: int = 24):
        clips = SyntheticClips(load_mocap("train"), STILL, seed=12)
        upright = clips.poses(poses, 2)[:, 0]
        upright = upright - upright[:, :1]
        generator = torch.Generator().manual_seed(13)
        angle = 2 * torch.pi * torch.arange(directions) / directions
        rows = []
        for a in angle:
            yaw = torch.tensor([[a.cos(), -a.sin(), 0.0], [a.sin(), a.cos(), 0.0], [0.0, 0.0, 1.0]])
            below = 0.1 * torch.randn(poses, generator=generator) + 0.05
            c, s, zero, one = below.cos(), below.sin(), torch.zeros(poses), torch.ones(poses)
            look = torch.stack([one, zero, zero, zero, -s, -c, zero, c, -s], dim=-1).view(poses, 3, 3)
            rows.append(torch.einsum("pij,pkj->pki", look, upright @ yaw.T))
        self.joints = torch.cat(rows)
        seen = self.joints + torch.tensor([0.0, 0.0, 5.0])
        rays = seen[..., :2] / seen[..., 2:]
        self.shapes, _ = self._described(rays, torch.ones(rays.shape[:2]))

    @staticmethod
    def _described(rays: torch.Tensor, present: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Limb keypoints about their mean, scaled to unit spread: (N, 24), and what is there (N, 24)."""
        rays, present = rays[:, LIMBS], present[:, LIMBS]
        count = present.sum(1, keepdim=True).clamp_min(1)
        centred = (rays - ((rays * present[..., None]).sum(1) / count)[:, None]) * present[..., None]
        spread = ((centred**2).sum((1, 2)) / count[:, 0]).sqrt().clamp_min(1e-6)
        return (centred / spread[:, None, None]).flatten(1), present.repeat_interleave(2, dim=1)

    def __call__(self, keypoints: Keypoints2D, camera: Camera) -> np.ndarray:
        rays, confidence = (torch.from_numpy(x[:, 0]) for x in keypoint_rays(keypoints, camera))
        present = (confidence > 0).float()
        centre = (rays * present[..., None]).sum(1) / present.sum(1, keepdim=True).clamp_min(1e-6)
        to_person = raylift.rotation_to_axis(centre[None])[0]
        points = torch.cat([rays, torch.ones_like(rays[..., :1])], dim=-1) @ to_person.mT
        wanted, there = self._described(points[..., :2] / points[..., 2:].clamp_min(0.1), present)
        best = torch.empty(len(wanted), dtype=torch.long)
        squared = self.shapes.T**2
        for rows in torch.arange(len(wanted)).split(256):
            distance = there[rows] @ squared - 2 * (wanted[rows] * there[rows]) @ self.shapes.T
            best[rows] = distance.argmin(1)
        return (self.joints[best] @ to_person).numpy()


def rows_of(
    method: str, predict: Predictor, views: list[View], corruption: Corruption, skeleton=COCO_FEET_21
) -> list[dict]:
    """Score one method under one condition."""
    groups = evaluate_lifter(predict, views, skeleton, corruption)
    overall = groups["all"]
    print(
        f"{method:24} {skeleton.name:13} noise {100 * corruption.noise:.0f} %  "
        f"missing {100 * corruption.missing:2.0f} %  "
        f"focal {'known' if corruption.focal_known else 'assumed':8} MPJPE {overall['mpjpe_mm']:6.1f}  "
        f"PA {overall['pa_mpjpe_mm']:6.1f}  MPJVE {overall['mpjve_mm_per_s']:6.0f} mm/s",
        flush=True,
    )
    return [
        {
            "method": method,
            "keypoints": skeleton.name,
            "noise_percent": 100 * corruption.noise,
            "missing_percent": 100 * corruption.missing,
            "focal": "known" if corruption.focal_known else "assumed",
            "action": action,
            **{name: value if name == "frames" else f"{value:.2f}" for name, value in scores.items()},
            "joints_scored": len(SCORED),
            "averaged_over": "frames",
            "setting": "deployable",
        }
        for action, scores in groups.items()
    ]


def per_frame_model(path: Path) -> raylift.Model:
    """Load the per-frame network."""
    state = {name: value.float() for name, value in load_file(path).items()}
    return raylift.load_official(state, mixer="none", patch=1)


def main() -> None:
    """Score everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--per-frame", type=Path)
    arguments = parser.parse_args()
    views = filmed(load_mocap("val"))
    rows = []
    for corruption in (CLEAN, USUAL, ROUGH, GAPS, UNKNOWN):
        rows += rows_of("raylift", network(), views, corruption)
    rows += rows_of("raylift, flip", network(flip=True), views, USUAL)
    rows += rows_of("raylift", network(), views, USUAL, H36M_17)
    baselines = {"mean pose": mean_pose(), "nearest pose": NearestPose()}
    if arguments.per_frame:
        baselines["per-frame network, 13 minutes"] = network(per_frame_model(arguments.per_frame))
    for method, predict in baselines.items():
        # the mean pose looks at no keypoint, so that noise cannot matter to it
        for corruption in (USUAL,) if method == "mean pose" else (CLEAN, USUAL, GAPS):
            rows += rows_of(method, predict, views, corruption)
    print(write_rows("lifting_accuracy", rows))


if __name__ == "__main__":
    main()
