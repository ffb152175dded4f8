"""The published lifters at small sizes: shapes, gradients, determinism, export; and their published sizes."""

import re
from math import prod
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from posewright.models import find
from posewright.models.lifting import gla_gcn, hot, ktpformer, mhformer, mixste, motionbert, mpm, videopose3d
from posewright.nn.checkpoints import official_key
from posewright.nn.graph import bone_adjacency, chain_adjacency
from posewright.nn.prior_attention import prior_adjacency
from posewright.skeletons.joint_sets import H36M_16, H36M_17
from tests.models.lifting.small import SMALL

METHODS = sorted({name.partition(":")[0] for name in SMALL})
VARIANTS = [
    (method, variant)
    for method in METHODS
    for variant in find(method).VARIANTS
    if variant in find(method).PARAMETERS
]


@pytest.fixture(params=SMALL)
def small(request):
    config, shape = SMALL[request.param]
    method = find(request.param.partition(":")[0])
    torch.manual_seed(0)
    return method, method.Model(config), torch.randn(shape)


def frames_out(method, config, frames: int) -> int:
    facts = method.lifting(config) if hasattr(method, "lifting") else method.LIFTING
    if method is mhformer:
        return frames
    return {"all": frames, "centre": 1, "valid": frames - config.frames + 1}[facts.output_frames]


@pytest.mark.parametrize(("method", "variant"), VARIANTS)
def test_contract_published_sizes_have_the_official_number_of_parameters(method, variant):
    module = find(method)
    with torch.device("cpu" if module.PARAMETERS[variant] < 1_000_000 else "meta"):
        model = module.Model(module.VARIANTS[variant])
    assert sum(p.numel() for p in model.parameters()) == module.PARAMETERS[variant]


@pytest.mark.parametrize("variant", mpm.MASKED_VARIANTS)
def test_contract_masked_pose_models_have_the_official_number_of_parameters(variant):
    with torch.device("meta"):
        model = mpm.MaskedPoseModel(mpm.MASKED_VARIANTS[variant])
    assert sum(p.numel() for p in model.parameters()) == mpm.MASKED_PARAMETERS[variant]


@pytest.mark.parametrize("method", METHODS)
def test_contract_file_says_where_it_comes_from(method):
    module = find(method)
    assert module.PAPER.url in module.__doc__
    assert "Convention:" in module.__doc__
    if module.PAPER.code is None:
        assert "No code was published" in " ".join(module.__doc__.split())
        assert "assumption" in module.__doc__
    else:
        assert module.PAPER.code in module.__doc__.replace("\n", "")
    assert all(card.url.startswith("https://") and card.licence for card in module.WEIGHTS.values())
    assert set(module.PARAMETERS) <= set(module.VARIANTS)


def test_contract_shapes_for_one_clip_and_several(small):
    method, model, keypoints = small
    model.eval()
    joints = model(keypoints)
    expected = frames_out(method, model.config, keypoints.shape[1])
    assert joints.shape == (*keypoints.shape[:1], expected, keypoints.shape[2], 3)
    torch.testing.assert_close(model(keypoints[:1]), joints[:1], atol=1e-5, rtol=1e-5)


def test_contract_same_input_same_output(small):
    _, model, keypoints = small
    model.eval()
    assert torch.equal(model(keypoints), model(keypoints))


def test_contract_gradient_reaches_every_live_parameter(small):
    method, model, keypoints = small
    out = model.train().both(keypoints) if method is mpm else (model.train()(keypoints),)
    total = sum(joints.square().mean() for joints in out)
    if hasattr(model, "training_loss"):
        total = total + model.training_loss(keypoints, out[0].detach())
    total.backward()
    dead = getattr(method, "DEAD", ())
    without = [
        n for n, p in model.named_parameters() if p.grad is None and not any(re.search(d, n) for d in dead)
    ]
    unused_positions = {f"positions.{i}" for i in range(2, 3)} if method is mpm else set()  # two strides only
    assert set(without) <= unused_positions


