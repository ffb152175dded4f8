"""Chunks of two people in both splits, three cameras, true 2D."""

import numpy as np

from tests.datasets.trees.figures import boxed, camera, figure, picture


def write(root):
    truth, true_2d = {}, {}
    for s, subject in enumerate(("Train/S1", "Train/S2", "Validate/S1", "Validate/S2")):
        truth[subject], true_2d[subject] = {}, {}
        for a, chunk in enumerate(("Walking 1 chunk0", "Box 1 chunk2")):
            joints = figure("humaneva_15", 9 + a) + [0.3 * a, 0.2 * s, 0.0]
            truth[subject][chunk] = joints.astype("f")
            true_2d[subject][chunk] = [
                picture(joints, *camera(0.3 + 2 * n + 0.1 * (s % 2), (640, 480), 700.0)).astype("f")
                for n in range(3)
            ]
    about = {"layout_name": "humaneva15", "num_joints": 15}
    np.savez(root / "data_3d_humaneva15.npz", positions_3d=boxed(truth))
    np.savez(root / "data_2d_humaneva15_gt.npz", positions_2d=boxed(true_2d), metadata=boxed(about))
