"""Recorded motion on bodies: fitted, scaled, put in its place, with feet on the floor.

The body is fitted to the recorded joints (`fitting.body`); from then on the body is the truth, and the recording is
forgotten. A body is 1 to 2 cm off a recording's joints on average.

Standing on the floor: in frames in which some skin is low and slow, the lowest skin (soles of shoes) is put at z = 0;
the correction is carried over the frames between them, so that jumps keep their height; what would still be below the
floor is lifted, smoothly. So nothing sinks in, and a standing foot floats by millimetres. What this cannot do: feet on
steps or slopes (they come to one plane), sitting or climbing on things that are not there, and feet that slide because
recording and body differ still slide.

Convention: metres, world Z up, floor at z = 0; T frames, P people.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from posewright.bodies.load import load_body
from posewright.bodies.model import BodyModel
from posewright.core.errors import InputError
from posewright.datasets.synth.plan import Performer
from posewright.datasets.synth.recordings import recorded_joints
from posewright.fitting.body import fit_body
from posewright.render.look import Outfit, dress, random_look
from posewright.render.mesh import Mesh
from posewright.render.regions import vertex_regions
from posewright.skeletons.joint_sets import get
from posewright.structures.bodies import BodyParams

JOINT_SETS = ("rig_26", "coco_17", "h36m_17", "mediapipe_33")
"""Joint sets that the truth is given in."""
BATCH = 64
"""Frames posed at once."""
LOW, SLOW = 0.03, 0.25
"""A sole on the floor is at most so high (metres) and slides at most so fast (metres per second)."""
NEARLY_LOW = 0.08
"""Metres above the lowest place of a clip in which standing is looked for before the floor is known."""
CARRY = 0.4
"""Seconds over which the correction of height is smoothed."""
_SIZE_BONES = (("hip", "knee"), ("knee", "ankle"))


@dataclass(frozen=True)
class Performance:
    """P people moving through the world for T frames, as bodies."""

    body: BodyModel
    params: BodyParams
    """`betas` (P, S); `global_orient` (T, P, 3, 3), `body_pose` (T, P, K, 3, 3), `transl` (T, P, 3)."""
    outfits: tuple[Outfit, ...]
    fps: float
    joints: dict[str, np.ndarray]
    """By joint set, (T, P, J, 3) float32 metres."""
    heights: np.ndarray
    """(P,) metres, standing upright, barefoot."""
    contacts: np.ndarray
    """(T, P, 2) bool, left and right foot on the floor."""
    extent: np.ndarray
    """(T, P, 2, 3) lowest and highest corner of each person's skin."""
    depth_inside: dict[str, np.ndarray]
    """By joint set, (P, J) metres from each joint to the nearest skin, in the rest pose."""

    @property
    def num_frames(self) -> int:
        """T."""
        return len(self.params.transl)

    @property
    def num_people(self) -> int:
        """P."""
        return len(self.params.betas)

    def vertices(self, start: int, stop: int) -> np.ndarray:
        """Skin (T, P, V, 3) of the frames from `start` to before `stop`, metres."""
        return pose_people(self.body, self.params, slice(start, stop))

    def dressed(self, frame_vertices: np.ndarray) -> list[Mesh]:
        """Meshes of one frame's skin (P, V, 3), with clothes."""
        return [
            o.on(v, f"person {i + 1}")
            for i, (o, v) in enumerate(zip(self.outfits, frame_vertices, strict=True))
        ]


def perform(performers: tuple[Performer, ...], fps: float, topology: str = "full") -> Performance:
    """Put recordings on bodies. All last as long as the shortest.

    Raises:
        InputError: a recording that is too short or not a person's.
    """
    body = load_body("anny", topology=topology)
    recorded = [recorded_joints(p, fps) for p in performers]
    T = min(len(joints) for joints, _ in recorded)
    fitted = [
        _fit(body, p, joints[:T], name, fps) for p, (joints, name) in zip(performers, recorded, strict=True)
    ]
    outfits = [_outfit(body, f.betas, p.look_seed) for f, p in zip(fitted, performers, strict=True)]
    placed = [_placed(body, f, p) for f, p in zip(fitted, performers, strict=True)]
    people = [_grounded(body, f, o, fps) for f, o in zip(placed, outfits, strict=True)]
    params = BodyParams(
        torch.stack([f.betas for f in people]),
        torch.stack([f.global_orient for f in people], 1),
        torch.stack([f.body_pose for f in people], 1),
        torch.stack([f.transl for f in people], 1),
    )
    return assemble(body, params, tuple(outfits), fps)


