"""Raylift, posewright's default lifter: rays of a clip's keypoints to 3D joints, whatever is missing.

No paper. What it is made of: keypoints as rays, turned so that the person is on the optical axis (the
reasoning of Ray3D, Zhan et al., CVPR 2022, and of the crop's rotation in Mehta et al., 3DV 2017); two frames
make one token (patches of ViT, Dosovitskiy et al., ICLR 2021); blocks that alternate dilated convolution
(VideoPose3D, Pavllo et al., CVPR 2019) and self-attention (Vaswani et al. 2017) over time, pre-norm, each
followed by a two-layer network, as in Conformer (Gulati et al., Interspeech 2020); rotary position embedding
(Su et al. 2021), so that only time differences count.

What it cannot do: see body size (it answers for an adult with `TRUNK_AND_LEG_METRES` of trunk and leg), gravity, or
things touched. `neck` and `head` follow the skeletons of the CMU recordings: the base of the head and a point
10 cm above it, about eye height. Heels, nose, eyes and ears were placed by anatomy in training, not measured:
their depth and the head's turn are learned from that model of them.

Convention: keypoints (B, T, 26, 3) of `BODY_26` at 50 frames per second: x/z and y/z of each keypoint's ray
in camera axes (x right, y down, z forward) and its confidence, 0 = missing. Joints (B, T, 26, 3) in metres,
camera axes, relative to the pelvis; the first 24 are `BODY_24`.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from posewright.core.weights import Paper, Weights
from posewright.nn.checkpoints import load_strictly
from posewright.nn.temporal import DilatedConvolution, FeedForward, RotaryAttention, smooth_over_time
from posewright.skeletons.joint_sets import BODY_26
from posewright.structures.lifting import Lifting

PAPER = Paper(
    title="Raylift: posewright's default lifter (no paper)",
    venue="posewright",
    url="https://www.apache.org/licenses/LICENSE-2.0",
    code_licence="Apache-2.0",
)
LIFTING = Lifting(BODY_26, BODY_26, channels=3, output_frames="all", keypoint_units="rays", short_clips=True)

FRAMES_PER_SECOND = 50.0
TRUNK_AND_LEG_METRES = 1.60
"""Thigh, shin, spine, chest, neck and head bones of every body it was trained on, summed: an adult of about 1.75 m."""
WEIGHTS_FILE = Path(__file__).with_name("weights") / "raylift.safetensors"

_TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip", "pelvis", "thorax")
_FACE = ("nose", "left_ear", "right_ear", "left_eye", "right_eye")


@dataclass(frozen=True)
class Config:
    """Sizes of the network."""

    dim: int = 320
    """Channels of a token."""
    depth: int = 6
    """Blocks."""
    heads: int = 5
    hidden: int = 1280
    """Channels inside the two-layer networks."""
    patch: int = 2
    """Frames per token."""
    mixer: str = "hybrid"
    """What mixes tokens over time: `hybrid` (convolution and attention in turn), `attention`, `convolution`,
    or `none` (with `patch` 1: every frame by itself); the last three are what `hybrid` was compared with."""


class Block(nn.Module):
    """Mix over time, then over channels, each on normalised input and added to it."""

    def __init__(self, config: Config, index: int):
        super().__init__()
        self.mix_norm = nn.LayerNorm(config.dim)
        self.mix = time_mixer(config, index)
        self.norm = nn.LayerNorm(config.dim)
        self.feed = FeedForward(config.dim, config.hidden)

    def forward(self, x: Float[Tensor, "B N C"]) -> Float[Tensor, "B N C"]:
        if self.mix is not None:
            x = x + self.mix(self.mix_norm(x))
        return x + self.feed(self.norm(x))


def time_mixer(config: Config, index: int) -> nn.Module | None:
    """Return the layer that mixes over time in block `index`."""
    kinds = {
        "hybrid": ("convolution", "attention")[index % 2],
        "attention": "attention",
        "convolution": "convolution",
        "none": "none",
    }
    if config.mixer not in kinds:
        raise ValueError(f"raylift: mixer is {config.mixer!r}, expected one of {', '.join(kinds)}")
    if kinds[config.mixer] == "attention":
        return RotaryAttention(config.dim, config.heads)
    if kinds[config.mixer] == "convolution":
        return DilatedConvolution(config.dim, 1 + index if config.mixer == "hybrid" else 3 ** (index % 4))
    return None


class Model(nn.Module):
    """Rays of keypoints to joints."""

    def __init__(self, config: Config | None = None):
        super().__init__()
        self.config = c = config or Config()
        self.embed = nn.Linear(c.patch * (3 * len(BODY_26) + 5), c.dim)
        self.blocks = nn.ModuleList(Block(c, i) for i in range(c.depth))
        self.norm = nn.LayerNorm(c.dim)
        self.head = nn.Linear(c.dim, c.patch * 3 * (len(BODY_26) - 1))
        centre = torch.tensor([10.0 if n in _TRUNK else 1.0 for n in BODY_26.joint_names])
        size = torch.tensor([0.2 if n in _FACE else 1.0 for n in BODY_26.joint_names])
        self.centre_weight: Tensor
        self.size_weight: Tensor
        self.register_buffer("centre_weight", centre, persistent=False)
        self.register_buffer("size_weight", size, persistent=False)

    def forward(
        self, keypoints: Float[Tensor, "B T K 3"], focal_known: Float[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B T K 3"]:
        """Lift.

        Args:
            keypoints: x/z, y/z and confidence.
            focal_known: 1 where the rays come from the true focal length, 0 where it was assumed; None: all 1.
        """
        rays, confidence = keypoints[..., :2], keypoints[..., 2]
        focal_known = torch.ones_like(confidence[:, 0, 0]) if focal_known is None else focal_known
        centre, size = self.view(rays, confidence)
        to_person = rotation_to_axis(centre)
        features = view_features(rays, confidence, to_person, size, focal_known)
        joints = self.tokens(features)
        return joints @ to_person

    def tokens(self, features: Float[Tensor, "B T F"]) -> Float[Tensor, "B T K 3"]:
        """Frames to tokens, through the blocks, and back; bfloat16 matrix products while training."""
        B, T, _ = features.shape
        extra = -T % self.config.patch
        features = torch.cat([features, features[:, -1:].expand(-1, extra, -1)], dim=1)
        half = torch.autocast(features.device.type, torch.bfloat16) if self.training else nullcontext()
        with half:
            x = self.embed(features.reshape(B, (T + extra) // self.config.patch, -1))
            for block in self.blocks:
                x = block(x)
            x = self.head(self.norm(x))
        joints = x.to(features.dtype).reshape(B, T + extra, -1, 3)[:, :T]
        return torch.cat([torch.zeros_like(joints[:, :, :1]), joints], dim=2)

    def view(
        self, rays: Float[Tensor, "B T K 2"], confidence: Float[Tensor, "B T K"]
    ) -> tuple[Float[Tensor, "B T 2"], Float[Tensor, "B T"]]:
        """Return the ray through the person and the size in ray units, both smoothed over time and gaps."""
        present = (confidence > 0).to(rays.dtype) * (0.1 + confidence)
        weight = (present * self.centre_weight)[..., None]
        total = torch.cat([weight * rays, weight], dim=-1).sum(2)
        total = (
            smooth_over_time(total, 3.0) + 1e-3 * smooth_over_time(total, 24.0) + 1e-6 * total.mean(1, True)
        )
        centre = total[..., :2] / total[..., 2:].clamp_min(1e-9)
        weight = present * self.size_weight
        square = ((rays - centre[:, :, None]) ** 2).sum(-1)
        total = torch.stack([(weight * square).sum(-1), weight.sum(-1)], dim=-1)
        total = smooth_over_time(total, 12.0) + 1e-3 * total.mean(1, True)
        return centre, (total[..., 0] / total[..., 1].clamp_min(1e-9)).clamp_min(1e-8).sqrt()


def rotation_to_axis(centre: Float[Tensor, "B T 2"]) -> Float[Tensor, "B T 3 3"]:
    """Rotations that turn the ray (x/z, y/z) onto the optical axis and keep the picture's horizontal level."""
    z = F.normalize(torch.cat([centre, torch.ones_like(centre[..., :1])], dim=-1), dim=-1)
    x = F.normalize(torch.stack([z[..., 2], torch.zeros_like(z[..., 0]), -z[..., 0]], dim=-1), dim=-1)
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=-2)


