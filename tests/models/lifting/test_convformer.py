"""ConvFormer: which frames it answers for, and how many weights its attention saves."""

from dataclasses import replace

import pytest
import torch

from posewright.models.lifting import convformer
from posewright.nn.attention import SelfAttention
from posewright.nn.checkpoints import load_strictly
from tests.models.lifting.small import SMALL


def weights(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("variant", "millions", "usual_millions", "attention_saved"),
    [("27", 4.93, 9.57, 0.978), ("81", 5.80, 9.60, 0.801), ("243", 8.72, 9.69, 0.203)],
)
def test_law_weights_saved_against_multi_head_self_attention(
    variant, millions, usual_millions, attention_saved
):
    config = convformer.VARIANTS[variant]
    with torch.device("meta"):
        ours, usual = convformer.Model(config), convformer.Model(replace(config, attention="usual"))
        saved = 1 - weights(ours.temporal.get_submodule("0.attention")) / weights(
            SelfAttention(config.width, 8)
        )
    assert weights(ours) / 1e6 == pytest.approx(millions, abs=0.005)
    assert weights(usual) / 1e6 == pytest.approx(usual_millions, abs=0.005)
    assert saved == pytest.approx(attention_saved, abs=0.001)


def test_law_the_middle_frame_is_read_from_all_frames():
    torch.manual_seed(0)
    model = convformer.Model(SMALL["lifting/convformer"][0]).eval()
    keypoints = torch.randn(1, 9, 17, 2, requires_grad=True)
    model(keypoints).square().sum().backward()
    assert keypoints.grad is not None
    assert (keypoints.grad.abs().sum((0, 2, 3)) > 0).all()


def test_law_both_outputs_share_everything_but_the_average_over_frames():
    torch.manual_seed(0)
    every = convformer.Model(SMALL["lifting/convformer:all"][0]).eval()
    middle = convformer.Model(SMALL["lifting/convformer"][0]).eval()
    frame = torch.zeros(9)
    frame[2] = 1
    load_strictly(middle, every.state_dict() | {"frame_weights": frame})
    keypoints = torch.randn(2, 9, 17, 2)
    torch.testing.assert_close(middle(keypoints), every(keypoints)[:, 2:3], atol=1e-5, rtol=1e-5)


def test_an_unknown_output_or_attention_is_refused():
    with pytest.raises(ValueError, match="centre, all"):
        convformer.Model(convformer.Config(output="middle"))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="convolutional, usual"):
        convformer.Model(convformer.Config(attention="plain"))  # pyright: ignore[reportArgumentType]


def test_learns_a_few_poses():
    torch.manual_seed(0)
    model = convformer.Model(SMALL["lifting/convformer"][0])
    keypoints, joints = torch.randn(8, 9, 17, 2), 0.3 * torch.randn(8, 1, 17, 3)
    step = torch.optim.AdamW(model.parameters(), 3e-3)
    losses = []
    for _ in range(150):
        step.zero_grad()
        losses.append((model(keypoints) - joints).norm(dim=-1).mean())
        losses[-1].backward()
        step.step()
    assert losses[-1] < 0.2 * losses[0]
