"""Two sequences of two cameras in each part of the pickle, all frames one after another."""

import pickle

import numpy as np

from posewright.datasets.human36m import CAMERAS
from tests.datasets.trees.figures import camera, figure, picture


def write(root):
    data = {}
    for part, subject in (("train", 1), ("test", 9)):
        columns = {
            k: [] for k in ("joint_2d", "confidence", "joint3d_image", "camera_name", "source", "action")
        }
        columns |= {"2.5d_factor": [], "joints_2.5d_image": []}
        for take in (1, 2):
            for n, (name, size) in enumerate(CAMERAS.items()):
                joints = figure("h36m_17", 8 + take)
                K, R, t = camera(0.4 + 1.5 * n, size, 1145.0)
                pixels, depth = picture(joints, K, R, t), 1000 * (joints @ R.T + t)[..., 2]
                factor = depth[:, :1] / K[0, 0]
                image = np.concatenate([pixels, ((depth - depth[:, :1]) / factor)[..., None]], -1)
                T = len(joints)
                columns["joint_2d"] += list(pixels)
                columns["confidence"] += [np.full(17, 0.9)] * T
                columns["joint3d_image"] += list(image)
                columns["camera_name"] += [name] * T
                columns["source"] += [f"s_{subject:02d}_act_{take + 1:02d}_subact_01_ca_{n + 1:02d}"] * T
                columns["action"] += ["Walking"] * T
                columns["2.5d_factor"] += list(factor[:, 0])
                columns["joints_2.5d_image"] += list(image * factor[..., None])
        lists = ("source", "action", "camera_name")
        data[part] = {k: v if k in lists else np.array(v, "f") for k, v in columns.items()}
    (root / "h36m_sh_conf_cam_source_final.pkl").write_bytes(pickle.dumps(data))
