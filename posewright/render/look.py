"""How people look: skin, hair and clothes, drawn by lot and put on any body.

    regions = vertex_regions(rest, dominant_bones(weights), bone_names)
    outfit = dress(rest, faces, regions, random_look(seed))
    mesh = outfit.on(posed_vertices)              # for every frame; cloth stands off the skin along its normals

Colour is per vertex, so its detail is the mesh's: `primitives.subdivide` makes low-poly bodies finer. Skin tones span
the Monk scale (E. Monk, "The Monk Skin Tone Scale", 2019) between its lightest and darkest tones.
"""

from dataclasses import dataclass, replace

import numpy as np

from posewright.core.errors import InputError
from posewright.render.mesh import Mesh, as_array, face_labels, vertex_normals
from posewright.render.regions import REGIONS

Color = tuple[float, float, float]

SKIN_TONES: tuple[Color, ...] = (
    (0.95, 0.84, 0.76), (0.91, 0.76, 0.66), (0.85, 0.67, 0.54), (0.77, 0.57, 0.43), (0.65, 0.46, 0.33),
    (0.52, 0.36, 0.26), (0.40, 0.27, 0.20), (0.30, 0.20, 0.16),
)  # fmt: skip
HAIR_COLORS: tuple[Color, ...] = (
    (0.08, 0.06, 0.05), (0.16, 0.10, 0.07), (0.30, 0.19, 0.11), (0.46, 0.31, 0.17), (0.72, 0.56, 0.34),
    (0.55, 0.24, 0.10), (0.60, 0.59, 0.58),
)  # fmt: skip
SLEEVES = {"none": (), "short": ("upper_arm",), "long": ("upper_arm", "lower_arm")}
LEGS = {"shorts": ("upper_leg",), "trousers": ("upper_leg", "lower_leg")}
CLOTH_OFFSET, HAIR_OFFSET, SHOE_OFFSET = 0.010, 0.014, 0.008
"""Metres outside the skin."""


@dataclass(frozen=True)
class Look:
    """One person's colours (sRGB in [0, 1]) and clothes."""

    skin: Color = SKIN_TONES[2]
    hair: Color = HAIR_COLORS[1]
    shirt: Color = (0.65, 0.16, 0.15)
    stripes: Color | None = None
    """Second colour of a striped shirt."""
    stripe_width: float = 0.09
    """Metres."""
    trousers: Color = (0.16, 0.20, 0.36)
    shoes: Color = (0.12, 0.12, 0.13)
    iris: Color = (0.20, 0.13, 0.08)
    sleeves: str = "short"
    """`none`, `short` or `long`."""
    legs: str = "trousers"
    """`shorts` or `trousers`."""
    hair_length: float = 0.4
    """0 bald, 0.4 to the ears, 1 to the neck: for `regions.vertex_regions`."""
    looseness: float = 1.0
    """Factor on how far cloth stands off the skin."""
    cloth_noise: float = 0.03
    """Standard deviation of the colour from vertex to vertex."""
    seed: int = 0

    def __post_init__(self):
        for value, known in ((self.sleeves, SLEEVES), (self.legs, LEGS)):
            if value not in known:
                raise InputError(f"Look: {value!r} is not one of {', '.join(known)}")


@dataclass(frozen=True)
class Outfit:
    """A look fitted to a body: what `Mesh` needs, for every pose of it."""

    faces: np.ndarray
    """(F, 3)."""
    colors: np.ndarray
    """(N, 3) float32 sRGB."""
    offsets: np.ndarray
    """(N,) metres outwards."""
    labels: np.ndarray
    """(F,) index into `REGIONS`."""

    def on(self, vertices, name: str = "person") -> Mesh:
        """Dress the posed body (N, 3), metres, world."""
        vertices = as_array(vertices, np.float64)
        if vertices.shape != (len(self.offsets), 3):
            raise InputError(
                f"Outfit.on: vertices have shape {vertices.shape}; this outfit was made for ({len(self.offsets)}, 3)"
            )
        outer = vertices + self.offsets[:, None] * vertex_normals(vertices, self.faces)
        return Mesh(outer, self.faces, self.colors, labels=self.labels, closed=True, name=name)


def random_look(seed: int) -> Look:
    """Draw a person's look; the same seed gives the same."""
    rng = np.random.default_rng(seed)
    shirt, trousers = _cloth_color(rng, 0.35, 0.95), _cloth_color(rng, 0.15, 0.6)
    red, green, blue = np.clip(
        np.array(shirt) + rng.uniform(-0.3, 0.3) + rng.uniform(-0.12, 0.12, 3), 0, 1
    ).tolist()
    second = (red, green, blue)
    return Look(
        skin=_between(SKIN_TONES, rng),
        hair=_between(HAIR_COLORS[:6], rng) if rng.random() < 0.88 else HAIR_COLORS[6],
        shirt=shirt,
        stripes=second if rng.random() < 0.4 else None,
        stripe_width=float(rng.uniform(0.06, 0.14)),
        trousers=trousers,
        shoes=_cloth_color(rng, 0.08, 0.9),
        iris=((0.20, 0.13, 0.08), (0.25, 0.35, 0.45), (0.25, 0.32, 0.18))[rng.choice(3, p=(0.7, 0.18, 0.12))],
        sleeves=str(rng.choice(list(SLEEVES), p=(0.1, 0.5, 0.4))),
        legs=str(rng.choice(list(LEGS), p=(0.25, 0.75))),
        hair_length=0.0 if rng.random() < 0.07 else float(rng.uniform(0.25, 1.0)),
        looseness=float(rng.uniform(0.5, 1.8)),
        seed=seed,
    )


