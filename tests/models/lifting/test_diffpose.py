"""DiffPose (Gong et al.): its two starts, its checkpoints, and that it learns."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import posewright as pw
from posewright.core.errors import InputError
from posewright.evaluate.lifters import as_lifter, load_lifter, read_weights, save_lifter
from posewright.evaluate.windows import run_clip, run_hypotheses
from posewright.metrics.hypotheses import p_agg
from posewright.models.lifting import diffpose
from posewright.nn.checkpoints import official_key
from posewright.nn.graformer import OFFICIAL_KEYS, LearnedGraph, chebyshev_polynomials, row_normalised
from posewright.nn.keypoint_distributions import from_confidence, from_heatmaps
from posewright.nn.mirror import mirrored
from posewright.nn.mixste import OFFICIAL_KEYS as MIXSTE_KEYS
from posewright.skeletons.joint_sets import H36M_17

PLAIN = diffpose.Config(16, 2)
SAMPLED = replace(
    PLAIN, num_proposals=3, start="distribution", test_num_diffusion_timesteps=10, test_timesteps=2
)
VIDEO = replace(
    PLAIN,
    initialiser="mixste",
    num_frame=5,
    embed_dim_ratio=16,
    depth=1,
    num_heads=4,
    test_time_augmentation=True,
)


def small(config: diffpose.Config = SAMPLED, **changes) -> diffpose.Model:
    torch.manual_seed(0)
    return diffpose.Model(replace(config, **changes)).eval()


def keypoints(channels: int = 3, frames: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    screen = 0.5 * torch.randn(2, frames, 17, 2, generator=generator)
    sure = torch.rand(2, frames, 17, channels - 2, generator=generator)
    return torch.cat([screen, sure], -1)


def official(network: torch.nn.Module, keys=OFFICIAL_KEYS) -> dict[str, torch.Tensor]:
    return {f"module.{official_key(k, keys)}": v for k, v in network.state_dict().items()}


def certain(model: diffpose.Model) -> diffpose.Model:
    """The same, with a denoiser that finds no noise."""
    torch.nn.init.zeros_(model.denoiser.head.weight)
    torch.nn.init.zeros_(model.denoiser.head.bias)
    return model


def test_convention_hypotheses_stand_at_the_root_and_their_mean_is_the_answer():
    model, x = small(), keypoints()
    hypotheses = model.hypotheses(x)
    assert hypotheses.shape == (2, 4, 3, 17, 3)
    assert not hypotheses[..., 0, :].any()
    torch.testing.assert_close(model(x), hypotheses.mean(2))
    assert model.sequences_per_window == 3


def test_law_the_published_start_adds_no_noise():
    """Steps without noise and randomness give the initialiser's pose, scaled by the clean share of the signal."""
    model, x = certain(small(PLAIN)), keypoints(2)
    level = model.denoiser.schedule.level(model.denoiser.times[0])
    torch.testing.assert_close(model(x), model.initialise(x) / level**0.5)
    assert small(PLAIN, seed=1)(x).equal(small(PLAIN)(x)), "nothing is drawn"


def test_law_samples_spread_as_their_keypoints_and_level_say():
    """Many starts: their deviation is the schedule's, times 1 m in x, y, z and the keypoint's spread in u, v."""
    model, x = small(num_proposals=4000), keypoints(frames=1)
    states = model.initial_states(x)
    level = model.denoiser.schedule.level(model.denoiser.times[0])
    expected = torch.cat([model.deviations(x), torch.ones(2, 1, 17, 3)], -1) * (1 - level) ** 0.5
    torch.testing.assert_close(states.std(2), expected, atol=0, rtol=0.06)
    centre = torch.cat([x[..., :2], model.initialise(x[..., :2])], -1) * level**0.5
    assert ((states.mean(2) - centre).abs() < 0.08 * expected).all()


def test_law_a_sure_keypoint_hardly_moves_and_a_missing_one_does():
    x = keypoints()
    x[..., 2] = 1.0
    x[..., 5, 2] = 0.0
    spread = small().deviations(x)
    others = [j for j in range(17) if j != 5]
    assert (spread[..., 5, :] > 10 * spread[..., others, :].amax(-2)).all()


