"""How far off `lifting/raylift` is: a Gaussian over all its joints and the root, for every frame.

No paper. One camera does not determine depth, so what a lifter does not know is large along the ray and small across
it, and it is shared: a body turned a little wrong has all its joints wrong together. Therefore one Gaussian of all
joints of a frame with a low-rank factor (as Dorta et al., "Structured Uncertainty Prediction Networks", CVPR 2018,
and Kendall and Gal, "What Uncertainties Do We Need", NeurIPS 2017, argue for pictures), trained by its exact likelihood
on the errors that the frozen lifter makes. A small network reads what the lifter saw and said: keypoints as the lifter
sees them, its joints, how far these miss the keypoints when they stand where the root was found, and how much of that
there was in the last moments. The lifter itself is not changed.

The errors of a clip are no fresh draw in every frame: `correlation` says how long they last, as measured.

Convention: the lifter's own view: axes turned so that the person is on the optical axis (`raylift.rotation_to_axis`),
metres, for a body of the lifter's size (`raylift.TRUNK_AND_LEG_METRES`). The 78 numbers of a frame are the errors
(truth minus estimate) of joints 1 to 25 of `BODY_26` relative to the pelvis, x y z each, then the root's: across the
ray, x and y in metres, and the logarithm of its depth.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.core.weights import Weights
from posewright.geometry.resection import root_translation
from posewright.models.lifting.raylift import Model as RayLift
from posewright.models.lifting.raylift import rotation_to_axis, view_features
from posewright.nn.checkpoints import load_strictly
from posewright.nn.low_rank_gaussian import log_density
from posewright.nn.temporal import smooth_over_time
from posewright.skeletons.joint_sets import BODY_26

WEIGHTS_FILE = Path(__file__).with_name("weights") / "raylift_errors.safetensors"
MOMENT_S = 0.24
"""Seconds (standard deviation of a Gaussian) over which misfit and presence are averaged."""
FEWEST = 4
"""Keypoints that find the root."""
JOINTS = len(BODY_26)
DIMENSIONS = 3 * (JOINTS - 1) + 3
FEATURES = 3 * JOINTS + 5 + 3 * (JOINTS - 1) + 2 * JOINTS + 2 * JOINTS + 1
_UNIT = 0.02
"""Metres, and parts of the depth: the size of errors at the start."""
_LEAST = 0.002
_GUESSED = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_heel", "right_heel")
_LENGTHS = 9
"""Lengths of the correlation over time that the weights hold (`geometry.smooth_noise.LENGTHS`)."""


@dataclass(frozen=True)
class Config:
    """Sizes of the network."""

    hidden: int = 160
    rank: int = 8
    """K: columns of the factor."""


class Model(nn.Module):
    """What the lifter saw and said to the covariance of its error."""

    def __init__(self, config: Config | None = None):
        super().__init__()
        self.config = c = config or Config()
        self.feed = nn.Sequential(
            nn.Linear(FEATURES, c.hidden), nn.GELU(), nn.Linear(c.hidden, c.hidden), nn.GELU()
        )
        self.factor = nn.Linear(c.hidden, DIMENSIONS * c.rank)
        self.diagonal = nn.Linear(c.hidden, DIMENSIONS)
        nn.init.normal_(self.factor.weight, std=0.3 * c.hidden**-0.5)
        self.mean: Tensor
        self.spread: Tensor
        self.scale: Tensor
        self.lengths: Tensor
        self.weights: Tensor
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("spread", torch.ones(FEATURES))
        self.register_buffer("scale", torch.ones(DIMENSIONS))
        self.register_buffer("lengths", torch.full((_LENGTHS,), 1000.0))
        self.register_buffer("weights", torch.eye(_LENGTHS)[0])

    def forward(
        self, features: Float[Tensor, "*B F"]
    ) -> tuple[Float[Tensor, "*B D K"], Float[Tensor, "*B D"]]:
        """Factor and diagonal of the covariance, calibrated by `scale`."""
        x = self.feed(((features - self.mean) / self.spread).clamp(-5, 5))
        factor = _UNIT * self.factor(x).unflatten(-1, (DIMENSIONS, -1))
        deviation = _LEAST + _UNIT * F.softplus(self.diagonal(x) + 0.5)
        return factor * self.scale[:, None], (deviation * self.scale) ** 2


def loss(model: nn.Module, features: Float[Tensor, "*B F"], error: Float[Tensor, "*B D"]) -> Tensor:
    """Mean negative log-likelihood per number, nats, in units of 2 cm."""
    factor, diagonal = model(features)
    return -log_density(error / _UNIT, factor / _UNIT, diagonal / _UNIT**2).mean() / DIMENSIONS


# ------------------------------------------------------------------------------------------ what it reads


def person_axes(
    lifter: RayLift, rays: Float[Tensor, "B T J 2"], confidence: Float[Tensor, "B T J"]
) -> tuple[Float[Tensor, "B T 2"], Float[Tensor, "B T"]]:
    """The ray through the person and the person's size in ray units, as the lifter sees them, at its own rate."""
    return lifter.view(rays, confidence)


def seen_by(
    rays: Float[Tensor, "B T J 2"],
    confidence: Float[Tensor, "B T J"],
    centre: Float[Tensor, "B T 2"],
    size: Float[Tensor, "B T"],
    focal_known: Float[Tensor, " B"],
) -> Float[Tensor, "B T F"]:
    """The lifter's own input, at its own rate of 50 frames per second."""
    return view_features(rays, confidence, rotation_to_axis(centre), size, focal_known)


