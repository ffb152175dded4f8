"""Train any lifter of the zoo on recorded motion seen through random cameras.

    lifter = train_lifter(create("lifting/mixste", "27"), SyntheticClips(load_mocap("train"), ZOO_CLIPS), options)

Clips are those of `datasets.synthetic`, the same for every method with the same seed: a method with a window of T
frames gets windows of T frames, one for single frames gets the same frames one by one. Keypoints come in its
joint set and units, their gaps bridged as in `pipelines.lift_zoo`; targets in its joints, frames and units.

Losses: metres, the mean distance plus `VELOCITY_WEIGHT` times that of the velocities; image units, that of MotionBERT
(section 4.3), which MotionAGFormer uses too; standardised units, the squared error (SimpleBaseline). MPM also answers
for all frames of its window, and TPC for all that it kept; both are supervised, as published. D3DP denoises the true
poses from a random step of its diffusion; the loss on its answer is the same as for all. A network with a method
`training_loss(keypoints, joints)` is trained on that instead: what a flow or a likelihood is fitted to is not a pose.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from posewright.core.errors import InputError
from posewright.datasets.synthetic import SyntheticClips, SyntheticConfig
from posewright.evaluate.lifters import Lifter, as_lifter, facts_of, save_lifter
from posewright.evaluate.units import bridge_missing, image_from_camera
from posewright.models.lifting import motionbert
from posewright.skeletons.joint_sets import ANIMALS, BODY_26
from posewright.structures.lifting import Lifting
from posewright.train.loop import Progress, TrainingOptions, train
from posewright.train.team import Team

ZOO_CLIPS = SyntheticConfig(joint_sets=(0.0, 0.0, 1.0, 0.0, 0.0))
"""Clips for lifters of Human3.6M's joints: the axis of the trunk is always given."""
CLIPS_RATE = 50.0
VELOCITY_WEIGHT = 2.5
STATISTICS_FRAMES = 2000


@dataclass(frozen=True)
class Task:
    """What a network is trained on."""

    lifter: Lifter
    clips: SyntheticClips
    batch: int
    """Windows per step, of all members together."""
    seed: int = 0
    flip: bool = True
    """Mirror half of the windows, on top of the clips' own variety."""
    frames: int | None = None
    """Frames of a clip for methods that look at one; None: 27."""
    device: str = "cpu"

    @property
    def window(self) -> int:
        """Frames of a clip, at the lifter's rate."""
        return self.lifter.window if self.lifter.window > 1 else (self.frames or 27)

    @property
    def stride(self) -> int:
        """Recorded frames per frame of the window."""
        return max(1, round(CLIPS_RATE / (self.lifter.fps or CLIPS_RATE)))


def train_lifter(
    network: nn.Module,
    clips: SyntheticClips,
    options: TrainingOptions,
    *,
    batch: int = 32,
    seed: int = 0,
    fps: float | None = None,
    flip: bool = True,
    frames: int | None = None,
    device: str = "cpu",
    team: Team | None = None,
    out: Path | None = None,
    report: Callable[[Lifter], dict] | None = None,
    **loop: Any,
) -> Lifter:
    """Train a network and return it as a lifter, with the moving average of its weights.

    Args:
        network: the `Model` of a lifting method.
        clips: where its windows come from.
        options: how long and how fast.
        batch: windows per step, shared among the members of a team.
        seed: of windows and cameras.
        fps: frame rate of the windows, which divides 50; None: that of the method's authors, or 50 if theirs does not.
        flip: mirror half of the windows.
        frames: see `Task`.
        device: where to train.
        team: see `train.team` and `train.distributed`.
        out: folder for checkpoint, log (log.csv) and weights (weights.safetensors); None: nothing is written.
        report: scores the averaged lifter; what it returns becomes columns of the log.
        **loop: see `train.loop.train`: `tensorboard`, `on_step`.
    """
    team = team or Team()
    task = task_of(network.to(device), clips, batch, seed, fps, flip, frames, device)

    def finished(model: nn.Module) -> Lifter:
        return replace(task.lifter, network=model.eval())

    def record(model: nn.Module, progress: Progress) -> dict:
        if out:
            save_lifter(finished(model), out / "weights.safetensors", step=str(progress.step))
        return report(finished(model)) if report else {}

    averaged = train(
        network,
        lambda step: batch_of(task, step, team),
        lambda model, given: loss_of(task.lifter.facts, model, given),
        options,
        checkpoint=out and out / "checkpoint.pt",
        report=record,
        team=team,
        log=out and out / "log.csv",
        **loop,
    )
    return finished(averaged)


