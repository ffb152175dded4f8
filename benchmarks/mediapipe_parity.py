"""Compare our BlazePose with recorded MediaPipe Pose 0.10.21 on photos and videos.

    python benchmarks/mediapipe_parity.py [--every N]   ->   results/mediapipe_parity.csv

Photos and the `static` setting: the best person of a search of the whole image, as MediaPipe does. Videos
(`tracking`): one person followed by `PeopleFollower`, at MediaPipe's simulated 30.0003 Hz, searching the whole
picture when nobody is followed. Compared on frames where both found somebody; unfound frames are counted.

Difference: distance of a landmark from MediaPipe's, pixels, over the person's height: the extent of MediaPipe's 33
landmarks along y in the frame, or along x where that is longer (somebody lying or bending), median over the clip.
All 33 landmarks count, seen or guessed; the second set of columns has only those MediaPipe calls visible (> 0.5).
"""

import argparse
import os
import sys
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from row import write_rows

from posewright.models.detection.blazepose import Config, Model
from posewright.models.detection.following import PeopleFollower, Schedule

REPOSITORY = Path(__file__).resolve().parent.parent
RECORDED = REPOSITORY / "tests" / "models" / "detection" / "mediapipe_0.10.21"
ONE_PERSON = Schedule(
    tiles="none",
    search_interval=10**9,
    patience=0.0,
    max_people=1,
    min_birth_confidence=0.0,
    min_confidence=0.0,
    max_size_change=np.inf,
    min_torso=0.0,
)
MEDIAPIPE_FPS = 1e6 / 33333


def find_media(data: Path, stem: str) -> Path:
    """Return the photo or video that a recording was made from."""
    return next(p for p in sorted((data / "media").rglob(f"{stem}.*")) if p.suffix != ".npz")


def decode(path: Path, last: int):
    """Yield (index, image) up to frame `last`."""
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index > last:
                return
            yield index, frame.to_ndarray(format="rgb24")


def find_static(model: Model, image: np.ndarray):
    """Return the pose MediaPipe would look at in a photo, or None."""
    regions = model.search(image)
    return model.estimate(image, regions[:1])[0] if regions else None


def compare(path: Path, setting: str, recorded: dict, model: Model, frames: int = 10**9) -> dict:
    """Return ours and MediaPipe's landmarks in pixels on the frames both found, and counts.

    Keys: ours, theirs (N, 33, 2); visible (N, 33) bool; world (N, 33, 3) differences, metres; found_ours, found_both.
    """
    wanted = dict(zip(recorded["frames"].tolist(), range(len(recorded["frames"])), strict=True))
    size, follower = recorded["image_size"], None
    ours, theirs, visible, world, found = [], [], [], [], 0
    for index, image in decode(path, min(max(wanted), frames - 1)):
        if index not in wanted:
            continue
        if setting == "static":
            pose = find_static(model, image)
        else:
            follower = follower or PeopleFollower(model, tuple(size), MEDIAPIPE_FPS, ONE_PERSON)
            pose = next((f.pose for f in follower(image)), None)
        found += pose is not None
        row = wanted[index]
        if pose is not None and recorded["found"][row]:
            ours.append(pose.keypoints)
            theirs.append(recorded["landmarks"][row, :, :2] * size)
            visible.append(recorded["landmarks"][row, :, 3] > 0.5)
            world.append(pose.world - recorded["world"][row])
    return {
        "ours": np.array(ours).reshape(-1, 33, 2),
        "theirs": np.array(theirs).reshape(-1, 33, 2),
        "visible": np.array(visible, bool).reshape(-1, 33),
        "world": np.array(world).reshape(-1, 33, 3),
        "found_ours": found,
        "found_both": len(ours),
    }


def differences(result: dict) -> np.ndarray:
    """Return (N, 33) distances over the person's height."""
    extent = np.ptp(result["theirs"], axis=1).max(-1)
    height = np.median(extent) if len(extent) else np.nan
    return np.linalg.norm(result["ours"] - result["theirs"], axis=-1) / height


def row_of(name: str, setting: str, recorded: dict, result: dict) -> dict:
    """Summarise one file and setting in percent of the person's height."""
    every = 100 * differences(result)
    seen = every[result["visible"]]
    return {
        "file": name,
        "setting": setting,
        "frames": len(recorded["frames"]),
        "found_mediapipe": int(recorded["found"].sum()),
        "found_ours": result["found_ours"],
        "found_both": result["found_both"],
        **_percentiles(every, ""),
        **_percentiles(seen, "visible_"),
        "world_median_mm": round(1000 * float(np.median(np.linalg.norm(result["world"], axis=-1))), 2)
        if len(every)
        else "",
    }


def _percentiles(values: np.ndarray, prefix: str) -> dict:
    if not values.size:
        return {f"{prefix}median_percent": "", f"{prefix}p95_percent": ""}
    return {
        f"{prefix}median_percent": round(float(np.median(values)), 4),
        f"{prefix}p95_percent": round(float(np.percentile(values, 95)), 4),
    }


def main() -> None:
    """Compare every recording whose photo or video is at hand."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=10**9, help="only the first N frames of each video")
    parser.add_argument("--only", default="", help="only files whose name holds this")
    arguments = parser.parse_args()
    data = Path(os.environ.get("POSEWRIGHT_DATA", REPOSITORY.parent / "shared" / "data"))
    model, rows, pooled, seen = Model(Config()), [], [], []
    for path in sorted(p for p in RECORDED.glob("*.npz") if arguments.only in p.name):
        name, setting = path.stem.split(".")
        if setting == "smooth":
            continue
        recorded = dict(np.load(path))
        result = compare(find_media(data, name), setting, recorded, model, arguments.frames)
        rows.append(row_of(name, setting, recorded, result))
        if result["found_both"]:
            pooled.append(100 * differences(result))
            seen.append(pooled[-1][result["visible"]])
        print(rows[-1], flush=True)
    everything = {
        **_percentiles(np.concatenate(pooled), ""),
        **_percentiles(np.concatenate(seen), "visible_"),
    }
    rows.append({"file": "all landmarks of all files", **everything})
    print(rows[-1])
    print(write_rows("mediapipe_parity", rows))


if __name__ == "__main__":
    main()
