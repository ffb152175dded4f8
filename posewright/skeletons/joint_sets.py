"""The joint sets of the field, as data. Orders are those of each source; left and right are the person's own.

One name means one place of the body in every set: `pelvis` the middle between the hips, `thorax` the base of
the neck, `neck` the base of the head, `head` its top, `toe` the tip of the big toe, `foot` the ball of the
foot. Where a source calls it otherwise, its docstring says so. Animals have words of their own.
"""

from itertools import pairwise

from posewright.skeletons.skeleton import Skeleton


def get(name: str) -> Skeleton:
    """Find a joint set by name, such as `h36m_17`; `LookupError` lists the known names."""
    if name not in JOINT_SETS:
        raise LookupError(f"no joint set {name!r}; the known ones are: {', '.join(sorted(JOINT_SETS))}")
    return JOINT_SETS[name]


def _skeleton(name: str, joints: list[tuple[str, str | None]]) -> Skeleton:
    """Build a skeleton from (joint, parent name or None) pairs."""
    names = [joint for joint, _ in joints]
    return Skeleton(name, tuple(names), tuple(-1 if p is None else names.index(p) for _, p in joints))


def _chains(name: str, order: str, *chains: str) -> Skeleton:
    """Build a skeleton from its joints in order and chains `root child grandchild`; `*` is each side in turn."""
    names, parent = order.split(), {}
    for chain in chains:
        for side in ("left_", "right_") if "*" in chain else ("",):
            links = [side + n[1:] if n.startswith("*") else n for n in chain.split()]
            parent |= {child: above for above, child in pairwise(links)}
    unknown = {*parent, *parent.values()} - set(names)
    assert not unknown, f"{name}: chains name unknown joints {unknown}"
    return _skeleton(name, [(n, parent.get(n)) for n in names])


H36M_17 = _skeleton(
    "h36m_17",
    [
        ("pelvis", None),
        ("right_hip", "pelvis"),
        ("right_knee", "right_hip"),
        ("right_ankle", "right_knee"),
        ("left_hip", "pelvis"),
        ("left_knee", "left_hip"),
        ("left_ankle", "left_knee"),
        ("spine", "pelvis"),
        ("thorax", "spine"),
        ("neck", "thorax"),
        ("head", "neck"),
        ("left_shoulder", "thorax"),
        ("left_elbow", "left_shoulder"),
        ("left_wrist", "left_elbow"),
        ("right_shoulder", "thorax"),
        ("right_elbow", "right_shoulder"),
        ("right_wrist", "right_elbow"),
    ],
)
"""Human3.6M. `thorax` is the base of the neck, `neck` the base of the head (the lifting papers call it nose),
`head` the top of the head."""

_COCO = [
    ("nose", None),
    ("left_eye", "nose"),
    ("right_eye", "nose"),
    ("left_ear", "left_eye"),
    ("right_ear", "right_eye"),
    ("left_shoulder", None),
    ("right_shoulder", "left_shoulder"),
    ("left_elbow", "left_shoulder"),
    ("right_elbow", "right_shoulder"),
    ("left_wrist", "left_elbow"),
    ("right_wrist", "right_elbow"),
    ("left_hip", "left_shoulder"),
    ("right_hip", "right_shoulder"),
    ("left_knee", "left_hip"),
    ("right_knee", "right_hip"),
    ("left_ankle", "left_knee"),
    ("right_ankle", "right_knee"),
]
COCO_17 = _skeleton("coco_17", _COCO)
"""COCO keypoints."""

COCO_FEET_21 = _skeleton(
    "coco_feet_21",
    [
        *_COCO,
        ("left_toe", "left_ankle"),
        ("right_toe", "right_ankle"),
        ("left_heel", "left_ankle"),
        ("right_heel", "right_ankle"),
    ],
)
"""COCO-17 with big toes and heels: what our default lifter reads; every detection set converts to it,
with gaps."""

