"""A `Motion` as what the report page reads: one JSON document and packed arrays."""

import re
from collections.abc import Sequence

import numpy as np

from posewright.skeletons.skeleton import Skeleton
from posewright.structures.cameras import Camera
from posewright.structures.joint_angles import JointAngles
from posewright.structures.motion import Motion
from posewright.structures.motion_bodies import BodyRig
from posewright.viewer.body_data import body_data
from posewright.viewer.packing import (
    ANGLE_STEP,
    JOINT_STEP,
    KEYPOINT_STEP,
    PackedArray,
    pack_confidence,
    pack_flags,
    pack_float32,
    pack_quantised,
)
from posewright.viewer.uncertainty_data import uncertainty_data

_TIME_IN_WARNING = re.compile(
    r"\b(?:at|from|between|after|around|near|until)\s+(\d+(?:\.\d+)?)"
    r"(?=(?:[\d.,\s\u2013-]|and|to)*?(?:s|sec|seconds?)\b)"
)
"""A number after a word of time, with the unit s after it or after the list or range that it begins."""


def report_data(
    motion: Motion, angles: JointAngles | None, title: str, body_rigs: Sequence[BodyRig] = ()
) -> tuple[dict, dict[str, PackedArray]]:
    """Split a motion into a JSON-ready dict and packed arrays by name.

    Raises:
        ValueError: the motion has no frames, or angles or rigs are of other frames or people.
    """
    if motion.num_frames == 0:
        raise ValueError("the motion has no frames: a report needs at least one")
    arrays = _motion_arrays(motion)
    data = {
        "title": title,
        "source": motion.source,
        "fps": float(motion.fps),
        "frames": motion.num_frames,
        "startTime": float(motion.start_time),
        "people": [int(i) for i in motion.person_ids],
        "skeleton": _skeleton(motion.skeleton),
        "warnings": [{"text": text, "time": warning_time(text, motion)} for text in motion.warnings],
        "history": list(motion.history),
        "camera": _camera(motion.camera, arrays),
        "keypoints": _keypoints(motion, arrays),
        "angles": _angles(motion, angles, arrays),
        "uncertainty": uncertainty_data(motion, arrays),
        "body": body_data(motion.bodies, body_rigs, arrays) if motion.bodies and body_rigs else None,
    }
    data["arrays"] = {name: packed.header() for name, packed in arrays.items()}
    return data, arrays


def warning_time(text: str, motion: Motion) -> float | None:
    """Seconds in the source clip that a warning speaks of ("leaves the picture at 4.1 s"), or None.

    None also where that time lies outside the motion.
    """
    match = _TIME_IN_WARNING.search(text)
    if match is None:
        return None
    time = float(match.group(1))
    last = motion.start_time + motion.num_frames / motion.fps
    return time if motion.start_time - 1e-6 <= time <= last + 1e-6 else None


def _motion_arrays(motion: Motion) -> dict[str, PackedArray]:
    arrays = {
        "joints": pack_quantised(motion.joints, JOINT_STEP),
        "confidence": pack_confidence(motion.confidence),
    }
    if motion.joints_raw is not None:
        arrays["joints_raw"] = pack_quantised(motion.joints_raw, JOINT_STEP)
    if motion.contacts is not None:
        arrays["contacts"] = pack_flags(motion.contacts)
    return arrays


def _skeleton(skeleton: Skeleton) -> dict:
    return {
        "name": skeleton.name,
        "joints": list(skeleton.joint_names),
        "parents": [int(parent) for parent in skeleton.parents],
    }


def _camera(camera: Camera | None, arrays: dict[str, PackedArray]) -> dict | None:
    """Intrinsics into the document; the pose, fixed (1, 3, 4) or per frame (T, 3, 4), into the arrays."""
    if camera is None:
        return None
    R = np.asarray(camera.R, float).reshape(-1, 3, 3)
    t = np.asarray(camera.t, float).reshape(-1, 3)
    frames = max(len(R), len(t))
    pose = np.concatenate(
        [np.broadcast_to(R, (frames, 3, 3)), np.broadcast_to(t, (frames, 3))[..., None]], axis=-1
    )
    arrays["camera"] = pack_float32(pose)
    return {
        "name": camera.name,
        "K": np.asarray(camera.K, float).tolist(),
        "imageSize": [int(side) for side in camera.image_size],
        "model": camera.model,
        "focalSource": camera.focal_source,
        "distorted": bool(np.any(np.asarray(camera.distortion))),
    }


def _keypoints(motion: Motion, arrays: dict[str, PackedArray]) -> dict | None:
    """2D evidence of the same frames and people; anything else cannot be laid over the clip and is refused."""
    keypoints = motion.keypoints
    if keypoints is None:
        return None
    expected = (motion.num_frames, motion.num_people)
    if keypoints.positions.shape[:2] != expected:
        raise ValueError(
            f"motion.keypoints has {keypoints.positions.shape[:2]} frames and people, "
            f"expected {expected} like the joints"
        )
    arrays["keypoints"] = pack_quantised(keypoints.positions, KEYPOINT_STEP)
    arrays["keypoint_confidence"] = pack_confidence(keypoints.confidence)
    return {
        "skeleton": _skeleton(keypoints.skeleton),
        "imageSize": [int(side) for side in keypoints.image_size],
    }


def _angles(motion: Motion, angles: JointAngles | None, arrays: dict[str, PackedArray]) -> dict | None:
    if angles is None or not angles.names:
        return None
    if angles.values.shape[:2] != (motion.num_frames, motion.num_people):
        raise ValueError(
            f"angles.values has {angles.values.shape[:2]} frames and people, "
            f"expected {(motion.num_frames, motion.num_people)} like the motion"
        )
    arrays["angles"] = pack_quantised(angles.values, ANGLE_STEP)
    return {
        "names": list(angles.names),
        "units": ["m" if is_length else "rad" for is_length in angles.is_translation],
    }
