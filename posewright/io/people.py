"""Choosing people of a `Motion`, and the joint sets that files name."""

from dataclasses import replace

import numpy as np

from posewright.core.errors import InputError
from posewright.skeletons import joint_sets
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.motion import Motion


def select_person(motion: Motion, person: int | None) -> Motion:
    """Keep one person by their number in `person_ids`; None keeps all.

    Raises:
        InputError: there is no such person.
    """
    if person is None:
        return motion
    if person not in motion.person_ids:
        known = ", ".join(str(i) for i in motion.person_ids)
        raise InputError(f"no person {person}; the motion has: {known}")
    p = motion.person_ids.index(person)
    one = slice(p, p + 1)
    per_frame = ("joints", "confidence", "joints_raw", "rotations_wxyz", "contacts")
    per_frame = (*per_frame, "joint_covariance", "pose_covariance")
    changes: dict[str, object] = {name: _cut(getattr(motion, name), (slice(None), one)) for name in per_frame}
    changes["deviations"] = _cut(motion.deviations, (slice(None), slice(None), one))
    if motion.keypoints is not None and motion.keypoints.num_people == motion.num_people:
        k = motion.keypoints
        changes["keypoints"] = replace(
            k, positions=k.positions[:, one], confidence=k.confidence[:, one], person_ids=k.person_ids[one]
        )
    if motion.bodies is not None:
        changes["bodies"] = motion.bodies.person(p)
    return replace(motion, rest_offsets=_cut(motion.rest_offsets, (one,)), person_ids=(person,), **changes)  # pyright: ignore[reportArgumentType]


def _cut(array: np.ndarray | None, index: tuple) -> np.ndarray | None:
    return None if array is None else array[index]


def one_person(motion: Motion, person: int | None, format_name: str) -> Motion:
    """Return a motion of exactly one person, for formats that hold no more.

    Raises:
        InputError: several people and none chosen, or nobody.
    """
    chosen = select_person(motion, person)
    if chosen.num_people == 1:
        return chosen
    if chosen.num_people == 0:
        raise InputError(f"the motion has no people; a {format_name} file needs one")
    raise InputError(
        f"the motion has {chosen.num_people} people; a {format_name} file holds one: "
        f"say person=..., or use posewright.io.formats.save, which writes one file each"
    )


def require_rotations(motion: Motion, format_name: str) -> tuple[np.ndarray, np.ndarray]:
    """Joint rotations (T, P, J, 4) wxyz and rest offsets (P, J, 3), for formats that hold a rig.

    Raises:
        InputError: the motion has joint positions only.
    """
    if motion.rotations_wxyz is None or motion.rest_offsets is None:
        raise InputError(
            f"{format_name} holds joint rotations, and this motion has joint positions only "
            f"(joint set {motion.skeleton.name}): fit a rig to it first, with "
            "`posewright convert --fit-rig` or posewright.motion's inverse kinematics"
        )
    return motion.rotations_wxyz, motion.rest_offsets


def named_skeleton(names: list[str], parents: list[int] | None, name: str) -> Skeleton:
    """Return the known joint set with exactly these names in this order, else a new one called `name`.

    `parents` None means that the file has none: then a known set brings its own, and a new one has no bones.
    Names that occur twice get `_2`, `_3`...
    """
    for known in known_skeletons():
        if known.joint_names == tuple(names) and (parents is None or known.parents == tuple(parents)):
            return known
    return Skeleton(name, tuple(unique_names(names)), tuple(parents or [-1] * len(names)))


def known_skeletons() -> tuple[Skeleton, ...]:
    """Return the joint sets of `skeletons.joint_sets`."""
    return tuple(v for v in vars(joint_sets).values() if isinstance(v, Skeleton))


def is_known(skeleton: Skeleton) -> bool:
    """Whether this is one of our own joint sets."""
    return skeleton in known_skeletons()


def known_order(names: list[str], parents: list[int]) -> tuple[Skeleton, list[int]] | None:
    """Find the joint set with the same joints and bones in any order, for formats that reorder joints.

    Returns:
        The joint set and, for each of its joints, the place in `names`; None where there is none.
    """
    bones = {(name, names[p] if p >= 0 else None) for name, p in zip(names, parents, strict=True)}
    for known in known_skeletons():
        own = known.joint_names
        if bones == {(n, own[p] if p >= 0 else None) for n, p in zip(own, known.parents, strict=True)}:
            return known, [names.index(name) for name in own]
    return None


def unique_names(names: list[str]) -> list[str]:
    """Append `_2`, `_3`... to names that occur again, and call nameless ones `unnamed`."""
    given, out = set(names), []
    for name in (n or "unnamed" for n in names):
        new, number = name, 2
        while new in out or (new != name and new in given):
            new, number = f"{name}_{number}", number + 1
        out.append(new)
    return out


def missing_confidence(joints: np.ndarray) -> np.ndarray:
    """Confidence (...) for positions (..., 3) of a file that has none: 1 where they are finite, else 0."""
    return np.asarray(np.isfinite(joints).all(-1), np.float32)
