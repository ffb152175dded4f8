import numpy as np
import pytest
import torch

from posewright.datasets.mocap import MOCAP_19, MocapSequence
from posewright.datasets.procedural import walk
from posewright.datasets.synthetic import (
    TRUNK_AND_LEG_METRES,
    SyntheticClips,
    SyntheticConfig,
    harmonised,
    measured_noise,
)
from posewright.skeletons.joint_sets import BODY_26, RIG_26

STILL = SyntheticConfig(
    mirror=0, retime=0, reverse=0, graft_upper=0, graft_arm=0, graft_leg=0, perturb=0, tilt_small=0, tilt_any=0,
    bone_spread=0,
)  # fmt: skip


def _sequences(count=3):
    order = [RIG_26.index(n) for n in MOCAP_19.joint_names]
    takes = [walk(seconds=3, fps=50, speed=1 + 0.2 * i, heading=i).joints[:, 0, order] for i in range(count)]
    return [
        MocapSequence(f"9{i}_01", f"s{i}", "walk", "asf", 50.0, t.astype(np.float32), np.ones(len(t), bool))
        for i, t in enumerate(takes)
    ]


@pytest.fixture(scope="module")
def clips():
    return SyntheticClips(_sequences(), seed=1)


@pytest.mark.parametrize("frames", [2, 32, 128])
def test_batches_have_the_stated_shapes(clips, frames):
    batch = clips.batch(8, frames)
    assert batch["rays"].shape == (8, frames, 26, 2)
    assert batch["confidence"].shape == (8, frames, 26)
    assert batch["joints"].shape == (8, frames, 26, 3)
    assert all(x.isfinite().all() for x in batch.values())
    assert (batch["joints"][:, :, 0] == 0).all()
    assert ((batch["confidence"] >= 0) & (batch["confidence"] <= 1)).all()


def test_same_seed_same_clips():
    a, b = (SyntheticClips(_sequences(), seed=5).batch(4, 16) for _ in range(2))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_law_bones_keep_their_lengths_within_a_clip(clips):
    points = clips.poses(32, 64)
    bones = (points - points[:, :, [max(p, 0) for p in BODY_26.parents]]).norm(dim=-1)
    torch.testing.assert_close(bones, bones[:, :1].expand_as(bones), atol=2e-4, rtol=0)


def test_law_every_body_has_one_size(clips):
    points = clips.poses(64, 2)[:, 0]
    names = ("right_knee", "right_ankle", "spine", "thorax", "neck", "head")
    joints = [BODY_26.index(n) for n in names]
    size = (points[:, joints] - points[:, [BODY_26.parents[j] for j in joints]]).norm(dim=-1).sum(1)
    assert abs(size.mean() - TRUNK_AND_LEG_METRES) < 0.01
    assert size.std() < 0.03


def test_law_without_errors_rays_are_the_joints_seen(clips):
    film = SyntheticClips(_sequences(), STILL, seed=2)
    points = film.poses(16, 8)
    image, focal = film._images(16)
    camera = film._place(points, image, focal)
    assert camera[..., 2].min() >= 0.6 - 1e-5
    distances = (points[:, :, 1:] - points[:, :, :1]).norm(dim=-1)
    torch.testing.assert_close(
        (camera[:, :, 1:] - camera[:, :, :1]).norm(dim=-1), distances, atol=1e-4, rtol=0
    )


def test_convention_people_stand_upright_in_the_picture():
    film = SyntheticClips(_sequences(), STILL, seed=3)
    joints = film.batch(64, 2)["joints"][:, 0]
    assert (joints[:, BODY_26.index("head"), 1] < 0).all(), "y points down"
    foot = (
        joints[:, BODY_26.indices("left_toe", "right_toe")]
        - joints[:, BODY_26.indices("left_heel", "right_heel")]
    )
    leftwards = joints[:, BODY_26.index("left_hip"), 0] - joints[:, BODY_26.index("right_hip"), 0]
    facing = foot[..., 2].mean(1) < -0.15
    assert facing.any()
    assert (leftwards[facing] > 0).all(), "who faces the camera has the left hip at the right of the picture"


def test_mirrored_bodies_stay_human(clips):
    points = clips.poses(64, 1)[:, 0]
    J = BODY_26.index
    left = points[:, J("left_hip")] - points[:, J("right_hip")]
    up = points[:, J("thorax")] - points[:, J("pelvis")]
    toes = (
        points[:, J("left_toe")]
        - points[:, J("left_heel")]
        + points[:, J("right_toe")]
        - points[:, J("right_heel")]
    )
    assert ((torch.linalg.cross(left, up) * toes).sum(-1) > 0).float().mean() > 0.95


def test_detector_noise_was_measured():
    noise = measured_noise()
    assert noise.shape == (3, 26)
    assert ((noise > 1e-4) & (noise < 0.1)).all()


def test_harmonised_leaves_arms_as_long(shared_data):
    from posewright.datasets.mocap import read_mocap_file

    take = read_mocap_file(shared_data / "mocap" / "train" / "cmu_10_daz.npz")[0]
    out = harmonised(take)
    J = MOCAP_19.index
    for a, b in (("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist")):
        before = np.linalg.norm(take.joints[:, J(b)] - take.joints[:, J(a)], axis=-1)
        after = np.linalg.norm(out[:, J(b)] - out[:, J(a)], axis=-1)
        np.testing.assert_allclose(after, before, atol=1e-4)
    width = np.linalg.norm(out[:, J("left_shoulder")] - out[:, J("right_shoulder")], axis=-1)
    assert 0.3 < width.mean() < 0.42
