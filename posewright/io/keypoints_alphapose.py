"""2D keypoints of AlphaPose: `alphapose-results.json`, a list with one entry per person and frame.

Layout: `{"image_id": "0.jpg", "category_id": 1, "keypoints": [x, y, score, ...], "score": 2.9, "box": [...],
"idx": 1}`; `idx` is the person's number where tracking was on. 17 keypoints are COCO, 26 Halpe; of 136 the
first 26 are taken.

Convention: pixels as the file gives them; frames by the number in `image_id`.
"""

from pathlib import Path

from posewright.io.keypoint_people import Detection, assemble, detection, frame_numbers, skeleton_for
from posewright.io.user_files import expect, read_json, reading
from posewright.structures.keypoints import Keypoints2D


def recognise(document: object) -> bool:
    """Whether a JSON document is AlphaPose's."""
    first = document[0] if isinstance(document, list) and document else None
    return isinstance(first, dict) and "keypoints" in first and isinstance(first.get("image_id"), str)


def read(
    path: str | Path, *, image_size: tuple[int, int] | None = None, fps: float | None = None
) -> Keypoints2D:
    """Read the results of a video or a folder.

    Raises:
        InputError: damaged or not AlphaPose's.
    """
    with reading(path, "AlphaPose JSON") as path:
        document = read_json(path)
        expect(recognise(document), "there is no list of image_id and keypoints")
        assert isinstance(document, list)
        numbers = frame_numbers([str(person["image_id"]) for person in document])
        frames: list[list[Detection]] = [[] for _ in range(max(numbers) + 1)]
        for number, person in zip(numbers, document, strict=True):
            frames[number].append(_person(person))
        count = len(frames[numbers[0]][0].positions)
        return assemble(
            frames, skeleton_for(count, "AlphaPose's file"), f"AlphaPose, {path.name}", image_size, fps
        )


def _person(person: dict) -> Detection:
    number = person.get("idx")
    while isinstance(number, list):
        number = number[0] if number else None
    values = person["keypoints"]
    return detection(
        values[: 3 * 26] if len(values) == 3 * 136 else values, None, None if number is None else int(number)
    )
