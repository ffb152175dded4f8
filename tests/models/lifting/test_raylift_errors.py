"""The error model of the default lifter."""

import hashlib

import pytest
import torch

from posewright.core.errors import InputError
from posewright.models import list_models
from posewright.models.lifting import raylift, raylift_errors
from posewright.models.lifting.raylift_errors import (
    DIMENSIONS,
    FEATURES,
    Model,
    error_of,
    features_of,
    root_of,
)


def frames(B: int = 2, T: int = 6, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Joints (B, T, 26, 3) of made-up people, the pelvis' place, exact rays, confidence, and the ray's centre."""
    generator = torch.Generator().manual_seed(seed)
    joints = 0.4 * torch.randn(B, T, 26, 3, generator=generator)
    joints[:, :, 0] = 0
    root = torch.tensor([0.6, -0.3, 4.0]) + 0.1 * torch.randn(B, T, 3, generator=generator)
    placed = joints + root[:, :, None]
    rays = placed[..., :2] / placed[..., 2:]
    return joints, root, rays, torch.ones(B, T, 26), root[..., :2] / root[..., 2:]


def test_contract_weights_are_small_as_their_card_says_and_no_lifter_of_their_own():
    digest = hashlib.sha256(raylift_errors.WEIGHTS_FILE.read_bytes()).hexdigest()
    assert digest == raylift_errors.WEIGHTS["base"].sha256
    assert sum(p.numel() for p in raylift_errors.load().parameters()) < 300_000
    assert "lifting/raylift_errors" not in list_models("lifting")


def test_contract_missing_weights_are_an_input_error(tmp_path):
    with pytest.raises(InputError, match="install posewright again"):
        raylift_errors.load(tmp_path / "none.safetensors")


def test_law_exact_joints_stand_where_their_keypoints_say_and_miss_nothing():
    joints, root, rays, confidence, centre = frames()
    found = root_of(joints, rays, confidence)
    torch.testing.assert_close(found, root, atol=1e-3, rtol=0)
    assert raylift_errors.misfit_of(joints, rays, confidence, found).abs().max() < 1e-3
    error = error_of(joints, found, joints, root, centre)
    assert error.shape[-1] == DIMENSIONS
    assert error.abs().max() < 1e-3


def test_law_the_error_is_that_of_the_persons_own_axes():
    joints, root, _, _, centre = frames(1, 3)
    away = raylift.rotation_to_axis(centre)[..., 2, :]
    deeper = joints.clone()
    deeper[:, :, 5] += 0.1 * away
    error = error_of(joints, root, deeper, 1.1 * root, centre)[0]
    torch.testing.assert_close(error[:, 12:15], torch.tensor([0.0, 0.0, 0.1]).expand(3, 3), atol=1e-5, rtol=0)
    expected = torch.tensor([0.0, 0.0, 1.1]).log().clamp_min(0).expand(3, 3)
    torch.testing.assert_close(error[:, -3:], expected, atol=1e-5, rtol=0)


def test_contract_frames_without_keypoints_are_read():
    joints, root, rays, confidence, centre = frames()
    confidence[0, 2] = 0
    found = root_of(joints, rays, confidence)
    assert torch.isnan(found[0, 2]).all()
    seen = torch.zeros(2, 6, 3 * 26 + 5)
    features = features_of(seen, joints, rays, confidence, centre, found, 50.0)
    assert features.shape == (2, 6, FEATURES)
    assert torch.isfinite(features).all()


def test_learns_errors_that_depend_on_what_it_reads():
    torch.manual_seed(0)
    x = torch.randn(512, FEATURES)
    loud = x[:, 0] > 0
    error = torch.randn(512, DIMENSIONS) * torch.where(loud, 0.06, 0.01)[:, None]
    model = Model()
    before = raylift_errors.loss(model, x, error).item()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(60):
        optimizer.zero_grad()
        value = raylift_errors.loss(model, x, error)
        value.backward()
        optimizer.step()
    factor, diagonal = model(x)
    size = ((factor**2).sum((-1, -2)) + diagonal.sum(-1)).sqrt()
    assert value.item() < before - 0.3
    assert size[loud].median() > 2.5 * size[~loud].median()
