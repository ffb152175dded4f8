"""Poses people take: a prior on the rotations of a body's joints, learned from recorded motion.

A mixture of Gaussians over the rotation vectors of the joints that a fit turns, the root left out, for the body Anny.
A fit feels the nearest component only (the max-mixture of E. Olson and P. Agarwal, "Inference on networks of mixtures
for robust robot mapping", RSS 2012; SMPLify, F. Bogo et al., ECCV 2016, section 3.2, took the same for bodies): its
squared Mahalanobis distance, so that the problem stays one of least squares.

`runs/train_pose_prior.py` made the numbers from the training half of the CMU recordings (mocap.cs.cmu.edu; the database
was created with funding from NSF EIA-0196217) and their mirror images.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor

from posewright.bodies.model import BodyModel
from posewright.core.weights import Weights
from posewright.fitting.mixture import Mixture
from posewright.fitting.points import BodyPoints
from posewright.fitting.terms import Posed

FILE = Path(__file__).with_name("weights") / "pose_prior_anny.safetensors"
WEIGHTS = {
    "anny": Weights(
        url="posewright/fitting/weights/pose_prior_anny.safetensors (in the package)",
        licence="Apache-2.0",
        trained_on=(
            "CMU Graphics Lab Motion Capture Database, 115 takes, twice a second, and their mirror images: 7,828 poses "
            "of the body Anny. The data used in this project was obtained from mocap.cs.cmu.edu. The database was "
            "created with funding from NSF EIA-0196217.",
            "Heels, nose, eyes and ears of these poses: synthetic (datasets/anatomy.py)",
            "8 Gaussians in 60 dimensions, by runs/train_pose_prior.py",
        ),
        reported={"cmu_val_log_density_nats": 55.71},
        sha256="4efa82902081ea8599197eadd77fc43b112378a6d63dab3cc608773bda7ad6e0",
        verified="held-out poses of val; docs/bodies.md has the table of what was compared",
    ),
}
"""The prior that ships in the package."""


@dataclass(frozen=True)
class PosePrior:
    """Likely rotations of named joints of one body."""

    body: str
    joint_names: tuple[str, ...]
    """Names of the active joints but the root, in the order of the mixture's dimensions."""
    mixture: Mixture
    """Over their rotation vectors, radians, flattened."""

    def fits(self, body: BodyModel, body_points: BodyPoints) -> bool:
        """Tell whether this prior is about a body's joints."""
        names = tuple(body.joint_names[j] for j in body_points.active[1:])
        return self.body == body.name and body.has_orientation and names == self.joint_names


@lru_cache(maxsize=1)
def shipped_prior() -> PosePrior:
    """The prior that comes with posewright, for Anny."""
    return read_prior(FILE)


def read_prior(path: Path) -> PosePrior:
    """Read a prior, safetensors with the names of joints beside the numbers."""
    with safe_open(path, framework="pt") as stream:
        about = stream.metadata()
        weights, means, packed = (stream.get_tensor(k).double() for k in ("weights", "means", "covariances"))
    K, D = means.shape
    row, column = torch.tril_indices(D, D)
    covariances = torch.zeros(K, D, D, dtype=torch.float64)
    covariances[:, row, column] = packed
    covariances[:, column, row] = packed
    return PosePrior(
        about["body"], tuple(about["joint_names"].split(" ")), Mixture(weights, means, covariances)
    )


@dataclass(frozen=True)
class LikelyPose:
    """Joints turn as those of people do: the nearest component of a prior, in units of its spread."""

    mixture: Mixture
    weight: float
    """Of the prior against what is seen; 1 is Bayes' rule with independent frames and points."""

    def rows(self, rows: Tensor) -> "LikelyPose":
        return self

    def _nearest(self, frames: Posed) -> tuple[Float[Tensor, "N D"], Tensor, Float[Tensor, " N"]]:
        """Rotation vectors, the component of each frame, and -2 log of its density up to a constant."""
        turn = frames.turn[:, 1:].flatten(1)
        value = self.mixture.distances(turn) - 2 * (self.mixture.constants - self.mixture.constants.max())
        least, which = value.min(-1)
        return turn, which, least

    def cost(self, frames: Posed) -> Tensor:
        return self.weight * self._nearest(frames)[2]

    def add(self, frames: Posed, H: Tensor, g: Tensor) -> None:
        turn, which, _ = self._nearest(frames)
        N, A = len(turn), turn.shape[1] // 3
        precision = self.weight * self.mixture.precisions[which]
        pull = (precision @ (turn - self.mixture.means[which])[..., None]).unflatten(1, (A, 3))
        D = frames.turn_jacobian[:, 1:]
        right = (precision.reshape(N, 3 * A, A, 3).transpose(1, 2) @ D).transpose(1, 2)  # (N, 3 A, A, 3)
        both = D.mT @ right.reshape(N, A, 3, 3 * A)
        H[:, 6:, 6:] += both.reshape(N, 3 * A, 3 * A)
        g[:, 6:] += (D.mT @ pull)[..., 0].flatten(1)