def assemble(body: BodyModel, params: BodyParams, outfits: tuple[Outfit, ...], fps: float) -> Performance:
    """Work out what follows from the bodies: joints, heights, contacts."""
    rest = body(replace(body.rest_params(1), betas=params.betas))
    rest_skin = rest.vertices.numpy()
    joints, contacts, extent = [], [], []
    for p in range(len(params.betas)):
        own = BodyParams(
            params.betas[p], params.global_orient[:, p], params.body_pose[:, p], params.transl[:, p]
        )
        posed = _Track(body, own, outfits[p])
        joints.append(posed.joints)
        contacts.append(_contacts(posed.feet, fps))
        extent.append(posed.extent)
    sets = {name: np.stack([j[name] for j in joints], 1) for name in JOINT_SETS}
    inside = {name: _depth_inside(body.joints(rest, name).numpy(), rest_skin) for name in JOINT_SETS}
    heights = (rest_skin[..., 2].max(1) - rest_skin[..., 2].min(1)).astype(np.float32)
    return Performance(
        body, params, outfits, fps, sets, heights, np.stack(contacts, 1), np.stack(extent, 1), inside
    )


def pose_people(body: BodyModel, params: BodyParams, frames: slice) -> np.ndarray:
    """Skin (T, P, V, 3) of some frames; each person is shaped once."""
    people = []
    for p in range(len(params.betas)):
        own = BodyParams(
            params.betas[p],
            params.global_orient[frames, p],
            params.body_pose[frames, p],
            params.transl[frames, p],
        )
        people.append(body(own).vertices.numpy())
    return np.stack(people, 1)


class _Track:
    """One person's joints (by set), skin of the feet and corners of the skin, over all frames, batch by batch."""

    def __init__(self, body: BodyModel, params: BodyParams, outfit: Outfit):
        soles = [_foot(body, side) for side in "LR"]
        joints: dict[str, list[np.ndarray]] = {name: [] for name in JOINT_SETS}
        feet, extent = [], []
        for start in range(0, len(params.transl), BATCH):
            part = slice(start, start + BATCH)
            mesh = body(
                BodyParams(
                    params.betas, params.global_orient[part], params.body_pose[part], params.transl[part]
                )
            )
            for name, found in joints.items():
                found.append(body.joints(mesh, name).numpy())
            skin = mesh.vertices.numpy()
            feet.append([skin[:, sole] - _sole_offset(outfit, sole) for sole in soles])
            extent.append(np.stack([(skin - _sole_offset(outfit, slice(None))).min(1), skin.max(1)], 1))
        self.joints = {name: np.concatenate(found).astype(np.float32) for name, found in joints.items()}
        self.feet = [np.concatenate([f[side] for f in feet]) for side in (0, 1)]
        """Left and right, (T, N, 3) metres, with the sole's thickness below the skin."""
        self.extent = np.concatenate(extent)


def _fit(body: BodyModel, performer: Performer, joints: np.ndarray, joint_set: str, fps: float) -> BodyParams:
    """Body parameters of a recording; a given shape has the recording scaled to it."""
    betas = None
    if performer.betas is not None:
        if len(performer.betas) != len(body.shape_names):
            raise InputError(
                f"{len(performer.betas)} betas; body {body.name} has {len(body.shape_names)}: "
                f"{', '.join(body.shape_names)}"
            )
        betas = torch.tensor(performer.betas, dtype=body.template.dtype)
        joints = joints * _scale(body, betas, joints, joint_set)
    sure = np.isfinite(joints).all(-1).astype(float)
    params = fit_body(body, joints, sure, joint_set, fps, betas=betas).params
    if not torch.isfinite(params.transl).all():
        missing = int((~torch.isfinite(params.transl).all(-1)).sum())
        raise InputError(
            f"{performer.name}: the person is missing in {missing} of {len(joints)} frames; choose seconds in which "
            "they are there"
        )
    return params


def _scale(body: BodyModel, betas: torch.Tensor, joints: np.ndarray, joint_set: str) -> float:
    """Factor from the recording's legs to the body's."""
    names = get(joint_set).joint_names
    own = body.joints(body(replace(body.rest_params(), betas=betas)), joint_set).numpy()
    pairs = [
        (names.index(f"{side}_{a}"), names.index(f"{side}_{b}"))
        for side in ("left", "right")
        for a, b in _SIZE_BONES
    ]
    recorded = sum(
        float(np.nanmedian(np.linalg.norm(joints[:, a] - joints[:, b], axis=-1))) for a, b in pairs
    )
    return sum(float(np.linalg.norm(own[a] - own[b])) for a, b in pairs) / recorded


