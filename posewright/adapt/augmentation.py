"""Local pose augmentation: poses made more various by a network that a critic keeps from making impossible ones.

Chai, Jiang, Hwang, Wang, "Global Adaptation meets Local Generalization: Unsupervised Domain Adaptation for 3D Human
Pose Estimation" (PoseDA), ICCV 2023, https://arxiv.org/abs/2303.16456, section 3.3. A generator gives the parameters of
fixed transformations of a training pose (turns of limbs, lengths of bones); an anchor discriminator tells its poses
from the source's. The scheme is that of PoseAug (Gong, Zhang, Feng, CVPR 2021, https://arxiv.org/abs/2105.02465), whose
feedback from the lifter is used too. No code was published for it, so these are assumptions:

* the transformations are one turn of each of `LIMBS`, up to `LARGEST_TURN`, carried on to what hangs on the limb, and
  one factor for the bones of each limb, the same on both sides; they hold for the whole window, so motion stays motion;
* afterwards the body gets its former size back, which no single picture tells;
* two critics, both of the window's middle frame: of the bones in space (real: the training poses as they are) and of
  the shape in the picture (real: the footage), least squares (LSGAN, Mao et al., ICCV 2017);
* feedback: augmented poses should be `HARDER` times as hard for the lifter as the others (PoseAug, equation 6).

Convention: `BODY_26`, metres, camera axes, relative to the pelvis; screen units.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn

from posewright.adapt.alignment import aligned_clips
from posewright.adapt.footage import Footage, box_size
from posewright.skeletons.joint_sets import BODY_26

LIMBS: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "trunk": (None, ("spine", "thorax", "left_shoulder", "right_shoulder")),
    "head": ("trunk", ("neck", "head", "nose", "left_eye", "right_eye", "left_ear", "right_ear")),
    "left_arm": ("trunk", ("left_elbow",)),
    "right_arm": ("trunk", ("right_elbow",)),
    "left_forearm": ("left_arm", ("left_wrist",)),
    "right_forearm": ("right_arm", ("right_wrist",)),
    "left_thigh": (None, ("left_knee",)),
    "right_thigh": (None, ("right_knee",)),
    "left_shin": ("left_thigh", ("left_ankle", "left_heel", "left_toe")),
    "right_shin": ("right_thigh", ("right_ankle", "right_heel", "right_toe")),
}
"""Limb -> the one it hangs on, and the joints at the ends of its bones. Hips stay with the pelvis."""
LARGEST_TURN, LARGEST_STRETCH = 0.6, 0.12
"""Radians, and the logarithm of a bone's factor."""
NOISE = 16
HARDER = 1.3
SIZE_BONES = ("left_knee", "left_ankle", "right_knee", "right_ankle", "spine", "thorax")


def _parents() -> list[int]:
    return [max(p, 0) for p in BODY_26.parents]


def _paths() -> Tensor:
    """(26, 26): 1 where a bone lies between a joint and the pelvis."""
    path = torch.zeros(len(BODY_26), len(BODY_26))
    for joint in range(len(BODY_26)):
        at = joint
        while at > 0:
            path[joint, at] = 1
            at = BODY_26.parents[at]
    return path


def _limb_of() -> list[int]:
    """For each joint, its limb's number; those of the pelvis have the last."""
    owner = {joint: i for i, (_, joints) in enumerate(LIMBS.values()) for joint in joints}
    return [owner.get(name, len(LIMBS)) for name in BODY_26.joint_names]


