"""Recorded motion as it is put on a body: joints of a set that the body knows, at the wanted rate; where to find it.

Sources are the project's own recordings (`datasets.mocap`), and files of the user's: everything that `io` reads
(BVH, AMC, C3D of joints, glTF...) and AMASS parameter files beside their body models.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from posewright.core.errors import InputError
from posewright.datasets import amass
from posewright.datasets.mocap import MOCAP_19, MocapSequence, load_mocap
from posewright.datasets.synth.plan import Performer
from posewright.datasets.synthetic import harmonised
from posewright.geometry.signals import resample
from posewright.io.formats import load
from posewright.skeletons.bone_names import match_bones
from posewright.skeletons.joint_sets import JOINT_SETS, RIG_26, SMPL_24
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.motion import Motion

SHORTEST = 0.3
"""Seconds of motion that a clip needs at least."""
HOSTS = (RIG_26, SMPL_24)
"""Joint sets that recordings without a set of their own are put into, by the names of their joints."""
_LIMB_JOINTS = {
    "clavicle": "clavicle", "upper_arm": "shoulder", "forearm": "elbow", "hand": "wrist",
    "thigh": "hip", "shin": "knee", "foot": "ankle",
}  # fmt: skip
"""Bone of a rig -> our joint at its beginning."""
_ACCLAIM = {
    "lhumerus": "left_upper_arm", "lradius": "left_forearm", "lwrist": "left_hand", "lclavicle": "left_clavicle",
    "lfemur": "left_thigh", "ltibia": "left_shin", "lfoot": "left_foot", "ltoes": "left_toe",
}  # fmt: skip
"""Left bones of Acclaim skeletons -> what `match_bones` calls them."""


def find_recordings(
    split: str = "train", action: str | None = None, sources: Sequence[str | Path] = ()
) -> list[MocapSequence | Motion]:
    """Recordings to draw from, in a fixed order.

    Args:
        split: `train` or `val` of the project's own recordings; no subject is in both.
        action: keep those whose description holds this word, such as `walk` (of files: their name).
        sources: files to use instead.

    Raises:
        InputError: nothing found; the message lists the actions that are there.
    """
    if split not in ("train", "val"):
        raise InputError(f"split {split!r}, expected train or val")
    found: list[MocapSequence | Motion] = [m for s in sources for m in _read(Path(s))] or [*load_mocap(split)]
    chosen = [r for r in found if action is None or action.lower() in words_of(r).lower()]
    if not chosen:
        known = sorted({words_of(r).split(",")[0] for r in found} - {""})
        raise InputError(f"no recording whose description holds {action!r}; there are: {', '.join(known)}")
    return chosen


def _read(path: Path) -> list[Motion]:
    """Motions of a file, or of a folder in AMASS's layout."""
    if not path.is_dir():
        return [load(path)]
    if amass.missing(path):
        raise InputError(
            f"{path} is a folder without AMASS files (*_poses.npz, *_stageii.npz); name files instead"
        )
    return [take.motion for take in amass.read(path) if take.motion is not None]


def words_of(source: MocapSequence | Motion) -> str:
    """What a recording shows, in words: its description, or the name of its file."""
    return source.description if isinstance(source, MocapSequence) else Path(source.source).stem


def seconds_of(source: MocapSequence | Motion) -> float:
    """Length of a recording."""
    frames = len(source.joints)
    return (frames - 1) / source.fps


def recorded_joints(performer: Performer, fps: float) -> tuple[np.ndarray, str]:
    """The recorded seconds of a performer (T, J, 3), metres, world of the recording, at `fps`; and their joint set.

    NaN where the recording lacks a joint. Frames next to a capture glitch are bridged by those around them.

    Raises:
        InputError: too short, no person, or joints whose names tell nothing.
    """
    joints, skeleton, rate = _source(performer)
    duration = (len(joints) - 1) / rate
    stop = duration if performer.stop is None else min(performer.stop, duration)
    if stop - performer.start < SHORTEST:
        raise InputError(
            f"{performer.name}: {performer.start:g} to {stop:g} s of a recording of {duration:.1f} s; "
            f"expected at least {SHORTEST} s"
        )
    known, joint_set = in_known_set(joints, skeleton)
    times = performer.start + np.arange(int((stop - performer.start) * fps + 1e-6) + 1) / fps
    played = resample(known, np.arange(len(known)) / rate, times, "pchip", max_gap=1.0)
    if not np.isfinite(played).all(-1).any():
        raise InputError(f"{performer.name}: nobody is there between {performer.start:g} and {stop:g} s")
    return played, joint_set


def in_known_set(joints: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, str]:
    """Joints (T, J, 3) in a joint set that bodies know, float64, and its name.

    A skeleton whose joints all have names of `HOSTS` (or that is one of our sets) keeps them; of any other rig the
    bones are recognised by name, and the beginnings of limbs taken.
    """
    joints = np.asarray(joints, np.float64)
    if skeleton.name in JOINT_SETS:
        return joints, skeleton.name
    for host in HOSTS:
        if set(skeleton.joint_names) <= set(host.joint_names):
            out = np.full((len(joints), len(host), 3), np.nan)
            out[:, host.indices(*skeleton.joint_names)] = joints
            return out, host.name
    return _from_bones(joints, skeleton), RIG_26.name


def _from_bones(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Joints of a character's or recording's own skeleton, by the names of its bones."""
    names = skeleton.joint_names
    try:
        bones = match_bones(names, skeleton.parents, _acclaim(names) or None).bones
    except ValueError as error:
        raise InputError(
            f"{skeleton.name}: its joints are not those of a person's skeleton that can be put on a body ({error})"
        ) from error
    out = np.full((len(joints), len(RIG_26), 3), np.nan)
    for side in ("left", "right"):
        for bone, joint in _LIMB_JOINTS.items():
            if f"{side}_{bone}" in bones:
                out[:, RIG_26.index(f"{side}_{joint}")] = joints[:, bones[f"{side}_{bone}"]]
        toe = bones.get(f"{side}_toe", -1)
        tip = [j for j, parent in enumerate(skeleton.parents) if parent == toe >= 0]
        if tip:
            out[:, RIG_26.index(f"{side}_toe")] = joints[:, tip[0]]
    out[:, RIG_26.index("pelvis")] = out[:, RIG_26.indices("left_hip", "right_hip")].mean(1)
    if "head" in bones:
        out[:, RIG_26.index("neck")] = joints[:, bones["head"]]
    return out


def _acclaim(names: Sequence[str]) -> dict[str, str | list[str]]:
    """Bones of Acclaim skeletons, named in Latin, for `match_bones`."""
    told: dict[str, str | list[str]] = {"hips": "root"} if {"root", "lfemur"} <= set(names) else {}
    for name, bone in _ACCLAIM.items():
        for joint, part in ((name, bone), ("r" + name[1:], bone.replace("left", "right"))):
            if joint in names:
                told[part] = joint
    return told


def _source(performer: Performer) -> tuple[np.ndarray, Skeleton, float]:
    """Joints (T, J, 3), their skeleton and rate."""
    source = performer.source
    if isinstance(source, MocapSequence):
        joints = np.where(source.valid[:, None, None], harmonised(source), np.nan)
        return joints, MOCAP_19, source.fps
    if performer.person >= source.num_people:
        raise InputError(
            f"{performer.name} has {source.num_people} people; person {performer.person} was asked for (from 0)"
        )
    return source.joints[:, performer.person], source.skeleton, source.fps