def test_law_a_mixture_of_one_gaussian_is_what_confidence_gives():
    model, x = small(), keypoints()
    mixture = from_confidence(x[..., :2], x[..., 2])
    torch.testing.assert_close(
        model.hypotheses(x[..., :2], mixture), model.hypotheses(x), atol=1e-5, rtol=1e-5
    )


def test_law_mixtures_of_heat_maps_lift_different_keypoints():
    model = small(num_proposals=8)
    maps = torch.zeros(1, 1, 17, 24, 24)
    maps[..., 6, 4], maps[..., 6, 20] = 1.0, 1.0
    mixture = from_heatmaps(maps, torch.tensor([-1.0, -1.0, 1.0, 1.0]), kernels=2)
    states = model.initial_states(mixture.means.mean(-2), mixture)
    sides = states[0, 0, :, :, 0] > 0
    assert sides.any()
    assert not sides.all()
    assert model.hypotheses(mixture.means.mean(-2), mixture).shape == (1, 1, 8, 17, 3)


def test_law_the_seed_alone_decides():
    x = keypoints()
    assert torch.equal(small(seed=3).hypotheses(x), small(seed=3).hypotheses(x))
    assert not torch.equal(small(seed=3).hypotheses(x), small(seed=4).hypotheses(x))
    random = small(PLAIN, num_proposals=3, eta=1.0)
    assert not torch.equal(random.hypotheses(x[..., :2])[:, :, 0], random.hypotheses(x[..., :2])[:, :, 1])


def test_law_video_averages_its_initialiser_with_the_mirrored_clip():
    model, x = small(VIDEO), keypoints(2, 5)
    order = H36M_17.mirror.tolist()
    there = mirrored(model.initialise(mirrored(x, order)), order)
    torch.testing.assert_close(there, model.initialise(x), atol=1e-6, rtol=1e-5)
    plain = small(VIDEO, test_time_augmentation=False)
    assert not torch.allclose(
        mirrored(plain.initialise(mirrored(x, order)), order), plain.initialise(x), atol=1e-4
    )
    with pytest.raises(ValueError, match=r"expected \(B, 5"):
        model(keypoints(2, 6))


def test_law_chebyshev_polynomials_are_those_of_the_laplacian():
    """On its eigenvalues they are cos(k arccos x)."""
    adjacency = row_normalised(H36M_17.parents).double()
    terms = chebyshev_polynomials(adjacency, 4)
    values = torch.linalg.eigvals(terms[1])
    assert values.imag.abs().max() < 1e-12
    inside = values.real[values.real.abs() <= 1]
    for k in range(5):
        expected = torch.cos(k * inside.arccos())
        found = torch.linalg.eigvals(terms[k]).real
        assert (found[:, None] - expected).abs().amin(0).max() < 1e-9


def test_law_a_learned_graph_below_zero_stays_a_number():
    model = small(PLAIN)
    graphs = [module for module in model.modules() if isinstance(module, LearnedGraph)]
    for graph in graphs:
        torch.nn.init.constant_(graph.adjacency, -0.3)
    assert model(keypoints(2)).isfinite().all()


def test_law_training_steps_come_in_pairs_from_both_ends():
    steps = small()._paired_steps(6)
    assert torch.equal(steps[4:], 50 - steps[:2])
    assert len(steps) == 6


# --------------------------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("config", [PLAIN, VIDEO])
def test_contract_checkpoints_as_the_authors_write_them_are_read(config, tmp_path):
    """The denoiser's file is a list, the video initialiser's a dict with `model_pos`."""
    model, video = small(config), config is VIDEO
    torch.save([official(model.denoiser), {"state": {}}, 80, 100, {}], tmp_path / "diff.pth")
    pose = official(model.initialiser, MIXSTE_KEYS if video else OFFICIAL_KEYS)
    torch.save({"epoch": 3, "model_pos": pose} if video else [pose, {}, 1, 2], tmp_path / "pose.bin")
    first, second = (read_weights(tmp_path / name)[0] for name in ("diff.pth", "pose.bin"))
    sizes: Any = {"hid_dim": 16, "num_layer": 2, "n_head": 4, "n_pts": 17, "emd_dim": 96}
    if video:
        sizes |= {"num_frame": 5, "embed_dim_ratio": 16, "depth": 1, "num_heads": 4}
        sizes |= {"test_time_augmentation": True}
    again = pw.load_official("lifting/diffpose", first, initialiser=second, **sizes)
    x = keypoints(2, 5)
    assert torch.equal(again(x), model(x))
    alone = diffpose.load_official(first, **sizes)
    assert isinstance(alone, diffpose.Denoiser)
    with pytest.raises(InputError, match="gconv_input"):
        diffpose.load_official(second, initialiser=first, **sizes)


