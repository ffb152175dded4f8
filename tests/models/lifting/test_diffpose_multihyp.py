"""DiffPose (Holmquist & Wandt): candidates, poses as states, checkpoints, and that it learns."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import posewright as pw
from posewright.core.errors import InputError
from posewright.evaluate.lifters import as_lifter, read_weights, save_lifter
from posewright.evaluate.windows import run_clip, run_hypotheses
from posewright.metrics.hypotheses import p_agg, p_best
from posewright.models.lifting import diffpose_multihyp as multihyp
from posewright.nn.checkpoints import official_key
from posewright.nn.diffusion_checkpoints import official_buffers
from posewright.skeletons.joint_sets import H36M_17
from tests.models.lifting.small import SMALL

CONFIG = SMALL["lifting/diffpose_multihyp"][0]
RIGHT_HIP, LEFT_HIP = H36M_17.indices("right_hip", "left_hip")


def small(**changes) -> multihyp.Model:
    torch.manual_seed(0)
    return multihyp.Model(replace(CONFIG, **changes)).eval()


def keypoints(frames: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    screen = 0.3 * torch.randn(2, frames, 17, 2, generator=generator)
    return torch.cat([screen, torch.rand(2, frames, 17, 1, generator=generator)], -1)


def poses(*shape: int) -> torch.Tensor:
    """Joints about a pelvis in the middle of the hips, as the network can give them."""
    joints = 0.3 * torch.randn(*shape, 17, 3, generator=torch.Generator().manual_seed(2))
    joints[..., LEFT_HIP, :] = -joints[..., RIGHT_HIP, :]
    joints[..., 0, :] = 0
    return joints


# -------------------------------------------------------------------------------------------- candidates


def test_convention_maps_read_the_joints_of_mpii():
    assert [H36M_17.index(name) for name in multihyp.HEATMAP_JOINTS] == [
        *(3, 2, 1, 4, 5, 6, 0, 7, 8, 10, 16, 15, 14, 11, 12, 13)
    ]
    model = small()
    mean, _ = model.gaussians(keypoints())
    assert mean.abs().max() <= 1 / multihyp.CROP + 1e-6, "everybody is inside the crop"


def test_law_candidates_have_the_covariance_that_was_given():
    mean = torch.tensor([[0.2, -0.3], [0.0, 0.5]])
    root = torch.tensor([[[0.2, 0.0], [0.1, 0.3]], [[0.05, 0.0], [0.0, 0.05]]])
    noise = torch.randn(20_000, 2, 2, generator=torch.Generator().manual_seed(3))
    places, values = multihyp.gaussian_candidates(mean, root, noise, peak=False)
    torch.testing.assert_close(places.mean(0), mean, atol=0.01, rtol=0)
    for joint in range(2):
        expected = root[joint] @ root[joint].T
        torch.testing.assert_close(places[:, joint].T.cov(), expected, atol=3e-3, rtol=0)
    offset = places[0, 0] - mean[0]
    density = torch.exp(-offset @ torch.linalg.inv(root[0] @ root[0].T) @ offset / 2)
    expected = multihyp.PEAK**2 / (0.2 * 0.3) * density
    torch.testing.assert_close(values[0, 0], expected)


def test_law_the_peak_comes_first_and_is_highest():
    model = small()
    mean, root = model.gaussians(keypoints())
    noise = torch.randn(5, 16, 2)
    places, values = multihyp.gaussian_candidates(mean, root, noise)
    assert torch.equal(places[..., 0, :, :], mean)
    assert (values[..., :1, :] >= values).all()


def test_law_a_certain_keypoint_has_a_peak_of_one_and_a_missing_one_almost_none():
    x = keypoints()
    x[..., 2] = 1.0
    x[..., RIGHT_HIP, 2] = 0.0
    _, root = small().gaussians(x)
    height = multihyp.PEAK**2 / root.diagonal(dim1=-2, dim2=-1).prod(-1)
    hip = multihyp.HEATMAP_JOINTS.index("right_hip")
    others = [j for j in range(16) if j != hip]
    assert height[..., others].min() > 0.9
    assert height[..., hip].max() < 0.1


def test_law_covariance_given_or_from_confidence_is_the_same():
    model, x = small(), keypoints()
    spread = multihyp.spread_of_confidence(x[..., :2], x[..., 2])
    covariance = torch.diag_embed(spread.square()[..., None].expand(-1, -1, -1, 2))
    given = model.hypotheses(x[..., :2], covariance)
    torch.testing.assert_close(given, model.hypotheses(x), atol=1e-5, rtol=1e-4)


def test_law_candidates_of_a_map_stand_where_it_has_mass():
    maps = torch.full((1, 1, 2, 8, 8), -1.0)
    maps[..., 2, 5], maps[..., 6, 1] = 3.0, 1.0
    uniform = torch.linspace(0, 1, 401).expand(1, 2, -1)
    places, values = multihyp.heatmap_candidates(maps, uniform)
    first = torch.tensor([2 * 5 / 8 - 1, 2 * 2 / 8 - 1])
    torch.testing.assert_close(places[0, 0, 0], first.expand(2, -1))
    share = (values[0, 0, 1:] == 3.0).float().mean(0)
    torch.testing.assert_close(share, torch.full((2,), 0.75), atol=0.01, rtol=0)
    assert set(values.unique().tolist()) == {1.0, 3.0}


def test_law_sharp_maps_equal_certain_keypoints():
    """A map whose mass is one pixel gives the same as that place, with the map's value, drawn each time."""
    model = small()
    maps = torch.zeros(1, 2, 16, 64, 64)
    index = torch.randint(0, 64 * 64, (1, 2, 16, 1), generator=torch.Generator().manual_seed(4))
    maps.flatten(-2).scatter_(-1, index, 1.0)
    places = multihyp.on_map(index[..., 0], (64, 64))[:, :, None, None].expand(-1, -1, 3, 4, -1, -1)
    expected = model._sampled(places, torch.ones(1, 2, 3, 4, 16))
    torch.testing.assert_close(model.hypotheses_from_heatmaps(maps), expected)