def view_features(
    rays: Float[Tensor, "B T K 2"],
    confidence: Float[Tensor, "B T K"],
    to_person: Float[Tensor, "B T 3 3"],
    size: Float[Tensor, "B T"],
    focal_known: Float[Tensor, " B"],
) -> Float[Tensor, "B T F"]:
    """What the network sees of a frame, the same wherever in the picture the person is.

    Keypoints around the axis in units of the person's size, confidence, how the person moves across the picture
    (2) and grows in it (1), the size itself, which tells how strong perspective is (1), and whether the focal
    length is known.
    """
    points = torch.cat([rays, torch.ones_like(rays[..., :1])], dim=-1) @ to_person.transpose(-1, -2)
    points = points[..., :2] / points[..., 2:].clamp_min(0.1) / size[..., None, None]
    points = points.clamp(-6, 6) * (confidence > 0).to(rays.dtype)[..., None]
    across = (to_person @ central_difference(to_person[..., 2, :])[..., None])[..., :2, 0]
    across = (5 * across / size[..., None]).clamp(-5, 5)
    growth = (20 * central_difference(size.log()[..., None])).clamp(-5, 5)
    known = focal_known[:, None, None].expand(-1, rays.shape[1], 1)
    return torch.cat(
        [points.flatten(2), confidence, across, growth, size.log()[..., None] + 2, known], dim=-1
    )


