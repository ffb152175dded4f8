"""2D keypoints in OpenPose's JSON, which many programs write: a folder with a file per frame, or a file.

Layout: `NAME_000000000000_keypoints.json`, each `{"version": 1.3, "people": [{"person_id": [-1],
"pose_keypoints_2d": [x, y, c, ...]}]}`; 25 keypoints are BODY_25, 18 OpenPose's COCO set. Hands and face are
not read.

Convention: pixels as OpenPose gives them; (0, 0) or confidence 0 = missing.
"""

from pathlib import Path

from posewright.io.keypoint_people import Detection, assemble, detection, frame_numbers, skeleton_for
from posewright.io.user_files import expect, read_json, reading
from posewright.skeletons.skeleton import Skeleton
from posewright.structures.keypoints import Keypoints2D

OPENPOSE_COCO_18 = Skeleton(
    "openpose_coco_18",
    (
        "nose",
        "thorax",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "right_eye",
        "left_eye",
        "right_ear",
        "left_ear",
    ),
    (1, -1, 1, 2, 3, 1, 5, 6, 1, 8, 9, 1, 11, 12, 0, 0, 14, 15),
)
"""OpenPose's older set; `thorax` is its Neck."""


def recognise(document: object) -> bool:
    """Whether a JSON document is one frame, or a list of frames, of OpenPose."""
    first = document[0] if isinstance(document, list) and document else document
    return isinstance(first, dict) and isinstance(first.get("people"), list)


def is_folder(path: Path) -> bool:
    """Whether a folder holds JSON files of single frames."""
    return path.is_dir() and any(path.glob("*.json"))


def read(
    path: str | Path, *, image_size: tuple[int, int] | None = None, fps: float | None = None
) -> Keypoints2D:
    """Read a folder of frames, or one file.

    Raises:
        InputError: a file is damaged or is not OpenPose's.
    """
    path = Path(path)
    files = sorted(path.glob("*_keypoints.json")) or sorted(path.glob("*.json")) if path.is_dir() else [path]
    listed = [_frames(file) for file in files]
    if len(listed) == 1:
        frames = listed[0]
    else:
        numbers = frame_numbers([file.name.removesuffix("_keypoints.json") for file in files])
        frames = [[] for _ in range(max(numbers, default=-1) + 1)]
        for number, people in zip(numbers, listed, strict=True):
            frames[number] = people[0]
    counts = [len(person.positions) for frame in frames for person in frame]
    expect(bool(counts), f"{path}: OpenPose found nobody in any frame")
    skeleton = OPENPOSE_COCO_18 if counts[0] == 18 else skeleton_for(counts[0], f"{path}: OpenPose's file")
    return assemble(frames, skeleton, f"OpenPose, {path.name}", image_size, fps)


def _frames(file: Path) -> list[list[Detection]]:
    """People of the frames of one file, usually one frame."""
    with reading(file, "OpenPose JSON") as file:
        document = read_json(file)
        expect(recognise(document), 'there is no list called "people"')
        return [_people(frame) for frame in (document if isinstance(document, list) else [document])]


def _people(frame: object) -> list[Detection]:
    expect(isinstance(frame, dict), "a frame is no object")
    assert isinstance(frame, dict)
    return [
        detection(person["pose_keypoints_2d"], None, _number(person))
        for person in frame["people"]
        if person.get("pose_keypoints_2d")
    ]


def _number(person: dict) -> int | None:
    """OpenPose's own number of the person; -1 means that it does not follow people."""
    given = person.get("person_id", -1)
    number = int(given[0] if isinstance(given, list) and given else -1 if isinstance(given, list) else given)
    return number if number >= 0 else None
