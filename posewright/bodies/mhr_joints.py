"""Joints, landmarks and named places of the MHR body.

Names and tree are those that the released file holds. What each joint is was checked on the four people that the MHR
repository publishes (https://github.com/facebookresearch/MHR, tools/mhr_smpl_conversion/data, Apache-2.0), outputs of
SAM 3D Body (https://github.com/facebookresearch/sam-3d-body): its named keypoints shoulder, hip, knee, wrist and the
four of each finger lie exactly on the joints named here. Landmarks are midpoints of two vertices of the mesh of 18,439
vertices, the same two on either side, found on these people: nose, eyes, ears and small toes lie within 1 mm of its
keypoints, big toes within 1.5 mm, heels within 2.5 mm.
"""

from collections.abc import Mapping

import numpy as np

VERTICES = 18_439
"""Of the mesh that the landmarks are for, level of detail 1."""


def _finger(side: str, name: str, first: int = 1) -> list[str]:
    return [f"{side}_{name}{i}" for i in range(first, 4)] + [f"{side}_{name}_null"]


def _arm(s: str) -> list[str]:
    hand = [
        *_finger(s, "pinky", 0),
        *(joint for name in ("ring", "middle", "index") for joint in _finger(s, name)),
        *_finger(s, "thumb", 0),
    ]
    twists = [f"{s}_lowarm_twist{i}_proc" for i in range(1, 5)] + [
        f"{s}_uparm_twist{i}_proc" for i in range(5)
    ]
    return [f"{s}_clavicle", f"{s}_uparm", f"{s}_lowarm", f"{s}_wrist_twist", f"{s}_wrist", *hand, *twists]


def _leg(s: str) -> list[str]:
    foot = ["upleg", "lowleg", "foot", "talocrural", "subtalar", "transversetarsal", "ball"]
    twists = [f"lowleg_twist{i}_proc" for i in range(1, 5)] + [f"upleg_twist{i}_proc" for i in range(5)]
    return [f"{s}_{name}" for name in (*foot, *twists)]


JOINT_NAMES = (
    "body_world",
    "root",
    *_leg("l"),
    *_leg("r"),
    *(f"c_spine{i}" for i in range(4)),
    *_arm("r"),
    *_arm("l"),
    "c_neck",
    "c_neck_twist1_proc",
    "c_neck_twist0_proc",
    "c_head",
    "c_jaw",
    "c_teeth",
    "c_jaw_null",
    *(f"c_tongue{i}" for i in range(5)),
    "r_eye",
    "r_eye_null",
    "l_eye",
    "l_eye_null",
    "c_head_null",
)
"""The 127 joints of the released file."""
_FIRST_OF = {"pinky0", "ring1", "middle1", "index1", "thumb0"}


def _parent(name: str, above: str) -> str | None:
    """The parent of a joint of the released rig; `above` is the joint before it in the order."""
    side, _, rest = name.partition("_")
    if "twist" in rest and rest.endswith("_proc"):
        return f"{side}_{rest.partition('_')[0]}"
    if rest in _FIRST_OF:
        return f"{side}_wrist"
    known = {
        "body_world": None,
        "upleg": "root",
        "spine0": "root",
        "clavicle": "c_spine3",
        "neck": "c_spine3",
        "head": "c_neck",
        "jaw_null": "c_jaw",
        "tongue0": "c_jaw",
        "eye": "c_head",
        "head_null": "c_head",
    }
    return known.get(name, known.get(rest, above))


def _tree() -> tuple[int, ...]:
    above = ["", *JOINT_NAMES[:-1]]
    named = [_parent(name, before) for name, before in zip(JOINT_NAMES, above, strict=True)]
    return tuple(-1 if p is None else JOINT_NAMES.index(p) for p in named)


PARENTS = _tree()
"""Their tree."""

_MIDDLE = {"thorax": "c_neck", "neck": "c_head", "spine": "c_spine2"}
_SIDED = {
    "clavicle": "clavicle",
    "shoulder": "uparm",
    "elbow": "lowarm",
    "wrist": "wrist",
    "hand": "wrist",
    "palm": "middle1",
    "hip": "upleg",
    "knee": "lowleg",
    "ankle": "talocrural",
    "foot": "ball",
    "thumb_cmc": "thumb1",
    "thumb_mcp": "thumb2",
    "thumb_ip": "thumb3",
    "thumb_tip": "thumb_null",
    "thumb": "thumb3",
    "index": "index1",
    "pinky": "pinky1",
    **{
        f"{finger}_{knuckle}": f"{finger}{end}"
        for finger in ("index", "middle", "ring", "pinky")
        for knuckle, end in (("mcp", "1"), ("pip", "2"), ("dip", "3"), ("tip", "_null"))
    },
}
"""Our joint: MHR's joint at that place."""
_MARKS = {
    "nose": (2767, 2766),
    "left_eye": (1246, 2698),
    "right_eye": (4132, 5584),
    "left_ear": (120, 57),
    "right_ear": (3006, 2943),
    "left_toe": (13184, 13225),
    "right_toe": (18377, 18422),
    "left_small_toe": (13126, 13246),
    "right_small_toe": (18305, 18401),
    "left_heel": (12522, 12268),
    "right_heel": (17698, 17429),
}
"""Pairs of vertices whose midpoint a landmark is."""


def joint_names(named: tuple[str, ...] | None, parents: tuple[int, ...]) -> tuple[str, ...]:
    """Names of the joints: the file's own, else those of the released rig if the tree is its, else numbers."""
    if named is not None:
        return named
    return JOINT_NAMES if parents == PARENTS else tuple(f"joint_{j}" for j in range(len(parents)))


def landmarks_of(names: tuple[str, ...], template: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Landmarks as vertices and their shares, for the released mesh; none for others.

    Args:
        names: of the joints.
        template: (V, 3), Y up.
    """
    if len(template) != VERTICES or not set(_SIDED.values()) <= {n[2:] for n in names}:
        return {}
    marks = {f"{n}_mark": (np.array(pair), np.full(2, 0.5)) for n, pair in _MARKS.items()}
    top = int(template[:, 1].argmax())
    marks["head_mark"] = (np.array([top]), np.ones(1))
    marks["head_at_eyes_mark"] = _head_at_eyes(template, top)
    return marks


def _head_at_eyes(template: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """The point between the ears, raised towards the top of the head to the height of the eyes."""
    ears, eyes = ([v for s in ("left", "right") for v in _MARKS[f"{s}_{n}"]] for n in ("ear", "eye"))
    low, eye = template[ears, 1].mean(), template[eyes, 1].mean()
    share = float(np.clip((eye - low) / max(template[top, 1] - low, 1e-6), 0.0, 1.0))
    return np.array([*ears, top]), np.array([*[0.25 * (1 - share)] * 4, share])


def points_of(names: tuple[str, ...], landmarks: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """Named places as means of joints and landmarks, as far as the rig has them."""
    points: dict[str, tuple[str, ...]] = {name: (joint,) for name, joint in _MIDDLE.items()}
    for side in ("left", "right"):
        points |= {f"{side}_{name}": (f"{side[0]}_{joint}",) for name, joint in _SIDED.items()}
    points["pelvis"] = ("l_upleg", "r_upleg")
    points |= {name.removesuffix("_mark"): (name,) for name in landmarks}
    known = {*names, *landmarks}
    return {name: rule for name, rule in points.items() if known.issuperset(rule)}
