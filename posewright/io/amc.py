"""Acclaim motion capture, `.amc` with its skeleton `.asf` (the CMU database), read only.

Convention: joint = START of the bone of that name; bones that end a chain get a joint `<bone>_end`.
(Elsewhere a node named after a bone is sometimes its end.) The rest pose is the skeleton file's own, Y up
there, Z up here. Each bone's channels turn about its own axes: with C the rotation of its `axis` line, local
= C M C^-1, and `rx ry rz` are M = Rz Ry Rx
(https://research.cs.wisc.edu/graphics/Courses/cs-838-1999/Jeff/ASF-AMC.html). Lengths are in units of `1 /
length` inches where the file says `length 0.45`, as CMU does. AMC has no frame rate: 120 Hz unless given.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from posewright.core.errors import InputError
from posewright.geometry.rotations import axis_rotation
from posewright.io.axes import quat_wxyz_y_up_to_z_up, y_up_to_z_up
from posewright.io.people import named_skeleton
from posewright.io.rig import matrices_to_quats, pose_joints
from posewright.io.user_files import expect, reading
from posewright.structures.motion import Motion

SUFFIXES = (".amc",)
INCH = 0.0254


@dataclass
class Bone:
    """One bone of the skeleton file."""

    parent: str = ""
    direction: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """(3,) unit, file axes."""
    length: float = 0.0
    axis: np.ndarray = field(default_factory=lambda: np.eye(3))
    """(3, 3) C: the bone's own axes."""
    channels: list[str] = field(default_factory=list)
    """Such as `rx`, `tz`, in the order of the motion file."""


@dataclass
class AcclaimSkeleton:
    """A parsed `.asf`."""

    bones: dict[str, Bone]
    """By name, parents first; the first is `root`."""
    metres: float
    """Length of one file unit."""
    radians: float
    """Size of one unit of angle."""


def read(path: str | Path, *, asf: str | Path | None = None, fps: float = 120.0) -> Motion:
    """Read a motion and its skeleton.

    Args:
        path: the `.amc` file.
        asf: the skeleton; None takes `05_13.asf` or `05.asf` for `05_13.amc`, or the only one beside it.
        fps: frames per second, which the file does not say; CMU recorded most at 120.

    Raises:
        InputError: either file is absent or damaged, or they do not belong together.
    """
    with reading(path, "Acclaim motion (.amc)") as path:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    with reading(asf or _find_asf(path), "Acclaim skeleton (.asf)") as skeleton_path:
        skeleton = parse_asf(skeleton_path.read_text(encoding="utf-8-sig", errors="replace"))
    with reading(path, "Acclaim motion (.amc)") as path:
        return _motion(skeleton, parse_amc(text, skeleton), path, skeleton_path, fps)


def _find_asf(path: Path) -> Path:
    for stem in (path.stem, path.stem.rpartition("_")[0]):
        if stem and path.with_name(f"{stem}.asf").exists():
            return path.with_name(f"{stem}.asf")
    found = sorted(path.parent.glob("*.asf"))
    if len(found) == 1:
        return found[0]
    raise InputError(
        f"{path}: needs its skeleton, an .asf file beside it (there are {len(found)}): give asf="
    )


def parse_asf(text: str) -> AcclaimSkeleton:
    """Parse a skeleton file: sections begin with a colon, bones stand between begin and end."""
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.strip().startswith(":"):
            key, *rest = line.strip()[1:].split(None, 1)
            lines = sections.setdefault(key.lower(), [])
            lines.extend(rest)
        elif line.strip() and not line.strip().startswith("#"):
            lines.append(line.strip())
    missing = [name for name in ("root", "bonedata", "hierarchy") if name not in sections]
    expect(not missing, f"there is no section :{missing[0] if missing else ''}")
    units = dict(line.split()[:2] for line in sections.get("units", []) if len(line.split()) > 1)
    degrees = units.get("angle", "deg").lower().startswith("deg")
    radians = np.pi / 180 if degrees else 1.0
    bones = {"root": _root(sections["root"], radians), **_bones(sections["bonedata"], radians)}
    return AcclaimSkeleton(
        _link(bones, sections["hierarchy"]), INCH / float(units.get("length", 1.0)), radians
    )


def _root(lines: list[str], radians: float) -> Bone:
    words = {line.split()[0].lower(): line.split()[1:] for line in lines}
    angles = np.array(words.get("orientation", ["0", "0", "0"]), float) * radians
    channels = [c.lower() for c in words["order"]]
    return Bone(axis=_axis_matrix(angles, words.get("axis", ["XYZ"])[0]), channels=channels)


def _bones(lines: list[str], radians: float) -> dict[str, Bone]:
    bones: dict[str, Bone] = {}
    bone, name = Bone(), ""
    for line in lines:
        key, *words = line.split()
        match key.lower():
            case "begin":
                bone, name = Bone(), ""
            case "name":
                name = words[0]
            case "direction":
                bone.direction = np.array(words[:3], float)
            case "length":
                bone.length = float(words[0])
            case "axis":
                bone.axis = _axis_matrix(np.array(words[:3], float) * radians, words[3])
            case "dof":
                bone.channels = [word.lower() for word in words]
            case "end":
                expect(bool(name) and name not in bones, f"a bone without a name, or twice {name!r}")
                bones[name] = bone
    return bones


