"""Platypose: its prior, the guidance by one camera or several, its checkpoints, bad input, and that it learns."""

from dataclasses import replace
from typing import Any

import pytest
import torch

import posewright as pw
from posewright.core.errors import InputError
from posewright.evaluate.lifters import as_lifter, load_lifter, save_lifter
from posewright.evaluate.windows import run_clip, run_hypotheses
from posewright.metrics.hypotheses import p_agg
from posewright.models.lifting import platypose
from posewright.nn.checkpoints import official_key
from posewright.nn.post_norm import sinusoidal_positions
from posewright.nn.reprojection_guidance import Cameras, one_camera
from posewright.pipelines.lift_zoo import clip_joints
from tests.models.lifting.small import SMALL

CONFIG = SMALL["lifting/platypose"][0]


def small(**changes) -> platypose.Model:
    torch.manual_seed(0)
    return platypose.Model(replace(CONFIG, **changes)).eval()


class Answers(torch.nn.Module):
    """A prior that knows one motion (T, J, 3) and nothing else."""

    def __init__(self, motion: torch.Tensor):
        super().__init__()
        self.motion = motion

    def forward(self, noisy, steps):
        return self.motion.flatten(-2).expand_as(noisy)


def motion(frames: int = 9, seed: int = 1) -> torch.Tensor:
    poses = 0.35 * torch.randn(frames, 17, 3, generator=torch.Generator().manual_seed(seed))
    poses[:, 0] = 0
    return poses


def pictures(poses: torch.Tensor, root=(0.3, 0.1, 4.0), focal: float = platypose.FOCAL) -> torch.Tensor:
    placed = poses + torch.tensor(root)
    return focal * placed[..., :2] / placed[..., 2:]


def test_convention_shapes_of_hypotheses_and_steps():
    model = small(num_proposals=4)
    x = pictures(motion())[None].repeat(2, 1, 1, 1)
    with torch.no_grad():
        last, mean = model.hypotheses(x), model(x)
        every = model.sample(x[None], one_camera(model.focal, torch.eye(3)))
    assert last.shape == (2, 9, 4, 17, 3)
    assert every.shape == (2, 3, 4, 9, 17, 3)
    assert torch.equal(every[:, -1].transpose(1, 2), last)
    assert torch.equal(mean, last.mean(2))
    assert model.sequences_per_window == 4
    assert platypose.visited_steps(50, 20)[-5:] == (38, 41, 43, 46, 49)
    assert model.times == (4, 2, 0, -1)


def test_law_the_seed_alone_decides():
    x = pictures(motion())[None]
    assert torch.equal(small(seed=3)(x), small(seed=3)(x))
    assert not torch.equal(small(seed=3)(x), small(seed=4)(x))


def test_law_a_prior_that_knows_the_truth_is_left_alone():
    """Its poses meet the keypoints already, wherever the root is: the guidance finds the place and changes nothing."""
    truth = motion()
    model = small()
    model.denoiser = Answers(truth)  # type: ignore[assignment]
    x = pictures(truth)[None]
    expected = truth[None, :, None].expand(1, 9, 3, 17, 3)
    torch.testing.assert_close(model.hypotheses(x), expected, atol=1e-4, rtol=1e-4)
    eta = small(eta=1.0)
    eta.denoiser = Answers(truth)  # type: ignore[assignment]
    torch.testing.assert_close(eta.hypotheses(x), expected, atol=1e-4, rtol=1e-4)


def test_law_guidance_lowers_the_energy_of_every_hypothesis():
    truth = motion()
    x = pictures(truth)[None]
    record: list = []
    model = small(num_substeps=10)
    model.sample(x[None], one_camera(model.focal, torch.eye(3)), record=record)
    prior = small(energy_scale=0.0)
    unguided: list = []
    prior.sample(x[None], one_camera(model.focal, torch.eye(3)), record=unguided)
    assert (record[-1][1] < 0.5 * unguided[-1][1]).all()


