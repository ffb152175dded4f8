"""32 joints, true 2D of four distorted cameras, and noisy detections that run on after the motion."""

import numpy as np

from posewright.datasets.human36m import CAMERAS, KEPT
from tests.datasets.trees.figures import boxed, camera, figure, picture

LENS = (-0.2, 0.24, -0.0014, 0.001, -0.003)


def write(root):
    rng = np.random.default_rng(0)
    truth, true_2d, detected = {}, {}, {}
    for s, subject in enumerate(("S1", "S9")):
        for d in (truth, true_2d, detected):
            d[subject] = {}
        for a, action in enumerate(("Walking", "Walking 1", "Sitting")):
            joints = figure("h36m_17", 10 + a) + [0.4 * a - 0.4, 0.3 * a, 0.05 * a]
            full = rng.normal(size=(len(joints), 32, 3))
            full[:, KEPT] = joints
            views = []
            for n, size in enumerate(CAMERAS.values()):
                views.append(
                    picture(joints, *camera(0.5 + 1.5 * n + 0.1 * s, size, 1145 + n), LENS).astype("f")
                )
            truth[subject][action] = full.astype("f")
            true_2d[subject][action] = views
            longer = [np.concatenate([v, v[-1:]]) for v in views]
            detected[subject][action] = [v + rng.normal(0, 3, v.shape).astype("f") for v in longer]
    about = {
        "layout_name": "h36m",
        "num_joints": 17,
        "keypoints_symmetry": [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]],
    }
    np.savez(root / "data_3d_h36m.npz", positions_3d=boxed(truth))
    np.savez(root / "data_2d_h36m_gt.npz", positions_2d=boxed(true_2d), metadata=boxed(about))
    np.savez(root / "data_2d_h36m_cpn_ft_h36m_dbb.npz", positions_2d=boxed(detected), metadata=boxed(about))