def root_of(
    joints: Float[Tensor, "B T J 3"], rays: Float[Tensor, "B T J 2"], confidence: Float[Tensor, "B T J"]
) -> Float[Tensor, "B T 3"]:
    """Where the pelvis stands by each frame's own keypoints, camera axes, metres; NaN where fewer than `FEWEST`."""
    guessed = torch.tensor([0.2 if n in _GUESSED else 1.0 for n in BODY_26.joint_names], dtype=rays.dtype)
    weight = (confidence * guessed.to(rays.device)).double()
    K = torch.eye(3, dtype=torch.float64, device=rays.device)
    root = root_translation(joints.double(), rays.double(), K, weight).translation.to(rays.dtype)
    return torch.where((confidence > 0).sum(-1, keepdim=True) >= FEWEST, root, torch.nan)


def features_of(
    seen: Float[Tensor, "B T F"],
    joints: Float[Tensor, "B T J 3"],
    rays: Float[Tensor, "B T J 2"],
    confidence: Float[Tensor, "B T J"],
    centre: Float[Tensor, "B T 2"],
    root: Float[Tensor, "B T 3"],
    fps: float,
) -> Float[Tensor, "B T G"]:
    """Everything the network reads, for each frame.

    Args:
        seen: `seen_by`, at these frames.
        joints: what the lifter said, relative to the pelvis, camera axes, metres.
        rays: x/z and y/z of the keypoints.
        confidence: 0 = missing.
        centre: `person_axes`, at these frames.
        root: `root_of`; NaN is bridged with the clip's mean depth and no misfit.
        fps: frames per second.
    """
    to_person = rotation_to_axis(centre)
    own = (joints @ to_person.mT)[..., 1:, :]
    misfit = misfit_of(joints, rays, confidence, root) @ to_person[..., :2, :2].mT
    depth = root[..., 2].log()
    known = torch.isfinite(depth)
    mean = torch.where(known, depth, 0.0).sum(1, True) / known.sum(1, True).clamp_min(1)
    depth = torch.where(known, depth, mean)[..., None]
    present = (confidence > 0).to(rays.dtype)
    sigma = max(MOMENT_S * fps, 0.4)
    total = smooth_over_time(torch.cat([misfit.square().sum(-1), present], dim=-1), sigma)
    ones = smooth_over_time(torch.ones_like(present[..., :1]), sigma)
    square, share = (total / ones).chunk(2, dim=-1)
    recent = (square / share.clamp_min(0.02) + 1e-6).sqrt().log() + 4
    return torch.cat(
        [seen, own.flatten(2), 20 * misfit.flatten(2).clamp(-0.5, 0.5), recent, share, depth], dim=-1
    )


def misfit_of(
    joints: Float[Tensor, "B T J 3"],
    rays: Float[Tensor, "B T J 2"],
    confidence: Float[Tensor, "B T J"],
    root: Float[Tensor, "B T 3"],
) -> Float[Tensor, "B T J 2"]:
    """How far each joint is from its keypoint's ray, metres at the person; 0 where there is none of the two."""
    placed = joints + root[..., None, :]
    miss = (rays - placed[..., :2] / placed[..., 2:].clamp_min(0.1)) * root[..., None, 2:]
    there = torch.isfinite(miss).all(-1) & (confidence > 0)
    return torch.where(there[..., None], miss, 0.0)


def error_of(
    joints: Float[Tensor, "B T J 3"],
    root: Float[Tensor, "B T 3"],
    true_joints: Float[Tensor, "B T J 3"],
    true_root: Float[Tensor, "B T 3"],
    centre: Float[Tensor, "B T 2"],
) -> Float[Tensor, "B T D"]:
    """Truth minus estimate in the network's 78 numbers; NaN where the root is unknown."""
    to_person = rotation_to_axis(centre)
    pose = ((true_joints - joints) @ to_person.mT)[..., 1:, :]
    told, true = ((to_person @ r[..., None])[..., 0] for r in (root, true_root))
    ratio = true[..., 2:] / told[..., 2:]
    across = true[..., :2] - told[..., :2] * ratio
    return torch.cat([pose.flatten(2), across, ratio.log()], dim=-1)


# ----------------------------------------------------------------------------------------------- weights


def load(path: Path = WEIGHTS_FILE) -> Model:
    """Load the weights that ship in the package, in evaluation mode.

    Raises:
        InputError: the file is missing.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing from the installation: install posewright again")
    return load_strictly(Model(), {key: value.float() for key, value in load_file(path).items()})


WEIGHTS = {
    "base": Weights(
        url="posewright/models/lifting/weights/raylift_errors.safetensors (in the package)",
        licence="Apache-2.0",
        trained_on=(
            "Errors of the shipped lifting/raylift on synthetic clips of the 115 CMU takes it was trained on (18,064 "
            "clips, 454,379 frames), limbs hidden in some. The data used in this project was obtained from "
            "mocap.cs.cmu.edu. The database was created with funding from NSF EIA-0196217.",
            "Calibrated, and the correlation over time measured, on CMU subjects 06 and 29, seen by 64 test cameras",
            "8.7 minutes, 1 CPU core (AMD EPYC), by runs/train_raylift_errors.py",
        ),
        reported={"nats_per_number_train": 1.496, "nats_per_number_other_clips": 1.574},
        sha256="b1a4838f7d0b48cb5bcc77b78aa441db27320bf7009662df6e4abb6c74150784",
        verified="benchmarks/results/uncertainty.csv, made by python benchmarks/uncertainty.py, on subjects 14 and 35",
    ),
}
"""The weights that ship in the package, in half precision; raylift_errors.json beside them has more figures."""
