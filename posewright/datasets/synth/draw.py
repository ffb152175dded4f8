"""Clips drawn by lot: who moves how, what they look like, where they stand, and what films them.

Every clip follows from the seed and its number alone, so that clips can be made in any order, and again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from posewright.core.errors import InputError
from posewright.datasets.mocap import MocapSequence
from posewright.datasets.synth.plan import MAPS, RENDERERS, TOPOLOGIES, CameraPlan, ClipPlan, Performer
from posewright.datasets.synth.recordings import recorded_joints, seconds_of, words_of
from posewright.skeletons.joint_sets import get
from posewright.structures.motion import Motion

APART = 0.9
"""Metres between the hips of two people, in every frame."""
CAMERA_KINDS = ("static", "moving")
MOST_PEOPLE, MOST_CAMERAS = 8, 32
_COARSE_FPS = 10.0
"""Rate at which paths are compared."""


@dataclass(frozen=True)
class SynthOptions:
    """What a data set is to hold."""

    clips: int = 10
    people: int = 1
    """In each clip."""
    cameras: int = 1
    camera: str = "static"
    """`static`, or `moving`: hand-held, on an orbit or on rails, by lot."""
    seconds: float = 4.0
    """Length of a clip; shorter where no chosen recording lasts so long."""
    fps: float = 30.0
    image_size: tuple[int, int] = (1280, 720)
    seed: int = 0
    split: str = "train"
    """`train` or `val`: whose recordings are used."""
    action: str | None = None
    """Only recordings whose description holds this word."""
    sources: tuple[str, ...] = ()
    """Recordings of one's own instead: files, or folders in AMASS's layout."""
    occluders: int = 0
    """Boxes between people and the first camera."""
    maps: tuple[str, ...] = ()
    topology: str = "full"
    supersample: int = 2
    sensor: bool = True
    """Noise, blur and exposure of a real camera."""
    renderer: str = "reference"
    """`reference`, `opengl` or `auto`: `clip.make_clip`. Pictures differ at edges, the truth does not."""

    def __post_init__(self):
        whole = {
            "clips": (self.clips, 1, 1_000_000),
            "people": (self.people, 1, MOST_PEOPLE),
            "cameras": (self.cameras, 1, MOST_CAMERAS),
            "occluders": (self.occluders, 0, 8),
            "seed": (self.seed, 0, 2**31),
            "supersample": (self.supersample, 1, 4),
        }
        for name, (value, low, high) in whole.items():
            if not low <= value <= high:
                raise InputError(f"{name} is {value}, expected {low} to {high}")
        named = [("camera", self.camera, CAMERA_KINDS), ("topology", self.topology, TOPOLOGIES)]
        named += [("renderer", self.renderer, RENDERERS)]
        named += [("split", self.split, ("train", "val")), *(("map", m, MAPS) for m in self.maps)]
        for name, value, known in named:
            if value not in known:
                raise InputError(f"{name} {value!r}, expected one of {', '.join(known)}")
        if not 0.3 <= self.seconds <= 600:
            raise InputError(f"seconds is {self.seconds:g}, expected 0.3 to 600")
        if not 1 <= self.fps <= 240:
            raise InputError(f"fps is {self.fps:g}, expected 1 to 240")
        if any(side % 2 or not 16 <= side <= 8192 for side in self.image_size):
            raise InputError(
                f"size is {self.image_size[0]}x{self.image_size[1]}, expected even numbers from 16 to 8192"
            )


def draw_plan(
    options: SynthOptions, number: int, recordings: Sequence[MocapSequence | Motion], attempt: int = 0
) -> ClipPlan:
    """Draw clip `number` (from 1); the same arguments give the same plan.

    Args:
        options: see `SynthOptions`.
        number: of the clip.
        recordings: `recordings.find_recordings` of the options.
        attempt: another draw for the same clip, where one could not be made.
    """
    rng = np.random.default_rng([options.seed, number, attempt])
    performers = _cast(options, recordings, rng)
    return ClipPlan(
        performers=performers,
        cameras=_cameras(options, rng),
        fps=options.fps,
        image_size=options.image_size,
        place="room" if rng.random() < 2 / 3 else "open_air",
        scene_seed=_seed(rng),
        occluders=options.occluders,
        topology=options.topology,
        supersample=options.supersample,
        sensor_seed=_seed(rng) if options.sensor else None,
        action=words_of(performers[0].source),
    )


def random_betas(rng: np.random.Generator) -> tuple[float, ...]:
    """Draw an adult of Anny: gender, age, muscle, weight, height, proportions."""
    middle, spread = [0.5, 0.75, 0.5, 0.5, 0.5, 0.5], [0.35, 0.1, 0.15, 0.15, 0.12, 0.15]
    lowest = [0.02, 0.62, 0.1, 0.15, 0.15, 0.1]
    return tuple(np.clip(rng.normal(middle, spread), lowest, 0.98).round(4).tolist())


def _cast(
    options: SynthOptions, recordings: Sequence[MocapSequence | Motion], rng: np.random.Generator
) -> tuple[Performer, ...]:
    """Draw people, their recordings and bodies, and where they are: nobody walks into anybody."""
    long_enough = [r for r in recordings if seconds_of(r) >= options.seconds] or list(recordings)
    cast: list[Performer] = []
    paths: list[np.ndarray] = []
    weight = np.sqrt([seconds_of(r) for r in long_enough])
    for _ in range(options.people):
        source = long_enough[rng.choice(len(long_enough), p=weight / weight.sum())]
        start = _start(source, options.seconds, rng)
        person = int(rng.integers(source.num_people)) if isinstance(source, Motion) else 0
        performer = Performer(
            source,
            start,
            start + options.seconds,
            turn=round(float(rng.uniform(-np.pi, np.pi)), 4),
            betas=random_betas(rng),
            look_seed=_seed(rng),
            person=person,
        )
        path = _path(performer)
        offset = _free_place(path, paths, rng)
        cast.append(replace(performer, offset=(float(offset[0]), float(offset[1]))))
        paths.append(path + offset)
    return tuple(cast)


def _start(source: MocapSequence | Motion, seconds: float, rng: np.random.Generator) -> float:
    """Draw a second to start at; of several, one without capture glitches."""
    last = max(seconds_of(source) - seconds, 0.0)
    draws = rng.uniform(0, last, 20).round(3)
    there = np.asarray(source.present().all(1) if isinstance(source, Motion) else source.valid)
    spans = [there[int(s * source.fps) : int((s + seconds) * source.fps) + 1] for s in draws]
    return float(draws[int(np.argmax([span.mean() for span in spans]))])


def _path(performer: Performer) -> np.ndarray:
    """Way of the hips (T, 2) about its own middle, metres, turned as the performer is."""
    joints, joint_set = recorded_joints(performer, _COARSE_FPS)
    names = get(joint_set).joint_names
    hips = joints[:, [names.index(n) for n in ("left_hip", "right_hip")], :2].mean(1)
    hips = hips - (np.nanmin(hips, 0) + np.nanmax(hips, 0)) / 2
    cos, sin = np.cos(performer.turn), np.sin(performer.turn)
    return hips @ np.array([[cos, sin], [-sin, cos]])


def _free_place(path: np.ndarray, others: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Draw an offset (2,) at which the path stays clear of the others at every time; ever wider until there is one."""
    if not others:
        return np.zeros(2)
    reach = 1.0
    while True:
        offset = rng.uniform(-reach, reach, 2).round(3)
        together = [min(len(path), len(o)) for o in others]
        gaps = [
            np.nanmin(np.linalg.norm(path[:n] + offset - o[:n], axis=-1))
            for o, n in zip(others, together, strict=True)
        ]
        if min(gaps) > APART:
            return offset
        reach *= 1.05


def _cameras(options: SynthOptions, rng: np.random.Generator) -> tuple[CameraPlan, ...]:
    """Draw cameras around people, evenly spread where there are several."""
    first = rng.uniform(-np.pi, np.pi)
    planned = []
    for c in range(options.cameras):
        apart = 2 * np.pi / options.cameras
        azimuth = first + c * apart + (rng.uniform(-0.2, 0.2) * apart if c else 0)
        planned.append(
            CameraPlan(
                azimuth=round(float((azimuth + np.pi) % (2 * np.pi) - np.pi), 4),
                pitch=round(float(rng.uniform(-0.02, 0.45)), 4),
                focal=round(float(rng.uniform(0.65, 1.2)), 4),
                margin=round(float(rng.uniform(0.04, 0.12)), 4),
                move=str(rng.choice(["handheld", "orbit", "dolly"]))
                if options.camera == "moving"
                else "static",
                travel=round(float(rng.uniform(0.3, 0.7) * rng.choice([-1, 1])), 4),
                seed=_seed(rng),
            )
        )
    return tuple(planned)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(1 << 30))
