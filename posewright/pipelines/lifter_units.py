"""What a published lifter reads and gives, in its own units, from screen keypoints and to metres.

Convention: screen units x / w * 2 - 1 and y / w * 2 - h / w; metres, camera axes, relative to the pelvis.
"""

import torch
from torch import Tensor

from posewright.evaluate.lifters import Lifter
from posewright.evaluate.units import camera_from_image


def network_input(lifter: Lifter, screen: Tensor, confidence: Tensor) -> Tensor:
    """What the network reads (T, K, C): screen keypoints, standardised or with confidence where it wants that."""
    if lifter.statistics is not None:
        screen = (screen - lifter.statistics["keypoint_mean"]) / lifter.statistics["keypoint_deviation"]
    if lifter.facts.channels == 2:
        return screen
    # the published 3DHP models were trained with confidence 1 everywhere
    told = torch.ones_like(confidence) if lifter.facts.skeleton.name == "mpi_17" else confidence
    return torch.cat([screen, told[..., None]], -1)


def metric_joints(lifter: Lifter, joints: Tensor, screen: Tensor, focal: float, fps: float) -> Tensor:
    """The network's answer (T, J, 3) in metres, by the units it gives; see `JointUnits`."""
    if lifter.facts.joint_units == "image":
        root = screen[:, lifter.facts.skeleton.index("pelvis")]
        return camera_from_image(joints, root, focal, lifter.facts.output_skeleton, fps)
    if lifter.facts.joint_units == "standardised":
        assert lifter.statistics is not None
        return joints * lifter.statistics["joint_deviation"] + lifter.statistics["joint_mean"]
    return joints