def central_difference(x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
    """Next frame minus the one before; one-sided at the ends."""
    return torch.cat([x[:, 1:], x[:, -1:]], dim=1) - torch.cat([x[:, :1], x[:, :-1]], dim=1)


def loss(
    predicted: Float[Tensor, "B T K 3"], target: Float[Tensor, "B T K 3"], velocity_weight: float = 2.5
) -> Float[Tensor, ""]:
    """MPJPE and the error of the frame-to-frame velocity, in metres; face points count half."""
    weight = predicted.new_tensor([0.5 if n in _FACE else 1.0 for n in BODY_26.joint_names])
    weight[0] = 0.0
    weight = weight / weight.sum()
    error = predicted - target
    position = (error.norm(dim=-1) * weight).sum(-1).mean()
    velocity = ((error[:, 1:] - error[:, :-1]).norm(dim=-1) * weight).sum(-1).mean()
    return position + velocity_weight * velocity


def load_official(state_dict: Mapping, **config: Any) -> Model:
    """Load a state dict of this very model; keyword arguments are fields of `Config`."""
    return load_strictly(Model(Config(**config)), state_dict)


def load(path: Path = WEIGHTS_FILE) -> Model:
    """Load the weights that ship in the package."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing from the installation: install posewright again")
    return load_official({key: value.float() for key, value in load_file(path).items()})


VARIANTS = {"base": Config()}
PARAMETERS = {"base": 7_187_030}

WEIGHTS = {
    "base": Weights(
        url="posewright/models/lifting/weights/raylift.safetensors (in the package)",
        licence="Apache-2.0",
        trained_on=(
            "CMU Graphics Lab Motion Capture Database, 115 takes of 16 subjects, seen through random cameras. The "
            "data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding "
            "from NSF EIA-0196217.",
            "Heels, nose, eyes and ears: synthetic (datasets/anatomy.py)",
            "9,107 steps, 115 minutes, 2 shared CPU cores (AMD EPYC), by runs/train_raylift.py as docs/lifting.md says",
        ),
        reported={"cmu_val_mpjpe_mm": 29.0, "cmu_val_pa_mpjpe_mm": 23.2},
        sha256="6ff8b2735546f7b46b918edabe4a3365d3b7a21add88d5ddd4a78ef2c6353b81",
        verified="benchmarks/results/lifting_accuracy.csv, made by python benchmarks/lifting_accuracy.py",
    ),
}
"""The weights that ship in the package, in half precision."""
