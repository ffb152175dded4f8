"""Run a lifter over a whole clip: windows, ends, flip averaging, in its own units.

Methods that answer for every frame of their window get windows that overlap by half and are blended, weighted by the
distance to the window's ends (the papers cut clips into windows without overlap, which leaves a seam every `window`
frames; `overlap=False` does that). Clips shorter than the window are continued by their last frame, or taken as they
are where the method allows it. Methods that answer for the middle frame get one window per frame, the clip continued by
its first and last frame at either end, as published. Convolutions run over long pieces, padded likewise.

On the processor, clips of several windows run through a twin of the network with packed linear layers
(`nn.packed_linear`), which gives the same but for rounding. A lifter of precision `bfloat16` runs through one whose
hidden layers are in half precision.

Memory does not grow with the clip but for keypoints and joints: `FRAMES_AT_ONCE` frames of windows are run together.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posewright.evaluate.lifters import Lifter
from posewright.nn.half_precision import bfloat16, half_precision
from posewright.nn.packed_linear import packed

FRAMES_AT_ONCE = 1944
"""Frames that all windows of a batch hold together: 8 windows of 243."""
PACKED_FROM = 486
"""Frames of a clip from which packing the linear layers, a quarter of a second at most, is worth its time."""


@torch.inference_mode()
def run_clip(
    lifter: Lifter, keypoints: Float[Tensor, "T K C"], flip: bool = False, overlap: bool = True
) -> Float[Tensor, "T J 3"]:
    """Lift every frame of a clip.

    Args:
        lifter: the method.
        keypoints: in its joint set and units, at its frame rate, without gaps; on its device.
        flip: average with the mirrored clip, as the papers' numbers do.
        overlap: windows of methods that answer for all frames overlap by half.

    Returns:
        Joints in the lifter's joint set and units.
    """
    network, precision = ready(lifter, keypoints)
    lifter = replace(lifter, network=network)
    with precision:
        joints = _run(lifter, keypoints, overlap)
        if not flip:
            return joints
        mirrored = _run(lifter, mirrored_keypoints(lifter, keypoints), overlap)
        return (joints + mirrored_joints(lifter, mirrored)) / 2


@torch.inference_mode()
def run_hypotheses(
    lifter: Lifter, keypoints: Float[Tensor, "T K C"], flip: bool = False, overlap: bool = True
) -> Float[Tensor, "T H J 3"]:
    """As `run_clip`, all hypotheses of a method that samples some; with `flip` those of the mirrored clip join them.

    Where windows overlap, hypotheses of the same number are blended.
    """
    network, precision = ready(lifter, keypoints)
    sampler = replace(lifter, network=_Hypotheses(network))

    def run(x: Tensor) -> Tensor:
        with precision:
            return _run(sampler, x, overlap).unflatten(1, (-1, len(lifter.facts.output_skeleton)))

    hypotheses = run(keypoints)
    if not flip:
        return hypotheses
    return torch.cat([hypotheses, mirrored_joints(lifter, run(mirrored_keypoints(lifter, keypoints)))], 1)


def ready(lifter: Lifter, keypoints: Tensor) -> tuple[nn.Module, AbstractContextManager]:
    """Return the lifter's network as it should run on a clip, and the context to run it in."""
    if lifter.precision == "bfloat16":
        context = bfloat16(keypoints.device.type)
        return half_precision(lifter.network), context
    return packed(lifter.network) if len(keypoints) >= PACKED_FROM else lifter.network, nullcontext()


