"""Draw 2D keypoints on the pictures they were found in, and mark what is not to be trusted in 3D."""

from dataclasses import dataclass

import cv2
import numpy as np

from posewright.motion.trust import doubtful_frames, doubtful_joints
from posewright.structures.keypoints import Keypoints2D
from posewright.structures.motion import Motion

PALETTE = (
    (0, 158, 115),
    (230, 159, 0),
    (86, 180, 233),
    (204, 121, 167),
    (213, 94, 0),
    (240, 228, 66),
    (0, 114, 178),
)
"""RGB per person, told apart by colour-blind people too (Okabe and Ito)."""

DOUBT = (230, 40, 40)
"""RGB of what is not to be trusted."""
_SUBPIXEL = 4
"""Bits of sub-pixel precision that cv2's drawing functions are given."""


@dataclass(frozen=True)
class Doubt:
    """What is not to be trusted in 3D."""

    joints: np.ndarray
    """(T, P, K) bool, in the keypoints' joint set."""
    frames: np.ndarray
    """(T, P) bool."""


def doubt_of(motion: Motion) -> Doubt | None:
    """Return what is not to be trusted of a motion with uncertainty and keypoints; None for others."""
    joints, frames = doubtful_joints(motion), doubtful_frames(motion)
    if joints is None or frames is None or motion.keypoints is None:
        return None
    names = motion.keypoints.skeleton.joint_names
    known = [(k, motion.skeleton.index(n)) for k, n in enumerate(names) if n in motion.skeleton.joint_names]
    marked = np.zeros((*frames.shape, len(names)), bool)
    marked[..., [k for k, _ in known]] = joints[..., [j for _, j in known]]
    return Doubt(marked, frames)


def person_colour(position: int) -> tuple[int, int, int]:
    """RGB colour of the person in that place."""
    return PALETTE[position % len(PALETTE)]


def draw_keypoints(
    image: np.ndarray,
    keypoints: Keypoints2D,
    frame: int,
    *,
    least_confidence: float = 0.3,
    doubt: Doubt | None = None,
) -> np.ndarray:
    """Draw everybody's limbs, joints and number on a copy of the picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: the clip's keypoints, in this picture's pixels.
        frame: which frame of `keypoints`.
        least_confidence: keypoints below it are not drawn; limbs fade with confidence by their width.
        doubt: joints not to be trusted in 3D get a red ring, people in frames not to be trusted a red number and "?".
    """
    out = image.copy()
    scale = max(image.shape[:2]) / 1280
    people = np.nonzero((keypoints.confidence[frame] > 0).any(-1))[0]
    for person in people:
        _draw_person(out, keypoints, frame, int(person), scale, least_confidence, doubt)
    return out


def _draw_person(
    out,
    keypoints: Keypoints2D,
    frame: int,
    person: int,
    scale: float,
    least: float,
    doubt: Doubt | None,
) -> None:
    positions = keypoints.positions[frame, person]
    confidence = np.where(np.isfinite(positions).all(-1), keypoints.confidence[frame, person], 0.0)
    shown = confidence >= least
    if not shown.any():
        return
    fixed = np.round(np.nan_to_num(positions, nan=0.0, posinf=0.0, neginf=0.0) * 2**_SUBPIXEL)
    fixed = np.clip(fixed, -(2**24), 2**24).astype(int)
    colour = person_colour(person)
    thick = max(1, round(3.5 * scale))
    for parent, child in keypoints.skeleton.bones:
        if shown[parent] and shown[child]:
            a, b = tuple(map(int, fixed[parent])), tuple(map(int, fixed[child]))
            cv2.line(out, a, b, (20, 20, 20), thick + 2, cv2.LINE_AA, _SUBPIXEL)
            cv2.line(out, a, b, colour, thick, cv2.LINE_AA, _SUBPIXEL)
    radius = round(max(2.0, 3.5 * scale) * 2**_SUBPIXEL)
    for joint in np.nonzero(shown)[0]:
        cv2.circle(out, tuple(map(int, fixed[joint])), radius, (255, 255, 255), -1, cv2.LINE_AA, _SUBPIXEL)
    text = str(keypoints.person_ids[person])
    if doubt is not None:
        ring, width = round(max(4.0, 8.0 * scale) * 2**_SUBPIXEL), max(1, round(2 * scale))
        for joint in np.nonzero(shown & doubt.joints[frame, person])[0]:
            cv2.circle(out, tuple(map(int, fixed[joint])), ring, DOUBT, width, cv2.LINE_AA, _SUBPIXEL)
        if doubt.frames[frame, person]:
            text, colour = f"{text} ?", DOUBT
    _draw_number(out, positions[shown], text, colour, scale)


def _draw_number(out, points: np.ndarray, text: str, colour, scale: float) -> None:
    """Write the person's number above the head, kept inside the picture."""
    size = 0.8 * max(scale, 0.5)
    x = int(np.clip(points[:, 0].mean(), 12, out.shape[1] - 40))
    y = int(np.clip(points[:, 1].min() - 26 * scale, 22 * max(scale, 0.5), out.shape[0] - 4))
    for shade, width in (((20, 20, 20), 5), (colour, 2)):
        cv2.putText(out, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, shade, width, cv2.LINE_AA)