def transformed(
    joints: Float[Tensor, "B T J 3"], turns: Float[Tensor, "B L 3"], stretches: Float[Tensor, "B M"]
) -> Float[Tensor, "B T J 3"]:
    """Turn limbs and lengthen bones; zero turns and stretches change nothing.

    Args:
        joints: whole windows.
        turns: rotation vectors of `LIMBS`, camera axes, applied to the limb and all that hangs on it.
        stretches: logarithms of factors: trunk, head, arms, forearms, thighs, shins.
    """
    parents, limb = _parents(), _limb_of()
    bones = joints - joints[:, :, parents]
    own = roma.rotvec_to_rotmat(turns)
    names = list(LIMBS)
    whole: list[Tensor] = []
    for i, (hangs_on, _) in enumerate(LIMBS.values()):
        whole.append(own[:, i] if hangs_on is None else whole[names.index(hangs_on)] @ own[:, i])
    identity = torch.eye(3, device=joints.device, dtype=joints.dtype).expand(len(joints), 3, 3)
    rotations = torch.stack([*whole, identity], 1)[:, limb]
    pairs = list(dict.fromkeys(name.split("_")[-1] for name in names))
    factors = torch.stack([stretches[:, pairs.index(name.split("_")[-1])] for name in names], 1).exp()
    factors = torch.cat([factors, torch.ones_like(factors[:, :1])], 1)[:, limb]
    bones = torch.einsum("bjxy,btjy->btjx", rotations, bones) * factors[:, None, :, None]
    moved = torch.einsum("jk,btkx->btjx", _paths().to(joints), bones)
    return moved * (_size(joints) / _size(moved))[:, None, None, None]


def _size(joints: Tensor) -> Tensor:
    """Legs and trunk together (B,), of the first frame: bones do not change over a window."""
    ends = [BODY_26.index(name) for name in SIZE_BONES]
    starts = [BODY_26.parents[end] for end in ends]
    return (joints[:, 0, ends] - joints[:, 0, starts]).norm(dim=-1).sum(-1).clamp_min(1e-3)


def _perceptron(channels: int, hidden: int, out: int) -> nn.Sequential:
    first, second = nn.Linear(channels, hidden), nn.Linear(hidden, hidden)
    return nn.Sequential(first, nn.LeakyReLU(0.2), second, nn.LeakyReLU(0.2), nn.Linear(hidden, out))


