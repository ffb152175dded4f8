"""One clip from its plan: pictures and truth, and their files.

    truth = make_clip(plan, "out/clip_0001", maps=("depth", "masks"))

Files, each written beside and renamed, the truth last: `camera_01.mp4`..., `calibration.toml` (`io.calibration`; of a
moving camera its pose in the first frame, all poses are in the truth), `clip.json` (the plan in words), `truth.npz`,
and a folder of PNG pictures per camera and kind of map:

* `camera_01_depth/000001.png`: 16 bits, millimetres along the camera's axis; 0: nothing, or beyond 65.535 m;
* `camera_01_masks/000001.png`: 8 bits, the number of the person seen, 0: none;
* `camera_01_normals/000001.png`: red, green, blue are x, y, z in camera axes, (n + 1) / 2 * 255; black: nothing.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from posewright.core.errors import InputError, MissingAssetError, MissingExtraError
from posewright.core.files import atomic_path
from posewright.datasets.synth.cameras import place_camera
from posewright.datasets.synth.film import FrameView, film
from posewright.datasets.synth.performance import Performance, perform
from posewright.datasets.synth.plan import MAPS, RENDERERS, CameraPlan, ClipPlan
from posewright.datasets.synth.recordings import words_of
from posewright.datasets.synth.stage import build_place
from posewright.datasets.synth.truth import ClipTruth, keypoints_of, write_truth
from posewright.io.calibration import save_rig
from posewright.io.video import write_video
from posewright.render.gl_picture import GlPainter
from posewright.render.scene import Scene
from posewright.render.sensor import expose, random_sensor
from posewright.structures.cameras import Camera, CameraRig

QUALITY = 18
"""x264 CRF of the videos."""
TRUTH_FILE, CALIBRATION_FILE, CLIP_FILE = "truth.npz", "calibration.toml", "clip.json"

Progress = Callable[[int, int], None]
"""Called with (pictures done, pictures in all)."""


def make_clip(
    plan: ClipPlan,
    folder: str | Path | None = None,
    maps: Sequence[str] = (),
    on_progress: Progress | None = None,
    renderer: str = "reference",
) -> ClipTruth:
    """Make a clip.

    Args:
        plan: what it shows.
        folder: where its files go; None: no pictures are taken, only the truth is worked out.
        maps: further pictures to write: `depth`, `masks`, `normals`.
        on_progress: told after each picture.
        renderer: `reference`; `opengl`: several times as fast, other at edges, needs EGL; `auto`: `opengl` where it is
            there. The truth is the same.

    Raises:
        InputError: a recording that cannot be put on a body, or a camera for which there is no place.
    """
    _check_maps(maps)
    painter = choose_painter(renderer) if folder is not None else None
    performance = perform(plan.performers, plan.fps, plan.topology)
    cameras = place_cameras(plan, performance)
    scene = build_place(plan, performance, cameras)
    truth = _still_unseen(plan, performance, cameras)
    total = performance.num_frames * len(cameras)
    views = []
    with painter or nullcontext():
        for c, camera in enumerate(cameras):
            frames = film(
                performance,
                scene,
                camera,
                truth.keypoints[c],
                plan.supersample,
                folder is not None,
                "normals" in maps,
                painter,
            )
            if folder is not None:
                frames = _written(frames, plan, c, camera, Path(folder), maps)
            views.append(_gathered(frames, c * performance.num_frames, total, on_progress))
    truth = replace(
        truth,
        visible=tuple(v[0] for v in views),
        self_hidden=tuple(v[1] for v in views),
        visible_share=np.stack([v[2] for v in views]),
    )
    if folder is not None:
        _write_about(plan, truth, scene, Path(folder), maps)
    return truth


def choose_painter(renderer: str) -> GlPainter | None:
    """The OpenGL painter that `renderer` asks for (see `make_clip`); None: the reference takes the pictures.

    Raises:
        MissingExtraError, MissingAssetError: `opengl` without moderngl or EGL.
    """
    if renderer not in RENDERERS:
        raise InputError(f"renderer {renderer!r}, expected one of {', '.join(RENDERERS)}")
    if renderer == "reference":
        return None
    try:
        return GlPainter()
    except (MissingExtraError, MissingAssetError):
        if renderer == "opengl":
            raise
        return None


def place_cameras(plan: ClipPlan, performance: Performance) -> tuple[Camera, ...]:
    """The plan's cameras, placed, called `camera_01`, `camera_02`... where they have no place yet."""
    placed = []
    for c, camera in enumerate(plan.cameras, 1):
        if isinstance(camera, CameraPlan):
            camera = place_camera(performance, camera, plan.image_size, f"camera_{c:02d}")
        poses = np.shape(camera.R)[0] if np.ndim(camera.R) > 2 else performance.num_frames
        if poses < performance.num_frames:
            raise InputError(
                f"camera {camera.name} has {poses} poses; the clip has {performance.num_frames} frames"
            )
        placed.append(camera)
    return tuple(placed)


