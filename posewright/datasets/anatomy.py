"""Points that motion capture leaves out: heels, nose, eyes and ears, placed by anatomy.

These points are SYNTHETIC: no recording here measures them. Heels follow the foot and the shin; the head points
are a rigid template on the neck-head bone, turned by angles that the caller draws.

Sizes: bitragion breadth 145 mm, interpupillary breadth 65 mm and tragion-to-eye distances after the US Army
anthropometric survey (ANSUR, Gordon et al. 1989), male means; heel 0.25 foot lengths behind the ankle and
ankle height 0.039 statures after Winter, Biomechanics and Motor Control of Human Movement (1990). Rounded to
5 mm.
"""

import torch
from torch import Tensor

from posewright.datasets.mocap import MOCAP_19
from posewright.skeletons.joint_sets import BODY_26

_HEAD_POINTS = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
_HEAD_TEMPLATE = torch.tensor(
    [
        [0.0, 0.115, 0.045],
        [0.0325, 0.090, 0.085],
        [-0.0325, 0.090, 0.085],
        [0.0725, 0.010, 0.075],
        [-0.0725, 0.010, 0.075],
    ]
)
"""(5, 3) metres from the base of the head: to the person's left, forward, up."""
_HEEL_BACK, _HEEL_DOWN = 0.050, 0.040

_M = {n: i for i, n in enumerate(MOCAP_19.joint_names)}


def _unit(v: Tensor) -> Tensor:
    return v / v.norm(dim=-1, keepdim=True).clamp_min(1e-6)


def heels(joints: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """Left and right heel (..., 2, 3) from `MOCAP_19` joints (..., 19, 3): behind and below the ankle.

    Args:
        joints: metres.
        scale: size of the heel relative to the mean adult, broadcast to (..., 1, 1).
    """
    ankle = joints[..., [_M["left_ankle"], _M["right_ankle"]], :]
    forward = _unit(joints[..., [_M["left_toe"], _M["right_toe"]], :] - ankle)
    shin = joints[..., [_M["left_knee"], _M["right_knee"]], :] - ankle
    up = _unit(shin - (shin * forward).sum(-1, keepdim=True) * forward)
    return ankle - scale * (_HEEL_BACK * forward + _HEEL_DOWN * up)


def head_points(joints: Tensor, yaw: Tensor, pitch: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """Nose, eyes and ears (..., 5, 3) from `MOCAP_19` joints, the head turned against the chest.

    Args:
        joints: (..., 19, 3) metres.
        yaw: (...,) radians about the neck-head bone, positive to the person's left.
        pitch: (...,) radians, positive looks up.
        scale: size of the head relative to the mean adult, broadcast to (..., 1, 1).
    """
    up = _unit(joints[..., _M["head"], :] - joints[..., _M["neck"], :])
    left = joints[..., _M["left_shoulder"], :] - joints[..., _M["right_shoulder"], :]
    left = _unit(left - (left * up).sum(-1, keepdim=True) * up)
    forward = torch.cross(left, up, dim=-1)
    c, s = yaw.cos()[..., None], yaw.sin()[..., None]
    left, forward = c * left - s * forward, c * forward + s * left
    c, s = pitch.cos()[..., None], pitch.sin()[..., None]
    forward, up = c * forward + s * up, c * up - s * forward
    axes = torch.stack([left, forward, up], dim=-2)
    template = scale * _HEAD_TEMPLATE.to(joints)
    return joints[..., _M["neck"], None, :] + template @ axes


def with_anatomy(joints: Tensor, yaw: Tensor, pitch: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """`BODY_26` points (..., 26, 3) from `MOCAP_19` joints (..., 19, 3) and the turn of the head."""
    names = [*MOCAP_19.joint_names, "left_heel", "right_heel", *_HEAD_POINTS]
    points = torch.cat([joints, heels(joints, scale), head_points(joints, yaw, pitch, scale)], dim=-2)
    return points[..., [names.index(n) for n in BODY_26.joint_names], :]