def test_law_more_cameras_leave_less_open():
    """A prior that says nothing (one still pose): depth comes from the other camera."""
    truth = motion()
    still = small(num_substeps=60, energy_scale=5.0, num_proposals=1)
    still.denoiser = Answers(torch.zeros(9, 17, 3))  # type: ignore[assignment]
    front, side = torch.eye(3), torch.tensor([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    R, t = torch.stack([front, side]), torch.tensor([[0.0, 0, 4], [0, 0, 4]])
    focal, centre = torch.full((2, 2), 2.3), torch.zeros(2, 2)
    seen = torch.einsum("vxy,tjy->vtjx", R, truth) + t[:, None, None]
    x = (2.3 * seen[..., :2] / seen[..., 2:])[:, None]
    root = torch.zeros(1, 9, 3)

    def depth_error(views: int) -> float:
        cameras = Cameras(R[:views], t[:views], focal[:views], centre[:views])
        poses = still.sample(x[:views], cameras, root=root)[0, -1, 0]
        return float((poses - truth)[..., 2].abs().mean())

    assert depth_error(2) < 0.2 * depth_error(1)


def test_convention_world_axes_are_those_of_a_level_camera():
    truth = motion()
    level = torch.tensor(platypose.LEVEL)
    assert torch.equal(level @ torch.tensor([0.0, 0, 1]), torch.tensor([0.0, -1, 0])), (
        "up in the world is up in the picture"
    )
    model = small(axes="world")
    model.denoiser = Answers(truth @ level)  # type: ignore[assignment]
    hypotheses = model.hypotheses(pictures(truth)[None])
    torch.testing.assert_close(hypotheses[0, :, 0], truth, atol=1e-4, rtol=1e-4)


def test_law_single_frames_are_lifted_one_by_one():
    model = small(frames=1)
    x = pictures(motion())[None]
    together = model.hypotheses(x)
    alone = torch.cat([model.hypotheses(x[:, t : t + 1]) for t in range(9)], 1)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_law_missing_keypoints_do_not_matter():
    model = small()
    x = pictures(motion())[None, None]
    camera = one_camera(model.focal, torch.eye(3))
    holey = x.clone()
    holey[..., 5, :] = torch.nan
    weights = torch.ones_like(x)
    weights[..., 5, :] = 0
    assert torch.equal(model.sample(holey, camera), model.sample(x, camera, weights))
    assert not torch.equal(model.sample(holey, camera), model.sample(x, camera))


def test_law_the_focal_length_is_the_pictures():
    x = pictures(motion())[0:9]
    lifter = as_lifter(small())
    told = clip_joints(lifter, x, torch.ones(9, 17), 1.5, flip=False)
    assert torch.equal(told, run_clip(as_lifter(small(focal=1.5)), x))
    assert not torch.allclose(told, run_clip(lifter, x), atol=1e-3)
    assert lifter.network.focal == platypose.FOCAL, "the lifter itself is unchanged"


def test_lift_from_a_file_and_hypotheses_of_a_clip(tmp_path):
    lifter = as_lifter(small())
    save_lifter(lifter, tmp_path / "w.safetensors")
    again = load_lifter("lifting/platypose", tmp_path / "w.safetensors")
    assert again.network.config == lifter.network.config
    x = pictures(motion(20))
    assert run_hypotheses(lifter, x).shape == (20, 3, 17, 3)
    pixels = (640 * x + 640).numpy()
    first = pw.lift(pixels, None, "h36m_17", (1280, 720), 50.0, model=again).positions
    assert (first == pw.lift(pixels, None, "h36m_17", (1280, 720), 50.0, model=lifter).positions).all()


# --------------------------------------------------------------------------------------------- checkpoints


def official(model: platypose.Model) -> dict[str, torch.Tensor]:
    named = {official_key(k, platypose.OFFICIAL_KEYS): v for k, v in model.state_dict().items()}
    table = sinusoidal_positions(platypose.POSITIONS, model.config.latent_dim)[:, None]
    return named | {name: table.clone() for name in platypose._TABLES}


def test_contract_a_checkpoint_as_the_authors_write_it_is_read():
    model = small()
    given: Any = {"frames": 9, "latent_dim": 16, "ff_size": 24, "num_layers": 2}
    sampling: Any = {
        "sampling_timesteps": 4,
        "skip_timesteps": 1,
        "num_proposals": 3,
        "num_substeps": 2,
        "steps": 8,
    }
    again = pw.load_official("lifting/platypose", official(model), **given, **sampling, axes="camera")
    x = pictures(motion())[None]
    assert torch.equal(again(x), model(x))
    assert platypose.load_official(official(model), **given).config.axes == "world"
    spoilt = official(model)
    spoilt["embed_timestep.sequence_pos_encoder.pe"] *= 1.5
    with pytest.raises(InputError, match="other positions"):
        platypose.load_official(spoilt, **given)
    with pytest.raises(InputError, match="skeleton_encoder.muQuery"):
        platypose.load_official({k: v for k, v in official(model).items() if "mu" not in k}, **given)
    with pytest.raises(InputError, match="expected trans_enc"):
        platypose.load_official(official(model), arch="gru", **given)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_proposals": 0}, "at least 1"),
        ({"sampling_timesteps": 9}, "1 to 8"),
        ({"skip_timesteps": 4}, "0 to 3"),
        ({"focal": 0.0}, "positive focal"),
        ({"eta": -0.5}, "0 to 1"),
        ({"aggregation": "median"}, "jpma or mean"),
        ({"axes": "body"}, "camera or world"),
        ({"frames": 0}, "0 frames"),
        ({"activation": "swish"}, "gelu, relu"),
    ],
)
def test_wrong_settings_say_what_was_expected(change, said):
    with pytest.raises(InputError, match=said):
        small(**change)


def test_wrong_keypoints_say_what_was_expected():
    model = small()
    x = pictures(motion())[None]
    with pytest.raises(InputError, match=r"for 1 cameras, expected \(V, B, T, 17, 2\)"):
        model.sample(x, one_camera(2.0, torch.eye(3)))
    with pytest.raises(InputError, match="root has shape"):
        model.sample(x[None], one_camera(2.0, torch.eye(3)), root=torch.zeros(1, 9, 2))


def test_learns_a_prior_that_keypoints_turn_into_poses():
    """Trained on a few poses without their pictures, the guided samples are those the keypoints are of."""
    torch.manual_seed(0)
    config = replace(
        CONFIG,
        frames=3,
        latent_dim=64,
        ff_size=128,
        dropout=0.0,
        timestep=20,
        sampling_timesteps=8,
        skip_timesteps=2,
        num_substeps=10,
    )
    model = platypose.Model(config)
    truth = torch.stack([motion(3, seed=s) for s in range(4)])
    x = pictures(truth)
    step = torch.optim.AdamW(model.parameters(), 2e-3)
    losses = []
    for _ in range(400):
        step.zero_grad()
        losses.append(model.training_loss(x, truth))
        losses[-1].backward()
        step.step()
    assert torch.stack(losses[-20:]).mean() < 0.5 * torch.stack(losses[:20]).mean()
    with torch.no_grad():
        guided = p_agg(model.eval().hypotheses(x), truth).mean()
        blind = p_agg(platypose_without_guidance(model).hypotheses(x), truth).mean()
    assert guided < 0.7 * blind


def platypose_without_guidance(model: platypose.Model) -> platypose.Model:
    twin = platypose.Model(replace(model.config, energy_scale=0.0)).eval()
    twin.load_state_dict(model.state_dict())
    return twin