@pytest.mark.filterwarnings("ignore")  # the tracer says that shapes become constants, which is meant
def test_contract_exports_to_onnx(small, tmp_path):
    _, model, keypoints = small
    model.eval()
    path = tmp_path / "lifter.onnx"
    torch.onnx.export(model, (keypoints,), str(path), dynamo=False, input_names=["keypoints"])
    (joints,) = onnxruntime.InferenceSession(str(path)).run(None, {"keypoints": keypoints.numpy()})
    np.testing.assert_allclose(joints, model(keypoints).detach().numpy(), atol=1e-4)


@pytest.mark.parametrize(
    "name", [n for n in SMALL if "simple" not in n and "semgcn" not in n and "video" not in n]
)
def test_contract_a_window_of_another_joint_set_is_refused(name):
    config, shape = SMALL[name]
    model = find(name.partition(":")[0]).Model(config)
    with pytest.raises(ValueError, match="expected"):
        model(torch.zeros(1, shape[1], shape[2] + 3, shape[3]))


def test_law_default_graphs_equal_the_recorded_official_ones(parity_file):
    spatial, temporal = parity_file("ktpformer", "aux_adj"), parity_file("ktpformer", "aux_adj_temporal")
    torch.testing.assert_close(prior_adjacency(bone_adjacency(H36M_17.parents)), spatial)
    torch.testing.assert_close(prior_adjacency(chain_adjacency(len(temporal))), temporal)
    semantic = parity_file("semgcn", "aux_adj")
    assert torch.equal(bone_adjacency(H36M_16.parents) + torch.eye(16) > 0, semantic > 0)
    torch.testing.assert_close(gla_gcn.subsets("h36m"), parity_file("glagcn", "aux_A"))
    torch.testing.assert_close(gla_gcn.subsets("humaneva15"), parity_file("glagcn_humaneva15", "aux_A"))


@pytest.fixture
def parity_file():
    """Read one array of a recording that comes with the tests."""
    folder = Path(__file__).parents[2] / "parity" / "golden" / "lifters"
    return lambda name, key: torch.from_numpy(np.load(folder / f"{name}.npz")[key])


def test_convention_videopose3d_strided_gives_the_first_pose_of_each_window():
    config, _ = SMALL["lifting/videopose3d"]
    model = videopose3d.Model(config).eval()
    keypoints = torch.randn(2, 2 * config.frames, 17, 2)
    torch.testing.assert_close(
        model(keypoints, strided=True), model(keypoints)[:, :: config.frames], atol=1e-5, rtol=1e-5
    )


def test_convention_causal_videopose3d_does_not_see_the_future():
    config, _ = SMALL["lifting/videopose3d:causal"]
    model = videopose3d.Model(config).eval()
    keypoints = torch.randn(1, 12, 17, 2)
    changed = keypoints.clone()
    changed[:, 10:] += 1
    assert torch.equal(model(keypoints)[:, :2], model(changed)[:, :2])
    assert not torch.equal(model(keypoints)[:, 2:], model(changed)[:, 2:])


def test_law_motionbert_takes_clips_of_any_length_up_to_its_window():
    config, _ = SMALL["lifting/motionbert"]
    model = motionbert.Model(config).eval()
    assert [model(torch.randn(1, n, 17, 3)).shape[1] for n in (1, 5, 9)] == [1, 5, 9]
    with pytest.raises(ValueError, match=re.escape("1..9")):
        model(torch.randn(1, 10, 17, 3))


def test_law_hot_keeps_the_frames_it_is_given():
    config, shape = SMALL["lifting/hot:mixste_tpc"]
    model = hot.Model(config).eval()
    keypoints = torch.randn(shape)
    frames = torch.tensor([[0, 3, 4, 8]] * len(keypoints))
    joints, kept = model.kept(keypoints, frames=frames)
    assert torch.equal(kept, frames)
    assert torch.equal(model(keypoints, frames=frames), joints[:, 2:3])


