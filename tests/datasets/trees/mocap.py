"""A subject per split, two sequences in one file."""

import numpy as np

from posewright.datasets.mocap import MOCAP_19
from tests.datasets.trees.figures import figure


def write(root):
    for split, subject in (("train", "05"), ("val", "06")):
        (root / split).mkdir()
        body = np.concatenate([figure("h36m_17", 8), figure("h36m_17", 9)])
        toes = np.concatenate([figure("body_24", 8), figure("body_24", 9)])
        from posewright.skeletons.joint_sets import BODY_24

        toes = toes[:, BODY_24.indices("left_toe", "right_toe")]
        valid = np.ones(17, bool)
        valid[4] = False
        np.savez(
            root / split / f"cmu_{subject}.npz", positions=toes, joint_names=np.array(["ltoes", "rtoes"]), h36m17=body,
            valid=valid, seq_start=np.array([0, 8, 17]), seq_names=np.array([f"{subject}_01", f"{subject}_02"]),
            seq_description=np.array(["walk", "walk"]), subject=subject, skeleton="asf", fps=50.0,
        )  # fmt: skip
        assert len(MOCAP_19) == 19
