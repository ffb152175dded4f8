"""What a lifter takes and gives, as data, so that one piece of code can run, train and score them all."""

from dataclasses import dataclass
from typing import Literal

from posewright.skeletons.skeleton import Skeleton

KeypointUnits = Literal["screen", "standardised", "rays"]
"""`screen`: x / w * 2 - 1 and y / w * 2 - h / w, so x lies in [-1, 1] and the aspect ratio is kept (`w`, `h`
the image size in pixels). `standardised`: pixels minus the mean of the training set over its standard
deviation, per coordinate. `rays`: x/z and y/z in camera axes, the lens removed."""

JointUnits = Literal["metres", "image", "standardised"]
"""`metres`: camera axes, relative to the root. `image`: x and y in the unit of the screen keypoints, z
divided by half the image width, relative to the root and true up to one factor per frame. `standardised`: as
for the keypoints."""

OutputFrames = Literal["all", "centre", "valid"]
"""`all`: one pose per input frame. `centre`: one pose, that of the middle frame of the window. `valid`: one
pose for each place where the window fits (T - window + 1); the caller repeats edge frames to get one per
frame."""


@dataclass(frozen=True)
class Lifting:
    """The conventions of one lifter; sizes that can be chosen are in its `Config`."""

    skeleton: Skeleton
    """Joint set and order of the keypoints (B, T, K, C)."""
    output_skeleton: Skeleton
    """Joint set and order of the joints (B, T', J, 3)."""
    channels: int
    """Numbers per keypoint: 2 (x, y) or 3 (x, y, confidence)."""
    output_frames: OutputFrames
    keypoint_units: KeypointUnits = "screen"
    joint_units: JointUnits = "metres"
    short_clips: bool = False
    """True where fewer frames than the window are accepted as they are."""
    causal: bool = False
    """True where the window ends at the frame whose pose is given."""
