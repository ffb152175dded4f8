"""What the bones of a character are called: Mixamo, Rigify, Unreal, SMPL, VRM, Daz, 3ds Max, CMU and the like.

Each program has its own names for the same few bones, and one word may mean two of them: a `LeftShoulder` is the
collar bone where there is a `LeftArm` too, and the upper arm where there is not. Names are cut into words, the side is
taken off, and what is left is looked up; the tree decides between several candidates.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

LIMBS = ("clavicle", "upper_arm", "forearm", "hand", "thigh", "shin", "foot", "toe")
SIDES = ("left", "right")

_WORDS: dict[str, tuple[str, ...]] = {
    "hips": ("hips", "pelvis", "hip"),
    "spine": (
        "spine",
        "lowerback",
        "abdomen",
        "abdomenlower",
        "abdomenupper",
        "waist",
        "torso",
        "thorax",
        "chest",
    )
    + ("chestlower", "chestupper", "upperchest", "lowerchest"),
    "neck": ("neck", "lowerneck", "upperneck", "necklower", "neckupper", "necktwist"),
    "head": ("head", "face"),
    "clavicle": ("clavicle", "collar", "collarbone", "shoulder"),
    "upper_arm": ("upperarm", "uparm", "arm", "shldr", "shoulder"),
    "forearm": ("forearm", "lowerarm", "lowarm", "elbow"),
    "hand": ("wrist", "hand"),
    "thigh": ("thigh", "upperleg", "upleg", "hip"),
    "shin": ("shin", "calf", "lowerleg", "lowleg", "knee", "leg"),
    "foot": ("ankle", "foot"),
    "toe": ("toe", "toes", "toebase", "ball", "foot"),
}
"""Bone -> its names without the side, best first."""
_DECORATION = {"mixamorig", "bip", "valvebiped", "cc", "base", "def", "j", "c", "bind", "bend", "bone", "jnt"}
_HELPERS = {
    "twist",
    "roll",
    "ik",
    "pole",
    "fk",
    "mch",
    "org",
    "end",
    "nub",
    "helper",
    "share",
    "target",
    "ctrl",
}
_NEEDED = (
    "hips",
    *(f"{side}_{limb}" for side in SIDES for limb in ("upper_arm", "forearm", "thigh", "shin")),
)


@dataclass(frozen=True)
class BoneMap:
    """Which bone of a character is which."""

    bones: dict[str, int]
    """`hips`, `head`, `left_upper_arm`... -> index of the bone."""
    spine: tuple[int, ...]
    """From the one above the hips up."""
    neck: tuple[int, ...]
    """From the one above the spine up."""


def match_bones(
    names: Sequence[str], parents: Sequence[int], given: dict[str, str | list[str]] | None = None
) -> BoneMap:
    """Find hips, spine, neck, head and limbs among the bones of a character.

    Args:
        names: of the bones.
        parents: index of each bone's parent, -1 for the root; parents first.
        given: what the user says about some of them: `{"left_thigh": "Bone.012", "spine": ["Bone.001", "Bone.002"]}`;
            an empty list for spine or neck: there is none.

    Raises:
        ValueError: `given` names what is not there, or a needed bone was not found; the message lists what was.
    """
    tree = _Tree(names, parents)
    told = _told(names, given or {})
    bones: dict[str, int] = {}
    for side in SIDES:
        bones |= _side(tree, side)
    spine, neck = _trunk(tree, bones)
    bones |= {name: rows[0] for name, rows in told.items() if rows and name not in ("spine", "neck")}
    spine, neck = told.get("spine", spine), told.get("neck", neck)
    missing = [name for name in _NEEDED if name not in bones]
    if missing:
        found = ", ".join(f"{name} = {names[row]!r}" for name, row in bones.items()) or "nothing"
        raise ValueError(
            f"bones not recognised: {', '.join(missing)}. Found: {found}. The rig's bones are: {', '.join(names)}. Say "
            'which is which in a mapping file, such as {"left_thigh": "Bone.012", "spine": ["Bone.001", "Bone.002"]}'
        )
    return BoneMap(bones, tuple(spine), tuple(neck))


class _Tree:
    """The bones with their words; helpers that turn with others, such as twist bones, have none."""

    def __init__(self, names: Sequence[str], parents: Sequence[int]):
        self.names, self.parents = list(names), list(parents)
        deforming = [name.upper().startswith("DEF-") for name in names]
        self.words = [
            ("", "") if any(deforming) and not deform else _words(name)
            for name, deform in zip(names, deforming, strict=True)
        ]

    def above(self, bone: int) -> list[int]:
        """The bone and its ancestors, nearest first."""
        chain = []
        while bone >= 0:
            chain.append(bone)
            bone = self.parents[bone]
        return chain

    def find(self, side: str, words: Sequence[str], below: int | None = None) -> int | None:
        """The bone of the best of these words on this side, nearest to the root, below a bone if one is given."""
        for word in words:
            rows = [b for b, (s, w) in enumerate(self.words) if s == side and w == word]
            rows = [b for b in rows if below is None or (b != below and below in self.above(b))]
            if rows:
                return min(rows, key=lambda b: len(self.above(b)))
        return None


def _words(name: str) -> tuple[str, str]:
    """Side (`left`, `right` or nothing) and the remaining words of a name run together, without numbers."""
    name = re.split(r"[:|]", name)[-1]
    words = [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    if _HELPERS & set(words):
        return "", ""
    side = ""
    for word, meant in (("l", "left"), ("left", "left"), ("r", "right"), ("right", "right")):
        if word in words:
            side = meant
            words.remove(word)
            break
    word = "".join(w for w in words if w not in _DECORATION)
    return side, word if word == "hipjoint" else word.removesuffix("joint")  # a hip joint is no thigh


def _side(tree: _Tree, side: str) -> dict[str, int]:
    """The limbs of one side, from the root outwards; a word that could mean two bones is left to the other one."""
    found: dict[str, int | None] = {}
    thigh = tree.find(side, _WORDS["thigh"])
    shin = tree.find(side, _WORDS["shin"], thigh)
    foot = tree.find(side, _WORDS["foot"], shin) if shin is not None else None
    found |= {"thigh": thigh, "shin": shin, "foot": foot}
    found["toe"] = tree.find(side, _WORDS["toe"], foot) if foot is not None else None
    arm = tree.find(side, _WORDS["upper_arm"])
    forearm = tree.find(side, _WORDS["forearm"], arm)
    hand = tree.find(side, _WORDS["hand"], forearm) if forearm is not None else None
    collar = tree.find(side, _WORDS["clavicle"])
    found |= {"upper_arm": arm, "forearm": forearm, "hand": hand}
    found["clavicle"] = collar if collar != arm and arm is not None and collar in tree.above(arm) else None
    return {f"{side}_{limb}": row for limb, row in found.items() if row is not None}


def _trunk(tree: _Tree, bones: dict[str, int]) -> tuple[list[int], list[int]]:
    """Add hips and head to the bones; return spine and neck, each from below."""
    thighs = [bones[f"{s}_thigh"] for s in SIDES if f"{s}_thigh" in bones]
    arms = [bones[f"{s}_upper_arm"] for s in SIDES if f"{s}_upper_arm" in bones]
    if not thighs or not arms:
        return [], []
    below = [b for b in tree.above(thighs[0]) if all(b in tree.above(t) for t in thighs) and b not in thighs]
    carrying = [b for b in tree.above(arms[0]) if all(b in tree.above(a) for a in arms) and b not in arms]
    named = [b for word in _WORDS["hips"] for b in below if tree.words[b] == ("", word)]
    named += [b for b in below if tree.words[b][1] in _WORDS["spine"]]
    if not (named or below):
        return [], []
    hips = bones["hips"] = named[0] if named else below[0]
    spine = [b for b in reversed(carrying) if hips in tree.above(b) and b != hips]
    top = spine[-1] if spine else hips
    over = [b for b in range(len(tree.names)) if top in tree.above(b) and b not in tree.above(top)]
    head = tree.find("", _WORDS["head"], top)
    if head is None:  # Rigify goes on counting its spine into neck and head
        counted = [b for b in over if tree.words[b] in (("", "spine"), ("", "neck"))]
        head = max(counted, key=lambda b: len(tree.above(b)), default=None)
    if head is None:
        return spine, []
    bones["head"] = head
    return spine, [b for b in reversed(tree.above(head)) if b in over and b != head]


def _told(names: Sequence[str], given: dict[str, str | list[str]]) -> dict[str, list[int]]:
    """Rows of the bones that the user named."""
    known = ("hips", "head", "spine", "neck", *(f"{side}_{limb}" for side in SIDES for limb in LIMBS))
    if not isinstance(given, dict) or (wrong := [k for k in given if k not in known]):
        raise ValueError(
            f"bone mapping: {wrong if isinstance(given, dict) else given!r}; expected {', '.join(known)}"
        )
    told = {}
    for bone, value in given.items():
        wanted = [value] if isinstance(value, str) else list(value)
        if absent := [w for w in wanted if w not in names]:
            raise ValueError(
                f"bone mapping: {bone} is {absent[0]!r}, the rig's bones are: {', '.join(names)}"
            )
        told[bone] = [list(names).index(w) for w in wanted]
    return told
