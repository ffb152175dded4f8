"""Recorded motion seen by random virtual cameras: endless training clips of 2D keypoints and 3D joints.

Recordings are few, so poses are varied before they are filmed: windows are re-timed, reversed and mirrored, upper
bodies, arms and legs of different takes are combined, limbs are turned by slowly varying angles, bone lengths are
drawn from all subjects, and whole bodies are tilted. Everything is vectorised over the batch, so that making a clip
costs a small fraction of training on it.

A monocular lifter cannot see size: every body is brought to `TRUNK_AND_LEG_METRES`, so that the target has
one size and the size augmentation is in the proportions.

Convention: metres and camera axes (x right, y down, z forward) out; rays are x/z and y/z; missing = 0 confidence.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from torch import Tensor

from posewright.datasets.anatomy import with_anatomy
from posewright.datasets.mocap import MOCAP_19, MocapSequence
from posewright.skeletons.joint_sets import BODY_26

TRUNK_AND_LEG_METRES = 1.60
"""Sum of thigh, shin, spine, chest, neck and head bones of every training body: the mean over the training frames."""
STATURE_METRES = 1.75
"""Standing height that belongs to that sum; keypoint noise is stated in parts of it."""

RAW_FIGURES = 0.5
"""Share of the Daz figure's takes shown as recorded, so that narrow shoulders and a high thorax are known too."""
ASSUMED_FOCAL = 0.785
"""Focal length taken where it is unknown, in picture diagonals: a field of view of 65 degrees (`geometry.cameras`)."""

_M = {n: i for i, n in enumerate(MOCAP_19.joint_names)}
_P = {n: i for i, n in enumerate(BODY_26.joint_names)}
_PARENTS = torch.tensor([max(p, 0) for p in MOCAP_19.parents])
_MIRROR_19 = torch.from_numpy(MOCAP_19.mirror)
_LEFT_ARM, _RIGHT_ARM = [_M["left_elbow"], _M["left_wrist"]], [_M["right_elbow"], _M["right_wrist"]]
_LEFT_LEG = [_M["left_knee"], _M["left_ankle"], _M["left_toe"]]
_RIGHT_LEG = [_M["right_knee"], _M["right_ankle"], _M["right_toe"]]
_HEAD = [_M["neck"], _M["head"]]
_UPPER = (
    [_M[n] for n in ("spine", "thorax", "left_shoulder", "right_shoulder")] + _HEAD + _LEFT_ARM + _RIGHT_ARM
)
_HEIGHT_BONES = [_M[n] for n in ("right_knee", "right_ankle", "spine", "thorax", "neck", "head")]
_FACE = [_P[n] for n in ("nose", "left_eye", "right_eye", "left_ear", "right_ear")]
_FEET = [_P[n] for n in ("left_heel", "right_heel", "left_toe", "right_toe")]
_AXIS = [_P[n] for n in ("pelvis", "spine", "thorax", "neck", "head")]


@dataclass(frozen=True)
class SyntheticConfig:
    """How poses, cameras and keypoints are drawn; probabilities are per clip."""

    mirror: float = 0.5
    retime: float = 0.6
    reverse: float = 0.2
    graft_upper: float = 0.25
    graft_arm: float = 0.2
    graft_leg: float = 0.1
    perturb: float = 0.3
    crouch: float = 0.2
    tilt_small: float = 0.15
    tilt_any: float = 0.08
    bone_spread: float = 0.05
    """Standard deviation of the logarithm of each bone's length."""
    focal_known: float = 0.75
    landmark_bias: float = 0.35
    """Clips whose keypoints lie beside the joint centres."""
    swap: float = 0.06
    gaps: float = 0.4
    """Clips with missing keypoints beside those out of the picture."""
    blazepose: float = 0.25
    """Clips whose keypoints err as BlazePose's do; the others err independently in every frame."""
    joint_sets: tuple[float, float, float, float, float] = (0.45, 0.15, 0.2, 0.1, 0.1)
    """Shares of clips with: face and feet; face; the trunk's axis (Human3.6M); everything; feet."""


