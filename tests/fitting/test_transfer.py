"""Pose and shape carried from one body to another."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import posewright as pw
from posewright.core.errors import InputError
from posewright.fitting.transfer import same_kind, transfer
from tests.bodies.made_bodies import arrays


@pytest.fixture(scope="module")
def few(clip):
    """Eight frames of the clip."""
    return replace(clip.params.map(lambda x: x[::5] if len(x) == 40 else x), betas=clip.params.betas)


@pytest.fixture(scope="module")
def smpl(tmp_path_factory):
    """SMPL made of random numbers."""
    path = tmp_path_factory.mktemp("bodies") / "SMPL_NEUTRAL.npz"
    np.savez(path, **arrays("smpl"))
    return pw.load_body(path)


def test_law_another_mesh_of_anny_has_the_same_parameters(clip, few):
    coarse = pw.load_body("anny", topology="low_369")
    found = transfer(clip.body, few, coarse)
    assert torch.equal(found.params.body_pose, few.body_pose)
    assert np.nanmax(found.distance) < 1e-5


def test_there_and_back_through_a_body_with_another_zero_pose(clip, few):
    other = pw.load_body("anny", topology="low_1229", zero_pose="rest")
    assert not same_kind(clip.body, other)
    there = transfer(clip.body, few, other)
    back = transfer(other, there.params, clip.body)
    assert np.nanmean(there.distance) < 0.003
    assert np.nanmean(back.distance) < 0.003
    gap = clip.body(back.params).vertices - clip.body(few).vertices
    assert float(gap.norm(dim=-1).mean()) < 0.015


def test_a_shape_of_its_own_is_kept(clip, few):
    own = torch.tensor([0.3, 0.6, 0.5, 0.8, 0.4, 0.5])
    found = transfer(clip.body, few, clip.body, betas=own)
    assert torch.equal(found.params.betas, own)
    assert torch.equal(found.params.global_orient, few.global_orient)
    a, b = (clip.body.joints(clip.body(p), found.joint_set) for p in (found.params, few))
    gap = a - b
    assert gap.nan_to_num().mean((0, 1)).abs().max() < 1e-3, "no way is nearer"


def test_contract_the_smpl_family(clip, few, smpl):
    """Random numbers are no person: that they are far off is said, and a pose of their own is copied."""
    found = transfer(clip.body, few, smpl)
    assert found.params.body_pose.shape == (8, 23, 3, 3)
    assert "could not reach" in found.remarks[0]
    assert np.isfinite(found.distance).any()
    again = transfer(smpl, found.params, smpl)
    assert np.nanmax(again.distance) < 1e-6


def test_hands_and_several_people_are_refused(clip, few, tmp_path):
    np.savez(tmp_path / "MANO_LEFT.npz", **arrays("mano"))
    with pytest.raises(InputError, match="hands and heads cannot"):
        transfer(clip.body, few, pw.load_body(tmp_path / "MANO_LEFT.npz"))
    with pytest.raises(InputError, match="one by one"):
        transfer(clip.body, replace(few, betas=few.betas.expand(8, -1)), clip.body)
