"""A motion of each set, six channels on every joint as theirs, unfolded."""

from posewright.datasets.procedural import walk
from posewright.io import bvh


def write(root):
    for name in (
        "dataset-1_walk_happy_001",
        "dataset-1_raise-up-both-hands_active_001",
        "dataset-2_run_normal_012",
    ):
        dataset = name.split("_")[0]
        folder = root / "dataset" / f"Bandai-Namco-Research-Motiondataset-{dataset[-1]}" / "data"
        bvh.write(walk(0.3, 30.0), folder / f"{name}.bvh")
        (folder / f"{name}.json").write_text('{"content": 0, "style": 1}')