def training_weights(sequences: list[MocapSequence]) -> Tensor:
    """Sampling weight of each sequence: the square root of its length, so that long takes do not drown the others.

    The two salsa dancers (subjects 60 and 61, half of all frames) count half, the playground (01) and the expressive
    gestures (94), where poses vary most, one and a half.
    """
    factor = {"60": 0.5, "61": 0.5, "01": 1.5, "94": 1.5}
    return torch.tensor([len(s.joints) ** 0.5 * factor.get(s.name.split("_")[0], 1.0) for s in sequences])


def harmonised(sequence: MocapSequence) -> np.ndarray:
    """Joints (T, 19, 3) with the trunk of the Daz figure brought to the joint definitions of the other skeletons.

    The Daz figure has its `thorax` 12 cm higher than the subjects' own skeletons have it, shoulder joints at
    two thirds of their distance, and the `head` at the top instead of 10 cm above the neck; those are other
    definitions, not other bodies. The rest of the motion is unchanged.
    """
    if sequence.skeleton_style != "daz":
        return sequence.joints
    j = sequence.joints.astype(np.float64)
    up = _normalised(j[:, _M["thorax"]] - j[:, _M["spine"]])
    left = _normalised(j[:, _M["left_shoulder"]] - j[:, _M["right_shoulder"]])
    thorax = j[:, _M["thorax"]] - 0.12 * up
    out = j.copy()
    out[:, _M["thorax"]] = thorax
    for side, arm in (("left", _LEFT_ARM), ("right", _RIGHT_ARM)):
        shoulder = j[:, _M[f"{side}_shoulder"]]
        lateral = ((shoulder - thorax) * left).sum(-1, keepdims=True)
        out[:, [_M[f"{side}_shoulder"], *arm]] += (0.55 * lateral * left)[:, None]
    head = j[:, _M["head"]] - j[:, _M["neck"]]
    out[:, _M["head"]] = j[:, _M["neck"]] + 0.55 * head
    return out.astype(np.float32)


