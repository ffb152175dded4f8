"""Choosing frames by density peaks."""

import pytest
import torch

from posewright.nn.token_pruning import density_peaks, take_frames


def test_law_frames_are_ascending_distinct_and_always_the_same():
    features = torch.randn(3, 20, 8, generator=torch.Generator().manual_seed(0))
    frames = density_peaks(features, 6)
    assert (frames.diff(dim=1) > 0).all()
    assert torch.equal(frames, density_peaks(features, 6))


def test_law_the_wanted_frame_is_kept():
    features = torch.randn(4, 15, 8, generator=torch.Generator().manual_seed(0))
    for always in range(15):
        assert (density_peaks(features, 2, always=always) == always).any(1).all()


def test_law_one_frame_of_each_of_well_separated_groups_is_kept():
    centres = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)) * 10
    features = centres.repeat_interleave(4, 0) + 0.01 * torch.randn(
        20, 8, generator=torch.Generator().manual_seed(1)
    )
    assert (density_peaks(features[None], 5)[0] // 4).tolist() == [0, 1, 2, 3, 4]


def test_convention_of_two_equally_dense_frames_the_earlier_counts_as_denser():
    features = torch.tensor([0.0, 1.0])[None, :, None]
    apart = torch.tensor([0.0, 1.0, 5.0, 6.0])[None, :, None]
    assert density_peaks(features, 1).tolist() == [[0]]
    assert density_peaks(apart, 2).tolist() == [[0, 2]]


def test_law_small_changes_of_the_features_keep_the_frames():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(8, 60, 24, generator=generator)
    changed = features * (1 + 1e-6 * torch.randn(features.shape, generator=generator))
    same = (density_peaks(features, 20) == density_peaks(changed, 20)).float().mean()
    assert same > 0.9


def test_law_noise_decides_ties():
    features = torch.tensor([0.0, 1.0])[None, :, None]
    assert density_peaks(features, 1, noise=torch.tensor([[0.0, 1.0]])).tolist() == [[1]]
    assert density_peaks(features, 1, noise=torch.tensor([[1.0, 0.0]])).tolist() == [[0]]


def test_law_take_frames_on_tokens_of_any_shape():
    x = torch.arange(24.0).view(2, 4, 3, 1)
    frames = torch.tensor([[0, 2], [1, 3]])
    assert take_frames(x, frames).shape == (2, 2, 3, 1)
    assert torch.equal(take_frames(x, frames)[1, 0], x[1, 1])


@pytest.mark.parametrize("count", [0, 5])
def test_contract_more_frames_than_there_are(count):
    with pytest.raises(ValueError, match="cannot be kept"):
        density_peaks(torch.zeros(1, 4, 2), count)
