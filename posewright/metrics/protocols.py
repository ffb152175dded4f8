"""Evaluation protocols as data: which joints, relative to what, of whom, averaged how.

Two papers' numbers compare only where all of this agrees. Joint names are those of `skeletons.joint_sets` (so
`neck` is the base of the head). What a source leaves open, or where papers differ under one name, stands in
`notes`.
"""

from dataclasses import dataclass
from typing import Literal

from posewright.metrics.arrays import Array
from posewright.metrics.correct_joints import AUC_THRESHOLDS_MM, PCK_THRESHOLD_MM, auc, pck
from posewright.metrics.motion import acceleration_errors, velocity_errors
from posewright.metrics.position import mpjpe, n_mpjpe, pa_mpjpe, root_relative
from posewright.skeletons import joint_sets
from posewright.skeletons.skeleton import Skeleton

Metric = Literal[
    "mpjpe_mm", "pa_mpjpe_mm", "n_mpjpe_mm", "mpjve_mm_per_frame", "acceleration_m_per_s2", "pck", "auc"
]


@dataclass(frozen=True)
class Protocol:
    """How a data set is scored."""

    name: str
    """`<data set>/<protocol>`."""
    dataset: str
    """File of `posewright.datasets` that reads it."""
    metrics: tuple[Metric, ...]
    """What is reported, the headline number first."""
    skeleton: str | None
    """Joint set of the truth; None where the joints are regressed from a mesh and are no set of ours."""
    joints: tuple[str, ...]
    """Scored joints, the root among them where the source counts it (its error is then 0)."""
    root: tuple[str, ...]
    """Poses are scored relative to this joint, or to the middle of several."""
    test: tuple[str, ...]
    """Subjects, or sequences, that are scored."""
    train: tuple[str, ...]
    """Subjects that may be trained on; empty: not fixed by the protocol."""
    actions: tuple[str, ...]
    """Actions averaged over; empty: all there are, or not by action."""
    fps: float
    """Frames per second of the truth."""
    averaging: Literal["action", "frame"]
    """`action`: mean of the actions' means; `frame`: every frame counts the same."""
    source: str
    """Paper that set it, and the code that fixed what the paper left open."""
    frames: str = "all frames of all cameras"
    pck_threshold_mm: float = PCK_THRESHOLD_MM
    auc_thresholds_mm: tuple[float, ...] = AUC_THRESHOLDS_MM
    notes: str = ""

    @property
    def joint_set(self) -> Skeleton:
        """The truth's joint set; `LookupError` where there is none."""
        if self.skeleton is None:
            raise LookupError(f"protocol {self.name} has joints of its own: {', '.join(self.joints)}")
        return joint_sets.get(self.skeleton)


_H36M_ACTIONS = (
    *("Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases", "Sitting"),
    *("SittingDown", "Smoking", "Waiting", "WalkDog", "Walking", "WalkTogether"),
)
_H36M = {
    "dataset": "human36m",
    "skeleton": "h36m_17",
    "joints": joint_sets.H36M_17.joint_names,
    "root": ("pelvis",),
    "train": ("S1", "S5", "S6", "S7", "S8"),
    "test": ("S9", "S11"),
    "actions": _H36M_ACTIONS,
    "fps": 50.0,
    "averaging": "action",
}
_H36M_NOTE = (
    "16-joint works leave out `neck`; the two takes of an action count as one action; S11's second take of Directions "
    "is absent from the copy most papers use; MotionBERT and its followers skip three takes of S9 whose truth is "
    "shifted (Greeting, SittingDown, Waiting: `H36M_SHIFTED`); HMR and its followers call 'protocol 2' another thing: "
    "the frontal camera only, 14 joints, after alignment."
)
H36M_SHIFTED = ("S9/act_05_subact_02", "S9/act_10_subact_02", "S9/act_13_subact_01")
"""Takes of S9 that MotionBERT's evaluation skips, by Human3.6M's own numbers."""
_LSP_14 = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *(
        "right_wrist",
        "right_elbow",
        "right_shoulder",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "thorax",
        "head",
    ),
)