def test_contract_one_file_alone_is_no_lifter(tmp_path):
    torch.save([official(small(PLAIN).denoiser)], tmp_path / "diff.pth")
    with pytest.raises(InputError, match="another size"):
        load_lifter("lifting/diffpose", tmp_path / "diff.pth")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_proposals": 0}, "at least 1"),
        ({"test_timesteps": 0}, "1 to 10"),
        ({"test_timesteps": 11}, "1 to 10"),
        ({"test_num_diffusion_timesteps": 52}, "at most 51"),
        ({"eta": 2.0}, "0 to 1"),
        ({"start": "mean"}, "would all be the same"),
        ({"start": "median"}, "mean or distribution"),
        ({"initialiser": "cnn"}, "graformer or mixste"),
        ({"aggregation": "median"}, "jpma or mean"),
        ({"num_joints": 16}, "give `adj`"),
    ],
)
def test_wrong_settings_say_what_was_expected(changes, said):
    with pytest.raises(InputError, match=said):
        small(**changes)


def test_missing_uncertainty_says_what_was_expected():
    x = keypoints()
    with pytest.raises(InputError, match="without confidence and no mixture"):
        small()(x[..., :2])
    mixture = from_confidence(x[..., :2], x[..., 2])
    with pytest.raises(InputError, match="start is mean"):
        small(PLAIN).hypotheses(x[..., :2], mixture)
    with pytest.raises(InputError, match="expected \\(2, 3, 17\\)"):
        small().hypotheses(x[:, :3, :, :2], mixture)


# --------------------------------------------------------------------------------------------------- clips


def test_law_the_mean_of_a_clips_hypotheses_is_its_answer():
    lifter = as_lifter(small())
    x = keypoints(frames=30)[0]
    torch.testing.assert_close(run_hypotheses(lifter, x).mean(1), run_clip(lifter, x), atol=1e-6, rtol=1e-5)
    assert lifter.facts.channels == 3
    assert as_lifter(small(PLAIN)).facts.channels == 2


@pytest.mark.parametrize("config", [PLAIN, SAMPLED, replace(SAMPLED, aggregation="jpma"), VIDEO])
def test_lift_gives_the_same_each_time_and_from_a_file(config, tmp_path):
    lifter = as_lifter(small(config))
    save_lifter(lifter, tmp_path / "w.safetensors")
    pixels = 640 * keypoints(2, 12)[0].numpy() + 640
    confidence = np.full(pixels.shape[:2], 0.7, np.float32)

    def lift(**model):
        return pw.lift(pixels, confidence, "h36m_17", (1280, 720), 50.0, **model).positions

    first = lift(model="lifting/diffpose", weights=tmp_path / "w.safetensors")
    assert np.array_equal(first, lift(model="lifting/diffpose", weights=tmp_path / "w.safetensors"))
    np.testing.assert_allclose(first, lift(model=lifter), atol=1e-6)


def test_learns_a_few_poses():
    """Both stages, by the loss of the one loop, and the sampler makes no worse what the initialiser has learnt."""
    torch.manual_seed(0)
    model = diffpose.Model(replace(SAMPLED, hid_dim=32, dropout=0.0))
    x, joints = torch.randn(4, 2, 17, 3), 0.3 * torch.randn(4, 2, 17, 3)
    x[..., 2] = 0.9
    joints = joints - joints[..., :1, :]
    before = p_agg(model.eval().hypotheses(x), joints).mean()
    first = torch.stack([model.training_loss(x, joints) for _ in range(20)]).mean()
    step = torch.optim.AdamW(model.train().parameters(), 5e-3)
    for _ in range(250):
        step.zero_grad()
        model.training_loss(x, joints).backward()
        step.step()
    with torch.no_grad():
        after = p_agg(model.eval().hypotheses(x), joints).mean()
        last = torch.stack([model.training_loss(x, joints) for _ in range(20)]).mean()
    assert last < 0.5 * first
    assert after < 0.4 * before
