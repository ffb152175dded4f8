"""Footage: windows of what a lifter reads, and what is said of footage that cannot serve."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from posewright.adapt.footage import footage_of, held_out, trained_on
from posewright.core.errors import InputError
from tests.adapt.domains import CAMERA, coco_footage, h36m_footage, student


def test_convention_windows_are_in_screen_units_at_the_lifters_rate():
    s = student()
    clip = h36m_footage(2.0)
    windows = footage_of(s, [clip], [CAMERA])
    assert windows.screen.shape == (1 + (100 - 9) // 4, 9, 17, 2)
    assert windows.used.all()
    expected = (clip.positions[:9, 0] - CAMERA.K[:2, 2]) * 2 / 1280
    np.testing.assert_allclose(windows.screen[0].numpy(), expected, atol=1e-5)
    torch.testing.assert_close(windows.focal[0], torch.tensor(2 * 1100 / 1280))
    assert not windows.warnings


def test_convention_the_default_lifter_sees_no_trunk_in_coco():
    s = student("lifting/raylift")
    windows = footage_of(s, [coco_footage()], [CAMERA])
    names = np.array(s.skeleton.joint_names)
    assert {"pelvis", "spine", "thorax", "neck", "head"} <= set(names[~windows.used.any(0).numpy()])
    assert {"left_hip", "right_knee", "left_wrist", "nose"} <= set(names[windows.used.all(0).numpy()])


def test_missing_keypoints_and_absent_people():
    clip = h36m_footage()
    positions, confidence = clip.positions.copy(), clip.confidence.copy()
    confidence[:, 0, 5] = 0
    confidence[:40] = 0
    positions[confidence == 0] = np.nan
    windows = footage_of(student(), [replace(clip, positions=positions, confidence=confidence)], [CAMERA])
    assert not windows.used[:, 5].any()
    assert windows.screen.isfinite().all()
    assert len(windows) == 1 + (110 - 9) // 4


def test_law_what_is_reported_on_is_not_trained_on():
    clip = h36m_footage(2.0)
    first, last = trained_on([clip])[0], held_out([clip])[0]
    assert first.num_frames + last.num_frames == clip.num_frames
    assert np.array_equal(np.concatenate([first.positions, last.positions]), clip.positions)
    short = replace(clip, positions=clip.positions[:4], confidence=clip.confidence[:4])
    assert held_out([short])[0].num_frames == trained_on([short])[0].num_frames == 4


def test_an_empty_set_is_refused_and_still_people_are_warned_of():
    with pytest.raises(InputError, match="no footage, expected at least one clip"):
        footage_of(student(), [], [])
    clip = h36m_footage()
    gone = replace(
        clip, confidence=np.zeros_like(clip.confidence), positions=np.full_like(clip.positions, np.nan)
    )
    with pytest.raises(InputError, match="no window with 8 joints of h36m_17 in sight"):
        footage_of(student(), [gone], [CAMERA])
    noise = np.random.default_rng(0).normal(0, 1.0, clip.positions.shape)
    still = replace(clip, positions=(clip.positions[:1] + noise).astype(np.float32))
    (warning,) = footage_of(student(), [still], [CAMERA]).warnings
    assert "nobody moves" in warning


def test_law_windows_are_drawn_from_the_generator_alone():
    windows = footage_of(student(), [h36m_footage()], [CAMERA])
    draws = [windows.drawn(6, torch.Generator().manual_seed(s)).screen for s in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
