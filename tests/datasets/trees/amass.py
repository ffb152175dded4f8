"""Both releases, a set of each split, and body models whose joints stand where the figure's do."""

import numpy as np

from posewright.datasets.amass import SMPL_22
from posewright.io.axes import z_up_to_y_up

REST = {
    "pelvis": (0.0, 0.0, 0.95),
    "hip": (0.09, 0.0, 0.89),
    "knee": (0.09, 0.0, 0.46),
    "ankle": (0.09, 0.0, 0.05),
    "foot": (0.09, -0.12, 0.02),
    "spine1": (0.0, 0.0, 1.07),
    "spine2": (0.0, 0.0, 1.19),
    "spine3": (0.0, 0.0, 1.29),
    "thorax": (0.0, 0.0, 1.45),
    "neck": (0.0, 0.0, 1.52),
    "clavicle": (0.08, 0.0, 1.4),
    "shoulder": (0.18, 0.0, 1.43),
    "elbow": (0.45, 0.0, 1.43),
    "wrist": (0.7, 0.0, 1.43),
}
"""Of the left side, Z up, facing -Y."""


def rest_joints():
    out = []
    for name in SMPL_22.joint_names:
        side, _, rest = name.partition("_")
        x, y, z = REST[rest or name]
        out.append((-x if side == "right" else x, y, z))
    return z_up_to_y_up(np.array(out, float))


def write(root):
    rng = np.random.default_rng(0)
    rest = rest_joints()
    upright = np.array([np.pi / 2, 0, 0])
    for path, numbers, rate in (
        ("ACCAD/Female1/B1_stand_poses.npz", 156, {"mocap_framerate": 120.0}),
        ("SFU/0005/0005_Walking001_poses.npz", 156, {"mocap_framerate": 100.0}),
        ("SSM/one/take_stageii.npz", 165, {"mocap_frame_rate": 60.0}),
    ):
        poses = np.zeros((12, numbers))
        poses[:, :3] = upright
        poses[:, 3:66] = rng.normal(0, 0.05, (12, 63))
        (root / path).parent.mkdir(parents=True)
        trans = np.linspace([0, 0, 0], [0.2, -1, 0], 12)
        np.savez(
            root / path, poses=poses, trans=trans, betas=np.array([0.3] + [0.0] * 15), gender="female", **rate
        )
    for file, joints in (("smplh/female/model.npz", 52), ("smplx/SMPLX_NEUTRAL.npz", 55)):
        (root / "body_models" / file).parent.mkdir(parents=True)
        V = 60
        template = np.zeros((V, 3))
        template[:22] = rest
        blend = np.zeros((V, 3, 16))
        blend[:22, :, 0] = 0.1 * (rest - rest[:1])
        np.savez(
            root / "body_models" / file, J_regressor=np.eye(joints, V), v_template=template, shapedirs=blend
        )
