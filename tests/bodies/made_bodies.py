"""Files of random numbers in the layout of the SMPL family: licensed files are not ours to ship."""

import numpy as np
import torch

from posewright.bodies.smpl_joints import KINDS, Kind
from posewright.geometry.rotations import rotvec_to_matrix

SIZES = {"smpl": 10, "smplh": 10, "smplx": 20, "mano": 10, "flame": 20}
"""Columns of `shapedirs`."""


def kind(name: str) -> Kind:
    return next(k for k in KINDS if k.name == name)


def arrays(name: str, seed: int = 0) -> dict[str, np.ndarray]:
    """The arrays of one file: a column of points, every joint the child of an earlier one."""
    rng = np.random.default_rng(seed)
    vertices, joints = kind(name).vertices, len(kind(name).joint_names)
    template = rng.uniform(-1, 1, (vertices, 3)) * (0.3, 0.9, 0.2)
    regressor = np.zeros((joints, vertices))
    regressor[np.arange(joints)[:, None], rng.integers(0, vertices, (joints, 5))] = 0.2
    regressor /= regressor.sum(1, keepdims=True)
    weights = np.zeros((vertices, joints))
    weights[np.arange(vertices)[:, None], rng.integers(0, joints, (vertices, 4))] = rng.uniform(
        0.1, 1, (vertices, 4)
    )
    parents = [2**32 - 1, *(int(rng.integers(0, j)) for j in range(1, joints))]
    return {
        "v_template": template,
        "shapedirs": 0.02 * rng.standard_normal((vertices, 3, SIZES[name])),
        "posedirs": (0.01 * rng.standard_normal((vertices, 3, 9 * (joints - 1)), dtype=np.float32)),
        "J_regressor": regressor,
        "kintree_table": np.array([parents, range(joints)], np.int64),
        "weights": weights / weights.sum(1, keepdims=True),
        "f": rng.integers(0, vertices, (200, 3)).astype(np.uint32),
    }


def parameters(name: str, seed: int = 7):
    """Random pose (3, J, 3) radians, betas (3, 10), translation (3, 3), expression (3, 10) or None."""
    rng = np.random.default_rng(seed)
    sizes = ((len(kind(name).joint_names), 3), (10,), (3,), (10,))
    pose, betas, transl, expression = (torch.from_numpy(rng.standard_normal((3, *size))) for size in sizes)
    return 0.4 * pose, betas, transl, expression if kind(name).has_expression else None


def anny_parameters(seed: int = 0, count: int = 6):
    """Random phenotypes (N, 6), face actions (N, 52), rotations (N, 104, 3, 3), root places (N, 3).

    The first has the default shape, the second is younger than a baby, the third beyond the end of a scale.
    """
    rng = np.random.default_rng(seed)
    shape, face = torch.from_numpy(rng.random((count, 6))), torch.from_numpy(rng.random((count, 52)))
    shape[0], shape[1, 1], shape[2, 0] = 0.5, -0.2, 1.3
    rotations = rotvec_to_matrix(torch.from_numpy(0.5 * rng.standard_normal((count, 104, 3))))
    return shape, face, rotations, torch.from_numpy(rng.standard_normal((count, 3)))
