"""How sure a motion is: covariance and samples of lifted joints, carried into the world as deviations from the motion.

Cleaning moves the estimate (smoothing, constant bones, feet on the floor) and leaves what is not known as it was: the
deviations are those of the lifter, turned into the world and resized as the person was. So the covariance is that of
the lifter's error, not of the cleaned motion's, which is a little smaller; `benchmarks/uncertainty.py` measures the
coverage of the whole.
"""

import numpy as np

from posewright.core.errors import InputError
from posewright.pipelines.lift_errors import TrackErrors, joint_matrix
from posewright.skeletons.joint_sets import BODY_24, RIG_26
from posewright.structures.motion import Motion

MAX_SAMPLE_BYTES = 2 * 2**30
"""Of all samples of a clip together, in half precision."""


def check_memory(samples: int, frames: int, people: int) -> None:
    """Refuse samples that would not fit into `MAX_SAMPLE_BYTES`.

    Raises:
        InputError: says how many would.
    """
    one = frames * people * len(RIG_26) * 3 * 2
    if samples * one > MAX_SAMPLE_BYTES:
        fit = MAX_SAMPLE_BYTES // one
        raise InputError(
            f"{samples} samples of {frames} frames and {people} people take {samples * one / 2**30:.1f} GiB, expected "
            f"at most {MAX_SAMPLE_BYTES / 2**30:.0f}: ask for {fit} samples, or cut the clip with --start and --end"
        )


def with_motion_errors(
    motion: Motion,
    relative: np.ndarray,
    errors: list[tuple[slice, TrackErrors] | None],
    samples: int,
    seed: int = 0,
) -> Motion:
    """Add `joint_covariance`, `pose_covariance` and `deviations` to a motion made of these lifted joints.

    Args:
        motion: on `RIG_26`, with its camera and `joints_raw`.
        relative: (T, P, 24, 3) of `BODY_24`, what the lifter said, relative to the pelvis, camera axes.
        errors: of each person, see `pipelines.lift.lift_errors`.
        samples: how many.
        seed: of the samples.
    """
    if motion.camera is None or motion.joints_raw is None:
        raise ValueError("with_motion_errors: the motion has no camera or no raw joints, expected both")
    T, P, J = motion.confidence.shape
    to_world = motion.camera.R.T.astype(np.float32)
    absolute, alone = joint_matrix(RIG_26, True), joint_matrix(RIG_26, False)
    place, pose = (np.full((T, P, J, 3, 3), np.nan, np.float32) for _ in range(2))
    deviations = np.full((samples, T, P, J, 3), np.nan, np.float16)
    for p, found in enumerate(errors):
        if found is None:
            continue
        part, track = found
        size = _resized_by(motion.joints_raw[part, p], relative[part, p])
        for block in track.blocks():
            there = slice(part.start + block.start, part.start + block.stop)
            gaussians = track.gaussians(block)
            for target, matrix in ((place, absolute), (pose, alone)):
                turned = to_world @ gaussians.covariance(matrix) @ to_world.T
                target[there, p] = size**2 * turned
        for s, drawn in enumerate(track.samples(absolute, seed, p, samples)):
            deviations[s, part, p] = size * (drawn @ to_world.T)
    missing = ~np.isfinite(motion.joints).all(-1)
    place[missing], pose[missing] = np.nan, np.nan
    deviations[:, missing] = np.nan
    return motion.noted(
        f"uncertainty of the lifter: {samples} samples, seed {seed}",
        joint_covariance=place,
        pose_covariance=pose,
        deviations=deviations,
    )


def _resized_by(raw: np.ndarray, relative: np.ndarray) -> float:
    """By how much a person was resized: spread of the joints about the pelvis after over before; 1 where unknown."""
    names = [n for n in RIG_26.joint_names if n in BODY_24.joint_names]
    after = raw[:, RIG_26.indices(*names)] - raw[:, :1]
    before = relative[:, BODY_24.indices(*names)] - relative[:, :1]
    sizes = [np.sqrt((x.astype(float) ** 2).sum((-1, -2))) for x in (after, before)]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = sizes[0] / sizes[1]
    ratio = ratio[np.isfinite(ratio)]
    return float(np.median(ratio)) if len(ratio) else 1.0
