"""A motion on another rig: the user's own character from a BVH or GLB file.

Bones are found by name (`skeletons.bone_names`) or as a mapping says. Directions are kept, not angles: a rest pose
with lowered arms or straddled legs is first brought to our T-pose, bone by bone, by the smallest turn. Trunk, head and
feet are taken to rest alike. What our rig does not have (fingers, faces, twist bones) moves rigidly with its parent.
The path of the hips is scaled by the length of the legs, so that feet that stand go on standing on rigs of our
proportions; on others they may slide by the difference.

Convention: as `Motion`; a rig is a `Motion` with `rest_offsets`, of which only the rest pose is used.
"""

from dataclasses import replace

import numpy as np
import torch

from posewright.core.errors import InputError
from posewright.geometry.kinematics import forward_kinematics, global_to_local
from posewright.geometry.rotations import (
    continuous_quat_wxyz,
    matrix_to_quat_wxyz,
    quat_wxyz_to_matrix,
    rotation_between,
    slerp,
)
from posewright.motion.clean import fit_rig
from posewright.skeletons.bone_names import SIDES, BoneMap, match_bones
from posewright.skeletons.joint_sets import RIG_26
from posewright.structures.motion import Motion

_DRIVEN_BY = {
    "hips": "pelvis",
    "head": "neck",
    "clavicle": "clavicle",
    "upper_arm": "shoulder",
    "forearm": "elbow",
    "thigh": "hip",
    "shin": "knee",
    "foot": "ankle",
}
"""Bone -> the joint of `RIG_26` that turns it. A hand goes with the forearm, toes go with the foot."""
_NEXT = {"upper_arm": "forearm", "forearm": "hand", "thigh": "shin", "shin": "foot"}
_STRAIGHT = {"upper_arm": (1.0, 0, 0), "forearm": (1.0, 0, 0), "thigh": (0, 0, -1.0), "shin": (0, 0, -1.0)}
"""Where the left side's bones point in our T-pose."""


def retarget(
    motion: Motion, rig: Motion, mapping: dict[str, str | list[str]] | None = None, person: int | None = None
) -> Motion:
    """Move another rig as a person of a motion moves.

    Args:
        motion: one person, or several of whom `person` names one. Positions without rotations on our rig are fitted
            first.
        rig: the character, any joint set with `rest_offsets`, at any angle to the X axis, feet down.
        mapping: what is which bone, where names do not tell; see `bone_names.match_bones`.
        person: number of the person.

    Returns:
        Motion (T, 1, N) of the rig's own joints; frames without the person are NaN. Save it with
        `pw.save(moved, "out.glb", onto="character.glb")` to keep the character's mesh, materials and own bone axes.

    Raises:
        InputError: the rig has no rest pose or no bones that could be recognised; the motion has no such person.
    """
    if rig.rest_offsets is None or not rig.num_people:
        raise InputError(
            "the rig has no rest pose (bones that keep their length): give a BVH or GLB of a character"
        )
    motion = _one_person(motion, person)
    found = _bones(rig, mapping)
    offsets = torch.from_numpy(rig.rest_offsets[0].astype(np.float64))
    rest = _rest_positions(offsets, rig.skeleton.parents)
    heading = _heading(rest, found)
    source = _global_turns(motion)
    turns = _turns(source, rest, found, rig.skeleton.parents, heading)
    place = _hips_path(motion, turns, rest, found, heading)
    return _as_motion(motion, rig, turns, place, found)


def _bones(rig: Motion, mapping: dict[str, str | list[str]] | None) -> BoneMap:
    """Which bone of the rig is which."""
    names = rig.skeleton.joint_names
    if rig.skeleton.name == RIG_26.name and mapping is None:
        mapping = {"head": "neck", "neck": []}  # ours are names of joints: what turns at the neck is the head
    try:
        return match_bones(names, rig.skeleton.parents, mapping)
    except ValueError as error:
        raise InputError(f"{rig.source or 'rig'}: {error}") from error


