"""FMPose3D: its sampler, its two joint sets, its checkpoints, what becomes of the hypotheses, and that it learns."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import posewright as pw
from posewright.core.errors import InputError
from posewright.evaluate.lifters import as_lifter, load_lifter, read_weights, save_lifter
from posewright.evaluate.windows import run_clip, run_hypotheses
from posewright.geometry.cameras import project
from posewright.metrics.hypotheses import estimated_root, p_agg, p_best, rpea
from posewright.models.lifting import fmpose3d
from posewright.nn.checkpoints import official_key
from posewright.nn.flow import EVALUATIONS
from posewright.nn.mirror import mirrored
from posewright.pipelines.lift_zoo import clip_joints
from posewright.skeletons.joint_sets import ANIMAL_26, H36M_17
from tests.models.lifting.small import SMALL

CONFIG = SMALL["lifting/fmpose3d"][0]
ANIMAL = replace(CONFIG, channel=64, skeleton="animal_26", encoders="separate", time_dim=16)
KWARGS: dict[str, Any] = {"channel": 16, "layers": 2, "hidden": 32, "num_heads": 4}


def small(config: fmpose3d.Config = CONFIG, **changes) -> fmpose3d.Model:
    torch.manual_seed(0)
    return fmpose3d.Model(replace(config, **changes)).eval()


def official_checkpoint(model: fmpose3d.Model) -> dict[str, torch.Tensor]:
    """State dict as the official class would write it."""
    table = fmpose3d.OFFICIAL_KEYS if model.config.encoders == "joint" else fmpose3d.ANIMAL_KEYS
    named = {official_key(key, table): value for key, value in model.state_dict().items()}
    named = {k: v[..., None] if k.endswith("conv1d.weight") else v for k, v in named.items()}
    graph = fmpose3d.graph_of(model.config.skeleton).transpose(1, 2)
    blocks = range(model.config.layers)
    return named | {"A": graph} | {f"FMPose3D.blocks.{i}.gcn1.adj": graph for i in blocks}


def keypoints(clips: int = 2, frames: int = 5, joints: int = 17) -> torch.Tensor:
    return 0.5 * torch.randn(clips, frames, joints, 2, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("config", "joints"), [(CONFIG, 17), (ANIMAL, 26)])
def test_convention_shapes_of_hypotheses(config, joints):
    model, x = small(config, num_proposals=4), keypoints(joints=joints)
    with torch.no_grad():
        every, together, mean = (f(x) for f in (model.sample, model.hypotheses, model))
    assert every.shape == (2, 8, 5, joints, 3)
    assert torch.equal(together, every.transpose(1, 2))
    assert torch.equal(mean, together.mean(2))
    assert model.sequences_per_window == 8
    assert small(config, test_time_augmentation=False).sample(x).shape[1] == 3


@pytest.mark.parametrize(("config", "root"), [(CONFIG, "pelvis"), (ANIMAL, "tail_base")])
def test_convention_poses_are_relative_to_the_root(config, root):
    joints = ANIMAL_26 if config is ANIMAL else H36M_17
    model = small(config)
    x = keypoints(joints=len(joints))
    assert (model.sample(x)[..., joints.index(root), :] == 0).all()
    assert (model.integrate(x, torch.randn(2, 5, len(joints), 3))[..., joints.index(root), :] != 0).all()


def test_law_the_seed_alone_decides():
    x = keypoints()
    assert torch.equal(small(seed=3).sample(x), small(seed=3).sample(x))
    assert not torch.equal(small(seed=3).sample(x), small(seed=4).sample(x))


def test_law_each_frame_stands_alone_with_the_same_noise():
    model, x = small(), keypoints()
    torch.testing.assert_close(model(x[:, 2:3]), model(x)[:, 2:3], atol=1e-6, rtol=1e-5)
    still = x[:1, :1].expand(1, 4, -1, -1)
    torch.testing.assert_close(
        model.sample(still), model.sample(still[:, :1]).expand(-1, -1, 4, -1, -1), atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("config", [CONFIG, ANIMAL])
def test_law_mirrored_keypoints_and_swapped_noise_give_mirrored_hypotheses(config):
    model = small(config)
    x = keypoints(joints=config.num_joints)
    start = model.start_noise.unflatten(1, (-1, 2))
    swapped = start.flip(2).flatten(1, 2)
    there = mirrored(model.sample(mirrored(x, model.mirror), swapped), model.mirror)
    back = there.unflatten(1, (-1, 2)).flip(2).flatten(1, 2)
    torch.testing.assert_close(back, model.sample(x), atol=1e-5, rtol=1e-5)


def test_law_stored_noise_is_used_one_row_for_each_hypothesis():
    model, x = small(test_time_augmentation=False), keypoints()
    start = torch.randn(2, 4, 5, 17, 3)
    together = model.sample(x, start)
    for h in range(4):
        alone = model.sample(x, start[:, h : h + 1])
        torch.testing.assert_close(together[:, h : h + 1], alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("solver", EVALUATIONS)
@pytest.mark.parametrize("steps", [1, 4])
def test_law_a_network_that_knows_the_straight_path_gives_the_pose(solver, steps):
    """Whatever noise it starts from: its velocity is the pose minus that noise."""
    model = small(solver=solver, sampling_timesteps=steps, test_time_augmentation=False)
    pose = torch.randn(2, 5, 17, 3)
    pose[..., 0, :] = 0
    start = torch.randn(2, 3, 5, 17, 3)
    known = (pose[:, None] - start).flatten(0, 1)
    model.velocity.forward = lambda keypoints, state, times: known  # type: ignore[method-assign]
    out = model.sample(keypoints(), start)
    torch.testing.assert_close(out, pose[:, None].expand_as(out), atol=1e-5, rtol=1e-5)


def test_law_the_solver_calls_the_network_as_often_as_it_says():
    for solver, calls in EVALUATIONS.items():
        assert len(times_asked(small(solver=solver, sampling_timesteps=3))) == 3 * calls
    assert times_asked(small(sampling_timesteps=4)) == [0, 0.25, 0.5, 0.75]


def times_asked(model: fmpose3d.Model) -> list[float]:
    seen: list[float] = []
    model.velocity.register_forward_pre_hook(lambda _, given: seen.append(given[2][0].item()))
    model(keypoints())
    return seen


# --------------------------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize(("config", "joints"), [(CONFIG, 17), (ANIMAL, 26)])
def test_contract_a_checkpoint_as_the_authors_write_it_is_read(config, joints, tmp_path):
    model = small(config)
    torch.save(official_checkpoint(model), tmp_path / "CFM_10_4730.pth")
    args: Any = {"channel": config.channel, "layers": 2, "d_hid": 1024, "token_dim": 256, "n_joints": joints}
    settings: Any = {"hidden": 32, "num_heads": 4, "time_dim": config.time_dim, "num_proposals": 3}
    read, _ = read_weights(tmp_path / "CFM_10_4730.pth")
    again = pw.load_official("lifting/fmpose3d", read, args=args, sampling_timesteps=2, topk=4, **settings)
    assert again.config == config
    assert torch.equal(again(keypoints(joints=joints)), model(keypoints(joints=joints)))


def test_contract_another_graph_and_other_sides_are_refused():
    state, sides = official_checkpoint(small()), {"joints_left": [4, 5, 6], "joints_right": [1, 2, 3]}
    assert fmpose3d.load_official(state, **(KWARGS | sides))
    with pytest.raises(InputError, match="not sides"):
        fmpose3d.load_official(state, **(KWARGS | sides | {"joints_right": [1, 3, 2]}))
    with pytest.raises(InputError, match="another graph"):
        fmpose3d.load_official(state | {"A": state["A"].transpose(1, 2)}, **KWARGS)
    with pytest.raises(InputError, match=r"keys missing \(A\)"):
        fmpose3d.load_official({k: v for k, v in state.items() if k != "A"}, **KWARGS)
    with pytest.raises(InputError, match=r"FMPose3D.blocks.2.norm1"):
        fmpose3d.load_official(state, **(KWARGS | {"layers": 3}))
    with pytest.raises(InputError, match=r"FMPose3D.blocks.1"):
        fmpose3d.load_official(state, **(KWARGS | {"layers": 1}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_proposals": 0}, "at least 1"),
        ({"sampling_timesteps": 0}, "at least 1"),
        ({"solver": "rk4"}, "euler, midpoint, heun"),
        ({"skeleton": "coco_17"}, "h36m_17, animal_26"),
        ({"aggregation": "median"}, "rpea, jpma or mean"),
        ({"topk": 0}, "at least 1"),
        ({"temperature": -1.0}, "above 0"),
    ],
)
def test_wrong_settings_say_what_was_expected(change, said):
    with pytest.raises(InputError, match=said):
        small(**change)
    with pytest.raises(InputError, match="people.*animals"):
        fmpose3d.load_official(official_checkpoint(small()), n_joints=16, **KWARGS)


# --------------------------------------------------------------------------------------------------- clips


def test_law_the_mean_of_a_clips_hypotheses_is_its_answer():
    lifter, x = as_lifter(small()), keypoints(1, 30)[0]
    hypotheses = run_hypotheses(lifter, x)
    assert hypotheses.shape == (30, 6, 17, 3)
    torch.testing.assert_close(hypotheses.mean(1), run_clip(lifter, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("aggregation", ["rpea", "jpma"])
def test_law_clips_are_made_one_pose_with_the_estimated_root(aggregation):
    x, sure = keypoints(1, 20)[0], torch.ones(20, 17)
    sure[4] = 0
    lifter = as_lifter(small(aggregation=aggregation))
    joints = clip_joints(lifter, x, sure, 2.0, flip=False)
    hypotheses = run_hypotheses(lifter, x).double()
    torch.testing.assert_close(joints[4], hypotheses[4].mean(0).float())
    K = torch.diag(torch.tensor([2.0, 2.0, 1.0], dtype=torch.float64))
    seen = torch.where(sure[..., None] > 0, x, torch.nan).double()
    root = estimated_root(hypotheses, seen, K, sure.double())
    topk = 4 if aggregation == "rpea" else 1
    expected = rpea(hypotheses, seen, lambda points: project(points, K), root, topk, 0.005)
    there = sure.bool().all(-1)
    torch.testing.assert_close(joints[there], expected[there].float(), atol=1e-5, rtol=1e-5)


def test_lift_gives_the_same_each_time_and_from_a_file(tmp_path):
    lifter = as_lifter(small(seed=7))
    save_lifter(lifter, tmp_path / "w.safetensors")
    assert load_lifter("lifting/fmpose3d", tmp_path / "w.safetensors").network.config == lifter.network.config
    pixels = 640 * keypoints(1, 12)[0].numpy() + 640

    def lift(**model):
        return pw.lift(pixels, None, "h36m_17", (1280, 720), 50.0, **model).positions

    first = lift(model="lifting/fmpose3d", weights=tmp_path / "w.safetensors")
    assert np.array_equal(first, lift(model="lifting/fmpose3d", weights=tmp_path / "w.safetensors"))
    assert not np.allclose(first, lift(model=as_lifter(small(seed=8))))


def test_learns_a_few_poses():
    """Trained on velocities alone, the sampler finds the poses from noise."""
    torch.manual_seed(0)
    config = replace(
        CONFIG,
        channel=64,
        hidden=128,
        drop_rate=0.0,
        attn_drop_rate=0.0,
        proj_drop_rate=0.0,
        drop_path_rate=0.0,
        test_time_augmentation=False,
        num_proposals=8,
    )
    model = fmpose3d.Model(config)
    x, joints = torch.randn(4, 2, 17, 2), torch.randn(4, 2, 17, 3)
    joints[..., 0, :] = 0
    before = p_agg(model.eval().hypotheses(x), joints).mean()
    step = torch.optim.AdamW(model.train().parameters(), 3e-3)
    for _ in range(300):
        step.zero_grad()
        model.training_loss(x, joints).backward()
        step.step()
    with torch.no_grad():
        hypotheses = model.eval().hypotheses(x)
    assert p_agg(hypotheses, joints).mean() < 0.25 * before
    assert p_best(hypotheses, joints).mean() < 0.25 * before