_ALL = (
    Protocol(
        name="h36m/p1",
        metrics=("mpjpe_mm", "mpjve_mm_per_frame"),
        source="Martinez et al., A simple yet effective baseline for 3d human pose estimation, ICCV 2017, section "
        "4.1, "
        "protocol #1; 17 joints, 50 Hz, full sequences and MPJVE: Pavllo et al. (VideoPose3D), CVPR 2019, section 5",
        notes=_H36M_NOTE,
        **_H36M,  # pyright: ignore[reportArgumentType]
    ),
    Protocol(
        name="h36m/p2",
        metrics=("pa_mpjpe_mm",),
        source="Martinez et al., ICCV 2017, section 4.1, protocol #2: each pose aligned by rotation, translation, "
        "scale",
        notes=_H36M_NOTE,
        **_H36M,  # pyright: ignore[reportArgumentType]
    ),
    Protocol(
        name="h36m/p3",
        metrics=("n_mpjpe_mm",),
        source="Rhodin et al., CVPR 2018, section 4 (N-MPJPE); protocol 3 of Pavllo et al., CVPR 2019, section 5",
        notes=_H36M_NOTE,
        **_H36M,  # pyright: ignore[reportArgumentType]
    ),
    Protocol(
        name="3dhp",
        dataset="mpi_inf_3dhp",
        metrics=("mpjpe_mm", "pck", "auc"),
        skeleton="mpi_17",
        joints=joint_sets.MPI_17.joint_names,
        root=("pelvis",),
        train=tuple(f"S{n}" for n in range(1, 9)),
        test=tuple(f"TS{n}" for n in range(1, 7)),
        actions=(),
        fps=25.0,
        averaging="frame",
        frames="frames marked valid",
        source="Mehta et al., 3DV 2017, section 6; 17 joints, universal skeleton, averaging over frames: Shan et al. "
        "(P-STMO), ECCV 2022, and its loader",
        notes="The authors' script gives PCK by groups of joints and by activity as well; works before P-STMO "
        "score 14 "
        "joints, or the true skeleton (annot3) instead of the universal one: their numbers do not compare.",
    ),
    Protocol(
        name="humaneva",
        dataset="humaneva",
        metrics=("pa_mpjpe_mm", "mpjpe_mm"),
        skeleton="humaneva_15",
        joints=joint_sets.HUMANEVA_15.joint_names,
        root=("pelvis",),
        train=("Train/S1", "Train/S2", "Train/S3"),
        test=("Validate/S1", "Validate/S2", "Validate/S3"),
        actions=("Walking", "Jog", "Box"),
        fps=60.0,
        averaging="action",
        source="Pavllo et al., CVPR 2019, section 5 and table 3 (each subject apart, one model for three actions)",
        frames="all frames of chunks without capture faults, three colour cameras",
        notes="The table gives each subject's actions apart and then their mean: group by subject and action.",
    ),
    Protocol(
        name="3dpw",
        dataset="threedpw",
        metrics=("pa_mpjpe_mm", "mpjpe_mm", "acceleration_m_per_s2"),
        skeleton=None,
        joints=_LSP_14,
        root=("left_hip", "right_hip"),
        train=(),
        test=("test",),
        actions=(),
        fps=30.0,
        averaging="frame",
        frames="frames of the official test split whose camera is valid, each person",
        source="Kanazawa et al. (HMR), CVPR 2018, and Kolotouros et al. (SPIN), ICCV 2019: 14 joints regressed from "
        "the SMPL mesh with the Human3.6M regressor; ACCEL: Kanazawa et al. (HMMR), 2019",
        notes="Needs the SMPL mesh of truth and estimate, and that regressor; poses relative to the middle of the "
        "hips.",
    ),
    Protocol(
        name="3dpw/challenge",
        dataset="threedpw",
        metrics=("mpjpe_mm", "pa_mpjpe_mm", "pck", "auc"),
        skeleton="smpl_24",
        joints=joint_sets.SMPL_24.joint_names,
        root=("pelvis",),
        train=(),
        test=("train", "validation", "test"),
        actions=(),
        fps=30.0,
        averaging="frame",
        frames="frames whose camera is valid, each person",
        source="3DPW Challenge, ECCV 2020 workshop, https://github.com/aymenmir1/3dpw-eval",
        pck_threshold_mm=50.0,
        auc_thresholds_mm=tuple(float(t) for t in range(0, 201)),
        notes="The challenge counts PCK over shoulders, elbows, wrists, hips, knees and ankles; its step between AUC "
        "thresholds (0 to 200 mm) is not stated in its description: 1 mm here.",
    ),
)
PROTOCOLS: dict[str, Protocol] = {p.name: p for p in _ALL}
"""All protocols by name."""


def get(name: str) -> Protocol:
    """Find a protocol by name, such as `h36m/p1`; `LookupError` lists the known names."""
    if name not in PROTOCOLS:
        raise LookupError(f"no protocol {name!r}; the known ones are: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def sequence_scores(
    protocol: Protocol, predicted: Array, target: Array, joint_names: tuple[str, ...]
) -> dict[Metric, Array]:
    """Score one sequence as a protocol wants it, one number per frame, to be averaged (`averaging.average`).

    Args:
        protocol: from `get`.
        predicted: (T, ..., J, 3) metres, camera or world axes, consecutive frames.
        target: the same shape.
        joint_names: names of the J joints, holding all that the protocol scores or takes as root.

    Returns:
        Metric -> (T, ...); velocities (T - 1, ...) and accelerations (T - 2, ...).

    Raises:
        ValueError: a joint of the protocol is lacking, or shapes differ.
    """
    missing = [j for j in (*protocol.joints, *protocol.root) if j not in joint_names]
    if missing:
        raise ValueError(f"protocol {protocol.name} scores {', '.join(missing)}, which the poses lack")
    root = tuple(joint_names.index(j) for j in protocol.root)
    order = [joint_names.index(j) for j in protocol.joints]
    p, t = (root_relative(x, root)[..., order, :] for x in (predicted, target))
    return {metric: _score(protocol, metric, p, t) for metric in protocol.metrics}


def _score(protocol: Protocol, metric: Metric, p: Array, t: Array) -> Array:
    if metric == "mpjpe_mm":
        return mpjpe(p, t)
    if metric == "pa_mpjpe_mm":
        return pa_mpjpe(p, t)
    if metric == "n_mpjpe_mm":
        return n_mpjpe(p, t)
    if metric == "mpjve_mm_per_frame":
        return velocity_errors(p, t)
    if metric == "acceleration_m_per_s2":
        return acceleration_errors(p, t, protocol.fps)
    return pck(p, t, protocol.pck_threshold_mm) if metric == "pck" else auc(p, t, protocol.auc_thresholds_mm)