MEDIAPIPE_33 = _skeleton(
    "mediapipe_33",
    [
        ("nose", None),
        ("left_eye_inner", "nose"),
        ("left_eye", "left_eye_inner"),
        ("left_eye_outer", "left_eye"),
        ("right_eye_inner", "nose"),
        ("right_eye", "right_eye_inner"),
        ("right_eye_outer", "right_eye"),
        ("left_ear", "left_eye_outer"),
        ("right_ear", "right_eye_outer"),
        ("left_mouth", None),
        ("right_mouth", "left_mouth"),
        ("left_shoulder", None),
        ("right_shoulder", "left_shoulder"),
        ("left_elbow", "left_shoulder"),
        ("right_elbow", "right_shoulder"),
        ("left_wrist", "left_elbow"),
        ("right_wrist", "right_elbow"),
        ("left_pinky", "left_wrist"),
        ("right_pinky", "right_wrist"),
        ("left_index", "left_wrist"),
        ("right_index", "right_wrist"),
        ("left_thumb", "left_wrist"),
        ("right_thumb", "right_wrist"),
        ("left_hip", "left_shoulder"),
        ("right_hip", "right_shoulder"),
        ("left_knee", "left_hip"),
        ("right_knee", "right_hip"),
        ("left_ankle", "left_knee"),
        ("right_ankle", "right_knee"),
        ("left_heel", "left_ankle"),
        ("right_heel", "right_ankle"),
        ("left_toe", "left_heel"),
        ("right_toe", "right_heel"),
    ],
)
"""MediaPipe / BlazePose landmarks; `*_toe` is what MediaPipe calls foot_index."""

_RIG = [
    ("pelvis", None),
    ("right_hip", "pelvis"),
    ("right_knee", "right_hip"),
    ("right_ankle", "right_knee"),
    ("right_heel", "right_ankle"),
    ("right_toe", "right_ankle"),
    ("left_hip", "pelvis"),
    ("left_knee", "left_hip"),
    ("left_ankle", "left_knee"),
    ("left_heel", "left_ankle"),
    ("left_toe", "left_ankle"),
    ("spine", "pelvis"),
    ("thorax", "spine"),
    ("neck", "thorax"),
    ("head", "neck"),
    ("nose", "neck"),
    ("left_ear", "neck"),
    ("right_ear", "neck"),
    ("left_clavicle", "thorax"),
    ("left_shoulder", "left_clavicle"),
    ("left_elbow", "left_shoulder"),
    ("left_wrist", "left_elbow"),
    ("right_clavicle", "thorax"),
    ("right_shoulder", "right_clavicle"),
    ("right_elbow", "right_shoulder"),
    ("right_wrist", "right_elbow"),
]
RIG_26 = _skeleton("rig_26", _RIG)
"""The rig of `Motion`: `BODY_24` and two clavicles, so that shoulders can rise. Heel, toe, head, nose and
ears are leaves: they move rigidly with ankle and neck."""

BODY_24 = _skeleton(
    "body_24",
    [
        (j, "thorax" if p in ("left_clavicle", "right_clavicle") else p)
        for j, p in _RIG
        if not j.endswith("clavicle")
    ],
)
"""What our default lifter returns: H36M-17 with heels, toes, nose and ears. `toe` is the tip of the big toe,
`neck` the base of the head, `head` a point about 10 cm above it, at eye height, as in the CMU recordings it was
trained on: not the top."""

BODY_26 = Skeleton(
    "body_26",
    (*BODY_24.joint_names, "left_eye", "right_eye"),
    (*BODY_24.parents, BODY_24.index("nose"), BODY_24.index("nose")),
)
"""`BODY_24` and the eyes: every point that our default lifter can read."""

H36M_16 = _skeleton(
    "h36m_16",
    [
        (n, None if p < 0 else "thorax" if n == "head" else H36M_17.joint_names[p])
        for n, p in zip(H36M_17.joint_names, H36M_17.parents, strict=True)
        if n != "neck"
    ],
)
"""Human3.6M without `neck`, as SemGCN and PoseAug use it; errors over 16 and 17 joints are not comparable."""

HALPE_26 = _chains(
    "halpe_26",
    " ".join(n for n, _ in _COCO) + " head thorax pelvis left_toe right_toe left_small_toe right_small_toe"
    " left_heel right_heel",
    "pelvis thorax head",
    "thorax nose",
    "nose *eye *ear",
    "thorax *shoulder *elbow *wrist",
    "pelvis *hip *knee *ankle *toe",
    "*ankle *small_toe",
    "*ankle *heel",
)
"""Halpe full body (AlphaPose; RTMPose "body with feet"): COCO-17, head top, `thorax` (Halpe: neck),
`pelvis` (Halpe: hip), feet."""

BODY_25 = _chains(
    "body_25",
    "nose thorax right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist pelvis"
    " right_hip right_knee"
    " right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear left_toe"
    " left_small_toe left_heel"
    " right_toe right_small_toe right_heel",
    "pelvis thorax nose",
    "nose *eye *ear",
    "thorax *shoulder *elbow *wrist",
    "pelvis *hip *knee *ankle *toe",
    "*toe *small_toe",
    "*ankle *heel",
)
"""OpenPose BODY_25: `thorax` is its Neck, `pelvis` its MidHip, `toe` its BigToe."""