def test_convention_places_are_embedded_as_bumps():
    embedding = multihyp.ChannelEmbedding(9)
    out = embedding(torch.tensor([0.0, 1.0, 3.0]))
    assert out.shape == (3, 9)
    assert float(out[0, 4]) == pytest.approx(1)
    assert float(out[0, 5]) == pytest.approx(math.cos(0.25 * math.pi * 9 / 8) ** 2)
    assert float(out[0, 7]) == 0
    assert not out[2].any()


# ------------------------------------------------------------------------------------------------- poses


def test_law_joints_and_states_are_inverses():
    joints = poses(4)
    torch.testing.assert_close(multihyp.joints_of(multihyp.states_of(joints)), joints)
    states = multihyp.states_of(joints)
    assert states.shape == (4, 48)
    torch.testing.assert_close(states.unflatten(-1, (3, 16)).mean(-1), torch.zeros(4, 3), atol=1e-6, rtol=0)
    assert torch.equal(states[:, 16 + 2].sign(), -(joints[:, 3, 1] - joints[:, 1:, 1].mean(1)).sign()), (
        "y is up"
    )


def test_convention_hypotheses_and_their_mean():
    model, x = small(), keypoints()
    hypotheses = model.hypotheses(x)
    assert hypotheses.shape == (2, 3, 3, 17, 3)
    assert not hypotheses[..., 0, :].any()
    torch.testing.assert_close(model(x), hypotheses.mean(2))


def test_law_the_seed_alone_decides():
    x = keypoints()
    assert torch.equal(small(seed=3).hypotheses(x), small(seed=3).hypotheses(x))
    assert not torch.equal(small(seed=3).hypotheses(x), small(seed=4).hypotheses(x))