class _Hypotheses(nn.Module):
    """A network that gives its hypotheses side by side, (B, T, H * J, 3)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.sequences_per_window = _sequences_per_window(network)

    def forward(self, keypoints: Tensor) -> Tensor:
        return self.network.hypotheses(keypoints).flatten(2, 3)  # type: ignore[operator]


def _sequences_per_window(network: nn.Module) -> int:
    """How many sequences a network makes of each window inside: hypotheses, mirrored ones."""
    return int(getattr(network, "sequences_per_window", 1))  # pyright: ignore[reportArgumentType]


def mirrored_keypoints(lifter: Lifter, keypoints: Float[Tensor, "*B K C"]) -> Float[Tensor, "*B K C"]:
    """Keypoints of the mirrored picture: x negated, left and right exchanged."""
    return _mirrored(lifter, keypoints, lifter.facts.skeleton.mirror, "keypoint")


def mirrored_joints(lifter: Lifter, joints: Float[Tensor, "*B J 3"]) -> Float[Tensor, "*B J 3"]:
    """Joints of the mirrored person."""
    return _mirrored(lifter, joints, lifter.facts.output_skeleton.mirror, "joint")


def _mirrored(lifter: Lifter, values: Tensor, mirror, kind: str) -> Tensor:
    """Mirror in plain units, also where the lifter's are standardised."""
    order = torch.from_numpy(mirror).to(values.device)
    sign = values.new_ones(values.shape[-1])
    sign[0] = -1
    if lifter.statistics is None:
        return values[..., order, :] * sign
    mean, deviation = (lifter.statistics[f"{kind}_{what}"] for what in ("mean", "deviation"))
    plain = (values * deviation + mean)[..., order, :] * sign
    return (plain - mean) / deviation


def _run(lifter: Lifter, keypoints: Tensor, overlap: bool) -> Tensor:
    if lifter.window == 1:
        parts = keypoints.split(max(1, FRAMES_AT_ONCE // _sequences_per_window(lifter.network)))
        return torch.cat([lifter.network(part[None])[0] for part in parts])
    kind = lifter.facts.output_frames
    if kind == "all":
        return _sequences(lifter, keypoints, overlap)
    return _centres(lifter, keypoints) if kind == "centre" else _valid(lifter, keypoints)


def _sequences(lifter: Lifter, keypoints: Tensor, overlap: bool) -> Tensor:
    """Windows whose every frame is answered, blended where they overlap; the last one ends with the clip."""
    T, W = len(keypoints), lifter.window
    if T < W:
        extra = 0 if lifter.facts.short_clips else W - T
        padded = torch.cat([keypoints, keypoints[-1:].expand(extra, -1, -1)])
        return lifter.network(padded[None])[0, :T]
    hop = max(1, W // 2) if overlap else W
    starts = torch.arange(0, T - W + hop, hop, device=keypoints.device).clamp_max(T - W)
    position = torch.arange(W, device=keypoints.device)
    ramp = torch.minimum(position + 1, W - position).to(keypoints.dtype)[:, None, None]
    ramp = ramp if overlap else torch.ones_like(ramp)
    total, weight = None, keypoints.new_zeros(T, 1, 1)
    for group in starts.split(max(1, FRAMES_AT_ONCE // (W * _sequences_per_window(lifter.network)))):
        index = group[:, None] + position
        joints = lifter.network(keypoints[index])
        total = keypoints.new_zeros(T, *joints.shape[2:]) if total is None else total
        total.index_add_(0, index.flatten(), (joints * ramp).flatten(0, 1))
        weight.index_add_(0, index.flatten(), ramp.expand(len(group), -1, -1, -1).flatten(0, 1))
    assert total is not None
    return total / weight


def _centres(lifter: Lifter, keypoints: Tensor) -> Tensor:
    """One window per frame, of which the middle frame is taken."""
    T, W = len(keypoints), lifter.window
    middle = (W - 1) // 2
    reach = torch.arange(W, device=keypoints.device) - middle
    joints = []
    for frames in torch.arange(T, device=keypoints.device).split(max(1, FRAMES_AT_ONCE // W)):
        out = lifter.network(keypoints[(frames[:, None] + reach).clamp(0, T - 1)])
        joints.append(out[:, middle] if out.shape[1] == W else out[:, 0])
    return torch.cat(joints)


def _valid(lifter: Lifter, keypoints: Tensor) -> Tensor:
    """Pieces of the padded clip, each answered wherever the window fits."""
    T, W = len(keypoints), lifter.window
    before = W - 1 if lifter.facts.causal else (W - 1) // 2
    joints = []
    for start in range(0, T, FRAMES_AT_ONCE):
        stop = min(start + FRAMES_AT_ONCE, T)
        index = torch.arange(start - before, stop - before + W - 1, device=keypoints.device)
        joints.append(lifter.network(keypoints[index.clamp(0, T - 1)][None])[0])
    return torch.cat(joints)