class Generator(nn.Module):
    """A pose and noise to the parameters of its transformation."""

    def __init__(self, hidden: int = 128):
        super().__init__()
        pairs = len({name.split("_")[-1] for name in LIMBS})
        self.shape = (len(LIMBS), pairs)
        self.layers = _perceptron(3 * len(BODY_26) + NOISE, hidden, 3 * len(LIMBS) + pairs)

    def forward(
        self, joints: Float[Tensor, "B T J 3"], noise: Float[Tensor, "B Z"]
    ) -> Float[Tensor, "B T J 3"]:
        middle = joints[:, joints.shape[1] // 2]
        out = self.layers(torch.cat([middle.flatten(1), noise], -1)).tanh()
        turns, stretches = out.split((3 * self.shape[0], self.shape[1]), -1)
        return transformed(joints, LARGEST_TURN * turns.unflatten(-1, (-1, 3)), LARGEST_STRETCH * stretches)


class Critic(nn.Module):
    """How real a middle frame looks: 1 is real."""

    def __init__(self, channels: int, hidden: int = 128):
        super().__init__()
        self.layers = _perceptron(channels, hidden, 1)

    def forward(self, x: Float[Tensor, "B C"]) -> Float[Tensor, " B"]:
        return self.layers(x)[:, 0]


@dataclass(frozen=True)
class AugmentorOptions:
    """Of the generator and its critics."""

    learning_rate: float = 1e-3
    critic_rate: float = 5e-4
    feedback: float = 0.3
    """Weight of the lifter's say against the critics'."""


class Augmentor:
    """The generator and both critics, trained beside the lifter, one step for each batch.

    Args:
        target: the footage: its shapes are what pictures should look like.
        options: see there.
        seed: of the weights and the noise.
        device: where everything is.
    """

    def __init__(
        self,
        target: Footage,
        options: AugmentorOptions | None = None,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ):
        self.options = o = options or AugmentorOptions()
        self.random = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator = Generator().to(device)
            self.in_space = Critic(3 * len(BODY_26)).to(device)
            self.in_picture = Critic(2 * len(target.skeleton)).to(device)
        self.order = [BODY_26.index(name) for name in target.skeleton.joint_names]
        self.generating = torch.optim.Adam(self.generator.parameters(), o.learning_rate, betas=(0.5, 0.9))
        critics = [*self.in_space.parameters(), *self.in_picture.parameters()]
        self.judging = torch.optim.Adam(critics, o.critic_rate, betas=(0.5, 0.9))

    def augmented(self, clips: Mapping[str, Tensor], target: Footage) -> dict[str, Tensor]:
        """Training clips with transformed poses, put where the target's windows are."""
        noise = torch.randn(len(clips["joints"]), NOISE, generator=self.random).to(clips["joints"])
        return aligned_clips(_with_joints(clips, self.generator(clips["joints"], noise)), target)

    def step(self, clips: Mapping[str, Tensor], target: Footage, hardness=None) -> dict[str, Tensor]:
        """Train the generator and the critics once, and return augmented clips, without gradients.

        Args:
            clips: training clips.
            target: windows of footage, one for each.
            hardness: clips -> the lifter's loss on them, through which the generator learns what is hard for it.
        """
        made = self.augmented(clips, target)
        loss = _to(1, self.in_space(_bones(made))) + _to(1, self.in_picture(self._shape(made, target)))
        if hardness is not None and self.options.feedback:
            with torch.no_grad():
                plain = hardness(aligned_clips(clips, target))
            loss = (
                loss
                + self.options.feedback * (1 - (hardness(made) / plain.clamp_min(1e-6) - HARDER).exp()).abs()
            )
        parameters = list(self.generator.parameters())
        for parameter, slope in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = slope  # neither the lifter nor the critics get any of it
        self.generating.step()
        made = {name: value.detach() for name, value in made.items()}
        self._judge(clips, made, target)
        return made

    def _judge(self, clips: Mapping[str, Tensor], made: Mapping[str, Tensor], target: Footage) -> None:
        """Train the critics once."""
        real_shape = _shape_of(target.screen[:, target.screen.shape[1] // 2], target.used)
        loss = _to(1, self.in_space(_bones(clips))) + _to(0, self.in_space(_bones(made)))
        loss = loss + _to(1, self.in_picture(real_shape)) + _to(0, self.in_picture(self._shape(made, target)))
        self.judging.zero_grad()
        loss.backward()
        self.judging.step()

    def _shape(self, clips: Mapping[str, Tensor], target: Footage) -> Tensor:
        points = clips["joints"] + clips["root"][..., None, :]
        middle = points[:, points.shape[1] // 2][:, self.order]
        return _shape_of(middle[..., :2] / middle[..., 2:].clamp_min(0.3), target.used)


def _with_joints(clips: Mapping[str, Tensor], joints: Tensor) -> dict[str, Tensor]:
    """Clips whose people have other poses; the keypoints' errors stay."""
    focal = clips["screen_focal"][:, None, None, None]
    before, after = (x + clips["root"][..., None, :] for x in (clips["joints"], joints))
    change = focal * (
        after[..., :2] / after[..., 2:].clamp_min(0.3) - before[..., :2] / before[..., 2:].clamp_min(0.3)
    )
    return {**clips, "joints": joints, "screen": clips["screen"] + change}


def _bones(clips: Mapping[str, Tensor]) -> Tensor:
    middle = clips["joints"][:, clips["joints"].shape[1] // 2]
    return (middle - middle[:, _parents()]).flatten(1)


def _shape_of(points: Tensor, used: Tensor) -> Tensor:
    """Middle frames (B, K, 2) about the mean of what is seen, in units of their box; 0 where not seen."""
    weight = used[..., None].to(points.dtype)
    mean = (weight * points).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
    return (weight * (points - mean) / box_size(points, used)[:, None, None].clamp_min(1e-6)).flatten(1)


def _to(aim: float, judged: Tensor) -> Tensor:
    return (judged - aim).square().mean()
