"""Record vertices and joints of the packages `anny` and `smplx`: the references of `tests/bodies`.

`python benchmarks/record_bodies.py anny` needs anny 0.6.2 (and warp-lang, for the meshes of fewer vertices);
`python benchmarks/record_bodies.py smplx` needs smplx 0.1.28 (its licence forbids commercial use). Neither is a
dependency of posewright: install them with `pip install --no-deps --target FOLDER` and name the folder in PYTHONPATH.
What is recorded for `smplx` comes from files of random numbers, so nothing of the licensed bodies is in it.
"""

import pickle
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.bodies.made_bodies import anny_parameters, arrays, parameters

TESTS = Path(__file__).resolve().parent.parent / "tests" / "bodies"
VERTICES = 60
"""Recorded per body, spread evenly."""


def some(vertices: torch.Tensor) -> np.ndarray:
    """Some of the vertices, in single precision."""
    return vertices[:, :: max(1, vertices.shape[1] // VERTICES)].detach().numpy().astype(np.float32)


def record_anny() -> dict[str, np.ndarray]:
    """Random shapes, faces and poses, a child and an old person among them, on every topology."""
    import anny

    shape, face, rotations, transl = anny_parameters()
    pose = torch.eye(4, dtype=torch.float64).repeat(*rotations.shape[:2], 1, 1)
    pose[..., :3, :3] = rotations
    pose[:, 0, :3, 3] = transl
    out = {}
    for name, topology in (
        ("full", "anny"),
        ("low_1229", "notoes_collapse10pc"),
        ("low_615", "notoes_collapse5pc"),
        ("low_369", "notoes_collapse3pc"),
    ):
        model = anny.Anny(topology=topology, facial_actions="all", skinning_method="lbs")
        made = model(pose_parameters=pose, phenotype_kwargs=shape, facial_actions=face)
        out[f"{name}.vertices"] = some(made["vertices"])
        out["joints"] = made["bone_poses"][..., :3, 3].numpy().astype(np.float32)
    return out


def record_smplx() -> dict[str, np.ndarray]:
    """Random parameters on the random files of `made_bodies`."""
    import smplx

    parts = {
        "smpl": {"body_pose": 23},
        "smplh": {"body_pose": 21, "left_hand_pose": 15, "right_hand_pose": 15},
        "smplx": {
            "body_pose": 21,
            "jaw_pose": 1,
            "leye_pose": 1,
            "reye_pose": 1,
            "left_hand_pose": 15,
            "right_hand_pose": 15,
        },
        "mano": {"hand_pose": 15},
        "flame": {"neck_pose": 1, "jaw_pose": 1, "leye_pose": 1, "reye_pose": 1},
    }
    classes = {n: getattr(smplx, n.upper()) for n in parts}
    out = {}
    for name, pieces in parts.items():
        model = _smplx_model(name, classes[name])
        pose, betas, transl, expression = parameters(name)
        joints = pose.shape[1]
        split = pose[:, 1:].split(list(pieces.values()), 1)
        given = {n: x.flatten(1) for n, x in zip(pieces, split, strict=True)}
        if expression is not None:
            given["expression"] = expression
        made = model(betas=betas, global_orient=pose[:, 0], transl=transl, **given)
        out[f"{name}.vertices"] = some(made.vertices)
        out[f"{name}.joints"] = made.joints[:, :joints].detach().numpy().astype(np.float32)
    return out


def _smplx_model(name: str, model):
    """A model of the package on our random file, with nothing added to the pose."""
    values = arrays(name)
    values["posedirs"] = values["posedirs"].astype(np.float64)
    for suffix in {"smplh": "lr", "smplx": "lr"}.get(name, ("",)):
        values |= {f"hands_components{suffix}": np.eye(45), f"hands_mean{suffix}": np.zeros(45)}
    if name == "smplx":
        values |= {"lmk_faces_idx": np.zeros(51, int), "lmk_bary_coords": np.ones((51, 3)) / 3}
        values |= {
            "dynamic_lmk_faces_idx": np.zeros((79, 17), int),
            "dynamic_lmk_bary_coords": np.ones((79, 17, 3)) / 3,
        }
    options = {"dtype": torch.float64, "batch_size": 3, "use_pca": False, "flat_hand_mean": True}
    with tempfile.TemporaryDirectory() as folder:
        for file in (f"{name.upper()}_NEUTRAL.pkl", "MANO_RIGHT.pkl"):
            Path(folder, file).write_bytes(pickle.dumps(values))
        landmarks = {"lmk_face_idx": np.zeros(51, int), "lmk_b_coords": np.ones((51, 3)) / 3}
        Path(folder, "flame_static_embedding.pkl").write_bytes(pickle.dumps(landmarks))
        if name in ("smpl", "mano", "smplh"):
            from smplx.utils import Struct

            options["data_struct"] = Struct(**values)
        return model(folder, ext="pkl", gender="neutral", use_face_contour=False, **options)


if __name__ == "__main__":
    which = sys.argv[1]
    recorded = {"anny": record_anny, "smplx": record_smplx}[which]()
    np.savez_compressed(TESTS / f"{which}_reference.npz", **recorded)
    print({name: array.shape for name, array in recorded.items()})
