"""Animals through the pipeline: placed where they stand, in joint sets of animals, and never as people."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import posewright as pw
from posewright.core.errors import InputError
from posewright.evaluate.lifters import as_lifter, save_lifter
from posewright.geometry.cameras import project
from posewright.models.lifting import fmpose3d
from posewright.pipelines.lift import lift_people
from posewright.skeletons.joint_sets import ANIMAL_26
from posewright.structures.cameras import Camera
from posewright.structures.keypoints import Keypoints2D
from tests.models.lifting.small import SMALL

SIZE, FOCAL, FPS = (1280, 720), 1000.0, 25.0
K = torch.tensor([[FOCAL, 0, 639.5], [0, FOCAL, 359.5], [0, 0, 1]], dtype=torch.float64)
ROOT = ANIMAL_26.index("tail_base")


def network(**changes) -> fmpose3d.Model:
    torch.manual_seed(0)
    small = SMALL["lifting/fmpose3d"][0]
    sizes = {
        "channel": 64,
        "skeleton": "animal_26",
        "encoders": "separate",
        "time_dim": 16,
        "aggregation": "mean",
    }
    return fmpose3d.Model(replace(small, **(sizes | changes))).eval()


def animal(frames: int = 12) -> tuple[np.ndarray, torch.Tensor]:
    """One that walks past: keypoints, and joints relative to the base of the tail."""
    joints = 0.3 * torch.randn(26, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    joints = (joints - joints[ROOT]).expand(frames, -1, -1)
    place = torch.tensor([-0.5, 0.3, 5.0]).double() + torch.linspace(0, 1, frames)[:, None] * torch.tensor(
        [1.0, 0, 0.5]
    )
    return project(joints + place[:, None], K).numpy(), joints + place[:, None]


def lift(keypoints, model, **changes):
    given = {"skeleton": "animal_26", "image_size": SIZE, "fps": FPS, "focal": FOCAL} | changes
    return pw.lift(keypoints, model=model, **given)


class Knows(fmpose3d.Model):
    """Gives the pose whatever the keypoints are."""

    def forward(self, keypoints):
        return (animal(1)[1] - animal(1)[1][:, ROOT : ROOT + 1]).float().expand(*keypoints.shape[:2], 26, 3)


def test_law_the_right_pose_is_placed_where_the_animal_stands():
    lifter = replace(as_lifter(network()), network=Knows(network().config))
    keypoints, truth = animal()
    result = lift(keypoints, lifter)
    assert result.skeleton == ANIMAL_26
    np.testing.assert_allclose(result.positions, truth.numpy(), atol=2e-3)
    assert (result.confidence == 1).all()
    assert "fmpose3d" in result.history[0]


def test_convention_missing_keypoints_are_guesses_and_empty_frames_are_missing():
    lifter = replace(as_lifter(network()), network=Knows(network().config))
    keypoints, truth = animal()
    keypoints[3, 5] = np.nan
    keypoints[6] = np.nan
    keypoints[:2] = np.nan
    result = lift(keypoints, lifter)
    gone = np.isnan(result.positions).all((1, 2))
    assert np.flatnonzero(gone).tolist() == [0, 1, 6]
    assert (result.confidence[gone] == 0).all()
    np.testing.assert_allclose(result.positions[~gone], truth.numpy()[~gone], atol=2e-3)
    assert 0 < result.confidence[3, 5] < 0.25
    assert np.isnan(lift(np.full_like(keypoints, np.nan), lifter).positions).all()


@pytest.mark.parametrize("aggregation", ["mean", "rpea", "jpma"])
def test_a_file_of_weights_lifts_and_mirrors(aggregation, tmp_path):
    save_lifter(as_lifter(network(aggregation=aggregation)), tmp_path / "w.safetensors")
    keypoints, _ = animal()
    result = lift(keypoints, "lifting/fmpose3d", weights=tmp_path / "w.safetensors", flip=True)
    assert result.positions.shape == (12, 26, 3)
    assert np.isfinite(result.positions).all()
    there = keypoints[:, ANIMAL_26.mirror] * [-1, 1] + [2 * 639.5, 0]
    mirrored = lift(there, "lifting/fmpose3d", weights=tmp_path / "w.safetensors", flip=True).positions
    back = mirrored[:, ANIMAL_26.mirror] * [-1, 1, 1]
    np.testing.assert_allclose(back, result.positions, atol=2e-3 * np.abs(result.positions).max())


def test_other_sets_of_animals_are_converted_where_their_words_agree():
    result = lift(animal()[0], as_lifter(network()), output="ap10k_17")
    assert result.positions.shape == (12, 17, 3)
    assert np.isfinite(result.positions[:, 0]).all()


def test_people_and_animals_are_not_taken_for_one_another():
    keypoints, _ = animal()
    lifter = as_lifter(network())
    with pytest.raises(InputError, match="lifts animals, and coco_17.*animal_26"):
        lift(keypoints[:, :17], lifter, skeleton="coco_17")
    with pytest.raises(InputError, match="lifts animals, and body_24"):
        lift(keypoints, lifter, output="body_24")
    torch.manual_seed(0)
    people = as_lifter(fmpose3d.Model(SMALL["lifting/fmpose3d"][0]))
    with pytest.raises(InputError, match="lifts people, and animal_26"):
        lift(keypoints, people)
    clip = Keypoints2D(ANIMAL_26, keypoints[:, None], np.ones((12, 1, 26)), SIZE, FPS)
    with pytest.raises(InputError, match="lifts animals"):
        lift_people(clip, Camera(K=K.numpy(), image_size=SIZE), lifter)
