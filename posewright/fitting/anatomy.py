"""What is known of people before anything is seen: how far joints turn, how hinges bend, which poses are likely."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from posewright.bodies.model import BodyModel
from posewright.fitting.hinges import hinge_limits, hinges, unrolled
from posewright.fitting.mixture import completed
from posewright.fitting.points import BodyPoints, active_joints
from posewright.fitting.pose import PoseOptions
from posewright.fitting.prior import LikelyPose, shipped_prior
from posewright.fitting.terms import Habits, Term
from posewright.geometry.rotations import matrix_to_rotvec, rotvec_to_matrix

_HABITS = {
    "spine": (0.15, 0.12, 0.15),
    "neck": (0.25, 0.2, 0.3),
    "clavicle": (0.12, 0.25, 0.25),
    "shoulder": (1.2, 1.2, 1.2),
    "elbow": (1.2, 1.2, 1.2),
    "hip": (1.0, 0.6, 0.6),
    "knee": (1.2, 0.15, 0.15),
    "ankle": (0.5, 0.3, 0.3),
    "root": (math.inf, math.inf, math.inf),
}
"""Radians by which joints usually turn about the body's axes at rest: left-right, forward, up."""


LIMBS = ("shoulder", "elbow", "hip", "knee", "ankle")
"""Joints of which the prior alone tells how they turn."""


def standing_terms(body: BodyModel, points: BodyPoints, options: PoseOptions) -> tuple[Term, ...]:
    """Terms that hold in every frame: habits or the learned prior, and the limits of hinges.

    A body that the prior is not about gets habits. Beside the prior, trunk and neck keep theirs: joints of other
    sources than recordings would else bend the bones of the spine against one another.
    """
    roles = joint_roles(body)
    precision = options.habit / habits(points, roles).square()
    terms: list[Term] = []
    if options.prior > 0 and shipped_prior().fits(body, points):
        terms.append(LikelyPose(shipped_prior().mixture, options.prior))
        limbs = [a for a, joint in enumerate(points.active) if roles.get(joint) in LIMBS]
        precision[limbs] = 0.0
    terms.append(Habits(precision))
    known = hinges(body, points) if options.limits else None
    if known is not None:
        terms.append(hinge_limits(known, len(points.active), options.limit_sigma, options.side_sigma))
    return tuple(terms)


def unrolled_start(
    body: BodyModel, points: BodyPoints, local: Float[Tensor, "N A 3 3"], options: PoseOptions
) -> Float[Tensor, "N A 3 3"]:
    """A first guess whose bent limbs bend about their hinges, where these are known."""
    known = hinges(body, points) if options.limits else None
    return local if known is None else unrolled(known, local)


def likely_start(
    body: BodyModel, points: BodyPoints, local: Float[Tensor, "N A 3 3"], told: Bool[Tensor, "N A"]
) -> Float[Tensor, "N A 3 3"]:
    """A pose in which joints that nothing speaks for turn as they likely do beside the others, for Anny."""
    if not shipped_prior().fits(body, points) or bool(told[:, 1:].all()):
        return local
    turn = matrix_to_rotvec(local[:, 1:])
    known = told[:, 1:, None].expand_as(turn)
    filled = completed(shipped_prior().mixture, turn.flatten(1), known.flatten(1))
    return torch.cat([local[:, :1], rotvec_to_matrix(filled.unflatten(1, (-1, 3)))], 1)


def habits(body_points: BodyPoints, roles: dict[int, str]) -> Float[Tensor, "A 3"]:
    """How far each active joint usually turns, radians; `roles` names what a joint is, such as `knee`."""
    rows = [_HABITS[roles.get(joint, "spine")] for joint in body_points.active]
    return torch.tensor(rows, dtype=torch.float64)


def joint_roles(body: BodyModel) -> dict[int, str]:
    """What each active joint is: `root`, `hip`, `clavicle`...; not named: a bone of the spine."""
    roles = {0: "root"}
    for side in ("left", "right"):
        for limb in ("clavicle", "shoulder", "elbow", "hip", "knee", "ankle"):
            rule = body.points.get(f"{side}_{limb}", ())
            if len(rule) == 1:
                roles[body.joint_names.index(rule[0])] = limb
    trunk, joint = (
        set(),
        body.joint_names.index(body.points["left_clavicle"][0]) if "left_clavicle" in body.points else 0,
    )
    while joint >= 0:
        trunk.add(joint)
        joint = body.parents[joint]
    return {j: "neck" for j in active_joints(body) if j not in trunk} | roles
