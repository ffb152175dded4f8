"""A fitted body in the layout of AMASS, `body_amass.npz`: one person's shape and poses as plain arrays.

Keys: `trans` (T, 3) metres, `poses` (T, 3 J) rotation vectors of all J joints of the body, the root first, `betas`
(S,), `mocap_framerate`, `gender` (`neutral`), as the SMPL-H releases of AMASS have them, and `body_model`,
`joint_names`, `parents`, `shape_names`, which say what the numbers mean: the joints, zero pose and shape are this
body's own and not SMPL's, so a program that poses an SMPL body with them gets a wrong one.

Convention: world Z up, metres, radians; a missing person is NaN. Read back by `read`, and by anything that reads npz.
"""

from pathlib import Path

import numpy as np
import torch

from posewright.core.files import atomic_path
from posewright.geometry.rotations import (
    matrix_to_quat_wxyz,
    matrix_to_rotvec,
    quat_wxyz_to_matrix,
    rotvec_to_matrix,
)
from posewright.io.npz import read_arrays
from posewright.io.user_files import expect, reading
from posewright.structures.motion_bodies import BodyRig, MotionBodies


def write(bodies: MotionBodies, p: int, rig: BodyRig, fps: float, path: str | Path) -> None:
    """Write one person's body.

    Args:
        bodies: of a motion.
        p: place of the person among them.
        rig: of that person.
        fps: frames per second.
        path: the `.npz` file.
    """
    T, J = len(bodies.transl), len(rig.joint_names)
    poses = np.zeros((T, J, 3), np.float32)
    for a, name in enumerate(bodies.joint_names):
        quats = torch.from_numpy(bodies.rotations_wxyz[:, p, a])
        poses[:, rig.joint_names.index(name)] = matrix_to_rotvec(quat_wxyz_to_matrix(quats)).numpy()
    poses[~bodies.present()[:, p]] = np.nan
    arrays = {
        "trans": bodies.transl[:, p],
        "poses": poses.reshape(T, 3 * J),
        "betas": bodies.betas[p],
        "gender": np.array("neutral"),
        "mocap_framerate": np.array(float(fps)),
        "body_model": np.array(bodies.model),
        "joint_names": np.array(rig.joint_names),
        "parents": np.array(rig.parents, np.int64),
        "shape_names": np.array(bodies.shape_names),
    }
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)  # pyright: ignore[reportArgumentType]


def read(path: str | Path) -> tuple[MotionBodies, float]:
    """Read the body of one person: every joint as one that turns, and the frames per second.

    Raises:
        InputError: absent, damaged, or a file of AMASS itself, whose bodies are SMPL's (`datasets.amass` reads those).
    """
    with reading(path, "body in the AMASS layout (.npz)") as path:
        a = read_arrays(path)
        lacking = [k for k in ("poses", "trans", "betas", "mocap_framerate") if k not in a]
        expect(not lacking, f"has no {', '.join(lacking)}")
        expect("body_model" in a, "does not name its body_model: posewright.datasets.amass reads SMPL's")
        names = tuple(str(n) for n in a["joint_names"])
        rotvec = torch.from_numpy(a["poses"].astype(np.float32)).reshape(len(a["poses"]), len(names), 3)
        bodies = MotionBodies(
            model=str(a["body_model"]),
            shape_names=tuple(str(n) for n in a["shape_names"]),
            joint_names=names,
            betas=a["betas"].astype(np.float32)[None],
            rotations_wxyz=matrix_to_quat_wxyz(rotvec_to_matrix(rotvec)).numpy()[:, None],
            transl=a["trans"].astype(np.float32)[:, None],
        )
        return bodies, float(a["mocap_framerate"])
