"""Bandai-Namco-Research-Motiondataset 1 and 2 (2022): acted motions in many styles, BVH, 30 Hz.

Files are named `dataset-1_<motion>_<style>_<number>.bvh`, such as `dataset-1_raise-up-both-hands_active_001.bvh`.

Convention: the data set's own skeleton of 22 joints (`joint_Root` on the floor, then `Hips`...), centimetres and Y
up in the files; metres, Z up here. Its arms and legs hang along one axis at rest: rotations are relative to that,
not to a T-pose.
"""

from collections.abc import Iterator
from pathlib import Path

from posewright.datasets.takes import DatasetCard, Take, check_split, missing_files, require_layout
from posewright.io import bvh

PATTERN = "**/dataset-*_*_*_*.bvh"

CARD = DatasetCard(
    title="Bandai-Namco-Research-Motiondataset",
    licence="CC BY-NC-ND 4.0",
    obtain="Clone https://github.com/BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset and unpack the "
    "data.zip of "
    "each set.",
    layout="root/\n  **/dataset-1_<motion>_<style>_<number>.bvh\n  **/dataset-2_<motion>_<style>_<number>.bvh",
    rests_on="The repository's README files and its file dataset-1_bow_active_001.bvh, header and first frames.",
    splits=("dataset-1", "dataset-2"),
    gives="world motion at 30 Hz, the data set's own skeleton; the style in the action (`walk, happy`)",
)


def missing(root: str | Path) -> list[str]:
    """Files that `root` lacks."""
    return missing_files(root, PATTERN)


def read(root: str | Path, split: str | None = None, *, style: str | None = None) -> Iterator[Take]:
    """Read motions, file by file, in order of name.

    Args:
        root: the clone, or any folder above the files.
        split: `dataset-1`, `dataset-2` or None: both.
        style: only motions of that style, such as `happy`.

    Raises:
        InputError: files missing or damaged.
    """
    check_split(CARD, split)
    root = require_layout(CARD, root, missing(root))
    for path in sorted(root.glob(PATTERN)):
        dataset, action, its_style, _ = path.stem.split("_", 3)
        if split in (None, dataset) and style in (None, its_style):
            motion = bvh.read(path, unit="cm", up="y")
            yield Take(path.stem, dataset, f"{action}, {its_style}", motion.fps, motion)
