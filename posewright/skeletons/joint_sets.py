"""The joint sets of the field, as data. Orders are those of each source; left and right are the person's own."""

from posewright.skeletons.skeleton import Skeleton


def _skeleton(name: str, joints: list[tuple[str, str | None]]) -> Skeleton:
    """Build a skeleton from (joint, parent name or None) pairs."""
    names = [joint for joint, _ in joints]
    return Skeleton(name, tuple(names), tuple(-1 if p is None else names.index(p) for _, p in joints))


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
"""Human3.6M. `thorax` is the base of the neck, `neck` the base of the head (the lifting papers call it nose), `head`
the top of the head."""

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
"""COCO-17 with big toes and heels: what our default lifter reads; every detection set converts to it, with gaps."""

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
"""The rig of `Motion`: `BODY_24` and two clavicles, so that shoulders can rise. Heel, toe, head, nose and ears are
leaves: they move rigidly with ankle and neck."""

BODY_24 = _skeleton(
    "body_24",
    [
        (j, "thorax" if p in ("left_clavicle", "right_clavicle") else p)
        for j, p in _RIG
        if not j.endswith("clavicle")
    ],
)
"""What our default lifter returns: H36M-17 with heels, toes, nose and ears. `toe` is the tip of the big toe, `neck` the
base of the head, `head` its top."""
