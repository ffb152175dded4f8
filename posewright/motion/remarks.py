"""Remarks in plain words about what a clip does not show."""

import numpy as np

from posewright.motion.gaps import longest_run
from posewright.structures.keypoints import Keypoints2D

_SPOKEN = (
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
)
_HIDDEN_BELOW = 0.2
_HIDDEN_SECONDS = 1.0
_EDGE_SECONDS = 0.3
_NEAR_EDGE = 0.03
"""Share of the picture."""


def absence_remarks(there: np.ndarray, keypoints: Keypoints2D) -> tuple[str, ...]:
    """Say when people enter, leave, or are lost in between for more than half a second, in seconds of the source clip.

    Args:
        there: (T, P) bool, the person could be placed in space.
        keypoints: the 2D evidence, same frames and people.
    """
    remarks = []
    T, times, fps = len(there), keypoints.frame_times(), keypoints.fps
    for person, (name, column) in enumerate(zip(keypoints.person_ids, there.T, strict=True)):
        frames = np.flatnonzero(column)
        if len(frames) == 0:
            remarks.append(f"person {name} could not be placed in space")
            continue
        if frames[0] > _EDGE_SECONDS * fps:
            at_edge = _is_near_edge(keypoints, frames[0], person)
            verb = "enters the picture" if at_edge else "is first seen"
            remarks.append(f"person {name} {verb} at {times[frames[0]]:.1f} s")
        breaks = np.flatnonzero(np.diff(frames) - 1 > 0.5 * fps)
        remarks += [
            f"person {name} is not seen from {times[frames[b] + 1]:.1f} to {times[frames[b + 1]]:.1f} s"
            for b in breaks
        ]
        if T - 1 - frames[-1] > _EDGE_SECONDS * fps:
            at_edge = _is_near_edge(keypoints, frames[-1], person)
            verb = "leaves the picture" if at_edge else "is no longer seen"
            remarks.append(f"person {name} {verb} at {times[frames[-1] + 1]:.1f} s")
    return tuple(remarks)


def _is_near_edge(keypoints: Keypoints2D, frame: int, person: int) -> bool:
    """Tell whether some keypoint is at the border of the picture or beyond."""
    points = keypoints.positions[frame, person]
    points = points[np.isfinite(points).all(-1)]
    margin = _NEAR_EDGE * np.array(keypoints.image_size)
    return bool(((points < margin) | (points > np.array(keypoints.image_size) - margin)).any())


def hidden_remarks(keypoints: Keypoints2D, present: np.ndarray) -> tuple[str, ...]:
    """Say which joints of a person are hidden for a second or more (a shorter clip: all the time), and so are guesses.

    Args:
        keypoints: the 2D evidence.
        present: (T, P) bool, the person is in the motion.
    """
    names = [n for n in _SPOKEN if n in keypoints.skeleton.joint_names]
    if not names or not len(present):
        return ()
    confidence = keypoints.confidence[:, :, keypoints.skeleton.indices(*names)]
    hidden = present[..., None] & (np.nan_to_num(confidence) < _HIDDEN_BELOW)
    run, begin = (x / keypoints.fps for x in longest_run(hidden))
    begin = begin + keypoints.frame_times()[0]
    limit = np.minimum(_HIDDEN_SECONDS, present.sum(0) / keypoints.fps)[:, None]
    remarks = []
    for person, seconds, start, long in zip(
        keypoints.person_ids, run, begin, (run >= limit - 1e-6) & (run > 0), strict=True
    ):
        which = [names[k].replace("_", " ") for k in np.flatnonzero(long)]
        if which:
            worst = int(np.argmax(np.where(long, seconds, 0)))
            remarks.append(_hidden(person, which, float(seconds[worst]), float(start[worst])))
    return tuple(remarks)


def _hidden(person: int, joints: list[str], seconds: float, start: float) -> str:
    """One sentence for one person; a photo has no time to speak of."""
    long = "" if seconds < 0.05 else f" for {seconds:.1f} s from {start:.1f} s"
    if len(joints) > 4:
        long = long.replace("for", "for up to")
        return f"person {person}: {len(joints)} joints hidden{long} ({', '.join(joints)}): guessed"
    return f"person {person}: {', '.join(joints)} hidden{long}: guessed"
