"""A simple body around a rig: one capsule per bone, each moving rigidly with its joint.

For viewers that show only meshes. Convention: metres, the axes of the rest positions given; triangles are
counter-clockwise seen from outside.
"""

from dataclasses import dataclass

import numpy as np

RADII = {
    "hip": 0.075,
    "knee": 0.07,
    "ankle": 0.05,
    "heel": 0.032,
    "toe": 0.035,
    "spine": 0.115,
    "thorax": 0.12,
    "neck": 0.05,
    "head": 0.085,
    "nose": 0.015,
    "ear": 0.015,
    "clavicle": 0.05,
    "shoulder": 0.055,
    "elbow": 0.045,
    "wrist": 0.037,
}
"""Radius in metres of the bone that ends at a joint, for an adult of 1.7 m, by the last word of the joint's
name."""
HAND = 0.55
"""Length of a hand, as a fraction of the forearm."""
SEGMENTS = 12
CAP_RINGS = 3


@dataclass(frozen=True)
class Skin:
    """A triangle mesh, each vertex bound to one joint."""

    positions: np.ndarray
    """(N, 3) float32, metres, rest pose."""
    normals: np.ndarray
    """(N, 3) float32, unit."""
    triangles: np.ndarray
    """(F, 3) uint32."""
    joints: np.ndarray
    """(N,) joint that carries each vertex."""


def capsule_skin(rest: np.ndarray, joint_names: tuple[str, ...], parents: tuple[int, ...]) -> Skin:
    """Build the body of one person.

    Args:
        rest: (J, 3) joint positions of the rest pose.
        joint_names: decide the thickness.
        parents: of each joint, -1 for a root.
    """
    size = float(np.ptp(rest, axis=0).max()) / 1.7
    parts = []
    for j, parent in enumerate(parents):
        bone = rest[j] - rest[parent]
        if parent >= 0 and np.linalg.norm(bone) > 1e-4:
            parts.append((*_capsule(rest[parent], rest[j], _radius(joint_names[j], bone, size)), parent))
        if parent >= 0 and joint_names[j].endswith("wrist"):
            parts.append((*_capsule(rest[j], rest[j] + HAND * bone, 0.03 * size), j))
    if not parts:
        parts.append((*_capsule(rest[0], rest[0] + (0, 0, 1e-3), 0.05), 0))
    offsets = np.cumsum([0] + [len(p[0]) for p in parts])
    return Skin(
        positions=np.concatenate([p[0] for p in parts]).astype(np.float32),
        normals=np.concatenate([p[1] for p in parts]).astype(np.float32),
        triangles=np.concatenate([p[2] + o for p, o in zip(parts, offsets[:-1], strict=True)]).astype(
            np.uint32
        ),
        joints=np.concatenate([np.full(len(p[0]), p[3]) for p in parts]),
    )


def _radius(name: str, bone: np.ndarray, size: float) -> float:
    """Thickness by name, else by length."""
    known = RADII.get(name.rsplit("_", 1)[-1])
    return known * size if known else float(np.clip(0.18 * np.linalg.norm(bone), 0.008 * size, 0.07 * size))


def _capsule(start: np.ndarray, end: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, normals and triangles of a cylinder with round caps between two points."""
    axis = (end - start) / np.linalg.norm(end - start)
    side = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
    side /= np.linalg.norm(side)
    around = np.arange(SEGMENTS) * 2 * np.pi / SEGMENTS
    circle = np.cos(around)[:, None] * side + np.sin(around)[:, None] * np.cross(axis, side)
    latitude = np.linspace(0, np.pi / 2, CAP_RINGS + 1)[:-1]
    lower = [(start, -a) for a in latitude[::-1]]
    upper = [(end, a) for a in latitude]
    rings = [(centre, np.cos(a) * circle + np.sin(a) * axis) for centre, a in lower + upper]
    normals = np.concatenate([-axis[None], *(n for _, n in rings), axis[None]])
    centres = np.concatenate([start[None], *(np.tile(c, (SEGMENTS, 1)) for c, _ in rings), end[None]])
    return centres + radius * normals, normals, _triangles(len(rings))


def _triangles(rings: int) -> np.ndarray:
    """(F, 3) between a south pole, rings of `SEGMENTS` vertices and a north pole."""
    this = np.arange(SEGMENTS)
    following = (this + 1) % SEGMENTS
    out = [np.stack([np.zeros_like(this), 1 + following, 1 + this], 1)]
    for ring in range(rings - 1):
        a, b = 1 + ring * SEGMENTS, 1 + (ring + 1) * SEGMENTS
        out.append(np.stack([a + this, a + following, b + following], 1))
        out.append(np.stack([a + this, b + following, b + this], 1))
    top, last = 1 + (rings - 1) * SEGMENTS, 1 + rings * SEGMENTS
    out.append(np.stack([top + this, top + following, np.full_like(this, last)], 1))
    return np.concatenate(out)
