"""Bodies as data: sizes that agree, people chosen, and no torch for who only reads them."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.io.made_body import made_motion, made_rig


def test_contract_sizes_must_agree():
    bodies = made_motion()[0].bodies
    with pytest.raises(ValueError, match=r"betas has shape \(2, 1\), expected \(2, 2\)"):
        replace(bodies, betas=bodies.betas[:, :1])
    with pytest.raises(
        ValueError, match=r"rotations_wxyz has shape \(20, 2, 3, 4\), expected \(20, 2, 4, 4\)"
    ):
        replace(bodies, rotations_wxyz=bodies.rotations_wxyz[:, :, :3])


def test_contract_a_motion_takes_bodies_of_its_own_frames_and_people():
    motion, _ = made_motion()
    with pytest.raises(ValueError, match=r"bodies are of \(20, 1\) frames and people, expected \(20, 2\)"):
        replace(motion, bodies=motion.bodies.person(0))


def test_convention_missing_is_nan():
    bodies = made_motion()[0].bodies
    assert bodies.present()[:, 0].all()
    assert np.flatnonzero(bodies.present()[:, 1]).tolist() == list(range(5, 16))
    hurt = bodies.rotations_wxyz.copy()
    hurt[3, 0, 2, 1] = np.nan
    assert not replace(bodies, rotations_wxyz=hurt).present()[3, 0]


def test_convention_offsets_are_from_the_parents():
    rig = made_rig(0)
    assert (rig.offsets[0] == 0).all()
    for j, parent in enumerate(rig.parents[1:], start=1):
        np.testing.assert_allclose(rig.offsets[j], rig.joints[j].astype(float) - rig.joints[parent])


def test_reading_a_motion_with_bodies_needs_no_torch():
    program = "import sys, posewright.structures.motion; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
