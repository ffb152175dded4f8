"""StarPose: segments one after the other, what they are told, the guidance, bad input, and that it learns."""

from dataclasses import replace

import pytest
import torch

from posewright.core.errors import InputError
from posewright.evaluate.lifters import as_lifter, load_lifter, save_lifter
from posewright.evaluate.windows import run_clip, run_hypotheses
from posewright.metrics.hypotheses import p_agg
from posewright.models.lifting import starpose
from posewright.nn.mirror import mirrored
from posewright.skeletons.joint_sets import H36M_17
from tests.models.lifting.small import SMALL

CONFIG = SMALL["lifting/starpose"][0]


def small(**changes) -> starpose.Model:
    torch.manual_seed(0)
    return starpose.Model(replace(CONFIG, **changes)).eval()


def keypoints(clips: int = 2) -> torch.Tensor:
    return 0.5 * torch.randn(clips, 9, 17, 2, generator=torch.Generator().manual_seed(1))


def test_convention_shapes_and_the_mean():
    model = small(num_proposals=4)
    with torch.no_grad():
        hypotheses, mean = model.hypotheses(keypoints()), model(keypoints())
    assert hypotheses.shape == (2, 9, 4, 17, 3)
    assert torch.equal(mean, hypotheses.mean(2))
    assert model.config.segments == 3
    assert model.sequences_per_window == 8


def test_law_the_seed_alone_decides():
    x = keypoints()
    assert torch.equal(small(seed=3)(x), small(seed=3)(x))
    assert not torch.equal(small(seed=3)(x), small(seed=4)(x))


def test_law_later_segments_hang_on_earlier_ones_and_not_the_other_way():
    """Another start of the last segment leaves the first two; another start of the first changes those that follow."""
    model, x = small(), keypoints(1)
    start = model.start_noise.clone()
    with torch.no_grad():
        plain = model.hypotheses(x, start)
        last, first = start.clone(), start.clone()
        last[:, :, 6:] += 1
        first[:, :, :3] += 1
        after_last, after_first = model.hypotheses(x, last), model.hypotheses(x, first)
    assert torch.equal(after_last[:, :6], plain[:, :6])
    assert not torch.equal(after_last[:, 6:], plain[:, 6:])
    assert not torch.allclose(after_first[:, 3:6], plain[:, 3:6], atol=1e-6)
    with torch.no_grad():
        forgetful = small(history=0)
        a, b = forgetful.hypotheses(x, start), forgetful.hypotheses(x, first)
    assert torch.equal(a[:, 3:], b[:, 3:])


def test_law_mirrored_keypoints_and_noise_give_mirrored_hypotheses():
    model, x, order = small(eta=0.0), keypoints(), H36M_17.mirror.tolist()
    with torch.no_grad():
        there = model.hypotheses(mirrored(x, order), mirrored(model.start_noise, order))
        torch.testing.assert_close(mirrored(there, order), model.hypotheses(x), atol=1e-5, rtol=1e-5)


def test_law_a_perfect_denoiser_returns_the_truth_and_is_told_it():
    """Poses of a steady body: the guidance leaves them alone; the history of each segment is what was found."""
    pose = 0.3 * torch.randn(17, 3, generator=torch.Generator().manual_seed(2))
    pose = (pose + mirrored(pose, H36M_17.mirror.tolist())) / 2
    truth = (pose + 0.01 * torch.arange(9.0)[:, None, None])[None]
    told = []

    class Perfect(torch.nn.Module):
        def forward(self, x, noisy, past, steps, first):
            told.append((int(first[0]), past))
            return truth[:, first[0] : first[0] + noisy.shape[1]].expand_as(noisy)

    model = small(test_time_augmentation=False)
    model.denoiser = Perfect()  # type: ignore[assignment]
    out = model.hypotheses(keypoints(1))
    torch.testing.assert_close(out, truth[:, :, None].expand_as(out), atol=1e-5, rtol=1e-5)
    for first, past in told:
        known = past[0, :, 0, 3] > 0
        assert known.nonzero().flatten().tolist() == list(range(max(0, first - 3), first))
        torch.testing.assert_close(past[0, known, :, :3], truth[0, known], atol=1e-5, rtol=1e-5)


def test_law_guidance_steadies_the_bones():
    x = keypoints()

    def variation(model) -> float:
        with torch.no_grad():
            poses = model.hypotheses(x)[:, :, 0]
        parents = [max(p, 0) for p in H36M_17.parents]
        return float((poses - poses[:, :, parents])[:, :, 1:].norm(dim=-1).std(1).mean())

    assert variation(small(guidance_steps=4)) < variation(small(guidance_steps=0))


def test_clips_files_and_hypotheses(tmp_path):
    lifter = as_lifter(small())
    save_lifter(lifter, tmp_path / "w.safetensors")
    again = load_lifter("lifting/starpose", tmp_path / "w.safetensors")
    assert again.network.config == lifter.network.config
    x = 0.5 * torch.randn(20, 17, 2, generator=torch.Generator().manual_seed(3))
    assert run_hypotheses(lifter, x).shape == (20, 3, 17, 3)
    torch.testing.assert_close(run_clip(again, x), run_clip(lifter, x))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_proposals": 0}, "at least 1"),
        ({"sampling_timesteps": 1001}, "1 to 1000"),
        ({"segment": 4}, "a divisor"),
        ({"history": -1}, "0 or more"),
        ({"eta": 2.0}, "0 to 1"),
        ({"aggregation": "median"}, "jpma or mean"),
        ({"guidance_bones": 0.9}, "0 to 0.5"),
    ],
)
def test_wrong_settings_say_what_was_expected(change, said):
    with pytest.raises(InputError, match=said):
        small(**change)


def test_learns_a_few_poses():
    torch.manual_seed(0)
    config = replace(
        CONFIG,
        num_frame=4,
        segment=2,
        history=2,
        embed_dim_ratio=32,
        drop_path_rate=0.0,
        guidance_steps=0,
        test_time_augmentation=False,
    )
    model = starpose.Model(config)
    x, joints = torch.randn(4, 4, 17, 2), 0.3 * torch.randn(4, 4, 17, 3)
    before = p_agg(model.eval().hypotheses(x), joints).mean()
    step = torch.optim.AdamW(model.train().parameters(), 5e-3)
    for _ in range(260):
        step.zero_grad()
        (model.denoised(x, joints) - joints).norm(dim=-1).mean().backward()
        step.step()
    with torch.no_grad():
        assert p_agg(model.eval().hypotheses(x), joints).mean() < 0.4 * before
