"""What `posewright doctor` looks at."""

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from posewright import __version__

REQUIRED = {
    "numpy": "numpy",
    "scipy": "scipy",
    "torch": "torch",
    "roma": "roma",
    "av": "av",
    "cv2": "opencv-python-headless",
    "ai_edge_litert": "ai-edge-litert",
    "safetensors": "safetensors",
    "ezc3d": "ezc3d",
    "rich": "rich",
}
OPTIONAL = {
    "onnxruntime": ("onnx", "RTMPose, RTMO and RTMW detectors"),
    "transformers": ("hf", "ViTPose and RT-DETR detectors"),
    "pxr": ("usd", "writing .usda"),
    "bpy": ("blender", "writing .fbx and .blend"),
    "fastapi": ("serve", "posewright serve"),
}
OPENCV_WHEELS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    name: str
    state: str
    """`ok`, `note` (works without it) or `missing` (needed)."""
    found: str
    mend: str = ""
    """What to type, or empty."""


def all_checks() -> list[Check]:
    """Look at everything, most basic first."""
    checks = [_python(), *(_package(module, name) for module, name in REQUIRED.items()), _one_opencv()]
    checks += [_devices(), *_assets(), _lifter(), _disk(), _browser()]
    return checks + [_extra(module, *what) for module, what in OPTIONAL.items()]


def _python() -> Check:
    found = f"posewright {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return Check("python", "ok", found)


def _package(module: str, distribution: str) -> Check:
    if find_spec(module) is None:
        return Check(
            distribution, "missing", "not installed", f"pip install -c constraints.txt {distribution}"
        )
    try:
        return Check(distribution, "ok", metadata.version(distribution))
    except metadata.PackageNotFoundError:
        return Check(distribution, "note", "installed, version unknown")


def _one_opencv() -> Check:
    wheels = [w for w in OPENCV_WHEELS if _is_installed(w)]
    if len(wheels) > 1:
        mend = f"pip uninstall -y {' '.join(wheels)} && pip install opencv-python-headless"
        return Check(
            "one OpenCV", "missing", f"{len(wheels)} wheels share one folder: {', '.join(wheels)}", mend
        )
    return Check("one OpenCV", "ok", wheels[0] if wheels else "none")


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _devices() -> Check:
    if find_spec("torch") is None:
        return Check("devices", "missing", "torch is not installed")
    import torch

    found = f"CPU, {os.cpu_count()} cores"
    if torch.cuda.is_available():
        found += f"; CUDA: {torch.cuda.get_device_name(0)}"
    if torch.backends.mps.is_available():
        found += "; Apple GPU (mps)"
    return Check("devices", "ok", found)


def _assets() -> list[Check]:
    """Whether the detector's model files are in the cache, so that a run works without a network."""
    from posewright.core.assets import cache_folder, cached
    from posewright.models.detection.blazepose import ASSETS

    checks = []
    for asset in ASSETS:
        if cached(asset):
            checks.append(Check(asset.name, "ok", str(cache_folder() / asset.name)))
        else:
            checks.append(
                Check(
                    asset.name, "note", "not here yet: fetched at the first run", "posewright demo --no-open"
                )
            )
    return checks


def _lifter() -> Check:
    from posewright.pipelines.lift import DEFAULT_LIFTER, default_weights_path

    path = default_weights_path()
    if not path.is_file():
        return Check("default lifter", "missing", f"{path} is not there", "reinstall posewright")
    return Check(
        "default lifter", "ok", f"{DEFAULT_LIFTER} ({path.stat().st_size / 1e6:.1f} MB, in the package)"
    )


def _disk() -> Check:
    free = shutil.disk_usage(os.getcwd()).free / 1e9
    state = "ok" if free > 1 else "note"
    return Check(
        "disk", state, f"{free:.1f} GB free here", "" if free > 1 else "make room: a run writes videos"
    )


def _browser() -> Check:
    import webbrowser

    try:
        webbrowser.get()
    except webbrowser.Error:
        return Check("browser", "note", "none found; open report.html on another machine")
    return Check("browser", "ok", "found")


def _extra(module: str, extra: str, purpose: str) -> Check:
    finder: Callable = find_spec
    if finder(module) is None:
        return Check(
            module, "note", f"not installed; only for {purpose}", f"pip install 'posewright[{extra}]'"
        )
    return Check(module, "ok", f"installed: {purpose}")
