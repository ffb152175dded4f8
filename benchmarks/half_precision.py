"""What bfloat16 changes in lifted poses: trained networks, recorded motion.

    python benchmarks/half_precision.py [--out out/lifting_zoo] [--methods lifting/mixste] [--view-step 10]

The small networks that `lifting_zoo.py` trained and left in its folder run over clips of `val` seen through unseen
cameras, keypoints with noise of 1 % of the body height, in float32 and with their hidden layers in bfloat16
(`nn.half_precision`, here from `NARROWEST` channels on, since small networks are narrow). `distance_mm` is the mean
distance of the same joint in both; beside it the error of both against the truth. Windows alone, windows that overlap
as clips are run, and these averaged with the mirrored clip. Writes results/half_precision.csv.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from row import write_rows
from torch import Tensor

from posewright.datasets.mocap import load_mocap
from posewright.evaluate.lifters import Lifter, load_lifter
from posewright.evaluate.lifting import Corruption, filmed, keypoints_of
from posewright.evaluate.windows import run_clip
from posewright.metrics.position import mpjpe
from posewright.nn.half_precision import bfloat16, half_precision
from posewright.pipelines.lift_zoo import network_input, screen_keypoints
from posewright.skeletons.joint_sets import BODY_26, H36M_17

NARROWEST = 32
METHODS = ("lifting/mixste", "lifting/ktpformer")
JOINTS = [BODY_26.index(name) for name in H36M_17.joint_names]
KINDS = {
    "windows": {"overlap": False},
    "overlapping windows": {},
    "overlapping windows, mirrored": {"flip": True},
}


def clips(lifter: Lifter, view_step: int) -> list[tuple[Tensor, Tensor]]:
    """Input and root-relative truth of every n-th view."""
    found = []
    for view in filmed(load_mocap("val"))[::view_step]:
        keypoints, camera = keypoints_of(view, H36M_17, Corruption(noise=0.01))
        screen, confidence = (torch.from_numpy(x[:, 0]) for x in screen_keypoints(lifter, keypoints, camera))
        truth = torch.from_numpy(view.points[:, JOINTS]).float()
        found.append((network_input(lifter, screen, confidence), truth - truth[:, :1]))
    return found


def measure(name: str, weights: Path, view_step: int) -> list[dict]:
    """Run one network in both precisions."""
    lifter = load_lifter(name, weights)
    twin = replace(lifter, network=half_precision(lifter.network, NARROWEST))
    given, rows = clips(lifter, view_step), []
    for kind, options in KINDS.items():
        scores = []
        for keypoints, truth in given:
            whole = run_clip(lifter, keypoints, **options)
            with bfloat16("cpu"):
                half = run_clip(twin, keypoints, **options).float()
            whole, half = (x - x[:, :1] for x in (whole, half))
            scores.append(torch.stack([mpjpe(half, whole), mpjpe(whole, truth), mpjpe(half, truth)], -1))
        distance, exact, rounded = torch.cat(scores).mean(0).tolist()
        rows.append(
            {
                "method": name,
                "parameters": sum(p.numel() for p in lifter.network.parameters()),
                "clips": kind,
                "distance_mm": f"{distance:.3f}",
                "mpjpe_float32_mm": f"{exact:.3f}",
                "mpjpe_bfloat16_mm": f"{rounded:.3f}",
                "frames": sum(len(truth) for _, truth in given),
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure every method that is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/lifting_zoo"), help="folder of lifting_zoo.py")
    parser.add_argument("--methods", nargs="+", default=METHODS, metavar="METHOD")
    parser.add_argument("--view-step", type=int, default=10)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.methods:
        weights = arguments.out / f"{name.replace('/', '_')}_small_0" / "weights.safetensors"
        rows += measure(name, weights, arguments.view_step)
    print(write_rows("half_precision", rows))


if __name__ == "__main__":
    main()
