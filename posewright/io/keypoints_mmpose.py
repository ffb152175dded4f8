"""2D keypoints of MMPose: `--save-predictions` of its demos and `pred_out_dir` of its inferencer.

Layout: `{"meta_info": ..., "instance_info": [{"frame_id": 1, "instances": [{"keypoints": [[x, y], ...],
"keypoint_scores": [...]}]}]}`, or just that list, or for a photo a list of instances.

Convention: pixels as the file gives them; frames in the order of `frame_id`.
"""

from pathlib import Path

from posewright.io.keypoint_people import Detection, assemble, detection, skeleton_for
from posewright.io.user_files import expect, read_json, reading
from posewright.structures.keypoints import Keypoints2D


def recognise(document: object) -> bool:
    """Whether a JSON document is MMPose's."""
    if isinstance(document, dict):
        return isinstance(document.get("instance_info"), list)
    first = document[0] if isinstance(document, list) and document else None
    return isinstance(first, dict) and ("instances" in first or "keypoint_scores" in first)


def read(
    path: str | Path, *, image_size: tuple[int, int] | None = None, fps: float | None = None
) -> Keypoints2D:
    """Read predictions of a video or a photo.

    Raises:
        InputError: damaged or not MMPose's.
    """
    with reading(path, "MMPose JSON") as path:
        document = read_json(path)
        expect(recognise(document), "there is neither instance_info nor a list of instances")
        listed = document["instance_info"] if isinstance(document, dict) else document
        assert isinstance(listed, list)
        if listed and "instances" not in listed[0]:
            listed = [{"frame_id": 0, "instances": listed}]
        first = min((int(frame.get("frame_id", n)) for n, frame in enumerate(listed)), default=0)
        last = max((int(frame.get("frame_id", n)) for n, frame in enumerate(listed)), default=0)
        expect(last - first < 10 * len(listed) + 100, "the frame numbers have enormous gaps")
        frames: list[list[Detection]] = [[] for _ in range(last - first + 1)]
        for n, frame in enumerate(listed):
            frames[int(frame.get("frame_id", n)) - first] = [_person(p) for p in frame["instances"]]
        counts = [len(person.positions) for frame in frames for person in frame]
        expect(bool(counts), "there is no person in any frame")
        return assemble(
            frames, skeleton_for(counts[0], "MMPose's file"), f"MMPose, {path.name}", image_size, fps
        )


def _person(person: dict) -> Detection:
    track = person.get("track_id")
    number = None if track is None or int(track) < 0 else int(track)
    return detection(person["keypoints"], person["keypoint_scores"], number)
