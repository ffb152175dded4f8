"""posewright: photos, videos and camera rigs to 3D human pose and motion.

Names are loaded when first used, so that `import posewright` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOMES = {
    "estimate": "posewright.pipelines.video_to_motion",
    "estimate_multiview": "posewright.pipelines.multiview_to_motion",
    "RunOptions": "posewright.pipelines.video_to_motion",
    "lift": "posewright.pipelines.lift",
    "save": "posewright.io.formats",
    "load": "posewright.io.formats",
    "retarget": "posewright.motion.retarget",
    "with_bodies": "posewright.pipelines.body",
    "save_body": "posewright.pipelines.body_files",
    "load_rig": "posewright.io.calibration",
    "read_keypoints": "posewright.io.keypoints",
    "load_body": "posewright.bodies.load",
    "create": "posewright.models",
    "load_official": "posewright.models",
    "list_models": "posewright.models",
    "BodyParams": "posewright.structures.bodies",
    "BodyMesh": "posewright.structures.bodies",
    "Motion": "posewright.structures.motion",
    "Keypoints2D": "posewright.structures.keypoints",
    "Keypoints3D": "posewright.structures.keypoints",
    "Camera": "posewright.structures.cameras",
    "CameraRig": "posewright.structures.cameras",
}

__all__ = ["__version__", *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
    from posewright.bodies.load import load_body
    from posewright.io.calibration import load_rig
    from posewright.io.formats import load, save
    from posewright.io.keypoints import read_keypoints
    from posewright.models import create, list_models, load_official
    from posewright.motion.retarget import retarget
    from posewright.pipelines.body import with_bodies
    from posewright.pipelines.body_files import save_body
    from posewright.pipelines.lift import lift
    from posewright.pipelines.multiview_to_motion import estimate_multiview
    from posewright.pipelines.video_to_motion import RunOptions, estimate
    from posewright.structures.bodies import BodyMesh, BodyParams
    from posewright.structures.cameras import Camera, CameraRig
    from posewright.structures.keypoints import Keypoints2D, Keypoints3D
    from posewright.structures.motion import Motion


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"posewright has no {name!r}; it has: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
