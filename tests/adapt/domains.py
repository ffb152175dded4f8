"""Small motion, small lifters and small footage for the tests of adaptation."""

import numpy as np
import torch

from posewright.adapt.student import Student, student_of
from posewright.datasets.mocap import MOCAP_19, MocapSequence
from posewright.datasets.procedural import walk
from posewright.datasets.synthetic import SyntheticClips
from posewright.evaluate.lifters import as_lifter
from posewright.models import find
from posewright.models.lifting import raylift
from posewright.skeletons.joint_sets import RIG_26
from posewright.structures.keypoints import Keypoints2D
from posewright.train.lifting import ZOO_CLIPS
from tests.models.lifting.small import SMALL
from tests.pipelines.test_lift_zoo import statistics
from tests.scenes import camera_at, film

CAMERA = camera_at()


def source() -> SyntheticClips:
    order = [RIG_26.index(n) for n in MOCAP_19.joint_names]
    joints = walk(seconds=4, fps=50).joints[:, 0, order].astype(np.float32)
    take = MocapSequence("99_01", "99", "walk", "asf", 50.0, joints, np.ones(len(joints), bool))
    return SyntheticClips([take], ZOO_CLIPS)


def student(special: str = "lifting/mixste") -> Student:
    torch.manual_seed(0)
    if special == "lifting/raylift":
        return student_of(raylift.Model(raylift.Config(dim=32, depth=2, heads=2, hidden=64)).eval())
    config, _ = SMALL[special]
    method = find(special.partition(":")[0])
    facts = method.lifting(config) if hasattr(method, "lifting") else method.LIFTING
    return student_of(as_lifter(method.Model(config), statistics=statistics(facts)))


def h36m_footage(seconds: float = 3.0) -> Keypoints2D:
    """Somebody walks past, seen as Human3.6M's joints."""
    from posewright.skeletons.convert import convert
    from posewright.skeletons.joint_sets import H36M_17

    motion = walk(seconds, 50.0, heading=1.2)
    joints, confidence, _ = convert(motion.joints, motion.confidence, motion.skeleton, H36M_17)
    seen = joints @ CAMERA.R.T + CAMERA.t
    pixels = ((seen / seen[..., 2:]) @ CAMERA.K.T)[..., :2]
    return Keypoints2D(
        H36M_17, pixels.astype(np.float32), confidence.astype(np.float32), CAMERA.image_size, 50.0
    )


def coco_footage(seconds: float = 3.0) -> Keypoints2D:
    """The same, as the default lifter reads it."""
    return film(walk(seconds, 50.0, heading=1.2), CAMERA)