def _still_unseen(plan: ClipPlan, performance: Performance, cameras: tuple[Camera, ...]) -> ClipTruth:
    """The truth before anything is filmed."""
    params = performance.params
    return ClipTruth(
        fps=plan.fps,
        person_ids=tuple(range(1, performance.num_people + 1)),
        joints=performance.joints,
        heights=performance.heights,
        contacts=performance.contacts,
        cameras=cameras,
        keypoints=tuple(keypoints_of(performance.joints, camera) for camera in cameras),
        visible=(),
        self_hidden=(),
        visible_share=np.zeros((0, performance.num_frames, performance.num_people), np.float32),
        betas=params.betas.numpy(),
        global_orient=params.global_orient.numpy(),
        body_pose=params.body_pose.numpy(),
        transl=params.transl.numpy(),
        topology=plan.topology,
    )


def _gathered(
    frames: Iterator[FrameView], done: int, total: int, on_progress: Progress | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """What frames tell of visibility, over time."""
    visible, own, shares = [], [], []
    for n, view in enumerate(frames, done + 1):
        visible.append(view.visible)
        own.append(view.self_hidden)
        shares.append(view.visible_share)
        if on_progress is not None:
            on_progress(n, total)
    every = [{name: np.stack([v[name] for v in seen]) for name in seen[0]} for seen in (visible, own)]
    return every[0], every[1], np.stack(shares)


def _written(
    frames: Iterator[FrameView], plan: ClipPlan, c: int, camera: Camera, folder: Path, maps: Sequence[str]
) -> Iterator[FrameView]:
    """Write a camera's video and maps while its frames pass."""
    name = f"camera_{c + 1:02d}"
    folders = {kind: folder / f"{name}_{kind}" for kind in maps}
    for made in folders.values():
        made.mkdir(parents=True, exist_ok=True)
    sensor = None if plan.sensor_seed is None else random_sensor(plan.sensor_seed + c)
    with ExitStack() as stack:
        write = stack.enter_context(
            write_video(folder / f"{name}.mp4", camera.image_size, plan.fps, quality=QUALITY)
        )
        for n, view in enumerate(frames):
            picture = view.picture
            assert picture is not None
            seed = 0 if plan.sensor_seed is None else plan.sensor_seed * 100_003 + c * 10_007 + n
            write(picture if sensor is None else expose(picture, sensor, seed))
            for kind, target in folders.items():
                _write_png(_MAP_PICTURES[kind](view), target / f"{n + 1:06d}.png")
            yield view


def _depth_picture(view: FrameView) -> np.ndarray:
    millimetres = np.rint(1000 * np.where(np.isfinite(view.depth), view.depth, 0))
    return np.where((millimetres > 0) & (millimetres < 65536), millimetres, 0).astype(np.uint16)


def _mask_picture(view: FrameView) -> np.ndarray:
    return (view.people + 1).astype(np.uint8)


def _normal_picture(view: FrameView) -> np.ndarray:
    assert view.normals is not None
    return np.rint(np.nan_to_num((view.normals + 1) / 2 * 255)).astype(np.uint8)[
        ..., ::-1
    ]  # OpenCV writes BGR


_MAP_PICTURES = {"depth": _depth_picture, "masks": _mask_picture, "normals": _normal_picture}


def _write_png(picture: np.ndarray, path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes())


def _write_about(plan: ClipPlan, truth: ClipTruth, scene: Scene, folder: Path, maps: Sequence[str]) -> None:
    """Write calibration, plan and truth; the truth says that the clip is complete."""
    still = [
        replace(c, R=np.asarray(c.R)[0], t=np.asarray(c.t)[0]) if np.ndim(c.R) > 2 else c
        for c in truth.cameras
    ]
    save_rig(CameraRig(tuple(still)), folder / CALIBRATION_FILE)
    with atomic_path(folder / CLIP_FILE) as temporary:
        temporary.write_text(
            json.dumps(plan_in_words(plan, truth, scene, maps), indent=1) + "\n", encoding="utf-8"
        )
    write_truth(truth, folder / TRUTH_FILE)


def plan_in_words(plan: ClipPlan, truth: ClipTruth, scene: Scene, maps: Sequence[str]) -> dict:
    """What was asked, for people and programs to read."""
    return {
        "action": plan.action,
        "fps": plan.fps,
        "frames": truth.num_frames,
        "image_size": list(plan.image_size),
        "place": plan.place,
        "scene_seed": plan.scene_seed,
        "occluders": sum(mesh.name == "occluder" for mesh in scene.meshes),
        "topology": plan.topology,
        "sensor_seed": plan.sensor_seed,
        "maps": list(maps),
        "people": [
            {
                "recording": p.name,
                "description": words_of(p.source),
                "start": p.start,
                "stop": p.stop,
                "offset": list(p.offset),
                "turn": p.turn,
                "betas": [round(float(b), 4) for b in truth.betas[i]],
                "height": round(float(truth.heights[i]), 4),
                "look_seed": p.look_seed,
            }
            for i, p in enumerate(plan.performers)
        ],
        "cameras": [
            {"name": c.name, "moves": np.ndim(c.R) > 2}
            | (
                {k: getattr(q, k) for k in ("azimuth", "pitch", "focal", "margin", "move", "travel", "seed")}
                if isinstance(q, CameraPlan)
                else {}
            )
            for c, q in zip(truth.cameras, plan.cameras, strict=True)
        ],
    }


def _check_maps(maps: Sequence[str]) -> None:
    if wrong := [m for m in maps if m not in MAPS]:
        raise InputError(f"unknown map {wrong[0]!r}, expected some of {', '.join(MAPS)}")