def _outfit(body: BodyModel, betas: torch.Tensor, seed: int) -> Outfit:
    """Clothes for a shape."""
    rest = body(replace(body.rest_params(), betas=betas)).vertices.numpy()
    look = random_look(seed)
    regions = vertex_regions(rest, body.part_labels.numpy(), body.joint_names, look.hair_length)
    return dress(rest, body.faces.numpy(), regions, look)


def _placed(body: BodyModel, params: BodyParams, performer: Performer) -> BodyParams:
    """Turn and move a person's motion on the floor, about the middle of the pelvis's path."""
    mean = body.rest_joints(params.betas)[..., :1, :].reshape(
        3
    )  # the root joint: global_orient turns about it
    root = params.transl + mean
    cos, sin = float(np.cos(performer.turn)), float(np.sin(performer.turn))
    turn = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=root.dtype)
    middle = torch.cat([(root[:, :2].amin(0) + root[:, :2].amax(0)) / 2, root.new_zeros(1)])
    target = root.new_tensor([*performer.offset, 0.0])
    moved = (root - middle) @ turn.T + target
    return replace(params, global_orient=turn @ params.global_orient, transl=moved - mean)


def _grounded(body: BodyModel, params: BodyParams, outfit: Outfit, fps: float) -> BodyParams:
    """Put standing feet on z = 0 and nothing below it."""
    track = _Track(body, params, outfit)
    low = track.extent[:, 0, 2].astype(np.float64)
    standing = _standing(track.feet, low, fps)
    window = max(1, round(CARRY * fps))
    if standing.any():
        height = np.interp(np.arange(len(low)), np.flatnonzero(standing), low[standing])
        height = uniform_filter1d(height, window, mode="nearest")
    else:
        height = np.full(len(low), np.quantile(low, 0.05))
    sunk = np.maximum(height - low, 0)
    lift = uniform_filter1d(maximum_filter1d(sunk, window, mode="nearest"), window, mode="nearest")
    transl = params.transl.clone()
    transl[:, 2] += torch.from_numpy(lift - height).to(transl)
    return replace(params, transl=transl)


def _standing(feet: list[np.ndarray], low: np.ndarray, fps: float) -> np.ndarray:
    """(T,) bool: frames in which a foot near the lowest place of the clip does not move."""
    floor = np.quantile(low, 0.05)
    calm = np.zeros(len(low), bool)
    for foot in feet:
        near = foot[..., 2] < np.minimum(floor + NEARLY_LOW, low[:, None] + 0.02)
        calm |= (near & (_speed(foot, fps) < SLOW)).any(1)
    return calm


def _contacts(feet: list[np.ndarray], fps: float) -> np.ndarray:
    """(T, 2) bool: some of the sole is low and slow."""
    return np.stack([((f[..., 2] < LOW) & (_speed(f, fps) < SLOW)).any(1) for f in feet], -1)


def _speed(points: np.ndarray, fps: float) -> np.ndarray:
    """Speed (T, N) of points (T, N, 3), metres per second, by central differences."""
    if len(points) < 2:
        return np.zeros(points.shape[:2])
    return np.linalg.norm(np.gradient(points, 1 / fps, axis=0), axis=-1)


def _foot(body: BodyModel, side: str) -> np.ndarray:
    """Vertices of one foot, by the bone that moves each most."""
    bones = [
        i for i, n in enumerate(body.joint_names) if n.endswith(f".{side}") and n.startswith(("foot", "toe"))
    ]
    return np.flatnonzero(np.isin(body.part_labels.numpy(), bones))


def _sole_offset(outfit: Outfit, vertices: np.ndarray | slice) -> np.ndarray:
    """How far the sole of the shoe is below the skin, (N, 3) metres: straight down."""
    return outfit.offsets[vertices, None] * np.array([0.0, 0.0, 1.0])


def _depth_inside(joints: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Metres (P, J) from joints (P, J, 3) to the nearest of the vertices (P, V, 3)."""
    return np.stack(
        [np.linalg.norm(j[:, None] - s, axis=-1).min(-1) for j, s in zip(joints, skin, strict=True)]
    )
