"""Record what MediaPipe Pose 0.10.21 finds on photos and videos, as the reference of `mediapipe_parity.py`.

MediaPipe is no dependency of posewright: run this once in an environment of its own, then commit the numbers.

    python3.11 -m venv env && env/bin/pip install mediapipe==0.10.21 "numpy<2" av
    env/bin/python benchmarks/record_mediapipe.py ../shared/data tests/models/detection/mediapipe_0.10.21
    env/bin/python benchmarks/record_mediapipe.py CLIPS benchmarks/mediapipe_on_truth --truth

The second is for the clips that `posewright benchmark truth --keep CLIPS` makes: only the defaults (`smooth`), one
npz per clip.

One npz per photo or video and setting (`static`: every frame by itself; `tracking`: smooth_landmarks=False; `smooth`:
the defaults), model_complexity=1:
    frames (N,) index of the frame, image_size (width, height), found (N,) bool,
    landmarks (N, 33, 4) float32: x, y as fractions of width and height, z, visibility,
    world (N, 33, 3) float16: x, y, z metres (hip-centred); zero rows where nobody was found.
Frames are decoded by PyAV to RGB and counted from 0; MediaPipe's own clock advances 33,333 us a frame,
whatever the file says.
"""

import argparse
from pathlib import Path

import av
import mediapipe
import numpy as np

PHOTOS = (".jpg", ".jpeg", ".png")
SETTINGS = {
    "static": {"static_image_mode": True},
    "tracking": {"static_image_mode": False, "smooth_landmarks": False},
    "smooth": {"static_image_mode": False, "smooth_landmarks": True},
}
MAX_FRAMES = {"static": 24, "tracking": 400, "smooth": 150}


def decode(path):
    """Yield the frames of a photo or video as (H, W, 3) uint8 RGB."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def frame_count(path):
    """Count the frames of a video by decoding it."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def chosen_frames(total, setting):
    """Pick the frames to keep: evenly spread for `static`, the first ones where frames follow one another."""
    if setting == "static":
        return set(np.unique(np.linspace(0, total - 1, min(total, MAX_FRAMES[setting])).round().astype(int)))
    return set(range(min(total, MAX_FRAMES[setting])))


def landmark_rows(result):
    """Turn one MediaPipe result into (33, 4) image and (33, 4) world rows, or None."""
    if result.pose_landmarks is None:
        return None
    image, world = (
        [[p.x, p.y, p.z, p.visibility] for p in group.landmark]
        for group in (result.pose_landmarks, result.pose_world_landmarks)
    )
    return np.array(image, np.float32), np.array(world, np.float32)


def record(path, setting):
    """Run one setting over one file and return the arrays to save."""
    keep = chosen_frames(1 if path.suffix in PHOTOS else frame_count(path), setting)
    frames, found, landmarks, world, size = [], [], [], [], None
    with mediapipe.solutions.pose.Pose(model_complexity=1, **SETTINGS[setting]) as pose:
        for index, image in enumerate(decode(path)):
            if index > max(keep):
                break
            if setting == "static" and index not in keep:
                continue
            size = image.shape[1], image.shape[0]
            rows = landmark_rows(pose.process(image))
            frames.append(index)
            found.append(rows is not None)
            landmarks.append(rows[0] if rows else np.zeros((33, 4), np.float32))
            world.append(rows[1] if rows else np.zeros((33, 4), np.float32))
    return {
        "frames": np.array(frames, np.int32),
        "image_size": np.array(size, np.int32),
        "found": np.array(found),
        "landmarks": np.array(landmarks, np.float32),
        "world": np.array(world)[..., :3].astype(np.float16),
    }


def record_truth(clips, output):
    """Record the first camera of every rendered clip."""
    output.mkdir(parents=True, exist_ok=True)
    for clip in sorted(p.parent for p in clips.glob("*/truth.npz") if " by " not in p.parent.name):
        arrays = record(clip / "camera_01.mp4", "smooth")
        arrays["landmarks"] = arrays["landmarks"][..., :2]
        np.savez_compressed(output / f"{clip.name}.npz", **arrays)
        print(f"{clip.name}: {arrays['found'].sum()}/{len(arrays['found'])} frames with a pose")


def main():
    """Record every photo and video under the data folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--truth", action="store_true", help="the data are clips of the truth benchmark")
    parser.add_argument(
        "--all-frames", action="store_true", help="keep every frame (for work, not to commit)"
    )
    arguments = parser.parse_args()
    if arguments.all_frames:
        MAX_FRAMES.update(tracking=10**9, smooth=10**9)
    if arguments.truth:
        record_truth(arguments.data, arguments.output)
        return
    media = arguments.data / "media"
    arguments.output.mkdir(parents=True, exist_ok=True)
    files = sorted(p for folder in ("photos", "videos", "multiview") for p in (media / folder).rglob("*.*"))
    for path in files:
        if path.suffix not in (*PHOTOS, ".mp4"):
            continue
        for setting in ("static",) if path.suffix in PHOTOS else SETTINGS:
            arrays = record(path, setting)
            np.savez_compressed(arguments.output / f"{path.stem}.{setting}.npz", **arrays)
            print(f"{path.stem} {setting}: {arrays['found'].sum()}/{len(arrays['found'])} frames with a pose")


if __name__ == "__main__":
    main()
