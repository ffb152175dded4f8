"""Everything that is true of a synthetic clip, as arrays, in one file without pickles.

Convention: metres, world Z up, floor at z = 0; pixels of the distorted picture, the centre of the top-left pixel is
(0, 0); T frames, P people, J joints; cameras in their order. Missing = NaN.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from posewright.bodies.load import load_body
from posewright.core.errors import InputError
from posewright.core.files import atomic_path
from posewright.datasets.synth.performance import JOINT_SETS, pose_people
from posewright.geometry.cameras import project_world
from posewright.io.user_files import expect, reading
from posewright.structures.bodies import BodyParams
from posewright.structures.cameras import Camera

VERSION = 1
_PLAIN = ("heights", "contacts", "visible_share", "betas", "global_orient", "body_pose", "transl")
_CAMERA_FIELDS = ("K", "R", "t", "distortion")


@dataclass(frozen=True)
class ClipTruth:
    """What is true of a clip: people in the world, cameras, and what each camera's pictures show."""

    fps: float
    person_ids: tuple[int, ...]
    joints: dict[str, np.ndarray]
    """By joint set (`rig_26`, `coco_17`, `h36m_17`, `mediapipe_33`): (T, P, J, 3) float32 metres, world."""
    heights: np.ndarray
    """(P,) float32 metres, standing upright, barefoot."""
    contacts: np.ndarray
    """(T, P, 2) bool: left and right foot on the floor (some of the sole low and slow)."""
    cameras: tuple[Camera, ...]
    """Moving ones have R (T, 3, 3) and t (T, 3)."""
    keypoints: tuple[dict[str, np.ndarray], ...]
    """For each camera by joint set: (T, P, J, 2) float32 pixels of the distorted picture; NaN behind the camera."""
    visible: tuple[dict[str, np.ndarray], ...]
    """For each camera by joint set: (T, P, J) bool: inside the picture, and not behind another person, an occluder or
    the place."""
    self_hidden: tuple[dict[str, np.ndarray], ...]
    """Same shapes: behind another part of the person's own body (see `film.self_hidden`)."""
    visible_share: np.ndarray
    """(C, T, P) float32: share of the person's whole silhouette that the picture shows; 0: absent."""
    betas: np.ndarray
    """(P, S) float32 shape of the body."""
    global_orient: np.ndarray
    """(T, P, 3, 3) float32."""
    body_pose: np.ndarray
    """(T, P, K, 3, 3) float32."""
    transl: np.ndarray
    """(T, P, 3) float32 metres."""
    body: str = "anny"
    topology: str = "full"

    @property
    def num_frames(self) -> int:
        """T."""
        return len(self.transl)

    @property
    def num_people(self) -> int:
        """P."""
        return len(self.betas)

    def params(self) -> BodyParams:
        """Parameters of the bodies: betas (P, S), the rest (T, P, ...)."""
        return BodyParams(
            *map(torch.from_numpy, (self.betas, self.global_orient, self.body_pose, self.transl))
        )


def meshes(truth: ClipTruth, start: int = 0, stop: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Make the bodies' skin again, without clothes.

    Returns:
        Vertices (T, P, V, 3) float32 metres of the frames from `start` to before `stop`, and faces (F, 3).
    """
    body = load_body(truth.body, topology=truth.topology)
    return pose_people(body, truth.params(), slice(start, stop)), body.faces.numpy()


def keypoints_of(joints: dict[str, np.ndarray], camera: Camera) -> dict[str, np.ndarray]:
    """Project joints (T, P, J, 3) by set: (T, P, J, 2) float32 pixels; NaN behind the camera."""
    K, R, t, distortion = (
        torch.as_tensor(np.asarray(getattr(camera, n), np.float64)) for n in _CAMERA_FIELDS
    )
    if R.ndim == 3:
        R, t = R[:, None], t[:, None]
    return {
        name: project_world(torch.from_numpy(x.astype(np.float64)), R, t, K, distortion, camera.model)
        .numpy()
        .astype(np.float32)
        for name, x in joints.items()
    }


def write_truth(truth: ClipTruth, path: str | Path) -> None:
    """Write a clip's truth; the same truth gives the same bytes."""
    arrays = {n: getattr(truth, n) for n in _PLAIN}
    arrays |= {f"joints/{name}": x for name, x in truth.joints.items()}
    for c, camera in enumerate(truth.cameras):
        arrays |= {f"camera/{c}/{n}": np.asarray(getattr(camera, n), np.float64) for n in _CAMERA_FIELDS}
        for kind in ("keypoints", "visible", "self_hidden"):
            arrays |= {f"{kind}/{c}/{name}": x for name, x in getattr(truth, kind)[c].items()}
    about = {
        "version": VERSION,
        "fps": truth.fps,
        "person_ids": list(truth.person_ids),
        "body": truth.body,
        "topology": truth.topology,
        "cameras": [
            {
                "name": c.name,
                "model": c.model,
                "image_size": list(c.image_size),
                "focal_source": c.focal_source,
            }
            for c in truth.cameras
        ],
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)  # pyright: ignore[reportArgumentType]


def read_truth(path: str | Path) -> ClipTruth:
    """Read what `write_truth` wrote.

    Raises:
        InputError: absent, damaged, something else, or of a later version.
    """
    with reading(path, "truth of a synthetic clip (.npz)") as path, np.load(path, allow_pickle=False) as data:
        expect("about" in data.files, "has no `about`: it is not the truth of a synthetic clip")
        about = json.loads(str(data["about"]))
        if about["version"] > VERSION:
            raise InputError(
                f"{path}: written in version {about['version']}; this posewright reads {VERSION}"
            )
        arrays = {name: data[name] for name in data.files if name != "about"}
    count = range(len(about["cameras"]))
    cameras = tuple(
        Camera(
            **{n: arrays[f"camera/{c}/{n}"] for n in _CAMERA_FIELDS},
            **{**about["cameras"][c], "image_size": tuple(about["cameras"][c]["image_size"])},
        )
        for c in count
    )
    seen = {
        k: tuple(_group(arrays, f"{k}/{c}/") for c in count) for k in ("keypoints", "visible", "self_hidden")
    }
    plain = {n: arrays[n] for n in _PLAIN}
    return ClipTruth(
        fps=float(about["fps"]),
        person_ids=tuple(about["person_ids"]),
        joints=_group(arrays, "joints/"),
        cameras=cameras,
        body=about["body"],
        topology=about["topology"],
        **seen,
        **plain,
    )


def _group(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Arrays whose name begins so, by the rest of the name, in the order of `JOINT_SETS`."""
    return {name: arrays[prefix + name] for name in JOINT_SETS if prefix + name in arrays}


def part(truth: ClipTruth, camera: int) -> ClipTruth:
    """The truth of one camera alone."""
    return replace(
        truth,
        cameras=truth.cameras[camera : camera + 1],
        keypoints=truth.keypoints[camera : camera + 1],
        visible=truth.visible[camera : camera + 1],
        self_hidden=truth.self_hidden[camera : camera + 1],
        visible_share=truth.visible_share[camera : camera + 1],
    )
