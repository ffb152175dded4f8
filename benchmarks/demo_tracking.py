"""Is everybody in the demo clip followed, without identity switches and phantoms?

    python benchmarks/demo_tracking.py [--modes balanced]   ->   results/demo_tracking.csv

Compared with `demo_clip_visible.json`, read by eye. A person of ours belongs to the person of the clip whose hips it
is nearest to in the frames listed there. followed: frames between first and last visible frame in which that person of
ours has keypoints. switches: changes of the person of ours nearest to the hips from one listed frame to the next.
misses: listed frames in which nobody of ours is within 120 pixels of the hips. phantoms: people of ours who belong to
nobody.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from row import write_rows

from posewright.io.video import open_clip
from posewright.models.detection.blazepose import Model
from posewright.pipelines.demo_clip import obtain_demo_clip
from posewright.pipelines.people import track_people
from posewright.structures.keypoints import Keypoints2D

VISIBLE = Path(__file__).resolve().parent / "demo_clip_visible.json"
NEAR = 120.0


def hips(keypoints: Keypoints2D) -> np.ndarray:
    """Return (T, P, 2) the middle of the hips."""
    return keypoints.positions[:, :, keypoints.skeleton.indices("left_hip", "right_hip")].mean(2)


def owners(person: dict, found: np.ndarray) -> list[int]:
    """Return whose hips of ours are nearest in each listed frame, -1 where nobody is near."""
    out = []
    for frame, point in person["hips"].items():
        distance = np.nan_to_num(np.linalg.norm(found[int(frame)] - point, axis=-1), nan=np.inf)
        out.append(int(distance.argmin()) if len(distance) and distance.min() < NEAR else -1)
    return out


def judge(person: dict, keypoints: Keypoints2D) -> dict:
    """Return one row about one person of the clip."""
    names = owners(person, hips(keypoints))
    mine = max(set(names), key=names.count)
    known = [name for name in names if name >= 0]
    first, last = person["visible"]
    present = (
        (keypoints.confidence[first : last + 1, mine] > 0).any(-1)
        if mine >= 0
        else np.zeros(last - first + 1)
    )
    return {
        "person": person["who"],
        "visible_frames": last - first + 1,
        "followed_frames": int(present.sum()),
        "followed_percent": round(100 * float(present.mean()), 2),
        "identity_switches": sum(a != b for a, b in zip(known[:-1], known[1:], strict=True)),
        "misses_at_listed_frames": names.count(-1),
        "ours": mine,
    }


def main() -> None:
    """Track the clip and write one row per person."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--modes", nargs="+", default=["fast", "balanced", "accurate"])
    arguments = parser.parse_args()
    visible, rows = json.loads(VISIBLE.read_text()), []
    model = Model()
    for mode in arguments.modes:
        clip = open_clip(obtain_demo_clip())
        found = track_people(
            clip,
            image_size=clip.info.size,
            fps=clip.info.fps,
            detector=model,
            person_order="first-seen",
            mode=mode,
        )
        judged = [{"mode": mode, **judge(person, found.keypoints)} for person in visible["people"]]
        phantoms = set(range(found.keypoints.num_people)) - {row.pop("ours") for row in judged}
        rows += [{**row, "phantoms": len(phantoms)} for row in judged]
        print(*rows[-2:], *found.warnings, sep="\n", flush=True)
    print(write_rows("demo_tracking", rows))


if __name__ == "__main__":
    main()
