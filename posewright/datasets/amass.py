"""AMASS (Mahmood et al., ICCV 2019): motion capture of many laboratories as SMPL-H or SMPL-X parameters, 60 to 250 Hz.

`<set>/<subject>/<name>_poses.npz` (SMPL-H) or `_stageii.npz` (SMPL-X): `poses` (T, 156 or 165) rotation vectors
(root, 21 body joints, then face and hands), `trans` (T, 3) metres, `betas`, `gender`, `mocap_framerate` (SMPL-X:
`mocap_frame_rate`).

Joints follow from the user's own body model file (the joints of the shaped, unposed mesh, then forward kinematics);
this needs three of its arrays, not the mesh. Hands and face are left out.

Convention: world Z up, metres. Rotations are turned from the body model's axes (Y up, facing +Z) to ours (Z up,
facing -Y); the rest pose is the model's T-pose. Joints are the first 22 of `SMPL_24`.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from posewright.core.errors import InputError
from posewright.datasets.takes import DatasetCard, Take, check_split, missing_files, require_layout
from posewright.geometry.kinematics import forward_kinematics
from posewright.geometry.rotations import matrix_to_quat_wxyz, rotvec_to_matrix
from posewright.io.axes import y_up_to_z_up
from posewright.io.user_files import expect, reading
from posewright.skeletons.joint_sets import SMPL_24
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.motion import Motion

SMPL_22 = Skeleton("smpl_22", SMPL_24.joint_names[:22], SMPL_24.parents[:22])
"""The body joints that SMPL, SMPL-H and SMPL-X share."""
SPLITS = {
    "validate": ("HumanEva", "MPI_HDM05", "SFU", "MPI_mosh", "HDM05", "MoSh"),
    "test": ("Transitions_mocap", "Transitions", "SSM_synced", "SSM"),
}
"""Sets of each split, under the names of both releases; all others are `train`."""
MODELS = {156: ("smplh", 52), 165: ("smplx", 55)}
"""Numbers per pose -> body model and its joints."""

CARD = DatasetCard(
    title="AMASS",
    licence="AMASS: non-commercial research; no redistribution; each set of motions with terms of its own",
    obtain="Register at https://amass.is.tue.mpg.de and download the sets as SMPL-H (G) or SMPL-X (G, N); body "
    "models at "
    "https://mano.is.tue.mpg.de (extended SMPL+H) and https://smpl-x.is.tue.mpg.de.",
    layout="root/\n  <set>/<subject>/*_poses.npz  or  *_stageii.npz\n"
    "  body_models/smplh/<gender>/model.npz  or  body_models/smplx/SMPLX_<GENDER>.npz\n"
    "  (the body models may lie elsewhere: option body_models, or POSEWRIGHT_BODIES)",
    rests_on="The AMASS releases' keys as third-party loaders read them, and the splits of nghorbani/amass; not "
    "verified "
    "against the real files.",
    splits=("train", "validate", "test"),
    gives="world motion of 22 body joints with rotations and rest pose, at the recording's rate",
)


def missing(root: str | Path) -> list[str]:
    """Files that `root` lacks: parameters of either release."""
    found = [missing_files(root, pattern) for pattern in ("**/*_poses.npz", "**/*_stageii.npz")]
    return [] if not all(found) else found[0]


def read(
    root: str | Path, split: str | None = None, *, body_models: str | Path | None = None
) -> Iterator[Take]:
    """Read motions, file by file.

    Args:
        root: the folder that holds the sets.
        split: `train`, `validate`, `test` or None: all; by set, as the authors split them.
        body_models: folder that holds `smplh` or `smplx`; None: `$POSEWRIGHT_BODIES`, or `root/body_models`.

    Raises:
        InputError: files missing, damaged, or no body model for them.
    """
    check_split(CARD, split)
    root = require_layout(CARD, root, missing(root))
    folder = Path(body_models or os.environ.get("POSEWRIGHT_BODIES") or root / "body_models")
    for path in sorted([*root.glob("**/*_poses.npz"), *root.glob("**/*_stageii.npz")]):
        parts = path.relative_to(root).parts
        part = next((s for s, sets in SPLITS.items() if parts[0] in sets), "train")
        if split in (None, part):
            yield _take(path, parts, folder)


def _take(path: Path, parts: tuple[str, ...], folder: Path) -> Take:
    with reading(path, "AMASS motion (.npz)"):
        with np.load(path, allow_pickle=False) as data:
            lacking = [key for key in ("poses", "trans", "betas") if key not in data.files]
            expect(not lacking, f"has no {', '.join(lacking)}; it holds: {', '.join(data.files)}")
            poses, trans, betas = (np.asarray(data[key], np.float64) for key in ("poses", "trans", "betas"))
            rate = next((key for key in ("mocap_framerate", "mocap_frame_rate") if key in data.files), None)
            expect(rate is not None, "says no frame rate (mocap_framerate, mocap_frame_rate)")
            fps = float(data[str(rate)])
            gender = _text(data["gender"]) if "gender" in data.files else "neutral"
        T = len(poses)
        expect(
            poses.ndim == 2 and poses.shape[1] in MODELS and trans.shape == (T, 3),
            f"poses has shape {poses.shape} and trans {trans.shape}, expected (frames, 156 or 165) and (frames, 3)",
        )
    rest = _rest_joints(_model_file(folder, MODELS[poses.shape[1]][0], gender), betas.ravel())
    motion = pose_body(rest, poses[:, :66].reshape(T, 22, 3), trans, fps, path.name)
    name = "/".join((*parts[:-1], path.stem))
    return Take(
        name, "/".join(parts[:-1]), path.stem.removesuffix("_poses").removesuffix("_stageii"), fps, motion
    )


def pose_body(rest: np.ndarray, rotvecs: np.ndarray, trans: np.ndarray, fps: float, source: str) -> Motion:
    """Joints of a SMPL body over time.

    Args:
        rest: (22, 3) metres, joints of the shaped, unposed body, in the model's axes (Y up, facing +Z).
        rotvecs: (T, 22, 3) radians, the root's into the Z-up world, the others relative to their parents.
        trans: (T, 3) metres, added to every vertex.
        fps: frames per second.
        source: file, for the history.
    """
    parents = SMPL_22.parents
    to_ours = torch.from_numpy(y_up_to_z_up(np.eye(3)).T.copy())
    local = to_ours @ rotvec_to_matrix(torch.from_numpy(rotvecs)) @ to_ours.mT
    local[:, 0] = to_ours.mT @ local[:, 0]
    offsets = np.concatenate([np.zeros((1, 3)), rest[1:] - rest[list(parents[1:])]])
    offsets = torch.from_numpy(y_up_to_z_up(offsets))
    root = torch.from_numpy(rest[0] + trans)
    joints = forward_kinematics(local, offsets, root, parents)[0].numpy()[:, None]
    return Motion(
        skeleton=SMPL_22,
        joints=joints.astype(np.float32),
        confidence=np.ones(joints.shape[:3], np.float32),
        fps=fps,
        rotations_wxyz=matrix_to_quat_wxyz(local).numpy()[:, None].astype(np.float32),
        rest_offsets=offsets.numpy()[None].astype(np.float32),
        source=source,
        history=(f"read from {source}",),
    )


def _model_file(folder: Path, model: str, gender: str) -> Path:
    """The body model of that gender, else the neutral one."""
    names = {
        "smplh": [f"smplh/{gender}/model.npz", "smplh/neutral/model.npz"],
        "smplx": [f"smplx/SMPLX_{gender.upper()}.npz", "smplx/SMPLX_NEUTRAL.npz"],
    }[model]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"no {model} body model in {folder}: expected {' or '.join(names)}. AMASS holds shapes and rotations; where "
        "the "
        "joints are follows from the body model. " + CARD.obtain
    )


def _rest_joints(path: Path, betas: np.ndarray) -> np.ndarray:
    """(22, 3) joints of the shaped, unposed body: the regressor applied to template and shape blend."""
    with reading(path, "SMPL-H or SMPL-X body model (.npz)"):
        with np.load(path, allow_pickle=False) as data:
            lacking = [key for key in ("J_regressor", "v_template", "shapedirs") if key not in data.files]
            expect(not lacking, f"has no {', '.join(lacking)}")
            regressor = np.asarray(data["J_regressor"], np.float64)[:22]
            template, blend = (np.asarray(data[key], np.float64) for key in ("v_template", "shapedirs"))
        used = min(len(betas), blend.shape[-1])
        return regressor @ template + np.einsum(
            "jv,vck,k->jc", regressor, blend[..., :used], betas[:used], optimize=True
        )


def _text(value: np.ndarray) -> str:
    """Gender as a word, from a string or bytes array."""
    item = value.item()
    return item.decode() if isinstance(item, bytes) else str(item)
