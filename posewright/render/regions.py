"""Which part of a person each vertex belongs to: from the bone that moves it most, and on the head from its place.

Convention: rest vertices in metres, Z up, facing -Y, head upright (arms may be anywhere); left and right do not matter.
Regions are indices into `REGIONS`.
"""

from collections.abc import Sequence

import numpy as np

from posewright.core.errors import InputError

REGIONS = (
    "torso", "hips", "upper_arm", "lower_arm", "hand", "upper_leg", "lower_leg", "foot",
    "neck", "face", "hair", "eye", "iris", "brow", "mouth",
)  # fmt: skip
"""What a vertex may be; 0 is also what is taken for bones of unknown name."""

BONE_WORDS = (
    ("eye", "eye"), ("jaw", "face"), ("tongue", "face"), ("head", "face"), ("neck", "neck"),
    ("hand", "hand"), ("wrist", "hand"), ("finger", "hand"), ("thumb", "hand"), ("index", "hand"),
    ("middle", "hand"), ("ring", "hand"), ("pinky", "hand"), ("metacarpal", "hand"),
    ("forearm", "lower_arm"), ("lowerarm", "lower_arm"), ("elbow", "lower_arm"), ("radius", "lower_arm"),
    ("upperarm", "upper_arm"), ("humerus", "upper_arm"), ("clavicle", "torso"), ("collar", "torso"),
    ("shoulder", "shoulder"), ("arm", "upper_arm"),
    ("foot", "foot"), ("toe", "foot"), ("ankle", "foot"), ("heel", "foot"),
    ("lowerleg", "lower_leg"), ("shin", "lower_leg"), ("calf", "lower_leg"), ("knee", "lower_leg"),
    ("tibia", "lower_leg"), ("upleg", "upper_leg"), ("upperleg", "upper_leg"), ("thigh", "upper_leg"),
    ("femur", "upper_leg"), ("lefthip", "upper_leg"), ("righthip", "upper_leg"), ("leg", "lower_leg"),
    ("pelvis", "hips"), ("hips", "hips"), ("hip", "hips"), ("root", "hips"), ("spine", "torso"), ("chest", "torso"),
)  # fmt: skip
"""Words in bone names (lower case, without marks) and their region; the first that occurs decides. They cover the
names of Anny and MakeHuman, SMPL, Mixamo, Rigify, Unreal and BVH files of motion capture. `shoulder` is the upper arm
where the rig has a collar bone of that name besides (SMPL), otherwise the collar bone itself."""


def bone_regions(bone_names: Sequence[str]) -> np.ndarray:
    """Region (B,) of each bone, by its name."""
    plain = ["".join(c for c in name.lower() if c.isalpha()) for name in bone_names]
    shoulder = "upper_arm" if any("collar" in name or "clavicle" in name for name in plain) else "torso"
    if any("arm" in name.replace("forearm", "") for name in plain):
        shoulder = "torso"
    found = (next((region for word, region in BONE_WORDS if word in name), "torso") for name in plain)
    return np.array([REGIONS.index(shoulder if r == "shoulder" else r) for r in found], np.int64)


def dominant_bones(weights: np.ndarray, indices: np.ndarray | None = None) -> np.ndarray:
    """Bone (N,) of the largest skinning weight.

    Args:
        weights: (N, B) for all bones, or (N, K) for the bones in `indices`.
        indices: (N, K) bone of each weight.
    """
    weights = np.asarray(weights)
    largest = weights.argmax(1)
    return largest if indices is None else np.asarray(indices)[np.arange(len(weights)), largest]


def vertex_regions(
    rest_vertices: np.ndarray, vertex_bones: np.ndarray, bone_names: Sequence[str], hair_length: float = 0.4
) -> np.ndarray:
    """Region (N,) of each vertex: by bone, then hair, brows, irises and mouth from their place on the head.

    Args:
        rest_vertices: (N, 3) metres, Z up, facing -Y.
        vertex_bones: (N,) the bone that moves each vertex most (`dominant_bones`).
        bone_names: of all bones.
        hair_length: 0 bald, 0.4 to the ears, 1 to the neck.
    """
    rest, bones = np.asarray(rest_vertices, np.float64), np.asarray(vertex_bones)
    if rest.shape != (len(bones), 3) or (len(bones) and bones.max() >= len(bone_names)):
        raise InputError(
            f"vertex_regions: rest vertices {rest.shape}, bones {bones.shape} up to {bones.max(initial=-1)}, "
            f"{len(bone_names)} names; expected (N, 3), (N,), and a name for each bone"
        )
    regions = bone_regions(bone_names)[bones]
    head = np.flatnonzero(np.isin(regions, [REGIONS.index("face"), REGIONS.index("eye")]))
    if len(head) >= 20:
        regions[head] = _head_regions(rest[head], regions[head], hair_length)
    return regions


def _head_regions(points: np.ndarray, regions: np.ndarray, hair_length: float) -> np.ndarray:
    """Split a head (N, 3) into face, hair, brows, eyes, irises and mouth, by the proportions of a face.

    Drawing manuals put the eyes half way down the head, a fifth of its height wide apart, and the mouth two thirds of
    the way from eyes to chin; lengths are in units of the distance between the eyes.
    """
    low, high = points.min(0), points.max(0)
    eyes = points[regions == REGIONS.index("eye")]
    width = high[0] - low[0]
    middle = (low + high) / 2
    has_eyes = len(eyes) >= 4
    apart = 2 * np.abs(eyes[:, 0] - middle[0]).mean() if has_eyes else 0.36 * width
    level = eyes[:, 2].mean() if has_eyes else low[2] + 0.53 * (high[2] - low[2])
    x, y, z = (
        np.abs(points[:, 0] - middle[0]) / apart,
        (points[:, 1] - middle[1]) / apart,
        (points[:, 2] - level) / apart,
    )
    front = y < -0.7
    out = np.full(len(points), REGIONS.index("face"))
    if hair_length > 0:
        line = 1.12 - 0.35 * np.clip(x - 0.5, 0, 1)
        back = (y > 0.25) & (z > 0.35 - 1.9 * hair_length) | (y > -0.3) & (x > 1.15) & (z > 0.5)
        out[(z > line) | back] = REGIONS.index("hair")
    brow = np.abs(z - 0.42 + 0.25 * (x - 0.5) ** 2) < 0.1
    out[front & brow & (x > 0.2) & (x < 0.9)] = REGIONS.index("brow")
    mouth = (np.abs(z + 1.12) < 0.16 - 0.2 * x**2) & (x < 0.42)
    out[front & mouth] = REGIONS.index("mouth")
    socket = np.hypot((x - 0.5) / 0.26, z / 0.13) < 1
    eye = regions == REGIONS.index("eye") if has_eyes else front & socket
    out[eye] = REGIONS.index("eye")
    out[eye & (np.hypot(x - 0.5, z) < 0.11) & front] = REGIONS.index("iris")
    return out