def test_law_one_frame_by_itself_gives_the_same():
    model, x = small(), keypoints()
    torch.testing.assert_close(model.hypotheses(x[1:, 2:]), model.hypotheses(x)[1:, 2:], atol=1e-5, rtol=1e-5)


def test_law_estimates_stay_within_reach():
    model = small()
    torch.nn.init.constant_(model.denoiser.pose.bias, -1e6)
    states = model.denoiser.sample(torch.zeros(2, 128), torch.zeros(2, 48), torch.zeros(7, 2, 48))
    assert float(states.detach().max()) == pytest.approx(3.0 * 10)


@pytest.mark.parametrize(
    "changes",
    [
        {"positional_embedding": "sin"},
        {"positional_embedding": "linear", "project_positional_embedding": False},
        {"old_behaviour": True, "without_transformer": True},
        {"without_argmax": True, "without_posemb_scaling": True},
        {"objective": "x0", "num_samples": 1},
    ],
)
def test_contract_published_ablations_run_and_load(changes):
    model = small(**changes)
    hypotheses = model.hypotheses(keypoints())
    assert hypotheses.isfinite().all()
    names = {key: official_key(key, multihyp.CONDITION_KEYS) for key in model.condition.state_dict()}
    state = {names[key]: value for key, value in model.condition.state_dict().items()}
    sizes: Any = {name: getattr(CONFIG, name) for name in ("num_samples", "condition_dim", "embedding_dim")}
    sizes |= {"layers": CONFIG.layers, "feedforward": CONFIG.feedforward, "nhead": CONFIG.nhead}
    assert multihyp.load_official(state, **(sizes | changes))
    assert model.train().training_loss(keypoints(), poses(2, 3)).isfinite()


# --------------------------------------------------------------------------------------------- checkpoints


def official(model: multihyp.Model) -> dict[str, torch.Tensor]:
    named = {official_key(k, multihyp.OFFICIAL_KEYS): v for k, v in model.state_dict().items()}
    schedule = model.denoiser.schedule
    buffers = official_buffers(schedule) | {"p2_loss_weight": torch.ones_like(schedule.betas)}
    return named | {key: value.float() for key, value in buffers.items()}


def sizes() -> dict[str, Any]:
    return {k: v for k, v in vars(CONFIG).items() if k != "objective"}


def test_contract_a_checkpoint_as_the_authors_write_it_is_read(tmp_path):
    model = small()
    state = official(model)
    assert "condition_emb.transformer.layers.0.self_attn.in_proj_weight" in state
    average = {f"ema_model.{key}": torch.zeros_like(value) for key, value in state.items()}
    whole = {"step": 700_000, "model": state, "ema": average, "scaler": {"scale": 1.0}}
    torch.save(whole, tmp_path / "model-seed42.pt")
    read, _ = read_weights(tmp_path / "model-seed42.pt")
    again = pw.load_official("lifting/diffpose_multihyp", read, objective="pred_noise", **sizes())
    assert torch.equal(again(keypoints()), model(keypoints()))


def test_contract_another_schedule_or_option_is_refused():
    state = official(small())
    longer: Any = sizes() | {"timesteps": 9}
    with pytest.raises(InputError, match="8 steps.*expected the cosine schedule of 9"):
        multihyp.load_official(state, **longer)
    with pytest.raises(InputError, match="keys missing"):
        multihyp.load_official({k: v for k, v in state.items() if k != "betas"}, **sizes())
    linear: Any = sizes() | {"beta_schedule": "linear"}
    with pytest.raises(InputError, match="expected 16, cosine and 1"):
        multihyp.load_official(state, **linear)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_proposals": 0}, "at least 1"),
        ({"num_samples": 0}, "at least 1"),
        ({"timesteps": 0}, "at least 1"),
        ({"scaling_3d_pose": 0.0}, "positive"),
        ({"positional_embedding": "rotary"}, "channel or sin or linear"),
        ({"aggregation": "median"}, "jpma or mean"),
        ({"objective": "v"}, "noise or x0"),
        ({"dropout_joint_method": "uncertain"}, "any or None"),
    ],
)
def test_wrong_settings_say_what_was_expected(changes, said):
    with pytest.raises(InputError, match=said):
        small(**changes)


