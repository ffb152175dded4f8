"""Pieces of the AGFormer blocks that are computed otherwise than written in the paper."""

import pytest
import torch

from posewright.nn.agformer import kth_largest
from posewright.nn.attention import shortcut


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("k", [1, 2, 3, 7])
@pytest.mark.parametrize("values", [3, 1000], ids=["ties", "distinct"])
def test_law_kth_largest_counts_equal_ones_each(k, values):
    x = torch.randint(values, (4, 5, 7)).float()
    expected = x.sort(dim=-1, descending=True).values[..., k - 1 : k]
    assert torch.equal(kth_largest(x, k), expected)


def test_law_shortcut_is_the_sum_with_the_scaled_branch():
    x, branch, scale = torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.randn(4)
    torch.testing.assert_close(shortcut(x, branch, scale), x + scale * branch)
    total = x + branch
    assert torch.equal(shortcut(x, branch), total)
    with torch.no_grad():
        assert torch.equal(shortcut(x, branch.clone()), total)
        assert shortcut(x, branch.bfloat16()).dtype == torch.float32
