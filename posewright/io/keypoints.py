"""2D keypoints made elsewhere: whatever the program, one call reads its file."""

from pathlib import Path

from posewright.core.errors import InputError
from posewright.io import (
    keypoints_alphapose,
    keypoints_coco,
    keypoints_mmpose,
    keypoints_npz,
    keypoints_openpose,
    keypoints_videopose3d,
    npz,
)
from posewright.io.user_files import read_json, reading
from posewright.structures.keypoints import Keypoints2D

JSON_FORMATS = {
    "OpenPose": keypoints_openpose,
    "MMPose": keypoints_mmpose,
    "AlphaPose": keypoints_alphapose,
    "COCO": keypoints_coco,
}
"""In the order in which they are tried."""
LOOKED_FOR = (
    "a folder of OpenPose JSON files (one per frame); a .json of OpenPose (people), MMPose (instance_info or "
    "instances), AlphaPose (list with image_id text) or COCO (images and annotations, or results with image_id "
    "number); a .npz of posewright or VideoPose3D (positions_2d)"
)


def read_keypoints(
    path: str | Path, *, image_size: tuple[int, int] | None = None, fps: float | None = None
) -> Keypoints2D:
    """Recognise whose 2D keypoints these are, and read them.

    People are those of the file where it numbers them, else linked over frames by similarity. The file's own
    picture size and frame rate are used where it has them, else `image_size` and `fps`, else a guess; the
    history says which.

    Args:
        path: a file, or a folder of OpenPose's.
        image_size: (width, height) in pixels.
        fps: frames per second.

    Raises:
        InputError: absent, damaged, or of no known program; the message lists what was looked for.
    """
    path = Path(path)
    if keypoints_openpose.is_folder(path):
        return keypoints_openpose.read(path, image_size=image_size, fps=fps)
    with reading(path, "2D keypoints") as path:
        if keypoints_npz.is_keypoints_file(path):
            return keypoints_npz.read(path)[0]
        if npz.is_motion_file(path):
            raise InputError(
                f"{path}: this is a finished motion, not 2D keypoints: see it with `posewright view`, write it in "
                "other formats with `posewright convert`"
            )
        if path.suffix.lower() == ".npz":
            return keypoints_videopose3d.read(path, image_size=image_size, fps=fps)
        document = read_json(path) if path.suffix.lower() == ".json" else None
    for module in JSON_FORMATS.values():
        if module.recognise(document):
            return module.read(path, image_size=image_size, fps=fps)
    raise InputError(f"{path}: no known 2D keypoints; looked for {LOOKED_FOR}")