def test_bad_input_says_what_was_expected():
    model, x = small(), keypoints()
    with pytest.raises(InputError, match="without confidence and no covariance"):
        model(x[..., :2])
    with pytest.raises(InputError, match="one 2 x 2 matrix for each keypoint"):
        model.hypotheses(x, torch.zeros(2, 3, 16, 2, 2))
    with pytest.raises(InputError, match="are no covariances"):
        model.hypotheses(x, torch.full((2, 3, 17, 2, 2), torch.nan))
    with pytest.raises(InputError, match="are no covariances"):
        model.hypotheses(x, -torch.eye(2).expand(2, 3, 17, 2, 2))
    with pytest.raises(InputError, match="expected \\(..., 16, height, width\\)"):
        model.hypotheses_from_heatmaps(torch.zeros(1, 1, 17, 8, 8))
    with pytest.raises(InputError, match="B, T, 16"):
        model.hypotheses_from_heatmaps(torch.zeros(1, 16, 8, 8))


# --------------------------------------------------------------------------------------------------- clips


def test_law_the_mean_of_a_clips_hypotheses_is_its_answer(monkeypatch):
    lifter = as_lifter(small())
    x = keypoints(30)[0]
    monkeypatch.setattr("posewright.evaluate.windows.FRAMES_AT_ONCE", 12)
    torch.testing.assert_close(run_hypotheses(lifter, x).mean(1), run_clip(lifter, x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("aggregation", ["mean", "jpma"])
def test_lift_works_with_any_detector_and_from_a_file(aggregation, tmp_path):
    lifter = as_lifter(small(aggregation=aggregation))
    save_lifter(lifter, tmp_path / "w.safetensors")
    generator = np.random.default_rng(0)
    pixels = (640 + 100 * generator.standard_normal((12, 17, 2))).astype(np.float32)
    confidence = generator.uniform(0.2, 1, (12, 17)).astype(np.float32)
    confidence[3, 9] = 0
    pixels[3, 9] = np.nan

    def lift(**model):
        return pw.lift(pixels, confidence, "coco_17", (1280, 720), 50.0, **model).positions

    first = lift(model="lifting/diffpose_multihyp", weights=tmp_path / "w.safetensors")
    assert np.isfinite(first).any()
    assert np.array_equal(first, lift(model="lifting/diffpose_multihyp", weights=tmp_path / "w.safetensors"))
    np.testing.assert_allclose(first, lift(model=lifter), atol=1e-6)


def test_learns_a_few_poses():
    torch.manual_seed(0)
    sizes: Any = {"hidden": 128, "embedding_dim": 16, "condition_dim": 16, "num_proposals": 5}
    model = multihyp.Model(replace(CONFIG, timesteps=15, scaling_3d_pose=3.0, **sizes))
    x, joints = keypoints(2), poses(2, 2)
    x[..., 2] = 0.9
    before = p_agg(model.eval().hypotheses(x), joints).mean()
    step = torch.optim.AdamW(model.train().parameters(), 3e-3)
    for _ in range(400):
        step.zero_grad()
        model.training_loss(x.repeat(16, 1, 1, 1), joints.repeat(16, 1, 1, 1)).backward()
        step.step()
    with torch.no_grad():
        hypotheses = model.eval().hypotheses(x)
    assert p_agg(hypotheses, joints).mean() < 0.1 * before
    assert p_best(hypotheses, joints).mean() < 0.1 * before
