"""PoSynDA: checkpoints, the weight network as it is, pseudo-poses, and what cannot be adapted."""

from typing import Any

import numpy as np
import pytest
import torch

from posewright.adapt import posynda
from posewright.adapt.footage import footage_of
from posewright.adapt.training import AdaptationOptions
from posewright.core.errors import InputError
from posewright.evaluate.lifters import as_lifter, read_weights
from posewright.models.lifting import d3dp
from posewright.nn.checkpoints import official_key
from posewright.nn.diffusion_checkpoints import official_buffers
from posewright.nn.lora import add_low_rank, low_rank_layers, low_rank_parameters, merge_low_rank
from tests.adapt.domains import CAMERA, h36m_footage, source, student

SIZES: Any = {"num_frame": 9, "embed_dim_ratio": 16, "depth": 2, "num_heads": 4}


def adapted() -> d3dp.Model:
    torch.manual_seed(0)
    model = d3dp.Model(d3dp.Config(**SIZES, num_proposals=3, sampling_timesteps=2)).eval()
    add_low_rank(model, posynda.LAYERS, rank=2)
    for parameter in low_rank_parameters(model):
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def official(model: d3dp.Model) -> dict[str, torch.Tensor]:
    table = (*posynda.ADAPTER_KEYS, (r"^", "pose_estimator."))
    named = {official_key(key, table): value for key, value in model.state_dict().items()}
    return official_buffers(model.schedule) | named


def test_contract_published_sizes_have_the_official_number_of_parameters():
    with torch.device("meta"):
        model = d3dp.Model(d3dp.Config())
        add_low_rank(model, posynda.LAYERS, posynda.RANK)
        weights = posynda.WeightNet()
    assert sum(p.numel() for p in model.parameters()) == posynda.PARAMETERS
    assert sum(p.numel() for p in low_rank_parameters(model)) == 196_608
    assert sum(p.numel() for p in weights.parameters()) == posynda.WEIGHT_PARAMETERS


def test_contract_a_checkpoint_as_the_authors_write_it_is_read(tmp_path):
    model = adapted()
    torch.manual_seed(1)
    net = posynda.WeightNet(3, 16, 4, 24, 2).eval()
    weights = {official_key(k, posynda.WEIGHT_KEYS): v for k, v in net.state_dict().items()}
    state = {
        "epoch": 3,
        "lr": 1e-4,
        "random_state": np.random.RandomState(0),
        "model_pos": {f"module.{k}": v for k, v in official(model).items()},
        "model_weight": {
            f"module.{k}": v for k, v in (weights | {"pos_encoder.pe": torch.zeros(9, 1, 16)}).items()
        },
    }
    torch.save(state, tmp_path / "best_epoch.bin")
    read, _ = read_weights(tmp_path / "best_epoch.bin")
    again = posynda.load_official(read, lora={"rank": 2}, **SIZES, num_proposals=3, sampling_timesteps=2)
    x = 0.5 * torch.randn(2, 9, 17, 2)
    assert torch.equal(again(x), model(x))
    poses = torch.randn(4, 17, 3)
    assert torch.equal(
        posynda.load_weight_net(state, ntoken=3, ninp=16, nhead=4, nhid=24, nlayers=2)(poses), net(poses)
    )
    plain = merge_low_rank(again)
    torch.testing.assert_close(plain(x), model(x), atol=1e-5, rtol=1e-5)
    assert as_lifter(plain).name == "lifting/d3dp", "merged, it is a lifter like any other"
    with pytest.raises(InputError, match="another size"):
        posynda.load_official(read, lora={"rank": 3}, **SIZES)
    with pytest.raises(InputError, match="not sides"):
        posynda.load_official(read, lora={"rank": 2}, left=[1], right=[2], **SIZES)
    with pytest.raises(InputError, match="another noise schedule"):
        posynda.load_official(read, lora={"rank": 2}, timestep=500, **SIZES)
    with pytest.raises(InputError, match="lora_down"):
        posynda.load_official(
            {k: v for k, v in read.items() if "lora_down" not in k}, lora={"rank": 2}, **SIZES
        )