def _normalised(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


def measured_noise() -> Tensor:
    """White, wandering and constant error of each `BODY_26` point, parts of the stature (3, 26), from BlazePose.

    Points that BlazePose does not give (pelvis, spine, thorax, neck, head) get the mean of hips and shoulders.
    """
    table = json.loads(Path(__file__).with_name("blazepose_noise.json").read_text())
    columns = torch.tensor([table[k] for k in ("jitter_std", "wander_std", "constant_std")])
    names = list(table["keypoints"])
    trunk = columns[
        :, [names.index(f"{s}_{j}") for s in ("left", "right") for j in ("hip", "shoulder")]
    ].mean(1)
    return torch.stack(
        [columns[:, names.index(n)] if n in names else trunk for n in BODY_26.joint_names], dim=1
    )


def smooth_noise(
    shape: tuple[int, ...], frames: int, generator: torch.Generator, fps: float = 50.0
) -> Tensor:
    """Slowly varying noise (*shape, frames) of unit variance: a constant and two sinusoids below 1.5 Hz."""
    time = torch.arange(frames) / fps
    frequency = 1.5 * torch.rand(*shape, 2, 1, generator=generator)
    phase = 2 * torch.pi * (frequency * time + torch.rand(*shape, 2, 1, generator=generator))
    weights = torch.randn(*shape, 3, 1, generator=generator)
    waves = (weights[..., :2, :] * phase.sin()).sum(-2)
    return (weights[..., 2, :] + waves) / 2**0.5


def body_frame(bones: Tensor, left: tuple[str, str], up: str) -> Tensor:
    """Rotations (..., 3, 3) with columns left, up, backward of the pelvis or chest, from bone vectors (..., 19, 3)."""
    x = bones[..., _M[left[0]], :] - bones[..., _M[left[1]], :]
    return roma.special_gramschmidt(torch.stack([x, bones[..., _M[up], :]], dim=-1))


def _turned(bones: Tensor, axis: Tensor, angle: Tensor) -> Tensor:
    """Bones (B, T, n, 3) turned by angles (B, T) about unit axes (B, T, 3) (Rodrigues)."""
    axis, c, s = axis[:, :, None].expand_as(bones), angle.cos()[..., None, None], angle.sin()[..., None, None]
    along = (axis * bones).sum(-1, keepdim=True) * axis
    return along + c * (bones - along) + s * torch.linalg.cross(axis, bones)


def _pelvis_frame(bones: Tensor) -> Tensor:
    return body_frame(bones, ("left_hip", "right_hip"), "spine")


def _chest_frame(bones: Tensor) -> Tensor:
    return body_frame(bones, ("left_shoulder", "right_shoulder"), "thorax")


class SyntheticClips:
    """Endless batches of training clips.

    Args:
        sequences: recordings at 50 frames per second.
        config: probabilities and spreads.
        seed: everything drawn follows from it.
    """

    def __init__(self, sequences: list[MocapSequence], config: SyntheticConfig | None = None, seed: int = 0):
        self.config = config or SyntheticConfig()
        self.generator = torch.Generator().manual_seed(seed)
        figures = [s for s in sequences if s.skeleton_style == "daz"]
        joints = [torch.from_numpy(harmonised(s)) for s in sequences]
        joints += [torch.from_numpy(s.joints) for s in figures]
        self.joints = torch.cat(joints)
        lengths = torch.tensor([len(j) for j in joints])
        self.starts = torch.cumsum(lengths, 0) - lengths
        self.lengths = lengths
        share = torch.tensor([1 - RAW_FIGURES if s.skeleton_style == "daz" else 1.0 for s in sequences])
        weights = training_weights(sequences) * share
        self.weights = torch.cat([weights, RAW_FIGURES * training_weights(figures)])
        self.keeps_proportions = torch.arange(len(joints)) >= len(sequences)
        bones = torch.stack([(j - j[:, _PARENTS]).norm(dim=-1).median(0).values for j in joints])
        styles = [s.skeleton_style != "daz" for s in sequences]
        subjects = {s.subject: i for i, s in enumerate(sequences) if styles[i]}
        self.detector_noise = measured_noise()
        self.bone_library = bones[list(subjects.values())]

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator)

    def _randn(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def _chosen(self, probability: float, batch: int) -> Tensor:
        """(B, 1, 1, 1) bool."""
        return (self._rand(batch) < probability)[:, None, None, None]

    def batch(self, batch: int, frames: int) -> dict[str, Tensor]:
        """Return one batch.

        Returns:
            `rays` (B, T, 26, 2), `confidence` (B, T, 26), `focal_known` (B,) and `joints` (B, T, 26, 3) in
            camera axes, metres, relative to the pelvis; points in the order of `BODY_26`. For methods that read pixels:
            the same keypoints as `screen` (B, T, 26, 2), x / w * 2 - 1 (whatever focal length is assumed), the true
            focal length in that unit `screen_focal` (B,), and where the pelvis is, `root` (B, T, 3), metres.
        """
        points = self.poses(batch, frames)
        return self.film(points)

    def poses(self, batch: int, frames: int) -> Tensor:
        """Varied motion (B, T, 26, 3), metres, Z up, around the origin."""
        pick = torch.multinomial(self.weights, batch, replacement=True, generator=self.generator)
        joints = self._windows(pick, frames)
        bones = joints - joints[:, :, _PARENTS]
        trajectory = joints[:, :, 0] - joints[:, :, 0].mean(1, keepdim=True)
        bones = self._graft(bones)
        bones = self._crouch(self._perturb(bones))
        bones, size = self._resize(bones, self.keeps_proportions[pick])
        joints = self._assemble(bones, trajectory * size)
        joints = self._turn(joints)
        yaw = 0.45 * smooth_noise((batch,), frames, self.generator)
        pitch = 0.2 * smooth_noise((batch,), frames, self.generator)
        scale = (1 + 0.08 * self._randn(batch, 1, 1, 1)).clamp(0.8, 1.2)
        return with_anatomy(joints, yaw, pitch, scale)

    def _windows(self, pick: Tensor, frames: int) -> Tensor:
        """Re-timed, reversed, mirrored windows (B, T, 19, 3); takes that are too short run back and forth."""
        c, batch = self.config, len(pick)
        rate = 2 ** (2 * self._rand(batch) - 1)
        rate = torch.where(self._rand(batch) < c.retime, rate, torch.ones(()))
        sign = torch.where(self._rand(batch) < c.reverse, -1.0, 1.0)
        last = (self.lengths[pick] - 1).float()
        centre = self._rand(batch) * last
        offset = torch.arange(frames) - (frames - 1) / 2
        index = centre[:, None] + (sign * rate)[:, None] * offset
        period = 2 * last[:, None].clamp_min(1)
        index = index.remainder(period)
        index = torch.minimum(index, period - index)
        low = index.floor().long().clamp_max((self.lengths[pick] - 2).clamp_min(0)[:, None])
        part = (index - low)[..., None, None]
        low = low + self.starts[pick][:, None]
        joints = torch.lerp(self.joints[low], self.joints[low + 1], part)
        mirrored = joints[:, :, _MIRROR_19] * torch.tensor([-1.0, 1.0, 1.0])
        return torch.where(self._chosen(c.mirror, batch), mirrored, joints)

    def _graft(self, bones: Tensor) -> Tensor:
        """Take upper body, arms or legs from other clips of the batch, turned into the receiver's pelvis or chest."""
        c, B = self.config, len(bones)
        out = bones.clone()
        plan = [
            (_UPPER, _pelvis_frame, c.graft_upper),
            (_LEFT_ARM, _chest_frame, c.graft_arm),
            (_RIGHT_ARM, _chest_frame, c.graft_arm),
            (_LEFT_LEG, _pelvis_frame, c.graft_leg),
            (_RIGHT_LEG, _pelvis_frame, c.graft_leg),
        ]
        for limb, frame, probability in plan:
            receivers = (self._rand(B) < probability).nonzero()[:, 0]
            donors = torch.randint(B, (len(receivers),), generator=self.generator)
            turn = frame(out[receivers]) @ frame(bones[donors]).transpose(-1, -2)
            rows = out[receivers]
            rows[:, :, limb] = bones[donors][:, :, limb] @ turn.transpose(-1, -2)
            out[receivers] = rows
        return out

    def _perturb(self, bones: Tensor) -> Tensor:
        """Turn limbs by slowly varying angles and flex elbows and knees, in some of the clips."""
        rows = (self._rand(len(bones)) < self.config.perturb).nonzero()[:, 0]
        some = bones[rows]
        B, T = some.shape[:2]
        limbs = [
            _UPPER,
            _HEAD,
            _LEFT_ARM,
            _RIGHT_ARM,
            _LEFT_LEG,
            _RIGHT_LEG,
            [_M["left_toe"]],
            [_M["right_toe"]],
        ]
        spread = torch.tensor([0.15, 0.25, 0.45, 0.45, 0.3, 0.3, 0.2, 0.2])
        amount = spread[None, :, None, None] * 1.5 * self._rand(B, len(limbs), 1, 1)
        rotvec = amount * smooth_noise((B, len(limbs), 3), T, self.generator).transpose(-1, -2)
        rotations = roma.rotvec_to_rotmat(rotvec)
        for i, limb in enumerate(limbs):
            some[:, :, limb] = some[:, :, limb] @ rotations[:, i].transpose(-1, -2)
        out = bones.clone()
        out[rows] = self._flex(some)
        return out

    def _crouch(self, bones: Tensor) -> Tensor:
        """Bend hips, knees and trunk together, slowly, in some clips: squats, sitting and low stances are rare."""
        rows = (self._rand(len(bones)) < self.config.crouch).nonzero()[:, 0]
        some = bones[rows]
        B, T = some.shape[:2]
        left = some[:, :, _M["left_hip"]] - some[:, :, _M["right_hip"]]
        left = left / left.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        depth = (0.9 * self._rand(B, 1) + 0.4 * smooth_noise((B,), T, self.generator)).clamp(0, 1.6)
        trunk = (0.8 * self._rand(B, 1) - 0.15) * (0.4 + depth)
        some[:, :, _UPPER] = _turned(some[:, :, _UPPER], left, trunk)
        for thigh, shin, toe in (_LEFT_LEG, _RIGHT_LEG):
            own = depth * (1 + 0.25 * self._randn(B, 1)).clamp(0.3, 1.5)
            bend = torch.arccos(
                torch.cosine_similarity(some[:, :, thigh], some[:, :, shin], dim=-1).clamp(-1, 1)
            )
            knee = torch.minimum(1.3 * own, (2.5 - bend).clamp_min(0))
            hip = own * (0.45 + 0.4 * self._rand(B, 1))
            ankle = (hip - knee) * 0.8 * self._rand(B, 1)
            for bone, angle in ((thigh, -hip), (shin, knee - hip), (toe, knee - hip + ankle)):
                some[:, :, [bone]] = _turned(some[:, :, [bone]], left, angle)
        out = bones.clone()
        out[rows] = some
        return out

    def _flex(self, bones: Tensor) -> Tensor:
        """Add slowly varying flexion to elbows and knees, within 3 to 150 degrees; straight ones are left alone."""
        B, T = bones.shape[:2]
        upper = bones[:, :, [_M[n] for n in ("left_elbow", "right_elbow", "left_knee", "right_knee")]]
        index = [_M[n] for n in ("left_wrist", "right_wrist", "left_ankle", "right_ankle")]
        lower = bones[:, :, index]
        normal = torch.cross(upper, lower, dim=-1)
        sine = normal.norm(dim=-1) / (upper.norm(dim=-1) * lower.norm(dim=-1)).clamp_min(1e-6)
        angle = torch.atan2(sine, torch.cosine_similarity(upper, lower, dim=-1))
        change = 0.4 * smooth_noise((B, 4), T, self.generator).transpose(1, 2) * self._rand(B, 1, 4)
        target = (angle + change * (sine / 0.3).clamp_max(1)).clamp(0.05, 2.6)
        delta = torch.where(sine > 0.05, target - angle, torch.zeros(()))[..., None]
        axis = normal / normal.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        turned = lower * delta.cos() + torch.cross(axis, lower, dim=-1) * delta.sin()
        for foot, k in ((_M["left_toe"], 2), (_M["right_toe"], 3)):
            d, a, v = delta[:, :, k], axis[:, :, k], bones[:, :, foot]
            along = (a * v).sum(-1, keepdim=True) * a
            bones[:, :, foot] = along + (v - along) * d.cos() + torch.cross(a, v, dim=-1) * d.sin()
        bones[:, :, index] = turned
        return bones

    def _resize(self, bones: Tensor, own_proportions: Tensor) -> tuple[Tensor, Tensor]:
        """Give each clip the bone lengths of a random subject, varied, and one body size.

        Returns:
            The bones and the change of size (B, 1, 1).
        """
        B = len(bones)
        norm = bones.norm(dim=-1, keepdim=True)
        own = norm.mean(1).squeeze(-1)
        drawn = self.bone_library[torch.randint(len(self.bone_library), (B,), generator=self.generator)]
        mixed = torch.lerp(own, drawn, self._rand(B, 1) * ~own_proportions[:, None])
        noise = self._randn(B, len(_PARENTS))
        noise = (noise + noise[:, _MIRROR_19]) / 2**0.5 + 0.2 * self._randn(B, len(_PARENTS))
        lengths = mixed * (self.config.bone_spread * noise).exp()
        size = TRUNK_AND_LEG_METRES / lengths[:, _HEIGHT_BONES].sum(1) * (0.01 * self._randn(B)).exp()
        lengths = lengths * size[:, None]
        change = lengths[:, _HEIGHT_BONES].sum(1) / own[:, _HEIGHT_BONES].sum(1)
        return bones / norm.clamp_min(1e-6) * lengths[:, None, :, None], change[:, None, None]

    def _assemble(self, bones: Tensor, trajectory: Tensor) -> Tensor:
        """Joints from bone vectors and the pelvis (B, T, 3)."""
        joints = [trajectory]
        for j in range(1, len(MOCAP_19)):
            joints.append(joints[MOCAP_19.parents[j]] + bones[:, :, j])
        return torch.stack(joints, dim=2)

    def _turn(self, joints: Tensor) -> Tensor:
        """Face any way; some bodies lean, some lie or stand on their heads."""
        c, B = self.config, len(joints)
        yaw = torch.zeros(B, 3)
        yaw[:, 2] = 2 * torch.pi * self._rand(B)
        lean = torch.zeros(B, 3)
        lean[:, :2] = 0.25 * self._randn(B, 2)
        kind = self._rand(B)[:, None]
        lean = torch.where(kind < c.tilt_small, lean, torch.zeros(()))
        anyhow = roma.unitquat_to_rotvec(self._unit_quaternions(B))
        lean = torch.where(kind > 1 - c.tilt_any, anyhow, lean)
        turn = roma.rotvec_to_rotmat(lean) @ roma.rotvec_to_rotmat(yaw)
        return joints @ turn.transpose(-1, -2)[:, None]

    def _unit_quaternions(self, B: int) -> Tensor:
        """Uniform rotations (B, 4): directions of Gaussians in four dimensions (Muller 1959).

        roma 1.6 draws two of three angles from the global generator, whatever generator it is given.
        """
        return torch.nn.functional.normalize(self._randn(B, 4), dim=-1)

    # -- cameras --------------------------------------------------------------------------------------------------

    def film(self, points: Tensor) -> dict[str, Tensor]:
        """See points (B, T, 26, 3) through one random camera per clip, with the errors of a keypoint detector."""
        B = len(points)
        image, focal = self._images(B)
        camera = self._place(points, image, focal)
        depth = camera[..., 2:]
        part = STATURE_METRES / depth[:, :, :1]
        seen = camera + self._landmark_bias(points, camera)
        rays = seen[..., :2] / seen[..., 2:].clamp_min(0.3)
        rays = self._distort(rays, image, focal)
        rays, error = self._detect(rays, part)
        confidence = self._confidence(rays, error / part.squeeze(-1), image, focal)
        known = self._rand(B) < self.config.focal_known
        slip = torch.where(self._rand(B) < 0.5, torch.ones(()), (0.03 * self._randn(B)).exp())
        assumed = torch.where(known, focal * slip, ASSUMED_FOCAL * image.norm(dim=-1))
        rays = rays * (focal / assumed)[:, None, None, None]
        rays = torch.where(confidence[..., None] > 0, rays, torch.zeros(()))
        joints = camera - camera[:, :, :1]
        unit = 2 / image[:, 0]
        return {
            "rays": rays,
            "confidence": confidence,
            "focal_known": known.float(),
            "joints": joints,
            "screen": rays * (assumed * unit)[:, None, None, None],
            "screen_focal": focal * unit,
            "root": camera[:, :, 0],
        }

    def _images(self, B: int) -> tuple[Tensor, Tensor]:
        """Width and height (B, 2) in units of the longer side, and the focal length (B,) in the same unit."""
        short = torch.tensor([9 / 16, 9 / 16, 3 / 4, 1.0])[torch.randint(4, (B,), generator=self.generator)]
        image = torch.stack([torch.ones(B), short], dim=-1)
        image = torch.where(self._rand(B, 1) < 0.3, image.flip(-1), image)
        fov = torch.deg2rad(25 + 75 * self._rand(B))
        return image, 0.5 / (fov / 2).tan()

    def _place(self, points: Tensor, image: Tensor, focal: Tensor) -> Tensor:
        """Points in camera axes (B, T, 26, 3): person anywhere in the picture, camera low to high, 1.5 to 14 m away."""
        B = len(points)
        share = 0.15 * (1.3 / 0.15) ** self._rand(B)
        distance = (focal * STATURE_METRES / (share * image[:, 1])).clamp(1.5, 14)
        elevation = torch.deg2rad(4 + 11 * self._randn(B)).clamp(-0.7, 1.2)
        roll = torch.deg2rad(4 * self._randn(B))
        room = (1 - 0.6 * share.clamp_max(1))[:, None] * image
        aim = 0.85 * (self._rand(B, 2) - 0.5) * room / focal[:, None]
        zero = torch.zeros(B)
        look = roma.rotvec_to_rotmat(torch.stack([torch.pi / 2 + elevation, zero, zero], -1))
        rolled = roma.rotvec_to_rotmat(torch.stack([zero, zero, roll], -1))
        pan = torch.atan(aim[:, 0])
        tilt = -torch.atan(aim[:, 1] * pan.cos())
        panned = roma.rotvec_to_rotmat(torch.stack([zero, pan, zero], -1))
        tilted = roma.rotvec_to_rotmat(torch.stack([tilt, zero, zero], -1))
        aimed = panned @ tilted
        camera = points @ (aimed @ rolled @ look).transpose(-1, -2)[:, None]
        camera = camera + (aimed @ torch.stack([zero, zero, distance], -1)[..., None])[:, None, None, :, 0]
        near = camera[..., 2].amin((1, 2))
        camera[..., 2] += (0.6 - near).clamp_min(0)[:, None, None]
        return camera

    def _landmark_bias(self, points: Tensor, camera: Tensor) -> Tensor:
        """Detectors mark hips, shoulders and so on off the joint centres: an offset that turns with the body."""
        B = len(points)
        axes = torch.stack(
            [
                camera[:, :, _P["left_hip"]] - camera[:, :, _P["right_hip"]],
                camera[:, :, _P["thorax"]] - camera[:, :, _P["pelvis"]],
            ],
            dim=-1,
        )
        size = torch.where(
            self._rand(B, 1, 1) < self.config.landmark_bias, 0.025 * self._rand(B, 1, 1), torch.zeros(())
        )
        offset = size * self._randn(B, len(BODY_26), 3)
        return offset[:, None] @ roma.special_gramschmidt(axes).transpose(-1, -2)

    def _distort(self, rays: Tensor, image: Tensor, focal: Tensor) -> Tensor:
        """Mild radial distortion, at most a few per cent at the corner."""
        B = len(rays)
        corner = ((image / 2 / focal[:, None]) ** 2).sum(-1)
        k = torch.where(self._rand(B) < 0.5, torch.zeros(()), 0.03 * self._randn(B)) / corner
        radius = (rays**2).sum(-1, keepdim=True).clamp_max(2 * corner.max())
        return rays * (1 + k[:, None, None, None] * torch.minimum(radius, 2 * corner[:, None, None, None]))

    def _detect(self, rays: Tensor, part: Tensor) -> tuple[Tensor, Tensor]:
        """Swapped sides, white and drifting noise, outliers; `part` (B, T, 1, 1) is one stature in ray units.

        Returns:
            Noisy rays and the size of the error (B, T, 26).
        """
        B, T, K, _ = rays.shape
        rays = self._swap(rays)
        white = 0.025 * self._rand(B, 1, 1, 1) * (0.3 * self._randn(B, 1, K, 1)).exp()
        noise = white * self._randn(B, T, K, 2)
        wild = (self._rand(B, T, K, 1) < 0.02) & self._chosen(0.3, B)
        noise = noise * torch.where(wild, 5.0, 1.0)
        noise = torch.where(self._chosen(self.config.blazepose, B), self._blazepose_noise(B, T), noise)
        noise = part * noise
        return rays + noise, noise.norm(dim=-1)

    def _blazepose_noise(self, B: int, T: int) -> Tensor:
        """Errors as measured on BlazePose (blazepose_noise.json), a quarter to one time as large, in statures."""
        white, wander, constant = self.detector_noise[:, None, None, :, None]
        knots = self._randn(B, 2 * len(BODY_26), T // 10 + 2)
        slow = torch.nn.functional.interpolate(knots, scale_factor=10, mode="linear")[..., 5 : T + 5]
        slow = 1.2 * slow.reshape(B, 2, len(BODY_26), T).permute(0, 3, 2, 1)
        noise = white * self._randn(B, T, len(BODY_26), 2) + wander * slow
        noise = noise + constant * self._randn(B, 1, len(BODY_26), 2)
        return (0.25 + 0.75 * self._rand(B, 1, 1, 1)) * noise

    def _swap(self, rays: Tensor) -> Tensor:
        """Exchange left and right of arms, legs or both for a run of frames in some clips."""
        B, T, K, _ = rays.shape
        mirror = torch.from_numpy(BODY_26.mirror)
        legs = torch.tensor(
            [any(w in n for w in ("hip", "knee", "ankle", "heel", "toe")) for n in BODY_26.joint_names]
        )
        which = torch.randint(3, (B, 1), generator=self.generator)
        joints = torch.where(
            which == 0, legs, torch.where(which == 1, ~legs, torch.ones(K, dtype=torch.bool))
        )
        first = torch.randint(T, (B, 1), generator=self.generator)
        time = torch.arange(T)
        run = (time >= first) & (time < first + torch.randint(1, 12, (B, 1), generator=self.generator))
        swapped = (self._rand(B, 1, 1) < self.config.swap) & run[:, :, None] & joints[:, None]
        return torch.where(swapped[..., None], rays[:, :, mirror], rays)

    def _confidence(self, rays: Tensor, error: Tensor, image: Tensor, focal: Tensor) -> Tensor:
        """Confidence (B, T, 26): 1, or falling with the error; 0 where missing."""
        B, T, K = error.shape
        honest = (1 - 12 * error * self._rand(B, 1, 1) - 0.15 * self._rand(B, T, K)).clamp(0.05, 1)
        confidence = torch.where(self._rand(B, 1, 1) < 0.5, torch.ones(()), honest)
        outside = ((rays * focal[:, None, None, None]).abs() > image[:, None, None] / 2).any(-1)
        guessed = torch.where(self._rand(B, 1, 1) < 0.8, torch.zeros(()), 0.3 * confidence)
        confidence = torch.where(outside, guessed, confidence)
        return confidence * self._visible(B, T, K)

    def _visible(self, B: int, T: int, K: int) -> Tensor:
        """(B, T, 26) 0 or 1: joint sets without feet, face or trunk, single gaps, and long gaps of a joint."""
        rate = 0.35 * self._rand(B, 1, 1) ** 1.5
        rate = torch.where(self._rand(B, 1, 1) < self.config.gaps, rate, torch.zeros(()))
        single = self._rand(B, T, K) < rate * self._rand(B, 1, 1)
        blocks = (self._rand(B, T // 12 + 2, K) < rate * self._rand(B, 1, 1)).repeat_interleave(12, dim=1)
        visible = ~(single | blocks[:, 5 : T + 5])
        # face, feet, trunk axis: COCO with feet, COCO, Human3.6M, everything, no face
        sets = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 1], [1, 1, 1], [0, 1, 0]])
        shares = torch.tensor(self.config.joint_sets, dtype=torch.float32)
        kind = torch.multinomial(shares, B, replacement=True, generator=self.generator)
        for column, group in enumerate((_FACE, _FEET, _AXIS)):
            visible[:, :, group] &= sets[kind, column].bool()[:, None, None]
        return visible.float()