def dress(rest_vertices: np.ndarray, faces: np.ndarray, regions: np.ndarray, look: Look) -> Outfit:
    """Put a look on a body.

    Args:
        rest_vertices: (N, 3) metres, Z up; only for patterns.
        faces: (F, 3).
        regions: (N,) of each vertex, `regions.vertex_regions`.
        look: what to wear.
    """
    rest, faces = as_array(rest_vertices, np.float64), as_array(faces, np.int64)
    if rest.shape != (len(regions), 3):
        raise InputError(
            f"dress: rest vertices {rest.shape} and regions {np.shape(regions)}, expected (N, 3), (N,)"
        )
    rng = np.random.default_rng(look.seed)
    table = np.array([_region_color(name, look) for name in REGIONS], np.float32)
    colors = table[regions]
    shirt = np.isin(regions, [REGIONS.index(r) for r in ("torso", *SLEEVES[look.sleeves])])
    if look.stripes is not None:
        band = np.floor(rest[:, 2] / look.stripe_width).astype(int) % 2 == 1
        colors[shirt & band] = look.stripes
    offsets = np.array([_region_offset(name, look) for name in REGIONS])[regions]
    cloth = (offsets > 0)[:, None]
    noise = rng.normal(0, 1, (len(rest), 1)) * look.cloth_noise
    colors = np.clip(colors + np.where(cloth, noise, 0.25 * noise), 0, 1).astype(np.float32)
    hair = regions == REGIONS.index("hair")
    offsets = _smooth(offsets, faces, 2) * np.where(hair, rng.uniform(0.8, 1.2, len(rest)), 1)
    bare = np.isin(regions, [REGIONS.index(r) for r in ("eye", "iris", "mouth", "brow", "face", "hand")])
    offsets[bare] = 0
    return Outfit(faces, colors, offsets, face_labels(regions, faces))


def recolored(outfit: Outfit, brightness: float) -> Outfit:
    """Return the outfit with all colours multiplied, for contrast with a background."""
    return replace(outfit, colors=np.clip(outfit.colors * brightness, 0, 1))


def _region_color(region: str, look: Look) -> Color:
    """Colour of a region; lips and brows follow from skin and hair."""
    skin = np.array(look.skin)
    if region in ("torso", *SLEEVES[look.sleeves]):
        return look.shirt
    if region in ("hips", *LEGS[look.legs]):
        return look.trousers
    special = {
        "foot": look.shoes,
        "hair": look.hair,
        "brow": tuple(0.75 * np.array(look.hair) + 0.25 * 0.6 * skin),
        "eye": (0.93, 0.92, 0.90),
        "iris": look.iris,
        "mouth": tuple(np.clip(skin * (0.86, 0.58, 0.58) + (0.04, 0, 0), 0, 1)),
    }
    return special.get(region, look.skin)


def _region_offset(region: str, look: Look) -> float:
    """Metres that a region's cloth or hair stands off the skin."""
    if region in ("torso", "hips", *SLEEVES[look.sleeves], *LEGS[look.legs]):
        return CLOTH_OFFSET * look.looseness
    return {"foot": SHOE_OFFSET, "hair": HAIR_OFFSET if look.hair_length > 0 else 0.0}.get(region, 0.0)


def _smooth(values: np.ndarray, faces: np.ndarray, rounds: int) -> np.ndarray:
    """Mean over the faces around each vertex, repeated: hems fade over a few centimetres instead of stepping."""
    corners = faces.ravel()
    count = np.maximum(np.bincount(corners, minlength=len(values)), 1)
    for _ in range(rounds):
        means = np.repeat(values[faces].mean(1), 3)
        values = np.bincount(corners, means, len(values)) / count
    return values


def _between(colors: tuple[Color, ...], rng: np.random.Generator) -> Color:
    """Draw a colour on the line through a list of colours."""
    place = rng.uniform(0, len(colors) - 1)
    first = min(int(place), len(colors) - 2)
    mixed = (1 - place + first) * np.array(colors[first]) + (place - first) * np.array(colors[first + 1])
    red, green, blue = mixed.tolist()
    return red, green, blue


def _cloth_color(rng: np.random.Generator, darkest: float, brightest: float) -> Color:
    """Draw a dyed cloth's colour: any hue, seldom vivid."""
    value, saturation = rng.uniform(darkest, brightest), 0.75 * rng.beta(1.6, 2.2)
    around = np.clip(np.abs((rng.uniform() * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    red, green, blue = (value * (1 - saturation * (1 - around))).tolist()
    return red, green, blue