def _one_person(motion: Motion, person: int | None) -> Motion:
    """The motion of one person on `RIG_26`."""
    if person is None and motion.num_people != 1:
        raise InputError(
            f"the motion has {motion.num_people} people ({', '.join(map(str, motion.person_ids))}): say which one"
        )
    if person is not None and person not in motion.person_ids:
        raise InputError(f"no person {person}; the motion has: {', '.join(map(str, motion.person_ids))}")
    p = 0 if person is None else motion.person_ids.index(person)
    fields = ("joints", "confidence", "rotations_wxyz", "contacts")
    cut = {f: None if getattr(motion, f) is None else getattr(motion, f)[:, p : p + 1] for f in fields}
    rest = None if motion.rest_offsets is None else motion.rest_offsets[p : p + 1]
    one = replace(
        motion,
        **cut,
        rest_offsets=rest,
        person_ids=(motion.person_ids[p],),
        joints_raw=None,
        keypoints=None,
        joint_covariance=None,
        pose_covariance=None,
        deviations=None,
    )
    fits = motion.skeleton.name == RIG_26.name and motion.rotations_wxyz is not None
    return one if fits else fit_rig(one)


def _rest_positions(offsets: torch.Tensor, parents: tuple[int, ...]) -> torch.Tensor:
    """(N, 3) positions of the rest pose, root at the origin."""
    identity = torch.eye(3, dtype=offsets.dtype).expand(len(parents), 3, 3)
    return forward_kinematics(identity, offsets, torch.zeros(3, dtype=offsets.dtype), parents)[0]


def _heading(rest: torch.Tensor, found: BoneMap) -> torch.Tensor:
    """(3, 3) turn about the vertical that brings our facing (-Y) to the rig's; right angles are taken as meant."""
    left, right = (rest[[found.bones[f"{s}_{limb}"] for limb in ("thigh", "upper_arm")]] for s in SIDES)
    across = (left - right).sum(0)
    angle = torch.atan2(across[1], across[0])
    quarter = torch.round(angle / (torch.pi / 2)) * (torch.pi / 2)
    angle = quarter if abs(angle - quarter) < 0.35 else angle
    c, s = torch.cos(angle), torch.sin(angle)
    zero, one = torch.zeros_like(c), torch.ones_like(c)
    return torch.stack([c, -s, zero, s, c, zero, zero, zero, one]).view(3, 3)


def _global_turns(motion: Motion) -> dict[str, torch.Tensor]:
    """(T, 3, 3) of each joint of our rig: from the T-pose, in the world; NaN where the person is missing."""
    assert motion.rotations_wxyz is not None
    assert motion.rest_offsets is not None
    local = quat_wxyz_to_matrix(torch.from_numpy(motion.rotations_wxyz[:, 0].astype(np.float64)))
    offsets = torch.from_numpy(motion.rest_offsets[0].astype(np.float64))
    _, turned = forward_kinematics(local, offsets, torch.zeros_like(local[:, 0, 0]), RIG_26.parents)
    return dict(zip(RIG_26.joint_names, turned.unbind(1), strict=True))


def _turns(
    source: dict[str, torch.Tensor],
    rest: torch.Tensor,
    found: BoneMap,
    parents: tuple[int, ...],
    heading: torch.Tensor,
) -> torch.Tensor:
    """(T, N, 3, 3) turn of every bone from its rest, in the world."""
    turns: dict[int, torch.Tensor] = {}
    for name in ("hips", "head"):
        if name in found.bones:
            turns[found.bones[name]] = heading @ source[_DRIVEN_BY[name]] @ heading.mT
    for row, turn in _along(found, source):
        turns[row] = heading @ turn @ heading.mT
    for side in SIDES:
        for limb in ("clavicle", "upper_arm", "forearm", "thigh", "shin", "foot"):
            if (row := found.bones.get(f"{side}_{limb}")) is not None:
                turn = heading @ source[f"{side}_{_DRIVEN_BY[limb]}"] @ heading.mT
                turns[row] = turn @ _to_t_pose(side, limb, rest, found, heading)
    still = torch.eye(3, dtype=rest.dtype).expand_as(source["pelvis"])
    done: list[torch.Tensor] = []
    for row, parent in enumerate(parents):
        done.append(turns.get(row, done[parent] if parent >= 0 else still))
    return torch.stack(done, 1)


def _along(found: BoneMap, source: dict[str, torch.Tensor]) -> list[tuple[int, torch.Tensor]]:
    """Turns of the bones of spine and neck, spread between the joints of ours."""
    out = []
    for rows, low, high, shares in (
        (
            found.spine,
            "spine",
            "thorax",
            np.linspace(0, 1, len(found.spine)) if len(found.spine) > 1 else [1.0],
        ),
        (found.neck, "thorax", "neck", [(k + 1) / (len(found.neck) + 1) for k in range(len(found.neck))]),
    ):
        for row, share in zip(rows, shares, strict=True):
            fraction = torch.full_like(source[low][:, 0, 0], float(share))
            out.append((row, slerp(source[low], source[high], fraction)))
    return out


