"""2D keypoints in COCO's JSON: annotations, or results (a list of `image_id`, `keypoints`, `score`).

Layout: https://cocodataset.org/#format-data. Images count as the frames of a clip, in the order of the number
in their file name (or of `image_id`). In annotations v = 0 is missing, 1 hidden (confidence 0.5) and 2 seen;
in results the third number is the keypoint's score.

Convention: pixels as the file gives them.
"""

from pathlib import Path

from posewright.io.keypoint_people import Detection, assemble, detection, frame_numbers, skeleton_for
from posewright.io.user_files import expect, read_json, reading
from posewright.structures.keypoints import Keypoints2D


def recognise(document: object) -> bool:
    """Whether a JSON document is COCO's."""
    if isinstance(document, dict):
        return isinstance(document.get("annotations"), list) and isinstance(document.get("images"), list)
    first = document[0] if isinstance(document, list) and document else None
    return isinstance(first, dict) and "keypoints" in first and isinstance(first.get("image_id"), int)


def read(
    path: str | Path, *, image_size: tuple[int, int] | None = None, fps: float | None = None
) -> Keypoints2D:
    """Read annotations or results of the frames of one clip.

    Raises:
        InputError: damaged, not COCO's, or images of different size.
    """
    with reading(path, "COCO keypoints JSON") as path:
        document = read_json(path)
        expect(
            recognise(document),
            "there are neither images and annotations, nor results with image_id and keypoints",
        )
        if isinstance(document, dict):
            names = {image["id"]: str(image.get("file_name", image["id"])) for image in document["images"]}
            people, scale = document["annotations"], 0.5
            image_size = image_size or _size(document["images"])
        else:
            assert isinstance(document, list)
            people, scale = document, 1.0
            names = {person["image_id"]: str(person["image_id"]) for person in people}
        frame_of = dict(zip(names, frame_numbers(list(names.values())), strict=True))
        frames: list[list[Detection]] = [[] for _ in range(max(frame_of.values(), default=-1) + 1)]
        for person in people:
            if any(person.get("keypoints") or []):
                frames[frame_of[person["image_id"]]].append(_person(person, scale))
        counts = [len(person.positions) for frame in frames for person in frame]
        expect(bool(counts), "there is no person with keypoints")
        return assemble(frames, skeleton_for(counts[0], "COCO's file"), f"COCO, {path.name}", image_size, fps)


def _person(person: dict, scale: float) -> Detection:
    """One annotation; visibilities 0, 1, 2 become 0, 0.5, 1 by `scale`."""
    values = [float(v) for v in person["keypoints"]]
    values[2::3] = [v * scale for v in values[2::3]]
    track = person.get("track_id")
    return detection(values, None, None if track is None else int(track))


def _size(images: list[dict]) -> tuple[int, int] | None:
    """Width and height shared by all images, None where they are not given."""
    sizes = {(int(i["width"]), int(i["height"])) for i in images if "width" in i and "height" in i}
    expect(len(sizes) < 2, f"images of {len(sizes)} different sizes: these are not the frames of one clip")
    return sizes.pop() if sizes else None
