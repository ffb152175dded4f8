"""Joints, landmarks and named places of the SMPL family.

Vertex numbers of nose, eyes, ears, feet and finger tips are those that the field uses for these meshes (published with
the `smplx` package, https://github.com/vchoutas/smplx, as facts of the mesh). The top of the head is the highest vertex
of the template; the corners of mouth and eyes come from the face landmarks in the SMPL-X file, where it has them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from posewright.skeletons.joint_sets import COCO_WHOLEBODY_133, SMPL_24, SMPLX_55

_LEFT_FINGERS = tuple(n for n in SMPLX_55.joint_names[25:40])
_RIGHT_FINGERS = tuple(n for n in SMPLX_55.joint_names[40:55])
_SMPL_MARKS = {
    "nose": 332,
    "left_eye": 2800,
    "right_eye": 6260,
    "left_ear": 583,
    "right_ear": 4071,
    "left_toe": 3216,
    "left_small_toe": 3226,
    "left_heel": 3387,
    "right_toe": 6617,
    "right_small_toe": 6624,
    "right_heel": 6787,
    "left_thumb_tip": 2746,
    "left_index_tip": 2319,
    "left_middle_tip": 2445,
    "left_ring_tip": 2556,
    "left_pinky_tip": 2673,
    "right_thumb_tip": 6191,
    "right_index_tip": 5782,
    "right_middle_tip": 5905,
    "right_ring_tip": 6016,
    "right_pinky_tip": 6133,
}
_SMPLX_MARKS = {
    "nose": 9120,
    "left_eye": 9448,
    "right_eye": 9929,
    "left_ear": 6,
    "right_ear": 616,
    "left_toe": 5770,
    "left_small_toe": 5780,
    "left_heel": 8846,
    "right_toe": 8463,
    "right_small_toe": 8474,
    "right_heel": 8635,
    "left_thumb_tip": 5361,
    "left_index_tip": 4933,
    "left_middle_tip": 5058,
    "left_ring_tip": 5169,
    "left_pinky_tip": 5286,
    "right_thumb_tip": 8079,
    "right_index_tip": 7669,
    "right_middle_tip": 7794,
    "right_ring_tip": 7905,
    "right_pinky_tip": 8022,
}
_MANO_MARKS = {
    "*_thumb_tip": 744,
    "*_index_tip": 320,
    "*_middle_tip": 443,
    "*_ring_tip": 554,
    "*_pinky_tip": 671,
}


@dataclass(frozen=True)
class Kind:
    """One body of the family, known by its numbers of vertices and joints."""

    name: str
    vertices: int
    joint_names: tuple[str, ...]
    """`*` stands for the side of a hand."""
    marks: Mapping[str, int] = field(default_factory=dict)
    """Vertices of landmarks."""
    has_expression: bool = False
    has_head: bool = True


KINDS = (
    Kind("smpl", 6890, SMPL_24.joint_names, _SMPL_MARKS),
    Kind("smplh", 6890, (*SMPL_24.joint_names[:22], *_LEFT_FINGERS, *_RIGHT_FINGERS), _SMPL_MARKS),
    Kind("smplx", 10475, SMPLX_55.joint_names, _SMPLX_MARKS, has_expression=True),
    Kind(
        "mano",
        778,
        ("*_wrist", *(n.replace("left", "*") for n in _LEFT_FINGERS)),
        _MANO_MARKS,
        has_head=False,
    ),
    Kind("flame", 5023, ("root", "neck", "jaw", "left_eye", "right_eye"), has_expression=True),
)

Landmarks = dict[str, tuple[np.ndarray, np.ndarray]]
"""Name: vertex indices and their shares."""


def landmarks_of(
    kind: Kind, template: np.ndarray, faces: np.ndarray, entries: Mapping[str, object], side: str
) -> Landmarks:
    """Landmarks as mixtures of vertices; names end in `_mark`, for some are called like a joint."""
    out = {f"{n.replace('*', side)}_mark": (np.array([v]), np.ones(1)) for n, v in kind.marks.items()}
    if kind.has_head:
        top = int(template[:, 1].argmax())
        out["head_mark"] = (np.array([top]), np.ones(1))
        if {"left_ear", "left_eye"} <= set(kind.marks):
            out["head_at_eyes_mark"] = _head_at_eyes(kind, template, top)
    return out | _face_landmarks(kind, faces, entries)


def _head_at_eyes(kind: Kind, template: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """The point between the ears, raised towards the top of the head to the height of the eyes."""
    ears = [kind.marks["left_ear"], kind.marks["right_ear"]]
    low, eye = template[ears, 1].mean(), template[kind.marks["left_eye"], 1]
    share = np.clip((eye - low) / max(template[top, 1] - low, 1e-6), 0.0, 1.0)
    return np.array([*ears, top]), np.array([0.5 * (1 - share), 0.5 * (1 - share), share])


_FACE = tuple(COCO_WHOLEBODY_133.joint_names[23 + 17 : 91])
"""The 51 points of a face inside its outline, in the order of 300-W."""


def _face_landmarks(kind: Kind, faces: np.ndarray, entries: Mapping[str, object]) -> Landmarks:
    """The 51 face landmarks that SMPL-X files carry as faces and barycentric shares."""
    triangle, share = (np.asarray(entries.get(n)) for n in ("lmk_faces_idx", "lmk_bary_coords"))
    fits = triangle.shape == (51,) and share.shape == (51, 3)
    if not (kind.name == "smplx" and fits and triangle.max() < len(faces)):
        return {}
    corners = faces[triangle.astype(np.int64)]
    return {f"{n}_mark": (corners[i], share[i]) for i, n in enumerate(_FACE)}


_EYE_CORNERS = {"eye_outer": "lid_0", "eye_inner": "lid_3"}


def points_of(kind: Kind, landmarks: tuple[str, ...], side: str) -> dict[str, tuple[str, ...]]:
    """Named places as means of joints and landmarks; a landmark goes before a joint of the same name."""
    joints = tuple(n.replace("*", side) for n in kind.joint_names)
    points: dict[str, tuple[str, ...]] = {n: (n,) for n in joints}
    if {"left_hip", "right_hip"} <= set(joints):
        points |= {"pelvis": ("left_hip", "right_hip"), "spine": ("spine2",)}
    for s in ("left", "right"):
        if f"{s}_hand" in joints:
            points[f"{s}_palm"] = (f"{s}_hand",)
        elif f"{s}_middle_mcp" in joints:
            points[f"{s}_palm"] = (f"{s}_middle_mcp",)
        if f"{s}_wrist" in joints:
            points[f"{s}_hand"] = (f"{s}_wrist",)
        knuckles = {"index": "index_mcp", "pinky": "pinky_mcp", "thumb": "thumb_ip"}
        points |= {f"{s}_{n}": (f"{s}_{k}",) for n, k in knuckles.items() if f"{s}_{k}" in joints}
        corners = {f"{s}_{n}": f"{s}_{k}_mark" for n, k in _EYE_CORNERS.items()}
        points |= {n: (k,) for n, k in corners.items() if k in landmarks}
    return points | {n.removesuffix("_mark"): (n,) for n in landmarks}
