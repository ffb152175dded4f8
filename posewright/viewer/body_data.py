"""The bodies of a motion as what the report page reads: meshes that stay, and rotations over time.

Convention: `BodyRig` and `MotionBodies`; one topology for everybody. Arrays, by name (P people, V vertices, J joints,
A joints that turn): `body_vertices` (P, V, 3), `body_skin_joints`, `body_skin_weights` (P, V, 4), `body_faces` (F, 3),
`body_offsets` (P, J, 3) with the root's place at `transl` 0, `body_bind` (P, J, 3, 4), `body_rotations` (T, P, A, 4)
wxyz, `body_transl` (T, P, 3). The page poses and skins them (`page/body.js`).
"""

from collections.abc import Sequence

import numpy as np

from posewright.structures.motion_bodies import BodyRig, MotionBodies
from posewright.viewer.packing import PackedArray, pack_confidence, pack_float32, pack_quantised

VERTEX_STEP = 0.0002
"""Metres."""
PLACE_STEP = 0.0005
"""Metres."""
TURN_STEP = 0.0005
"""Of a quaternion's entries: 0.03 degrees."""


def body_data(bodies: MotionBodies, rigs: Sequence[BodyRig], arrays: dict[str, PackedArray]) -> dict | None:
    """Describe the bodies, and add their arrays; None where there is nobody.

    Raises:
        ValueError: not one rig per person, or rigs of different topology.
    """
    if len(rigs) != len(bodies.betas):
        raise ValueError(f"{len(rigs)} rigs for {len(bodies.betas)} bodies, expected one each")
    if not rigs:
        return None
    first = rigs[0]
    if any(r.joint_names != first.joint_names or len(r.vertices) != len(first.vertices) for r in rigs):
        raise ValueError("the rigs of a report must be of one topology")
    arrays["body_vertices"] = pack_quantised(np.stack([r.vertices for r in rigs]), VERTEX_STEP)
    arrays["body_skin_joints"] = pack_quantised(np.stack([r.skin_joints for r in rigs]), 1.0)
    arrays["body_skin_weights"] = pack_confidence(np.stack([r.skin_weights for r in rigs]))
    arrays["body_faces"] = pack_quantised(first.faces, 1.0)
    arrays["body_offsets"] = pack_float32(np.stack([_offsets(r) for r in rigs]))
    arrays["body_bind"] = pack_float32(np.stack([r.bind[:, :3] for r in rigs]))
    arrays["body_rotations"] = pack_quantised(bodies.rotations_wxyz, TURN_STEP)
    arrays["body_transl"] = pack_quantised(bodies.transl, PLACE_STEP)
    return {
        "model": bodies.model,
        "vertices": len(first.vertices),
        "parents": [int(parent) for parent in first.parents],
        "turning": [first.joint_names.index(name) for name in bodies.joint_names],
    }


def _offsets(rig: BodyRig) -> np.ndarray:
    """(J, 3) of each joint from its parent; of the root, from the origin."""
    offsets = rig.offsets
    offsets[0] = rig.joints[0]
    return offsets
