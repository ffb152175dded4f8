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