def task_of(
    network: nn.Module,
    clips: SyntheticClips,
    batch: int,
    seed: int,
    fps: float | None = None,
    flip: bool = True,
    frames: int | None = None,
    device: str = "cpu",
) -> Task:
    """Describe what to train, with the statistics of the clips where the method needs some."""
    config: Any = network.config
    facts = facts_of("lifting/" + type(network).__module__.rpartition(".")[2], config)
    if facts.skeleton.name in ANIMALS:
        raise InputError(
            f"train_lifter: this model reads {facts.skeleton.name}, and the recordings are of people: expected a "
            "lifter of people; recordings of animals are not part of posewright"
        )
    statistics = clip_statistics(clips, facts) if facts.keypoint_units == "standardised" else None
    if fps is not None and CLIPS_RATE % fps:
        raise ValueError(f"train_lifter: fps is {fps:g}, expected a rate that divides {CLIPS_RATE:g}")
    lifter = as_lifter(network, fps=fps, statistics=statistics).to(device)
    if lifter.fps is not None and CLIPS_RATE % lifter.fps:
        lifter = replace(lifter, fps=CLIPS_RATE)
    return Task(lifter, clips, batch, seed, flip, frames, device)


def clip_statistics(clips: SyntheticClips, facts: Lifting) -> dict[str, Tensor]:
    """Mean and deviation of keypoints (screen units) and joints (metres) over clips of a fixed seed."""
    clips.generator.manual_seed(20_26)
    clip = clips.batch(STATISTICS_FRAMES // 2, 2)
    keypoints, joints = plain_pairs(clip, facts)
    columns = {"keypoint": keypoints[:, 0], "joint": joints[:, 0]}
    mean = {f"{name}_mean": x.mean(0) for name, x in columns.items()}
    return mean | {f"{name}_deviation": x.std(0).clamp_min(1e-3) for name, x in columns.items()}


# ------------------------------------------------------------------------------------------------- batches


def batch_of(task: Task, step: int, team: Team) -> dict[str, Tensor]:
    """Make the windows of a step; it depends on nothing but the step, so that a run can be repeated from any of them.

    A team's members make the whole batch and take every `size`-th window, so that they train as one would.
    """
    task.clips.generator.manual_seed((task.seed * 1_000_003 + step) % 2**63)
    clip = task.clips.batch(task.batch, task.window * task.stride)
    clip = {k: v[:, :: task.stride] if v.ndim > 2 else v for k, v in clip.items()}
    mirror = torch.rand(task.batch, generator=task.clips.generator) < (0.5 if task.flip else 0.0)
    clip = {k: v[team.rank :: team.size].to(task.device) for k, v in clip.items()}
    return network_batch(task.lifter, clip, mirror[team.rank :: team.size].to(task.device))


def network_batch(lifter: Lifter, clip: Mapping[str, Tensor], mirror: Tensor) -> dict[str, Tensor]:
    """Keypoints (B, T, K, C) as the network reads them, and joints (B, T, J, 3) as it should give them."""
    facts = lifter.facts
    keypoints, joints = plain_pairs(clip, facts)
    confidence = clip["confidence"][..., _order(facts.skeleton.joint_names)]
    keypoints = _mirrored(keypoints, facts.skeleton.mirror, mirror)
    joints = _mirrored(joints, facts.output_skeleton.mirror, mirror)
    swap = torch.from_numpy(facts.skeleton.mirror).to(mirror.device)
    confidence = torch.where(mirror[:, None, None], confidence[..., swap], confidence)
    if lifter.statistics is not None:
        s = lifter.statistics
        keypoints = (keypoints - s["keypoint_mean"]) / s["keypoint_deviation"]
        joints = (joints - s["joint_mean"]) / s["joint_deviation"]
    if facts.channels == 3:
        keypoints = torch.cat([keypoints, confidence[..., None]], -1)
    return {"keypoints": keypoints, "joints": joints}


def plain_pairs(clip: Mapping[str, Tensor], facts: Lifting) -> tuple[Tensor, Tensor]:
    """Keypoints in screen units without gaps, and joints in metres or image units, in the method's joint sets."""
    chosen = _order(facts.skeleton.joint_names)
    keypoints = bridge_missing(
        clip["screen"][..., chosen, :], clip["confidence"][..., chosen], facts.skeleton
    )
    joints = clip["joints"][..., _order(facts.output_skeleton.joint_names), :]
    if facts.joint_units == "image":
        placed = joints + clip["root"][:, :, None]
        root = facts.output_skeleton.index("pelvis")
        joints = image_from_camera(placed, root, clip["screen_focal"][:, None])
    return keypoints, joints


def _order(names: tuple[str, ...]) -> list[int]:
    return [BODY_26.index(name) for name in names]


def _mirrored(values: Tensor, order: np.ndarray, mirror: Tensor) -> Tensor:
    """Mirror the clips of a batch that `mirror` names."""
    sign = values.new_ones(values.shape[-1])
    sign[0] = -1
    other = values[..., torch.from_numpy(order).to(values.device), :] * sign
    return torch.where(mirror[:, None, None, None], other, values)


# -------------------------------------------------------------------------------------------------- losses


def loss_of(facts: Lifting, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Loss of a network on a batch of windows; its own where it has one."""
    if hasattr(network, "training_loss"):
        return network.training_loss(batch["keypoints"], batch["joints"])  # type: ignore[operator]
    losses = [
        pose_loss(facts, predicted.float(), target)
        for predicted, target in answers(facts, network, batch["keypoints"], batch["joints"])
    ]
    return torch.stack(losses).mean()


def answers(
    facts: Lifting, network: nn.Module, keypoints: Tensor, joints: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """Everything that the network answers, each with its target."""
    T = keypoints.shape[1]
    if hasattr(network, "both"):  # MPM: the middle frame, and an auxiliary head for all
        middle, everything = network.both(keypoints)  # type: ignore[operator]
        return [(middle, joints[:, (T - 1) // 2, None]), (everything, joints)]
    if hasattr(network, "kept") and facts.output_frames == "centre":  # TPC: the frames that were kept
        some, kept = network.kept(keypoints)  # type: ignore[operator]
        return [(some, joints.gather(1, kept[:, :, None, None].expand(-1, -1, *joints.shape[2:])))]
    if hasattr(network, "denoised"):  # D3DP: the truth, noised to a random step of the diffusion
        return [(network.denoised(keypoints, joints), joints)]  # type: ignore[operator]
    predicted = network(keypoints)
    N = predicted.shape[1]
    first = T - N if facts.causal else (T - N) // 2
    return [(predicted, joints[:, first : first + N])]


def pose_loss(facts: Lifting, predicted: Tensor, target: Tensor) -> Tensor:
    """Loss of joints (B, T, J, 3) in the method's units."""
    if facts.joint_units == "standardised":
        return (predicted - target).square().mean()
    if facts.joint_units == "image":
        return motionbert.loss(predicted, target)
    error = predicted - target
    position = error.norm(dim=-1).mean()
    if error.shape[1] == 1:
        return position
    return position + VELOCITY_WEIGHT * error.diff(dim=1).norm(dim=-1).mean()
