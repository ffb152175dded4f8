import pytest
import torch

from posewright.models import create, find, list_models
from posewright.models.lifting import raylift
from posewright.models.lifting.raylift import BODY_26, Config, Model, rotation_to_axis

SMALL = Config(dim=32, depth=2, heads=2, hidden=48)


def _keypoints(batch=2, frames=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    keypoints = torch.rand(batch, frames, 26, 3, generator=generator)
    keypoints[..., :2] = 0.4 * keypoints[..., :2] - 0.1
    return keypoints


def _model(config=SMALL):
    torch.manual_seed(0)
    return Model(config).eval()


def test_the_method_is_listed():
    assert "lifting/raylift" in list_models("lifting")
    assert isinstance(create("lifting/raylift", depth=2), find("lifting/raylift").Model)


@pytest.mark.parametrize("mixer", ["hybrid", "attention", "convolution", "none"])
@pytest.mark.parametrize("frames", [1, 2, 5, 40])
def test_contract_any_number_of_frames(mixer, frames):
    model = _model(Config(dim=32, depth=2, heads=2, hidden=48, mixer=mixer))
    joints = model(_keypoints(frames=frames))
    assert joints.shape == (2, frames, 26, 3)
    assert joints.isfinite().all()
    assert (joints[:, :, 0] == 0).all()


def test_contract_every_parameter_gets_a_gradient():
    model = _model().train()
    raylift.loss(model(_keypoints(), torch.tensor([1.0, 0.0])), torch.randn(2, 9, 26, 3)).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without


def test_contract_same_input_same_output():
    model, keypoints = _model(), _keypoints()
    assert torch.equal(model(keypoints), model(keypoints))


def test_law_clips_of_a_batch_do_not_mix():
    model, keypoints = _model(), _keypoints(batch=3)
    torch.testing.assert_close(model(keypoints)[1:2], model(keypoints[1:2]), atol=1e-5, rtol=1e-5)


def test_law_missing_keypoints_are_not_looked_at():
    model, keypoints = _model(), _keypoints()
    keypoints[:, 2:6, 7, 2] = 0.0
    other = keypoints.clone()
    other[:, 2:6, 7, :2] = 0.3
    torch.testing.assert_close(model(keypoints), model(other))


def test_nothing_seen_is_still_finite():
    keypoints = _keypoints()
    keypoints[..., 2] = 0
    assert _model()(keypoints).isfinite().all()
    keypoints[:, 3, 5, 2] = 1.0
    assert _model()(keypoints).isfinite().all()


def test_law_turning_the_camera_turns_the_result():
    """A camera turned about its own centre sees the same rays turned, so the joints turn with it."""
    model, keypoints = _model(), _keypoints(batch=1, frames=6)
    keypoints[..., :2] *= 0.2
    angle = torch.tensor(0.3)
    turn = torch.eye(3)
    turn[0, 0] = turn[2, 2] = angle.cos()
    turn[0, 2], turn[2, 0] = angle.sin(), -angle.sin()
    points = torch.cat([keypoints[..., :2], torch.ones_like(keypoints[..., :1])], dim=-1) @ turn.T
    turned = keypoints.clone()
    turned[..., :2] = points[..., :2] / points[..., 2:]
    # exact but for the centre and size, which are means of rays, not of directions
    difference = (model(turned) - model(keypoints) @ turn.T).norm(dim=-1).max()
    assert difference < 0.05 * model(keypoints).norm(dim=-1).max()


def test_law_the_rotation_puts_the_ray_on_the_axis():
    centre = torch.randn(2, 5, 2)
    R = rotation_to_axis(centre)
    ray = torch.cat([centre, torch.ones(2, 5, 1)], dim=-1)
    on_axis = (R @ (ray / ray.norm(dim=-1, keepdim=True))[..., None])[..., 0]
    torch.testing.assert_close(on_axis, torch.tensor([0.0, 0.0, 1.0]).expand_as(on_axis), atol=1e-6, rtol=0)
    torch.testing.assert_close(R @ R.mT, torch.eye(3).expand_as(R), atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(2, 5))
    assert (R[..., 0, 1].abs() < 1e-6).all(), "the picture's horizontal stays level"


def test_learns_a_few_poses():
    torch.manual_seed(0)
    model = Model(Config(dim=48, depth=2, heads=2, hidden=96)).train()
    keypoints, joints = _keypoints(4, 2), 0.3 * torch.randn(4, 2, 26, 3)
    joints = joints - joints[:, :, :1]
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        raylift.loss(model(keypoints), joints).backward()
        optimizer.step()
    assert (model.eval()(keypoints) - joints).norm(dim=-1).mean() < 0.1


def test_published_size():
    model = Model()
    assert sum(p.numel() for p in model.parameters()) == raylift.PARAMETERS["base"]


def test_weights_in_the_package_are_those_of_the_card():
    import hashlib

    card = raylift.WEIGHTS["base"]
    assert raylift.WEIGHTS_FILE.stat().st_size < 20e6
    assert hashlib.sha256(raylift.WEIGHTS_FILE.read_bytes()).hexdigest() == card.sha256
    assert card.licence == "Apache-2.0"
    model = raylift.load()
    assert not model.training
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert len(BODY_26) == 26


def test_another_state_dict_is_refused():
    from posewright.core.errors import InputError

    with pytest.raises(InputError, match="keys"):
        raylift.load_official(_model().state_dict(), dim=64, depth=2, heads=2, hidden=48)


def test_an_unknown_mixer_says_what_there_is():
    with pytest.raises(ValueError, match="hybrid"):
        Model(Config(mixer="recurrent"))
