"""KTPFormer's blocks put into another transformer."""

import torch

from posewright.models.lifting import d3dp, ktpformer, mixste


def test_law_in_mixste_they_are_ktpformer():
    torch.manual_seed(0)
    sizes = {"embed_dim_ratio": 16, "depth": 2, "num_heads": 4}
    plugged = mixste.Model(mixste.Config(9, **sizes, prior=True)).eval()
    whole = ktpformer.Model(ktpformer.Config(9, **sizes)).eval()
    for parameter in whole.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    weights = {}
    for name, value in whole.state_dict().items():
        inside = name.startswith(("kinematics", "trajectory"))
        weights[f"embed.{name}" if inside else name] = value
        if name.startswith("layers.spatial_norm") or name.startswith("layers.temporal_norm"):
            weights[name.replace("layers", "embed")] = value  # KTPFormer shares these norms with its layers
    plugged.load_state_dict(weights)
    x = torch.randn(2, 9, 17, 2)
    torch.testing.assert_close(plugged(x), whole(x), atol=1e-6, rtol=1e-5)


def test_in_a_denoiser_they_see_keypoints_and_noisy_poses():
    torch.manual_seed(0)
    config = d3dp.Config(9, embed_dim_ratio=16, depth=2, num_heads=4, num_proposals=2, prior=True)
    model = d3dp.Model(config).eval()
    names = [name for name, _ in model.named_parameters()]
    assert any("kinematics" in name for name in names)
    assert not any("spatial_position" in name for name in names)
    x = torch.randn(2, 9, 17, 2)
    assert model(x).shape == (2, 9, 17, 3)
    moved = x.clone()
    moved[:, :, 3] += 1
    assert (model(moved) - model(x)).abs().max() > 1e-4