def _link(bones: dict[str, Bone], lines: list[str]) -> dict[str, Bone]:
    """Set the parents, and order the bones so that parents come first."""
    ordered = {"root": bones["root"]}
    for line in lines:
        parent, *children = line.split()
        if not children:
            continue
        expect(parent in ordered, f"the hierarchy names {parent!r} before its parent")
        for child in children:
            expect(child in bones and child not in ordered, f"the hierarchy names the bone {child!r} wrongly")
            bones[child].parent = parent
            ordered[child] = bones[child]
    return ordered


def _axis_matrix(angles: np.ndarray, order: str) -> np.ndarray:
    """(3, 3) rotation of an `axis` line: order XYZ turns about X first, so R = Rz Ry Rx."""
    matrix = np.eye(3)
    for angle, axis in zip(angles, order.upper(), strict=True):
        matrix = axis_rotation(axis, torch.tensor(angle, dtype=torch.float64)).numpy() @ matrix
    return matrix


def parse_amc(text: str, skeleton: AcclaimSkeleton) -> dict[str, np.ndarray]:
    """Channel values of each bone, (T, C), in file units."""
    frames: list[dict[str, list[float]]] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0][0] in "#:":
            continue
        if len(words) == 1 and words[0].isdigit():
            frames.append({})
            continue
        expect(
            bool(frames) and words[0] in skeleton.bones,
            f"line {line[:40]!r}: no such bone in the skeleton file",
        )
        expected = len(skeleton.bones[words[0]].channels)
        expect(
            len(words) - 1 == expected,
            f"frame {len(frames)}: {words[0]} has {len(words) - 1} values, not {expected}",
        )
        frames[-1][words[0]] = [float(word) for word in words[1:]]
    expect(bool(frames), "there are no frames")
    moving = [name for name, bone in skeleton.bones.items() if bone.channels]
    short = [n for n, frame in enumerate(frames, 1) if len(frame) != len(moving)]
    expect(
        not short,
        f"frame {short[0] if short else 0} does not have all {len(moving)} bones: the file is cut off",
    )
    return {name: np.array([frame[name] for frame in frames]) for name in moving}


def _motion(
    skeleton: AcclaimSkeleton, values: dict[str, np.ndarray], path: Path, asf: Path, fps: float
) -> Motion:
    """One joint at the start of each bone, and one at the end of each chain."""
    names = list(skeleton.bones)
    starts = {name: names.index(bone.parent) if bone.parent else -1 for name, bone in skeleton.bones.items()}
    ends = [name for name in names[1:] if names.index(name) not in starts.values()]
    parents = [*starts.values(), *(names.index(name) for name in ends)]
    tips = {name: bone.direction * bone.length * skeleton.metres for name, bone in skeleton.bones.items()}
    offsets = [
        np.zeros(3),
        *(tips[skeleton.bones[name].parent] for name in names[1:]),
        *(tips[n] for n in ends),
    ]
    T = len(values["root"])
    local = np.broadcast_to(np.eye(3), (T, len(parents), 3, 3)).copy()
    for j, (name, bone) in enumerate(skeleton.bones.items()):
        local[:, j] = bone.axis @ _turn(bone, values.get(name), skeleton.radians, T) @ bone.axis.T
    root = y_up_to_z_up(_shift(skeleton.bones["root"], values["root"]) * skeleton.metres)
    quats = quat_wxyz_y_up_to_z_up(matrices_to_quats(local)).astype(np.float32)[:, None]
    rest = y_up_to_z_up(np.array(offsets)).astype(np.float32)[None]
    rig = named_skeleton([*names, *(f"{name}_end" for name in ends)], parents, asf.stem)
    joints = pose_joints(quats, rest, root[:, None], rig.parents)
    return Motion(
        skeleton=rig,
        joints=joints,
        confidence=np.ones(joints.shape[:3], np.float32),
        fps=fps,
        rotations_wxyz=quats,
        rest_offsets=rest,
        source=path.name,
        history=(f"read from {path.name} and {asf.name} at {fps:g} Hz (the file does not say)",),
    )


def _turn(bone: Bone, values: np.ndarray | None, radians: float, frames: int) -> np.ndarray:
    """(T, 3, 3) M: the channels' rotations, the first applied first."""
    matrix = torch.eye(3, dtype=torch.float64).expand(frames, 3, 3)
    for c, channel in enumerate(bone.channels):
        if channel[0] == "r" and values is not None:
            matrix = axis_rotation(channel[1].upper(), torch.from_numpy(values[:, c] * radians)) @ matrix
    return matrix.numpy()


def _shift(bone: Bone, values: np.ndarray) -> np.ndarray:
    """(T, 3) the root's place, file units."""
    return np.stack([values[:, bone.channels.index(channel)] for channel in ("tx", "ty", "tz")], 1)