def test_convention_the_weight_network_is_as_published():
    """Its answer for a pose depends on the pose's place in the batch, and joints see only those before them."""
    torch.manual_seed(0)
    net = posynda.WeightNet(3, 16, 4, 24, 2).eval()
    poses = torch.randn(3, 17, 3)
    assert not torch.allclose(net(poses.flip(0)).flip(0), net(poses), atol=1e-3)
    changed = poses.clone()
    changed[:, 10:] += 1
    assert torch.equal(net(changed)[:, :10], net(poses)[:, :10])


def test_law_pseudo_poses_are_made_of_the_teachers_hypotheses():
    s = student("lifting/d3dp")
    windows = footage_of(s, [h36m_footage()], [CAMERA]).drawn(4, torch.Generator().manual_seed(0))
    network: Any = s.network
    out = posynda.pseudo_poses(network, windows, torch.Generator().manual_seed(5))
    draw = torch.Generator().manual_seed(5)
    noise = torch.randn(2, 4, 3, 9, 17, 3, generator=draw)
    with torch.no_grad():
        hypotheses = network.sample(windows.screen, noise[0], noise[1:])[:, -1]
    distance = (out["pseudo"][:, None] - hypotheses).norm(dim=-1).amin(1)
    assert distance.max() < 1e-5
    assert out["root"].isfinite().all()
    assert out["pseudo"].shape == (4, 9, 17, 3)


def test_law_a_student_that_meets_picture_and_pseudo_pose_has_no_loss():
    s = student("lifting/d3dp")
    windows = footage_of(s, [h36m_footage()], [CAMERA]).drawn(2, torch.Generator().manual_seed(0))
    network: Any = s.network
    batch = posynda.pseudo_poses(network, windows, torch.Generator().manual_seed(5))
    points = batch["pseudo"] + batch["root"][:, :, None]
    focal = windows.focal[:, None, None, None]
    batch["keypoints"] = focal * points[..., :2] / points[..., 2:]

    class Perfect(torch.nn.Module):
        def forward(self, keypoints, noisy, steps):
            return batch["pseudo"][:, None].expand_as(noisy)

    network.denoiser = Perfect()
    network.config = network.config.__class__(**{**vars(network.config), "test_time_augmentation": False})
    assert float(posynda.loss(network, batch)) < 1e-5


def test_only_the_adapter_is_trained_and_other_lifters_are_refused():
    s = student("lifting/d3dp")
    windows = footage_of(s, [h36m_footage()], [CAMERA])
    before = {k: v.clone() for k, v in s.network.state_dict().items()}
    done = posynda.adapt(s, source(), windows, AdaptationOptions(steps=3, batch=2))
    assert done.adapter is not None
    assert len(list(low_rank_layers(done.adapter))) == 8
    assert {layer.down.out_features for _, layer in low_rank_layers(done.adapter)} == {posynda.RANK}
    inside = done.adapter.state_dict()
    for key, value in before.items():
        held = inside.get(
            key, inside.get(key.replace(".weight", ".linear.weight").replace(".bias", ".linear.bias"))
        )
        assert torch.equal(held, value), key
    assert not list(low_rank_layers(done.student.network))
    changed = done.student.network.state_dict()
    assert any(not torch.equal(changed[k], v) for k, v in before.items())
    with pytest.raises(InputError, match="mixste does not sample hypotheses.*poseda adapts any"):
        posynda.adapt(student(), source(), windows, AdaptationOptions(steps=1))
    coco = student("lifting/d3dp")
    coco.network.config = d3dp.Config(**SIZES, keypoint_skeleton="coco_17")
    with pytest.raises(InputError, match="one joint set"):
        posynda.adapt(coco, source(), windows, AdaptationOptions(steps=1))