MPI_28 = _chains(
    "mpi_28",
    "spine3 spine4 spine2 spine pelvis thorax neck head left_clavicle left_shoulder left_elbow left_wrist"
    " left_hand"
    " right_clavicle right_shoulder right_elbow right_wrist right_hand left_hip left_knee left_ankle"
    " left_foot left_toe"
    " right_hip right_knee right_ankle right_foot right_toe",
    "pelvis spine spine2 spine3 spine4 thorax neck head",
    "thorax *clavicle *shoulder *elbow *wrist *hand",
    "pelvis *hip *knee *ankle *foot *toe",
)
"""MPI-INF-3DHP, all joints (order of `mpii_get_joints.m`): its neck is our `thorax`, its head our
`neck`, its head_top our `head`."""

MPI_17 = _chains(
    "mpi_17",
    "head thorax right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip"
    " right_knee right_ankle"
    " left_hip left_knee left_ankle pelvis spine neck",
    "pelvis spine thorax neck head",
    "thorax *shoulder *elbow *wrist",
    "pelvis *hip *knee *ankle",
)
"""MPI-INF-3DHP test set: names as in `MPI_28`; root at 14."""

_SMPL_BODY = (
    "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot"
    " right_foot thorax"
    " left_clavicle right_clavicle neck left_shoulder right_shoulder left_elbow right_elbow left_wrist"
    " right_wrist"
)
_SMPL_CHAINS = (
    "pelvis spine1 spine2 spine3 thorax neck",
    "spine3 *clavicle *shoulder *elbow *wrist",
    "pelvis *hip *knee *ankle *foot",
)
SMPL_24 = _chains("smpl_24", _SMPL_BODY + " left_hand right_hand", *_SMPL_CHAINS, "*wrist *hand")
"""SMPL: joint 12, `thorax`, is its neck; 15, `neck`, its head; 13 and 14 its collars. Joints of the body
model lie some centimetres from those of H36M or COCO of the same name: scores across them need the data set's
own regressor."""

_MANO_FINGERS = [f"{f}_{k}" for f in ("index", "middle", "pinky", "ring") for k in ("mcp", "pip", "dip")]
_MANO_FINGERS += ["thumb_cmc", "thumb_mcp", "thumb_ip"]
SMPLX_55 = _chains(
    "smplx_55",
    " ".join(
        [_SMPL_BODY, "jaw left_eye right_eye"]
        + [f"{s}_{n}" for s in ("left", "right") for n in _MANO_FINGERS]
    ),
    *_SMPL_CHAINS,
    "neck jaw",
    "neck *eye",
    *(f"*wrist *{f}_mcp *{f}_pip *{f}_dip" for f in ("index", "middle", "pinky", "ring")),
    "*wrist *thumb_cmc *thumb_mcp *thumb_ip",
)
"""SMPL-X: 22 body joints as in `SMPL_24`, jaw, eyeballs, 15 joints of each hand (index, middle, pinky,
ring, thumb)."""

PANOPTIC_19 = _chains(
    "panoptic_19",
    "thorax nose pelvis left_shoulder left_elbow left_wrist left_hip left_knee left_ankle right_shoulder"
    " right_elbow"
    " right_wrist right_hip right_knee right_ankle left_eye left_ear right_eye right_ear",
    "pelvis thorax nose",
    "nose *eye *ear",
    "thorax *shoulder *elbow *wrist",
    "pelvis *hip *knee *ankle",
)
"""CMU Panoptic (`hdPose3d_stage1_coco19`): `thorax` is its neck, `pelvis` its body centre."""

HUMANEVA_15 = _chains(
    "humaneva_15",
    "pelvis thorax left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist left_hip"
    " left_knee left_ankle"
    " right_hip right_knee right_ankle head",
    "pelvis thorax head",
    "thorax *shoulder *elbow *wrist",
    "pelvis *hip *knee *ankle",
)
"""HumanEva-I, the 15 joints of VideoPose3D."""

_FINGERS = {"thumb": ("cmc", "mcp", "ip", "tip")} | dict.fromkeys(
    ("index", "middle", "ring", "pinky"), ("mcp", "pip", "dip", "tip")
)
_HAND = ["wrist"] + [f"{finger}_{k}" for finger, knuckles in _FINGERS.items() for k in knuckles]
HAND_21 = _chains(
    "hand_21",
    " ".join(_HAND),
    *(" ".join(["wrist"] + [f"{finger}_{k}" for k in knuckles]) for finger, knuckles in _FINGERS.items()),
)
"""One hand as OpenPose, MediaPipe and COCO-WholeBody order it: wrist, then thumb to pinky, each from
base to tip."""