def test_law_tpc_without_pruning_equals_its_host():
    config, shape = SMALL["lifting/hot:mixste_tpc"]
    model = hot.Model(hot.replace(config, token_num=9)).eval()
    host = mixste.Model(mixste.Config(9, embed_dim_ratio=16, depth=3, num_heads=4)).eval()
    host.load_state_dict(model.host.state_dict())
    keypoints = torch.randn(shape)
    torch.testing.assert_close(model.kept(keypoints)[0], host(keypoints), atol=1e-6, rtol=1e-6)


def test_contract_mixste_of_the_hot_repository_loads_by_its_own_arguments():
    plain = mixste.Model(mixste.Config(9, embed_dim_ratio=16, depth=8, mlp_ratio=1.25))
    names = {key: official_key(key, mixste.OFFICIAL_KEYS) for key in plain.state_dict()}
    official = {names[key]: value for key, value in plain.state_dict().items()}
    args = {"channel": 16, "d_hid": 20, "frames": 9, "n_joints": 17, "token_num": 5}
    again = mixste.load_official(official, args=args)
    keypoints = torch.randn(1, 9, 17, 2)
    assert torch.equal(again(keypoints), plain.eval()(keypoints))


def test_contract_hot_refuses_a_layer_it_cannot_prune_before():
    with pytest.raises(ValueError, match="a layer from 1 to 2"):
        hot.Model(hot.replace(SMALL["lifting/hot:mixste"][0], layer_index=0))


def test_law_mpm_masked_joints_and_hidden_frames_do_not_matter():
    config, _ = SMALL["lifting/mpm"]
    model = mpm.MaskedPoseModel(config).eval()
    masked, hidden = mpm.sample_masks(9, 17, 3, 2, torch.Generator().manual_seed(0))
    assert masked.sum(-1).unique().tolist() == [3]
    assert int(hidden.sum()) == 2
    poses = torch.randn(2, 9, 17, 3)
    changed = torch.where(masked[..., None] | hidden[None, :, None, None], poses + 1, poses)
    assert torch.equal(model(poses, masked, hidden), model(changed, masked, hidden))
    assert not torch.equal(model(poses), model(changed))


def test_learns_mpm_pretraining_and_its_encoder_goes_into_the_lifter():
    config, _ = SMALL["lifting/mpm"]
    torch.manual_seed(0)
    model = mpm.MaskedPoseModel(config)
    keypoints, joints = torch.randn(8, 9, 17, 2), torch.randn(8, 9, 17, 3)
    masks = mpm.sample_masks(9, 17, 3, 2, torch.Generator().manual_seed(0))
    step = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        step.zero_grad()
        losses.append(mpm.loss(model, keypoints, joints, *masks))
        losses[-1].backward()
        step.step()
    assert losses[-1] < 0.75 * losses[0]
    lifter = mpm.fine_tune(model, config)
    assert torch.equal(lifter.encoder.position, model.encoder.position)


def test_law_gla_gcn_individual_layers_equal_the_shared_one_with_equal_weights():
    shared = gla_gcn.Model(gla_gcn.Config(filter_widths=(3, 3), channels=16)).eval()
    single = gla_gcn.Model(gla_gcn.Config(filter_widths=(3, 3), channels=16, head="individual")).eval()
    weights = {k: v for k, v in shared.state_dict().items() if not k.startswith("head.")}
    weights["head.weight"] = shared.head.weight.repeat(17, 1, 1)
    weights["head.bias"] = shared.head.bias.repeat(17)
    single.load_state_dict(weights)
    keypoints = torch.randn(2, prod((3, 3)), 17, 2)
    torch.testing.assert_close(single(keypoints), shared(keypoints), atol=1e-5, rtol=1e-5)


def test_law_ktpformer_graphs_of_another_size_are_refused():
    config, _ = SMALL["lifting/ktpformer"]
    with pytest.raises(ValueError, match="expected"):
        ktpformer.Model(config, temporal_adjacency=torch.eye(8))