def _to_t_pose(
    side: str, limb: str, rest: torch.Tensor, found: BoneMap, heading: torch.Tensor
) -> torch.Tensor:
    """(3, 3) smallest turn that brings a limb of the rig from its rest pose to ours; nothing for foot and clavicle."""
    if limb not in _STRAIGHT:
        return torch.eye(3, dtype=rest.dtype)
    end = found.bones.get(f"{side}_{_NEXT[limb]}")
    if end is None:  # no hand or foot to tell: as the bone before it
        before = {"forearm": "upper_arm", "shin": "thigh"}[limb]
        return _to_t_pose(side, before, rest, found, heading)
    along = rest[end] - rest[found.bones[f"{side}_{limb}"]]
    straight = torch.tensor(_STRAIGHT[limb], dtype=rest.dtype)
    straight = straight * torch.tensor([1.0 if side == "left" else -1.0, 1, 1], dtype=rest.dtype)
    return rotation_between(along, heading @ straight)


def _leg(rest: torch.Tensor, rows: dict[str, int], names: tuple[str, str, str]) -> float:
    """Length of thigh and shin, mean of both sides."""
    lengths = []
    for side in SIDES:
        hip, knee, ankle = (rest[rows[f"{side}_{n}"]] if f"{side}_{n}" in rows else None for n in names)
        assert hip is not None and knee is not None  # noqa: PT018
        lengths.append(
            float((knee - hip).norm() + ((ankle - knee).norm() if ankle is not None else (knee - hip).norm()))
        )
    return sum(lengths) / 2


def _hips_path(
    motion: Motion, turns: torch.Tensor, rest: torch.Tensor, found: BoneMap, heading: torch.Tensor
) -> torch.Tensor:
    """(T, 3) where the hips bone goes: the middle of the thighs follows ours, scaled; soles are on the floor."""
    assert motion.rest_offsets is not None
    ours = _rest_positions(torch.from_numpy(motion.rest_offsets[0].astype(np.float64)), RIG_26.parents)
    rows = {name: RIG_26.index(name) for name in RIG_26.joint_names}
    scale = _leg(rest, found.bones, ("thigh", "shin", "foot")) / _leg(ours, rows, ("hip", "knee", "ankle"))
    between_hips = motion.joints[:, 0, RIG_26.indices("left_hip", "right_hip")].mean(1)
    path = scale * torch.from_numpy(between_hips.astype(np.float64)) @ heading.mT
    feet = [found.bones[f"{s}_foot"] for s in SIDES if f"{s}_foot" in found.bones]
    if feet:
        our_ankle = ours[RIG_26.index("left_ankle"), 2] - ours[:, 2].min()
        their_ankle = rest[feet, 2].mean() - rest[:, 2].min()
        path[:, 2] += their_ankle - scale * our_ankle
    hips = found.bones["hips"]
    thighs = rest[[found.bones[f"{s}_thigh"] for s in SIDES]].mean(0)
    return path - turns[:, hips] @ (thighs - rest[hips])


def _as_motion(
    motion: Motion, rig: Motion, turns: torch.Tensor, place: torch.Tensor, found: BoneMap
) -> Motion:
    """State turns and path as a `Motion` of the rig; a root above the hips carries them without turning."""
    assert rig.rest_offsets is not None
    parents = rig.skeleton.parents
    local = global_to_local(turns, parents)
    quats = continuous_quat_wxyz(matrix_to_quat_wxyz(local.nan_to_num()))
    quats = torch.where(torch.isfinite(place).all(-1)[:, None, None], quats, torch.nan)
    offsets = torch.from_numpy(rig.rest_offsets[:1].astype(np.float64))
    at_origin, _ = forward_kinematics(local, offsets[0], torch.zeros_like(place), parents)
    root = place - at_origin[:, found.bones["hips"]]
    joints = (at_origin + root[:, None])[:, None].numpy().astype(np.float32)
    return Motion(
        skeleton=rig.skeleton,
        joints=joints,
        confidence=np.asarray(np.isfinite(joints).all(-1), np.float32),
        fps=motion.fps,
        rotations_wxyz=quats[:, None].numpy().astype(np.float32),
        rest_offsets=rig.rest_offsets[:1],
        contacts=motion.contacts,
        person_ids=motion.person_ids,
        start_time=motion.start_time,
        source=motion.source,
        warnings=motion.warnings,
        history=(*motion.history, f"retargeted to {rig.source or rig.skeleton.name}"),
    )
