"""A take of each split whose world is Y up, filmed by two still cameras, millimetres."""

import json

import numpy as np

from tests.datasets.trees.figures import camera, figure

TO_FILE = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""Z up to Y up."""


def write(root):
    cameras = {}
    for n in (1, 2):
        K, R, t = camera(0.7 * n, (1920, 1080), 1800.0)
        cameras[f"cam_{n}"] = {
            "affine_intrinsics_matrix": K.tolist(),
            "distortion": [0.0] * 5,
            "extrinsic_matrix": (np.diag([1.0, -1, -1]) @ R @ TO_FILE.T).tolist(),
            "xyz": (1000 * TO_FILE @ (-R.T @ t)).tolist(),
        }
    (root / "cam_param.json").write_text(json.dumps(cameras))
    for split in ("train_set", "valid_set", "test_set"):
        folder = root / "data" / split / "S1"
        folder.mkdir(parents=True)
        for n in (1, 2):
            name = f"Axel_1_cam_{n}"
            about = {
                "video_width": 1920,
                "video_height": 1080,
                "fps": 60.0,
                "type": "Axel",
                "cam": f"cam_{n}",
            }
            (folder / f"{name}.json").write_text(json.dumps(about | {"source_file": f"{name}.mp4"}))
            np.save(folder / f"{name}_h36m.npy", 1000 * figure("h36m_17", 10) @ TO_FILE.T)