def _face_68() -> list[str]:
    """Name the 68 points of iBUG 300-W; sides are the person's own, each counted from outside to inside."""
    jaw = [f"right_jaw_{i}" for i in range(8)] + ["chin"] + [f"left_jaw_{i}" for i in reversed(range(8))]
    brows = [f"right_brow_{i}" for i in range(5)] + [f"left_brow_{i}" for i in reversed(range(5))]
    nose = [f"nose_bridge_{i}" for i in range(4)]
    nose += ["right_nostril_0", "right_nostril_1", "nose_base", "left_nostril_1", "left_nostril_0"]
    lids = [f"right_lid_{i}" for i in range(6)] + [f"left_lid_{i}" for i in (3, 2, 1, 0, 5, 4)]
    lips = [
        "right_mouth",
        "right_lip_0",
        "right_lip_1",
        "upper_lip",
        "left_lip_1",
        "left_lip_0",
        "left_mouth",
    ]
    lips += ["left_lip_2", "left_lip_3", "lower_lip", "right_lip_3", "right_lip_2"]
    inner = [
        "right_inner_mouth",
        "right_inner_lip_0",
        "upper_inner_lip",
        "left_inner_lip_0",
        "left_inner_mouth",
    ]
    return (
        jaw
        + brows
        + nose
        + lids
        + lips
        + [*inner, "left_inner_lip_1", "lower_inner_lip", "right_inner_lip_1"]
    )


def _wholebody() -> list[tuple[str, str | None]]:
    """Joints and parents of COCO-WholeBody: the face hangs on the nose, each hand on its body wrist."""
    feet = [f"{s}_{n}" for s in ("left", "right") for n in ("toe", "small_toe", "heel")]
    joints = [*_COCO, *((n, n.split("_")[0] + "_ankle") for n in feet), *((n, "nose") for n in _face_68())]
    for side in ("left", "right"):
        parents = [f"{side}_wrist"] + [
            f"{side}_{'hand' if p == 0 else _HAND[p]}" for p in HAND_21.parents[1:]
        ]
        joints += zip([f"{side}_hand"] + [f"{side}_{n}" for n in _HAND[1:]], parents, strict=True)
    return joints


COCO_WHOLEBODY_133 = _skeleton("coco_wholebody_133", _wholebody())
"""COCO-WholeBody: 17 body, 6 feet, 68 face, 21 left hand, 21 right hand. `left_hand` is the wrist as the hand
annotation has it, beside `left_wrist` of the body."""

ANIMAL_26 = _chains(
    "animal_26",
    "left_eye right_eye middle_mouth left_front_paw right_front_paw left_back_paw right_back_paw"
    " tail_base left_front_thigh"
    " right_front_thigh left_back_thigh right_back_thigh left_shoulder right_shoulder left_front_knee"
    " right_front_knee"
    " left_back_knee right_back_knee animal_neck tail_end left_ear right_ear left_mouth right_mouth nose"
    " tail_middle",
    "tail_base tail_middle tail_end",
    "tail_base animal_neck nose middle_mouth",
    "nose *eye *ear",
    "nose *mouth",
    "animal_neck *shoulder *front_thigh *front_knee *front_paw",
    "tail_base *back_thigh *back_knee *back_paw",
)
"""Animal3D quadrupeds, the order FMPose3D uses, root `tail_base` (7); read in third-party code, the data set
being gated: not verified against its own files."""

AP10K_17 = _chains(
    "ap10k_17",
    "left_eye right_eye nose animal_neck tail_base left_shoulder left_elbow left_front_paw right_shoulder"
    " right_elbow"
    " right_front_paw left_hip left_knee left_back_paw right_hip right_knee right_back_paw",
    "tail_base animal_neck nose",
    "nose *eye",
    "animal_neck *shoulder *elbow *front_paw",
    "tail_base *hip *knee *back_paw",
)
"""AP-10K quadrupeds: `tail_base` is its root_of_tail, `animal_neck` its neck."""

ANIMALS = frozenset({"animal_26", "ap10k_17"})
"""Sets of quadrupeds: words they share with people (elbow, hip) name other places."""

JOINT_SETS: dict[str, Skeleton] = {s.name: s for s in list(vars().values()) if isinstance(s, Skeleton)}
"""All joint sets by name."""
